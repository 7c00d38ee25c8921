package backend

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// withHealing imports acme-rw with rotate_on_rejection and a reset hook.
func (f *fixture) withHealing(t *testing.T, policy map[string]any) *simulator.Hook {
	t.Helper()
	f.withImpact(t, nil)
	hook, fields := f.startHook(t, func() {})
	f.write(t, "config/acme", fields)
	data := map[string]any{"rotate_on_rejection": true, "verify_period": 0}
	maps.Copy(data, policy)
	f.write(t, "tokens/acme-rw", data)
	return hook
}

// awaitVersion waits for a version that nothing else is under way for.
func (f *fixture) awaitVersion(t *testing.T, version int) {
	t.Helper()
	eventually(t, "the next version", func() bool {
		got := f.read(t, "tokens/acme-rw")
		return got["version"] == version && got["rotation_state"] == "idle"
	})
}

func TestHealing_AnyVerificationThatFindsAValueRejectedHasItReplaced(t *testing.T) {
	t.Parallel()
	for name, find := range map[string]func(*testing.T, *fixture){
		"by hand": func(t *testing.T, f *fixture) { t.Helper(); f.write(t, "tokens/acme-rw/verify", nil) },
		"by routine": func(t *testing.T, f *fixture) {
			t.Helper()
			f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Verify})
		},
		"by a report": func(t *testing.T, f *fixture) {
			t.Helper()
			got := f.write(t, "report/acme-rw", map[string]any{"version": 1}).Data
			if got["outcome"] != "rejected" || got["current_version"] == 1 && got["rotation_state"] == "idle" {
				t.Errorf("the report is told %v of version %v in state %v, want rejected and a rotation", got["outcome"], got["current_version"], got["rotation_state"])
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newStillFixture(t)
			hook := f.withHealing(t, nil)
			f.resetReadWrite(t)
			find(t, f)
			f.awaitVersion(t, 2)
			if keys, resets := hook.Asked(); len(keys) != 1 || len(resets) != 1 {
				t.Errorf("the hook was asked %d times for %d resets, want once for one", len(keys), len(resets))
			}
			versions := f.read(t, "tokens/acme-rw/history")["versions"].([]any)
			wantFields(t, "the history", versions[1].(map[string]any), map[string]any{"source": "hook", "reason": reasonRejected, "entity_id": ""})
			f.wantMetric(t, `adtokens_rotations_total{outcome="accepted",source="hook",trigger="rejection"} 1.0`)
		})
	}
}

func TestHealing_IsOffUnlessThePolicyWantsIt(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]map[string]any{
		"the default":          {"rotate_on_rejection": false},
		"no automatic at all":  {"disable_automated_rotation": true},
		"with a plan for both": {"disable_automated_rotation": true, "rotation_period": "30d"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newStillFixture(t)
			hook := f.withHealing(t, policy)
			f.resetReadWrite(t)
			f.write(t, "tokens/acme-rw/verify", nil)
			f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Rotate})
			if keys, _ := hook.Asked(); len(keys) != 0 {
				t.Errorf("the hook was asked %d times", len(keys))
			}
		})
	}
}

func TestHealing_BeginsWhenThePolicyComesLater(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withHealing(t, map[string]any{"rotate_on_rejection": false})
	f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/verify", nil)
	response := f.write(t, "tokens/acme-rw", map[string]any{"rotate_on_rejection": true})
	if len(response.Warnings) != 1 || !strings.Contains(response.Warnings[0], "replaces it now") {
		t.Errorf("got the warnings %q", response.Warnings)
	}
	f.awaitVersion(t, 2)
}

func TestHealing_AfterThreeRotationsInADayAPersonIsNeeded(t *testing.T) {
	t.Parallel()
	l := &listener{}
	f := newStillFixture(t, func(c *logical.BackendConfig) { c.EventsSender = l })
	hook := f.withHealing(t, nil)
	find := func() {
		f.clock.Advance(time.Hour)
		f.resetReadWrite(t)
		f.write(t, "tokens/acme-rw/verify", nil)
	}
	for version := 2; version <= 1+rotation.MaxHealings; version++ {
		find()
		f.awaitVersion(t, version)
	}
	find()
	eventually(t, "the engine to say that it waits for a person", func() bool {
		return strings.Contains(f.read(t, "tokens/acme-rw")["last_error"].(string), "this waits for a person")
	})
	f.write(t, "tokens/acme-rw/verify", nil)
	if keys, _ := hook.Asked(); len(keys) != rotation.MaxHealings {
		t.Errorf("the hook was asked %d times, want %d", len(keys), rotation.MaxHealings)
	}
	for _, path := range []string{"tokens/acme-rw", "status"} {
		response, err := f.handle(t, logical.ReadOperation, path, nil)
		if err != nil || len(response.Warnings) != 1 || !strings.Contains(response.Warnings[0], "this waits for a person") {
			t.Errorf("%s warns %q, error %v", path, response.Warnings, err)
		}
	}
	if told := len(slices.DeleteFunc(l.kinds(), func(kind string) bool { return kind != eventRotateFail })); told != 1 {
		t.Errorf("it was told %d times, want once", told)
	}
	f.clock.Advance(24*time.Hour - 3*time.Hour) // the first one counts no more
	f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Rotate})
	f.awaitVersion(t, 2+rotation.MaxHealings)
}

func TestHealing_FailedAttemptsCount(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withHealing(t, nil)
	var asked atomic.Int64
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusUnprocessableEntity)
	}))
	t.Cleanup(hook.Close)
	f.write(t, "config/acme", map[string]any{"reset_hook_url": hook.URL, "reset_hook_secret": "whsec_" + hookSecret})
	f.resetReadWrite(t)
	for n := range int64(rotation.MaxHealings) {
		f.clock.Advance(time.Second)
		f.write(t, "tokens/acme-rw/verify", nil)
		eventually(t, "the hook to be asked again", func() bool { return asked.Load() == n+1 && f.read(t, "tokens/acme-rw")["rotation_state"] == "idle" })
	}
	f.clock.Advance(time.Second)
	f.write(t, "tokens/acme-rw/verify", nil)
	eventually(t, "the engine to say that it waits for a person", func() bool {
		problem := f.read(t, "tokens/acme-rw")["last_error"].(string)
		return strings.Contains(problem, "this waits for a person") && strings.Contains(problem, "refuses the reset")
	})
	f.clock.Advance(2 * time.Hour)
	f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Rotate})
	if asked.Load() != rotation.MaxHealings {
		t.Errorf("the hook was asked %d times, want %d", asked.Load(), rotation.MaxHealings)
	}
}

// dyingStorage takes some more writes and then none, as if the process had been killed.
type dyingStorage struct {
	logical.Storage
	left atomic.Int64
}

func (s *dyingStorage) Put(ctx context.Context, entry *logical.StorageEntry) error {
	if s.left.Add(-1) < 0 {
		return errors.New("killed")
	}
	return s.Storage.Put(ctx, entry)
}

// However often the process is killed before whichever write, a hook is asked for three resets a day at most.
func TestHealing_NoCrashMakesMoreThanThreeOfThem(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	var (
		mu   sync.Mutex
		keys = map[string]bool{}
	)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event struct {
			Key string `json:"idempotency_key"`
		}
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		keys[event.Key] = true
		w.WriteHeader(http.StatusUnprocessableEntity)
	}))
	t.Cleanup(hook.Close)
	f.withImpact(t, map[string]any{"verify_period": 0})
	f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/verify", nil)
	f.write(t, "config/acme", map[string]any{"reset_hook_url": hook.URL, "reset_hook_secret": "whsec_" + hookSecret})
	f.write(t, "tokens/acme-rw", map[string]any{"rotate_on_rejection": true, "disable_automated_rotation": true})
	f.Cleanup(t.Context()) // two engines would be two active nodes
	entry, err := f.storage.Get(t.Context(), "token/acme-rw")
	must(t, err)
	entry.Value = []byte(strings.Replace(string(entry.Value), `"disable_automated_rotation":true`, `"disable_automated_rotation":false`, 1))
	must(t, f.storage.Put(t.Context(), entry))

	clock := &testkit.Clock{}
	for round := range 40 {
		b := newBackend(clock.Now)
		config := logical.TestBackendConfig()
		config.StorageView, config.Logger = f.storage, hclog.NewNullLogger()
		must(t, b.setUp(t.Context(), config))
		dying := &dyingStorage{Storage: f.storage}
		dying.left.Store(int64(round % 5))
		b.workOnce.Do(func() { b.storage = dying })
		_ = b.rotateRoutinely(t.Context(), "acme-rw") // it may be killed
		b.Cleanup(t.Context())
		clock.Advance(10 * time.Minute)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(keys) != rotation.MaxHealings {
		t.Errorf("the hook was asked for %d resets, want %d", len(keys), rotation.MaxHealings)
	}
}

func TestHealing_WarnsWhereItDoesNothing(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, nil)
	for name, tt := range map[string]struct {
		data map[string]any
		want string
	}{
		"without a hook": {map[string]any{"rotate_on_rejection": true}, "rotate_on_rejection does nothing until it has one"},
		"switched off":   {map[string]any{"rotate_on_rejection": true, "disable_automated_rotation": true}, "disable_automated_rotation is set"},
		"off again":      {map[string]any{"rotate_on_rejection": false, "disable_automated_rotation": false}, ""},
	} {
		warnings := ""
		if response := f.write(t, "tokens/acme-rw", tt.data); response != nil {
			warnings = strings.Join(response.Warnings, "\n")
		}
		if tt.want == "" && strings.Contains(warnings, "rotate_on_rejection") || !strings.Contains(warnings, tt.want) {
			t.Errorf("%s: got the warnings %q, want %q", name, warnings, tt.want)
		}
	}
}
