package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestHeaders_OfEveryPage(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.fakeToken("acme-rw", nil)
	b := newBrowser(t, vault, nil)
	b.signIn()
	for _, path := range []string{
		"/sign-in", "/", "/m/adtokens/", "/m/adtokens/tokens/acme-rw", "/m/adtokens/tokens/none", "/m/adtokens/campaigns/new", "/nothing", "/m/other/",
		"/assets/style.css", "/assets/none", "/consent/callback?state=x&code=y", "/sign-in/oidc/callback?state=x&code=y", "/health",
	} {
		got := b.get(path)
		csp := got.header.Get("Content-Security-Policy")
		for _, directive := range []string{"default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, directive) {
				t.Errorf("%s: the policy %q has no %s", path, csp, directive)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") || strings.Contains(csp, "*") {
			t.Errorf("%s: the policy is %q", path, csp)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, got.header.Get(name))
			}
		}
		if !strings.HasPrefix(path, "/assets/s") && got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: it may be kept: %q", path, got.header.Get("Cache-Control"))
		}
		for _, inline := range []string{"style=", "<style", "onclick", "onload", "<script>", "javascript:"} {
			if strings.HasPrefix(got.header.Get("Content-Type"), "text/html") && strings.Contains(got.text, inline) {
				t.Errorf("%s: the page has %s", path, inline)
			}
		}
	}
}

func TestPost_FromElsewhereIsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		headers map[string]string
		noToken bool
		status  int
	}{
		"own page":                      {map[string]string{"Origin": "own"}, false, http.StatusSeeOther},
		"own page, origin kept back":    {map[string]string{"Origin": "null", "Sec-Fetch-Site": "same-origin"}, false, http.StatusSeeOther},
		"a tool":                        {nil, false, http.StatusSeeOther},
		"foreign origin":                {map[string]string{"Origin": "https://evil.example"}, false, http.StatusForbidden},
		"foreign origin that lies":      {map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, false, http.StatusForbidden},
		"another port":                  {map[string]string{"Origin": "http://127.0.0.1:1"}, false, http.StatusForbidden},
		"https of the same name":        {map[string]string{"Origin": "own https"}, false, http.StatusForbidden},
		"origin of a sandbox":           {map[string]string{"Origin": "null", "Sec-Fetch-Site": "cross-site"}, false, http.StatusForbidden},
		"origin of nobody":              {map[string]string{"Origin": "null"}, false, http.StatusForbidden},
		"another site without origin":   {map[string]string{"Sec-Fetch-Site": "cross-site"}, false, http.StatusForbidden},
		"another host of the same site": {map[string]string{"Sec-Fetch-Site": "same-site"}, false, http.StatusForbidden},
		"without the form's token":      {map[string]string{"Origin": "own"}, true, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vault := newFakeVault(t)
			vault.fakeToken("acme-rw", nil)
			vault.gives("POST adtokens/tokens/acme-rw/verify", fields{"outcome": "accepted", "detail": "it is good"})
			b := newBrowser(t, vault, nil)
			b.signIn()
			form := url.Values{"csrf": {b.csrf(b.get("/m/adtokens/tokens/acme-rw").text)}}
			if tt.noToken {
				form = url.Values{}
			}
			r := b.request(http.MethodPost, "/m/adtokens/tokens/acme-rw/verify", form)
			for header, value := range tt.headers {
				value = strings.ReplaceAll(value, "own https", strings.Replace(b.server.URL, "http:", "https:", 1))
				r.Header.Set(header, strings.ReplaceAll(value, "own", b.server.URL))
			}
			if got := b.do(r); got.status != tt.status {
				t.Errorf("it answers %d", got.status)
			}
			if asked := len(vault.asked("POST", "adtokens/tokens/acme-rw/verify")); (asked == 1) != (tt.status == http.StatusSeeOther) {
				t.Errorf("Vault was asked %d times", asked)
			}
		})
	}
}

// The token of somebody else's page is good for nothing.
func TestPost_TheTokenOfAFormIsOfOneBrowser(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	b := newBrowser(t, vault, nil)
	foreign := b.csrf(b.get("/sign-in").text)
	b.client = b.another()
	b.signIn()
	if got := b.do(b.request(http.MethodPost, "/sign-out", url.Values{"csrf": {foreign}})); got.status != http.StatusForbidden {
		t.Errorf("it answers %d", got.status)
	}
	if got := b.get("/m/adtokens/"); got.status != http.StatusOK {
		t.Errorf("the person is signed out: %d", got.status)
	}
}

func TestHost_ANameThatLeadsHereIsRefused(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, newFakeVault(t), nil)
	for host, status := range map[string]int{
		"evil.example": http.StatusForbidden, "evil.example:8080": http.StatusForbidden, "localhost:8080": http.StatusOK, "[::1]:8080": http.StatusOK, "127.0.0.1": http.StatusOK,
	} {
		r := b.request(http.MethodGet, "/sign-in", nil)
		r.Host = host
		if got := b.do(r); got.status != status {
			t.Errorf("%s: it answers %d", host, got.status)
		}
	}
}

func TestProxy_IsBelievedOnlyWhereThereIsOne(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		proxied   bool
		forwarded []string
		want      string
	}{
		"none":                  {false, []string{"203.0.113.7"}, "127.0.0.1"},
		"one":                   {true, []string{"203.0.113.7"}, "203.0.113.7"},
		"what the browser said": {true, []string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7"},
		"two headers":           {true, []string{"198.51.100.1", "203.0.113.7"}, "203.0.113.7"},
		"no address":            {true, []string{"unknown"}, "127.0.0.1"},
	} {
		c := &console{proxied: tt.proxied, secure: tt.proxied}
		r := &http.Request{RemoteAddr: "127.0.0.1:1", Header: http.Header{"X-Forwarded-For": tt.forwarded}}
		if got := c.clientAddress(r); got != tt.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	b := newBrowser(t, newFakeVault(t), func(o *options) { o.behindProxy = true })
	r := b.request(http.MethodGet, "/sign-in", nil)
	r.Host = "console.acme.example"
	r.Header.Set("X-Forwarded-Proto", "http")
	if got := b.do(r); got.status != http.StatusForbidden {
		t.Errorf("a page in clear is answered: %d", got.status)
	}
	r.Header.Set("X-Forwarded-Proto", "https")
	got := b.do(r)
	if got.status != http.StatusOK || got.header.Get("Strict-Transport-Security") == "" {
		t.Errorf("a page behind the proxy answers %d with %v", got.status, got.header)
	}
	for _, cookie := range got.cookies {
		if !cookie.Secure || !strings.HasPrefix(cookie.Name, "__Host-") {
			t.Errorf("the cookie %s goes without TLS", cookie.Name)
		}
	}
}

func TestForm_HasABound(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, newFakeVault(t), nil)
	b.signIn()
	got := b.do(b.request(http.MethodPost, "/sign-out", url.Values{"csrf": {strings.Repeat("x", maxForm)}}))
	if got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("it answers %d", got.status)
	}
}
