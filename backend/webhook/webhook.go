// Package webhook makes signed requests as Standard Webhooks prescribe. Both what the engine asks of a reset hook and what it tells a
// receiver of notifications are such requests.
package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Standard Webhooks wants secrets of 24 to 64 bytes, written as base64 behind a prefix.
const (
	secretPrefix  = "whsec_"
	minSecretSize = 24
	maxSecretSize = 64
)

// Mistakes of whoever asks for a request.
var (
	ErrAddress = errors.New("the address is no URL")
	ErrSecret  = errors.New("the secret is no secret of Standard Webhooks")
)

// CheckSecret is the Check of a secret that signs requests.
func CheckSecret(value string) (string, error) {
	encoded, prefixed := strings.CutPrefix(value, secretPrefix)
	_, unprintable := provider.Opaque(encoded) // the decoder skips line breaks
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if !prefixed || unprintable != nil || err != nil {
		return "", errors.New("must be whsec_ followed by base64, as `echo whsec_$(openssl rand -base64 32)` prints it")
	}
	if len(secret) < minSecretSize || len(secret) > maxSecretSize {
		return "", fmt.Errorf("must hold %d to %d bytes behind whsec_, this one has %d", minSecretSize, maxSecretSize, len(secret))
	}
	return value, nil
}

// Message is what is sent.
type Message struct {
	URL string
	// Secret signs the message; empty for a receiver that knows no signatures.
	Secret string
	// ID is the same at every try to send the message: printable ASCII without a dot.
	ID string
	// Body is JSON.
	Body []byte
}

// Request makes a POST of the message, with the signature of a try at the given time. Errors are ErrAddress, ErrSecret, or one of
// the library that signs.
func (m Message) Request(ctx context.Context, at time.Time) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		return nil, ErrAddress // what it wraps would repeat the address
	}
	request.Header.Set("Content-Type", "application/json")
	if m.Secret == "" {
		return request, nil
	}
	signer, err := standardwebhooks.NewWebhook(m.Secret)
	if err != nil {
		return nil, ErrSecret
	}
	signature, err := signer.Sign(m.ID, at, m.Body)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	request.Header.Set(standardwebhooks.HeaderWebhookID, m.ID)
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return request, nil
}
