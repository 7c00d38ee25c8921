package backend

import (
	"context"
	"errors"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
)

// verifyNow asks the provider about the token's current credential, and stores the answer. An answer that is not recorded could not be
// stored, because a rotation holds the token for long.
func (b *backend) verifyNow(ctx context.Context, storage logical.Storage, name string) (*token, *observation, error) {
	for range maxVerifyTries {
		t, a, err := b.storedPair(ctx, storage, name)
		switch {
		case err != nil:
			return nil, nil, err
		case t == nil:
			return nil, nil, unknownToken(name)
		case t.Current == nil:
			return nil, nil, noCredential(t)
		}
		o, err := b.verifyCurrent(ctx, storage, a, t)
		_, busy := errors.AsType[*cache.BusyError](err)
		switch {
		case err != nil && (!busy || ctx.Err() != nil):
			return nil, nil, err
		case busy, o.recorded:
			return t, o, nil
		}
		// The answer is not about the current version any more.
	}
	return nil, nil, errKeepsChanging(name)
}
