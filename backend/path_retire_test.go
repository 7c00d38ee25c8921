package backend

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// withRetiringKey makes the token app, whose version 1 waits for its end.
func (f *fixture) withRetiringKey(t *testing.T) {
	t.Helper()
	f.withGoogle(t)
	f.write(t, "tokens/app", map[string]any{
		"account": "google", "type": "service_account_key", "service_account_key": f.serviceAccount(t, "app"), "rotation_grace_period": "1h",
	})
	f.write(t, "tokens/app/rotate", nil)
}

func (f *fixture) keys(t *testing.T) int {
	t.Helper()
	keys, err := f.provider.ServiceAccountKeys(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, key := range keys {
		if key.Deleted.IsZero() {
			n++
		}
	}
	return n
}

func TestRetire_EndsAnOldValueNow(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]map[string]any{"the only one": nil, "by its number": {"version": 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.withRetiringKey(t)
			response := f.write(t, "tokens/app/retire", data)
			if got := response.Data; got["version"] != 1 || got["retired"] != true || got["rotation_state"] != "idle" || len(response.Warnings) != 0 {
				t.Errorf("got %v with %v", got, response.Warnings)
			}
			if n := f.keys(t); n != 1 {
				t.Errorf("there are %d keys, want the current one", n)
			}
			first := f.read(t, "tokens/app/history")["versions"].([]any)[0].(map[string]any)
			if first["retired_how"] != rotation.RetiredByEngine {
				t.Errorf("the history says %v", first)
			}
		})
	}
}

func TestRetire_RefusesWhatDoesNotWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRetiringKey(t)
	for name, tt := range map[string]struct {
		data  map[string]any
		words []string
	}{
		"current":  {map[string]any{"version": 2, "force": true}, []string{"version 2 is the current one", "version 1, planned for"}},
		"unknown":  {map[string]any{"version": 7, "force": true}, []string{"version 7 does not wait"}},
		"negative": {map[string]any{"version": -1}, []string{"does not wait"}},
		"no key":   {map[string]any{"version": 0}, []string{"version 0 does not wait"}},
	} {
		response, err := f.handle(t, logical.UpdateOperation, "tokens/app/retire", tt.data)
		if err != nil || !response.IsError() {
			t.Errorf("%s: got %v, error %v; want a refusal", name, response, err)
			continue
		}
		wantSaid(t, name, said(response, err), tt.words...)
	}
	f.write(t, "tokens/app/rotate", nil)
	response, err := f.handle(t, logical.UpdateOperation, "tokens/app/retire", nil)
	wantSaid(t, "without a version", said(response, err), "several old values", "version 1, planned for", "version 2, planned for")
	if n := f.keys(t); n != 3 {
		t.Errorf("there are %d keys, want all of them", n)
	}
	f.withImpact(t, nil)
	response, err = f.handle(t, logical.UpdateOperation, "tokens/acme-rw/retire", nil)
	wantSaid(t, "with nothing to do", said(response, err), "no old value of this token waits")
	_, err = f.handle(t, logical.UpdateOperation, "tokens/nobody/retire", nil)
	wantStatus(t, err, http.StatusNotFound)
}

func TestRetire_ForceForgetsWhatCannotEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRetiringKey(t)
	if err := f.provider.SetKeyAdministration(t.Context(), "app", simulator.KeyAdministrationDenied); err != nil {
		t.Fatal(err)
	}
	if err := f.provider.SetKeyAdministration(t.Context(), simulator.DefaultName, simulator.KeyAdministrationDenied); err != nil {
		t.Fatal(err)
	}
	_, err := f.request(t, "tokens/app/retire", nil, "")
	wantStatus(t, err, http.StatusBadGateway)
	wantSaid(t, "the refusal", said(nil, err), "was not ended", "vault write ads/tokens/app/retire force=true")
	if got := f.read(t, "tokens/app"); got["rotation_state"] != "retiring" || got["last_error"] == "" {
		t.Errorf("state %v, last error %v; want it still waiting", got["rotation_state"], got["last_error"])
	}
	response := f.write(t, "tokens/app/retire", map[string]any{"force": true})
	if got := response.Data; got["retired"] != false || got["rotation_state"] != "idle" {
		t.Errorf("got %v", got)
	}
	wantSaid(t, "the warning", said(response, nil), "version 1 may live on at the provider", "is forgotten now")
	if got := f.read(t, "tokens/app"); got["rotation_state"] != "idle" || got["last_error"] != "" {
		t.Errorf("state %v, last error %v afterwards", got["rotation_state"], got["last_error"])
	}
	first := f.read(t, "tokens/app/history")["versions"].([]any)[0].(map[string]any)
	if note, _ := first["note"].(string); !strings.Contains(note, "may live on") || first["retired_how"] != "" {
		t.Errorf("the history says %v", first)
	}
}

func TestRetire_ForceGivesTheSearchForALostKeyUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withRetiringKey(t)
	f.write(t, "tokens/app/retire", nil)
	f.change(t, "app", func(token *token) {
		token.Searches = []rotation.Search{{Known: []string{"known"}, Since: f.now().Add(time.Hour), Until: f.now().Add(time.Hour), NextAttempt: f.now()}}
	})
	_, err := f.handle(t, logical.UpdateOperation, "tokens/app/retire", nil)
	wantStatus(t, err, http.StatusBadGateway)
	wantSaid(t, "the refusal", said(nil, err), "a key may still appear")
	response := f.write(t, "tokens/app/retire", map[string]any{"force": true})
	wantSaid(t, "the warning", said(response, nil), "search for a key", "given up")
	if got := f.state(t, "app"); got != rotation.StateIdle {
		t.Errorf("the state is %s", got)
	}
}

func TestRetire_ForceWorksWithoutItsAccount(t *testing.T) {
	t.Parallel()
	s := newSick(t)
	s.change(t, "ill-ro", func(token *token) {
		token.RetireAfter(rotation.Version{Number: 9, Credential: token.Current.Credential}, testkit.Epoch)
	})
	s.damage(t, "config/ill", damages["truncated"].of)
	s.wants(t, logical.UpdateOperation, "tokens/ill-ro/retire", nil, "force=true")
	s.wants(t, logical.UpdateOperation, "tokens/ill-ro/retire", map[string]any{"force": true}, "ok")
}
