package backend

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
)

// policyPatience is how long a change of a policy waits for the engine's own work on the token before it interrupts that.
const policyPatience = 2 * time.Second

// changePolicy stores a change of how a token is treated. known is the token as the request found it.
func (b *backend) changePolicy(ctx context.Context, storage logical.Storage, known *token, w *policyWrite) (*logical.Response, error) {
	t, unlock, err := b.lockTokenWithin(ctx, storage, known.name, policyPatience)
	if _, busy := errors.AsType[*cache.BusyError](err); busy {
		// Whoever works on the token is interrupted only then: it may be about to make a key.
		release := b.precedence.claim(known.name)
		defer release()
		t, unlock, err = b.lockToken(ctx, storage, known.name)
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := sameToken(t, known); err != nil {
		return nil, err
	}
	t.applyPolicy(w, b.now())
	if err := t.checkOptions(); err != nil {
		return nil, err
	}
	if err := b.checkMetadataShown(w.customMetadata); err != nil {
		return nil, err
	}
	a, err := b.account(ctx, storage, t.Account)
	if err != nil {
		return nil, err
	}
	release, err := b.checkPlatform(ctx, storage, a.platform)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := b.saveToken(ctx, storage, t); err != nil {
		return nil, err
	}
	b.plan(a, t)
	b.sendTokenEvent(ctx, eventTokenWrite, t, "type", t.Type)
	response := &logical.Response{}
	(&writtenPolicy{policyWrite: w, token: t, account: a}).warn(response)
	return response, nil
}
