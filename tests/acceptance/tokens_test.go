//go:build unix

package acceptance

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestATokenCanBeCreatedWithoutACredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(t, "config/agency", w.impactFields(simulator.Agency))
	warns(t, w.write(t, "tokens/rw", fields{"account": "agency", "type": "legacy_read_write"}).Warnings, "no credential yet", "tokens/rw/rotate", "auth_token=-")
	has(t, w.data(t, "tokens/rw"), fields{
		"account": "agency", "provider": "impact", "type": "legacy_read_write", "version": 0, "health": "none", "fingerprint": "",
		"last_verification": nil, "last_vault_rotation": nil, "next_vault_rotation": nil, "overdue": false, "rotation_state": "idle",
		"refresh_ttl": 60, "last_error": "",
	})
	has(t, w.data(t, "tokens/rw/history"), fields{"versions": []any{}})

	_, err := w.Read(t.Context(), "creds/rw")
	refused(t, err, http.StatusBadRequest, `"rw"`, "no credential yet", "tokens/rw/rotate")
	_, err = w.Write(t.Context(), "tokens/rw/verify", nil)
	refused(t, err, http.StatusBadRequest, "no credential yet", "tokens/rw/rotate")

	credential := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t).ReadWrite
	secret := w.write(t, "tokens/rw/rotate", fields{"account_sid": credential.AccountSID, "auth_token": credential.AuthToken, "cas": 0})
	has(t, secret.Data, fields{"version": 1, "previous_version": 0, "verification": "accepted", "previous_credential": "not checked"})
	has(t, w.data(t, "creds/rw"), fields{"version": 1, "auth_token": credential.AuthToken})
}

func TestAnImportIsVerifiedAndPublishedAsVersionOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credential := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t).ReadWrite
	w.write(t, "config/agency", w.impactFields(simulator.Agency))
	data := impactToken("legacy_read_write", credential)
	data["reason"] = "in use since 2023"
	secret := w.write(t, "tokens/rw", data)
	warnsNot(t, secret)
	hasOnly(t, secret.Data, "version", "previous_version", "verification", "verification_detail", "previous_credential", "fingerprint")
	has(t, secret.Data, fields{"version": 1, "previous_version": 0, "verification": "accepted", "previous_credential": "not checked"})
	if secret.Data["verification_detail"] == "" {
		t.Error("verification_detail is empty")
	}

	token := w.data(t, "tokens/rw")
	has(t, token, fields{"version": 1, "health": "ok", "fingerprint": secret.Data["fingerprint"], "rotation_state": "idle", "overdue": false, "next_vault_rotation": nil})
	verification, _ := token["last_verification"].(fields)
	hasOnly(t, verification, "at", "outcome", "detail")
	has(t, verification, fields{"outcome": "accepted", "detail": secret.Data["verification_detail"]})
	isRecent(t, "last_verification's at", verification["at"])
	isRecent(t, "last_vault_rotation", token["last_vault_rotation"])
	tellsNoSecret(t, "the import", secret.Data)
	tellsNoSecret(t, "the token", token)

	versions := w.history(t, "rw")
	if len(versions) != 1 {
		t.Fatalf("the history has %d versions", len(versions))
	}
	has(t, versions[0], fields{"version": 1, "source": "import", "reason": "in use since 2023", "verification": "accepted", "fingerprint": secret.Data["fingerprint"]})
}

// isRecent fails the test unless the value is a time of the last minutes in RFC 3339.
func isRecent(t *testing.T, what string, value any) {
	t.Helper()
	text, _ := value.(string)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || time.Since(at).Abs() > 10*time.Minute {
		t.Errorf("%s is %v, which is no recent time in RFC 3339", what, value)
	}
}

// history returns the versions of a token, oldest first.
func (w *world) history(t *testing.T, name string) []fields {
	t.Helper()
	list, ok := w.data(t, "tokens/"+name+"/history")["versions"].([]any)
	if !ok {
		t.Fatal("versions is no list")
	}
	versions := make([]fields, len(list))
	for i, element := range list {
		if versions[i], ok = element.(fields); !ok {
			t.Fatalf("version %d is no object", i)
		}
	}
	return versions
}

func TestAnImportThatTheProviderDoesNotConfirmCreatesNoToken(t *testing.T) {
	t.Parallel()
	wrong := vaulttest.Secret(t, "wrong auth token", "wrongAuthTokenAtAnImport")
	tests := map[string]struct {
		fault  *simulator.Fault
		status int
		words  []string
	}{
		"rejected":       {status: http.StatusBadRequest, words: []string{"nothing was changed", "impact.com rejects the token", "HTTP 401"}},
		"provider down":  {fault: &simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultStatus, Status: 503}, status: http.StatusBadGateway, words: []string{"create the token without a credential", "HTTP 503"}},
		"nobody answers": {fault: &simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultDropBefore}, status: http.StatusBadGateway, words: []string{"create the token without a credential"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			sid := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t).ReadWrite.AccountSID
			w.write(t, "config/agency", w.impactFields(simulator.Agency))
			if tt.fault != nil {
				succeeded(t, w.sim.InjectFault(t.Context(), *tt.fault))
			}
			data := impactToken("legacy_read_write", simulator.ImpactCredential{AccountSID: sid, AuthToken: wrong})
			_, err := w.Write(t.Context(), "tokens/rw", data)
			refused(t, err, tt.status, tt.words...)
			if strings.Contains(err.Error(), "verify=false") {
				t.Error("an import is told of verify=false")
			}
			_, err = w.Read(t.Context(), "tokens/rw")
			refused(t, err, http.StatusNotFound)
			if keys := w.keys(t, "tokens"); len(keys) != 0 {
				t.Errorf("the tokens are %v", keys)
			}

			data["verify"] = false
			secret := w.write(t, "tokens/rw", data)
			has(t, secret.Data, fields{"version": 1, "verification": "skipped"})
			warns(t, secret.Warnings, "unverified", "tokens/rw/verify")
			has(t, w.data(t, "tokens/rw"), fields{"version": 1, "health": "unverified", "last_verification": nil})
		})
	}
}

func TestAnUpdateChangesThePolicyAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	before := w.data(t, "tokens/rw")
	w.write(t, "tokens/rw", fields{
		"refresh_ttl": "5s", "rotation_period": "24h", "custom_metadata": fields{"team": "ads", "ticket": "OPS-1"}, "probe_path": "CompanyInformation",
	})
	after := w.data(t, "tokens/rw")
	has(t, after, fields{
		"refresh_ttl": 5, "rotation_period": 86400, "rotation_schedule": "", "custom_metadata": fields{"team": "ads", "ticket": "OPS-1"}, "probe_path": "CompanyInformation",
		"account": "agency", "type": "legacy_read_write", "version": 1, "fingerprint": before["fingerprint"], "last_vault_rotation": before["last_vault_rotation"],
	})
	if next, _ := after["next_vault_rotation"].(string); next == "" {
		t.Error("no rotation is planned")
	}

	w.write(t, "tokens/rw", fields{"rotation_schedule": "0 3 * * SAT", "rotation_window": "2h"})
	has(t, w.data(t, "tokens/rw"), fields{"rotation_schedule": "0 3 * * SAT", "rotation_window": 7200, "rotation_period": 0, "refresh_ttl": 5})

	w.write(t, "tokens/rw", fields{"disable_automated_rotation": true})
	has(t, w.data(t, "tokens/rw"), fields{"disable_automated_rotation": true, "next_vault_rotation": nil})
	if ledger := done(w.sim.Ledger(t.Context()))(t); len(ledger.Requests) != 1 {
		t.Errorf("an update of a policy asks nobody, but the providers were asked %v", ledger.Requests)
	}
}

func TestAnUpdateWithACredentialIsRefusedAndNamesRotate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	before := asJSON(t, w.data(t, "creds/rw"))
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	for name, data := range map[string]fields{
		"auth_token":      {"auth_token": reset.AuthToken},
		"account_sid":     {"account_sid": reset.AccountSID},
		"developer_token": {"developer_token": vaulttest.Secret(t, "developer token of an update", "0123456789abcdefghijkl")},
	} {
		data["refresh_ttl"] = 7
		_, err := w.Write(t.Context(), "tokens/rw", data)
		refused(t, err, http.StatusBadRequest, name, "tokens/rw/rotate")
	}
	has(t, w.data(t, "tokens/rw"), fields{"refresh_ttl": 60, "version": 1})
	if after := asJSON(t, w.data(t, "creds/rw")); after != before {
		vaulttest.Errorf(t, "the credential changed from %s to %s", before, after)
	}
}

func TestTypeAndAccountOfATokenAreFixed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	w.write(t, "config/other", w.impactFields(simulator.Agency))
	_, err := w.Write(t.Context(), "tokens/rw", fields{"type": "legacy_read_only"})
	refused(t, err, http.StatusBadRequest, "type is fixed")
	_, err = w.Write(t.Context(), "tokens/rw", fields{"account": "other"})
	refused(t, err, http.StatusBadRequest, "account is fixed")
	w.write(t, "tokens/rw", fields{"type": "legacy_read_write", "account": "agency", "refresh_ttl": 9})
	has(t, w.data(t, "tokens/rw"), fields{"type": "legacy_read_write", "account": "agency", "refresh_ttl": 9})
}

func TestDeletingATokenSaysThatItLivesOnAtTheProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credentials := w.importLegacyTokens(t)
	warns(t, w.remove(t, "tokens/rw").Warnings, "lives on at the provider")
	for _, path := range []string{"tokens/rw", "creds/rw", "tokens/rw/history", "tokens/rw/rotate"} {
		_, err := w.Read(t.Context(), path)
		refused(t, err, http.StatusNotFound)
	}
	if !done(w.sim.Ledger(t.Context()))(t).IsLive(credentials.ReadWrite.AuthToken) {
		t.Error("the deletion ended the token at the provider")
	}
	has(t, w.data(t, "tokens/ro"), fields{"version": 1})
	warnsNot(t, w.remove(t, "tokens/rw"))

	// A new token of the same name starts anew.
	w.write(t, "tokens/rw", impactToken("legacy_read_write", credentials.ReadWrite))
	has(t, w.data(t, "tokens/rw"), fields{"version": 1})
}

func TestTokensAreListedWithTheirState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	w.importDeveloperToken(t)
	w.write(t, "tokens/empty", fields{"account": "agency", "type": "scoped"})
	w.write(t, "tokens/rw", fields{"rotation_period": "1s"})
	vaulttest.Await(t, "the token to be overdue", func() bool { return w.data(t, "tokens/rw")["overdue"] == true })

	list, err := w.List(t.Context(), "tokens")
	succeeded(t, err)
	has(t, list.Data, fields{
		"keys": []string{"dev", "empty", "ro", "rw"},
		"key_info": fields{
			"dev":   fields{"account": "google", "type": "developer_token", "version": 1, "health": "ok", "overdue": false, "next_vault_rotation": nil},
			"empty": fields{"account": "agency", "type": "scoped", "version": 0, "health": "none", "overdue": false, "next_vault_rotation": nil},
			"ro":    fields{"account": "agency", "type": "legacy_read_only", "version": 1, "health": "ok", "overdue": false, "next_vault_rotation": nil},
			"rw": fields{
				"account": "agency", "type": "legacy_read_write", "version": 1, "health": "ok", "overdue": true,
				"next_vault_rotation": w.data(t, "tokens/rw")["next_vault_rotation"],
			},
		},
	})

	output := w.CLI(t, vaulttest.Command{Args: []string{"list", "-detailed", w.Path + "/tokens"}})
	if output.ExitCode != 0 {
		vaulttest.Fatalf(t, "vault list -detailed: %s", output.Stderr)
	}
	lines := strings.Split(output.Stdout, "\n")
	if columns := strings.Fields(lines[0]); asJSON(t, columns) != `["Keys","account","health","next_vault_rotation","overdue","type","version"]` {
		t.Errorf("the columns are %v", columns)
	}
	if row := strings.Fields(lines[2]); asJSON(t, row) != `["dev","google","ok","\u003cnil\u003e","false","developer_token","1"]` {
		t.Errorf("the first row is %v", row)
	}

	output = w.CLI(t, vaulttest.Command{Args: []string{"list", "-detailed", w.Path + "/config"}})
	mentions(t, "the list of accounts", output.Stdout, "provider", "google_ads", "impact")
}

func TestEveryPathOfAnUnknownTokenIsNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"creds/nobody", "tokens/nobody/rotate", "tokens/nobody/history"} {
		_, err := w.Read(t.Context(), path)
		refused(t, err, http.StatusNotFound, `"nobody"`, "does not exist")
	}
	_, err := w.Read(t.Context(), "tokens/nobody")
	refused(t, err, http.StatusNotFound)
	for _, path := range []string{"tokens/nobody/rotate", "tokens/nobody/verify"} {
		_, err := w.Write(t.Context(), path, nil)
		refused(t, err, http.StatusNotFound, `"nobody"`, "does not exist")
	}
}
