package backend

import (
	"context"
	"fmt"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// rotateRoutinely takes the token's due steps, and starts a rotation that a campaign or the policy asks for.
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
	intent, err := b.rotationToStart(t, from)
	if err != nil {
		return err
	}
	if intent != nil {
		// A refusal is in the record, with the time of the next try. Other errors are storage's: nothing must go on that is not stored.
		if err := b.storeIntent(ctx, b.storage, m, a, t, *intent); err != nil && (t.Ended() == nil || !t.RetryAt.After(b.now())) {
			return err
		}
	}
	b.campaigns.settle(name)
	if err := m.Advance(ctx, &t.Record); err != nil {
		return err
	}
	if err := b.tellTimes(ctx, t, from); err != nil {
		return err
	}
	b.plan(a, t)
	return nil
}

// rotationToStart is the rotation of the token that is to start now, because a campaign wants it, the provider rejects the current value,
// or the policy has planned it; nil where none does.
func (b *backend) rotationToStart(t *token, from rotation.Source) (*rotation.Pending, error) {
	if from == "" {
		return nil, nil
	}
	if wanted := b.campaigns.intent(t, from); wanted != nil {
		return wanted, nil
	}
	now := b.now()
	planned, healing := t.rotationStart(now), t.mustHeal(now, from)
	if !healing && (planned.IsZero() || planned.After(now)) {
		return nil, nil
	}
	reason := reasonScheduled
	if healing {
		reason = reasonRejected
		t.BeginHealing(now)
	}
	intent, err := newRotation(from, reason)
	if err != nil {
		return nil, err
	}
	intent.Scheduled, intent.Healing = !healing, healing
	return &intent, nil
}

// tellTimes tells what time has brought: that a person is late, that the value ends soon, that nothing more heals it, or that nobody has
// answered a consent.
func (b *backend) tellTimes(ctx context.Context, t *token, from rotation.Source) error {
	if from == "" || t.PersonNeeded {
		if err := b.tellOverdue(ctx, t); err != nil {
			return err
		}
	}
	if err := b.tellExpiring(ctx, t); err != nil {
		return err
	}
	if err := b.tellHealing(ctx, t, from); err != nil {
		return err
	}
	if err := b.tellWaiting(ctx, t); err != nil {
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

// tellHealing tells once that a person is needed, because rotations did not help. The caller holds the token's lock.
func (b *backend) tellHealing(ctx context.Context, t *token, from rotation.Source) error {
	problem := t.healingProblem(b.now())
	if problem == "" || !t.heals(from) || t.HealingTold() {
		return nil
	}
	if t.LastError != "" {
		problem += ". The last problem was: " + t.LastError
	}
	t.TellHealing(problem)
	if err := b.saveToken(ctx, b.storage, t); err != nil {
		return err
	}
	b.sendTokenEvent(ctx, eventRotateFail, t, "version", fmt.Sprint(t.Number()), "fingerprint", t.fingerprint(), "rotation_state", string(t.State()))
	return nil
}

// tellWaiting tells once for an old value that its grace period is over and that it waits for its readers. The caller holds the token's
// lock.
func (b *backend) tellWaiting(ctx context.Context, t *token) error {
	for i := range t.Retiring {
		old := &t.Retiring[i]
		if !t.waitsForReaders(old) || old.WaitReported || b.now().Before(t.waitsSince(old)) {
			continue
		}
		seen, err := b.readersOf(ctx, b.storage, t)
		if err != nil {
			return err
		}
		behind := seen.Behind(old.Version, t.readerWindow(), b.now()).Count()
		if behind == 0 {
			continue
		}
		old.WaitReported = true
		about := []string{"version", fmt.Sprint(old.Version), "behind", fmt.Sprint(behind)}
		b.tellAhead(ctx, eventRetirementWaits, t, about[1], about...)
		if err := b.saveToken(ctx, b.storage, t); err != nil {
			return err
		}
		b.sendTokenEvent(ctx, eventRetirementWaits, t, about...)
	}
	return nil
}
