package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// A refresh of some types gives a new part of the credential, and may end the one before. So it is done by the active node alone, under
// the token's lock, and what it gives is stored before anything else happens: see rotation.Refresher.

// refreshPatience is how long a reader waits for somebody else who works on the token, such as a reset hook.
const refreshPatience = 15 * time.Second

// refusalShown is for how long readers are told of the last refusal of a value that can be used once.
const refusalShown = 10 * time.Second

// singleUse says whether a value of the type is used up by its refresh.
func singleUse(kind *provider.TokenType) bool {
	return kind.Refresh != nil && kind.Refresh.PreviousDies
}

// refresher follows the refreshes of a value of the token: of its rotation under way, or else the current one.
func (b *backend) refresher(storage logical.Storage, t *token, pending bool) *rotation.Refresher {
	return &rotation.Refresher{
		Now: b.now, Record: &t.Record, Pending: pending, PreviousDies: t.kind.Refresh.PreviousDies,
		Save: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
			defer cancel()
			return b.saveToken(ctx, storage, t)
		},
		SaveAnswer: func(ctx context.Context) error { return b.saveAnswer(ctx, storage, t, pending) },
		Fingerprint: func(ctx context.Context, credential provider.Values) (string, error) {
			return b.fingerprint(ctx, storage, credential)
		},
	}
}

// saveAnswer stores the token with what a refresh gave, for the current value or the pending one. Nobody else has that, so it is tried
// again for as long as such a write may take, and kept in memory after that.
func (b *backend) saveAnswer(ctx context.Context, storage logical.Storage, t *token, pending bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
	defer cancel()
	err := saveAgain(ctx, func() error {
		err := b.saveToken(ctx, storage, t)
		if err != nil {
			b.unsaved.keep(t, pending)
		}
		if !b.tokens.Doubtful(t.name).IsZero() {
			b.unsaved.doubt(t.name, b.now())
		}
		return err
	})
	switch {
	case err == nil:
		b.unsaved.forget(t.name)
		return nil
	case errors.Is(err, logical.ErrReadOnly):
		return err
	}
	b.retryWork(schedule.Job{Token: t.name, Account: t.Account, Kind: schedule.Refresh}, err)
	return fmt.Errorf("the provider has refreshed the credential, and storage does not take what came back, which this plugin keeps in memory and "+
		"goes on to store: %w. Do not stop the plugin", err)
}

const (
	firstSaveWait   = 50 * time.Millisecond
	longestSaveWait = 2 * time.Second
)

// saveAgain tries a write until it succeeds or the context ends. Storage that takes no writes at all is not tried again.
func saveAgain(ctx context.Context, save func() error) error {
	for wait := firstSaveWait; ; wait = min(2*wait, longestSaveWait) {
		err := save()
		if err == nil || errors.Is(err, logical.ErrReadOnly) {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// refreshingCall calls the provider with a credential, whose refresh may replace a part of it, and says how it ended.
type refreshingCall func(context.Context, provider.Token) (rotation.Ending, error)

// withCurrent calls the provider with the token's current credential, whose refresh may replace a part of it. The caller holds the
// token's lock. The call says how it ended. Nothing interrupts it but its own deadlines, because its answer may be the only copy.
func (b *backend) withCurrent(ctx context.Context, storage logical.Storage, t *token, call refreshingCall) error {
	if t.kind.Refresh == nil {
		_, err := call(ctx, t.call(t.Current.Credential))
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if err := b.restoreUnsaved(ctx, storage, t); err != nil {
		return err
	}
	if err := b.mayRefresh(t); err != nil {
		return err
	}
	before := t.Health
	err := b.follow(ctx, b.refresher(storage, t, false), t, t.Current.Credential, call)
	if t.Health == rotation.HealthRejected && before != rotation.HealthRejected {
		b.sendTokenEvent(ctx, eventVerifyFail, t, "fingerprint", t.fingerprint())
	}
	return err
}

// mayRefresh refuses a refresh that could cost the credential.
func (b *backend) mayRefresh(t *token) error {
	now := b.now()
	if doubt := t.Refreshing; doubt != nil && now.Before(doubt.NextTry) {
		return &provider.Error{
			Host: t.Provider, NotSent: true, RetryAfter: doubt.NextTry.Sub(now).Round(time.Second),
			Problem: "is not asked at this moment, because the answer to a refresh of this token was lost at " + doubt.Since.Format(time.RFC3339),
		}
	}
	if singleUse(t.kind) && (!b.tokens.Doubtful(t.name).IsZero() || b.unsaved.doubtful(t.name, now)) {
		return logical.CodedError(http.StatusServiceUnavailable, fmt.Sprintf("token %q is not refreshed now, because storage failed while it was written: "+
			"that write may still arrive, and would put back a value that the refresh has ended. The engine finds out by itself: try again in a few minutes", t.name))
	}
	return nil
}

// refusedLately is the provider's last refusal, for readers that come soon after it: each further request would cost two writes.
func (b *backend) refusedLately(t *token) error {
	last := t.LastVerification
	if !singleUse(t.kind) || t.Health != rotation.HealthRejected || last == nil || last.Outcome != provider.Rejected || b.now().Sub(last.At) >= refusalShown {
		return nil
	}
	return &provider.Refused{Detail: last.Detail}
}

// restoreUnsaved stores what a refresh gave and storage did not take then. The caller holds the token's lock.
func (b *backend) restoreUnsaved(ctx context.Context, storage logical.Storage, t *token) error {
	version, pending := b.unsaved.of(t)
	switch {
	case version != nil:
		t.Restore(version)
	case pending != nil:
		t.RestorePending(pending)
	default:
		b.unsaved.forget(t.name)
		return nil
	}
	return b.saveAnswer(ctx, storage, t, pending != nil)
}

// verifyAndKeep asks the provider about a value of the token, and keeps what that may give in place of a part of it. The caller holds the
// token's lock. An old value that a refresh has ended is not tried: that could end the one that came after it.
func (b *backend) verifyAndKeep(ctx context.Context, storage logical.Storage, a *account, t *token, value provider.Values) (v provider.Verification, err error) {
	ask := func(ctx context.Context, with provider.Token) (rotation.Ending, error) {
		v, err = t.kind.Verify(ctx, a.call, with)
		ending := rotation.EndingOf(err)
		if err == nil && v.Outcome == provider.Rejected {
			ending = rotation.Ending{Refused: true, Err: errors.New(v.Detail)}
		}
		return ending, err
	}
	defer func() { v = readableIdentity(v) }()
	isCurrent := t.Current != nil && maps.Equal(t.Current.Credential, value)
	isPending := t.Pending != nil && maps.Equal(t.Pending.Credential, value)
	switch {
	case t.kind.Refresh == nil:
		return t.kind.Verify(ctx, a.call, t.call(value))
	case isCurrent:
		err = b.withCurrent(ctx, storage, t, ask)
		return v, err
	case isPending:
		err = b.withPending(ctx, storage, t, ask)
		return v, err
	case singleUse(t.kind):
		return provider.Verification{Outcome: provider.Inconclusive, Detail: "an old value of this type is not tried, because each one can be used once"}, nil
	}
	return t.kind.Verify(ctx, a.call, t.call(value))
}

// withPending is withCurrent for the value of the rotation under way, whose tries are the rotation's.
func (b *backend) withPending(ctx context.Context, storage logical.Storage, t *token, call refreshingCall) error {
	ctx = context.WithoutCancel(ctx)
	if err := b.restoreUnsaved(ctx, storage, t); err != nil {
		return err
	}
	return b.follow(ctx, b.refresher(storage, t, true), t, t.Pending.Credential, call)
}

// follow makes a call whose answer can replace a part of the value, and stores how it ended, where that matters for the next one. Its
// error is the call's, with that of storage. A mount that is closed meanwhile waits for an answer that ends the value before.
func (b *backend) follow(ctx context.Context, r *rotation.Refresher, t *token, value provider.Values, call refreshingCall) error {
	if r.PreviousDies {
		defer b.unstored.begin()()
	}
	with := t.call(value)
	with.Keep = r.Keep
	with.Begin = func(ctx context.Context) error {
		err := r.Begin(ctx)
		if err == nil {
			reachPoint(t, pointRefreshAsked)
		}
		return err
	}
	ending, err := call(ctx, with)
	if !r.End(ending) {
		return err
	}
	if unsaved := r.Save(ctx); unsaved != nil {
		return errors.Join(err, unsaved)
	}
	return err
}
