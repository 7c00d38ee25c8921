package backend

import (
	"context"
	"maps"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

const consentHelpLong = `
For types whose value comes of a person's agreement in a browser. A write answers with consent_url: open it, sign in as
the user for whose accounts the token is, and agree. The browser is then sent to redirect_uri, where nothing needs to
listen: copy the address that it shows, and hand it in within ten minutes.

    vault write -f adtokens/tokens/acme/consent
    vault write adtokens/tokens/acme/rotate redirect_url='http://127.0.0.1/?state=…&code=…'

The engine exchanges the code, once, verifies what comes back and publishes it. A token without a credential needs the
fields that the consent does not give, such as those of the client:

    vault write adtokens/tokens/acme/consent FIELD=… SECRET=@FILE

The newest consent of a token counts.
`

func (b *backend) pathConsent() *framework.Path {
	fields := b.credentialSchemas()
	maps.Copy(fields, map[string]*framework.FieldSchema{
		"name":           nameField(),
		fieldRedirectURI: {Type: framework.TypeString, Description: "Where the browser is sent after the consent; the platform has to know it. Without it the account's."},
	})
	return &framework.Path{
		Pattern: "tokens/" + namePattern("name") + "/consent$",
		Fields:  fields,
		// As for tokens/<name>.
		TakesArbitraryInput: true,
		DisplayAttrs:        &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: writeOperation(b.pathConsentWrite, "Begin a consent, which a person gives in a browser.", "begin-consent",
				ok("Where to go.", map[string]*framework.FieldSchema{
					"consent_url": {Type: framework.TypeString, Required: true, Description: "Address to open in a browser. Nothing in it is secret."},
					"state":       {Type: framework.TypeString, Required: true, Description: "What the answer has to bear."},
					"expires_at":  {Type: framework.TypeTime, Required: true, Description: "Until when the answer can be handed in."},
				})),
		},
		HelpSynopsis:    "Begin a consent, which a person gives in a browser.",
		HelpDescription: strings.TrimSpace(consentHelpLong),
	}
}

func (b *backend) pathConsentWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	known, err := b.token(ctx, req.Storage, d.Get("name").(string))
	if err != nil {
		return nil, err
	}
	if known.kind.Consent == nil {
		return nil, badInput("a %s comes of no consent; %s tells how it is replaced", known.Type, readRunbook(known.name))
	}
	r, err := b.readConsentRequest(d, known.kind)
	if err != nil {
		return nil, err
	}
	address, asked, err := b.askConsent(ctx, req.Storage, known, r)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{"consent_url": address, "state": asked.State, "expires_at": timestamp(asked.ExpiresAt)}}, nil
}

// readConsentRequest reads a request for a token of the given type.
func (b *backend) readConsentRequest(d *framework.FieldData, kind *provider.TokenType) (r consentRequest, err error) {
	if r.given, err = b.readCredential(d.Raw, kind, nil); err != nil {
		return r, err
	}
	if address := given[string](d, fieldRedirectURI); address != nil {
		if r.redirectURI, err = provider.RedirectURI(strings.TrimSpace(*address)); err != nil {
			return r, badInput("%s %s", fieldRedirectURI, err)
		}
	}
	return r, nil
}
