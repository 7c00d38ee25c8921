// Command vault-plugin-secrets-adtokens is the plugin that a Vault server starts. It is not run by hand.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
)

const usage = `Usage: vault-plugin-secrets-adtokens [-version]

The secrets engine for the API tokens of ad platforms, as a plugin. A Vault or OpenBao server starts it, once it is
registered by its checksum; it is not run by hand:

  vault plugin register -version="$(vault-plugin-secrets-adtokens -version)" -sha256=SUM secret vault-plugin-secrets-adtokens
  vault secrets enable -path=adtokens vault-plugin-secrets-adtokens

Flags:
  -version
    	print the version and exit

The server may pass -ca-cert, -ca-path, -client-cert, -client-key, -tls-server-name and -tls-skip-verify.
`

// exitUsage is the exit code for mistakes in the command line.
const exitUsage = 2

func main() {
	meta := &api.PluginAPIClientMeta{}
	if code, done := handleFlags(meta, os.Args[1:], os.Stdout, os.Stderr); done {
		os.Exit(code)
	}
	go catalogue.All() // beside the handshake with Vault, so that the first mount need not wait for it
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: os.Stderr, JSONFormat: true})
	if err := serve(logger, api.VaultPluginTLSProvider(meta.GetTLSConfig())); err != nil {
		logger.Error("the plugin is shutting down", "error", err)
		os.Exit(1)
	}
}

// handleFlags reads the flags, which Vault may give, into meta. It answers those that people give, and reports whether the
// program has done what it was started for, and its exit code.
func handleFlags(meta *api.PluginAPIClientMeta, args []string, out, errOut io.Writer) (code int, done bool) {
	flags := meta.FlagSet()
	version := flags.Bool("version", false, "")
	flags.Init("vault-plugin-secrets-adtokens", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
	case err != nil:
		fmt.Fprintf(errOut, "vault-plugin-secrets-adtokens: wrong usage: %v\n", err)
		return exitUsage, true
	case *version:
		fmt.Fprintln(out, backend.Version)
	default:
		return 0, false
	}
	return 0, true
}
