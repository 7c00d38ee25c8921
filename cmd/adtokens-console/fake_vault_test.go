package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

type fields = map[string]any

// userToken is the Vault token of the tests' person.
const userToken = "hvs.the-token-of-jane"

// fakeVault plays Vault with an engine at adtokens/.
type fakeVault struct {
	*httptest.Server

	mu sync.Mutex
	// answers are by method and path, as of the API below /v1/.
	answers map[string]answer
	// tokens are those that are good, with the name of who holds them.
	tokens map[string]string
	// requests are those that came, with the token and the body.
	requests []request
}

type answer struct {
	status int
	body   any
}

type request struct {
	method, path, query, token string
	body                       fields
	header                     http.Header
}

func newFakeVault(t testing.TB) *fakeVault {
	t.Helper()
	f := &fakeVault{answers: map[string]answer{}, tokens: map[string]string{userToken: "token-jane"}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	f.gives("GET sys/internal/ui/mounts", fields{
		"secret": fields{"adtokens/": fields{"type": "vault-plugin-secrets-adtokens"}, "kv/": fields{"type": "kv"}}, "auth": fields{},
	})
	f.gives("GET adtokens/info", fields{"version": "v1", "commit": "0", "go_version": "go1.26", "providers": fields{"google_ads": fields{}}})
	f.gives("GET auth/token/lookup-self", fields{"display_name": "token-jane", "ttl": 3600})
	f.gives("POST auth/token/revoke-self", nil)
	f.gives("GET adtokens/status", fields{"summary": fields{"total": 0}, "tokens": fields{}})
	return f
}

// gives has a request answered with data.
func (f *fakeVault) gives(request string, data any) {
	f.answer(request, answer{http.StatusOK, fields{"data": data}})
}

func (f *fakeVault) answer(request string, a answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[request] = a
}

// knows has a token be good.
func (f *fakeVault) knows(token, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens[token] = name
}

// refuses has a request answered with an error.
func (f *fakeVault) refuses(request string, status int, text string) {
	f.answer(request, answer{status, fields{"errors": []string{text}}})
}

func (f *fakeVault) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	got := request{
		method: r.Method, path: strings.TrimPrefix(r.URL.Path, "/v1/"), query: r.URL.RawQuery, token: r.Header.Get("X-Vault-Token"), header: r.Header,
	}
	if got.method == http.MethodPut {
		got.method = http.MethodPost
	}
	_ = json.NewDecoder(r.Body).Decode(&got.body)
	f.requests = append(f.requests, got)
	open := strings.HasPrefix(got.path, "sys/internal/ui/mounts") || strings.Contains(got.path, "/login/") || strings.Contains(got.path, "/oidc/")
	found, known := f.answers[got.method+" "+got.path]
	if r.URL.Query().Get("list") == "true" {
		found, known = f.answers["LIST "+got.path]
	}
	switch {
	case got.token == "" && !open:
		found = answer{http.StatusForbidden, fields{"errors": []string{"permission denied"}}}
	case got.token != "" && f.tokens[got.token] == "":
		found = answer{http.StatusForbidden, fields{"errors": []string{"2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"}}}
	case !known && got.path == "sys/capabilities-self":
		found = answer{http.StatusForbidden, fields{"errors": []string{"permission denied"}}}
	case !known:
		found = answer{http.StatusNotFound, fields{"errors": []string{}}}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(found.status)
	_ = json.NewEncoder(w).Encode(found.body)
}

// asked are the requests that came to a path.
func (f *fakeVault) asked(method, path string) (found []request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if r.method == method && r.path == path {
			found = append(found, r)
		}
	}
	return found
}

// browser looks at the console as a person does. It follows no redirect by itself.
type browser struct {
	t       testing.TB
	console *console
	server  *httptest.Server
	client  *http.Client
	clock   *clock
	log     *syncBuffer
}

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newBrowser(t testing.TB, vault *fakeVault, change func(*options)) *browser {
	t.Helper()
	o := options{vaultAddr: vault.URL, listen: "127.0.0.1:0"}
	if change != nil {
		change(&o)
	}
	server, err := newVaultServer(o)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, clock: &clock{now: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)}, log: &syncBuffer{}}
	logger := hclog.New(&hclog.LoggerOptions{Output: b.log, Level: hclog.Trace})
	if b.console, err = newConsole(server, o, logger); err != nil {
		t.Fatal(err)
	}
	b.console.now = b.clock.Now
	b.server = httptest.NewServer(b.console.routes())
	t.Cleanup(b.server.Close)
	b.client = b.another()
	return b
}

// another is the client of another browser.
func (b *browser) another() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// shown is what a browser got.
type shown struct {
	status   int
	location string
	text     string
	header   http.Header
	cookies  []*http.Cookie
}

func (b *browser) do(r *http.Request) shown {
	b.t.Helper()
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return shown{response.StatusCode, response.Header.Get("Location"), string(text), response.Header, response.Cookies()}
}

func (b *browser) request(method, path string, form url.Values) *http.Request {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

func (b *browser) get(path string) shown {
	b.t.Helper()
	return b.do(b.request(http.MethodGet, path, nil))
}

var csrfInput = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// csrf is the token of the forms of a page.
func (b *browser) csrf(page string) string {
	b.t.Helper()
	found := csrfInput.FindStringSubmatch(page)
	if found == nil {
		b.t.Fatalf("the page has no form: %s", page)
	}
	return found[1]
}

// post sends a form of the page at from.
func (b *browser) post(from, path string, form url.Values) shown {
	b.t.Helper()
	sent := url.Values{"csrf": {b.csrf(b.get(from).text)}}
	maps.Copy(sent, form)
	return b.do(b.request(http.MethodPost, path, sent))
}

// follow shows the page that a redirect leads to.
func (b *browser) follow(s shown) shown {
	b.t.Helper()
	if s.status != http.StatusSeeOther {
		b.t.Fatalf("it answers %d instead of a redirect: %s", s.status, s.text)
	}
	page, _, _ := strings.Cut(s.location, "#")
	return b.get(page)
}

// signIn signs the tests' person in.
func (b *browser) signIn() {
	b.t.Helper()
	if got := b.post("/sign-in", "/sign-in", url.Values{"token": {userToken}}); got.status != http.StatusSeeOther || got.location != "/" {
		b.t.Fatalf("the sign-in answers %d: %s", got.status, got.text)
	}
}

// has wants words to be on a page.
func (s shown) has(t testing.TB, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(s.text, w) {
			t.Errorf("the page (%d) does not have %q:\n%s", s.status, w, s.text)
		}
	}
}

func (s shown) hasNot(t testing.TB, words ...string) {
	t.Helper()
	for _, w := range words {
		if strings.Contains(s.text, w) {
			t.Errorf("the page has %q", w)
		}
	}
}

// fakeToken gives the engine of a fake Vault a token of impact.com.
func (f *fakeVault) fakeToken(name string, changes fields) {
	token := fields{
		"account": "agency", "provider": "impact", "type": "legacy_read_write", "version": 3, "health": "ok", "refresh_ttl": 60,
		"rotation_state": "idle", "last_error": "", "last_vault_rotation": "2026-11-20T09:00:00Z", "overdue": false, "retiring": []any{},
		"last_verification": fields{"at": "2026-11-27T08:00:00Z", "outcome": "accepted", "detail": "impact.com accepts the token"},
	}
	maps.Copy(token, changes)
	f.gives("GET adtokens/tokens/"+name, token)
	f.gives("GET adtokens/tokens/"+name+"/rotate", fields{
		"console_url": "https://app.impact.com", "role": "Account Administrator", "steps": []string{
			"Sign in to impact.com.", "Press `Reset`.", "Hand it in at once: `vault write adtokens/tokens/" + name + "/rotate auth_token=-`.",
		},
		"reset_semantics": "immediate", "previous_credential": "Invalid from the moment of the reset.", "fields": []string{"account_sid", "auth_token"},
		"automatic": false, "consent": false, "notes": []string{"There is no public API for the reset."},
	})
	f.gives("GET adtokens/tokens/"+name+"/history", fields{"versions": []any{
		fields{"version": 2, "created_at": "2026-10-01T09:00:00Z", "source": "import", "verification": "accepted", "reason": "", "display_name": "token-joe", "retired_at": "2026-11-20T09:00:00Z", "retired_how": "rejected by provider"},
		fields{"version": 3, "created_at": "2026-11-20T09:00:00Z", "source": "assisted", "verification": "accepted", "reason": "Joe has left", "display_name": "token-jane"},
	}})
	definition, err := os.ReadFile("../../backend/provider/catalogue/impact.yaml")
	if err != nil {
		panic(err)
	}
	f.gives("GET adtokens/providers/impact", fields{
		"name": "impact", "title": "impact.com API", "origin": "catalogue", "verified": true, "notes": []string{}, "sources": []any{},
		"account_fields": []string{"base_url"}, "definition": string(definition), "token_types": fields{"legacy_read_write": fields{
			"title": "Legacy Read/Write token", "reset_semantics": "immediate", "fields": []string{"account_sid", "auth_token"}, "automatic": false, "consent": false,
		}},
	})
}

// onlyAs wants every request to have had a token of these, and none to have asked for what a person may not see.
func (f *fakeVault) onlyAs(t *testing.T, tokens ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if !slices.Contains(tokens, r.token) {
			t.Errorf("%s %s was sent with another token", r.method, r.path)
		}
		for _, forbidden := range []string{"/creds/", "/access-token/", "/config/"} {
			if strings.Contains("/"+r.path, forbidden) {
				t.Errorf("%s %s was asked for", r.method, r.path)
			}
		}
		for name := range r.header {
			if name == "Cookie" || strings.HasPrefix(name, "X-Forwarded") || name == "Referer" {
				t.Errorf("%s %s was sent with the header %s", r.method, r.path, name)
			}
		}
	}
}

func jsonOf(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}

// withStatus has an answer ready, so that a measurement has little of the fake Vault's own time.
func withStatus(next http.Handler, status []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/adtokens/status" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(status)
			return
		}
		next.ServeHTTP(w, r)
	})
}
