package backend

import (
	"context"
	"maps"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

const rotateHelpLong = `
Read this path for the runbook: where the token is reset, step by step, what becomes of the old value, and which
fields to hand in. It prints as text with

    vault read -field=runbook adtokens/tokens/acme-rw/rotate

Write the new value here once it exists, for example

    vault write adtokens/tokens/acme-rw/rotate FIELD=- reason="left the team: J. Doe"

It is checked for its form, tried at the provider, and published in one storage write; then the old value is tried,
to confirm that it is dead. A value that the provider refuses is never published, and nothing changes. If the provider
cannot be reached nothing changes either; verify=false publishes all the same. cas=N refuses the rotation unless N is
the current version. Fields that are left out keep their value.

After a consent (tokens/<name>/consent) redirect_url takes the address that the browser was sent to in place of a value.

A value that is a credential of somebody else at the platform is refused, where its verification tells: accept_other_identity=true
takes it.

Without a credential the engine gets the new value itself, where it can: by the provider's API, or by the account's reset hook.

    vault write -f adtokens/tokens/acme-rw/rotate reason=monthly

It waits up to 30s; a rotation that is not finished by then goes on by itself, and rotation_state tells how far it
is.
`

func (b *backend) pathRotate() *framework.Path {
	fields := b.credentialSchemas()
	maps.Copy(fields, handInFields())
	fields["name"] = nameField()
	fields["retire_previous"] = &framework.FieldSchema{Type: framework.TypeBool, Default: false, Description: "Have the engine end the old value after rotation_grace_period. A rotation by the provider's API does so by itself. For the types " + b.endedBy("retire_previous") + "."}
	fields["revoke_previous"] = &framework.FieldSchema{Type: framework.TypeBool, Default: false, Description: "Have the engine revoke the old value after rotation_grace_period. For the types " + b.endedBy("revoke_previous") + "."}
	maps.Copy(fields, redirectFields())
	fields["accept_other_identity"] = &framework.FieldSchema{Type: framework.TypeBool, Default: false, Description: "Take a value that is a credential of somebody else than the token's. Without a value, one that is kept because of that is published."}
	fields["cas"] = &framework.FieldSchema{Type: framework.TypeInt, Description: "Rotate only if this is the current version."}
	responses := publishResponses()
	delete(responses, http.StatusNoContent)
	return &framework.Path{
		Pattern: "tokens/" + namePattern("name") + "/rotate$",
		Fields:  fields,
		// As for tokens/<name>.
		TakesArbitraryInput: true,
		DisplayAttrs:        &framework.DisplayAttributes{OperationPrefix: operationPrefix},
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
		"console_url":         {Type: framework.TypeString, Required: true, Description: "Where the provider's console is; empty where that is not known."},
		"role":                {Type: framework.TypeString, Required: true, Description: "Who can do it there; empty where that is not known."},
		"steps":               {Type: framework.TypeStringSlice, Required: true, Description: "What a person does, in order."},
		"reset_semantics":     {Type: framework.TypeString, Required: true, Description: "immediate: the old value dies at the reset. overlapping: both can be live. none: there is nothing to reset."},
		"previous_credential": {Type: framework.TypeString, Required: true, Description: "What becomes of the old value."},
		"fields":              {Type: framework.TypeStringSlice, Required: true, Description: "Fields to hand in. Those left out keep their value."},
		"automatic":           {Type: framework.TypeBool, Required: true, Description: "Whether the engine can rotate this token by itself."},
		"consent":             {Type: framework.TypeBool, Required: true, Description: "Whether a person can agree in a browser instead: see tokens/<name>/consent."},
		"expires_at":          {Type: framework.TypeTime, Description: "When the current value ends by itself, as far as is known."},
		"notes":               {Type: framework.TypeStringSlice, Required: true, Description: "What else to know."},
	}
}

func (b *backend) pathRotateRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	t, a, err := b.tokenWithAccount(ctx, req.Storage, d.Get("name").(string))
	if err != nil {
		return nil, err
	}
	runbook := newTokenRunbook(a, t, req.MountPoint)
	fields := []string{}
	if t.kind.ResetSemantics != provider.None {
		fields = provider.Names(t.kind.Fields)
	}
	return &logical.Response{Data: map[string]any{
		"runbook":             runbook.text(),
		"console_url":         runbook.ConsoleURL,
		"role":                runbook.Role,
		"steps":               runbook.Steps,
		"reset_semantics":     string(t.kind.ResetSemantics),
		"previous_credential": runbook.Previous,
		"fields":              fields,
		"automatic":           runbook.source != "",
		"consent":             t.kind.Consent != nil,
		"expires_at":          timestamp(t.expires),
		"notes":               runbook.Notes,
	}}, nil
}

func (b *backend) pathRotateWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	known, a, err := b.tokenWithAccount(ctx, req.Storage, d.Get("name").(string))
	if err != nil {
		return nil, err
	}
	r, err := b.readRotateRequest(req, d, known.kind)
	if err != nil {
		return nil, err
	}
	if sent := known.startedBy(r.by.requestID); sent != nil {
		return b.awaitRotation(ctx, req.Storage, sent)
	}
	switch {
	case known.kind.ResetSemantics == provider.None:
		return nil, badInput("there is nothing to rotate: a %s has no secret. To act for another owner, make another token; %s tells how to end what was handed out",
			known.Type, readRunbook(known.name))
	case r.consent != nil:
		return b.rotateByConsent(ctx, req.Storage, known, r)
	case r.given != nil:
		return b.rotateAssisted(ctx, req.Storage, known, r)
	case r.acceptOther && known.holdsForeign():
		return b.acceptKept(ctx, req.Storage, known, r)
	case source(a, known) == "":
		return nil, needsPerson(a, known)
	}
	return b.rotateAutomatically(ctx, req.Storage, known, r)
}

// readRotateRequest reads a request for a token of the given type.
func (b *backend) readRotateRequest(req *logical.Request, d *framework.FieldData, kind *provider.TokenType) (*rotateRequest, error) {
	credential, err := b.readCredential(d.Raw, kind, nil)
	if err != nil {
		return nil, err
	}
	r := &rotateRequest{
		given: credential, verify: d.Get("verify").(bool), cas: given[int](d, "cas"), acceptOther: d.Get("accept_other_identity").(bool), by: requesterOf(req),
	}
	if r.cas != nil && *r.cas < 0 {
		return nil, badInput("cas must be a version number of 0 or more")
	}
	for _, field := range endPreviousNames {
		end := d.Get(field).(bool)
		if end && endPrevious(kind) != field {
			return nil, badInput("%s is for tokens of the type %s; this is a %s", field,
				b.endedBy(field), kind.Name)
		}
		r.endPrevious = r.endPrevious || end
	}
	if r.consent, err = readConsentAnswer(d); err != nil {
		return nil, err
	}
	if r.consent != nil && r.given != nil {
		return nil, badInput("what a consent gives comes by itself: leave out the credential fields, or the fields of the consent")
	}
	r.reason, err = readReason(d.Get("reason").(string))
	return r, err
}

// readConsentAnswer reads what a consent sent the browser to; nil where nothing of that came.
func readConsentAnswer(d *framework.FieldData) (*consentAnswer, error) {
	address, code, state := given[string](d, "redirect_url"), given[string](d, "code"), given[string](d, "state")
	switch {
	case address == nil && code == nil && state == nil:
		return nil, nil
	case address != nil && (code != nil || state != nil):
		return nil, badInput("give redirect_url, or code and state")
	case address != nil:
		return parseRedirect(strings.TrimSpace(*address))
	case code == nil || state == nil:
		return nil, badInput("code and state belong together: give both as the address has them, or the whole address as redirect_url")
	}
	return &consentAnswer{code: strings.TrimSpace(*code), state: strings.TrimSpace(*state)}, nil
}
