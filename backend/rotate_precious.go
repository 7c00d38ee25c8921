package backend

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// precious says whether nobody has a second copy of the value once it was tried: its verification uses it up, or a consent gave it.
func (in handedIn) precious() bool {
	return singleUse(in.token.kind) || in.source == rotation.SourceConsent
}

// keepInCandidate takes what comes back with the verification of a value that lives on. It is published with the rest.
func (b *backend) keepInCandidate(storage logical.Storage, c *rotation.Candidate) func(context.Context, provider.Refreshed) error {
	return func(ctx context.Context, answer provider.Refreshed) error {
		c.ExpiresAt = answer.ExpiresAt
		if answer.Values == nil {
			return nil
		}
		fresh := maps.Clone(c.Credential)
		maps.Copy(fresh, answer.Values)
		fingerprint, err := b.fingerprint(ctx, storage, fresh)
		if err != nil {
			return err
		}
		c.HandedInAs, c.Credential, c.Fingerprint = c.Fingerprint, fresh, fingerprint
		return nil
	}
}

// provePrecious is prove for a precious value: it is stored as the token's rotation before the provider is asked, and so is what comes back
// in its place. A crash in between leaves a rotation that goes on by itself.
func (b *backend) provePrecious(ctx context.Context, storage logical.Storage, in handedIn, c *rotation.Candidate) (provider.Verification, error) {
	t, before, now := in.token, in.token.Pending, b.now().UTC()
	isNew := t.Current == nil && len(t.History) == 0 && in.source == rotation.SourceImport
	t.Pending = &rotation.Pending{
		ID: c.RotationID, Source: c.Source, Reason: c.Reason, EntityID: c.EntityID, DisplayName: c.DisplayName, RequestID: c.RequestID,
		RequestedAt: now, AttemptedAt: now,
		Credential: c.Credential, ReceivedAt: now, Attempts: 1, NextAttempt: now, HandedInAs: c.Fingerprint, AcceptOther: in.acceptOther, Replaces: before,
	}
	if err := b.commitPrecious(ctx, storage, in); err != nil {
		return provider.Verification{}, err
	}
	reachPoint(t, pointValueTried)
	v, err := b.verifyAndKeep(ctx, storage, in.account, t, c.Credential)
	lost := t.Pending.Refreshing != nil
	if err == nil && v.Outcome != provider.Rejected && !in.foreign(v) {
		err = b.takePrecious(ctx, storage, t, c)
		t.Pending = before
		return v, err
	}
	if err != nil && (lost || in.source == rotation.SourceConsent || t.Pending.Credential[t.secretField()] != c.Credential[t.secretField()]) {
		return v, b.leavePending(in.account, t, err)
	}
	usedUp := singleUse(t.kind) && !maps.Equal(t.Pending.Credential, c.Credential)
	if undone := b.undoPending(ctx, storage, in.account, t, before, isNew); undone != nil {
		return v, undone
	}
	refusal := b.explainTrial(in, c, v, err)
	if usedUp {
		refusal = badInput("%s. The provider has refreshed it before that, so the value is used up: another try needs a new consent", refusal)
	}
	return v, refusal
}

// commitPrecious is commit, which is tried for as long as such a write may take where a person has not seen the value.
func (b *backend) commitPrecious(ctx context.Context, storage logical.Storage, in handedIn) error {
	commit := func() error { return b.commit(ctx, storage, in.account, in.token) }
	if in.source != rotation.SourceConsent {
		return commit()
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
	defer cancel()
	return saveAgain(patience, commit)
}

// takePrecious makes a candidate of what the verification has left.
func (b *backend) takePrecious(ctx context.Context, storage logical.Storage, t *token, c *rotation.Candidate) (err error) {
	c.HandedInAs, c.Credential, c.ExpiresAt = c.Fingerprint, t.Pending.Credential, t.Pending.ExpiresAt
	c.Fingerprint, err = b.fingerprint(ctx, storage, c.Credential)
	return err
}

// leavePending has the rotation of a precious value go on by itself, and tells the person.
func (b *backend) leavePending(a *account, t *token, cause error) error {
	t.Pending.NextAttempt = b.now().Add(time.Second)
	b.plan(a, t)
	return logical.CodedError(silenceStatus(cause), fmt.Sprintf("whether the provider takes the value is not known yet, and trying it may have used it up: %s. The value is stored, "+
		"unpublished, and the engine goes on to try it by itself: `vault read <mount>/tokens/%s` tells how that ends (rotation_state, last_error). Do not hand it in again", cause, t.name))
}

// undoPending puts things back as they were before a precious value came. A token that was made for it is deleted.
func (b *backend) undoPending(ctx context.Context, storage logical.Storage, a *account, t *token, before *rotation.Pending, isNew bool) error {
	t.Pending = before
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
	defer cancel()
	if isNew {
		return b.forgetToken(ctx, storage, t.name)
	}
	if err := b.saveToken(ctx, storage, t); err != nil {
		b.lookAgain(t)
		return unknownWhether("the value that the provider does not take was forgotten", t.name, err)
	}
	b.plan(a, t)
	return nil
}
