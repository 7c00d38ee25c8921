package backend

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

func clientFields(c simulator.OAuthCredential) map[string]any {
	return map[string]any{"client_id": c.ClientID, "client_secret": c.ClientSecret, "refresh_token": c.RefreshToken}
}

// twoClients imports the first of two OAuth clients as oauth.
func (f *fixture) twoClients(t *testing.T) (mine, other simulator.OAuthCredential) {
	t.Helper()
	f.withGoogle(t)
	var err error
	mine, err = f.provider.OAuthClient(t.Context(), simulator.DefaultName)
	must(t, err)
	other, err = f.provider.CreateOAuthClient(t.Context(), "somebody-elses")
	must(t, err)
	data := clientFields(mine)
	data["account"], data["type"], data["verify_period"] = "google", "oauth_client", 0
	f.write(t, "tokens/oauth", data)
	return mine, other
}

func TestIdentity_AValueOfSomebodyElseIsRefusedUnlessThatIsMeant(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	mine, other := f.twoClients(t)
	before := f.read(t, "tokens/oauth")
	if before["identity"] != mine.ClientID {
		t.Fatalf("the identity is %v, want %s", before["identity"], mine.ClientID)
	}
	response, err := f.handle(t, logical.UpdateOperation, "tokens/oauth/rotate", clientFields(other))
	must(t, err)
	if !response.IsError() || !containsAll(response.Error().Error(), []string{mine.ClientID, other.ClientID, "accept_other_identity=true", "nothing was changed"}) {
		t.Errorf("somebody else's value gives %v", response)
	}
	wantFields(t, "the token after that", f.read(t, "tokens/oauth"), map[string]any{
		"version": 1, "identity": mine.ClientID, "fingerprint": before["fingerprint"], "rotation_state": "idle", "last_error": "",
	})
	data := clientFields(other)
	data["accept_other_identity"] = true
	response = f.write(t, "tokens/oauth/rotate", data)
	if !strings.Contains(strings.Join(response.Warnings, "\n"), other.ClientID) {
		t.Errorf("the answer does not say whose the value is: %q", response.Warnings)
	}
	wantFields(t, "the token at last", f.read(t, "tokens/oauth"), map[string]any{"version": 2, "identity": other.ClientID})
	versions := f.read(t, "tokens/oauth/history")["versions"].([]any)
	wantFields(t, "version 1", versions[0].(map[string]any), map[string]any{"identity": mine.ClientID, "identity_changed": false})
	wantFields(t, "version 2", versions[1].(map[string]any), map[string]any{"identity": other.ClientID, "identity_changed": true})
	// The same client again, with another secret of the same person's, is no change.
	if response, err := f.handle(t, logical.ReadOperation, "status", nil); err != nil || len(response.Warnings) > 0 {
		t.Errorf("status warns %q, error %v, although a person has wanted it", response.Warnings, err)
	}
}

func TestIdentity_OfAServiceAccountIsItsAddress(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withGoogle(t)
	mine, err := f.provider.CreateServiceAccount(t.Context(), "mine")
	must(t, err)
	other, err := f.provider.CreateServiceAccount(t.Context(), "other")
	must(t, err)
	email := func(file []byte) string {
		var key struct {
			Email string `json:"client_email"`
		}
		must(t, json.Unmarshal(file, &key))
		return key.Email
	}
	f.write(t, "tokens/key", map[string]any{"account": "google", "type": "service_account_key", "service_account_key": string(mine)})
	if got := f.read(t, "tokens/key")["identity"]; got != email(mine) {
		t.Errorf("the identity is %v, want %s", got, email(mine))
	}
	response, err := f.handle(t, logical.UpdateOperation, "tokens/key/rotate", map[string]any{"service_account_key": string(other)})
	must(t, err)
	if !response.IsError() || !containsAll(response.Error().Error(), []string{email(mine), email(other)}) {
		t.Errorf("another service account's key gives %v", response)
	}
	f.write(t, "tokens/key/rotate", nil) // a key that the engine makes is of the same one
	wantFields(t, "the token", f.read(t, "tokens/key"), map[string]any{"version": 2, "identity": email(mine)})
}

func TestIdentity_OfAValueThatWasPublishedUntriedIsTakenOver(t *testing.T) {
	t.Parallel()
	l := &listener{}
	f := newStillFixture(t, func(c *logical.BackendConfig) { c.EventsSender = l })
	mine, other := f.twoClients(t)
	data := clientFields(other)
	data["verify"] = false
	f.write(t, "tokens/oauth/rotate", data)
	wantFields(t, "untried", f.read(t, "tokens/oauth"), map[string]any{"version": 2, "identity": mine.ClientID})
	f.write(t, "tokens/oauth/verify", nil)
	wantFields(t, "tried", f.read(t, "tokens/oauth"), map[string]any{"version": 2, "identity": other.ClientID})
	versions := f.read(t, "tokens/oauth/history")["versions"].([]any)
	wantFields(t, "the history", versions[1].(map[string]any), map[string]any{"identity": other.ClientID, "identity_changed": true})
	l.mu.Lock()
	i := slices.IndexFunc(l.events, func(e heard) bool { return e.kind == "adtokens/identity-changed" })
	if i < 0 || l.events[i].metadata["identity"] != other.ClientID || l.events[i].metadata["previous_identity"] != mine.ClientID {
		t.Errorf("the events are %v, want one that tells of both", l.events)
	}
	l.mu.Unlock()
	warned := func() bool {
		response, err := f.handle(t, logical.ReadOperation, "status", nil)
		must(t, err)
		return containsAll(strings.Join(response.Warnings, "\n"), []string{"oauth: a verification at", mine.ClientID, other.ClientID})
	}
	if !warned() {
		t.Error("status does not speak of it")
	}
	f.clock.Advance(23 * time.Hour)
	if !warned() {
		t.Error("status does not speak of it any more, before a day is over")
	}
	f.clock.Advance(time.Hour)
	if warned() {
		t.Error("status still speaks of it after a day")
	}
}

func TestIdentity_AHooksValueOfSomebodyElseIsKeptUntilAPersonWantsIt(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	mine, other := f.twoClients(t)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		must(t, json.NewEncoder(w).Encode(clientFields(other)))
	}))
	t.Cleanup(hook.Close)
	key, err := f.provider.ServiceAccountKey(t.Context(), simulator.DefaultName)
	must(t, err)
	f.write(t, "config/google", map[string]any{"reset_hook_url": hook.URL, "reset_hook_secret": "whsec_" + hookSecret, "service_account_key": string(key)})
	response := f.write(t, "tokens/oauth/rotate", nil)
	if !containsAll(strings.Join(response.Warnings, "\n"), []string{mine.ClientID, other.ClientID, "kept and not published"}) {
		t.Errorf("the answer warns %q", response.Warnings)
	}
	got := f.read(t, "tokens/oauth")
	wantFields(t, "the token", got, map[string]any{"version": 1, "rotation_state": "pending", "identity": mine.ClientID})
	if problem := got["last_error"].(string); !containsAll(problem, []string{mine.ClientID, other.ClientID}) {
		t.Errorf("last_error is %q, want both identities", problem)
	}
	if got := f.read(t, "creds/oauth"); got["version"] != 1 || got["client_id"] != mine.ClientID {
		t.Errorf("version %v is served", got["version"])
	}
	response = f.write(t, "tokens/oauth/rotate", map[string]any{"accept_other_identity": true, "reason": "the agency has moved"})
	wantFields(t, "the answer", response.Data, map[string]any{"version": 2, "previous_version": 1})
	wantFields(t, "the token at last", f.read(t, "tokens/oauth"), map[string]any{"version": 2, "identity": other.ClientID, "rotation_state": "idle", "last_error": ""})
	versions := f.read(t, "tokens/oauth/history")["versions"].([]any)
	wantFields(t, "the history", versions[1].(map[string]any), map[string]any{
		"source": "hook", "identity_changed": true, "reason": "the agency has moved", "display_name": "userpass-jane",
	})
}

func TestIdentity_OfADefinitionIsFollowedByRenames(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	p := newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	wantFields(t, "the token", f.read(t, "tokens/app"), map[string]any{"identity": "7"})
	p.account.Store(new("8"))
	response, err := f.handle(t, logical.UpdateOperation, "tokens/app/rotate", map[string]any{"refresh_token": p.issue("rt-of-somebody-else")})
	must(t, err)
	if !response.IsError() || !containsAll(response.Error().Error(), []string{`"7"`, `"8"`, "used up"}) {
		t.Errorf("a single-use value of somebody else gives %v", response)
	}
	wantFields(t, "the token after that", f.read(t, "tokens/app"), map[string]any{"version": 1, "identity": "7", "rotation_state": "idle"})
	f.write(t, "tokens/app/verify", nil)
	wantFields(t, "the token of an account that was renamed", f.read(t, "tokens/app"), map[string]any{"version": 1, "identity": "8", "health": "ok"})
	p.account.Store(new(strings.Repeat("x", 257)))
	f.write(t, "tokens/app/verify", nil)
	wantFields(t, "an identity that is too long", f.read(t, "tokens/app"), map[string]any{"identity": "8", "health": "ok"})
}
