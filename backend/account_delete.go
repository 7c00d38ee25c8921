package backend

import (
	"context"

	"github.com/hashicorp/vault/sdk/logical"
)

// deleteAccount deletes an account that no token uses.
func (b *backend) deleteAccount(ctx context.Context, storage logical.Storage, name string) error {
	unlock, err := b.accountLocks.Lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()

	tokens, err := b.tokensOf(ctx, storage, name)
	if err != nil {
		return err
	}
	if len(tokens) > 0 {
		return badInput("account %q is used by %d token(s), among them %q; delete those first", name, len(tokens), tokens[0].name)
	}
	if err := b.accounts.Delete(ctx, storage, name); err != nil {
		return err
	}
	b.scheduler.ForgetAccount(name)
	b.sendEvent(ctx, eventConfigDelete, configPrefix+name, "account", name)
	return nil
}
