package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

const (
	configHelp = "Configure a provider account."

	configHelpLong = `
An account is one Google Ads manager account or one impact.com account, with its connection settings. Tokens belong to
an account.

A reset hook (reset_hook_url) is a company's own automation that performs resets: with one, the account's tokens rotate
without a person, by "vault write -f tokens/<name>/rotate" or by their schedule.

Secrets are write-only. What decides where requests go (base_url, token_url, revoke_url, iam_url, ca_cert, account_type) can
change only together with every secret that the account has, in the same write, and not while tokens of the account hold
credentials: otherwise whoever may write here could have Vault send those to a host of their own, or have every app send its
requests to another place at once.

With verify_connection the OAuth identity of a google_ads account is tried before it is stored. impact.com accounts
have no identity of their own: each token carries its Account SID and Auth Token.
`
	contactEmailMissing = "contact_email is not set: the provider announces API changes, policy problems and leaked tokens by e-mail; " +
		"set a team's address that the provider has on file: its API contact, and an owner or editor of the cloud project where it writes to those"
)

func (b *backend) pathConfig() *framework.Path {
	return &framework.Path{
		Pattern:        configPrefix + namePattern("account") + "$",
		Fields:         b.configFields(),
		ExistenceCheck: b.pathConfigExists,
		DisplayAttrs:   &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "account"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.CreateOperation: writeOperation(b.pathConfigWrite, "Configure a provider account.", "configure", warningsOnly),
			logical.UpdateOperation: writeOperation(b.pathConfigWrite, "Change a provider account.", "configure", warningsOnly),
			logical.ReadOperation:   readOperation(b.pathConfigRead, "Read a provider account, without its secrets.", "read", b.configResponseFields()),
			logical.DeleteOperation: writeOperation(b.pathConfigDelete, "Delete a provider account that no token uses.", "delete", warningsOnly),
		},
		HelpSynopsis:    configHelp,
		HelpDescription: strings.TrimSpace(configHelpLong),
	}
}

func (b *backend) pathConfigList() *framework.Path {
	return &framework.Path{
		Pattern:      configPrefix + "?$",
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "accounts"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: listOperation(b.pathConfigListAll, "List the provider accounts.", accountKeyInfo),
		},
		HelpSynopsis:    "List the provider accounts.",
		HelpDescription: "With -detailed, each account's provider is shown.",
	}
}

const accountKeyInfo = "Provider of each account."

func (b *backend) configFields() map[string]*framework.FieldSchema {
	fields := map[string]*framework.FieldSchema{
		"account":  {Type: framework.TypeString, Required: true, Description: "Name of the account."},
		"provider": {Type: framework.TypeString, AllowedValues: allowed(b.providerNames()), Description: "Ad platform: google_ads or impact. Fixed once the account exists."},
		"request_timeout": {
			Type: framework.TypeDurationSecond, Default: defaultRequestTimeout,
			Description: "How long one request to the provider may take, 1s to 60s.",
		},
		"reset_hook_timeout": {
			Type: framework.TypeDurationSecond, Default: defaultHookTimeout,
			Description: "How long one request to the reset hook may take, 1s to 10m.",
		},
		"verify_connection": {Type: framework.TypeBool, Default: true, Description: "Try the account's own credentials, where it has any, before they are stored."},
	}
	for _, f := range commonAccountFields() {
		addFieldSchema(fields, f, "")
	}
	for _, name := range b.providerNames() {
		for _, f := range b.providers[name].AccountFields() {
			addFieldSchema(fields, f, name+": ")
		}
	}
	return fields
}

// configResponseFields are the fields of a write without the secrets.
func (b *backend) configResponseFields() map[string]*framework.FieldSchema {
	fields := b.configFields()
	maps.DeleteFunc(fields, func(name string, s *framework.FieldSchema) bool {
		return name == "account" || (s.DisplayAttrs != nil && s.DisplayAttrs.Sensitive)
	})
	for _, name := range []string{"request_timeout", "reset_hook_timeout"} {
		fields[name] = &framework.FieldSchema{Type: framework.TypeInt, Description: fields[name].Description + " In seconds."}
	}
	fields["secrets_set"] = &framework.FieldSchema{Type: framework.TypeStringSlice, Required: true, Description: "Names of the secret fields that have a value."}
	return fields
}

func (b *backend) providerNames() []string {
	return slices.Sorted(maps.Keys(b.providers))
}

func (b *backend) pathConfigExists(ctx context.Context, req *logical.Request, d *framework.FieldData) (bool, error) {
	a, err := b.accounts.Get(ctx, req.Storage, d.Get("account").(string))
	return a != nil, err
}

func (b *backend) pathConfigListAll(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	names, err := b.accounts.List(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	info := make(map[string]any, len(names))
	for _, name := range names {
		a, err := b.accounts.Get(ctx, req.Storage, name)
		switch {
		case err != nil:
			info[name] = map[string]any{"error": err.Error()}
		case a != nil:
			info[name] = map[string]any{"provider": a.Provider}
		}
	}
	return logical.ListResponseWithInfo(names, info), nil
}

func (b *backend) pathConfigRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	a, err := b.accounts.Get(ctx, req.Storage, d.Get("account").(string))
	if err != nil || a == nil {
		return nil, err
	}
	secrets := []string{}
	data := map[string]any{
		"provider":           a.Provider,
		"request_timeout":    a.RequestTimeout,
		"reset_hook_timeout": a.ResetHookTimeout,
		"verify_connection":  a.VerifyConnection,
	}
	for _, f := range accountFields(a.platform) {
		switch value := a.setting(f); {
		case !f.Secret:
			data[f.Name] = f.Shown(value)
		case value != "":
			secrets = append(secrets, f.Name)
		}
	}
	data["secrets_set"] = secrets
	return &logical.Response{Data: data}, nil
}

func (b *backend) pathConfigWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("account").(string)
	if len(name) > maxNameLength {
		return nil, badInput("the account's name must have at most %d characters", maxNameLength)
	}
	var tried *account
	for range maxAccountTries {
		response := &logical.Response{}
		next, done, err := b.writeAccount(ctx, req.Storage, d, name, tried, response)
		if next != nil {
			defer next.hangUp()
		}
		if err != nil {
			return nil, err
		}
		if done {
			b.sendEvent(ctx, eventConfigWrite, configPrefix+name, "account", name)
			return response, nil
		}
		// No lock is held while the provider is asked.
		if tried, err = next, verifyConnection(ctx, next); err != nil {
			return nil, err
		}
	}
	return nil, logical.CodedError(http.StatusConflict, fmt.Sprintf(
		"nothing was changed, because others changed account %q each time while its credentials were tried; read it, and try again", name))
}

// maxAccountTries is how often a write of an account begins again because another write came between.
const maxAccountTries = 4

// writeAccount makes the account of what is stored and the request's fields, and stores that. Where its credentials have to be tried
// before, and are not those of tried, it is returned without being stored.
func (b *backend) writeAccount(
	ctx context.Context, storage logical.Storage, d *framework.FieldData, name string, tried *account, response *logical.Response,
) (next *account, done bool, err error) {
	unlock, err := b.accountLocks.Lock(ctx, name)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	stored, err := b.accounts.Load(ctx, storage, name)
	if err != nil {
		return nil, false, err
	}
	if next, err = b.nextAccount(d, stored); err != nil {
		return nil, false, err
	}
	if err := b.checkAccountShown(d, next); err != nil {
		return next, false, err
	}
	if stored != nil {
		if err := b.checkEndpoints(ctx, storage, d, name, stored, next); err != nil {
			return next, false, err
		}
	}
	if next.VerifyConnection && next.connectsOtherwiseThan(stored) {
		if next.connectsOtherwiseThan(tried) {
			return next, false, nil
		}
		next.doubtful = tried.doubtful
	}
	release, err := b.lockOwnIdentity(name, stored, next)
	if err != nil {
		return next, false, err
	}
	defer release()
	if err := b.accounts.Put(ctx, storage, name, next.accountEntry); err != nil {
		return next, false, err
	}
	if next.doubtful != "" {
		response.AddWarning(next.doubtful)
	}
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

// nextAccount is what a write makes of the stored account (nil for a new one), checked.
func (b *backend) nextAccount(d *framework.FieldData, stored *account) (*account, error) {
	entry := &accountEntry{
		Schema: accountSchema, RequestTimeout: defaultRequestTimeout, ResetHookTimeout: defaultHookTimeout, VerifyConnection: true,
	}
	if stored != nil {
		entry = &stored.accountEntry
	}
	switch given, ok := d.GetOk("provider"); {
	case stored == nil && !ok:
		return nil, badInput("provider is missing; give one of %s", strings.Join(b.providerNames(), ", "))
	case stored == nil:
		entry.Provider = strings.TrimSpace(given.(string))
	case ok && strings.TrimSpace(given.(string)) != stored.Provider:
		return nil, badInput("provider is fixed once an account exists; configure another account for another provider")
	}
	p, ok := b.providers[entry.Provider]
	if !ok {
		return nil, badInput("provider must be one of %s", strings.Join(b.providerNames(), ", "))
	}
	fields := accountFields(p)
	if err := b.checkForeignFields(d, fields, p.Name()); err != nil {
		return nil, err
	}
	entry, err := entry.apply(d, fields)
	if err != nil {
		return nil, err
	}
	next, err := b.newAccount(*entry)
	if err != nil {
		return nil, badInput("%s", err)
	}
	if err := p.CheckAccount(next.call.Settings); err != nil {
		return nil, badInput("%s", err)
	}
	return next, checkHook(next.Settings)
}

// checkEndpoints keeps secrets from following a changed address: see configHelpLong. Google's login_customer_id and api_version are
// no endpoints: they decide what is asked there, in a header or a part of the path of the same host, and the credential decides
// whether it may. A wrong one is refused by Google as a mistake of the request, and takes nothing from the credential.
func (b *backend) checkEndpoints(ctx context.Context, storage logical.Storage, d *framework.FieldData, name string, stored, next *account) error {
	fields := accountFields(stored.platform)
	changed := stored.changedEndpoints(&next.accountEntry, fields)
	if len(changed) == 0 {
		return nil
	}
	if missing := stored.secretsLeftOut(d, fields); len(missing) > 0 {
		return badInput("%s can change only together with the account's secrets: give %s in the same write",
			strings.Join(changed, ", "), strings.Join(missing, ", "))
	}
	tokens, err := b.tokensOf(ctx, storage, name)
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

func (b *backend) pathConfigDelete(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("account").(string)
	unlock, err := b.accountLocks.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	defer unlock()

	tokens, err := b.tokensOf(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	if len(tokens) > 0 {
		return nil, badInput("account %q is used by %d token(s), among them %q; delete those first", name, len(tokens), tokens[0].name)
	}
	if err := b.accounts.Delete(ctx, req.Storage, name); err != nil {
		return nil, err
	}
	b.scheduler.ForgetAccount(name)
	b.sendEvent(ctx, eventConfigDelete, configPrefix+name, "account", name)
	return nil, nil
}

var warningsOnly = map[int][]framework.Response{
	http.StatusOK:        {{Description: "Done, with warnings."}},
	http.StatusNoContent: {{Description: "Done."}},
}
