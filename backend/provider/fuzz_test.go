package provider

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const fuzzedSecret = "s3cr3t-v4lue-of-the-fuzzer"

// FuzzDo looks for bytes that a server could answer with and that crash the client, are read beyond its bound, or get
// into an error. The answers of the seeds hold the secret wherever net/http could quote what it read.
func FuzzDo(f *testing.F) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff",
		"HTTP/1.1 429 Slow\r\nRetry-After: 9223372036854775807\r\nX-RateLimit-Reset: 7\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: http://" + fuzzedSecret + "\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + fuzzedSecret,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + fuzzedSecret + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + fuzzedSecret + "\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: " + fuzzedSecret + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + fuzzedSecret + "\r\n\r\n",
		"HTTP/1.1 " + fuzzedSecret + "\r\n\r\n",
		fuzzedSecret + "\r\n\r\n",
		"",
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		client, err := NewClient(ClientConfig{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		transport := client.Transport.(boundedTransport).Transport
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return &cannedConn{unread: bytes.NewReader(answer)}, nil
		}
		t.Cleanup(transport.CloseIdleConnections)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/?token="+fuzzedSecret, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := Do(client, request)
		if response != nil && len(response.Body) > maxResponseSize {
			t.Errorf("%d bytes were read", len(response.Body))
		}
		if err == nil {
			err = response.Decode(&struct{}{})
		}
		var unusable *Error
		if err != nil && (!errors.As(err, &unusable) || strings.Contains(err.Error(), fuzzedSecret) || len(err.Error()) > 300) {
			t.Errorf("got error %v, want a short *Error without the secret", err)
		}
	})
}

// cannedConn is a connection to a server that has answered before it was asked, and then hung up.
type cannedConn struct {
	net.Conn // nil: the client calls nothing else
	unread   *bytes.Reader
}

func (c *cannedConn) Read(p []byte) (int, error)  { return c.unread.Read(p) }
func (c *cannedConn) Write(p []byte) (int, error) { return len(p), nil }
func (c *cannedConn) Close() error                { return nil }

// FuzzWebhookURL looks for addresses that are taken although requests may not be sent there, or that show their query.
func FuzzWebhookURL(f *testing.F) {
	for _, address := range []string{
		"https://hook.example.com/reset/", "https://f.example.com/api?code=" + fuzzedSecret, "https://f.example.com/?…", "http://127.0.0.1:1/?a?b#c",
		"https://a:" + fuzzedSecret + "@b", "https://h/%3fcode=x", "//h?x", "https://h?",
	} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		field := Field{Name: "reset_hook_url", Check: WebhookURL, Show: ShowWebhookURL}
		canonical, err := field.Canonical(address)
		if err != nil || canonical == "" {
			return
		}
		u, err := url.Parse(canonical)
		if err != nil || u.User != nil || u.Hostname() == "" || canonical != strings.TrimSpace(address) {
			t.Fatalf("%q was taken as %q", address, canonical)
		}
		wantSafe(t, u)
		shown := field.Shown(canonical)
		if u.RawQuery != "" && strings.HasSuffix(shown, u.RawQuery) && u.RawQuery != "…" {
			t.Errorf("%q is shown as %q", canonical, shown)
		}
		if _, err := field.Canonical(shown); shown != canonical && err == nil {
			t.Errorf("what is shown of it, %q, can be written back", shown)
		}
	})
}

// FuzzRetryAfter looks for headers that ask for an impossible wait.
func FuzzRetryAfter(f *testing.F) {
	for _, header := range []string{"", "7", " 7 ", "-1", "0x10", "99999999", "9223372036854775807", "Wed, 21 Oct 2026 07:28:00 GMT"} {
		f.Add(header, "90")
	}
	f.Fuzz(func(t *testing.T, standard, impact string) {
		wait := RetryAfter(http.Header{"Retry-After": {standard}, "X-Ratelimit-Reset": {impact}})
		if wait < 0 || wait > maxRetryAfter || wait%time.Second != 0 {
			t.Errorf("%q and %q ask to wait %v", standard, impact, wait)
		}
	})
}

// FuzzEndpointURL looks for addresses that are taken although secrets may not be sent there, or whose canonical form is
// none.
func FuzzEndpointURL(f *testing.F) {
	for _, address := range []string{
		"https://host.example.com/", "http://127.0.0.1:8080//", "http://[::1]", "http://localhost:1/a/../b", "HTTP://LOCALHOST", "https://a@b",
		"https://host?x", "http://127.0.0.1.example.com", "http://localhost.", "https://[::1%25x]", "https://host:99999", "https://host/%2f", "//host", "https:host", "https://host#",
		"https://ho st", "https://host\\@other", "http://0x7f.1",
	} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		canonical, err := Field{Name: "base_url", Endpoint: true, Check: EndpointURL}.Canonical(address)
		if err != nil || canonical == "" {
			return
		}
		u, err := url.Parse(canonical)
		if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Hostname() == "" {
			t.Fatalf("%q was taken as %q", address, canonical)
		}
		wantSafe(t, u)
		if again, err := EndpointURL(canonical); err != nil || again != canonical {
			t.Errorf("%q becomes %q, and then %q: %v", address, canonical, again, err)
		}
	})
}

func wantSafe(t *testing.T, u *url.URL) {
	t.Helper()
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		t.Errorf("secrets would go to %q in clear", u.Redacted())
	}
}
