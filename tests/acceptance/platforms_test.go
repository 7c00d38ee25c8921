//go:build unix

package acceptance

import (
	"maps"
	"net/http"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// catalogued is a token type of the engine's catalogue, whose platform is simulated.
type catalogued struct {
	provider, kind string
	// account has the endpoints of an account at the simulator, and the settings that it needs.
	account func(url string) fields
	// options are those of the token.
	options fields
	// replaced is the field that a person replaces.
	replaced string
	// single is true where a refresh may end the refresh token before, so that creds/ gives nothing to those who could refresh too.
	single bool
	// denied is the outcome for a genuine value without the right, empty where the verification asks for no right.
	denied string
	// refusal has a word of the detail that tells that the value was refused, and code what the provider says then.
	refusal, code string
}

// at gives an endpoint the address of the simulated platform, with a path behind it.
func at(endpoint, path string, settings ...string) func(url string) fields {
	return func(url string) fields {
		account := fields{endpoint: url + path}
		for i := 0; i < len(settings); i += 2 {
			account[settings[i]] = settings[i+1]
		}
		return account
	}
}

var cataloguedTypes = map[string]catalogued{
	"TikTok": {
		provider: "tiktok_ads", kind: "marketing_api_token", account: at("base_url", ""), replaced: "access_token",
		denied: "accepted", refusal: "invalid or revoked", code: "40105",
	},
	"Meta": {
		provider: "meta", kind: "system_user_token", account: at("base_url", ""), replaced: "access_token",
		denied: "inconclusive", refusal: "invalid", code: "190/467",
	},
	"Microsoft": {
		provider: "microsoft_ads", kind: "oauth_client", replaced: "refresh_token",
		account: func(url string) fields { return fields{"login_url": url, "customer_management_url": url} },
		denied:  "accepted", refusal: "refuses", code: "invalid_grant",
	},
	"Pinterest": {
		provider: "pinterest_ads", kind: "oauth_client", account: at("base_url", ""), replaced: "refresh_token", single: true,
		denied: "inconclusive", refusal: "refuses", code: "invalid_grant",
	},
	"Criteo": {
		provider: "criteo", kind: "oauth_client", account: at("base_url", ""), replaced: "client_secret", refusal: "refuses", code: "invalid_client",
	},
	"The Trade Desk": {
		provider: "the_trade_desk", kind: "api_token", account: at("base_url", "/v3"), options: fields{"probe_path": "partner/acme"}, replaced: "api_token",
		denied: "inconclusive", refusal: "refuses the token", code: "HTTP 401",
	},
	"The Trade Desk, login": {
		provider: "the_trade_desk", kind: "login", account: at("base_url", "/v3"), replaced: "password", refusal: "refuses login and password", code: "HTTP 401",
	},
	"Awin": {
		provider: "awin", kind: "api_token", account: at("base_url", ""), replaced: "api_token",
		denied: "accepted", refusal: "refuses the token", code: "HTTP 401",
	},
	"AppsFlyer": {
		provider: "appsflyer", kind: "api_token_v2", account: at("base_url", ""), options: fields{"probe_path": "api/mng/apps"}, replaced: "api_token",
		denied: "inconclusive", refusal: "refuses the token", code: "HTTP 401",
	},
	"Outbrain": {
		provider: "outbrain", kind: "api_token", account: at("base_url", "/amplify/v0.1"), replaced: "ob_token_v1",
		denied: "inconclusive", refusal: "refuses the token", code: "HTTP 401",
	},
	"TUNE, network": {
		provider: "tune", kind: "network_api_key", account: at("base_url", "/Apiv3/json", "network_id", "acme"),
		options: fields{"probe_target": "Offer", "probe_method": "findAll"}, replaced: "network_token",
		denied: "inconclusive", refusal: "refuses the key", code: "HTTP 401",
	},
	"TUNE, affiliate": {
		provider: "tune", kind: "affiliate_api_key", account: at("base_url", "/Apiv3/json", "network_id", "acme"),
		options: fields{"probe_target": "Affiliate_Offer", "probe_method": "findAll"}, replaced: "api_key",
		denied: "inconclusive", refusal: "refuses the key", code: "HTTP 401",
	},
	"LinkedIn": {
		provider: "linkedin_ads", kind: "oauth_client", account: at("oauth_url", "/oauth/v2"), replaced: "refresh_token",
		refusal: "refuses", code: "invalid_grant",
	},
	"LinkedIn, access token": {
		provider: "linkedin_ads", kind: "access_token", account: at("oauth_url", "/oauth/v2"), replaced: "access_token", refusal: "inactive", code: "revoked",
	},
	"Amazon": {
		provider: "amazon_ads", kind: "oauth_client", account: at("token_url", "/auth/o2/token"), replaced: "refresh_token",
		refusal: "refuses", code: "invalid_grant",
	},
	"Taboola": {
		provider: "taboola", kind: "oauth_client", account: at("base_url", "/backstage"), replaced: "client_secret",
		refusal: "refuses client_id and client_secret", code: "invalid_client",
	},
	"Partnerize": {
		provider: "partnerize", kind: "api_key", account: at("base_url", ""), options: fields{"probe_path": "user"}, replaced: "user_api_key",
		denied: "inconclusive", refusal: "refuses", code: "HTTP 401",
	},
	"Adjust": {
		provider: "adjust", kind: "api_token", account: at("base_url", ""), options: fields{"probe_path": "reports"}, replaced: "api_token",
		denied: "inconclusive", refusal: "refuses the token", code: "HTTP 401",
	},
	"CJ": {
		provider: "cj", kind: "personal_access_token", account: at("base_url", ""), replaced: "access_token",
		denied: "inconclusive", refusal: "refuses the token", code: "HTTP 401",
	},
	"Everflow": {
		provider: "everflow", kind: "api_key", account: at("base_url", ""), options: fields{"probe_path": "v1/networks/users"}, replaced: "api_key",
		denied: "inconclusive", refusal: "refuses the key", code: "HTTP 401",
	},
	"Snapchat": {
		provider: "snapchat_ads", kind: "oauth_client", account: at("token_url", "/login/oauth2/access_token"), replaced: "refresh_token", single: true,
		refusal: "refuses", code: "invalid_grant",
	},
	"Reddit": {
		provider: "reddit_ads", kind: "oauth_client", account: at("token_url", "/api/v1/access_token"), replaced: "refresh_token",
		refusal: "refuses", code: "invalid_grant",
	},
}

// onPlatform is one world with an account, a credential in its platform's console, and the token app that holds it.
type onPlatform struct {
	*world
	catalogued
	platform   *vaulttest.Platform
	credential *vaulttest.Credential
}

// newOnPlatform configures the account at the simulator.
func newOnPlatform(t *testing.T, c catalogued) *onPlatform {
	t.Helper()
	w := &onPlatform{world: newWorld(t), catalogued: c}
	w.platform = w.sim.Platform(c.provider)
	w.credential = w.platform.Make(t, c.kind, "app")
	account := c.account(w.platform.URL)
	account["provider"], account["contact_email"] = c.provider, "ads-api@acme.example"
	w.write(t, "config/shop", account)
	return w
}

// imported also imports the credential as the token app.
func imported(t *testing.T, c catalogued) *onPlatform {
	t.Helper()
	w := newOnPlatform(t, c)
	has(t, w.write(t, "tokens/app", w.token(t, nil)).Data, fields{"verification": "accepted"})
	return w
}

// token is what imports the credential as the console shows it now.
func (w *onPlatform) token(t *testing.T, policy fields) fields {
	t.Helper()
	token := fields{"account": "shop", "type": w.kind}
	maps.Copy(token, w.options)
	maps.Copy(token, policy)
	for name, value := range w.credential.Fields(t) {
		token[name] = value
	}
	return token
}

// servesCreds wants creds/ to give the newest values, or to point to the access tokens.
func (w *onPlatform) servesCreds(t *testing.T, version int) {
	t.Helper()
	if w.single {
		if w.keepsRefreshTokens(t) {
			_, err := w.Read(t.Context(), "creds/app")
			refused(t, err, http.StatusBadRequest, "access-token/app")
		}
		return
	}
	creds := w.data(t, "creds/app")
	has(t, creds, fields{"version": version})
	for field := range w.credential.Fields(t) { // a refresh can have left several values alive
		if value, _ := creds[field].(string); !w.credential.IsLive(t, field, value) {
			t.Errorf("the %s of creds/ is not one that the platform accepts", field)
		}
	}
}

// keepsRefreshTokens reports whether the engine stores the refresh token that comes with an access token.
func (w *onPlatform) keepsRefreshTokens(t *testing.T) bool {
	t.Helper()
	_, counts := w.data(t, "tokens/app")["refreshes"]
	return counts
}

// wrong is a value of the shape of another one that nobody ever issued.
func wrong(t *testing.T, value string) string {
	t.Helper()
	return vaulttest.Secret(t, "wrong value", value[:len(value)-4]+"zzzz")
}

func TestPlatforms_CatalogueTypesAreVerified(t *testing.T) {
	t.Parallel()
	for name, c := range cataloguedTypes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := imported(t, c)
			has(t, w.data(t, "providers/"+c.provider), fields{"name": c.provider, "origin": "catalogue"})
			w.servesCreds(t, 1)
			w.verify(t, "app", "accepted")
			has(t, w.data(t, "tokens/app"), fields{"health": "ok"})
			if c.denied != "" {
				w.credential.Deny(t, true)
				w.verify(t, "app", c.denied)
				w.credential.Deny(t, false)
			}

			// What a platform says of too many requests says nothing about the value, in whichever form it says that.
			w.platform.Fail(t, simulator.Fault{Kind: simulator.FaultStatus, Status: http.StatusTooManyRequests, RetryAfter: 90})
			health := w.data(t, "tokens/app")["health"]
			w.verify(t, "app", "inconclusive", "limit")
			has(t, w.data(t, "tokens/app"), fields{"health": health})
		})
	}
}

func TestPlatforms_AResetInTheConsoleIsNoticedAndHandedIn(t *testing.T) {
	t.Parallel()
	for name, c := range cataloguedTypes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := imported(t, c)
			before := w.snapshot(t)
			_, err := w.Write(t.Context(), "tokens/app/rotate", fields{c.replaced: wrong(t, w.credential.Fields(t)[c.replaced])})
			refused(t, err, http.StatusBadRequest, "nothing was changed")
			w.unchanged(t, before)

			fresh := w.credential.Replace(t, c.replaced)
			found := w.verify(t, "app", "rejected", c.refusal)
			has(t, found, fields{"provider_code": c.code})
			has(t, w.data(t, "tokens/app"), fields{"health": "rejected"})
			if !c.single {
				_, warnings := w.read(t, "creds/app")
				warnsAmongOthers(t, warnings, "reject", "rotate")
			}

			runbook := w.data(t, "tokens/app/rotate")
			if steps, _ := runbook["steps"].([]any); len(steps) < 3 {
				t.Errorf("the runbook has %d steps", len(steps))
			}
			rotated := w.write(t, "tokens/app/rotate", fields{c.replaced: fresh[c.replaced], "reason": "reset in the console", "cas": 1}).Data
			has(t, rotated, fields{"version": 2, "previous_version": 1, "verification": "accepted"})
			if !c.single {
				has(t, rotated, fields{"previous_credential": "rejected by provider"})
			}
			w.servesCreds(t, 2)
			has(t, w.data(t, "tokens/app"), fields{"health": "ok"})
			if creds, err := w.Read(t.Context(), "creds/app"); err == nil && c.replaced != "refresh_token" {
				has(t, creds.Data, fields{c.replaced: fresh[c.replaced]})
			}
			has(t, w.history(t, "app")[1], fields{"version": 2, "reason": "reset in the console", "verification": "accepted"})
			tellsNoSecret(t, "the history", w.history(t, "app"))
		})
	}
}
