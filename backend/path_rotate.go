package backend

import (
	"context"
	"maps"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

const rotateHelpLong = `
Read this path for the runbook: where the token is reset, step by step, what becomes of the old value, and which
fields to hand in. It prints as text with

    vault read -field=runbook adtokens/tokens/acme-rw/rotate

Write the new value here once it exists, for example

    vault write adtokens/tokens/acme-rw/rotate auth_token=- reason="left the team: J. Doe"

It is checked for its form, tried at the provider, and published in one storage write; then the old value is tried,
to confirm that it is dead. A value that the provider refuses is never published, and nothing changes. If the provider
cannot be reached nothing changes either; verify=false publishes all the same. cas=N refuses the rotation unless N is
the current version. Fields that are left out keep their value.

Without a credential the engine gets the new value itself, where it can: a service account key by Google's IAM API, the
other types by the account's reset hook.

    vault write -f adtokens/tokens/acme-rw/rotate reason=monthly

It waits up to 30s; a rotation that is not finished by then goes on by itself, and rotation_state tells how far it
is.
`

func (b *backend) pathRotate() *framework.Path {
	fields := b.credentialSchemas()
	maps.Copy(fields, handInFields())
	fields["name"] = nameField()
	fields["retire_previous"] = &framework.FieldSchema{Type: framework.TypeBool, Default: false, Description: "service_account_key: have the engine delete the old key after rotation_grace_period. A rotation by the engine does so by itself."}
	fields["revoke_previous"] = &framework.FieldSchema{Type: framework.TypeBool, Default: false, Description: "oauth_client: have the engine revoke the old refresh token after rotation_grace_period."}
	fields["cas"] = &framework.FieldSchema{Type: framework.TypeInt, Description: "Rotate only if this is the current version."}
	responses := publishResponses()
	delete(responses, http.StatusNoContent)
	return &framework.Path{
		Pattern:      "tokens/" + namePattern("name") + "/rotate$",
		Fields:       fields,
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{
				Callback: b.pathRotateRead, Summary: "Read how to rotate this token.", Responses: ok("The runbook.", runbookFields()),
				DisplayAttrs: &framework.DisplayAttributes{OperationVerb: "read", OperationSuffix: "token-runbook"},
			},
			logical.UpdateOperation: writeOperation(b.pathRotateWrite, "Rotate a token to a new credential.", "rotate", responses),
		},
		HelpSynopsis:    "Rotate a token, or read how to.",
		HelpDescription: strings.TrimSpace(rotateHelpLong),
	}
}

func runbookFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"runbook":             {Type: framework.TypeString, Required: true, Description: "All of this as text for a terminal, the steps numbered. It begins with the command that has the engine rotate the token, where the engine can."},
		"console_url":         {Type: framework.TypeString, Required: true, Description: "Where the provider's console is."},
		"steps":               {Type: framework.TypeStringSlice, Required: true, Description: "What a person does, in order."},
		"reset_semantics":     {Type: framework.TypeString, Required: true, Description: "immediate: the old value dies at the reset. overlapping: both can be live."},
		"previous_credential": {Type: framework.TypeString, Required: true, Description: "What becomes of the old value."},
		"fields":              {Type: framework.TypeStringSlice, Required: true, Description: "Fields to hand in. Those left out keep their value."},
		"automatic":           {Type: framework.TypeBool, Required: true, Description: "Whether the engine can rotate this token by itself."},
		"notes":               {Type: framework.TypeStringSlice, Required: true, Description: "What else to know."},
	}
}

func (b *backend) pathRotateRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	t, a, err := b.tokenWithAccount(ctx, req.Storage, d.Get("name").(string))
	if err != nil {
		return nil, err
	}
	runbook := newTokenRunbook(a, t, req.MountPoint)
	fields := make([]string, len(t.kind.Fields))
	for i, f := range t.kind.Fields {
		fields[i] = f.Name
	}
	return &logical.Response{Data: map[string]any{
		"runbook":             runbook.text(),
		"console_url":         runbook.ConsoleURL,
		"steps":               runbook.Steps,
		"reset_semantics":     string(t.kind.ResetSemantics),
		"previous_credential": runbook.Previous,
		"fields":              fields,
		"automatic":           runbook.source != "",
		"notes":               runbook.Notes,
	}}, nil
}

// tokenWithAccount returns a token and its account, for reading only.
func (b *backend) tokenWithAccount(ctx context.Context, storage logical.Storage, name string) (*token, *account, error) {
	t, err := b.token(ctx, storage, name)
	if err != nil {
		return nil, nil, err
	}
	a, err := b.account(ctx, storage, t.Account)
	return t, a, err
}

func (b *backend) pathRotateWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("name").(string)
	known, a, err := b.tokenWithAccount(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	given, err := b.credentialFields(d, known.kind)
	switch {
	case err != nil:
		return nil, err
	case given == nil && source(a, known) == "":
		return nil, needsPerson(a, known)
	case given == nil:
		return b.rotateAutomatically(ctx, req, d, known)
	}
	release := b.precedence.claim(name)
	defer release()
	t, unlock, err := b.lockToken(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	// The fields were read for this token's type, and neither that nor its account changes.
	if err := sameToken(t, known); err != nil {
		return nil, err
	}
	return b.handIn(ctx, req, d, handedIn{token: t, given: given, source: rotation.SourceAssisted})
}

// retirePrevious says whether the engine is to retire the value that a person replaces.
func retirePrevious(d *framework.FieldData, t *token, given provider.Values) (bool, error) {
	retire, _ := d.Get("retire_previous").(bool)
	revoke, _ := d.Get("revoke_previous").(bool)
	switch {
	case retire && t.Type != "service_account_key":
		return false, badInput("retire_previous is for tokens of the type service_account_key; this is a %s", t.Type)
	case revoke && t.Type != "oauth_client":
		return false, badInput("revoke_previous is for tokens of the type oauth_client; this is a %s", t.Type)
	case revoke && t.Current != nil && (given["refresh_token"] == "" || given["refresh_token"] == t.Current.Credential["refresh_token"]):
		return false, badInput("revoke_previous would revoke the refresh token that stays in use; give a new refresh_token, or leave revoke_previous out")
	}
	return (retire || revoke) && t.Current != nil, nil
}

// checkAndSet refuses a rotation of another version than the caller knows.
func checkAndSet(d *framework.FieldData, t *token) error {
	expected, given := d.GetOk("cas")
	switch {
	case !given:
		return nil
	case expected.(int) < 0:
		return badInput("cas must be a version number of 0 or more")
	case expected.(int) != t.Number():
		return badInput("cas is %d and the current version is %d: somebody rotated this token in the meantime; nothing was changed", expected, t.Number())
	}
	return nil
}

// needsPerson says what to hand in for a token that the engine cannot rotate by itself.
func needsPerson(a *account, t *token) error {
	return badInput("a person has to reset a %s: get the new value at %s, then hand it in with %s; %s tells each step",
		t.Type, a.platform.Runbook(a.call.Settings, t.Type).ConsoleURL, t.handInCommand(), readRunbook(t.name))
}
