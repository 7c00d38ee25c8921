package backend

import (
	"context"
	"maps"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

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
	maps.Copy(fields, b.connectionSchemas(func(*provider.TokenType) bool { return true }))
	maps.Copy(fields, credsStateFields())
	return fields
}

func (b *backend) pathCredsRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return b.readCreds(ctx, req.Storage, d.Get("name").(string), readerOf(req))
}
