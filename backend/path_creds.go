package backend

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

const credsPrefix = "creds/"

const credsHelpLong = `The only path that an app needs. Beside the credential it gives what the app needs to call the provider's API, and the
version and fingerprint of the value. ttl says when to read again: after a rotation the old value may be dead at once,
so it never exceeds the token's refresh_ttl. Vault Agent and consul-template follow it by themselves.`

func (b *backend) pathCreds() *framework.Path {
	return &framework.Path{
		Pattern:      credsPrefix + namePattern("name") + "$",
		Fields:       map[string]*framework.FieldSchema{"name": nameField()},
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "credentials"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: readOperation(b.pathCredsRead, "Read the current credential of a token.", "read", b.credsFields()),
		},
		HelpSynopsis:    "Read the current credential of a token.",
		HelpDescription: credsHelpLong,
	}
}

func (b *backend) credsFields() map[string]*framework.FieldSchema {
	fields := b.credentialSchemas()
	maps.Copy(fields, credsStateFields())
	return fields
}

// credsStateFields are what creds/ gives beside the credential.
func credsStateFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"login_customer_id":   {Type: framework.TypeString, Description: "google_ads: the manager account's id, if the account has one configured."},
		"base_url":            {Type: framework.TypeString, Required: true, Description: "Address of the provider's API."},
		"account_url":         {Type: framework.TypeString, Description: "impact: base_url with the account's path."},
		"api_version":         {Type: framework.TypeString, Description: "API version, if the account has one."},
		"version":             {Type: framework.TypeInt, Required: true, Description: "Number of the credential's version."},
		"fingerprint":         {Type: framework.TypeString, Required: true, Description: "Keyed hash that identifies the value."},
		"last_vault_rotation": {Type: framework.TypeTime, Required: true, Description: "When this version was published."},
		"rotation_period":     {Type: framework.TypeInt, Required: true, Description: "Seconds between planned rotations, or refresh_ttl where no period is set."},
		"ttl":                 {Type: framework.TypeInt, Required: true, Description: "Seconds after which to read again, at least 1."},
	}
}

func (b *backend) pathCredsRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return b.readCreds(ctx, req.Storage, d.Get("name").(string))
}

func (b *backend) readCreds(ctx context.Context, storage logical.Storage, name string) (*logical.Response, error) {
	t, a, err := b.tokenWithAccount(ctx, storage, name)
	if err != nil {
		return nil, err
	}
	if t.Current == nil {
		return nil, noCredential(t)
	}
	data := make(map[string]any, 12)
	for name, value := range t.Current.Credential {
		data[name] = value
	}
	for name, value := range a.platform.ConnectionInfo(a.call.Settings, t.call(t.Current.Credential)) {
		data[name] = value
	}
	data["version"] = t.Number()
	data["fingerprint"] = t.Current.Fingerprint
	data["last_vault_rotation"] = timestamp(t.Current.PublishedAt)
	data["rotation_period"] = t.RefreshTTL
	if t.RotationPeriod > 0 {
		data["rotation_period"] = max(int(t.RotationPeriod.Seconds()), 1)
	}
	data["ttl"] = t.ttl(b.now())
	response := b.leased(withHealthWarning(&logical.Response{Data: data}, t), t)
	return t.remember(&t.credsAnswer, a, time.Time{}, response), nil
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

// ttl is how many seconds a consumer may go on with the value before it looks again: until the next planned rotation,
// but never longer than refresh_ttl, because a reset can come out of schedule. A planned time that has passed bounds nothing:
// nobody knows when a late person comes, and consumers that look every second would find nothing sooner than that.
func (t *token) ttl(now time.Time) int {
	ttl := t.RefreshTTL
	if left := t.nextRotation.Sub(now); !t.nextRotation.IsZero() && left > 0 {
		ttl = min(ttl, int(left.Seconds()))
	}
	return max(ttl, 1)
}
