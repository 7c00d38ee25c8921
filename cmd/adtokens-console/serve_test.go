package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// certificate makes files of a certificate for 127.0.0.1 and its key, and the client that trusts it.
func certificate(t *testing.T) (certFile, keyFile string, client *http.Client) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	made := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", made.Certificate[0]), write("key.pem", "PRIVATE KEY", key), server.Client()
}

// The program serves TLS with its own certificate, beyond loopback too, and ends with its context.
func TestServe_TLS(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	certFile, keyFile, client := certificate(t)
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- program.Execute(ctx, []string{"-vault-addr", vault.URL, "-listen", "0.0.0.0:0", "-tls-cert", certFile, "-tls-key", keyFile},
			cli.Streams{Out: in, Err: io.Discard})
	}()
	var ready struct{ URL string }
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(ready.URL, "https://") {
		t.Fatalf("it listens at %s", ready.URL)
	}
	address := "https://127.0.0.1" + ready.URL[strings.LastIndex(ready.URL, ":"):] + "/sign-in"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("it answers %s, %v", response.Status, response.Header)
	}
	for _, cookie := range response.Cookies() {
		if !cookie.Secure || !cookie.HttpOnly || !strings.HasPrefix(cookie.Name, "__Host-") {
			t.Errorf("the cookie %v goes without TLS", cookie)
		}
	}
	stop()
	if got := <-code; got != cli.ExitOK {
		t.Errorf("it ends with %d", got)
	}
}
