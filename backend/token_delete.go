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

// forgetToken deletes the token's entry, and what the engine has in memory and plans for it.
func (b *backend) forgetToken(ctx context.Context, req *logical.Request, name string) error {
	if err := b.tokens.Delete(ctx, req.Storage, name); err != nil {
		return unknownWhether(req, "the token was deleted", name, err)
	}
	b.scheduler.Forget(name)
	b.access.delete(name)
	b.changed(name)
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
func (b *backend) retireAll(ctx context.Context, req *logical.Request, force bool, t *token, response *logical.Response) error {
	if t.Pending != nil && t.Pending.Source == rotation.SourceIAM {
		t.Supersede(b.now())
	}
	if len(t.Retiring) == 0 && len(t.Searches) == 0 {
		return nil
	}
	a, err := b.account(ctx, req.Storage, t.Account)
	if err == nil {
		err = b.machine(req.Storage, a, t).RetireNow(ctx, &t.Record)
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

// nameWhatIsLeft warns of what lives on at the provider when the token is deleted.
func (b *backend) nameWhatIsLeft(ctx context.Context, req *logical.Request, t *token, response *logical.Response) error {
	for p := t.Pending; p != nil; p = p.Replaces {
		if p.Credential == nil {
			response.AddWarning(fmt.Sprintf("the account's reset hook was asked for a reset at %s and may still perform it; nobody will take its value. Stop it there",
				p.RequestedAt.UTC().Format(time.RFC3339)))
			continue
		}
		fingerprint, err := b.fingerprint(ctx, req.Storage, p.Credential)
		if err != nil {
			return err
		}
		response.AddWarning(fmt.Sprintf("the value that the reset hook gave at %s (fingerprint %s) was never published and is forgotten; it may be live at the provider",
			p.ReceivedAt.UTC().Format(time.RFC3339), fingerprint))
	}
	if t.Current != nil {
		response.AddWarning(fmt.Sprintf("version %d (fingerprint %s): %s", t.Number(), t.fingerprint(), deletedAtProvider))
	}
	return nil
}
