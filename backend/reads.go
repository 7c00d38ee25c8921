package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/readers"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// Reads of creds/ and access-token/ are what apps send all the time, so they take two short cuts. One that is warm, which
// means that the same token and account gave the same answer before, gets that answer from WarmRead. Any other
// is answered by what hotRead finds.

func (b *backend) readCreds(ctx context.Context, storage logical.Storage, name string, by Reader) (*logical.Response, error) {
	t, a, err := b.tokenWithAccount(ctx, storage, name)
	if err != nil {
		return nil, err
	}
	if t.kind.ResetSemantics == provider.None {
		return nil, badInput("a %s has no secret to give out; `vault read <mount>/access-token/%s` gives an access token", t.Type, t.name)
	}
	if singleUse(t.kind) {
		return nil, badInput("a %s is not given out, because whoever refreshes it ends the value that the engine has; "+
			"`vault read <mount>/access-token/%s` gives an access token", t.Type, t.name)
	}
	if t.Current == nil {
		return nil, noCredential(t)
	}
	data := make(map[string]any, 12)
	for name, value := range t.Current.Credential {
		data[name] = value
	}
	for name, value := range t.connection(a) {
		data[name] = value
	}
	data["version"] = t.Number()
	data["fingerprint"] = t.Current.Fingerprint
	data["last_vault_rotation"] = timestamp(t.Current.PublishedAt)
	data["rotation_period"] = t.RefreshTTL
	if t.RotationPeriod > 0 {
		data["rotation_period"] = max(int(t.RotationPeriod.Seconds()), 1)
	}
	if !t.expires.IsZero() {
		data["expires_at"] = timestamp(t.expires)
	}
	data["ttl"] = t.ttl(b.now())
	response := b.leased(withHealthWarning(&logical.Response{Data: data}, t), t)
	b.saw(t, by, readers.Creds, b.now())
	return t.remember(&t.credsAnswer, a, time.Time{}, response), nil
}

func (b *backend) readAccessToken(ctx context.Context, storage logical.Storage, name string, by Reader) (*logical.Response, error) {
	var (
		t      *token
		a      *account
		shared sharedAccessToken
		err    error
	)
	for range maxVerifyTries {
		if t, a, err = b.tokenWithAccount(ctx, storage, name); err != nil {
			return nil, err
		}
		if t.kind.Mint == nil {
			return nil, badInput("a %s has no access tokens; `vault read <mount>/creds/%s` gives the credential itself", t.Type, t.name)
		}
		if t.Current == nil {
			return nil, noCredential(t)
		}
		if shared, err = b.accessToken(ctx, storage, a, t); !errors.Is(err, errRotatedMeanwhile) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	data := map[string]any{
		"access_token": shared.Value,
		"token_type":   shared.Type,
		"expires_at":   timestamp(shared.ExpiresAt),
		"ttl":          t.ttlUntil(shared.until, b.now()),
		"version":      t.Number(),
	}
	for name, value := range t.connection(a) {
		data[name] = value
	}
	b.saw(t, by, readers.AccessToken, b.now())
	return t.remember(&t.accessTokenAnswer, a, shared.until, withHealthWarning(&logical.Response{Data: data}, t)), nil
}

// connection is what an app needs beside the credential to call the API.
func (t *token) connection(a *account) provider.Values {
	if t.kind.Connect == nil {
		return nil
	}
	return t.kind.Connect(a.call.Settings, t.call(t.Current.Credential))
}

// withHealthWarning tells whoever reads a credential that the provider is known to refuse it, or was never known to accept it.
func withHealthWarning(response *logical.Response, t *token) *logical.Response {
	switch {
	case t.Health == rotation.HealthRejected:
		response.AddWarning("the provider rejects this credential; an operator has to rotate the token: " + readRunbook(t.name) + " tells how")
	case t.untried():
		response.AddWarning(fmt.Sprintf("version %d of this credential was published with verify=false, and the provider has not accepted it "+
			"yet. The engine keeps asking; `vault write -f <mount>/tokens/%s/verify` asks now", t.Number(), t.name))
	}
	return response
}
