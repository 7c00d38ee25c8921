package backend

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// withGoogle configures an account whose own identity is the default service account.
func (f *fixture) withGoogle(t testing.TB) {
	t.Helper()
	key, err := f.provider.ServiceAccountKey(t.Context(), simulator.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "config/google", map[string]any{
		"provider": "google_ads", "contact_email": "ads@acme.example", "service_account_key": string(key),
		"base_url": f.server.GoogleURL, "token_url": f.server.GoogleURL + "/token", "iam_url": f.server.GoogleURL,
	})
}

func TestAForgedKeyFileDoesNotBorrowTheAccountsRights(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withGoogle(t)
	victim, err := f.provider.CreateServiceAccount(t.Context(), "victim")
	if err != nil {
		t.Fatal(err)
	}
	var forged map[string]any
	if err := json.Unmarshal(victim, &forged); err != nil {
		t.Fatal(err)
	}
	forged["private_key_id"] = strings.Repeat("0", 40) // Google knows no such key
	file, err := json.Marshal(forged)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "tokens/forged", map[string]any{
		"account": "google", "type": "service_account_key", "service_account_key": string(file), "verify": false,
	})
	response, err := f.handle(t, logical.UpdateOperation, "tokens/forged/rotate", nil)
	if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), "invalid_grant") {
		t.Errorf("rotating a forged key gives %v, error %v; want Google's refusal", response, err)
	}
	if keys, err := f.provider.ServiceAccountKeys(t.Context(), "victim"); err != nil || len(keys) != 1 {
		t.Errorf("the named service account has %d keys, error %v; want the one it had", len(keys), err)
	}
}

func TestTheFirstKeyIsForAPersonToMake(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withGoogle(t)
	f.write(t, "tokens/app", map[string]any{"account": "google", "type": "service_account_key", "rotation_period": "1h"})
	response, err := f.handle(t, logical.UpdateOperation, "tokens/app/rotate", nil)
	if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), "a person has to reset a service_account_key") {
		t.Errorf("rotating a token without a key gives %v, error %v; want it said what to hand in", response, err)
	}
	if got := f.read(t, "tokens/app/rotate"); got["automatic"] != false {
		t.Errorf("its runbook says automatic %v", got["automatic"])
	}
	if err := f.rotateRoutinely(t.Context(), "app"); err != nil {
		t.Errorf("the routine fails with %v", err)
	}
}

func TestAProvenKeyThatIsGoneIsReplacedWithTheAccountsRights(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withGoogle(t)
	file, err := f.provider.CreateServiceAccount(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "tokens/app", map[string]any{
		"account": "google", "type": "service_account_key", "service_account_key": string(file), "rotation_grace_period": "1h",
	})
	keys, err := f.provider.ServiceAccountKeys(t.Context(), "app")
	if err != nil || len(keys) != 1 {
		t.Fatalf("got %d keys, error %v", len(keys), err)
	}
	if err := f.provider.DeleteServiceAccountKey(t.Context(), simulator.KeyName{ServiceAccount: "app", ID: keys[0].ID}); err != nil {
		t.Fatal(err)
	}
	got := f.write(t, "tokens/app/rotate", map[string]any{"reason": "somebody deleted the key"})
	if got.Data["version"] != 2 || !strings.HasPrefix(got.Data["previous_credential"].(string), previousRetires) {
		t.Errorf("got version %v, previous credential %v; want 2 and its retirement", got.Data["version"], got.Data["previous_credential"])
	}
}

func TestAHookThatGivesTheCurrentValueChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	current := f.withImpact(t, nil)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(current); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(hook.Close)
	f.write(t, "config/acme", map[string]any{
		"reset_hook_url": hook.URL, "reset_hook_secret": "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 24))),
	})
	response, err := f.handle(t, logical.UpdateOperation, "tokens/acme-rw/rotate", nil)
	if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), "the current value instead of a new one") {
		t.Errorf("got %v, error %v; want the hook's answer refused", response, err)
	}
	if got := f.read(t, "tokens/acme-rw"); got["version"] != 1 || got["rotation_state"] != "idle" {
		t.Errorf("got version %v in state %v, want 1 in idle", got["version"], got["rotation_state"])
	}
}

func TestARotationByHandGoesOnWhenStorageDoes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	var asked atomic.Bool
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !asked.Swap(true) {
			f.storage.Refusals.Store(1) // of the rotation's end
		}
		w.WriteHeader(http.StatusUnprocessableEntity)
	}))
	t.Cleanup(hook.Close)
	f.write(t, "config/acme", map[string]any{
		"reset_hook_url": hook.URL, "reset_hook_secret": "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 24))),
	})
	response, err := f.handle(t, logical.UpdateOperation, "tokens/acme-rw/rotate", nil)
	if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), "refuses the reset") {
		t.Errorf("got %v, error %v; want the hook's refusal", response, err)
	}
	if got := f.read(t, "tokens/acme-rw"); got["rotation_state"] != "idle" {
		t.Errorf("the state is %v, want idle", got["rotation_state"])
	}
}

// Each write of a rotation that goes well is there because a crash without it would lose something:
//
//  1. the intent, before anybody is asked: a hook would be asked for a second reset, and a lost key would not be looked for
//  2. the new value, straight after the answer: it may be the only one that works, and verification may take hours
//  3. the publication with what is to be retired. It cannot be one with the value: only proven values are published
//  4. keys: that this node may still write, before the end of the old one: a node that was cut off could end a value that is
//     current by now
//  5. keys: that end, which would else stay in storage and be shown as alive
func TestARotationTakesNoMoreWritesThanItMust(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withGoogle(t)
	f.withImpact(t, map[string]any{"rotation_period": "1h"})
	_, hook := f.startHook(t, func() {})
	f.write(t, "config/acme", hook)
	file, err := f.provider.CreateServiceAccount(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "tokens/app", map[string]any{
		"account": "google", "type": "service_account_key", "service_account_key": string(file), "rotation_period": "1h", "rotation_grace_period": "1m",
	})
	routine := func(name string, want int64) {
		t.Helper()
		before := f.storage.Puts.Load()
		if err := f.rotateRoutinely(t.Context(), name); err != nil {
			t.Fatalf("rotating %s: %v", name, err)
		}
		if got := f.storage.Puts.Load() - before; got != want {
			t.Errorf("%s: %d writes, want %d", name, got, want)
		}
	}
	routine("acme-rw", 0)
	routine("app", 0)
	f.clock.Advance(time.Hour)
	routine("acme-rw", 3)
	routine("app", 3)
	f.clock.Advance(time.Minute)
	routine("app", 2)
	for _, name := range []string{"acme-rw", "app"} {
		if got := f.read(t, "tokens/"+name); got["version"] != 2 || got["rotation_state"] != "idle" {
			t.Errorf("%s has version %v in state %v, want 2 in idle", name, got["version"], got["rotation_state"])
		}
	}
}
