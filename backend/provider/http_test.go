package provider_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// secret travels in the address and in a header of every request; no error may repeat it.
const secret = "s3cr3t-v4lue"

// maxResponseSize is the documented bound of an answer, in bytes.
const maxResponseSize = 1 << 20

func newClient(t *testing.T, config provider.ClientConfig) *http.Client {
	t.Helper()
	client, err := provider.NewClient(config)
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func do(ctx context.Context, t *testing.T, client *http.Client, address string) (*provider.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/?token="+secret, http.NoBody)
	if err != nil {
		t.Fatalf("NewRequest: %v", err)
	}
	request.Header.Set("Authorization", "Bearer "+secret)
	response, err := provider.Do(client, request)
	if strings.Contains(errorText(err), secret) {
		t.Errorf("the error repeats the secret: %v", err)
	}
	return response, err
}

// asError returns the *provider.Error that err has to be.
func asError(t *testing.T, err error) *provider.Error {
	t.Helper()
	got, ok := errors.AsType[*provider.Error](err)
	if !ok {
		t.Fatalf("got error %v, want a *provider.Error", err)
	}
	return got
}

func wantError(t *testing.T, err error, kind provider.Kind, problem string) {
	t.Helper()
	if got := asError(t, err); got.Kind != kind || !strings.Contains(got.Problem, problem) {
		t.Errorf("got kind %d, problem %q; want kind %d, problem with %q", got.Kind, got.Problem, kind, problem)
	}
}

func answer(status int, header map[string]string, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestDoReturnsAnswersAboutTheRequest(t *testing.T) {
	t.Parallel()
	full := strings.Repeat("x", maxResponseSize)
	tests := map[string]struct {
		status int
		body   string
	}{
		"success":           {status: http.StatusOK, body: `{"a":1}`},
		"no content":        {status: http.StatusNoContent},
		"refusal":           {status: http.StatusForbidden, body: `{"b":2}`},
		"largest body":      {status: http.StatusOK, body: full},
		"largest of errors": {status: http.StatusBadRequest, body: full},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(answer(tc.status, map[string]string{"X-Test": "yes"}, tc.body))
			t.Cleanup(server.Close)
			got, err := do(t.Context(), t, newClient(t, provider.ClientConfig{Timeout: time.Minute}), server.URL)
			if err != nil {
				t.Fatalf("Do: %v", err)
			}
			if got.Status != tc.status || string(got.Body) != tc.body || got.Header.Get("X-Test") != "yes" || "http://"+got.Host != server.URL {
				t.Errorf("got host %s, status %d, header %q and %d bytes; want %s, %d, yes and %d",
					got.Host, got.Status, got.Header.Get("X-Test"), len(got.Body), server.URL, tc.status, len(tc.body))
			}
		})
	}
}

func TestDoTellsStatusesThatSayNothingAboutTheRequest(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status  int
		header  map[string]string
		kind    provider.Kind
		problem string
		wait    time.Duration
	}{
		"rate limit":                      {status: 429, kind: provider.RateLimited, problem: "limits the rate"},
		"rate limit with a wait":          {status: 429, header: map[string]string{"Retry-After": " 7 "}, kind: provider.RateLimited, wait: 7 * time.Second},
		"rate limit, impact.com's header": {status: 429, header: map[string]string{"X-RateLimit-Reset": "90"}, kind: provider.RateLimited, wait: 90 * time.Second},
		"wait is bounded":                 {status: 429, header: map[string]string{"Retry-After": "99999999"}, kind: provider.RateLimited, wait: 24 * time.Hour},
		"wait too large for a number":     {status: 429, header: map[string]string{"Retry-After": "99999999999999999999"}, kind: provider.RateLimited},
		"wait until a date":               {status: 429, header: map[string]string{"Retry-After": time.Now().Add(48 * time.Hour).UTC().Format(http.TimeFormat)}, kind: provider.RateLimited, wait: 24 * time.Hour},
		"wait beyond what can be counted": {status: 429, header: map[string]string{"Retry-After": "9223372036854775807"}, kind: provider.RateLimited, wait: 24 * time.Hour},
		"date that is over":               {status: 429, header: map[string]string{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, kind: provider.RateLimited},
		"negative wait":                   {status: 429, header: map[string]string{"Retry-After": "-5"}, kind: provider.RateLimited},
		"server error":                    {status: 500, kind: provider.Unavailable, problem: "a problem of its own (HTTP 500)"},
		"maintenance with a wait":         {status: 503, header: map[string]string{"Retry-After": "60"}, kind: provider.Unavailable, problem: "HTTP 503", wait: time.Minute},
		"request timeout":                 {status: 408, kind: provider.Timeout, problem: "HTTP 408"},
		"redirect without a location":     {status: 302, kind: provider.Unavailable, problem: "a redirect (HTTP 302)"},
		"not modified":                    {status: 304, kind: provider.Unavailable, problem: "HTTP 304"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(answer(tc.status, tc.header, ""))
			t.Cleanup(server.Close)
			response, err := do(t.Context(), t, newClient(t, provider.ClientConfig{Timeout: time.Minute}), server.URL)
			wantError(t, err, tc.kind, tc.problem)
			if got := asError(t, err).RetryAfter; got != tc.wait {
				t.Errorf("got a wait of %s, want %s", got, tc.wait)
			}
			if response == nil || response.Status != tc.status {
				t.Errorf("got response %+v, want the answer beside the error", response)
			}
		})
	}
}

func TestDoNeverFollowsARedirect(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			var stolen atomic.Int32
			thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
			t.Cleanup(thief.Close)
			server := httptest.NewServer(answer(status, map[string]string{"Location": thief.URL}, ""))
			t.Cleanup(server.Close)
			_, err := do(t.Context(), t, newClient(t, provider.ClientConfig{Timeout: time.Minute}), server.URL)
			wantError(t, err, provider.Unavailable, "a redirect")
			if stolen.Load() != 0 {
				t.Error("the credential was sent on")
			}
		})
	}
}

func TestDoTellsWhatKeptTheAnswerAway(t *testing.T) {
	t.Parallel()
	halfBody := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	tests := map[string]struct {
		handler http.HandlerFunc
		kind    provider.Kind
		problem string
	}{
		"no answer": {
			handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			kind:    provider.Timeout, problem: "did not answer in time",
		},
		"answer that never ends": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "{")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			},
			kind: provider.Timeout, problem: "did not answer in time",
		},
		"slow drip": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				drops := time.NewTicker(5 * time.Millisecond)
				defer drops.Stop()
				for http.NewResponseController(w).Flush() == nil {
					select {
					case <-drops.C:
						_, _ = io.WriteString(w, " ")
					case <-r.Context().Done():
						return
					}
				}
			},
			kind: provider.Timeout, problem: "did not answer in time",
		},
		"reset connection":    {handler: resetConnection, problem: "closed the connection"},
		"dropped connection":  {handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, problem: "closed the connection"},
		"half an answer":      {handler: halfBody, problem: "closed the connection"},
		"one byte too many":   {handler: answer(200, nil, strings.Repeat("x", maxResponseSize+1)), problem: "more than 1048576 bytes"},
		"enormous header":     {handler: answer(200, map[string]string{"X": strings.Repeat("x", 2*maxResponseSize)}, ""), problem: "no valid HTTP"},
		"header that is none": {handler: rawAnswer("HTTP/1.1 " + secret + "\r\n\r\n"), problem: "no valid HTTP"},
		"no HTTP at all":      {handler: rawAnswer(secret), problem: "no valid HTTP"},
		"body that is no gzip": {
			handler: answer(200, map[string]string{"Content-Encoding": "gzip"}, secret+strings.Repeat("x", 100)),
			problem: "no valid HTTP",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tc.handler)
			t.Cleanup(server.Close)
			timeout := time.Minute
			if tc.kind == provider.Timeout {
				timeout = 50 * time.Millisecond
			}
			response, err := do(t.Context(), t, newClient(t, provider.ClientConfig{Timeout: timeout}), server.URL)
			wantError(t, err, tc.kind, tc.problem)
			if got := asError(t, err).Host; "http://"+got != server.URL || response != nil {
				t.Errorf("got host %q and response %v; want that of %s and none", got, response, server.URL)
			}
		})
	}
}

// resetConnection ends the connection with a RST.
func resetConnection(w http.ResponseWriter, _ *http.Request) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	if err := connection.(*net.TCPConn).SetLinger(0); err != nil {
		panic(err)
	}
	_ = connection.Close()
}

// TestDoReadsNoMoreThanItsLimit measures what reading allocates, so it has the process for itself.
func TestDoReadsNoMoreThanItsLimit(t *testing.T) {
	const size, allowed = 64 << 20, 16 << 20
	endless := func(w io.Writer) {
		spaces := bytes.Repeat([]byte(" "), 1<<20)
		for range size / len(spaces) {
			if _, err := w.Write(spaces); err != nil {
				return // the client has had enough
			}
		}
	}
	var bomb bytes.Buffer
	packed := gzip.NewWriter(&bomb)
	endless(packed)
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, handler := range map[string]http.HandlerFunc{
		"plain":  func(w http.ResponseWriter, _ *http.Request) { endless(w) },
		"packed": answer(200, map[string]string{"Content-Encoding": "gzip"}, bomb.String()),
		"header": func(w http.ResponseWriter, _ *http.Request) {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer connection.Close()
			_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nX:")
			endless(connection)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			t.Cleanup(server.Close)
			client := newClient(t, provider.ClientConfig{Timeout: time.Minute})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := do(t.Context(), t, client, server.URL)
			runtime.ReadMemStats(&after)
			if asError(t, err).Kind != provider.Unavailable {
				t.Errorf("got error %v", err)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > allowed {
				t.Errorf("an answer of %d MiB took %d MiB of memory, want at most %d", size>>20, got>>20, allowed>>20)
			}
		})
	}
}

// silent keeps failed handshakes, which are wanted here, out of the output.
var silent = log.New(io.Discard, "", 0)

// rawAnswer writes bytes on the wire, which need not be HTTP, and closes the connection.
func rawAnswer(wire string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer connection.Close()
		_, _ = io.WriteString(connection, wire)
	}
}

func TestDoObeysItsContext(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	client := newClient(t, provider.ClientConfig{Timeout: time.Minute})

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := do(cancelled, t, client, server.URL)
	wantError(t, err, provider.Unavailable, "the request was cancelled")

	expired, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = do(expired, t, client, server.URL)
	wantError(t, err, provider.Timeout, "did not answer in time")
}

func TestDoTellsAnUnreachableHost(t *testing.T) {
	t.Parallel()
	const nobody = "http://127.0.0.1:1" // a privileged port that nothing listens on
	_, err := do(t.Context(), t, newClient(t, provider.ClientConfig{Timeout: time.Minute}), nobody)
	wantError(t, err, provider.Unavailable, "could not be reached: connect: connection refused")
}

func TestClientTrust(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(answer(200, nil, "{}"))
	server.Config.ErrorLog = silent
	server.StartTLS()
	t.Cleanup(server.Close)
	privateCA := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))

	old := httptest.NewUnstartedServer(answer(200, nil, "{}"))
	old.Config.ErrorLog = silent
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	t.Cleanup(old.Close)

	plain := httptest.NewServer(answer(200, nil, "{}"))
	t.Cleanup(plain.Close)

	expired := newExpiredServer(t)

	tests := map[string]struct {
		address, caCert, problem string
	}{
		"certificate that has expired": {address: expired.URL, caCert: expired.ca, problem: "it has expired, or the clock"},
		"private CA that is trusted":   {address: server.URL, caCert: privateCA},
		"private CA that is not":       {address: server.URL, problem: "set the account's CA certificate for this address"},
		"name that is not its own":     {address: strings.Replace(server.URL, "127.0.0.1", "localhost", 1), caCert: privateCA, problem: "TLS certificate that is not trusted"},
		"TLS older than 1.2":           {address: old.URL, caCert: privateCA, problem: "tls: protocol version not supported"},
		"plain HTTP behind https://":   {address: strings.Replace(plain.URL, "http:", "https:", 1), problem: "speaks plain HTTP"},
		"private CA beside plain":      {address: plain.URL, caCert: privateCA},
		"two certificates in ca_cert":  {address: server.URL, caCert: privateCA + privateCA},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := do(t.Context(), t, newClient(t, provider.ClientConfig{CACert: tc.caCert, Timeout: time.Minute}), tc.address)
			if tc.problem == "" {
				if err != nil {
					t.Errorf("Do: %v", err)
				}
				return
			}
			wantError(t, err, provider.Unavailable, tc.problem)
		})
	}
}

type expiredServer struct {
	*httptest.Server
	ca string
}

func newExpiredServer(t *testing.T) expiredServer {
	t.Helper()
	certificate, ca, err := simulator.NewCertificate(simulator.CertificateExpired)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(answer(200, nil, "{}"))
	server.Config.ErrorLog = silent
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return expiredServer{server, string(ca)}
}

func TestNewClientRefusesACACertThatIsNone(t *testing.T) {
	t.Parallel()
	_, err := provider.NewClient(provider.ClientConfig{CACert: secret})
	if want := "must hold at least one PEM encoded certificate"; errorText(err) != want {
		t.Errorf("got error %q, want %q", errorText(err), want)
	}
}

func TestResponseDecode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body string
		ok   bool
	}{
		"object":           {body: `{"name":"x"}`, ok: true},
		"white space":      {body: " \r\n\t{\"name\":\"x\"}\n", ok: true},
		"page":             {body: "<html>" + secret + "</html>"},
		"nothing":          {body: ""},
		"list":             {body: `[{"name":"x"}]`},
		"null":             {body: "null"},
		"half an object":   {body: `{"name":"x`},
		"two objects":      {body: `{"name":"x"}{}`},
		"other kind of it": {body: `{"name":{"` + secret + `":1}}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var v struct {
				Name string `json:"name"`
			}
			response := provider.Response{Host: "api.example.com", Status: 403, Body: []byte(tc.body)}
			err := response.Decode(&v)
			if tc.ok {
				if err != nil || v.Name != "x" {
					t.Errorf("got name %q, error %v; want x", v.Name, err)
				}
				return
			}
			wantError(t, err, provider.Unavailable, "unreadable answer (HTTP 403)")
			if asError(t, err).Host != "api.example.com" || strings.Contains(err.Error(), secret) {
				t.Errorf("got error %q, want one with the host and without the body", err)
			}
		})
	}
}

func TestResponseIsJSON(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]bool{
		"application/json":                          true,
		"application/json; charset=UTF-8":           true,
		"application/json;charset=utf-8":            true,
		"Application/JSON ; charset=\"iso-8859-1\"": true,
		"application/json; charset":                 true,
		"":                                          false,
		"text/html; charset=utf-8":                  false,
		"text/plain":                                false,
		"application/problem+json":                  false,
		"application/jsonp":                         false,
		"application/xml":                           false,
		"json":                                      false,
		"text/html, application/json":               false,
	} {
		response := provider.Response{Header: http.Header{"Content-Type": {contentType}}}
		if got := response.IsJSON(); got != want {
			t.Errorf("%q: got %v, want %v", contentType, got, want)
		}
	}
	if (&provider.Response{}).IsJSON() {
		t.Error("an answer without a type is taken for JSON")
	}
}

func TestResponseIsPage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		contentType, body string
		want              bool
	}{
		"announced":                {"text/html; charset=utf-8", "blocked", true},
		"XHTML":                    {"application/xhtml+xml", "", true},
		"markup":                   {"text/plain", "\r\n <!DOCTYPE html>", true},
		"markup without a type":    {"", "<html>", true},
		"JSON":                     {"application/json", `{"message":"<b>"}`, false},
		"text":                     {"text/plain; charset=utf-8", "bad signature", false},
		"nothing":                  {"", "", false},
		"type that is none at all": {";", "bad signature", false},
	}
	for name, tc := range tests {
		response := provider.Response{Header: http.Header{"Content-Type": {tc.contentType}}, Body: []byte(tc.body)}
		if got := response.IsPage(); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func TestResponseMembers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		contentType, body string
		ok                bool
	}{
		"object":          {"application/json", `{"Name":"x","name":"y"}`, true},
		"not announced":   {"text/html", `{"Name":"x"}`, false},
		"list":            {"application/json", `[{"Name":"x"}]`, false},
		"page":            {"application/json", "<html>" + secret, false},
		"null":            {"application/json", "null", false},
		"nothing":         {"application/json", "", false},
		"half an object":  {"application/json", `{"Name":"` + secret, false},
		"one and another": {"application/json", `{"Name":"x"}{}`, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response := provider.Response{Host: "api.example.com", Status: 200, Header: http.Header{"Content-Type": {tc.contentType}}, Body: []byte(tc.body)}
			got, err := response.Members()
			if tc.ok {
				if err != nil || string(got["Name"]) != `"x"` || string(got["name"]) != `"y"` {
					t.Errorf("got %s, error %v; want the members by their exact names", got, err)
				}
				return
			}
			wantError(t, err, provider.Unavailable, "unreadable answer (HTTP 200)")
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error repeats the body: %v", err)
			}
		})
	}
}

// TestNewClient_UserAgent: the program's name comes first, a client library's behind it, and the caller's request stays as
// it is, so that one that is sent twice does not grow.
func TestNewClient_UserAgent(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ config, agent, want string }{
		"the program alone":        {"engine/v1.2.3", "", "engine/v1.2.3"},
		"the program of a library": {"engine/v1.2.3", "google-api-go-client/0.5", "engine/v1.2.3 google-api-go-client/0.5"},
		"a library alone":          {"", "google-api-go-client/0.5", "google-api-go-client/0.5"},
		"nobody":                   {"", "", "Go-http-client/1.1"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.UserAgent()) }))
			t.Cleanup(server.Close)
			client := newClient(t, provider.ClientConfig{Timeout: time.Minute, UserAgent: tc.config})
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if tc.agent != "" {
				request.Header.Set("User-Agent", tc.agent)
			}
			for range 2 {
				if _, err := provider.Do(client, request); err != nil {
					t.Fatal(err)
				}
			}
			if want := []string{tc.want, tc.want}; !slices.Equal(got, want) {
				t.Errorf("the server was asked by %q, want %q", got, want)
			}
			if now := request.Header.Get("User-Agent"); now != tc.agent {
				t.Errorf("the caller's request says %q now, and said %q", now, tc.agent)
			}
		})
	}
}
