package backend

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
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
	t, o, err := b.verifyNow(ctx, req.Storage, d.Get("name").(string))
	if err != nil {
		return nil, err
	}
	response := &logical.Response{Data: map[string]any{
		"outcome":       string(o.Outcome),
		"detail":        o.Detail,
		"provider_code": o.Code,
		"request_id":    o.RequestID,
		"checked_at":    timestamp(o.at),
		"version":       t.Number(),
	}}
	if o.Outcome == provider.Rejected {
		response.AddWarning("the provider rejects the current credential; " + readRunbook(t.name) + " tells how it is replaced")
	}
	if !o.recorded {
		response.AddWarning("the token's health does not show this: a rotation holds the token, and waits for its reset hook or provider; " +
			"the engine verifies the token again by itself when that is over")
	}
	return response, nil
}
