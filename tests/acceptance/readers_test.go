//go:build unix

package acceptance

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// readers are those of the token rw by display name, and the summary.
func (w *world) readers(t *testing.T) (rows map[string]fields, summary fields) {
	t.Helper()
	data := w.data(t, "tokens/rw/readers")
	hasOnly(t, data, "current_version", "readers", "summary")
	has(t, data, fields{"current_version": w.data(t, "tokens/rw")["version"]})
	rows = map[string]fields{}
	list, _ := data["readers"].([]any)
	for _, row := range list {
		reader, _ := row.(fields)
		hasOnly(t, reader, "entity_id", "display_name", "client", "address", "path", "version", "first_read", "last_read")
		isRecent(t, "first_read", reader["first_read"])
		isRecent(t, "last_read", reader["last_read"])
		rows[fmt.Sprint(reader["display_name"])] = reader
	}
	summary, _ = data["summary"].(fields)
	hasOnly(t, summary, "total", "current", "behind", "forgotten")
	if fmt.Sprint(summary["total"]) != fmt.Sprint(len(list)) {
		t.Errorf("the summary counts %v of %d rows", summary["total"], len(list))
	}
	return rows, summary
}

// batchApp is a Vault token of an app that has neither accessor nor entity.
func (w *world) batchApp(t *testing.T, name string) *vaulttest.Mount {
	t.Helper()
	policy := w.Path + "-" + name
	succeeded(t, w.Client.Sys().PutPolicyWithContext(t.Context(), policy, `path "`+w.Path+`/creds/*" { capabilities = ["read"] }`))
	secret := done(w.Client.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{DisplayName: name, Policies: []string{policy}, Type: "batch"}))(t)
	if secret.Auth.Accessor != "" {
		t.Fatal("a batch token has an accessor")
	}
	return w.As(t, secret.Auth.ClientToken)
}

func TestReaders_TellWhoHasWhichVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tool := newAuditTool(t, w)
	w.importLegacyTokens(t)
	alice := w.login(t, "alice", `path "`+w.Path+`/creds/*" { capabilities = ["read"] }`)
	billing, etl := w.app(t, "billing"), w.batchApp(t, "etl")
	for range 3 { // cold, and warm
		for _, reader := range []*vaulttest.Mount{alice.Mount, billing, etl} {
			done(reader.Read(t.Context(), "creds/rw"))(t)
		}
	}
	if _, err := billing.Read(t.Context(), "tokens/rw/readers"); err == nil {
		t.Error("an app may see who else reads")
	}
	rows, summary := w.readers(t)
	has(t, summary, fields{"total": 3, "current": 3, "behind": 0, "forgotten": 0})
	has(t, rows[alice.displayName], fields{"entity_id": alice.entityID, "address": "127.0.0.1", "path": "creds", "version": 1})
	has(t, rows["token-billing"], fields{"entity_id": "", "address": "127.0.0.1", "path": "creds", "version": 1})
	has(t, rows["token-etl"], fields{"entity_id": "", "client": "", "version": 1})
	accessor := done(billing.Client.Auth().Token().LookupSelfWithContext(t.Context()))(t).Data["accessor"]
	if client := fmt.Sprint(rows["token-billing"]["client"]); len(client) < 16 || strings.Contains(client, fmt.Sprint(accessor)) {
		t.Errorf("a client is shown as %q", client)
	}

	compromised := time.Now().UTC().Format(time.RFC3339Nano)
	w.write(t, "tokens/rw/rotate", fields{"auth_token": done(w.sim.ResetReadWrite(t.Context(), "agency"))(t).AuthToken})
	done(billing.Read(t.Context(), "creds/rw"))(t)
	rows, summary = w.readers(t)
	has(t, summary, fields{"total": 3, "current": 1, "behind": 2})
	has(t, rows["token-billing"], fields{"version": 2})
	has(t, rows[alice.displayName], fields{"version": 1})

	// The audit tool, which goes by the log, says the same.
	states := map[string]fields{}
	for name, row := range rows {
		state := "stale"
		if fmt.Sprint(row["version"]) == "2" {
			state = "current"
		}
		states[name] = fields{"state": state, "version": row["version"]}
	}
	known := tool.list(t, "readers", "", "exposure", "-token=rw")
	for _, reader := range slices.DeleteFunc(known, func(r fields) bool { return r["display_name"] == "token" }) { // who has handed it in
		has(t, reader, states[fmt.Sprint(reader["display_name"])])
	}
	incident := tool.list(t, "readers", "", "incident", "-token=rw", "-since="+compromised)
	consists(t, "who has to be told", slices.DeleteFunc(incident, func(r fields) bool { return r["display_name"] == "token" }), map[string]fields{
		"token-billing": {"state": "current"}, alice.displayName: {"state": "stale"}, "token-etl": {"state": "stale"},
	})

	w.remove(t, "tokens/rw")
	w.write(t, "tokens/rw", impactToken("legacy_read_write", done(w.sim.ImpactCredentials(t.Context(), "agency"))(t).ReadWrite))
	_, summary = w.readers(t)
	has(t, summary, fields{"total": 0})
}

func TestReaders_SurviveACrash(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		start func(testing.TB) *vaulttest.Server
		crash func(testing.TB, *vaulttest.Server)
	}{
		"of the plugin": {vaulttest.StartDev, func(t testing.TB, s *vaulttest.Server) { s.KillPlugins(t) }},
		"of Vault":      {vaulttest.StartRaft, func(t testing.TB, s *vaulttest.Server) { s.Crash(t) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := tt.start(t)
			w := &world{Mount: server.Mount(t), sim: vaulttest.StartSimulator(t)}
			w.importLegacyTokens(t)
			billing := w.app(t, "billing")
			done(billing.Read(t.Context(), "creds/rw"))(t)
			time.Sleep(3 * time.Second) // until they are stored, which begins after one and shows nowhere
			tt.crash(t, server)
			vaulttest.Await(t, "the engine to answer", func() bool { _, err := w.Read(t.Context(), "info"); return err == nil })
			rows, summary := w.readers(t)
			has(t, summary, fields{"total": 1, "current": 1})
			client := rows["token-billing"]["client"]
			done(billing.Read(t.Context(), "creds/rw"))(t)
			if rows, summary = w.readers(t); rows["token-billing"]["client"] != client {
				t.Errorf("the same client is another one after the crash: %v", rows)
			}
			has(t, summary, fields{"total": 1})
		})
	}
}

func TestReaders_WindowAndMistakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	done(w.Read(t.Context(), "creds/rw"))(t)
	time.Sleep(2500 * time.Millisecond)
	total := func(window string) any {
		secret := done(w.Client.Logical().ReadWithDataWithContext(t.Context(), w.Path+"/tokens/rw/readers", map[string][]string{"window": {window}}))(t)
		return secret.Data["summary"].(fields)["total"]
	}
	if fmt.Sprint(total("1s")) != "0" || fmt.Sprint(total("1h")) != "1" {
		t.Errorf("within 1s %v have read, within 1h %v", total("1s"), total("1h"))
	}
	for _, window := range []string{"0", "-5s", "soon", "", "100000h"} {
		_, err := w.Client.Logical().ReadWithDataWithContext(t.Context(), w.Path+"/tokens/rw/readers", map[string][]string{"window": {window}})
		refused(t, err, http.StatusBadRequest, "window")
	}
	_, err := w.Read(t.Context(), "tokens/nobody/readers")
	refused(t, err, http.StatusNotFound, "nobody")
	_, err = w.Write(t.Context(), "tokens/rw/readers", fields{})
	refused(t, err, http.StatusMethodNotAllowed)
}

func TestReaders_ARenewalIsNoRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	w.write(t, "tokens/rw", fields{"lease_ttl": "1h"})
	lease := w.leased(t, "rw").LeaseID
	rows, _ := w.readers(t)
	first := rows["token"]["last_read"]
	time.Sleep(1100 * time.Millisecond)
	w.vault(t, "lease", "renew", lease)
	if rows, _ := w.readers(t); rows["token"]["last_read"] != first {
		t.Errorf("last_read was %v, and is %v after a renewal", first, rows["token"]["last_read"])
	}
}

// adopting imports the token key, whose old values end when they are adopted.
func (w *world) adopting(t *testing.T, policy fields) (old string) {
	t.Helper()
	data := fields{"retire_after": "adopted", "refresh_ttl": 1, "rotation_grace_period": 1}
	maps.Copy(data, policy)
	return w.importKey(t, data)
}

func TestAdopted_AnOldKeyLivesUntilEverybodyHasReadTheNewOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.adopting(t, nil)
	billing, etl := w.app(t, "billing"), w.app(t, "etl")
	for _, app := range []*vaulttest.Mount{billing, etl} {
		done(app.Read(t.Context(), "creds/key"))(t)
	}
	has(t, w.write(t, "tokens/key/rotate", nil).Data, fields{"version": 2, "previous_credential": "retires when adopted", "rotation_state": "retiring"})
	done(billing.Read(t.Context(), "creds/key"))(t)
	warnings := func() []string { _, warnings := w.read(t, "tokens/key"); return warnings }
	vaulttest.Await(t, "the warning", func() bool { return len(warnings()) > 0 })
	warns(t, warnings(), "version 1 was to end at", "waits: 1 reader of the last 24h has not read a newer one", w.Path+"/tokens/key/readers")
	_, status := w.read(t, "status")
	warnsAmongOthers(t, status, "key: version 1 was to end at")
	time.Sleep(2 * time.Second) // for what must not happen
	if keys := w.keysThere(t, simulator.DefaultName); !slices.Contains(keys, old) {
		t.Fatalf("the old key is gone while somebody has it: %v", keys)
	}
	has(t, w.data(t, "tokens/key"), fields{"retire_after": "adopted", "reader_window": 24 * 60 * 60, "rotation_state": "retiring"})

	asked := time.Now()
	done(etl.Read(t.Context(), "creds/key"))(t)
	token := w.awaitState(t, "key", "idle")
	if wait := time.Since(asked); wait > 10*time.Second {
		t.Errorf("the old key has ended %s after the last of its readers has read", wait)
	}
	has(t, token, fields{"retiring": []any{}, "last_error": ""})
	w.hasKeys(t, w.currentKey(t))
	first := w.history(t, "key")[0]
	has(t, first, fields{"version": 1, "retired_how": "retired by the engine"})
	if first["note"] != nil {
		t.Errorf("the history notes %v", first["note"])
	}
	if len(warnings()) > 0 {
		t.Errorf("it is still told: %v", warnings())
	}
}

func TestAdopted_EndsByHandByPolicyAndByAccident(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		policy fields
		end    func(*testing.T, *world)
	}{
		"nobody reads within the window": {fields{"reader_window": 1}, func(*testing.T, *world) {}},
		"a person ends it": {nil, func(t *testing.T, w *world) {
			secret := w.write(t, "tokens/key/retire", fields{"version": 1})
			has(t, secret.Data, fields{"version": 1, "retired": true, "rotation_state": "idle"})
			warns(t, secret.Warnings, "version 1 was ended", "has not read a newer one")
		}},
		"back to grace": {nil, func(t *testing.T, w *world) { w.write(t, "tokens/key", fields{"retire_after": "grace"}) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.adopting(t, tt.policy)
			done(w.Read(t.Context(), "creds/key"))(t)
			time.Sleep(1100 * time.Millisecond) // until it is stored
			w.write(t, "tokens/key/rotate", nil)
			tt.end(t, w)
			w.awaitState(t, "key", "idle")
			if keys := w.keysThere(t, simulator.DefaultName); len(keys) != 1 {
				t.Errorf("there are the keys %v", keys)
			}
		})
	}
}
