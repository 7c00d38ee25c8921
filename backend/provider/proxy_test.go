package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const proxyPassword = "pr0xy-p4ssword"

// through sends a request for https://api.example.com by way of the proxy, and returns the error, which holds no secret.
func through(ctx context.Context, t *testing.T, proxy func(*http.Request) (*url.URL, error)) *Error {
	t.Helper()
	client, err := NewClient(ClientConfig{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	client.Transport.(boundedTransport).Proxy = proxy
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/?token="+fuzzedSecret, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Do(client, request)
	var silence *Error
	if !errors.As(err, &silence) || silence.Host != "api.example.com" || strings.Contains(err.Error(), proxyPassword) || strings.Contains(err.Error(), fuzzedSecret) {
		t.Fatalf("got error %v, want an *Error of api.example.com without secrets", err)
	}
	return silence
}

// at is a proxy's address with a password in it.
func at(scheme, host string) func(*http.Request) (*url.URL, error) {
	return http.ProxyURL(&url.URL{Scheme: scheme, Host: host, User: url.UserPassword("vault", proxyPassword)})
}

// TestTransportError_ProxyRefusesToConnect: a status of the proxy is no answer of the host behind it, and is named.
func TestTransportError_ProxyRefusesToConnect(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		says   string
	}{
		"wants a password":   {407, "(HTTP 407 Proxy Authentication Required); HTTPS_PROXY of Vault's environment has to hold a user and a password"},
		"forbids it":         {403, "(HTTP 403 Forbidden); have the proxy let it pass, or name it in NO_PROXY"},
		"no proxy":           {405, "(HTTP 405 Method Not Allowed); have the proxy"},
		"does not reach it":  {502, "(HTTP 502 Bad Gateway); the proxy itself does not reach it"},
		"limits the rate":    {429, "(HTTP 429 Too Many Requests)"},
		"redirects":          {302, "(HTTP 302 Found)"},
		"another success":    {204, "(HTTP 204 No Content)"},
		"status of its own":  {477, "(HTTP 477)"},
		"answers by a login": {401, "(HTTP 401 Unauthorized)"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodConnect {
					t.Errorf("the proxy got %s", r.Method)
				}
				w.Header().Set("Location", "https://login.example.com/"+fuzzedSecret)
				w.WriteHeader(tc.status)
				if tc.status != http.StatusNoContent {
					_, _ = io.WriteString(w, fuzzedSecret)
				}
			}))
			t.Cleanup(proxy.Close)
			host := strings.TrimPrefix(proxy.URL, "http://")
			got := through(t.Context(), t, at("http", host))
			want := "could not be reached: the proxy " + host + " refused to connect to api.example.com:443 " + tc.says
			if got.Kind != Unavailable || !strings.HasPrefix(got.Problem, want) {
				t.Errorf("got kind %d, problem %q; want Unavailable, %q", got.Kind, got.Problem, want)
			}
		})
	}
}

// noAddress fails as http.ProxyFromEnvironment does.
func noAddress(*http.Request) (*url.URL, error) {
	return nil, errors.New("invalid proxy address http://vault:" + proxyPassword)
}

func TestTransportError_ProxyThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	serve := func(handle func(net.Conn)) string {
		var config net.ListenConfig
		listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				handle(connection)
				_ = connection.Close()
			}
		}()
		return listener.Addr().String()
	}
	closed := serve(func(net.Conn) {})
	rude := serve(func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) })
	babbling := serve(func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, fuzzedSecret+"\r\n\r\n")
	})
	foreign := httptest.NewUnstartedServer(http.NotFoundHandler())
	foreign.Config.ErrorLog = log.New(io.Discard, "", 0)
	foreign.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	foreign.StartTLS()
	t.Cleanup(foreign.Close)
	trusted := strings.TrimPrefix(foreign.URL, "https://")
	tests := map[string]struct {
		proxy func(*http.Request) (*url.URL, error)
		says  string
	}{
		"nobody listens":         {at("http", "127.0.0.1:1"), "could not be reached: the proxy 127.0.0.1:1 could not be reached: connect"},
		"closes the connection":  {at("http", rude), "closed the connection before its answer was complete, by way of the proxy " + rude},
		"closes it at once":      {at("https", closed), "could not be reached: the proxy " + closed + " closed the connection"},
		"answers something else": {at("http", babbling), "gave an answer that is no valid HTTP, by way of the proxy " + babbling},
		"unknown certificate":    {at("https", trusted), "could not be reached: the proxy " + trusted + " has a TLS certificate that is not trusted"},
		"address that is none":   {noAddress, "was not called: HTTPS_PROXY of Vault's environment is no address of a proxy"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := through(t.Context(), t, tc.proxy); got.Kind != Unavailable || !strings.Contains(got.Problem, tc.says) {
				t.Errorf("got kind %d, problem %q; want Unavailable with %q", got.Kind, got.Problem, tc.says)
			}
		})
	}
}

func TestTransportError_WaitForAProxyThatIsCancelled(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}))
	t.Cleanup(proxy.Close)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	if got := through(ctx, t, at("http", strings.TrimPrefix(proxy.URL, "http://"))); got.Problem != "was not waited for: the request was cancelled" {
		t.Errorf("got %q", got.Problem)
	}
}

func TestTransportError_ProxyThatIsNotFound(t *testing.T) {
	t.Parallel()
	const proxy = "proxy.example.com:3128"
	connect := func(cause error) error {
		return &proxyError{host: proxy, err: &net.OpError{Op: "proxyconnect", Net: "tcp", Err: &net.OpError{Op: "dial", Net: "tcp", Err: cause}}}
	}
	tests := map[string]struct {
		cause error
		kind  Kind
		want  string
	}{
		"no such name": {&net.DNSError{Err: "no such host", Name: "proxy.example.com", IsNotFound: true}, Unavailable, "could not be reached: lookup proxy.example.com: no such host"},
		"no answer":    {context.DeadlineExceeded, Timeout, "did not answer in time"},
	}
	for name, tc := range tests {
		got := TransportError("api.example.com", &url.Error{Op: "Get", URL: fuzzedSecret, Err: connect(tc.cause)})
		if got.Kind != tc.kind || got.Host != "api.example.com" || got.Problem != "could not be reached: the proxy "+proxy+" "+tc.want {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// TestNewClient_UserAgentAtAProxy: a proxy's log names the program as well.
func TestNewClient_UserAgentAtAProxy(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.UserAgent()
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(proxy.Close)
	client, err := NewClient(ClientConfig{Timeout: time.Minute, UserAgent: "engine/v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	client.Transport.(boundedTransport).Proxy = at("http", strings.TrimPrefix(proxy.URL, "http://"))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example.com/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Do(client, request); err == nil {
		t.Error("the proxy's refusal is no error")
	}
	if got := <-asked; got != "engine/v1.2.3" {
		t.Errorf("the proxy was asked by %q", got)
	}
}
