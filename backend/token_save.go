package backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// storageTimeout bounds the write that publishes. It goes on when the caller hangs up, because by then the old value
// may be dead.
const storageTimeout = 30 * time.Second

// saveToken stores the token and tells those who wait for a change. Whoever holds the token's lock calls plan once it
// is done with the token.
func (b *backend) saveToken(ctx context.Context, storage logical.Storage, t *token) error {
	if err := b.beforeWrite(ctx, storage, t); err != nil {
		return err
	}
	if err := b.tokens.Put(ctx, storage, t.name, t.tokenEntry); err != nil {
		return err
	}
	b.changed(t.name)
	t.planRotation()
	return nil
}

// commit stores the token, provided that its account is still the one that the caller worked with: else the
// credential could follow a changed address, or stay behind without an account.
func (b *backend) commit(ctx context.Context, storage logical.Storage, a *account, t *token) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
	defer cancel()
	unlock, err := b.accountLocks.RLock(ctx, t.Account)
	if err != nil {
		return unpublished(err)
	}
	defer unlock()
	if err := b.sameAccount(ctx, storage, a, t); err != nil {
		return unpublished(err)
	}
	if len(t.History) <= 1 {
		release, err := b.checkPlatform(ctx, storage, a.platform)
		if err != nil {
			return unpublished(err)
		}
		defer release()
	}
	// The index comes first: an entry without a token is a harmless leftover, a token without an entry would let its
	// account be deleted.
	if len(t.History) <= 1 {
		if err := storage.Put(ctx, &logical.StorageEntry{Key: accountTokenKey(t)}); err != nil {
			return unpublished(cache.StorageError("adding the token to its account's index", err))
		}
	}
	if err := b.saveToken(ctx, storage, t); err != nil {
		b.lookAgain(t)
		return unknownWhether(whatIsCommitted(t), t.name, err)
	}
	b.plan(a, t)
	return nil
}

// whatIsCommitted is what a write of the token says, where something is published, or about to be.
func whatIsCommitted(t *token) string {
	switch {
	case t.Pending != nil && t.Pending.Source.ByPerson():
		return "the value was stored for its verification"
	case t.Current == nil:
		return "the token was created"
	}
	return fmt.Sprintf("version %d was published", t.Number())
}

// sameAccount fails where the account is not the one that the caller has read, and whose lock the caller holds.
func (b *backend) sameAccount(ctx context.Context, storage logical.Storage, a *account, t *token) error {
	read := b.accounts.Get
	inDoubt := func() bool { return !b.accounts.Doubtful(t.Account).IsZero() }
	if inDoubt() {
		read = b.accounts.Load
	}
	now, err := read(ctx, storage, t.Account)
	switch {
	case err != nil:
		return err
	case now == nil || !reflect.DeepEqual(now.accountEntry, a.accountEntry):
		return accountChanged(t)
	case inDoubt() && t.Number() <= 1 && t.holdsCredential():
		// A token that has had a value keeps the account's addresses as they are. The first value does not find them kept.
		return logical.CodedError(http.StatusServiceUnavailable, fmt.Sprintf("nothing was published, because storage failed while account %q was written, "+
			"and the change may still arrive: the token's first value could go to another address then. The engine finds out by itself: try again in a few minutes", t.Account))
	}
	return nil
}

func accountChanged(t *token) error {
	return logical.CodedError(http.StatusConflict, fmt.Sprintf(
		"account %q was changed or deleted in the meantime, so nothing was published; try again", t.Account))
}

// unpublished is an error before the write that publishes.
func unpublished(err error) error {
	var coded logical.HTTPCodedError
	if errors.Is(err, logical.ErrReadOnly) || errors.As(err, &coded) {
		return err // bare, as Vault wants it, or complete
	}
	return fmt.Errorf("nothing was published, because of a problem before that: %w. Try again", err)
}

// unknownWhether is the error after a storage write that ended with one: the write may have arrived, or arrive later. Only a node
// that may not write is sure that it has written nothing.
func unknownWhether(what, name string, err error) error {
	if errors.Is(err, logical.ErrReadOnly) {
		return err // bare, as Vault wants it
	}
	return fmt.Errorf("it is not known whether %s, because the storage write ended with an error: %w. "+
		"`vault read <mount>/tokens/%s` tells, once storage works again; then try again if need be", what, err, name)
}

var errUnknownOutcome = errors.New("the outcome of a storage write is not known")

// lookAgain has the work of a token done that storage decides, after a write whose outcome is not known.
func (b *backend) lookAgain(t *token) {
	b.retryWork(schedule.Job{Token: t.name, Account: t.Account, Kind: schedule.Rotate}, errUnknownOutcome)
}
