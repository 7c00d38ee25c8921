// Command vault-plugin-secrets-adtokens is the plugin that a Vault server starts. It is not run by hand.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend"
)

func main() {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: os.Stderr, JSONFormat: true})
	if err := run(logger); err != nil {
		logger.Error("the plugin is shutting down", "error", err)
		os.Exit(1)
	}
}

func run(logger hclog.Logger) error {
	meta := &api.PluginAPIClientMeta{}
	flags := meta.FlagSet()
	version := flags.Bool("version", false, "print the version and exit")
	flags.Init(os.Args[0], flag.ExitOnError)
	_ = flags.Parse(os.Args[1:]) // exits on errors
	if *version {
		fmt.Println(backend.Version)
		return nil
	}
	return serve(logger, api.VaultPluginTLSProvider(meta.GetTLSConfig()))
}
