package simulator

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// consoleTimeout is how long a hook waits for the console.
const consoleTimeout = time.Minute

// Hook is a company's reset hook: it resets tokens at the console, once for each idempotency key, and answers with the
// credential. It is safe for concurrent use.
type Hook struct {
	console  *Client
	verifier *standardwebhooks.Webhook

	mu    sync.Mutex
	fault *Fault
	keys  []string
	// resets are the credentials by idempotency key, and tokens whose they are.
	resets map[string]map[string]string
	tokens map[string]HookToken
}

// NewHook returns a hook that expects requests to be signed with the secret, whsec_ and base64.
func NewHook(console *Client, secret string) (*Hook, error) {
	verifier, err := standardwebhooks.NewWebhook(secret)
	return &Hook{console: console, verifier: verifier, resets: map[string]map[string]string{}, tokens: map[string]HookToken{}}, err
}

// Break makes all requests fail until it is called again; nil is no fault. Service and Times do not count.
func (h *Hook) Break(fault *Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = fault
}

// Asked returns the idempotency keys of the requests so far, and the credentials of the resets by key. A request that met
// a fault before anything was done is among the first all the same.
func (h *Hook) Asked() (keys []string, resets map[string]map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.keys), maps.Clone(h.resets)
}

func (h *Hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	var token HookToken
	if err != nil || h.verifier.Verify(body, r.Header) != nil || json.Unmarshal(body, &token) != nil {
		http.Error(w, "not an event that is signed with the secret", http.StatusUnauthorized)
		return
	}
	h.mu.Lock()
	h.keys = append(h.keys, r.Header.Get("Idempotency-Key"))
	fault := h.fault
	h.mu.Unlock()
	perform := func(w http.ResponseWriter, r *http.Request) { h.perform(w, r, token) }
	if fault == nil {
		perform(w, r)
		return
	}
	broken := *fault
	broken.Service = ResetHook
	broken.meet(w, r, perform)
}

func (h *Hook) perform(w http.ResponseWriter, r *http.Request, token HookToken) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	if known, ok := h.tokens[key]; ok && known != token {
		http.Error(w, "the key belongs to the reset of another token", http.StatusUnprocessableEntity)
		return
	}
	if h.resets[key] == nil {
		// Whoever asks may be killed meanwhile. A reset that has begun has to be remembered all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), consoleTimeout)
		defer cancel()
		credential, err := h.console.HookReset(ctx, token)
		if err != nil {
			http.Error(w, "the console failed", http.StatusInternalServerError)
			return
		}
		h.resets[key], h.tokens[key] = credential, token
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(h.resets[key]) // whoever asked may have gone
}
