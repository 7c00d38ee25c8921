//go:build unix

package chaos

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// renewedIAM is Google's IAM API behind a certificate that is replaced in the middle of a rotation by one that nobody
// should trust.
type renewedIAM struct {
	iam http.Handler
	// last is the method of the last request that is answered before.
	last string
	once sync.Once
	// replaced says that the bad one is shown.
	replaced atomic.Bool
	url      string
	// cas are the PEMs to trust.
	cas string
}

func newRenewedIAM(t *testing.T, googleURL, last string, bad simulator.Certificate) *renewedIAM {
	t.Helper()
	good, goodCA, err := simulator.NewCertificate(simulator.CertificateGood)
	succeeded(t, err)
	untrusted, otherCA, err := simulator.NewCertificate(bad)
	succeeded(t, err)
	r := &renewedIAM{iam: proxyTo(t, googleURL), last: last, cas: string(goodCA) + string(otherCA)}
	server := httptest.NewUnstartedServer(r)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are wanted
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		shown := good
		if r.replaced.Load() {
			shown = untrusted
		}
		return &tls.Config{Certificates: []tls.Certificate{shown}, MinVersion: tls.VersionTLS12}, nil
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *renewedIAM) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method == r.last {
		r.once.Do(func() {
			r.replaced.Store(true)
			w.Header().Set("Connection", "close") // the next request is on a new one
		})
	}
	r.iam.ServeHTTP(w, request)
}
