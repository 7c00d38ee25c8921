package backend

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

const accessTokenHelpLong = `For tokens of the types %s. The engine mints a short-lived OAuth access token from the
credential, so that the app never sees the long-lived one. All readers share one access token until shortly before it
expires; after a rotation it is minted from the new credential. Send it as "Authorization: Bearer <access_token>", and
read again after ttl seconds.`

func (b *backend) pathAccessToken() *framework.Path {
	return &framework.Path{
		Pattern:      accessTokenPrefix + namePattern("name") + "$",
		Fields:       map[string]*framework.FieldSchema{"name": nameField()},
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "access-token"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: readOperation(b.pathAccessTokenRead, "Mint or share a short-lived OAuth access token.", "read", b.accessTokenFields()),
		},
		HelpSynopsis:    "Read a short-lived OAuth access token.",
		HelpDescription: fmt.Sprintf(accessTokenHelpLong, strings.Join(b.typesThat(mints), ", ")),
	}
}

// mints says whether tokens of the type have access tokens.
func mints(kind *provider.TokenType) bool { return kind.Mint != nil }

func (b *backend) accessTokenFields() map[string]*framework.FieldSchema {
	fields := b.connectionSchemas(mints)
	maps.Copy(fields, map[string]*framework.FieldSchema{
		"access_token": {Type: framework.TypeString, Required: true, DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}, Description: "The access token."},
		"token_type":   {Type: framework.TypeString, Required: true, Description: "Scheme of the Authorization header, Bearer."},
		"expires_at":   {Type: framework.TypeTime, Required: true, Description: "When it expires."},
		"ttl":          {Type: framework.TypeInt, Required: true, Description: "Seconds after which to read again, at least 1."},
		"version":      {Type: framework.TypeInt, Required: true, Description: "Number of the credential's version that it was minted from."},
	})
	return fields
}

func (b *backend) pathAccessTokenRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return b.readAccessToken(ctx, req.Storage, d.Get("name").(string), readerOf(req))
}
