package backend

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// observation is what the provider said about a version.
type observation struct {
	provider.Verification
	// silent means that there was no useful answer, which says nothing about the credential.
	silent bool
	at     time.Time
	// recorded means that the version is the current one, and that its record has the answer.
	recorded bool
}

// verifyCurrent asks the provider about the token's credential, and stores the answer if that is still the current one. With a
// *cache.BusyError there is an answer, which could not be stored.
func (b *backend) verifyCurrent(ctx context.Context, storage logical.Storage, a *account, t *token) (*observation, error) {
	if t.kind.Refresh != nil {
		return b.verifyByRefresh(ctx, storage, t)
	}
	v, silent, err := observe(ctx, a, t)
	if err != nil {
		return nil, err
	}
	o := &observation{Verification: readableIdentity(v), silent: silent, at: b.now()}
	return o, b.recordObservation(ctx, storage, t, o)
}

// verifyByRefresh is verifyCurrent for a type whose refresh may replace a part of the credential: the provider is asked under the
// token's lock. With a *cache.BusyError it was not asked.
func (b *backend) verifyByRefresh(ctx context.Context, storage logical.Storage, asked *token) (*observation, error) {
	o := &observation{silent: true, at: b.now(), Verification: provider.Verification{
		Outcome: provider.Inconclusive, Detail: "the provider was not asked, because other work on the token is under way",
	}}
	t, unlock, err := b.lockTokenWithin(ctx, storage, asked.name, recordPatience)
	if err != nil {
		return o, err
	}
	defer unlock()
	if t == nil || !t.sameVersion(asked) {
		return o, nil
	}
	a, err := b.account(ctx, storage, t.Account)
	if err != nil {
		return nil, err
	}
	v, err := b.verifyAndKeep(ctx, storage, a, t, t.Current.Credential)
	b.access.delete(t.name) // the one before may have ended with the refresh
	if o.Verification, o.silent, err = interpret(v, err); err != nil {
		return nil, err
	}
	o.at = b.now()
	return o, b.recordLocked(ctx, storage, a, t, o)
}

// observe asks the provider about the current credential. Silent means that there was no useful answer, which says
// nothing about the credential.
func observe(ctx context.Context, a *account, t *token) (v provider.Verification, silent bool, err error) {
	return interpret(t.kind.Verify(ctx, a.call, t.call(t.Current.Credential)))
}

// interpret says what a verification found.
func interpret(v provider.Verification, err error) (_ provider.Verification, silent bool, _ error) {
	var silence *provider.Error
	if !errors.As(err, &silence) {
		return v, false, err
	}
	return provider.Verification{
		Outcome: provider.Inconclusive, Detail: silence.Error(), Code: silence.Code, RequestID: silence.RequestID,
	}, true, nil
}

// recordObservation stores what the provider said, unless the token was rotated or deleted while it was asked. A credential that
// is found rejected, and was not before, is an event. A *cache.BusyError means that somebody else works on the token for long.
func (b *backend) recordObservation(ctx context.Context, storage logical.Storage, asked *token, o *observation) error {
	t, unlock, err := b.lockTokenWithin(ctx, storage, asked.name, recordPatience)
	if err != nil {
		return err
	}
	defer unlock()
	if t == nil || !t.sameVersion(asked) {
		return nil
	}
	a, err := b.account(ctx, storage, t.Account)
	if err != nil {
		return err
	}
	return b.recordLocked(ctx, storage, a, t, o)
}

// recordLocked stores what the provider said of the current version. The caller holds the token's lock.
func (b *backend) recordLocked(ctx context.Context, storage logical.Storage, a *account, t *token, o *observation) error {
	before, asked := t.Health, t.lastAsked()
	if o.silent {
		t.ObserveSilence(o.Detail, o.at)
	} else {
		t.Observe(o.Verification, o.at)
	}
	found := t.Health == rotation.HealthRejected && before != rotation.HealthRejected
	if found {
		b.tellAhead(ctx, eventVerifyFail, t, asked)
	}
	if err := b.saveToken(ctx, storage, t); err != nil {
		return err
	}
	o.recorded = true
	b.plan(a, t)
	b.tellIdentity(ctx, t)
	if found {
		b.sendTokenEvent(ctx, eventVerifyFail, t, "fingerprint", t.fingerprint())
	}
	return nil
}

// lastAsked is when the provider was asked before; empty where it was not.
func (t *token) lastAsked() string {
	if t.LastVerification == nil {
		return ""
	}
	return t.LastVerification.At.Format(time.RFC3339Nano)
}

// recordPatience is how long an answer of the provider waits for the token's lock, which a rotation can hold for as long as a reset
// hook takes.
const recordPatience = 5 * time.Second
