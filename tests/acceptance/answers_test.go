package acceptance

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// TestImpact_AnswerOfSomebodyElseDecidesNothing: what a proxy, a login portal or another service says of a value is not what
// impact.com says of it.
func TestImpact_AnswerOfSomebodyElseDecidesNothing(t *testing.T) {
	t.Parallel()
	const page, html, object = "<html>blocked</html>", "text/html; charset=utf-8", "application/json"
	tests := map[string]struct {
		status            int
		contentType, body string
	}{
		"page, HTTP 403":           {403, html, page},
		"page, HTTP 401":           {401, html, page},
		"page, HTTP 404":           {404, html, page},
		"page, HTTP 200":           {200, html, page},
		"JSON of a gateway":        {403, object, `{"message":"Forbidden"}`},
		"JSON of another service":  {401, object, `{"error":"unauthorized"}`},
		"JSON that says all right": {200, object, `{"ok":true}`},
		"empty object":             {200, object, `{}`},
		"nothing, HTTP 401":        {401, "", ""},
		"right form, no type":      {403, "", `{"Status":"ERROR","Message":"no"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.importLegacyTokens(t)
			var blocked atomic.Bool
			impact := httputil.NewSingleHostReverseProxy(done(url.Parse(w.sim.ImpactURL))(t))
			way := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if !blocked.Load() {
					impact.ServeHTTP(rw, r)
					return
				}
				rw.Header()["Content-Type"] = []string{tt.contentType}
				if tt.contentType == "" {
					rw.Header()["Content-Type"] = nil // net/http would guess one
				}
				rw.WriteHeader(tt.status)
				_, _ = io.WriteString(rw, tt.body)
			}))
			t.Cleanup(way.Close)
			account := w.impactFields(simulator.Agency)
			account["base_url"] = way.URL
			w.write(t, "config/behind", account)
			credentials := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t)
			good := impactToken("legacy_read_write", credentials.ReadWrite)
			good["account"] = "behind"
			w.write(t, "tokens/good", good)

			blocked.Store(true)
			madeUp := fields{"account": "behind", "type": "scoped", "account_sid": credentials.ReadWrite.AccountSID, "auth_token": vaulttest.Secret(t, "made-up token", "madeUpAuthToken")}
			_, err := w.Write(t.Context(), "tokens/made-up", madeUp)
			refused(t, err, http.StatusBadGateway, "nothing was changed", fmt.Sprintf("unreadable answer (HTTP %d)", tt.status))
			fresh := vaulttest.Secret(t, "auth token that is handed in behind a proxy", "authTokenBehindAProxy")
			_, err = w.Write(t.Context(), "tokens/good/rotate", fields{"auth_token": fresh})
			refused(t, err, http.StatusBadGateway, "nothing was changed")
			has(t, w.write(t, "tokens/good/verify", nil).Data, fields{"outcome": "inconclusive"})
			has(t, w.data(t, "tokens/good"), fields{"version": 1, "health": "ok"})
			blocked.Store(false)
			has(t, w.write(t, "tokens/good/verify", nil).Data, fields{"outcome": "accepted"})
		})
	}
}

// TestProxy_ThatRefusesToConnectIsNamed, with its status and without its password.
func TestProxy_ThatRefusesToConnectIsNamed(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusForbidden
		if r.Header.Get("Proxy-Authorization") != "" {
			status = http.StatusProxyAuthRequired
		}
		http.Error(w, "no", status)
	}))
	t.Cleanup(proxy.Close)
	host := strings.TrimPrefix(proxy.URL, "http://")
	password := vaulttest.Secret(t, "proxy's password", "passwordOfTheProxy")
	for address, says := range map[string]string{
		"http://" + host:                        "(HTTP 403 Forbidden)",
		"http://vault:" + password + "@" + host: "(HTTP 407 Proxy Authentication Required); HTTPS_PROXY of Vault's environment",
	} {
		server := vaulttest.StartDev(t)
		server.SetPluginEnvironment(t, "HTTPS_PROXY="+address)
		w := &world{Mount: server.Mount(t)}
		w.write(t, "config/agency", fields{"provider": "impact", "account_type": "agency", "contact_email": "ads-api@acme.example"})
		token := impactToken("scoped", simulator.ImpactCredential{
			AccountSID: "IRq8mWJybvoQ1020978kbj7am8zzM2dBL1", AuthToken: vaulttest.Secret(t, "auth token behind a proxy", "authTokenBehindARefusingProxy"),
		})
		_, err := w.Write(t.Context(), "tokens/scoped", token)
		refused(t, err, http.StatusBadGateway, "api.impact.com could not be reached: the proxy "+host+" refused to connect to api.impact.com:443 "+says)
	}
}

// TestHook_AnswersAsWebhooksDo: with another success, with what has changed alone, at an address whose every byte counts.
func TestHook_AnswersAsWebhooksDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	before := w.data(t, "creds/rw")
	key := vaulttest.Secret(t, "function's key", "keyOfTheFunction")
	var asked atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked.Store(r.RequestURI)
		rw.WriteHeader(http.StatusCreated)
		reset, err := w.sim.ResetReadWrite(r.Context(), "agency")
		if err != nil {
			t.Error("the console failed")
		}
		_ = json.NewEncoder(rw).Encode(fields{"data": fields{"auth_token": reset.AuthToken}})
	}))
	t.Cleanup(server.Close)
	w.write(t, "config/agency", fields{"reset_hook_url": server.URL + "/api/reset/?code=" + key, "reset_hook_secret": newHook(t, w).secret})
	account := w.data(t, "config/agency")
	has(t, account, fields{"reset_hook_url": server.URL + "/api/reset/?…"})
	tellsNoSecret(t, "the account", account)
	_, err := w.Write(t.Context(), "config/agency", fields{"reset_hook_url": account["reset_hook_url"], "reset_hook_secret": newHook(t, w).secret})
	refused(t, err, http.StatusBadRequest, "reset_hook_url", "give the whole address")

	has(t, w.write(t, "tokens/rw/rotate", nil).Data, fields{"version": 2, "verification": "accepted", "previous_credential": "rejected by provider"})
	if got := asked.Load(); got != "/api/reset/?code="+key {
		vaulttest.Errorf(t, "the hook was asked at %v", got)
	}
	has(t, w.data(t, "creds/rw"), fields{"account_sid": before["account_sid"]})
}
