package backend

import (
	"context"
	"runtime"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func (b *backend) pathInfo() *framework.Path {
	return &framework.Path{
		Pattern:      "info$",
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "info"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: readOperation(b.pathInfoRead, "Read the plugin's version and what it supports.", "read", map[string]*framework.FieldSchema{
				"version":    {Type: framework.TypeString, Required: true, Description: "The plugin's version."},
				"commit":     {Type: framework.TypeString, Required: true, Description: "The commit that it was built from."},
				"go_version": {Type: framework.TypeString, Required: true, Description: "The Go version that it was built with."},
				"providers":  {Type: framework.TypeMap, Required: true, Description: "By provider and token type: description, reset_semantics and fields."},
			}),
		},
		HelpSynopsis:    "Read the plugin's version and what it supports.",
		HelpDescription: "Shows the build, and each provider's token types with their reset semantics and credential fields.",
	}
}

func (b *backend) pathInfoRead(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	providers := map[string]any{}
	for name, p := range b.builtIn {
		kinds := map[string]any{}
		for _, kind := range p.Types {
			kinds[kind.Name] = map[string]any{
				"description": kind.Description, "reset_semantics": string(kind.ResetSemantics), "fields": provider.Names(kind.Fields),
			}
		}
		providers[name] = map[string]any{"token_types": kinds}
	}
	return &logical.Response{Data: map[string]any{
		"version": Version, "commit": commit(), "go_version": runtime.Version(), "providers": providers,
	}}, nil
}
