package backend

import (
	"context"
	"net/http"

	"github.com/hashicorp/vault/sdk/logical"
)

// acceptKept has the rotation go on whose value is kept because it is somebody else's, and waits for its end. known is the token as the
// request found it.
func (b *backend) acceptKept(ctx context.Context, storage logical.Storage, known *token, r *rotateRequest) (*logical.Response, error) {
	if !r.verify {
		return nil, badInput("verify=false is for values that a person hands in; what the engine has got by itself is always verified")
	}
	started, err := b.storeAcceptance(ctx, storage, known, r)
	if err != nil {
		return nil, err
	}
	return b.awaitRotation(ctx, storage, started)
}

// storeAcceptance stores that a person wants the kept value, and lets the work on it begin.
func (b *backend) storeAcceptance(ctx context.Context, storage logical.Storage, known *token, r *rotateRequest) (*startedRotation, error) {
	giveBack := b.precedence.claim(known.name)
	defer giveBack()
	t, unlock, err := b.lockToken(ctx, storage, known.name)
	if err != nil {
		return nil, err
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
	if err := r.checkVersion(t); err != nil {
		return nil, err
	}
	if !t.holdsForeign() {
		return nil, logical.CodedError(http.StatusConflict, "the value that was kept because of its identity is gone or published by now; "+
			"`vault read <mount>/tokens/"+t.name+"` tells what is current")
	}
	a, err := b.account(ctx, storage, t.Account)
	if err != nil {
		return nil, err
	}
	if err := b.checkReason(r.reason, t.kind, t.Pending.Credential); err != nil {
		return nil, err
	}
	p := t.Pending
	p.AcceptOther, p.OtherIdentity, p.NextAttempt, p.Rejections, p.Attempts = true, "", b.now().UTC(), 0, 1
	p.EntityID, p.DisplayName, p.RequestID = r.by.entityID, r.by.displayName, r.by.requestID
	if r.reason != "" {
		p.Reason = r.reason
	}
	if err := b.saveToken(ctx, storage, t); err != nil {
		b.lookAgain(t)
		return nil, unknownWhether("the kept value was accepted", t.name, err)
	}
	started := &startedRotation{id: p.ID, name: t.name, tokenID: t.ID, replaces: t.Current} // from here on the token is the work's
	keepLock = true
	giveBack()                                     // else the work would give way to this request
	b.goOn(b.machine(storage, a, t), a, t, unlock) //nolint:contextcheck // it goes on when the request is over
	return started, nil
}
