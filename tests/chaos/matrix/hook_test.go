//go:build unix

package matrix

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// hook is a company's automation: it resets tokens at the simulated console, once for each idempotency key. It trusts
// whoever asks. What it does beside that is for the story whose name the token has.
type hook struct {
	console *vaulttest.Simulator
	url     string

	mu sync.Mutex
	// resets are the credentials by idempotency key.
	resets map[string]map[string]string
	// refused are the idempotency keys that it refuses, by token. Once it is mended there are no more.
	refused map[string]string
	mended  bool
}

func startHook(t *testing.T, console *vaulttest.Simulator) *hook {
	t.Helper()
	h := &hook{console: console, resets: map[string]map[string]string{}, refused: map[string]string{}}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var event struct {
		Key        string `json:"idempotency_key"`
		Token      string `json:"token"`
		TokenType  string `json:"token_type"`
		AccountSID string `json:"account_sid"`
	}
	if err := json.NewDecoder(r.Body).Decode(&event); err != nil || event.Key == "" {
		http.Error(w, "no event", http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if strings.HasPrefix(event.Token, hookRefuses+"-") && h.refuses(event.Token, event.Key) {
		http.Error(w, "not today", http.StatusUnprocessableEntity)
		return
	}
	if strings.HasPrefix(event.Token, hookFails+"-") {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
		return
	}
	credential, known := h.resets[event.Key]
	if !known {
		var err error
		credential, err = h.console.HookReset(r.Context(), simulator.HookToken{TokenType: event.TokenType, AccountSID: event.AccountSID})
		if err != nil {
			http.Error(w, "the console failed", http.StatusInternalServerError)
			return
		}
		h.resets[event.Key] = credential
	}
	if strings.HasPrefix(event.Token, hookAsync+"-") && !known {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusAccepted)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(credential) // whoever asked went away
}

// refuses says whether this is the first reset of the token that is asked for.
func (h *hook) refuses(token, key string) bool {
	if h.refused[token] == "" && !h.mended {
		h.refused[token] = key
	}
	return h.refused[token] == key
}

func (h *hook) spoil() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mended = false
}

func (h *hook) mend() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mended = true
}
