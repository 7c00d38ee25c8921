// Command kv is Vault's own KV engine as an external plugin, built with the sdk that this module uses.
package main

import (
	"context"
	"os"

	"github.com/hashicorp/go-hclog"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/api"
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

// factory chooses version 2, because Vault lets the mounts of its own engine only choose.
func factory(ctx context.Context, config *logical.BackendConfig) (logical.Backend, error) {
	config.Config = map[string]string{"version": "2"}
	return kv.Factory(ctx, config)
}
