package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// path is where the hook answers.
const path = "/reset"

// maxEventSize is in bytes. The largest part of an event is the reason that an operator gave.
const maxEventSize = 64 << 10

// event is what Vault sends, as docs/reset-hook.openapi.yaml describes it.
type event struct {
	Type            string `json:"type"`
	Token           string `json:"token"`
	TokenType       string `json:"token_type"`
	Provider        string `json:"provider"`
	Account         string `json:"account"`
	AccountSID      string `json:"account_sid,omitempty"`
	LoginCustomerID string `json:"login_customer_id,omitempty"`
	Reason          string `json:"reason"`
	IdempotencyKey  string `json:"idempotency_key"`
}

// sameToken compares what cannot change between the deliveries of one reset: all that says which token it is, in Vault and at
// the provider.
func (e event) sameToken(other event) bool {
	e.Type, e.Reason, e.IdempotencyKey = other.Type, other.Reason, other.IdempotencyKey
	return e == other
}

// hook answers Vault.
type hook struct {
	webhook *standardwebhooks.Webhook
	resets  *resets
	// async answers 202 at once, and with the result when Vault asks again.
	async bool
	// retryAfter is when to ask again.
	retryAfter time.Duration
	logger     hclog.Logger
}

func routes(h *hook) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+path, h)
	return mux
}

// answer is a refusal, or the lack of an answer yet. Its message holds no secret.
type answer struct {
	status  int
	message string
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	received, refusal := h.receive(w, r)
	if refusal != nil {
		h.logger.Warn("refused a request", "from", r.RemoteAddr, "status", refusal.status, "why", refusal.message)
		h.refuse(w, *refusal)
		return
	}
	job, started := h.resets.deliver(r.Context(), received)
	switch {
	case h.async && (started || !job.ended()):
		h.refuse(w, answer{http.StatusAccepted, "the reset is running; ask again with the same key"})
		return
	case !started && !job.ended():
		h.refuse(w, answer{http.StatusConflict, "another delivery of this key is being worked on; ask again"})
		return
	}
	select {
	case <-job.done:
	case <-r.Context().Done(): // the caller has left; the job goes on
		return
	}
	if job.err != nil {
		h.resets.told(job)
		h.refuse(w, explain(job.err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(job.credential)
}

// receive reads an event. Nothing in it is believed before its signature was checked: against the clock too, so that
// nobody can replay a request that is older than five minutes.
func (h *hook) receive(w http.ResponseWriter, r *http.Request) (event, *answer) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEventSize))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return event{}, &answer{http.StatusRequestEntityTooLarge, fmt.Sprintf("an event has at most %d bytes", maxEventSize)}
	}
	if err != nil {
		return event{}, &answer{http.StatusBadRequest, "the request ended before its body did"}
	}
	if err := h.webhook.Verify(body, r.Header); err != nil {
		return event{}, &answer{http.StatusUnauthorized, err.Error()}
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return event{}, &answer{http.StatusBadRequest, "the body is no event: " + err.Error()}
	}
	key := r.Header.Get(standardwebhooks.HeaderWebhookID)
	switch {
	case e.Type != "reset":
		return event{}, &answer{http.StatusBadRequest, fmt.Sprintf("there is no event of type %q, only reset", e.Type)}
	case e.IdempotencyKey != key || r.Header.Get("Idempotency-Key") != key:
		return event{}, &answer{http.StatusBadRequest, "webhook-id, Idempotency-Key and idempotency_key must be the same"}
	}
	return e, nil
}

// explain says what a failure means for Vault: give up, or ask again later.
func explain(err error) answer {
	switch {
	case errors.Is(err, errReused), errors.Is(err, errRefused):
		return answer{http.StatusUnprocessableEntity, err.Error()}
	default:
		return answer{http.StatusServiceUnavailable, "the reset did not succeed, and the log says why; ask again"}
	}
}

func (h *hook) refuse(w http.ResponseWriter, a answer) {
	switch a.status {
	case http.StatusAccepted, http.StatusConflict, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(h.retryAfter.Seconds()))))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": a.message})
}
