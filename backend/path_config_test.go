package backend

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// gate is an address of a provider that tells of each request before it is passed on, and waits.
type gate struct {
	url string
	// before, if set, is called with each request.
	before atomic.Pointer[func(*http.Request)]
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before := g.before.Load(); before != nil {
			(*before)(r)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// withGate configures a Google account whose identity is tried through the gate, and a token without a credential.
func (f *fixture) withGate(t *testing.T) (g *gate, client simulator.OAuthCredential) {
	t.Helper()
	g = newGate(t, f.server.GoogleURL)
	client, err := f.provider.OAuthClient(t.Context(), simulator.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "config/google", map[string]any{
		"provider": "google_ads", "contact_email": "ads@acme.example", "base_url": g.url, "token_url": g.url + "/token",
		"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	})
	f.write(t, "tokens/dev", map[string]any{"account": "google", "type": "developer_token"})
	return g, client
}

func TestConfigWrite_HoldsNoLockWhileTheProviderIsAsked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, client := f.withGate(t)
	asked, goOn := make(chan struct{}, 10), make(chan struct{})
	g.before.Store(new(func(*http.Request) { asked <- struct{}{}; <-goOn }))
	written := make(chan error)
	go func() {
		_, err := f.handle(t, logical.UpdateOperation, "config/google", map[string]any{"client_secret": client.ClientSecret, "api_version": "v25"})
		written <- err
	}()
	<-asked
	f.write(t, "tokens/dev/rotate", map[string]any{"developer_token": "abcdefghijklmnopqrstuv", "verify": false})
	f.write(t, "config/google", map[string]any{"contact_email": "new@acme.example"})
	close(goOn)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	got := f.read(t, "config/google")
	if got["contact_email"] != "new@acme.example" || got["api_version"] != "v25" {
		t.Errorf("the account has %v and %v, want what both writes gave", got["contact_email"], got["api_version"])
	}
}

// What was tried is what is stored: a write that finds other credentials in the account tries those.
func TestConfigWrite_TriesAgainWhatAnotherWriteHasChanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, client := f.withGate(t)
	var requests atomic.Int64
	g.before.Store(new(func(*http.Request) {
		if requests.Add(1) == 1 {
			f.write(t, "config/google", map[string]any{"client_secret": "not-the-secret", "verify_connection": false})
			f.write(t, "config/google", map[string]any{"verify_connection": false})
		}
	}))
	response, err := f.handle(t, logical.UpdateOperation, "config/google", map[string]any{"api_version": "v25", "verify_connection": true})
	if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), "nothing was changed") {
		t.Errorf("got %v, error %v; want the account's new credentials refused", response, err)
	}
	if got := f.read(t, "config/google"); got["api_version"] != "v26" {
		t.Errorf("api_version is %v, want that of before", got["api_version"])
	}
	_ = client
}

func TestConfigWrite_GivesUpAgainstOthersThatKeepWriting(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, client := f.withGate(t)
	var version atomic.Int64
	var others atomic.Bool
	g.before.Store(new(func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") && !others.Swap(true) {
			id := "100000000" + string(rune('0'+version.Add(1)%10))
			f.write(t, "config/google", map[string]any{"login_customer_id": id, "verify_connection": false})
			others.Store(false)
		}
	}))
	_, err := f.handle(t, logical.UpdateOperation, "config/google", map[string]any{
		"client_secret": client.ClientSecret, "api_version": "v25", "verify_connection": true,
	})
	if coded, ok := err.(logical.HTTPCodedError); !ok || coded.Code() != http.StatusConflict || !strings.Contains(err.Error(), "nothing was changed") { //nolint:errorlint // the outermost counts
		t.Errorf("got error %v, want a conflict in which nothing was changed", err)
	}
	if got := f.read(t, "config/google")["api_version"]; got != "v26" {
		t.Errorf("api_version is %v", got)
	}
}

func TestConfigWrite_TheAccountTypeMovesNoCredential(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	url := f.read(t, "creds/acme-rw")["account_url"]
	response, err := f.handle(t, logical.UpdateOperation, "config/acme", map[string]any{"account_type": "brand", "request_timeout": 20})
	if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), `account_type cannot change while token "acme-rw" holds a credential`) {
		t.Errorf("got %v, error %v; want the change refused", response, err)
	}
	if got := f.read(t, "creds/acme-rw")["account_url"]; got != url {
		t.Errorf("creds/ has the address %v, and had %v", got, url)
	}
	if got := f.read(t, "config/acme"); got["account_type"] != "agency" || got["request_timeout"] != defaultRequestTimeout {
		t.Errorf("the account was changed: %v", got)
	}
	f.write(t, "config/acme", map[string]any{"account_type": "agency", "request_timeout": 20}) // no change of it
	for _, path := range []string{"tokens/acme-rw"} {
		if response, err := f.handle(t, logical.DeleteOperation, path, nil); err != nil || response.IsError() {
			t.Fatalf("deleting %s: %v, %v", path, response, err)
		}
	}
	f.write(t, "tokens/empty", map[string]any{"account": "acme", "type": "scoped"})
	f.write(t, "config/acme", map[string]any{"account_type": "brand"})
	_, hook := f.startHook(t, func() {})
	f.write(t, "config/acme", hook)
	response, err = f.handle(t, logical.UpdateOperation, "config/acme", map[string]any{"account_type": "partner"})
	if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), "give reset_hook_secret in the same write") {
		t.Errorf("got %v, error %v; want the account's secret asked for", response, err)
	}
	f.write(t, "config/acme", map[string]any{"account_type": "partner", "reset_hook_secret": hook["reset_hook_secret"]})
	if got := f.read(t, "config/acme")["account_type"]; got != "partner" {
		t.Errorf("account_type is %v, want partner", got)
	}
}
