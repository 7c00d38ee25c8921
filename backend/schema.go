package backend

import (
	"fmt"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// operationPrefix begins every operation id in the OpenAPI document of a mount.
const operationPrefix = "ad-tokens"

// writeOperation declares an operation that changes storage, which standbys and secondaries forward.
func writeOperation(handler framework.OperationFunc, summary, verb string, responses map[int][]framework.Response) framework.OperationHandler {
	return &framework.PathOperation{
		Callback:                    handler,
		Summary:                     summary,
		Responses:                   responses,
		DisplayAttrs:                &framework.DisplayAttributes{OperationVerb: verb},
		ForwardPerformanceStandby:   true,
		ForwardPerformanceSecondary: true,
	}
}

// readOperation declares an operation that any node answers.
func readOperation(handler framework.OperationFunc, summary, verb string, fields map[string]*framework.FieldSchema) framework.OperationHandler {
	return &framework.PathOperation{
		Callback:     handler,
		Summary:      summary,
		Responses:    ok(summary, fields),
		DisplayAttrs: &framework.DisplayAttributes{OperationVerb: verb},
	}
}

func listOperation(handler framework.OperationFunc, summary, keyInfo string) framework.OperationHandler {
	return readOperation(handler, summary, "list", map[string]*framework.FieldSchema{
		"keys":     {Type: framework.TypeStringSlice, Required: true, Description: "Names."},
		"key_info": {Type: framework.TypeMap, Description: keyInfo},
	})
}

// ok declares a response with data.
func ok(description string, fields map[string]*framework.FieldSchema) map[int][]framework.Response {
	return map[int][]framework.Response{http.StatusOK: {{Description: description, Fields: fields}}}
}

// addFieldSchema declares a provider's field. Providers may share a name; then each describes its own meaning, and the field is
// sensitive if it is secret for any of them.
func addFieldSchema(into map[string]*framework.FieldSchema, f provider.Field, whose string) {
	description := whose + f.Description
	if f.Default != "" {
		description += " Default: " + f.Default + "."
	}
	if existing := into[f.Name]; existing != nil {
		if existing.Description != description {
			existing.Description += " " + description
		}
		if existing.DisplayAttrs == nil {
			existing.DisplayAttrs = &framework.DisplayAttributes{Name: f.Name}
		}
		existing.DisplayAttrs.Sensitive = existing.DisplayAttrs.Sensitive || f.Secret
		return
	}
	form := framework.TypeString
	if f.Flag {
		form = framework.TypeBool
	}
	into[f.Name] = &framework.FieldSchema{
		Type:         form,
		Description:  description,
		DisplayAttrs: &framework.DisplayAttributes{Name: f.Name, Sensitive: f.Secret},
	}
}

// allowed lists the values of a field for the OpenAPI document.
func allowed(names []string) []any {
	values := make([]any, len(names))
	for i, name := range names {
		values[i] = name
	}
	return values
}

var warningsOnly = map[int][]framework.Response{
	http.StatusOK:        {{Description: "Done, with warnings."}},
	http.StatusNoContent: {{Description: "Done."}},
}

func nameField() *framework.FieldSchema {
	return &framework.FieldSchema{Type: framework.TypeString, Required: true, Description: "Name of the token."}
}

func afterField() *framework.FieldSchema {
	return &framework.FieldSchema{Type: framework.TypeString, Query: true, Description: "Show tokens whose names sort after this one."}
}

// fieldForce is for deletions, where a path has them, and else for a write.
const fieldForce = "force"

// credentialSchemas declare the credential fields of all types.
func (b *backend) credentialSchemas() map[string]*framework.FieldSchema {
	fields := map[string]*framework.FieldSchema{}
	for _, kind := range b.allTypes() {
		for _, f := range kind.Fields {
			addFieldSchema(fields, f, "")
		}
	}
	return fields
}

// connectionSchemas declare what the types for which the condition holds give beside the credential.
func (b *backend) connectionSchemas(holds func(*provider.TokenType) bool) map[string]*framework.FieldSchema {
	fields := map[string]*framework.FieldSchema{}
	for _, kind := range b.allTypes() {
		if holds(kind) {
			for _, f := range kind.Connection {
				addFieldSchema(fields, f, "")
			}
		}
	}
	return fields
}

// handInFields are the inputs of an import and of an assisted rotation beside the credential.
func handInFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"reason": {Type: framework.TypeString, Description: "Why, in free text; kept in the history and in the audit log."},
		"verify": {Type: framework.TypeBool, Default: true, Description: "Have the provider confirm the credential before it is published. false publishes it unverified."},
	}
}

// redirectFields are the inputs of a rotation that say what a consent sent the browser to.
func redirectFields() map[string]*framework.FieldSchema {
	sensitive := func(description string) *framework.FieldSchema {
		return &framework.FieldSchema{Type: framework.TypeString, Description: description, DisplayAttrs: &framework.DisplayAttributes{Sensitive: true}}
	}
	return map[string]*framework.FieldSchema{
		"redirect_url": sensitive("The whole address that the browser was sent to after a consent, instead of a credential."),
		"code":         sensitive("The code of that address, with state instead of redirect_url."),
		"state":        sensitive("The state of that address, with code."),
	}
}

// publishResponses declare what rotate and an import answer.
func publishResponses() map[int][]framework.Response {
	responses := ok("The credential was published.", map[string]*framework.FieldSchema{
		"version":             {Type: framework.TypeInt, Description: "Number of the published version."},
		"previous_version":    {Type: framework.TypeInt, Description: "Number of the version before, 0 where there was none."},
		"verification":        {Type: framework.TypeString, Description: "accepted, inconclusive or skipped."},
		"verification_detail": {Type: framework.TypeString, Description: "What the verification found, in a sentence."},
		"previous_credential": {Type: framework.TypeString, Description: "rejected by provider, still accepted, not checked, retires at <time>, or retires when adopted."},
		"rotation_state":      {Type: framework.TypeString, Description: "What is still to do for an automatic rotation."},
		"fingerprint":         {Type: framework.TypeString, Description: "Keyed hash that identifies the published value."},
	})
	responses[http.StatusNoContent] = []framework.Response{{Description: "The policy was changed."}}
	return responses
}

// credsStateFields are what creds/ gives beside the credential.
func credsStateFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"version":             {Type: framework.TypeInt, Required: true, Description: "Number of the credential's version."},
		"fingerprint":         {Type: framework.TypeString, Required: true, Description: "Keyed hash that identifies the value."},
		"last_vault_rotation": {Type: framework.TypeTime, Required: true, Description: "When this version was published."},
		"expires_at":          {Type: framework.TypeTime, Description: "When this version ends by itself, where that is known."},
		"rotation_period":     {Type: framework.TypeInt, Required: true, Description: "Seconds between planned rotations, or refresh_ttl where no period is set."},
		"ttl":                 {Type: framework.TypeInt, Required: true, Description: "Seconds after which to read again, at least 1."},
	}
}

// sayDefaults adds the default of each input to its description, which is all that path-help shows of it.
func sayDefaults(paths []*framework.Path) {
	for _, path := range paths {
		for _, schema := range path.Fields {
			if schema.Default != nil {
				schema.Description += " Default: " + defaultText(schema) + "."
			}
		}
	}
}

// defaultText writes durations as they are given: 24h rather than 86400.
func defaultText(schema *framework.FieldSchema) string {
	if n, ok := schema.Default.(int); ok && n != 0 && schema.Type == framework.TypeDurationSecond {
		return provider.DurationText(seconds(n))
	}
	return fmt.Sprint(schema.Default)
}
