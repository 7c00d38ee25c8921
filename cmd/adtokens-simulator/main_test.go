package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-cleanhttp"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// running is the command, serving.
type running struct {
	ready
	log     string // its path
	process *exec.Cmd
}

// asCommand has the test binary be the command.
const asCommand = "ADTOKENS_SIMULATOR_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// commandProcess is the command in a process of its own, not yet started.
func commandProcess(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	process := exec.CommandContext(t.Context(), os.Args[0], args...)
	process.Env = append(os.Environ(), asCommand+"=1")
	return process
}

// startCommand serves with the command, until stop or the end of the test.
func startCommand(t *testing.T, args ...string) running {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	serve := commandProcess(t, append([]string{"serve"}, args...)...)
	serve.Stderr = log
	stdout, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("reading the ready line: %v", err)
	}
	var at ready
	if err := json.Unmarshal(line, &at); err != nil {
		t.Fatal(err)
	}
	return running{at, log.Name(), serve}
}

// stop wants a clean exit within seconds of the signal.
func (r running) stop(t *testing.T, signal os.Signal) {
	t.Helper()
	kill := time.AfterFunc(10*time.Second, func() { _ = r.process.Process.Kill() })
	defer kill.Stop()
	if err := r.process.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if err := r.process.Wait(); err != nil {
		t.Errorf("after %s: %v", signal, err)
	}
}

func TestCommandServesOverTLSAndStopsOnSignal(t *testing.T) {
	t.Parallel()
	readyFile := filepath.Join(t.TempDir(), "ready.json")
	command := startCommand(t, "-tls", "-ready-file", readyFile)
	checkReadyFile(t, readyFile, command.ready)
	requestOverTLS(t, command.ready)

	show := commandProcess(t, "console", "google", "show-developer-token")
	show.Env = append(show.Env, controlVariable+"="+command.Control)
	output, err := show.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[0-9A-Za-z][-_0-9A-Za-z]{21}\n$`).Match(output) {
		t.Error("the console did not print one developer token")
	}
	checkLog(t, command)

	command.stop(t, syscall.SIGTERM)
	if _, err := os.Stat(command.CACert); !os.IsNotExist(err) {
		t.Errorf("the CA certificate is left behind at %s", command.CACert)
	}
}

func TestCommandStopsOnInterrupt(t *testing.T) {
	t.Parallel()
	command := startCommand(t)
	if command.CACert != "" {
		t.Errorf("without TLS there is a CA certificate at %s", command.CACert)
	}
	command.stop(t, os.Interrupt)
}

func checkReadyFile(t *testing.T, path string, want ready) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got ready
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("the ready file says %+v, standard output %+v", got, want)
	}
}

func requestOverTLS(t *testing.T, at ready) {
	t.Helper()
	text, err := os.ReadFile(at.CACert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("the CA certificate is no PEM")
	}
	transport := cleanhttp.DefaultTransport()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	client := http.Client{Transport: transport}
	for _, url := range []string{
		at.Google + "/v26/customers:listAccessibleCustomers", at.Impact + "/Agencies/IRx/CompanyInformation", at.Platforms + "/awin/publishers",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		if response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: got status %d", url, response.StatusCode)
		}
	}
}

// checkLog wants the requests in the log, and no secret.
func checkLog(t *testing.T, command running) {
	t.Helper()
	ledger, err := simulator.NewClient(command.Control).Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(command.log)
	if err != nil {
		t.Fatal(err)
	}
	if leaks := ledger.Leaks(log); len(leaks) > 0 {
		t.Errorf("the log has %q", leaks)
	}
	if !bytes.Contains(log, []byte("listAccessibleCustomers")) {
		t.Error("the log does not have the request")
	}
}
