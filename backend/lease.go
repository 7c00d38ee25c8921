package backend

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// leaseType names the leases of creds/ in Vault's records.
const leaseType = "ad_platform_token"

// credentialLease is what a read carries with lease_ttl: it lives as long as the version that was read is the current
// one. The credential is shared, so revoking a lease does nothing to it.
func (b *backend) credentialLease() *framework.Secret {
	return &framework.Secret{
		Type:   leaseType,
		Fields: b.credentialSchemas(),
		Renew:  b.renewLease,
		Revoke: func(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
			return nil, nil
		},
	}
}

// leased turns a read into a leased one, where the token wants that.
func (b *backend) leased(response *logical.Response, t *token) *logical.Response {
	if t.LeaseTTL == 0 {
		return response
	}
	with := b.Secret(leaseType).Response(response.Data, map[string]any{"name": t.name, "version": t.Number()})
	with.Secret.TTL = time.Duration(t.LeaseTTL) * time.Second
	with.Warnings = response.Warnings
	return with
}

// renewLease refuses once the lease's version is not the current one, which makes consumers read anew. It returns plain
// errors: an error response to a renewal would reach the user as a printed Go struct.
func (b *backend) renewLease(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	name, _ := req.Secret.InternalData["name"].(string)
	t, err := b.tokens.get(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, fmt.Errorf("token %q does not exist any more", name)
	}
	// The lease is stored as JSON, so its version may come back as any kind of number.
	if version := fmt.Sprint(req.Secret.InternalData["version"]); version != fmt.Sprint(t.Number()) {
		return nil, fmt.Errorf("version %s of token %q is not the current one any more; read creds/%s again", version, name, name)
	}
	if t.LeaseTTL == 0 {
		return nil, fmt.Errorf("token %q carries no leases any more; read creds/%s again", name, name)
	}
	response := &logical.Response{Secret: req.Secret}
	response.Secret.TTL = time.Duration(t.LeaseTTL) * time.Second
	return response, nil
}
