package backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

const (
	contactEmailMissing = "contact_email is not set: the provider announces API changes, policy problems and leaked tokens by e-mail; " +
		"set a team's address that the provider has on file: its API contact, and an owner or editor of the cloud project where it writes to those"
)

// maxAccountTries is how often a write of an account begins again because another write came between.
const maxAccountTries = 4

// writeAccount tries the account's own credentials, where it has any, and stores it.
func (b *backend) writeAccount(ctx context.Context, storage logical.Storage, w *accountWrite) (*logical.Response, error) {
	var tried *account
	for range maxAccountTries {
		response := &logical.Response{}
		next, done, err := b.storeAccount(ctx, storage, w, tried, response)
		if next != nil {
			defer next.hangUp()
		}
		if err != nil {
			return nil, err
		}
		if done {
			b.sendEvent(ctx, eventConfigWrite, configPrefix+w.name, "account", w.name)
			return response, nil
		}
		// No lock is held while the provider is asked.
		if tried, err = next, verifyConnection(ctx, next); err != nil {
			return nil, err
		}
	}
	return nil, logical.CodedError(http.StatusConflict, fmt.Sprintf(
		"nothing was changed, because others changed account %q each time while its credentials were tried; read it, and try again", w.name))
}

// storeAccount makes the account of what is stored and what the write gives, and stores that. Where its credentials have to be tried
// before, and are not those of tried, it is returned without being stored.
func (b *backend) storeAccount(
	ctx context.Context, storage logical.Storage, w *accountWrite, tried *account, response *logical.Response,
) (next *account, done bool, err error) {
	name := w.name
	unlock, err := b.accountLocks.Lock(ctx, name)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	stored, err := b.accounts.Load(ctx, storage, name)
	if err != nil {
		return nil, false, err
	}
	if next, err = b.nextAccount(ctx, storage, w, stored); err != nil {
		return nil, false, err
	}
	if err := b.checkAccountShown(w, next); err != nil {
		return next, false, err
	}
	if stored != nil {
		if err := b.checkEndpoints(ctx, storage, w, stored, next); err != nil {
			return next, false, err
		}
	}
	if next.VerifyConnection && next.connectsOtherwiseThan(stored) {
		if next.connectsOtherwiseThan(tried) {
			return next, false, nil
		}
		next.doubtful = tried.doubtful
	}
	if err := b.putAccount(ctx, storage, name, stored, next); err != nil {
		return next, false, err
	}
	if next.doubtful != "" {
		response.AddWarning(next.doubtful)
	}
	warnUnverified(next.platform, response)
	// Whether the tokens rotate by themselves may have changed. The account is stored, so from here on nothing is an error.
	if err := b.lookAtTokensOf(ctx, storage, name); err != nil {
		b.scheduler.Hasten(schedule.Job{Account: name, Kind: schedule.Look, At: b.now().Add(retryStorage)})
		response.AddWarning(fmt.Sprintf("the account is changed, and the engine goes by it; the work of its tokens is planned anew "+
			"once storage answers: %s", err))
	}
	b.warnSharedIdentity(ctx, storage, name, next, response)
	if next.Settings["contact_email"] == "" {
		response.AddWarning(contactEmailMissing)
	}
	return next, true, nil
}

// putAccount stores an account, unless its provider's definition has changed, or a token works on a value that is to be its identity.
func (b *backend) putAccount(ctx context.Context, storage logical.Storage, name string, stored, next *account) error {
	release, err := b.lockOwnIdentity(name, stored, next)
	if err != nil {
		return err
	}
	defer release()
	unlock, err := b.checkPlatform(ctx, storage, next.platform)
	if err != nil {
		return err
	}
	defer unlock()
	return b.accounts.Put(ctx, storage, name, next.accountEntry)
}

// nextAccount is what a write makes of the stored account (nil for a new one), checked.
func (b *backend) nextAccount(ctx context.Context, storage logical.Storage, w *accountWrite, stored *account) (*account, error) {
	p, err := b.findPlatform(ctx, storage, w.provider, stored)
	if err != nil {
		return nil, err
	}
	if p.Name != w.platform.Name {
		return nil, logical.CodedError(http.StatusConflict, fmt.Sprintf(
			"account %q was deleted and configured anew for another provider while this request waited; nothing was changed", w.name))
	}
	entry := accountEntry{
		Schema: accountSchema, KeepsEndpoints: true, Provider: p.Name, RequestTimeout: defaultRequestTimeout, ResetHookTimeout: defaultHookTimeout, VerifyConnection: true,
	}
	if stored != nil {
		entry = stored.accountEntry
	}
	next, err := b.newAccount(p, entry.apply(w, accountFields(p)))
	if err != nil {
		return nil, badInput("%s", err)
	}
	if p.CheckAccount != nil {
		if err := p.CheckAccount(next.call.Settings); err != nil {
			return nil, badInput("%s", err)
		}
	}
	return next, checkHook(next.Settings)
}

// checkEndpoints keeps secrets from following a changed address: see configHelpLong. Google's login_customer_id and api_version are
// no endpoints: they decide what is asked there, in a header or a part of the path of the same host, and the credential decides
// whether it may. A wrong one is refused by Google as a mistake of the request, and takes nothing from the credential.
func (b *backend) checkEndpoints(ctx context.Context, storage logical.Storage, w *accountWrite, stored, next *account) error {
	fields := accountFields(stored.platform)
	changed := stored.changedEndpoints(&next.accountEntry, fields)
	if len(changed) == 0 {
		return nil
	}
	if missing := w.secretsLeftOut(stored, fields); len(missing) > 0 {
		return badInput("%s can change only together with the account's secrets: give %s in the same write",
			strings.Join(changed, ", "), strings.Join(missing, ", "))
	}
	tokens, err := b.tokensOf(ctx, storage, w.name)
	if err != nil {
		return err
	}
	// No credential follows to a reset hook: it gets the names of things, and gives values.
	changed = slices.DeleteFunc(changed, func(field string) bool { return field == fieldHookURL || field == fieldHookCACert })
	for _, t := range tokens {
		if len(changed) > 0 && !t.holdsCredential() && !b.tokens.Doubtful(t.name).IsZero() {
			return logical.CodedError(http.StatusConflict, fmt.Sprintf("whether token %q holds a credential is not known yet, because storage failed "+
				"while it was written; nothing was changed. The engine finds out by itself: try again in a few minutes", t.name))
		}
		if len(changed) > 0 && t.holdsCredential() {
			return badInput("%s cannot change while token %q holds a credential: requests with that would go somewhere else from now on; "+
				"delete the account's tokens first, or configure another account. Nothing was changed", strings.Join(changed, ", "), t.name)
		}
	}
	return nil
}

// verifyConnection tries the account's own identity, where it has one, and notes what it leaves open.
func verifyConnection(ctx context.Context, a *account) error {
	if a.platform.VerifyAccount == nil {
		return nil
	}
	v, err := a.platform.VerifyAccount(ctx, a.call)
	var silence *provider.Error
	switch {
	case errors.As(err, &silence):
		return fmt.Errorf("nothing was changed, because the account could not be tried: %w; verify_connection=false stores it untried", err)
	case err != nil:
		return err
	case v == nil:
		return nil
	case v.Outcome == provider.Rejected:
		return badInput("nothing was changed, because the provider refuses the account's credentials: %s", explain(*v))
	case v.Outcome == provider.Inconclusive, v.Caveat:
		a.doubtful = explain(*v)
	}
	return nil
}
