package backend

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

const providersHelpLong = `
A provider is an ad platform. The engine brings some as code and a catalogue of others as definitions: documents that say which
fields a token of the platform has, how a value is proven, what replaces it, and what a person has to do. Read one to see
where it is from (origin: engine, catalogue or custom), what its accounts and tokens take, the document itself, and the notes that
belong to it. Where verified is false, some of its facts are not confirmed, and the notes say which.

Whoever operates the mount may add definitions of other platforms:

    vault write adtokens/providers/acme_ads definition=@acme_ads.yaml

Every mistake is refused with its line and what is right there; "adtokens-provider check FILE" finds them without Vault. A definition
may be replaced, but nothing that accounts or tokens use may go from it. It can be deleted once no account uses it. The definitions of
the catalogue cannot be changed: print one with "vault read -field=definition adtokens/providers/NAME", and write your copy under
another name.

Whoever may write here decides how credentials are proven, replaced and shown, but not to which host they go: every address that is
called begins with an endpoint of the account, and no definition changes the endpoints of an account that exists.
`

func (b *backend) pathProviders() *framework.Path {
	return &framework.Path{
		Pattern: providersPrefix + namePattern("name") + "$",
		Fields: map[string]*framework.FieldSchema{
			"name":       {Type: framework.TypeString, Required: true, Description: "Name of the provider, as in its definition."},
			"definition": {Type: framework.TypeString, Description: "The definition, a YAML or JSON document of at most 64 KiB."},
		},
		ExistenceCheck: b.pathProvidersExist,
		DisplayAttrs:   &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "provider"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.CreateOperation: writeOperation(b.pathProvidersWrite, "Add the definition of an ad platform.", "define", warningsOnly),
			logical.UpdateOperation: writeOperation(b.pathProvidersWrite, "Replace the definition of an ad platform.", "define", warningsOnly),
			logical.ReadOperation:   readOperation(b.pathProvidersRead, "Read what a provider's accounts and tokens take.", "read", providerResponseFields()),
			logical.DeleteOperation: writeOperation(b.pathProvidersDelete, "Delete a definition that no account uses.", "delete", warningsOnly),
		},
		HelpSynopsis:    "Define an ad platform, or read what one takes.",
		HelpDescription: strings.TrimSpace(providersHelpLong),
	}
}

func (b *backend) pathProvidersList() *framework.Path {
	return &framework.Path{
		Pattern:      providersPrefix + "?$",
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "providers"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: listOperation(b.pathProvidersListAll, "List the providers.", "Origin, title, token types and verified of each provider."),
		},
		HelpSynopsis:    "List the providers.",
		HelpDescription: "With -detailed also the origin (engine, catalogue or custom), title and token types of each, and whether all facts of its definition are confirmed.",
	}
}

func providerResponseFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"name":           {Type: framework.TypeString, Required: true, Description: "Name, which accounts give as provider."},
		"title":          {Type: framework.TypeString, Required: true, Description: "What people call the platform's API."},
		"origin":         {Type: framework.TypeString, Required: true, Description: "engine, catalogue or custom."},
		"verified":       {Type: framework.TypeBool, Required: true, Description: "Whether all facts of the definition are confirmed; if not, notes say which are not."},
		"notes":          {Type: framework.TypeStringSlice, Required: true, Description: "What else to know."},
		"sources":        {Type: framework.TypeSlice, Required: true, Description: "Where the facts are from: title, url and read, the date."},
		"account_fields": {Type: framework.TypeStringSlice, Required: true, Description: "Names of the provider's own account settings."},
		"token_types":    {Type: framework.TypeMap, Required: true, Description: "By type: title, reset_semantics, fields, automatic, access_tokens, consent and revoke."},
		"definition":     {Type: framework.TypeString, Description: "The document as it was written; not for providers of the engine."},
	}
}

func (b *backend) pathProvidersExist(ctx context.Context, req *logical.Request, d *framework.FieldData) (bool, error) {
	p, err := b.platform(ctx, req.Storage, d.Get("name").(string))
	return p != nil, err
}

func (b *backend) pathProvidersListAll(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	names, err := b.platformNames(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	info := make(map[string]any, len(names))
	for _, name := range names {
		p, err := b.platform(ctx, req.Storage, name)
		switch {
		case err != nil:
			info[name] = map[string]any{"error": err.Error()}
		case p != nil:
			info[name] = map[string]any{"origin": p.origin, "title": p.Title, "token_types": p.TypeNames(), "verified": !p.Unverified}
		}
	}
	return logical.ListResponseWithInfo(names, info), nil
}

func (b *backend) pathProvidersRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("name").(string)
	p, err := b.platform(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, unknownProvider(name)
	}
	kinds := map[string]any{}
	for _, kind := range p.Types {
		kinds[kind.Name] = map[string]any{
			"title": kind.Title, "reset_semantics": string(kind.ResetSemantics), "fields": provider.Names(kind.Fields),
			"automatic": kind.Keys != nil || kind.Renew != nil, "access_tokens": kind.Mint != nil,
			"consent": kind.Consent != nil, "revoke": kind.Retire != nil || kind.Keys != nil,
		}
	}
	data := map[string]any{
		"name": p.Name, "title": p.Title, "origin": p.origin, "verified": !p.Unverified, "notes": append([]string{}, p.Notes...),
		"account_fields": provider.Names(p.AccountFields), "token_types": kinds, "sources": []any{},
	}
	if p.definition != nil {
		sources := []any{}
		for _, s := range p.definition.Sources() {
			sources = append(sources, map[string]any{"title": s.Title, "url": s.URL, "read": s.Read})
		}
		data["sources"], data["definition"] = sources, string(p.definition.Document())
	}
	return &logical.Response{Data: data}, nil
}

func (b *backend) pathProvidersWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	document := given[string](d, "definition")
	if document == nil {
		return nil, badInput("definition is missing: give the document, in the CLI with definition=@file.yaml")
	}
	if isFileName(*document) {
		return nil, badInput("definition must be the document, and not the name of its file: in the CLI definition=@file.yaml reads a file; nothing was changed")
	}
	return b.writeDefinition(ctx, req.Storage, d.Get("name").(string), *document)
}

// isFileName says that the @ of definition=@file.yaml was forgotten.
func isFileName(document string) bool {
	return len(document) <= 4096 && !strings.ContainsAny(document, "\n:{") && slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(document))
}

func (b *backend) pathProvidersDelete(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return nil, b.deleteDefinition(ctx, req.Storage, d.Get("name").(string))
}
