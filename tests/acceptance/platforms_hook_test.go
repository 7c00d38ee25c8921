//go:build unix

package acceptance

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// platformHook is a company's automation that presses the button in a platform's console.
type platformHook struct {
	*onPlatform
	mu     sync.Mutex
	events []fields
}

func (h *platformHook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var event fields
	if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
		http.Error(w, "no event", http.StatusBadRequest)
		return
	}
	again := len(h.events) > 0 && h.events[0]["idempotency_key"] == event["idempotency_key"]
	h.events = append(h.events, event)
	app := simulator.PlatformName{Platform: h.platform.Name, Name: "app"}
	credential, err := h.sim.Credential(r.Context(), app)
	if !again {
		credential, err = h.sim.ResetCredential(r.Context(), simulator.PlatformReset{
			PlatformName: app, Fields: []string{h.replaced}, Previous: "dies",
		})
	}
	if err != nil {
		http.Error(w, "the console failed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(credential) // whoever asked may have gone
}

func TestPlatforms_AResetHookReplacesWhatOnlyAConsoleCan(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"AppsFlyer", "TikTok", "Partnerize"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := imported(t, cataloguedTypes[name])
			hook := &platformHook{onPlatform: w}
			server := httptest.NewServer(hook)
			t.Cleanup(server.Close)
			secret := newHook(t, w.world).secret
			w.write(t, "config/shop", fields{"reset_hook_url": server.URL, "reset_hook_secret": secret})
			has(t, w.data(t, "tokens/app/rotate"), fields{"automatic": true})

			rotated := w.write(t, "tokens/app/rotate", fields{"reason": "quarterly"}).Data
			has(t, rotated, fields{"version": 2, "verification": "accepted", "previous_credential": "rejected by provider"})
			has(t, w.data(t, "creds/app"), fields{w.replaced: w.credential.Fields(t)[w.replaced], "version": 2})
			hook.mu.Lock()
			defer hook.mu.Unlock()
			has(t, hook.events[0], fields{"provider": w.provider, "token_type": w.kind, "account": "shop", "token": "app", "reason": "quarterly"})
			if name == "TikTok" { // its definition has a subject
				has(t, hook.events[0], fields{"app_id": w.credential.Fields(t)["app_id"]})
			}
			if text := asJSON(t, hook.events); vaulttest.Redact(t, text) != text {
				t.Error("an event tells a secret")
			}
		})
	}
}
