//go:build unix

package acceptance

import (
	"fmt"
	"net/url"
	"runtime"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// person is somebody with a login of their own.
type person struct {
	*vaulttest.Mount
	entityID, displayName string
}

// login makes a user with the policy and logs in.
func (w *world) login(t *testing.T, name, policy string) person {
	t.Helper()
	path := w.Path + "-users"
	sys := w.Client.Sys()
	if auths := done(sys.ListAuthWithContext(t.Context()))(t); auths[path+"/"] == nil {
		succeeded(t, sys.EnableAuthWithOptionsWithContext(t.Context(), path, &api.EnableAuthOptions{Type: "userpass"}))
	}
	succeeded(t, sys.PutPolicyWithContext(t.Context(), path+"-"+name, policy))
	logical := w.Client.Logical()
	password := vaulttest.Secret(t, "password of "+name, "password-of-"+name+"-at-"+w.Path)
	done(logical.WriteWithContext(t.Context(), "auth/"+path+"/users/"+name, fields{"password": password, "token_policies": path + "-" + name}))(t)
	auth := done(logical.WriteWithContext(t.Context(), "auth/"+path+"/login/"+name, fields{"password": password}))(t).Auth
	return person{Mount: w.As(t, auth.ClientToken), entityID: auth.EntityID, displayName: path + "-" + name}
}

func TestTheHistoryTellsWhoRotatedWhatWhenAndWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	alice := w.login(t, "alice", fmt.Sprintf(`path "%s/tokens/rw/rotate" { capabilities = ["update"] }`, w.Path))
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	done(alice.Write(t.Context(), "tokens/rw/rotate", fields{"auth_token": reset.AuthToken, "reason": "left the team: J. Doe"}))(t)
	w.write(t, "tokens/rw/rotate", fields{"auth_token": vaulttest.Secret(t, "unverified auth token", "unverifiedAuthToken"), "verify": false})

	versions := w.history(t, "rw")
	if len(versions) != 3 {
		t.Fatalf("the history has %d versions", len(versions))
	}
	for _, version := range versions {
		hasOnly(t, version, "version", "created_at", "reason", "entity_id", "display_name", "source", "verification", "fingerprint", "retired_at", "retired_how",
			"identity", "identity_changed", "expires_at", "refreshes", "refreshed_at")
		isRecent(t, "created_at", version["created_at"])
	}
	has(t, versions[0], fields{"version": 1, "source": "import", "reason": "", "display_name": "token", "entity_id": "", "verification": "accepted", "retired_how": "rejected by provider"})
	has(t, versions[1], fields{
		"version": 2, "source": "assisted", "reason": "left the team: J. Doe", "display_name": alice.displayName, "entity_id": alice.entityID,
		"verification": "accepted", "retired_at": nil,
	})
	has(t, versions[2], fields{"version": 3, "source": "assisted", "reason": "", "verification": "skipped", "fingerprint": w.data(t, "creds/rw")["fingerprint"]})
	if alice.entityID == "" {
		t.Error("the user has no entity, so the test proves nothing about entity_id")
	}
	tellsNoSecret(t, "the history", versions)
}

func TestTheHistoryKeepsTheNewestVersions(t *testing.T) {
	t.Parallel()
	const rotations = rotation.MaxHistory + 5
	w := newWorld(t)
	w.importLegacyTokens(t)
	for i := range rotations {
		value := vaulttest.Secret(t, "auth token of many", fmt.Sprintf("authTokenOfMany%d", i))
		w.write(t, "tokens/rw/rotate", fields{"auth_token": value, "verify": false})
	}
	versions := w.history(t, "rw")
	if len(versions) != rotation.MaxHistory {
		t.Fatalf("the history has %d versions instead of %d", len(versions), rotation.MaxHistory)
	}
	for i, version := range versions {
		has(t, version, fields{"version": rotations + 2 - rotation.MaxHistory + i})
	}
	has(t, w.data(t, "creds/rw"), fields{"version": rotations + 1})
}

func TestTheStatusShowsEveryTokenAtAGlance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	has(t, w.data(t, "status"), fields{
		"summary": fields{"total": 0, "ok": 0, "rejected": 0, "unverified": 0, "none": 0, "overdue": 0, "in_flight": 0}, "tokens": fields{},
	})
	w.importLegacyTokens(t)
	w.importDeveloperToken(t)
	w.write(t, "tokens/empty", fields{"account": "agency", "type": "scoped"})
	w.write(t, "tokens/ro", fields{"rotation_period": "1s"})
	succeeded(t, w.sim.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored))
	w.verify(t, "dev", "inconclusive")
	vaulttest.Await(t, "the token to be overdue", func() bool { return w.data(t, "tokens/ro")["overdue"] == true })

	status := w.data(t, "status")
	hasOnly(t, status, "summary", "tokens")
	has(t, status, fields{"summary": fields{"total": 4, "ok": 2, "rejected": 0, "unverified": 1, "none": 1, "overdue": 1, "in_flight": 0}})
	tokens, _ := status["tokens"].(fields)
	hasOnly(t, tokens, "dev", "empty", "ro", "rw")
	for name, want := range map[string]fields{
		"dev":   {"account": "google", "type": "developer_token", "version": 1, "health": "unverified", "overdue": false, "next_vault_rotation": nil},
		"empty": {"account": "agency", "type": "scoped", "version": 0, "health": "none", "overdue": false, "age": nil, "fingerprint": ""},
		"ro":    {"account": "agency", "type": "legacy_read_only", "version": 1, "health": "ok", "overdue": true, "next_vault_rotation": w.data(t, "tokens/ro")["next_vault_rotation"]},
		"rw":    {"account": "agency", "type": "legacy_read_write", "version": 1, "health": "ok", "overdue": false, "last_error": "", "rotation_state": "idle", "fingerprint": w.data(t, "creds/rw")["fingerprint"]},
	} {
		token, _ := tokens[name].(fields)
		hasOnly(t, token, "account", "type", "version", "fingerprint", "age", "health", "overdue", "next_vault_rotation", "rotation_state", "last_error", "expires_at")
		has(t, token, want)
		if name == "empty" {
			continue
		}
		if age, err := number(token["age"]); err != nil || age < 0 || age > 600 {
			t.Errorf("the age of %s is %v", name, token["age"])
		}
	}
	tellsNoSecret(t, "the status", status)
}

func TestTheStatusIsReadInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(t, "config/agency", w.impactFields(simulator.Agency))
	for i := range 5 {
		w.write(t, fmt.Sprintf("tokens/t%d", i), fields{"account": "agency", "type": "scoped"})
	}
	for name, tt := range map[string]struct {
		query url.Values
		names []string
	}{
		"everything":       {nil, []string{"t0", "t1", "t2", "t3", "t4"}},
		"the first page":   {url.Values{"limit": {"2"}}, []string{"t0", "t1"}},
		"the next page":    {url.Values{"limit": {"2"}, "after": {"t1"}}, []string{"t2", "t3"}},
		"the last page":    {url.Values{"limit": {"2"}, "after": {"t3"}}, []string{"t4"}},
		"beyond the end":   {url.Values{"after": {"t4"}}, nil},
		"after a deletion": {url.Values{"after": {"t1x"}, "limit": {"1"}}, []string{"t2"}},
		"more than are":    {url.Values{"limit": {"100000"}}, []string{"t0", "t1", "t2", "t3", "t4"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secret := done(w.Client.Logical().ReadWithDataWithContext(t.Context(), w.Path+"/status", tt.query))(t)
			tokens, _ := secret.Data["tokens"].(fields)
			hasOnly(t, tokens, tt.names...)
			summary, _ := secret.Data["summary"].(fields)
			has(t, summary, fields{"total": 5})
		})
	}
}

func TestInfoTellsTheBuildAndWhatItSupports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	info := w.data(t, "info")
	hasOnly(t, info, "version", "commit", "go_version", "providers")
	has(t, info, fields{"version": backend.Version, "go_version": runtime.Version()})
	if info["commit"] == "" {
		t.Error("there is no commit")
	}
	providers, _ := info["providers"].(fields)
	hasOnly(t, providers, append(catalogue.Names(), "google_ads")...)
	semantics := map[string]map[string]string{
		"google_ads": {"developer_token": "immediate", "oauth_client": "overlapping", "service_account_key": "overlapping", "impersonated_service_account": "none"},
		"impact":     {"legacy_read_write": "immediate", "legacy_read_only": "immediate", "scoped": "overlapping"},
	}
	for name, kinds := range semantics {
		provider, _ := providers[name].(fields)
		types, _ := provider["token_types"].(fields)
		if len(types) != len(kinds) {
			t.Errorf("%s has the types %v", name, types)
		}
		for kind, want := range kinds {
			described, _ := types[kind].(fields)
			has(t, described, fields{"reset_semantics": want})
		}
	}
}
