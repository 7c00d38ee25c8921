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

// credentialLease is what a read carries with lease_ttl: it lives as long as the value that was read is the current one. The
// credential is shared, so revoking a lease does nothing to it.
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
	with := b.Secret(leaseType).Response(response.Data, map[string]any{"name": t.name, "version": t.Number(), "fingerprint": t.Current.Origin()})
	with.Secret.TTL = time.Duration(t.LeaseTTL) * time.Second
	with.Warnings = response.Warnings
	return with
}

// renewLease refuses once the lease's version is not the current one, which makes consumers read anew. It returns plain
// errors: an error response to a renewal would reach the user as a printed Go struct.
func (b *backend) renewLease(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	name, _ := req.Secret.InternalData["name"].(string)
	t, err := b.tokens.Get(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, fmt.Errorf("token %q does not exist any more", name)
	}
	if !leasedValueIsCurrent(req.Secret, t) {
		return nil, fmt.Errorf("version %v of token %q is not the current one any more; read creds/%s again",
			req.Secret.InternalData["version"], name, name)
	}
	if t.LeaseTTL == 0 {
		return nil, fmt.Errorf("token %q carries no leases any more; read creds/%s again", name, name)
	}
	response := &logical.Response{Secret: req.Secret}
	response.Secret.TTL = time.Duration(t.LeaseTTL) * time.Second
	return response, nil
}

// leasedValueIsCurrent says whether the token still has the value that was read with the lease. A version number alone does not say
// that: a token that is deleted and made anew begins with 1 again. Leases of earlier plugin versions have no fingerprint; theirs is
// another value if it was published after the lease was issued.
func leasedValueIsCurrent(lease *logical.Secret, t *token) bool {
	// The lease is stored as JSON, so its version may come back as any kind of number.
	if t.Current == nil || fmt.Sprint(lease.InternalData["version"]) != fmt.Sprint(t.Number()) {
		return false
	}
	if fingerprint, ok := lease.InternalData["fingerprint"].(string); ok {
		return fingerprint == t.Current.Origin()
	}
	return lease.IssueTime.IsZero() || !t.Current.PublishedAt.After(lease.IssueTime)
}
