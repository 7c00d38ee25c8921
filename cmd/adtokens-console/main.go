// Command adtokens-console is a web page for the person who presses Reset at an ad platform: what needs attention, how a token is
// replaced step by step, a field to paste the new value, and what became of it. It acts with the Vault token of whoever has signed
// in, and with nothing of its own.
package main

import (
	"context"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

const usage = `Usage: adtokens-console [flags]

Serves the pages of the secrets engine for people who reset tokens, until interrupted. Prints its address once it listens. Whoever
signs in acts with a Vault token of their own; VAULT_TOKEN is not used. How Vault is reached comes from the flags, or from the
environment variables that the vault command knows (VAULT_ADDR, VAULT_CACERT, VAULT_NAMESPACE, ...).

Flags:
`

type options struct {
	vaultAddr, namespace      string
	tls                       api.TLSConfig
	listen, certFile, keyFile string
	behindProxy               bool
	mounts                    mountList
}

// mountList is a flag that may be given several times, with several mounts each.
type mountList []string

func (m *mountList) String() string { return strings.Join(*m, ",") }

// Set adds mounts, as `vault secrets list` shows them or without the slash.
func (m *mountList) Set(text string) error {
	for mount := range strings.SplitSeq(text, ",") {
		if mount = strings.Trim(strings.TrimSpace(mount), "/"); mount != "" {
			*m = append(*m, mount)
		}
	}
	return nil
}

var program = cli.Program{Name: "adtokens-console", Action: run, Grace: 15 * time.Second}

func main() { program.Main() }

// run serves until ctx ends.
func run(ctx context.Context, args []string, s cli.Streams) error {
	o, err := parse(args, s)
	if err != nil {
		return err
	}
	logger := hclog.New(&hclog.LoggerOptions{Name: "adtokens-console", Output: s.Err, Level: hclog.Info})
	if os.Getenv(api.EnvVaultToken) != "" {
		logger.Warn("VAULT_TOKEN is set, and not used: whoever signs in acts with a token of their own")
	}
	server, err := newVaultServer(o)
	if err != nil {
		return err
	}
	if strings.HasPrefix(server.address(), "http://") && !isLoopbackURL(server.address()) {
		logger.Warn("Vault is reached without TLS: tokens and new values can be read on the way", "address", server.address())
	}
	c, err := newConsole(server, o, logger)
	if err != nil {
		return err
	}
	return serve(ctx, o, c, s)
}

// parse reads the flags. Help goes to standard output.
func parse(args []string, s cli.Streams) (options, error) {
	var o options
	flags := cli.Flags("adtokens-console", usage)
	flags.StringVar(&o.vaultAddr, "vault-addr", "", "`URL` of Vault (environment: VAULT_ADDR; default https://127.0.0.1:8200)")
	flags.StringVar(&o.namespace, "namespace", "", "Vault `namespace` (environment: VAULT_NAMESPACE)")
	flags.StringVar(&o.tls.CACert, "ca-cert", "", "`path` of the PEM certificate of the CA that Vault's certificate is from "+
		"(environment: VAULT_CACERT)")
	flags.StringVar(&o.tls.CAPath, "ca-path", "", "`directory` of such certificates (environment: VAULT_CAPATH)")
	flags.StringVar(&o.tls.ClientCert, "client-cert", "", "`path` of a PEM certificate to show to Vault (environment: VAULT_CLIENT_CERT)")
	flags.StringVar(&o.tls.ClientKey, "client-key", "", "`path` of its PEM private key (environment: VAULT_CLIENT_KEY)")
	flags.StringVar(&o.tls.TLSServerName, "tls-server-name", "", "`name` in Vault's certificate (environment: VAULT_TLS_SERVER_NAME)")
	flags.BoolVar(&o.tls.Insecure, "tls-skip-verify", false, "take any certificate of Vault's; for trying out only "+
		"(environment: VAULT_SKIP_VERIFY)")
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one. "+
		"Beyond loopback only with TLS")
	flags.StringVar(&o.certFile, "tls-cert", "", "`path` of the console's own PEM certificate chain")
	flags.StringVar(&o.keyFile, "tls-key", "", "`path` of its PEM private key")
	flags.BoolVar(&o.behindProxy, "behind-tls-proxy", false, "a proxy in front speaks TLS with browsers, "+
		"passes the Host header on and sets X-Forwarded-For")
	flags.Var(&o.mounts, "mount", "`path` where the engine is mounted; several with commas, or given again. "+
		"Without it the console finds the mounts that a person may see")
	if err := cli.Parse(flags, args, s); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, cli.Usagef("there is no argument %q; \"adtokens-console -h\" lists the flags", flags.Arg(0))
	case (o.certFile == "") != (o.keyFile == ""):
		return o, cli.Usagef("-tls-cert and -tls-key go together")
	case o.certFile != "" && o.behindProxy:
		return o, cli.Usagef("either the console speaks TLS itself (-tls-cert, -tls-key), or a proxy in front does (-behind-tls-proxy)")
	case !isVaultURL(o.vaultAddr):
		return o, cli.Usagef("-vault-addr must be a URL such as https://vault.example.com:8200, and is %q", o.vaultAddr)
	}
	return o, o.checkListen()
}

// isVaultURL says whether Vault's client takes an address. Without one, VAULT_ADDR counts.
func isVaultURL(address string) bool {
	u, err := url.Parse(address)
	return address == "" || err == nil && (u.Scheme == "unix" || (u.Scheme == "http" || u.Scheme == "https") && u.Host != "")
}

// checkListen refuses an address that others can reach in clear.
func (o *options) checkListen() error {
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return cli.Usagef("-listen must be a host and a port, such as 127.0.0.1:8080: %w", err)
	}
	if o.isSecure() || isLoopback(host) {
		return nil
	}
	return cli.Usagef("-listen %s is reached from other machines, and Vault tokens and new values would travel in clear: "+
		"add -tls-cert and -tls-key, or -behind-tls-proxy where a proxy speaks TLS; or listen on 127.0.0.1", o.listen)
}

// isSecure says whether browsers reach the console by TLS.
func (o *options) isSecure() bool { return o.certFile != "" || o.behindProxy }
