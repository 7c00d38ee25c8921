//go:build unix

// Package acceptance tests the engine as its users meet it: the built plugin on a real Vault server, driven by the vault
// command and Vault's API client, with the provider simulators in place of the providers.
package acceptance

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestMain(m *testing.M) { os.Exit(vaulttest.Main(m)) }

// fields are the data of a request or response.
type fields = map[string]any

// world is what one test has for itself: a mount of the engine and the providers.
type world struct {
	*vaulttest.Mount
	sim *vaulttest.Simulator
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{Mount: vaulttest.Shared(t).Mount(t), sim: vaulttest.StartSimulator(t)}
}

// write fails the test if the request fails. The secret is nil where the engine has nothing to say.
func (w *world) write(t *testing.T, path string, data fields) *api.Secret {
	t.Helper()
	secret, err := w.Write(t.Context(), path, data)
	if err != nil {
		vaulttest.Fatalf(t, "writing %s: %v", path, err)
	}
	return secret
}

// read returns the data, and the warnings beside them.
func (w *world) read(t *testing.T, path string) (fields, []string) {
	t.Helper()
	secret, err := w.Read(t.Context(), path)
	if err != nil {
		vaulttest.Fatalf(t, "reading %s: %v", path, err)
	}
	return secret.Data, secret.Warnings
}

// data is read without the warnings.
func (w *world) data(t *testing.T, path string) fields {
	t.Helper()
	data, _ := w.read(t, path)
	return data
}

func (w *world) remove(t *testing.T, path string) *api.Secret {
	t.Helper()
	secret, err := w.Delete(t.Context(), path)
	if err != nil {
		vaulttest.Fatalf(t, "deleting %s: %v", path, err)
	}
	return secret
}

// keys lists a path; nothing to list gives no keys.
func (w *world) keys(t *testing.T, path string) []any {
	t.Helper()
	secret, err := w.List(t.Context(), path)
	if err != nil {
		vaulttest.Fatalf(t, "listing %s: %v", path, err)
	}
	if secret == nil {
		return nil
	}
	keys, _ := secret.Data["keys"].([]any)
	return keys
}

// googleFields configure a Google Ads account of the simulated world.
func (w *world) googleFields(t *testing.T) fields {
	t.Helper()
	client := done(w.sim.OAuthClient(t.Context(), simulator.DefaultName))(t)
	return fields{
		"provider": "google_ads", "contact_email": "ads-api@acme.example", "login_customer_id": "123-456-7890",
		"base_url": w.sim.GoogleURL, "token_url": w.sim.GoogleURL + "/token", "ca_cert": w.sim.CACert,
		"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	}
}

// impactFields configure an impact.com account of the simulated world.
func (w *world) impactFields(kind simulator.AccountKind) fields {
	return fields{
		"provider": "impact", "contact_email": "ads-api@acme.example", "account_type": string(kind),
		"base_url": w.sim.ImpactURL, "ca_cert": w.sim.CACert,
	}
}

// importDeveloperToken makes the account google and its token dev.
func (w *world) importDeveloperToken(t *testing.T) {
	t.Helper()
	value := done(w.sim.DeveloperToken(t.Context()))(t)
	w.write(t, "config/google", w.googleFields(t))
	w.write(t, "tokens/dev", fields{"account": "google", "type": "developer_token", "developer_token": value})
}

// importLegacyTokens makes the account agency and its tokens rw and ro, and returns their values.
func (w *world) importLegacyTokens(t *testing.T) simulator.LegacyCredentials {
	t.Helper()
	credentials := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t)
	w.write(t, "config/agency", w.impactFields(simulator.Agency))
	w.write(t, "tokens/rw", impactToken("legacy_read_write", credentials.ReadWrite))
	w.write(t, "tokens/ro", impactToken("legacy_read_only", credentials.ReadOnly))
	return credentials
}

// importScopedToken makes the account agency, a scoped token in its console and the token scoped, and returns its value.
func (w *world) importScopedToken(t *testing.T) simulator.ScopedToken {
	t.Helper()
	token := done(w.sim.CreateScopedToken(t.Context(), simulator.ScopedTokenInput{
		ScopedTokenName: simulator.ScopedTokenName{Account: "agency", Name: "app"},
	}))(t)
	w.write(t, "config/agency", w.impactFields(simulator.Agency))
	w.write(t, "tokens/scoped", impactToken("scoped", token.ImpactCredential))
	return token
}

func impactToken(kind string, credential simulator.ImpactCredential) fields {
	return fields{"account": "agency", "type": kind, "account_sid": credential.AccountSID, "auth_token": credential.AuthToken}
}

// done returns the result of an action in a console, or fails the test.
func done[T any](result T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		succeeded(t, err)
		return result
	}
}

func succeeded(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
}

// refused fails the test unless Vault answered with the status and a message with each of the words.
func refused(t *testing.T, err error, status int, words ...string) {
	t.Helper()
	var response *api.ResponseError
	if !errors.As(err, &response) {
		vaulttest.Fatalf(t, "the request should have been refused with HTTP %d, not answered with: %v", status, err)
	}
	message := strings.Join(response.Errors, "\n")
	if response.StatusCode != status {
		vaulttest.Errorf(t, "HTTP %d instead of %d: %s", response.StatusCode, status, message)
	}
	mentions(t, "the message", message, words...)
}

func mentions(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			vaulttest.Errorf(t, "%s does not say %q: %s", what, word, text)
		}
	}
}

// warns fails the test unless there is exactly one warning, with each of the words.
func warns(t *testing.T, warnings []string, words ...string) {
	t.Helper()
	if len(warnings) != 1 {
		vaulttest.Fatalf(t, "there should be one warning: %q", warnings)
	}
	mentions(t, "the warning", warnings[0], words...)
}

// warnsAmongOthers fails the test unless one of the warnings has all of the words.
func warnsAmongOthers(t *testing.T, warnings []string, words ...string) {
	t.Helper()
	if !slices.ContainsFunc(warnings, func(warning string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(warning, word) })
	}) {
		vaulttest.Errorf(t, "no warning says %q: %q", words, warnings)
	}
}

func warnsNot(t *testing.T, secret *api.Secret) {
	t.Helper()
	if secret != nil && len(secret.Warnings) > 0 {
		vaulttest.Errorf(t, "there should be no warning: %q", secret.Warnings)
	}
}

// has fails the test unless the data have the wanted fields, compared as JSON; other fields may be there.
func has(t *testing.T, data, want fields) {
	t.Helper()
	for name, value := range want {
		if got, ok := data[name]; !ok || asJSON(t, got) != asJSON(t, value) {
			vaulttest.Errorf(t, "%s is %s (there: %t) instead of %s", name, asJSON(t, got), ok, asJSON(t, value))
		}
	}
}

// hasOnly fails the test unless the names of the data's fields are those.
func hasOnly(t *testing.T, data fields, names ...string) {
	t.Helper()
	var got []string
	for name := range data {
		got = append(got, name)
	}
	slices.Sort(got)
	slices.Sort(names)
	if !slices.Equal(got, names) {
		vaulttest.Errorf(t, "the fields are %v instead of %v", got, names)
	}
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	return string(text)
}

// tellsNoSecret fails the test if a secret is in the value.
func tellsNoSecret(t *testing.T, what string, value any) {
	t.Helper()
	text := asJSON(t, value)
	if clean := vaulttest.Redact(t, text); clean != text {
		t.Errorf("%s tells a secret: %s", what, clean)
	}
}
