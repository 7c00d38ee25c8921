//go:build unix

package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// adoption is a token whose old keys end when its readers have a newer one, and these readers.
type adoption struct {
	*vaulttest.Mount
	sim  *vaulttest.Simulator
	apps []*vaulttest.Mount
	// holds is the key that each app has read last, by its ID.
	holds []string
}

func newAdoption(t *testing.T, server *vaulttest.Server, apps int) *adoption {
	t.Helper()
	a := &adoption{Mount: server.Mount(t), sim: vaulttest.StartSimulator(t), holds: make([]string, apps)}
	url := a.sim.GoogleURL
	file := get(a.sim.ServiceAccountKey(t.Context(), simulator.DefaultName))(t)
	for path, data := range map[string]map[string]any{
		"config/google": {"provider": "google_ads", "base_url": url, "token_url": url + "/token", "iam_url": url},
	} {
		must(t, onlyError(a.Write(t.Context(), path, data)))
	}
	must(t, onlyError(a.Write(t.Context(), "tokens/app", map[string]any{
		"account": "google", "type": "service_account_key", "service_account_key": string(file),
		"retire_after": "adopted", "refresh_ttl": 1, "rotation_grace_period": 1,
	})))
	for i := range apps {
		secret := get(a.Client.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{DisplayName: fmt.Sprint("app-", i)}))(t)
		a.apps = append(a.apps, a.As(t, secret.Auth.ClientToken))
		a.read(t, i)
	}
	return a
}

func onlyError(_ *api.Secret, err error) error { return err }

// read has an app read. Its old key may end from then on.
func (a *adoption) read(t *testing.T, app int) {
	t.Helper()
	var key struct {
		ID string `json:"private_key_id"`
	}
	vaulttest.Await(t, "an app to read", func() bool {
		secret, err := a.apps[app].Read(t.Context(), "creds/app")
		if err != nil {
			return false // an outage
		}
		file, _ := secret.Data["service_account_key"].(string)
		return json.Unmarshal([]byte(file), &key) == nil
	})
	a.holds[app] = key.ID
}

// live are the keys that work at the provider.
func (a *adoption) live(t *testing.T) (ids []string) {
	t.Helper()
	for _, key := range get(a.sim.ServiceAccountKeys(t.Context(), simulator.DefaultName))(t) {
		if key.Deleted.IsZero() {
			ids = append(ids, key.ID)
		}
	}
	return ids
}

// wantAlive wants the key of every app to work, for a while.
func (a *adoption) wantAlive(t *testing.T, while string, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		live := a.live(t)
		for app, id := range a.holds {
			if !slices.Contains(live, id) {
				vaulttest.Fatalf(t, "%s: the key of app %d has ended, and it has read no newer one", while, app)
			}
		}
	}
}

// TestAdoption_AnOldKeyNeverEndsUnderAReaderAndAlwaysAfterTheLast rotates a key again and again while its apps read one after the other, and
// while plugin and server die. A key that an app has must work until the app has read the next one, and end soon after the last has.
func TestAdoption_AnOldKeyNeverEndsUnderAReaderAndAlwaysAfterTheLast(t *testing.T) {
	t.Parallel()
	// stored is how long a read may wait until it is stored: the readers of a token are written once in 30 seconds.
	const apps, soon, stored = 4, 30 * time.Second, 32 * time.Second
	server := vaulttest.StartRaft(t)
	a := newAdoption(t, server, apps)
	for round, disturb := range []struct {
		name string
		do   func()
	}{
		{"nothing happens", func() {}},
		{"the plugin is killed", func() { server.KillPlugins(t) }},
		{"Vault is killed", func() { server.Crash(t) }},
		{"Vault is sealed", func() { server.Seal(t); server.Unseal(t) }},
		{"nothing happens any more", func() {}},
	} {
		time.Sleep(stored) // a crash loses the reads that are not stored yet, and nothing tells which are
		must(t, onlyError(a.Write(t.Context(), "tokens/app/rotate", nil)))
		order := rand.Perm(apps)
		for _, app := range order[1:] {
			a.read(t, app)
		}
		a.wantAlive(t, "after the rotation, "+disturb.name, time.Second)
		disturb.do()
		// One app is behind, and the grace period and two times refresh_ttl are over.
		vaulttest.Await(t, "the engine to answer", func() bool { return onlyError(a.Read(t.Context(), "info")) == nil })
		a.wantAlive(t, disturb.name, 5*time.Second)
		for _, app := range order[1:] {
			a.read(t, app) // a crash may have lost that they have
		}
		a.wantAlive(t, disturb.name+", and others read", 2*time.Second)
		a.read(t, order[0])
		asked := time.Now()
		vaulttest.Await(t, "the old key to end", func() bool { return len(a.live(t)) == 1 })
		if wait := time.Since(asked); wait > soon {
			t.Errorf("%s: the old key has ended %s after the last of its readers has read", disturb.name, wait)
		}
		a.wantAlive(t, disturb.name+", and all have read", time.Second)
		data := get(a.Read(t.Context(), "tokens/app"))(t).Data
		if fmt.Sprint(data["version"]) != fmt.Sprint(round+2) || data["last_error"] != "" || data["rotation_state"] != "idle" {
			t.Errorf("%s: the token is in the state %v of version %v, the last problem %q", disturb.name, data["rotation_state"], data["version"], data["last_error"])
		}
	}
}
