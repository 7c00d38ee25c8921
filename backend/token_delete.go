package backend

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

const (
	deletedAtProvider = "the credential lives on at the provider; reset, revoke or delete it there if nobody is to use it any more"
)

// deleteToken deletes a token, once the provider has ended what it still had to retire. force deletes it all the same.
func (b *backend) deleteToken(ctx context.Context, storage logical.Storage, name string, force bool) (*logical.Response, error) {
	release := b.precedence.claim(name)
	defer release()
	unlock, err := b.tokenLocks.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	response := &logical.Response{}
	t, err := b.tokens.Load(ctx, storage, name)
	switch {
	case err != nil && force:
		response.AddWarning("the token was deleted without looking at it, because " + err.Error() + ". What it had made at the provider lives on there")
		if err := b.forgetToken(ctx, storage, name); err != nil {
			return nil, err
		}
		return response, nil
	case err != nil:
		return nil, fmt.Errorf("%w; force=true deletes it all the same", err)
	case t == nil:
		return nil, nil
	}
	if err := b.retireAll(ctx, storage, force, t, response); err != nil {
		return nil, err
	}
	if err := b.nameWhatIsLeft(ctx, storage, t, response); err != nil {
		return nil, err
	}
	if err := b.forgetToken(ctx, storage, name); err != nil {
		return nil, err
	}
	// The token is gone, so nothing is an error from here on.
	if err := storage.Delete(ctx, accountTokenKey(t)); err != nil {
		response.AddWarning(fmt.Sprintf("the token is deleted; its entry in the index of account %q may be left, which harms nothing: %s", t.Account, err))
	}
	b.sendTokenEvent(ctx, eventTokenDelete, t, "type", t.Type)
	return response, nil
}

// forgetToken deletes the token's entry, and what the engine has in memory and plans for it.
func (b *backend) forgetToken(ctx context.Context, storage logical.Storage, name string) error {
	if err := b.tokens.Delete(ctx, storage, name); err != nil {
		return unknownWhether("the token was deleted", name, err)
	}
	b.scheduler.Forget(name)
	b.access.delete(name)
	b.changed(name)
	b.forgetReaders(ctx, storage, name)
	return nil
}

// dropToken forgets what the engine has in memory and plans for a token that is not stored. The caller holds the token's lock.
func (b *backend) dropToken(name string) {
	b.scheduler.Forget(name)
	b.access.delete(name)
	b.changed(name)
	// The write that failed may have been the first one of the token.
	b.scheduler.Hasten(schedule.Job{Token: name, Kind: schedule.Look, At: b.tokens.Doubtful(name)})
}

// retireAll retires what the token still has to retire, before it is forgotten. force forgets it all the same.
func (b *backend) retireAll(ctx context.Context, storage logical.Storage, force bool, t *token, response *logical.Response) error {
	if t.Pending != nil && t.Pending.Source == rotation.SourceIAM {
		t.Supersede(b.now())
	}
	if len(t.Retiring) == 0 && len(t.Searches) == 0 {
		return nil
	}
	a, err := b.account(ctx, storage, t.Account)
	if err == nil {
		err = b.machine(storage, a, t).RetireNow(ctx, &t.Record)
	}
	sought, left := t.StillSought(), ""
	if err != nil && (sought == "" || len(t.Retiring) > 0) {
		left = err.Error()
	}
	for _, kept := range t.Kept() {
		response.AddWarning(kept)
	}
	switch {
	case left == "" && sought == "":
		return nil
	case !force:
		b.lookAgain(t)
		return notDeleted(left, sought)
	}
	if left != "" {
		response.AddWarning("an old value may live on at the provider and is forgotten now: " + left)
	}
	if sought != "" {
		response.AddWarning("the search for a lost key is given up: " + sought + ". Look for a key at the provider that nobody knows, and delete it there")
	}
	return nil
}

// notDeleted says what keeps a token from being deleted: an old value that is left, or a lost key that is still sought.
func notDeleted(left, sought string) error {
	if left == "" {
		return logical.CodedError(http.StatusBadGateway, "the token was not deleted, because "+sought+
			"; try again then, or give the search up with force=true")
	}
	return logical.CodedError(http.StatusBadGateway, "the token was not deleted, because an old value could not be retired: "+left+
		"; try again, or forget the old value with force=true")
}

// mayStillReplace warns of a value that was asked for and that nobody will take.
func mayStillReplace(p *rotation.Pending) string {
	asked := p.RequestedAt.UTC().Format(time.RFC3339)
	if p.Source == rotation.SourceAPI {
		return fmt.Sprintf("the provider's API was asked for a new value at %s and may have made one, which nobody has; look for it at the provider", asked)
	}
	return fmt.Sprintf("the account's reset hook was asked for a reset at %s and may still perform it; nobody will take its value. Stop it there", asked)
}

// nameWhatIsLeft warns of what lives on at the provider when the token is deleted.
func (b *backend) nameWhatIsLeft(ctx context.Context, storage logical.Storage, t *token, response *logical.Response) error {
	for p := t.Pending; p != nil; p = p.Replaces {
		if p.Credential == nil {
			if p.MayHaveAsked() {
				response.AddWarning(mayStillReplace(p))
			}
			continue
		}
		fingerprint, err := b.fingerprint(ctx, storage, p.Credential)
		if err != nil {
			return err
		}
		response.AddWarning(fmt.Sprintf("the value that %s gave at %s (fingerprint %s) was never published and is forgotten; it may be live at the provider",
			p.Source.Giver(), p.ReceivedAt.UTC().Format(time.RFC3339), fingerprint))
	}
	if t.Current != nil {
		response.AddWarning(fmt.Sprintf("version %d (fingerprint %s): %s", t.Number(), t.fingerprint(), deletedAtProvider))
	}
	return nil
}
