//go:build unix

package acceptance

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestAccountsAreCreatedReadUpdatedListedAndDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	succeeded(t, w.sim.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored)) // as since 9 September 2026
	google := w.googleFields(t)
	warnsNot(t, w.write(t, "config/acme-google", google))
	warnsNot(t, w.write(t, "config/acme-impact", w.impactFields(simulator.Agency)))

	data := w.data(t, "config/acme-google")
	has(t, data, fields{
		"provider": "google_ads", "contact_email": "ads-api@acme.example", "login_customer_id": "1234567890", "api_version": "v26",
		"base_url": w.sim.GoogleURL, "token_url": w.sim.GoogleURL + "/token", "client_id": google["client_id"],
		"request_timeout": 10, "verify_connection": true, "secrets_set": []string{"client_secret", "refresh_token"},
	})
	data = w.data(t, "config/acme-impact")
	has(t, data, fields{"provider": "impact", "account_type": "agency", "base_url": w.sim.ImpactURL, "secrets_set": []string{}})

	if keys := w.keys(t, "config"); asJSON(t, keys) != `["acme-google","acme-impact"]` {
		t.Errorf("the accounts are %v", keys)
	}

	warnsNot(t, w.write(t, "config/acme-google", fields{"contact_email": "apis@acme.example", "request_timeout": "3s"}))
	has(t, w.data(t, "config/acme-google"), fields{
		"contact_email": "apis@acme.example", "request_timeout": 3, "login_customer_id": "1234567890",
		"secrets_set": []string{"client_secret", "refresh_token"},
	})

	warnsNot(t, w.remove(t, "config/acme-google"))
	if keys := w.keys(t, "config"); asJSON(t, keys) != `["acme-impact"]` {
		t.Errorf("the accounts are %v after a deletion", keys)
	}
	_, err := w.Read(t.Context(), "config/acme-google")
	refused(t, err, http.StatusNotFound)
	warnsNot(t, w.remove(t, "config/acme-google"))
}

func TestAnAccountNeverTellsItsSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := done(w.sim.ServiceAccountKey(t.Context(), simulator.DefaultName))(t)
	w.write(t, "config/oauth", w.googleFields(t))
	w.write(t, "config/key", fields{"provider": "google_ads", "base_url": w.sim.GoogleURL, "service_account_key": string(key)})
	for account, secrets := range map[string][]string{"oauth": {"client_secret", "refresh_token"}, "key": {"service_account_key"}} {
		data, warnings := w.read(t, "config/"+account)
		has(t, data, fields{"secrets_set": secrets})
		for _, secret := range secrets {
			if _, told := data[secret]; told {
				t.Errorf("%s is told", secret)
			}
		}
		tellsNoSecret(t, account, data)
		tellsNoSecret(t, "a warning of "+account, warnings)
	}
}

func TestAnAccountsIdentityIsTriedBeforeItIsStored(t *testing.T) {
	t.Parallel()
	const nobody = "http://127.0.0.1:1" // a port that no system gives out
	tests := map[string]struct {
		change fields
		fault  *simulator.Fault
		status int // 0: stored
		words  []string
	}{
		"accepted":              {},
		"wrong refresh token":   {change: fields{"refresh_token": vaulttest.Secret(t, "wrong refresh token", "1//0wrong-refresh-token")}, status: 400, words: []string{"nothing was changed", "invalid_grant"}},
		"wrong client secret":   {change: fields{"client_secret": vaulttest.Secret(t, "wrong client secret", "GOCSPX-wrong")}, status: 400, words: []string{"nothing was changed", "invalid_client"}},
		"wrong, but not tried":  {change: fields{"refresh_token": vaulttest.Secret(t, "untried refresh token", "1//0untried-refresh-token"), "verify_connection": false}},
		"nobody listens":        {change: fields{"token_url": nobody + "/token"}, status: 502, words: []string{"could not be reached", "verify_connection=false"}},
		"connection dropped":    {fault: &simulator.Fault{Service: simulator.GoogleToken, Kind: simulator.FaultDropBefore}, status: 502, words: []string{"verify_connection=false"}},
		"trouble at Google":     {fault: &simulator.Fault{Service: simulator.GoogleAds, Kind: simulator.FaultStatus, Status: 503}, status: 502, words: []string{"HTTP 503", "verify_connection=false"}},
		"no answer in time":     {change: fields{"request_timeout": 1}, fault: &simulator.Fault{Service: simulator.GoogleToken, Kind: simulator.FaultLatency, Latency: time.Minute}, status: 504, words: []string{"did not answer in time", "verify_connection=false"}},
		"down, but not tried":   {change: fields{"verify_connection": false}, fault: &simulator.Fault{Service: simulator.GoogleToken, Kind: simulator.FaultDropBefore}},
		"token URL of a proxy":  {fault: &simulator.Fault{Service: simulator.GoogleToken, Kind: simulator.FaultGarbage}, status: 502, words: []string{"unreadable", "check the address"}},
		"redirected":            {fault: &simulator.Fault{Service: simulator.GoogleToken, Kind: simulator.FaultRedirect, Location: nobody}, status: 502, words: []string{"redirect", "credentials are never sent on"}},
		"answer without an end": {fault: &simulator.Fault{Service: simulator.GoogleToken, Kind: simulator.FaultOversizedBody}, status: 502, words: []string{"bytes"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			data := w.googleFields(t)
			maps.Copy(data, tt.change)
			if tt.fault != nil {
				succeeded(t, w.sim.InjectFault(t.Context(), *tt.fault))
			}
			_, err := w.Write(t.Context(), "config/google", data)
			if tt.status == 0 {
				succeeded(t, err)
				w.data(t, "config/google")
				return
			}
			refused(t, err, tt.status, tt.words...)
			_, err = w.Read(t.Context(), "config/google")
			refused(t, err, http.StatusNotFound)
		})
	}
}

func TestAnUpdateThatTheProviderRefusesLeavesTheAccountAsItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(t, "config/google", w.googleFields(t))
	before := asJSON(t, w.data(t, "config/google"))
	_, err := w.Write(t.Context(), "config/google", fields{
		"refresh_token": vaulttest.Secret(t, "wrong refresh token", "1//0another-wrong-token"), "contact_email": "other@acme.example",
	})
	refused(t, err, http.StatusBadRequest, "nothing was changed")
	if after := asJSON(t, w.data(t, "config/google")); after != before {
		vaulttest.Errorf(t, "the account changed from %s to %s", before, after)
	}
	// The old identity is still the one in use.
	w.write(t, "tokens/dev", fields{"account": "google", "type": "developer_token", "developer_token": done(w.sim.DeveloperToken(t.Context()))(t)})
	has(t, w.data(t, "tokens/dev"), fields{"health": "ok"})
}

func TestAnAccountIsNotDeletedWhileATokenUsesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(t, "config/agency", w.impactFields(simulator.Agency))
	w.write(t, "tokens/empty", fields{"account": "agency", "type": "legacy_read_write"})
	_, err := w.Delete(t.Context(), "config/agency")
	refused(t, err, http.StatusBadRequest, `"agency"`, "1 token", `"empty"`)
	w.data(t, "config/agency")

	w.remove(t, "tokens/empty")
	w.remove(t, "config/agency")
	_, err = w.Read(t.Context(), "config/agency")
	refused(t, err, http.StatusNotFound)
}

func TestAMissingContactEmailWarnsWithTheReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	data := w.impactFields(simulator.Agency)
	delete(data, "contact_email")
	warns(t, w.write(t, "config/agency", data).Warnings, "contact_email", "API changes", "leaked tokens")
	warnsNot(t, w.write(t, "config/agency", fields{"contact_email": "ads-api@acme.example"}))
	warns(t, w.write(t, "config/agency", fields{"contact_email": ""}).Warnings, "contact_email")
}

func TestEndpointsChangeOnlyTogetherWithTheAccountsSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := vaulttest.StartSimulator(t)
	tls := vaulttest.StartTLSSimulator(t)
	google := w.googleFields(t)
	w.write(t, "config/google", google)
	endpoints := fields{
		"base_url": other.GoogleURL, "token_url": other.GoogleURL + "/token", "revoke_url": other.GoogleURL + "/revoke",
		"iam_url": other.GoogleURL, "ca_cert": tls.CACert,
	}
	for field, value := range endpoints {
		_, err := w.Write(t.Context(), "config/google", fields{field: value, "verify_connection": false})
		refused(t, err, http.StatusBadRequest, field, "client_secret", "refresh_token")
		_, err = w.Write(t.Context(), "config/google", fields{field: value, "verify_connection": false, "client_secret": google["client_secret"]})
		refused(t, err, http.StatusBadRequest, field, "refresh_token")
	}
	has(t, w.data(t, "config/google"), fields{"base_url": w.sim.GoogleURL, "verify_connection": true})

	w.write(t, "config/google", fields{
		"revoke_url": other.GoogleURL + "/revoke", "client_secret": google["client_secret"], "refresh_token": google["refresh_token"],
	})
	has(t, w.data(t, "config/google"), fields{"revoke_url": other.GoogleURL + "/revoke"})

	// Writing the address that is set already is no change.
	w.write(t, "config/google", fields{"base_url": w.sim.GoogleURL + "/"})
}

func TestEndpointsDoNotChangeWhileATokenHoldsACredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := vaulttest.StartSimulator(t)
	w.write(t, "config/agency", w.impactFields(simulator.Agency))
	w.write(t, "tokens/empty", fields{"account": "agency", "type": "legacy_read_write"})
	w.write(t, "config/agency", fields{"base_url": other.ImpactURL})
	w.write(t, "config/agency", fields{"base_url": w.sim.ImpactURL})

	w.importLegacyTokens(t)
	_, err := w.Write(t.Context(), "config/agency", fields{"base_url": other.ImpactURL})
	refused(t, err, http.StatusBadRequest, "base_url", "holds a credential")
	has(t, w.data(t, "config/agency"), fields{"base_url": w.sim.ImpactURL})
	if ledger := done(other.Ledger(t.Context()))(t); len(ledger.Requests) != 0 {
		t.Errorf("the other address was sent %v", ledger.Requests)
	}
}

func TestTheProviderOfAnAccountIsFixed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(t, "config/agency", w.impactFields(simulator.Agency))
	_, err := w.Write(t.Context(), "config/agency", fields{"provider": "google_ads"})
	refused(t, err, http.StatusBadRequest, "provider is fixed")
}

func TestAPrivateCAIsTrustedWhereTheAccountNamesIt(t *testing.T) {
	t.Parallel()
	w := &world{Mount: vaulttest.Shared(t).Mount(t), sim: vaulttest.StartTLSSimulator(t)}
	google := w.googleFields(t)
	delete(google, "ca_cert")
	_, err := w.Write(t.Context(), "config/google", google)
	refused(t, err, http.StatusBadGateway, "TLS certificate", "CA certificate")

	w.importDeveloperToken(t)
	has(t, w.data(t, "tokens/dev"), fields{"health": "ok"})
	w.importLegacyTokens(t)
	has(t, w.data(t, "tokens/rw"), fields{"health": "ok"})
	has(t, w.data(t, "creds/rw"), fields{"base_url": w.sim.ImpactURL})
}
