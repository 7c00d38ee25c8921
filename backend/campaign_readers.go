package backend

import (
	"context"

	"github.com/hashicorp/vault/sdk/logical"
)

// keepReadBy keeps the tokens that somebody, by entity ID or display name, has read as far as the engine knows; all where nobody is named.
func (b *backend) keepReadBy(ctx context.Context, storage logical.Storage, who string, tokens []*token) ([]*token, error) {
	if who == "" {
		return tokens, nil
	}
	var read []*token
	for _, t := range tokens {
		is, err := b.readBy(ctx, storage, t.name, who)
		if err != nil {
			return nil, err
		}
		if is {
			read = append(read, t)
		}
	}
	return read, nil
}
