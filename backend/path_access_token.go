package backend

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const accessTokenHelpLong = `For tokens of the types oauth_client and service_account_key. The engine mints a short-lived OAuth access token from the
credential, so that the app never sees the long-lived one. All readers share one access token until shortly before it
expires; after a rotation it is minted from the new credential. Send it as "Authorization: Bearer <access_token>", and
read again after ttl seconds.`

func (b *backend) pathAccessToken() *framework.Path {
	return &framework.Path{
		Pattern:      accessTokenPrefix + namePattern("name") + "$",
		Fields:       map[string]*framework.FieldSchema{"name": nameField()},
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "access-token"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: readOperation(b.pathAccessTokenRead, "Mint or share a short-lived OAuth access token.", "read", map[string]*framework.FieldSchema{
				"access_token":      {Type: framework.TypeString, Required: true, DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}, Description: "The access token."},
				"token_type":        {Type: framework.TypeString, Required: true, Description: "Scheme of the Authorization header, Bearer."},
				"expires_at":        {Type: framework.TypeTime, Required: true, Description: "When it expires."},
				"ttl":               {Type: framework.TypeInt, Required: true, Description: "Seconds after which to read again, at least 1."},
				"login_customer_id": {Type: framework.TypeString, Description: "The manager account's id, if the account has one configured."},
				"base_url":          {Type: framework.TypeString, Required: true, Description: "Address of the provider's API."},
				"api_version":       {Type: framework.TypeString, Required: true, Description: "API version."},
				"version":           {Type: framework.TypeInt, Required: true, Description: "Number of the credential's version that it was minted from."},
			}),
		},
		HelpSynopsis:    "Read a short-lived OAuth access token.",
		HelpDescription: accessTokenHelpLong,
	}
}

func (b *backend) pathAccessTokenRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return b.readAccessToken(ctx, req.Storage, d.Get("name").(string))
}
