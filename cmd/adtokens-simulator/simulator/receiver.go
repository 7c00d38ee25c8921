package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Received is one message that a Receiver has taken, or refused.
type Received struct {
	// ID is the webhook-id.
	ID string `json:"id"`
	// Refused says why the message was refused; empty where it was taken.
	Refused string `json:"refused,omitempty"`
	// Repeated says that a message of this ID was taken before.
	Repeated bool `json:"repeated,omitempty"`
	// Body is what came; nil where its signature is wrong.
	Body json.RawMessage `json:"body,omitempty"`
}

// Receiver is a company's receiver of notifications: it takes those that are signed with its secret, as Standard Webhooks prescribe. It
// is safe for concurrent use.
type Receiver struct {
	verifier *standardwebhooks.Webhook
	// Told, if set, is called with each message, one at a time.
	Told func(Received)

	mu    sync.Mutex
	fault *Fault
	taken []Received
}

// NewReceiver returns a receiver that expects messages to be signed with the secret, whsec_ and base64.
func NewReceiver(secret string) (*Receiver, error) {
	verifier, err := standardwebhooks.NewWebhook(secret)
	return &Receiver{verifier: verifier}, err
}

// Break makes all messages fail until it is called again; nil is no fault. Service and Times do not count.
func (r *Receiver) Break(fault *Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fault
}

// Taken returns the messages that were taken so far, those that came again included.
func (r *Receiver) Taken() []Received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken)
}

func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	fault := r.fault
	r.mu.Unlock()
	if fault == nil {
		r.take(w, request)
		return
	}
	broken := *fault
	broken.Service = ResetHook // of those that are no platform's
	broken.meet(w, request, r.take)
}

func (r *Receiver) take(w http.ResponseWriter, request *http.Request) {
	message := Received{ID: request.Header.Get(standardwebhooks.HeaderWebhookID)}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, 1<<20))
	status := http.StatusNoContent
	switch {
	case err != nil:
		message.Refused, status = "the message did not come in one piece", http.StatusBadRequest
	case request.Method != http.MethodPost:
		message.Refused, status = "it is no POST", http.StatusMethodNotAllowed
	default:
		if err := r.verifier.Verify(body, request.Header); err != nil {
			message.Refused, status = err.Error(), http.StatusUnauthorized
		} else if !json.Valid(body) {
			message.Refused, status = "it is no JSON", http.StatusBadRequest
		}
	}
	if message.Refused == "" {
		message.Body = body
	}
	r.note(message)
	w.WriteHeader(status)
}

func (r *Receiver) note(message Received) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if message.Refused == "" {
		message.Repeated = slices.ContainsFunc(r.taken, func(other Received) bool { return other.ID == message.ID })
		r.taken = append(r.taken, message)
	}
	if r.Told != nil {
		r.Told(message)
	}
}
