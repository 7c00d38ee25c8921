// Command noop is the least that a secrets engine can be: the sdk's own server, and a read that answers with five
// constants. What it costs is what any plugin costs.
package main

import (
	"context"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

func main() {
	meta := &api.PluginAPIClientMeta{}
	_ = meta.FlagSet().Parse(os.Args[1:]) // Vault starts it with none
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{
		BackendFactoryFunc: factory,
		TLSProviderFunc:    api.VaultPluginTLSProvider(meta.GetTLSConfig()),
	}); err != nil {
		hclog.Default().Error("the plugin is shutting down", "error", err)
		os.Exit(1)
	}
}

func factory(ctx context.Context, config *logical.BackendConfig) (logical.Backend, error) {
	b := &framework.Backend{
		BackendType: logical.TypeLogical,
		Paths: []*framework.Path{
			{
				Pattern: "creds/" + framework.GenericNameRegex("name"),
				Fields:  map[string]*framework.FieldSchema{"name": {Type: framework.TypeString}},
				Operations: map[logical.Operation]framework.OperationHandler{
					logical.ReadOperation: &framework.PathOperation{Callback: read},
				},
			},
			// Declared in the old way, a read takes the sdk one question to Vault less.
			{
				Pattern:   "old/" + framework.GenericNameRegex("name"),
				Fields:    map[string]*framework.FieldSchema{"name": {Type: framework.TypeString}},
				Callbacks: map[logical.Operation]framework.OperationFunc{logical.ReadOperation: read},
			},
		},
	}
	return b, b.Setup(ctx, config)
}

func read(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	return &logical.Response{Data: map[string]any{
		"account_sid": "IRq8mWJybvoQ1020978kbj7am8zzM2dBL1", "auth_token": "sLbDqPzVwKcRfTgYhUjMnBvCxZaSdF2L",
		"base_url": "https://api.impact.com", "version": 1, "ttl": 60,
	}}, nil
}
