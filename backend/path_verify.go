package backend

import (
	"context"
	"errors"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

const verifyHelpLong = `The provider is asked about the current credential now. The outcome is accepted, rejected (somebody reset, revoked or
disabled it: see tokens/<name>/rotate), or inconclusive with the reason: the provider did not answer, or its answer
cannot tell. The outcome is shown in the token's health, and a rejected credential warns everybody who reads it.`

func (b *backend) pathVerify() *framework.Path {
	return &framework.Path{
		Pattern:      "tokens/" + namePattern("name") + "/verify$",
		Fields:       map[string]*framework.FieldSchema{"name": nameField()},
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: writeOperation(b.pathVerifyWrite, "Ask the provider about the current credential now.", "verify",
				ok("What the provider said.", map[string]*framework.FieldSchema{
					"outcome":       {Type: framework.TypeString, Required: true, Description: "accepted, rejected or inconclusive."},
					"detail":        {Type: framework.TypeString, Required: true, Description: "The outcome in a sentence."},
					"provider_code": {Type: framework.TypeString, Required: true, Description: "The provider's own error code, where it gave one."},
					"request_id":    {Type: framework.TypeString, Required: true, Description: "The provider's request id, which its support asks for."},
					"checked_at":    {Type: framework.TypeTime, Required: true, Description: "When the provider was asked."},
					"version":       {Type: framework.TypeInt, Required: true, Description: "Number of the version that was tried."},
				})),
		},
		HelpSynopsis:    "Check the current credential against the provider now.",
		HelpDescription: verifyHelpLong,
	}
}

func (b *backend) pathVerifyWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	t, a, err := b.tokenWithAccount(ctx, req.Storage, d.Get("name").(string))
	if err != nil {
		return nil, err
	}
	if t.Current == nil {
		return nil, noCredential(t)
	}
	v, at, err := b.verifyCurrent(ctx, req.Storage, a, t)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{
		"outcome":       string(v.Outcome),
		"detail":        v.Detail,
		"provider_code": v.Code,
		"request_id":    v.RequestID,
		"checked_at":    timestamp(at),
		"version":       t.Number(),
	}}, nil
}

// observe asks the provider about the current credential. Silent means that there was no useful answer, which says
// nothing about the credential.
func observe(ctx context.Context, a *account, t *token) (v provider.Verification, silent bool, err error) {
	v, err = a.platform.Verify(ctx, a.call, t.call(t.Current.Credential))
	var silence *provider.Error
	if !errors.As(err, &silence) {
		return v, false, err
	}
	return provider.Verification{
		Outcome: provider.Inconclusive, Detail: silence.Error(), Code: silence.Code, RequestID: silence.RequestID,
	}, true, nil
}

// recordObservation stores what the provider said, unless the token was rotated or deleted while it was asked.
func (b *backend) recordObservation(ctx context.Context, storage logical.Storage, a *account, asked *token, observe func(*rotation.Record)) error {
	t, unlock, err := b.lockToken(ctx, storage, asked.name)
	if err != nil {
		return err
	}
	defer unlock()
	if t == nil || t.Number() != asked.Number() || t.fingerprint() != asked.fingerprint() {
		return nil
	}
	observe(&t.Record)
	if err := b.saveToken(ctx, storage, t); err != nil {
		return err
	}
	b.plan(a, t)
	return nil
}

// noCredential tells the reader of an empty token how to fill it.
func noCredential(t *token) error {
	return badInput("token %q has no credential yet; hand it in with `vault write <mount>/tokens/%s/rotate`, which reading that path explains", t.name, t.name)
}
