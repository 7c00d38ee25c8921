package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// command is the command, run in this process.
type command struct {
	running
	// interrupt does what a signal does. Ended is closed when the command has ended.
	interrupt func()
	ended     <-chan struct{}
}

func (c command) stop() {
	c.interrupt()
	<-c.ended
}

func (w *world) run(t *testing.T, args ...string) command {
	t.Helper()
	ctx, interrupt := context.WithCancel(context.WithoutCancel(t.Context()))
	out, printed := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if code := program.Execute(ctx, append(w.args(t), args...), cli.Streams{Out: printed, Err: w.log}); code != cli.ExitOK {
			t.Errorf("the command ended with exit code %d", code)
		}
		_ = printed.Close()
	}()
	c := command{interrupt: interrupt, ended: ended}
	t.Cleanup(c.stop)
	c.url = readyURL(t, out)
	return c
}

// args are what every run needs.
func (w *world) args(t *testing.T) []string {
	t.Helper()
	return []string{"-state", w.state, "-secret-file", secretFile(t, secret), "-control", w.control, "-retry-after", "3s"}
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(path, []byte(text+"\n"), 0o600))
	return path
}

func readyURL(t *testing.T, out io.Reader) string {
	t.Helper()
	var ready struct{ URL string }
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		t.Fatalf("reading the address: %v", err)
	}
	return ready.URL
}

func TestCommandRemembersAcrossARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.readWrite(t, "key-1")
	first := w.run(t)
	_, err := first.deliver(t.Context(), t, e)
	must(t, err)
	first.stop()

	w.run(t).wantAuthToken(t, e, w.authToken(t))
	w.wantResets(t, e, 1)
}

func TestCommandServesOverTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	borrowed := httptest.NewTLSServer(http.NotFoundHandler())
	borrowed.Close()
	certificate := borrowed.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	must(t, err)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	directory := t.TempDir()
	certFile, keyFile := filepath.Join(directory, "cert.pem"), filepath.Join(directory, "key.pem")
	must(t, os.WriteFile(certFile, ca, 0o600))
	must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))

	command := w.run(t, "-tls-cert", certFile, "-tls-key", keyFile)
	command.caCert = string(ca)
	if !strings.HasPrefix(command.url, "https://") {
		t.Errorf("got the address %s, want https", command.url)
	}
	e := w.readWrite(t, "key-1")
	got, err := command.deliver(t.Context(), t, e)
	must(t, err)
	if got["auth_token"] != w.authToken(t) {
		t.Error("the hook gave another value than the console shows")
	}
}

// slowConsole passes the control API on and holds resets back until open is closed.
func slowConsole(t *testing.T, control string) (address string, entered <-chan struct{}, open chan<- struct{}) {
	t.Helper()
	target, err := url.Parse(control)
	must(t, err)
	arrived, gate := make(chan struct{}, 1), make(chan struct{})
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hook/reset" {
			arrived <- struct{}{}
			<-gate
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, arrived, gate
}

func TestStoppingWaitsForAResetThatRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow, entered, open := slowConsole(t, w.control)
	e := w.readWrite(t, "key-1")
	command := w.run(t, "-async", "-control", slow)
	_, err := command.deliver(t.Context(), t, e)
	wantPending(t, err)
	<-entered
	command.interrupt()
	select {
	case <-command.ended:
		t.Error("the command ended before the reset did")
	case <-time.After(20 * time.Millisecond): // long enough for a stop that does not wait
	}
	close(open)
	<-command.ended
	w.run(t).wantAuthToken(t, e, w.authToken(t))
	w.wantResets(t, e, 1)
}

// asCommand has the test binary be the command.
const asCommand = "ADTOKENS_HOOK_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestProcess runs the command in a process of its own with the secret in its environment, and kills it the hard way before the polite one.
func TestProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.readWrite(t, "key-1")
	for _, signal := range []os.Signal{os.Kill, syscall.SIGTERM} {
		process := exec.CommandContext(t.Context(), os.Args[0], "-state", w.state)
		process.Env = append(os.Environ(), asCommand+"=1", secretVariable+"="+secret, controlVariable+"="+w.control)
		process.Stderr = w.log
		out, err := process.StdoutPipe()
		must(t, err)
		must(t, process.Start())
		hook := running{url: readyURL(t, out)}
		_, err = hook.deliver(t.Context(), t, e)
		must(t, err)
		hook.wantAuthToken(t, e, w.authToken(t))
		must(t, process.Process.Signal(signal))
		if err := process.Wait(); (err == nil) != (signal == syscall.SIGTERM) {
			t.Errorf("after %s: %v", signal, err)
		}
	}
	w.wantResets(t, e, 1)
}

func TestMistakesAreExplained(t *testing.T) {
	t.Parallel()
	file := secretFile(t, secret)
	needed := func(args ...string) []string {
		return append([]string{"-state", t.TempDir(), "-control", "http://127.0.0.1:1"}, args...)
	}
	const notAsItIs = "c2VjcmV0" // no secret may be repeated
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"argument":          {needed("now"), cli.ExitUsage, `no argument "now"`},
		"unknown flag":      {needed("-secret", notAsItIs), cli.ExitUsage, "flag provided but not defined: -secret"},
		"no state":          {[]string{"-control", "http://127.0.0.1:1"}, cli.ExitUsage, "with -state"},
		"no console":        {[]string{"-state", t.TempDir(), "-control", ""}, cli.ExitUsage, "with -control or " + controlVariable},
		"no secret":         {needed(), cli.ExitUsage, "either -secret-file or " + secretVariable},
		"no secret file":    {needed("-secret-file", "/does/not/exist"), cli.ExitFailure, "reading the secret"},
		"no prefix":         {needed("-secret-file", secretFile(t, notAsItIs)), cli.ExitFailure, "the secret must be whsec_"},
		"short secret":      {needed("-secret-file", secretFile(t, "whsec_"+notAsItIs)), cli.ExitFailure, "24 to 64 bytes"},
		"no base64":         {needed("-secret-file", secretFile(t, "whsec_"+strings.Repeat("-", 40))), cli.ExitFailure, "the secret must be whsec_"},
		"key without chain": {needed("-tls-key", "key.pem"), cli.ExitUsage, "-tls-cert and -tls-key go together"},
		"no certificate":    {needed("-secret-file", file, "-tls-cert", "/does/not/exist", "-tls-key", "/does/not/exist"), cli.ExitFailure, "loading the certificate"},
		"open to others":    {needed("-secret-file", file, "-listen", "0.0.0.0:0"), cli.ExitUsage, "only loopback addresses"},
		"no address":        {needed("-secret-file", file, "-listen", "nowhere"), cli.ExitFailure, "listening"},
		"state that is not": {[]string{"-state", file, "-control", "http://127.0.0.1:1", "-secret-file", file}, cli.ExitFailure, "state directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errors strings.Builder
			code := program.Execute(t.Context(), test.args, cli.Streams{Out: &out, Err: &errors})
			if code != test.code || !strings.Contains(errors.String(), test.want) || out.Len() > 0 {
				t.Errorf("exit code %d, %q; want %d, %q", code, errors.String(), test.code, test.want)
			}
			if strings.Contains(errors.String(), notAsItIs) {
				t.Error("the secret is repeated")
			}
		})
	}
}

// TestCommand_StateOfSomebodyElse names what is there, and deletes nothing.
func TestCommand_StateOfSomebodyElse(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	thesis := filepath.Join(home, "thesis.txt")
	must(t, os.WriteFile(thesis, nil, 0o600))
	old := time.Now().Add(-72 * time.Hour)
	must(t, os.Chtimes(thesis, old, old))
	var out, errors strings.Builder
	args := []string{"-state", home, "-control", "http://127.0.0.1:1", "-secret-file", secretFile(t, secret)}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute) // a hook that starts goes on
	defer stop()
	if code := program.Execute(ctx, args, cli.Streams{Out: &out, Err: &errors}); code != cli.ExitFailure || !strings.Contains(errors.String(), `("thesis.txt")`) || out.Len() > 0 {
		t.Errorf("exit code %d, %q; want %d and the file's name", code, errors.String(), cli.ExitFailure)
	}
	if _, err := os.Stat(thesis); err != nil {
		t.Error(err)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	var out, errors strings.Builder
	code := program.Execute(t.Context(), []string{"-h"}, cli.Streams{Out: &out, Err: &errors})
	if code != cli.ExitOK || !strings.HasPrefix(out.String(), "Usage: adtokens-hook") || !strings.Contains(out.String(), "-async") || errors.Len() > 0 {
		t.Errorf("exit code %d, printed %q and %q", code, out.String(), errors.String())
	}
}
