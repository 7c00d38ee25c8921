package backend

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// rotateAutomatically starts a rotation by hand and waits for its end, or for rotateWait. known is the token as the request found
// it.
func (b *backend) rotateAutomatically(ctx context.Context, storage logical.Storage, known *token, r *rotateRequest) (*logical.Response, error) {
	if !r.verify {
		return nil, badInput("verify=false is for values that a person hands in; what the engine gets by itself is always verified")
	}
	// Before the lock, which a rotation under way may hold for long.
	if err := r.mayStart(known); err != nil {
		return nil, err
	}
	started, err := b.startByHand(ctx, storage, known, r)
	if err != nil {
		return nil, err
	}
	return b.awaitRotation(ctx, storage, started)
}

// awaitRotation waits for the end of a rotation, or for rotateWait, and says how it ended.
func (b *backend) awaitRotation(ctx context.Context, storage logical.Storage, started *startedRotation) (*logical.Response, error) {
	deadline := time.NewTimer(rotateWait)
	defer deadline.Stop()
	next, stop := b.watch(started.name)
	defer stop()
	for {
		changed := next()
		t, err := b.tokens.Get(ctx, storage, started.name)
		switch {
		case err != nil:
			return nil, fmt.Errorf("the rotation has begun and goes on by itself; how far it is cannot be told: %w. "+
				"`vault read <mount>/tokens/%s` tells, once that is over", err, started.name)
		case !started.concerns(t):
			return nil, started.tokenIsGone(t)
		case t.Pending == nil || t.Pending.ID != started.id:
			return b.rotatedResponse(ctx, storage, t, started)
		case t.holdsForeign():
			return keptResponse(t), nil
		}
		select {
		case <-changed:
		case <-deadline.C:
			return underWayResponse(t), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// mayStart says whether an automatic rotation of the token may begin.
func (r *rotateRequest) mayStart(t *token) error {
	if err := r.checkVersion(t); err != nil {
		return err
	}
	return underWay(t)
}

// startByHand stores the intent and lets the work begin. A value that a person hands in meanwhile comes first.
func (b *backend) startByHand(ctx context.Context, storage logical.Storage, known *token, r *rotateRequest) (*startedRotation, error) {
	name := known.name
	ctx, done := b.precedence.giveWay(ctx, name)
	defer done()
	t, unlock, err := b.lockToken(ctx, storage, name)
	if err != nil {
		return nil, unlessGaveWay(ctx, err)
	}
	keepLock := false
	defer func() {
		if !keepLock {
			unlock()
		}
	}()
	if err := sameToken(t, known); err != nil {
		return nil, err
	}
	if err := r.mayStart(t); err != nil {
		return nil, err
	}
	a, err := b.account(ctx, storage, t.Account)
	if err != nil {
		return nil, unlessGaveWay(ctx, err)
	}
	if err := b.checkReason(r.reason, t.kind, nil); err != nil {
		return nil, err
	}
	from := source(a, t)
	if from == "" {
		return nil, needsPerson(a, t)
	}
	intent, err := newRotation(from, r.reason)
	if err != nil {
		return nil, err
	}
	intent.EntityID, intent.DisplayName, intent.RequestID, intent.AcceptOther = r.by.entityID, r.by.displayName, r.by.requestID, r.acceptOther
	started := &startedRotation{id: intent.ID, name: name, tokenID: t.ID, replaces: t.Current}
	m := b.machine(storage, a, t)
	if err := b.storeIntent(ctx, storage, m, a, t, intent); err != nil {
		return nil, err
	}
	keepLock = true
	b.goOn(m, a, t, unlock) //nolint:contextcheck // it goes on when the request is over
	return started, nil
}

// storeIntent starts the rotation. Once its intent is stored, the account's addresses stay as they are, so that is done while the
// account is still the one that the value is going to be sent to. Where the intent could not be stored, it may have been all the
// same: then the work on the token finds it.
func (b *backend) storeIntent(ctx context.Context, storage logical.Storage, m *rotation.Machine, a *account, t *token, intent rotation.Pending) error {
	held := t.holdsCredential()
	save, saved := m.Save, error(nil)
	m.Save = func(ctx context.Context, r *rotation.Record) error {
		if !held {
			unlock, err := b.accountLocks.RLock(ctx, t.Account)
			if err != nil {
				return err
			}
			defer unlock()
			if err := b.sameAccount(ctx, storage, a, t); err != nil {
				return err
			}
		}
		saved = save(ctx, r)
		return saved
	}
	err := m.Start(ctx, &t.Record, intent)
	m.Save = save
	switch {
	case err == nil:
		return nil
	case saved == nil:
		return unlessGaveWay(ctx, fmt.Errorf("nothing was changed: %w", err))
	}
	b.lookAgain(t)
	return unknownWhether("the rotation was started", t.name, saved)
}

// goOn takes the due steps of a rotation by hand in the background, where the caller's hold on the token goes.
func (b *backend) goOn(m *rotation.Machine, a *account, t *token, unlock func()) {
	ctx, done := b.precedence.giveWay(b.work, t.name)
	go func() {
		defer unlock()
		defer done()
		b.advance(ctx, m, a, t)
	}()
}

// advance takes the due steps of a rotation by hand, and plans the next ones.
func (b *backend) advance(ctx context.Context, m *rotation.Machine, a *account, t *token) {
	job := schedule.Job{Token: t.name, Account: t.Account, Kind: schedule.Rotate}
	defer b.recoverWork("rotating a token", job)
	err := m.Advance(ctx, &t.Record)
	switch {
	case err == nil:
		b.plan(a, t)
	case gaveWay(ctx):
		b.retryWork(job, errGaveWay)
	default:
		b.logError("rotating a token", t.name, err)
		b.retryWork(job, err)
	}
}

// unlessGaveWay says why a request for an automatic rotation was interrupted.
func unlessGaveWay(ctx context.Context, err error) error {
	if !gaveWay(ctx) {
		return err
	}
	return logical.CodedError(http.StatusConflict, "somebody hands in a value for this token, ends an old one, changes its policy, or deletes it at this moment, "+
		"which comes first: no rotation was started by this request. See what has become of it, and try again if need be")
}

// needsPerson says what to hand in for a token that the engine cannot rotate by itself.
func needsPerson(a *account, t *token) error {
	return badInput("a person has to reset a %s: get the new value at %s, then hand it in with %s; %s tells each step",
		t.Type, cmp.Or(t.kind.Runbook(a.call.Settings).ConsoleURL, "the provider's console"), t.handInCommand(), readRunbook(t.name))
}

// underWay refuses a second automatic rotation beside one that needs nothing but patience.
func underWay(t *token) error {
	p := t.Pending
	if p == nil || p.Restartable() {
		return nil
	}
	message := fmt.Sprintf("a rotation of this token is under way (%s, since %s)", t.State(), p.RequestedAt.Format(time.RFC3339))
	if t.LastError != "" {
		message += ", and goes on by itself after a problem: " + t.LastError
	}
	return logical.CodedError(http.StatusConflict, message+
		". A value that you have in hand comes first: "+t.handInCommand())
}
