package backend

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// TestUserAgent_EveryRequestNamesTheEngine: whoever runs a provider's gateway, a hook or a proxy can tell the engine's
// requests, and which version sends them.
func TestUserAgent_EveryRequestNamesTheEngine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	hooked := f.hookThatCounts(t)
	f.askGoogle(t)
	f.withImpact(t, nil)
	f.write(t, "tokens/acme-rw/verify", nil)
	f.write(t, "config/acme", hooked.fields)
	f.write(t, "tokens/acme-rw/rotate", nil)

	ledger, err := f.provider.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const keys = "/v1/projects/{project}/serviceAccounts/{account}/keys"
	for service, endpoints := range map[simulator.Service][]string{
		simulator.GoogleToken: {"POST /token", "POST /revoke"},
		simulator.GoogleAds:   {"GET /{version}/customers:listAccessibleCustomers"},
		simulator.GoogleIAM:   {"POST " + keys, "GET " + keys, "DELETE " + keys + "/{key}"},
		simulator.Impact:      {"/Agencies/{sid}/{resource...}"},
	} {
		if got := slices.Sorted(maps.Keys(ledger.Requests[service])); !slices.Equal(got, slices.Sorted(slices.Values(endpoints))) {
			t.Errorf("%s was asked %q, want each of %q: a kind of request is not tried here", service, got, endpoints)
		}
		wantUserAgents(t, string(service), ledger.UserAgents[service])
	}
	wantUserAgents(t, "the hook", hooked.userAgents)
	for name := range ledger.UserAgents[simulator.GoogleIAM] {
		if !strings.Contains(name, " google-api-go-client/") {
			t.Errorf("the IAM API is told %q, want the client library named behind the engine", name)
		}
	}
}

// wantUserAgents wants at least one User-Agent, and the engine's alone, with or without a library behind it.
func wantUserAgents(t *testing.T, host string, got map[string]int) {
	t.Helper()
	if len(got) == 0 {
		t.Errorf("%s was not asked", host)
	}
	for name := range got {
		if want := "vault-plugin-secrets-adtokens/" + Version; name != want && !strings.HasPrefix(name, want+" ") {
			t.Errorf("%s was asked by %q, want %q", host, name, want)
		}
	}
}

// countingHook is a hook, the fields that name it, and the User-Agents that have asked it.
type countingHook struct {
	fields     map[string]any
	userAgents map[string]int
}

func (f *fixture) hookThatCounts(t *testing.T) countingHook {
	t.Helper()
	hook, err := simulator.NewHook(f.provider, "whsec_"+hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	c := countingHook{userAgents: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.userAgents[r.UserAgent()]++
		hook.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c.fields = map[string]any{"reset_hook_url": server.URL, "reset_hook_secret": "whsec_" + hookSecret}
	return c
}

// askGoogle sends every kind of request that the engine has for Google.
func (f *fixture) askGoogle(t *testing.T) {
	t.Helper()
	f.withGoogle(t)
	key, err := f.provider.ServiceAccountKey(t.Context(), simulator.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "config/google", map[string]any{"revoke_url": f.server.GoogleURL + "/revoke", "service_account_key": string(key)})
	if key, err = f.provider.CreateServiceAccount(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	f.write(t, "tokens/app", map[string]any{"account": "google", "type": "service_account_key", "service_account_key": string(key)})
	f.write(t, "tokens/app/rotate", nil)
	f.write(t, "tokens/app/retire", nil)

	client, err := f.provider.OAuthClient(t.Context(), simulator.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	oauth := func(c simulator.OAuthCredential) map[string]any {
		return map[string]any{"client_id": c.ClientID, "client_secret": c.ClientSecret, "refresh_token": c.RefreshToken}
	}
	token := oauth(client)
	token["account"], token["type"] = "google", "oauth_client"
	f.write(t, "tokens/oauth", token)
	if client, err = f.provider.NewConsent(t.Context(), simulator.DefaultName); err != nil {
		t.Fatal(err)
	}
	renewed := oauth(client)
	renewed["revoke_previous"] = true
	f.write(t, "tokens/oauth/rotate", renewed)
	f.write(t, "tokens/oauth/retire", nil)
	f.read(t, "access-token/oauth")
}
