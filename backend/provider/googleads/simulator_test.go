package googleads_test

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// world is a simulated Google, with an account that may try developer tokens.
type world struct {
	console *simulator.Client
	account provider.Account
}

func newWorld(t *testing.T) world {
	t.Helper()
	server, err := simulator.Start(simulator.ServerOptions{})
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	client, err := provider.NewClient(provider.ClientConfig{Timeout: time.Minute})
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	w := world{console: server.Client(), account: provider.Account{Client: client, Settings: provider.Values{
		"base_url": server.GoogleURL, "token_url": server.GoogleURL + "/token", "revoke_url": server.GoogleURL + "/revoke",
		"api_version": "v26", "login_customer_id": "1234567890",
	}}}
	maps.Copy(w.account.Settings, w.oauthClient(t).Credential)
	return w
}

func (w world) developerToken(t *testing.T) provider.Token {
	t.Helper()
	value, err := w.console.DeveloperToken(t.Context())
	if err != nil {
		t.Fatalf("DeveloperToken: %v", err)
	}
	return provider.Token{Type: "developer_token", Credential: canonical(t, "developer_token", provider.Values{"developer_token": value})}
}

func (w world) oauthClient(t *testing.T) provider.Token {
	t.Helper()
	c, err := w.console.OAuthClient(t.Context(), simulator.DefaultName)
	if err != nil {
		t.Fatalf("OAuthClient: %v", err)
	}
	return provider.Token{Type: "oauth_client", Credential: canonical(t, "oauth_client", provider.Values{
		"client_id": c.ClientID, "client_secret": c.ClientSecret, "refresh_token": c.RefreshToken,
	})}
}

func (w world) serviceAccountKey(t *testing.T) provider.Token {
	t.Helper()
	file, err := w.console.ServiceAccountKey(t.Context(), simulator.DefaultName)
	if err != nil {
		t.Fatalf("ServiceAccountKey: %v", err)
	}
	return provider.Token{Type: "service_account_key", Credential: canonical(t, "service_account_key", provider.Values{"service_account_key": string(file)})}
}

// canonical puts each field through its check, as the engine does.
func canonical(t *testing.T, tokenType string, credential provider.Values) provider.Values {
	t.Helper()
	for _, kind := range googleads.New().Types {
		for _, field := range kind.Fields {
			if kind.Name != tokenType {
				continue
			}
			value, err := field.Canonical(credential[field.Name])
			if err != nil {
				t.Fatalf("Canonical: %v", err)
			}
			credential[field.Name] = value
		}
	}
	return credential
}

// want verifies the token and checks the outcome, and that no secret shows up in what the operator is told.
func (w world) want(t *testing.T, token provider.Token, outcome provider.Outcome, code string) {
	t.Helper()
	got, err := googleads.New().Type(token.Type).Verify(t.Context(), w.account, token)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	if got.Outcome != outcome || got.Code != code {
		t.Errorf("got %+v, want %s with code %q", got, outcome, code)
	}
	ledger, err := w.console.Ledger(t.Context())
	if err != nil {
		t.Fatalf("Ledger: %v", err)
	}
	told, err := json.Marshal(got)
	if err != nil {
		t.Fatalf("Marshal: %v", err)
	}
	if leaks := ledger.Leaks(told); len(leaks) > 0 {
		t.Errorf("the verification shows %q", leaks)
	}
}

func TestDeveloperTokenFromResetToSunset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	must(w.console.SetDeveloperTokenMode(ctx, simulator.DeveloperTokenEnforced))
	old := w.developerToken(t)
	w.want(t, old, provider.Accepted, "")

	_, err := w.console.ResetDeveloperToken(ctx)
	must(err)
	w.want(t, old, provider.Rejected, "DEVELOPER_TOKEN_INVALID")
	current := w.developerToken(t)
	w.want(t, current, provider.Accepted, "")

	must(w.console.SetDeveloperTokenStatus(ctx, simulator.DeveloperTokenNotApproved))
	w.want(t, current, provider.Accepted, "DEVELOPER_TOKEN_NOT_APPROVED")
	must(w.console.SetDeveloperTokenStatus(ctx, simulator.DeveloperTokenProhibited))
	w.want(t, current, provider.Rejected, "DEVELOPER_TOKEN_PROHIBITED")
	must(w.console.SetDeveloperTokenStatus(ctx, simulator.DeveloperTokenNotOnAllowlist))
	w.want(t, current, provider.Rejected, "DEVELOPER_TOKEN_NOT_ON_ALLOWLIST")
	must(w.console.SetDeveloperTokenStatus(ctx, simulator.DeveloperTokenApproved))
	must(w.console.SetProjectAccess(ctx, simulator.ProjectNotApproved))
	w.want(t, current, provider.Inconclusive, "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION")
	must(w.console.SetProjectAccess(ctx, simulator.ProjectApproved))

	must(w.console.SetDeveloperTokenMode(ctx, simulator.DeveloperTokenIgnored))
	w.want(t, current, provider.Inconclusive, "")
	w.want(t, old, provider.Inconclusive, "")
	must(w.console.SetDeveloperTokenMode(ctx, simulator.DeveloperTokenHeaderRefused))
	w.want(t, current, provider.Rejected, "UNKNOWN")
}

func TestIdentitiesSinceTheSunset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.console.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored); err != nil {
		t.Fatal(err)
	}
	client, key := w.oauthClient(t), w.serviceAccountKey(t)
	w.want(t, client, provider.Accepted, "")
	w.want(t, key, provider.Accepted, "")
	if v, err := googleads.New().VerifyAccount(t.Context(), w.account); err != nil || v == nil || v.Outcome != provider.Accepted {
		t.Errorf("VerifyAccount: got %+v, error %v; want accepted", v, err)
	}
	if err := w.console.SetProjectAccess(t.Context(), simulator.ProjectNotApproved); err != nil {
		t.Fatal(err)
	}
	w.want(t, client, provider.Accepted, "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION")
	w.want(t, key, provider.Accepted, "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION")

	wrongSecret := provider.Token{Type: client.Type, Credential: maps.Clone(client.Credential)}
	wrongSecret.Credential["client_secret"] = "GOCSPX-wrong"
	w.want(t, wrongSecret, provider.Rejected, "invalid_client")

	// Twice: what is revoked already is no error.
	for range 2 {
		if err := revoke(t, w.account, client); err != nil {
			t.Fatalf("Revoke: %v", err)
		}
	}
	w.want(t, client, provider.Rejected, "invalid_grant")
}

// The simulator stands for a Google whose clock is behind this one.
func TestServiceAccountKeySurvivesAFastClock(t *testing.T) {
	t.Parallel()
	for name, behind := range map[string]time.Duration{"five minutes": 5 * time.Minute, "an hour": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if err := w.console.AdvanceClock(t.Context(), -behind); err != nil {
				t.Fatal(err)
			}
			_, err := mint(t.Context(), t, w.account, w.serviceAccountKey(t))
			if behind < time.Hour {
				if err != nil {
					t.Errorf("AccessToken: %v", err)
				}
				return
			}
			wantRefused(t, err, "invalid_grant", "the clock of the Vault server is wrong")
		})
	}
}

// TestSimulatedRefusals goes through what the simulator can make Google say about a good credential.
func TestSimulatedRefusals(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		prepare func(*testing.T, world)
		outcome provider.Outcome
		code    string
	}{
		"client deleted": {func(t *testing.T, w world) {
			must(t, w.console.SetOAuthClientState(t.Context(), simulator.DefaultName, simulator.OAuthClientDeleted))
		}, provider.Rejected, "deleted_client"},
		"client switched off": {func(t *testing.T, w world) {
			must(t, w.console.SetOAuthClientState(t.Context(), simulator.DefaultName, simulator.OAuthClientDisabled))
		}, provider.Rejected, "disabled_client"},
		"session control": {func(t *testing.T, w world) {
			must(t, w.console.SetOAuthClientState(t.Context(), simulator.DefaultName, simulator.OAuthClientSessionEnded))
		}, provider.Rejected, "invalid_grant"},
		"no 2-step verification": {func(t *testing.T, w world) {
			must(t, w.console.SetClientAdsAccess(t.Context(), simulator.DefaultName, simulator.AdsAccessNoTwoStep))
		}, provider.Rejected, "TWO_STEP_VERIFICATION_NOT_ENROLLED"},
		"no access": {func(t *testing.T, w world) {
			must(t, w.console.SetClientAdsAccess(t.Context(), simulator.DefaultName, simulator.AdsAccessNone))
		}, provider.Accepted, "NOT_ADS_USER"},
		"API not enabled": {func(t *testing.T, w world) {
			must(t, w.console.SetProjectAccess(t.Context(), simulator.ProjectAPIDisabled))
		}, provider.Accepted, "SERVICE_DISABLED"},
		"app in testing, a week later": {func(t *testing.T, w world) {
			must(t, w.console.AdvanceClock(t.Context(), 7*24*time.Hour))
		}, provider.Rejected, "invalid_grant"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			must(t, w.console.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored))
			must(t, w.console.SetPublishingStatus(t.Context(), simulator.PublishingTesting))
			if _, err := w.console.NewConsent(t.Context(), simulator.DefaultName); err != nil {
				t.Fatal(err)
			}
			token := w.oauthClient(t)
			w.want(t, token, provider.Accepted, "")
			tc.prepare(t, w)
			w.want(t, token, tc.outcome, tc.code)
		})
	}
}

func TestSimulatedVersions(t *testing.T) {
	t.Parallel()
	for version, code := range map[string]string{"v26": "", "v25": "", "v24": "", "v23": "", "v22": "UNSUPPORTED_VERSION"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			must(t, w.console.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored))
			w.account.Settings["api_version"] = version
			w.want(t, w.oauthClient(t), provider.Accepted, code)
		})
	}
}

// TestSimulatedRevocationOfAConsent: what it takes for the engine to notice is that the new value is refused afterwards.
func TestSimulatedRevocationOfAConsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.console.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored))
	must(t, w.console.SetRevocation(t.Context(), simulator.RevocationOfConsent))
	old := w.oauthClient(t)
	if _, err := w.console.NewConsent(t.Context(), simulator.DefaultName); err != nil {
		t.Fatal(err)
	}
	fresh := w.oauthClient(t)
	w.want(t, fresh, provider.Accepted, "")
	must(t, revoke(t, w.account, old))
	w.want(t, fresh, provider.Rejected, "invalid_grant")
}

func TestSimulatedAccessTokenWithoutALife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.console.SetExpiresIn(t.Context(), simulator.ExpiresInOmitted))
	for _, token := range []provider.Token{w.oauthClient(t), w.serviceAccountKey(t)} {
		if got, err := mint(t.Context(), t, w.account, token); err != nil || !got.ExpiresAt.IsZero() {
			t.Errorf("%s: got the expiry %s, error %v; want none", token.Type, got.ExpiresAt, err)
		}
	}
}
