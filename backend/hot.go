package backend

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// Reads of creds/ and access-token/ are what apps send all the time, so they take two short cuts. One that is warm, which
// means that the same token and account gave the same answer before, gets that answer from WarmRead. Any other
// is answered by what hotRead finds.

// hotRead finds what answers a read that apps send all the time; nil where the framework has to look at the request. Any
// node answers these reads, and they take no fields; yet the framework would ask Vault's process at each request whether
// to forward it, and that costs as much as all the rest of the work.
func hotRead(req *logical.Request) (read func(*backend, context.Context, logical.Storage, string) (*logical.Response, error), name string) {
	if req.Operation != logical.ReadOperation || len(req.Data) > 0 {
		return nil, ""
	}
	name, isCreds, ok := hotName(req.Path)
	switch {
	case !ok || !validName.MatchString(name):
		return nil, ""
	case isCreds:
		return (*backend).readCreds, name
	default:
		return (*backend).readAccessToken, name
	}
}

// errNoSnapshots refuses to read from a loaded snapshot of Vault's storage. What this engine answers comes from its cache of the
// storage of today, so it must not look like an answer from the snapshot. Vault does not send such requests to a plugin that does
// not declare paths for them.
var errNoSnapshots = badInput("this engine does not read from snapshots; restore the snapshot to another Vault, and read there")

// hotName finds the token of a path below creds/ or access-token/.
func hotName(path string) (name string, isCreds, ok bool) {
	if name, ok = strings.CutPrefix(path, credsPrefix); ok {
		return name, true, true
	}
	name, ok = strings.CutPrefix(path, accessTokenPrefix)
	return name, false, ok
}

// warmAnswer is what a read of a token gave, as JSON. It is good for as long as the token and the account are the ones that
// it was made of, because those never change: what is written makes new ones.
type warmAnswer struct {
	account *account
	// until is when it is not given any more; zero for no such time.
	until time.Time
	// data is the object without its end, which is the ttl: that is another one at each read.
	data string
}

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

// ttlUntil is ttl, where what is read ends at a time of its own.
func (t *token) ttlUntil(end, now time.Time) int {
	ttl := t.ttl(now)
	if !end.IsZero() {
		ttl = min(ttl, int(end.Sub(now).Seconds()))
	}
	return max(ttl, 1)
}

// WarmReader is what Factory returns, beside a logical.Backend: whoever speaks with Vault may ask it before it makes a
// logical.Request of a read, which must have no data and no snapshot.
type WarmReader interface {
	// WarmRead returns the data of the answer to a read, as JSON. Where it is not warm, HandleRequest answers.
	WarmRead(path string) (data string, warm bool)
}

// WarmRead is part of WarmReader: the answer that the same read gave before, with the ttl of now.
func (b *backend) WarmRead(path string) (data string, warm bool) {
	name, isCreds, ok := hotName(path)
	if !ok {
		return "", false
	}
	t := b.tokens.Peek(name)
	if t == nil {
		return "", false
	}
	a := b.accounts.Peek(t.Account)
	known := t.accessTokenAnswer.Load()
	if isCreds {
		known = t.credsAnswer.Load()
	}
	now := b.now()
	if a == nil || known == nil || known.account != a || !known.until.IsZero() && !now.Before(known.until) {
		return "", false
	}
	return known.data + strconv.Itoa(t.ttlUntil(known.until, now)) + "}", true
}
