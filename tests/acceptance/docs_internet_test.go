//go:build unix

package acceptance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// startInternet is an internet in which the given hosts are served by others: an HTTP proxy that ends their TLS with a
// certificate of its own. It returns the environment in which a Go program on Linux lives there.
func startInternet(t *testing.T, hosts map[string]string) []string {
	t.Helper()
	certificate, trusted := newHostCertificate(t, slices.Sorted(maps.Keys(hosts)))
	served := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		target, err := url.Parse(hosts[r.In.Host])
		if err != nil {
			t.Errorf("the address behind %s is no URL: %v", r.In.Host, err)
		}
		r.SetURL(target)
	}})
	served.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	served.StartTLS()
	t.Cleanup(served.Close)

	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if _, known := hosts[host]; r.Method != http.MethodConnect || err != nil || !known {
			t.Errorf("a request to %s: the documentation leads to a host that is not simulated", r.Host)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		tunnel(w, r, served.Listener.Addr().String())
	}))
	t.Cleanup(proxy.Close)
	return []string{"HTTPS_PROXY=" + proxy.URL, "SSL_CERT_FILE=" + trusted}
}

// tunnel carries a CONNECT request's bytes to an address and back.
func tunnel(w http.ResponseWriter, r *http.Request, address string) {
	server, err := new(net.Dialer).DialContext(r.Context(), "tcp", address)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connected\r\n\r\n")
	go func() {
		_, _ = io.Copy(server, buffered) // either side may end the tunnel at any time
		server.Close()
	}()
	_, _ = io.Copy(client, server)
}

// newHostCertificate makes a certificate for the hosts, and writes it to a file for those who are to trust it.
func newHostCertificate(t *testing.T, hosts []string) (tls.Certificate, string) {
	t.Helper()
	key := done(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der := done(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)
	path := filepath.Join(t.TempDir(), "ca.pem")
	succeeded(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}
