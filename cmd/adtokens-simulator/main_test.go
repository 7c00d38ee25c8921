package main

import (
	"bufio"
	"bytes"
	"context"
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

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/simulator"
)

// running is the command, built and serving.
type running struct {
	ready
	binary, log string // paths
}

// startCommand builds the command and serves with it. The test fails unless it stops within seconds of a SIGTERM.
func startCommand(t *testing.T, args ...string) running {
	t.Helper()
	directory := t.TempDir()
	binary := filepath.Join(directory, "adtokens-simulator")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, output)
	}
	serve := exec.CommandContext(context.WithoutCancel(t.Context()), binary, append([]string{"serve"}, args...)...)
	log, err := os.Create(filepath.Join(directory, "log"))
	if err != nil {
		t.Fatal(err)
	}
	serve.Stderr = log
	stdout, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kill := time.AfterFunc(10*time.Second, func() { _ = serve.Process.Kill() })
		defer kill.Stop()
		if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := serve.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("reading the ready line: %v", err)
	}
	var at ready
	if err := json.Unmarshal(line, &at); err != nil {
		t.Fatal(err)
	}
	return running{at, binary, log.Name()}
}

func TestCommandServesOverTLSAndStopsOnSignal(t *testing.T) {
	t.Parallel()
	readyFile := filepath.Join(t.TempDir(), "ready.json")
	var caPath string
	t.Run("while it runs", func(t *testing.T) {
		command := startCommand(t, "-tls", "-ready-file", readyFile)
		caPath = command.CACert
		checkReadyFile(t, readyFile, command.ready)
		requestOverTLS(t, command.ready)

		show := exec.CommandContext(t.Context(), command.binary, "console", "google", "show-developer-token")
		show.Env = append(os.Environ(), controlVariable+"="+command.Control)
		output, err := show.Output()
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^[0-9A-Za-z]{22}\n$`).Match(output) {
			t.Error("the console did not print one developer token")
		}
		checkLog(t, command)
	})
	if _, err := os.Stat(caPath); !os.IsNotExist(err) {
		t.Errorf("the CA certificate is left behind at %s", caPath)
	}
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
	client := cleanhttp.DefaultClient()
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	for _, url := range []string{at.Google + "/v26/customers:listAccessibleCustomers", at.Impact + "/Agencies/IRx/CompanyInformation"} {
		response, err := client.Get(url)
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
