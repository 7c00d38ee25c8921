//go:build unix

package acceptance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestAnAppReadsItsCredentialsAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credentials := w.importLegacyTokens(t)
	w.write(t, "tokens/acme-rw", impactToken("legacy_read_write", credentials.ReadWrite))
	app := w.login(t, "app", fmt.Sprintf(`path "%s/creds/acme-*" { capabilities = ["read"] }`, w.Path))

	creds := done(app.Read(t.Context(), "creds/acme-rw"))(t)
	has(t, creds.Data, fields{"auth_token": credentials.ReadWrite.AuthToken, "version": 1})
	for _, path := range []string{
		"creds/rw", "creds/ro", "tokens/acme-rw", "tokens/acme-rw/rotate", "tokens/acme-rw/history", "config/agency", "status", "info",
	} {
		_, err := app.Read(t.Context(), path)
		refused(t, err, http.StatusForbidden, "permission denied")
	}
	for _, path := range []string{"creds/acme-rw", "tokens/acme-rw", "tokens/acme-rw/rotate", "tokens/acme-rw/verify", "config/agency"} {
		_, err := app.Write(t.Context(), path, fields{"auth_token": vaulttest.Secret(t, "auth token of an app", "authTokenOfAnApp")})
		refused(t, err, http.StatusForbidden, "permission denied")
	}
	for _, path := range []string{"tokens", "config"} {
		_, err := app.List(t.Context(), path)
		refused(t, err, http.StatusForbidden, "permission denied")
	}
	_, err := app.Delete(t.Context(), "tokens/acme-rw")
	refused(t, err, http.StatusForbidden, "permission denied")
	has(t, w.data(t, "tokens/acme-rw"), fields{"version": 1})
}

func TestAnOperatorRotatesWithoutReadingCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	operator := w.login(t, "operator", fmt.Sprintf(`
		path "%[1]s/tokens/*" { capabilities = ["create", "read", "update", "delete", "list"] }
		path "%[1]s/status"   { capabilities = ["read"] }`, w.Path))
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	has(t, done(operator.Write(t.Context(), "tokens/rw/verify", nil))(t).Data, fields{"outcome": "rejected"})
	secret := done(operator.Write(t.Context(), "tokens/rw/rotate", fields{"auth_token": reset.AuthToken}))(t)
	has(t, secret.Data, fields{"version": 2})
	for _, path := range []string{"tokens/rw", "tokens/rw/rotate", "tokens/rw/history", "status"} {
		secret, err := operator.Read(t.Context(), path)
		succeeded(t, err)
		tellsNoSecret(t, path, secret.Data)
	}
	_, err := operator.Read(t.Context(), "creds/rw")
	refused(t, err, http.StatusForbidden, "permission denied")
}

// auditEntry is what a line of an audit log says of a request.
type auditEntry struct {
	Type string `json:"type"`
	Auth struct {
		DisplayName string `json:"display_name"`
	} `json:"auth"`
	Request struct {
		Operation string `json:"operation"`
		Path      string `json:"path"`
		Data      fields `json:"data"`
	} `json:"request"`
	Response struct {
		Data fields `json:"data"`
	} `json:"response"`
	Error string `json:"error"`
}

// audited returns the answered requests to a path of the mount, oldest first.
func (w *world) audited(t *testing.T, path, operation string) []auditEntry {
	t.Helper()
	file, err := os.Open(w.AuditLog)
	succeeded(t, err)
	defer file.Close()
	var entries []auditEntry
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var entry auditEntry
		succeeded(t, json.Unmarshal(lines.Bytes(), &entry))
		if entry.Type == "response" && entry.Request.Path == w.Path+"/"+path && entry.Request.Operation == operation {
			entries = append(entries, entry)
		}
	}
	succeeded(t, lines.Err())
	return entries
}

// auditHash is what the audit device writes for a value.
func (w *world) auditHash(t *testing.T, value any) string {
	t.Helper()
	return done(w.Server.Client.Sys().AuditHashWithContext(t.Context(), "file", fmt.Sprint(value)))(t)
}

func TestTheAuditLogTellsVersionsAndReasonsAndNoValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credentials := w.importLegacyTokens(t)
	operator := w.login(t, "operator", fmt.Sprintf(`path "%s/*" { capabilities = ["create", "read", "update"] }`, w.Path))
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	wrong := vaulttest.Secret(t, "wrong auth token", "wrongAuthTokenInTheAuditLog")
	_, err := operator.Write(t.Context(), "tokens/rw/rotate", fields{"auth_token": wrong, "reason": "first try"})
	refused(t, err, http.StatusBadRequest)
	done(operator.Write(t.Context(), "tokens/rw/rotate", fields{"auth_token": reset.AuthToken, "reason": "left the team: J. Doe", "cas": 1}))(t)
	done(operator.Read(t.Context(), "creds/rw"))(t)
	done(operator.Write(t.Context(), "tokens/rw/verify", nil))(t)

	rotations := w.audited(t, "tokens/rw/rotate", "update")
	if len(rotations) != 2 {
		t.Fatalf("%d rotations were audited", len(rotations))
	}
	has(t, rotations[0].Request.Data, fields{"reason": "first try", "auth_token": w.auditHash(t, wrong)})
	has(t, rotations[1].Request.Data, fields{"reason": "left the team: J. Doe", "cas": 1, "auth_token": w.auditHash(t, reset.AuthToken)})
	has(t, rotations[1].Response.Data, fields{
		"version": 2, "previous_version": 1, "verification": "accepted", "previous_credential": "rejected by provider",
		"fingerprint": w.data(t, "creds/rw")["fingerprint"],
	})
	if rotations[1].Auth.DisplayName != operator.displayName {
		t.Errorf("the rotation was done by %q", rotations[1].Auth.DisplayName)
	}

	reads := w.audited(t, "creds/rw", "read")
	if len(reads) != 2 { // the operator's, and the one for the fingerprint above
		t.Fatalf("%d reads were audited", len(reads))
	}
	has(t, reads[0].Response.Data, fields{
		"version": 2, "auth_token": w.auditHash(t, reset.AuthToken), "account_sid": w.auditHash(t, reset.AccountSID),
		"fingerprint": rotations[1].Response.Data["fingerprint"],
	})
	has(t, w.audited(t, "tokens/rw/verify", "update")[0].Response.Data, fields{"outcome": "accepted", "version": 2})
	imports := w.audited(t, "tokens/rw", "create")
	has(t, imports[0].Request.Data, fields{"auth_token": w.auditHash(t, credentials.ReadWrite.AuthToken)})
}
