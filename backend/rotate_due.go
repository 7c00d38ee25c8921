package backend

import (
	"context"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// rotateRoutinely takes the token's due steps, and starts a rotation that the policy asks for.
func (b *backend) rotateRoutinely(ctx context.Context, name string) error {
	t, unlock, err := b.lockToken(ctx, b.storage, name)
	if err != nil {
		return err
	}
	defer unlock()
	if t == nil {
		b.dropToken(name)
		return nil
	}
	a, err := b.account(ctx, b.storage, t.Account)
	if err != nil {
		return err
	}
	t.bringForward(a, b.now())
	from, m := source(a, t), b.machine(b.storage, a, t)
	if start := t.rotationStart(b.now()); from != "" && !start.IsZero() && !start.After(b.now()) {
		intent, err := newRotation(from, reasonScheduled)
		if err != nil {
			return err
		}
		intent.Scheduled = true
		// A refusal is in the record, with the time of the next try. Other errors are storage's.
		if err := m.Start(ctx, &t.Record, intent); err != nil && !t.RetryAt.After(b.now()) {
			return err
		}
	}
	if err := m.Advance(ctx, &t.Record); err != nil {
		return err
	}
	if err := b.tellTimes(ctx, t, from); err != nil {
		return err
	}
	b.plan(a, t)
	return nil
}

// tellTimes tells what time has brought: that a person is late, that the value ends soon, or that nobody has answered a consent.
func (b *backend) tellTimes(ctx context.Context, t *token, from rotation.Source) error {
	if from == "" || t.PersonNeeded {
		if err := b.tellOverdue(ctx, t); err != nil {
			return err
		}
	}
	if err := b.tellExpiring(ctx, t); err != nil {
		return err
	}
	if t.Consent == nil || b.now().Before(t.Consent.ExpiresAt) {
		return nil
	}
	t.Consent = nil
	return b.saveToken(ctx, b.storage, t)
}

// rotateGivingWay does what is due for a token, until a person's request for it comes first.
func (b *backend) rotateGivingWay(ctx context.Context, j schedule.Job) error {
	working, done := b.precedence.giveWay(ctx, j.Token)
	defer done()
	err := b.rotateRoutinely(working, j.Token)
	if err != nil && gaveWay(working) {
		b.retryWork(j, errGaveWay)
		return nil
	}
	return err
}

// bringForward has a rotation end now that waits for a hook which the account has no more.
func (t *token) bringForward(a *account, now time.Time) {
	if p := t.Pending; p != nil && p.Source == rotation.SourceHook && p.Credential == nil && a.Settings[fieldHookURL] == "" {
		p.NextAttempt = now
	}
}

// tellOverdue tells once for a version that a person is late with the next rotation.
func (b *backend) tellOverdue(ctx context.Context, t *token) error {
	if !t.overdue(b.now()) || t.OverdueReported {
		return nil
	}
	t.OverdueReported = true
	b.tellAhead(ctx, eventOverdue, t, "")
	if err := b.saveToken(ctx, b.storage, t); err != nil {
		return err
	}
	b.sendTokenEvent(ctx, eventOverdue, t, "fingerprint", t.fingerprint())
	return nil
}

// tellExpiring tells once for a version that it ends soon. The caller holds the token's lock.
func (b *backend) tellExpiring(ctx context.Context, t *token) error {
	if due := t.expiryReport(); due.IsZero() || due.After(b.now()) {
		return nil
	}
	t.Current.ExpiringReported = true
	b.tellAhead(ctx, eventExpiring, t, "")
	if err := b.saveToken(ctx, b.storage, t); err != nil {
		return err
	}
	b.sendTokenEvent(ctx, eventExpiring, t, "fingerprint", t.fingerprint(), "expires_at", t.expires.UTC().Format(time.RFC3339))
	return nil
}
