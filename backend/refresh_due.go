package backend

import (
	"context"
	"errors"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// retryRefresh is when to refresh again after the provider gave no useful answer.
const retryRefresh = time.Minute

// refreshRoutinely refreshes a credential that would die of disuse, or whose last refresh had no answer.
func (b *backend) refreshRoutinely(ctx context.Context, j schedule.Job) error {
	t, unlock, err := b.lockTokenWithin(ctx, b.storage, j.Token, recordPatience)
	if _, busy := errors.AsType[*cache.BusyError](err); busy && ctx.Err() == nil {
		b.retryWork(j, err)
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	if t == nil {
		b.dropToken(j.Token)
		return nil
	}
	if t.kind.Refresh != nil {
		if err := b.restoreUnsaved(ctx, b.storage, t); err != nil {
			return err
		}
	}
	if due := t.nextRefresh(); due.IsZero() || due.After(b.now()) {
		a, err := b.account(ctx, b.storage, t.Account)
		if err != nil {
			return err
		}
		b.plan(a, t)
		return nil
	}
	_, err = b.refreshLocked(b.storage, t)
	if refused, ok := errors.AsType[*provider.Refused](err); ok {
		return b.recordRefusal(ctx, t, refused)
	}
	silence, ok := errors.AsType[*provider.Error](err)
	if !ok {
		return err
	}
	b.logError("refreshing a credential", t.name, err)
	if t.Refreshing == nil { // else the next try is planned already
		j.At = b.now().Add(max(retryRefresh, silence.RetryAfter))
		b.scheduler.Plan(j)
	}
	return nil
}

// recordRefusal stores that the provider refuses the current credential, where that is not known yet. The caller holds the token's lock.
func (b *backend) recordRefusal(ctx context.Context, t *token, refused *provider.Refused) error {
	if t.Health == rotation.HealthRejected {
		return nil
	}
	a, err := b.account(ctx, b.storage, t.Account)
	if err != nil {
		return err
	}
	return b.recordLocked(ctx, b.storage, a, t, &observation{
		Verification: provider.Verification{Outcome: provider.Rejected, Detail: refused.Detail, Code: refused.Code}, at: b.now(),
	})
}
