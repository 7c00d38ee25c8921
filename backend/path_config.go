package backend

import (
	"context"
	"maps"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const (
	configHelp = "Configure a provider account."

	configHelpLong = `
An account is one account at an ad platform, its provider, with its connection settings. Tokens belong to an account. The providers and
what their accounts take are listed at providers/.

A reset hook (reset_hook_url) is a company's own automation that performs resets: with one, the account's tokens rotate
without a person, by "vault write -f tokens/<name>/rotate" or by their schedule.

Secrets are write-only. What decides where requests go (ca_cert, the provider's addresses, and settings that are a part of one) can
change only together with every secret that the account has, in the same write, and not while tokens of the account hold
credentials: otherwise whoever may write here could have Vault send those to a host of their own, or have every app send its
requests to another place at once.

With verify_connection the account's own identity, where the provider has one for accounts, is tried before it is stored.
`
)

func (b *backend) pathConfig() *framework.Path {
	return &framework.Path{
		Pattern: configPrefix + namePattern("account") + "$",
		Fields:  b.configFields(),
		// Not all providers are known when the mount starts. The door refuses what the account's provider does not have.
		TakesArbitraryInput: true,
		ExistenceCheck:      b.pathConfigExists,
		DisplayAttrs:        &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "account"},
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
		"provider": {Type: framework.TypeString, Description: "Ad platform, one of those at providers/. Fixed once the account exists."},
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
	for _, f := range append(commonAccountFields(), consentAccountFields()...) {
		addFieldSchema(fields, f, "")
	}
	for _, name := range b.builtInNames() {
		for _, f := range b.builtIn[name].AccountFields {
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
		case f.Flag:
			data[f.Name] = value != ""
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
	w, err := b.readAccountWrite(ctx, req, d)
	if err != nil {
		return nil, err
	}
	return b.writeAccount(ctx, req.Storage, w)
}

// readAccountWrite reads a write of an account, whose provider decides which settings there are.
func (b *backend) readAccountWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*accountWrite, error) {
	w := &accountWrite{
		name:             d.Get("account").(string),
		provider:         given[string](d, "provider"),
		requestTimeout:   given[int](d, "request_timeout"),
		resetHookTimeout: given[int](d, "reset_hook_timeout"),
		verifyConnection: given[bool](d, "verify_connection"),
	}
	if len(w.name) > maxNameLength {
		return nil, badInput("the account's name must have at most %d characters", maxNameLength)
	}
	if w.provider != nil {
		*w.provider = strings.TrimSpace(*w.provider)
	}
	stored, err := b.accounts.Get(ctx, req.Storage, w.name)
	if err != nil {
		return nil, err
	}
	if w.platform, err = b.findPlatform(ctx, req.Storage, w.provider, stored); err != nil {
		return nil, err
	}
	if err := b.checkForeignSettings(d.Raw, w.platform); err != nil {
		return nil, err
	}
	if w.settings, err = readFields(d.Raw, accountFields(w.platform)); err != nil {
		return nil, err
	}
	return w, w.check()
}

func (b *backend) pathConfigDelete(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return nil, b.deleteAccount(ctx, req.Storage, d.Get("account").(string))
}
