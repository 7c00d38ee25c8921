//go:build unix

package acceptance

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// tokenEndpoint is one that the test owns: it answers every grant alike.
func tokenEndpoint(t *testing.T, status int, contentType, body string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/token"
}

func jsonText(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	succeeded(t, err)
	return string(text)
}

// TestGoogle_ForgedKeyFileProvesNothingAtItsOwnAddress: a key file names a victim, a key of the forger's, and a token
// endpoint of the forger's. The account's own key may make keys of the victim, and the forger may not.
func TestGoogle_ForgedKeyFileProvesNothingAtItsOwnAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := done(w.sim.CreateServiceAccount(t.Context(), "admin"))(t)
	forger := done(w.sim.CreateServiceAccount(t.Context(), "forger"))(t)
	victim := done(w.sim.CreateServiceAccount(t.Context(), "victim"))(t)
	for _, name := range []string{"forger", "victim"} {
		succeeded(t, w.sim.SetKeyAdministration(t.Context(), name, simulator.KeyAdministrationDenied))
	}
	account := w.keyAccount()
	delete(account, "token_url")
	account["service_account_key"] = string(admin)
	warns(t, w.write(t, "config/google", account).Warnings, "Set token_url in the account's configuration")
	secret := w.write(t, "tokens/key", fields{"account": "google", "type": "service_account_key", "service_account_key": string(forger)})
	warnsAmongOthers(t, secret.Warnings, "names", "Set token_url")

	client := done(w.sim.OAuthClient(t.Context(), simulator.DefaultName))(t)
	grant := w.accessTokenOf(t, client)
	var forged, real map[string]string
	succeeded(t, json.Unmarshal(forger, &forged))
	succeeded(t, json.Unmarshal(victim, &real))
	forged["client_email"] = real["client_email"]
	forged["private_key_id"] = strings.Repeat("0", 40)
	forged["token_uri"] = tokenEndpoint(t, http.StatusOK, "application/json", jsonText(t, fields{"access_token": grant, "token_type": "Bearer", "expires_in": 3600}))
	foreign := fields{"service_account_key": jsonText(t, forged)}
	_, err := w.Write(t.Context(), "tokens/key/rotate", foreign)
	refused(t, err, http.StatusBadRequest, "this is a credential of", "victim@", "forger@")
	secret = w.write(t, "tokens/key/rotate", with(foreign, "accept_other_identity", true))
	warnsAmongOthers(t, secret.Warnings, "which proves to nobody else whose key it is")

	_, err = w.Write(t.Context(), "tokens/key/rotate", nil)
	refused(t, err, http.StatusBadRequest, "nothing was changed")
	if got := w.keysThere(t, "victim"); len(got) != 1 {
		t.Errorf("the victim has %d keys", len(got))
	}
}

// accessTokenOf is an access token that an attacker gets with a credential of their own.
func (w *world) accessTokenOf(t *testing.T, client simulator.OAuthCredential) string {
	t.Helper()
	w.write(t, "config/attacker", w.googleFields(t))
	w.write(t, "tokens/attacker", fields{
		"account": "attacker", "type": "oauth_client",
		"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	})
	token, _ := w.data(t, "access-token/attacker")["access_token"].(string)
	return token
}

func TestGoogle_KeyFilesInTheFormsInWhichPeoplePassThemOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.importKey(t, nil)
	file := done(w.sim.CreateServiceAccountKey(t.Context(), simulator.DefaultName))(t)
	var members map[string]string
	succeeded(t, json.Unmarshal(file, &members))
	with := func(change func(string) string) string {
		changed := maps.Clone(members)
		changed["private_key"] = change(members["private_key"])
		return jsonText(t, changed)
	}
	forms := map[string]string{
		"base64":           base64.StdEncoding.EncodeToString(file),
		"string":           jsonText(t, string(file)),
		"escaped twice":    with(func(key string) string { return strings.ReplaceAll(key, "\n", `\n`) }),
		"breaks as spaces": with(func(key string) string { return strings.ReplaceAll(key, "\n", " ") }),
	}
	for name, form := range forms {
		vaulttest.Secret(t, "a key file as "+name, form)
		w.write(t, "tokens/"+strings.ReplaceAll(name, " ", "-"), fields{"account": "google", "type": "service_account_key", "service_account_key": form})
		given, _ := w.data(t, "creds/"+strings.ReplaceAll(name, " ", "-"))["service_account_key"].(string)
		if got := keyID(t, []byte(given)); got == id || got != members["private_key_id"] {
			t.Errorf("%s: apps read the key %s", name, got)
		}
	}
	for kind, words := range map[string][]string{
		`{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}`: {"oauth_client", "client_id, client_secret and refresh_token"},
		`{"installed":{"client_id":"c","client_secret":"s"}}`:                                {"OAuth client", "oauth_client"},
		`{"type":"external_account"}`:                                                        {"holds no key"},
	} {
		_, err := w.Write(t.Context(), "tokens/key/rotate", fields{"service_account_key": kind})
		refused(t, err, http.StatusBadRequest, words...)
	}
}

// TestGoogle_OnlyItsOwnAnswersCount: what is no answer of the token endpoint neither proves nor refutes.
func TestGoogle_OnlyItsOwnAnswersCount(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status            int
		contentType, body string
		says              string
	}{
		"page of a proxy":    {403, "text/html", "<html>blocked</html>", "unreadable answer (HTTP 403)"},
		"page with a login":  {200, "text/html", "<html>sign in</html>", "unreadable answer (HTTP 200)"},
		"JSON of a proxy":    {401, "application/json", `{"message":"no"}`, "unreadable answer (HTTP 401)"},
		"empty":              {401, "application/json", "", "unreadable answer (HTTP 401)"},
		"grant, as a page":   {200, "text/html", `{"access_token":"x","token_type":"Bearer"}`, "unreadable answer (HTTP 200)"},
		"unknown OAuth code": {401, "application/json", `{"error":"something_new"}`, "something_new"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			account := w.keyAccount()
			account["token_url"] = tokenEndpoint(t, tt.status, tt.contentType, tt.body)
			w.write(t, "config/google", account)
			client := done(w.sim.OAuthClient(t.Context(), simulator.DefaultName))(t)
			token := fields{
				"account": "google", "type": "oauth_client",
				"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
			}
			_, err := w.Write(t.Context(), "tokens/it", token)
			refused(t, err, http.StatusBadGateway, tt.says)
			token["verify"] = false
			w.write(t, "tokens/it", token)
			found := w.write(t, "tokens/it/verify", nil).Data
			has(t, found, fields{"outcome": "inconclusive"})
			mentions(t, "the detail", fmt.Sprint(found["detail"]), tt.says)
		})
	}
}

func TestGoogle_RefusalsAreTold(t *testing.T) {
	t.Parallel()
	state := func(state simulator.OAuthClientState) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			t.Helper()
			succeeded(t, w.sim.SetOAuthClientState(t.Context(), "app", state))
		}
	}
	access := func(access simulator.AdsAccess) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			t.Helper()
			succeeded(t, w.sim.SetClientAdsAccess(t.Context(), "app", access))
		}
	}
	project := func(access simulator.ProjectAccess) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			t.Helper()
			succeeded(t, w.sim.SetProjectAccess(t.Context(), access))
		}
	}
	tests := map[string]struct {
		given         func(*testing.T, *world)
		outcome, code string
		words         []string
	}{
		"client deleted":         {state(simulator.OAuthClientDeleted), "rejected", "deleted_client", []string{"was deleted"}},
		"client switched off":    {state(simulator.OAuthClientDisabled), "rejected", "disabled_client", []string{"switched off"}},
		"session control":        {state(simulator.OAuthClientSessionEnded), "rejected", "invalid_grant", []string{"invalid_rapt", "about a day", "service_account_key"}},
		"no 2-step verification": {access(simulator.AdsAccessNoTwoStep), "rejected", "TWO_STEP_VERIFICATION_NOT_ENROLLED", []string{"2-step verification", "new consent"}},
		"no access to Ads":       {access(simulator.AdsAccessNone), "accepted", "NOT_ADS_USER", []string{"Access and security"}},
		"project with Test":      {project(simulator.ProjectNotApproved), "accepted", "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION", []string{"Explorer"}},
		"API not enabled":        {project(simulator.ProjectAPIDisabled), "accepted", "SERVICE_DISABLED", []string{"not enabled"}},
		"terms not accepted":     {project(simulator.ProjectNoTerms), "accepted", "MISSING_TOS", []string{"terms of service"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			succeeded(t, w.sim.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored))
			w.importApp(t, nil)
			tt.given(t, w)
			has(t, w.verify(t, "oauth", tt.outcome, tt.words...), fields{"provider_code": tt.code})
		})
	}
}
