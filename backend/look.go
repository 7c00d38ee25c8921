package backend

import (
	"context"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// lookAtToken reads what storage has of the token, which the cache then has too, and plans its work from that.
func (b *backend) lookAtToken(ctx context.Context, name string) error {
	unlock := b.tokenLocks.TryLock(name)
	if unlock == nil {
		b.scheduler.Hasten(schedule.Job{Token: name, Kind: schedule.Look, At: b.now().Add(retryBusy)})
		return nil
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	before := b.tokens.Peek(name)
	t, err := b.tokens.Load(ctx, b.storage, name)
	if err != nil {
		return err
	}
	if b.tokens.Peek(name) != before {
		b.changed(name) // a write has arrived that had failed
	}
	if t == nil {
		b.dropToken(name)
		return nil
	}
	a, err := b.account(ctx, b.storage, t.Account)
	if err != nil {
		return err
	}
	t.bringForward(a, b.now()) // the account may have lost its hook
	b.plan(a, t)
	return nil
}

// lookAtAccount reads what storage has of the account, which the cache then has too. What its tokens do by themselves may depend
// on that.
func (b *backend) lookAtAccount(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	before := b.accounts.Peek(name)
	if _, err := b.accounts.Load(ctx, b.storage, name); err != nil {
		return err
	}
	again := b.accounts.Doubtful(name)
	b.scheduler.Hasten(schedule.Job{Account: name, Kind: schedule.Look, At: again})
	if again.IsZero() || b.accounts.Peek(name) != before {
		return b.lookAtTokensOf(ctx, b.storage, name)
	}
	return nil
}

// lookAtTokensOf has the work of all tokens of the account planned anew, each from what is stored, under its lock.
func (b *backend) lookAtTokensOf(ctx context.Context, storage logical.Storage, account string) error {
	names, err := b.tokenNamesOf(ctx, storage, account)
	for _, name := range names {
		b.scheduler.Hasten(schedule.Job{Token: name, Kind: schedule.Look, At: b.now()})
	}
	return err
}
