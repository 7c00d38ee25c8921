// Command adtokens-hook is a reset hook: the web service that resets a token at its provider when the secrets engine
// asks for it. It is complete but for one part: its console is that of the provider simulators. A company puts its own
// automation there; see the interface console.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

const usage = `Usage: adtokens-hook -state DIRECTORY -control URL [flags]

Resets tokens for the secrets engine (an account's reset_hook_url) at the console of adtokens-simulator, until
interrupted. Prints the hook's address once it listens. The secret that requests are signed with (the account's
reset_hook_secret, whsec_...) comes from -secret-file or the environment variable ` + secretVariable + `.

Flags:
`

// The environment variables.
const (
	secretVariable  = "ADTOKENS_HOOK_SECRET"
	controlVariable = "ADTOKENS_SIMULATOR_CONTROL"
)

// expiryInterval is how often expired state is looked for.
const expiryInterval = time.Hour

type options struct {
	listen, certFile, keyFile  string
	control, state, secretFile string
	async                      bool
	retryAfter, timeout, keep  time.Duration
}

var program = cli.Program{Name: "adtokens-hook", Action: run}

func main() { program.Main() }

// run serves until ctx ends.
func run(ctx context.Context, args []string, s cli.Streams) error {
	o, err := parse(args, s)
	if err != nil {
		return err
	}
	return serve(ctx, o, s)
}

// parse reads the flags. Help goes to standard output.
func parse(args []string, s cli.Streams) (options, error) {
	var o options
	flags := cli.Flags("adtokens-hook", usage)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "`address` to listen on; port 0 takes a free one")
	flags.StringVar(&o.certFile, "tls-cert", "", "`path` of the PEM certificate chain; without one, only loopback addresses are served")
	flags.StringVar(&o.keyFile, "tls-key", "", "`path` of the certificate's PEM private key")
	flags.StringVar(&o.control, "control", os.Getenv(controlVariable), "base `URL` of the simulator's control API (environment: "+controlVariable+")")
	flags.StringVar(&o.state, "state", "", "`directory` of the hook's own that remembers what was done, and holds credentials; made if missing")
	flags.StringVar(&o.secretFile, "secret-file", "", "`path` of a file with the secret (environment, instead: "+secretVariable+")")
	flags.BoolVar(&o.async, "async", false, "answer 202 at once and give the result when asked again")
	flags.DurationVar(&o.retryAfter, "retry-after", 2*time.Second, "`wait` before asking again, in whole seconds")
	flags.DurationVar(&o.timeout, "timeout", 100*time.Second, "longest `time` for a reset at the console; the engine waits 120s")
	flags.DurationVar(&o.keep, "keep", 48*time.Hour, "`time` to remember a reset for; the engine repeats a request for up to a day")
	if err := cli.Parse(flags, args, s); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, cli.Usagef("there is no argument %q", flags.Arg(0))
	case o.state == "":
		return o, cli.Usagef("say where to remember resets, with -state")
	case o.control == "":
		return o, cli.Usagef("say where the simulator is, with -control or %s", controlVariable)
	case (o.certFile == "") != (o.keyFile == ""):
		return o, cli.Usagef("-tls-cert and -tls-key go together")
	}
	return o, nil
}

// serve serves until ctx ends, and then lets the resets that are running come to their end.
func serve(ctx context.Context, o options, s cli.Streams) error {
	webhook, err := o.webhook()
	if err != nil {
		return err
	}
	remembered, err := openStore(o.state, o.keep)
	if err != nil {
		return err
	}
	logger := hclog.New(&hclog.LoggerOptions{Name: "adtokens-hook", Output: s.Err, Level: hclog.Info})
	resets := &resets{
		console: simulated{simulator.NewClient(o.control)}, store: remembered,
		timeout: o.timeout, logger: logger, jobs: map[string]*job{},
	}
	defer resets.wait()
	server := &http.Server{
		Handler:           routes(&hook{webhook: webhook, resets: resets, async: o.async, retryAfter: o.retryAfter, logger: logger}),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		ErrorLog: log.New(logger.StandardWriter(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}), "", 0),
	}
	endpoint := cli.Endpoint{
		Listen: o.listen, CertFile: o.certFile, KeyFile: o.keyFile, IsSecure: o.certFile != "", Path: path,
		Refusal: "without -tls-cert and -tls-key only loopback addresses are served, because credentials are",
	}
	failed, err := endpoint.Start(ctx, server, s)
	if err != nil {
		return err
	}
	if warning := remembered.warning(); warning != "" {
		logger.Warn(warning)
	}
	expiry := time.NewTicker(expiryInterval)
	defer expiry.Stop()
	for {
		select {
		case err := <-failed:
			return err
		case <-expiry.C:
			if err := remembered.expire(); err != nil {
				logger.Error("expired state could not be removed", "error", err)
			}
		case <-ctx.Done():
			logger.Info("stopping")
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.timeout)
			defer cancel()
			return server.Shutdown(last)
		}
	}
}

// webhook reads the secret. It is never an argument: everybody on the machine can see those.
func (o options) webhook() (*standardwebhooks.Webhook, error) {
	secret := os.Getenv(secretVariable)
	switch {
	case (secret == "") == (o.secretFile == ""):
		return nil, cli.Usagef("give the secret in either -secret-file or %s", secretVariable)
	case o.secretFile != "":
		text, err := os.ReadFile(o.secretFile)
		if err != nil {
			return nil, fmt.Errorf("reading the secret: %w", err)
		}
		secret = strings.TrimSpace(string(text))
	}
	encoded, prefixed := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !prefixed || err != nil || len(key) < 24 || len(key) > 64 { // Standard Webhooks' bounds
		return nil, errors.New("the secret must be whsec_ and the base64 form of 24 to 64 bytes, as `echo whsec_$(openssl rand -base64 32)` prints it")
	}
	return standardwebhooks.NewWebhookRaw(key)
}
