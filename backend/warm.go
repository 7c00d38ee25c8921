package backend

import (
	"encoding/json"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/readers"
)

// remember keeps the answer to a read, unless it holds more than data.
func (t *token) remember(in *atomic.Pointer[warmAnswer], a *account, until time.Time, response *logical.Response) *logical.Response {
	if old := in.Load(); old != nil && old.account == a && old.until.Equal(until) {
		return response
	}
	if response.Secret != nil || len(response.Warnings) > 0 {
		return response
	}
	ttl := response.Data["ttl"]
	delete(response.Data, "ttl")
	data, err := json.Marshal(response.Data)
	if response.Data["ttl"] = ttl; err == nil {
		in.Store(&warmAnswer{account: a, until: until, data: string(data[:len(data)-1]) + `,"ttl":`})
	}
	return response
}

// WarmReader is what Factory returns, beside a logical.Backend: whoever speaks with Vault may ask it before it makes a
// logical.Request of a read, which must have no data and no snapshot.
type WarmReader interface {
	// WarmRead returns the data of the answer to a read, as JSON, and takes note of who has read. Where it is not warm, HandleRequest
	// answers.
	WarmRead(path string, by Reader) (data string, warm bool)
}

// WarmRead is part of WarmReader: the answer that the same read gave before, with the ttl of now.
func (b *backend) WarmRead(path string, by Reader) (data string, warm bool) {
	name, isCreds, ok := hotName(path)
	if !ok {
		return "", false
	}
	t := b.tokens.Peek(name)
	if t == nil {
		return "", false
	}
	a := b.accounts.Peek(t.Account)
	known, read := t.accessTokenAnswer.Load(), readers.AccessToken
	if isCreds {
		known, read = t.credsAnswer.Load(), readers.Creds
	}
	now := b.now()
	if a == nil || known == nil || known.account != a || !known.until.IsZero() && !now.Before(known.until) {
		return "", false
	}
	b.saw(t, by, read, now)
	return known.data + strconv.Itoa(t.ttlUntil(known.until, now)) + "}", true
}
