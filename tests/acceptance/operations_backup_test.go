//go:build unix

package acceptance

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// TestARestoredSnapshotIsNoticedAndRepaired restores a snapshot that is older than the last rotations. What Vault holds
// then is of the past; the providers are not.
func TestARestoredSnapshotIsNoticedAndRepaired(t *testing.T) {
	t.Parallel()
	o := newOperation(t)
	o.importLegacyTokens(t)
	o.write(t, "tokens/rw", fields{"verify_period": 1})
	o.importKey(t, fields{"rotation_grace_period": 1})
	admin := done(o.sim.CreateServiceAccount(t.Context(), "admin"))(t)
	done(o.sim.CreateServiceAccount(t.Context(), "managed"))(t)
	o.importKeyOf(t, "managed", "managed", fields{"rotation_grace_period": 1})
	h := startHook(t, o.world, hookAnswer{status: http.StatusAccepted}, hookAnswer{status: http.StatusAccepted})
	o.importScopedToken(t)
	o.addHook(t, "agency", h)
	o.startAndLeave(t, "scoped") // under way while the snapshot is taken

	snapshot := filepath.Join(t.TempDir(), "snapshot")
	o.does(t, "vault operator raft snapshot save $snapshot", "$snapshot", snapshot)
	before := o.fingerprints(t)

	reset := done(o.sim.ResetReadWrite(t.Context(), "agency"))(t)
	o.write(t, "tokens/rw/rotate", fields{"auth_token": reset.AuthToken})
	for _, name := range []string{"key", "managed"} {
		o.write(t, "tokens/"+name+"/rotate", nil)
		o.awaitState(t, name, "idle") // the old key is deleted
	}
	o.awaitToken(t, "scoped", "have version 2", func(token fields) bool { return fmt.Sprint(token["version"]) == "2" })
	after := o.fingerprints(t)
	lost := o.currentKey(t)

	o.does(t, "vault operator raft snapshot restore $snapshot", "$snapshot", snapshot)
	vaulttest.Await(t, "Vault to be active again", func() bool {
		health, err := o.Client.Sys().HealthWithContext(t.Context())
		return err == nil && !health.Sealed && !health.Standby
	})
	for _, name := range []string{"rw", "key", "managed"} {
		has(t, o.data(t, "tokens/"+name), fields{"version": 1, "fingerprint": before[name]})
	}

	// What was under way goes on with the same key, and the hook has its answer already.
	o.awaitToken(t, "scoped", "have version 2 again", func(token fields) bool { return token["fingerprint"] == after["scoped"] })
	events, resets := h.asked()
	if len(resets) != 1 {
		t.Errorf("the hook made %d resets in %d requests", len(resets), len(events))
	}

	// Routine verification notices.
	o.awaitToken(t, "rw", "be found rejected", func(token fields) bool { return token["health"] == "rejected" })
	_, warnings := o.read(t, "creds/rw")
	warns(t, warnings, "the provider rejects this credential")

	// Verify notices.
	for _, name := range []string{"key", "managed"} {
		o.does(t, "vault write -f adtokens/tokens/$name/verify", "$name", name)
		has(t, o.data(t, "tokens/"+name), fields{"health": "rejected"})
	}
	summary, _ := o.data(t, "status")["summary"].(fields)
	has(t, summary, fields{"rejected": 3})

	// The value that the console shows is handed in.
	shown := done(o.sim.ImpactCredentials(t.Context(), "agency"))(t).ReadWrite
	o.doesWith(t, shown.AuthToken, "vault write adtokens/tokens/$name/rotate auth_token=- reason=restored", "$name", "rw")
	has(t, o.data(t, "tokens/rw"), fields{"version": 2, "health": "ok", "fingerprint": after["rw"]})

	// A hook resets.
	o.does(t, "vault write -f adtokens/tokens/$name/rotate reason=restored", "$name", "ro")
	has(t, o.data(t, "tokens/ro"), fields{"version": 2, "health": "ok"})

	// A dead key cannot make another, and one from the console is handed in.
	output := o.CLI(t, vaulttest.Command{Args: []string{"write", "-f", "adtokens/tokens/key/rotate"}})
	if output.ExitCode == 0 {
		t.Error("a deleted key made another one")
	}
	file := filepath.Join(t.TempDir(), "key.json")
	made := done(o.sim.CreateServiceAccountKey(t.Context(), simulator.DefaultName))(t)
	succeeded(t, os.WriteFile(file, made, 0o600))
	o.does(t, "vault write adtokens/tokens/$name/rotate service_account_key=@$file reason=restored", "$name", "key", "$file", file)
	has(t, o.data(t, "tokens/key"), fields{"version": 2, "health": "ok"})
	// The key that nobody remembers is left to a person.
	if keys := o.keysThere(t, simulator.DefaultName); !slices.Contains(keys, lost) {
		t.Errorf("the engine deleted the key %s, of which it cannot know", lost)
	}

	// An identity of the account makes one.
	o.write(t, "config/google", fields{"service_account_key": string(admin)})
	o.does(t, "vault write -f adtokens/tokens/$name/rotate reason=restored", "$name", "managed")
	has(t, o.data(t, "tokens/managed"), fields{"version": 2, "health": "ok"})
}

// fingerprints are those of the current values, by token.
func (w *world) fingerprints(t *testing.T) map[string]any {
	t.Helper()
	fingerprints := map[string]any{}
	for _, name := range w.keys(t, "tokens") {
		fingerprints[fmt.Sprint(name)] = w.data(t, "tokens/"+fmt.Sprint(name))["fingerprint"]
	}
	return fingerprints
}
