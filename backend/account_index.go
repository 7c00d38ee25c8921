package backend

import (
	"context"
	"fmt"
	"net/http"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
)

func accountTokenKey(t *token) string {
	return accountTokenPrefix + t.Account + "/" + t.name
}

// tokensOf reads the tokens that use the account, for a request that changes it. It is an error if whether there is one of
// them is not known.
func (b *backend) tokensOf(ctx context.Context, storage logical.Storage, accountName string) ([]*token, error) {
	names, err := b.tokenNamesOf(ctx, storage, accountName)
	if err != nil {
		return nil, err
	}
	var tokens []*token
	for _, name := range names {
		t, err := b.tokens.Get(ctx, storage, name)
		switch {
		case err != nil:
			return nil, err
		case t == nil && !b.tokens.Doubtful(name).IsZero():
			return nil, logical.CodedError(http.StatusConflict, fmt.Sprintf("whether token %q exists is not known yet, because storage failed "+
				"while it was written; nothing was changed. The engine finds out by itself: try again in a few minutes", name))
		// The index entry of a token whose creation did not finish, or that was created anew elsewhere, is a leftover.
		case t != nil && t.Account == accountName:
			tokens = append(tokens, t)
		}
	}
	return tokens, nil
}

// tokenNamesOf lists the tokens that may use the account. All tokens are in memory soon after a start; an index entry that
// one of them lacks, because storage has lost it, is put back.
func (b *backend) tokenNamesOf(ctx context.Context, storage logical.Storage, accountName string) ([]string, error) {
	names, err := storage.List(ctx, accountTokenPrefix+accountName+"/")
	if err != nil {
		return nil, fmt.Errorf("listing the tokens of account %q: %w", accountName, err)
	}
	indexed := map[string]bool{}
	for _, name := range names {
		indexed[name] = true
	}
	for _, t := range b.tokens.All() {
		if t.Account != accountName || indexed[t.name] {
			continue
		}
		if err := storage.Put(ctx, &logical.StorageEntry{Key: accountTokenKey(t)}); err != nil {
			return nil, cache.StorageError("adding a token to its account's index", err)
		}
		names = append(names, t.name)
	}
	return names, nil
}
