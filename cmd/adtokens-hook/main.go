// Command adtokens-hook is a reset hook: the web service that resets a token at its provider when the secrets engine
// asks for it. It is complete but for one part: its console is that of the provider simulators. A company puts its own
// automation there; see the interface console.
package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
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

// The exit codes.
const (
	exitOK = iota
	exitFailure
	exitUsage
)

// errUsage marks mistakes in the command line.
var errUsage = errors.New("wrong usage")

// expiryInterval is how often expired state is looked for.
const expiryInterval = time.Hour

// streams are where the command writes.
type streams struct {
	out, err io.Writer
}

type options struct {
	listen, certFile, keyFile  string
	control, state, secretFile string
	async                      bool
	retryAfter, timeout, keep  time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// run serves until ctx ends and returns the exit code.
func run(ctx context.Context, args []string, to streams) int {
	o, err := parse(args, to)
	if err == nil {
		err = serve(ctx, o, to)
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage):
		fmt.Fprintf(to.err, "adtokens-hook: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(to.err, "adtokens-hook: %v\n", err)
		return exitFailure
	}
}

// parse reads the flags. Help goes to standard output.
func parse(args []string, to streams) (options, error) {
	var o options
	flags := flag.NewFlagSet("adtokens-hook", flag.ContinueOnError)
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
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(to.out)
		flags.Usage()
		return o, err
	case err != nil:
		return o, fmt.Errorf("%w: %w", errUsage, err)
	case flags.NArg() > 0:
		return o, fmt.Errorf("%w: there is no argument %q", errUsage, flags.Arg(0))
	case o.state == "":
		return o, fmt.Errorf("%w: say where to remember resets, with -state", errUsage)
	case o.control == "":
		return o, fmt.Errorf("%w: say where the simulator is, with -control or %s", errUsage, controlVariable)
	case (o.certFile == "") != (o.keyFile == ""):
		return o, fmt.Errorf("%w: -tls-cert and -tls-key go together", errUsage)
	}
	return o, nil
}

// serve serves until ctx ends, and then lets the resets that are running come to their end.
func serve(ctx context.Context, o options, to streams) error {
	webhook, err := o.webhook()
	if err != nil {
		return err
	}
	remembered, err := openStore(o.state, o.keep)
	if err != nil {
		return err
	}
	logger := hclog.New(&hclog.LoggerOptions{Name: "adtokens-hook", Output: to.err, Level: hclog.Info})
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
	failed, err := o.start(ctx, server, to)
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
		return nil, fmt.Errorf("%w: give the secret in either -secret-file or %s", errUsage, secretVariable)
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

// start listens, prints the address and serves. The channel gets the error that ends the serving.
func (o options) start(ctx context.Context, server *http.Server, to streams) (<-chan error, error) {
	scheme, serve := "http", server.Serve
	if o.certFile != "" {
		certificate, err := tls.LoadX509KeyPair(o.certFile, o.keyFile)
		if err != nil {
			return nil, fmt.Errorf("loading the certificate: %w", err)
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		scheme, serve = "https", func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	address, isTCP := listener.Addr().(*net.TCPAddr)
	if scheme == "http" && (!isTCP || !address.IP.IsLoopback()) {
		return nil, errors.Join(fmt.Errorf("%w: without -tls-cert and -tls-key only loopback addresses are served, because credentials are", errUsage), listener.Close())
	}
	failed := make(chan error, 1)
	go func() { failed <- serve(listener) }()
	return failed, json.NewEncoder(to.out).Encode(map[string]string{"url": scheme + "://" + listener.Addr().String() + path})
}
