package backend

import (
	"fmt"
	"net/http"
	"regexp"

	"github.com/hashicorp/vault/sdk/framework"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// nameForm is letters, digits and underscores, joined by dashes and single dots. The sdk's GenericNameRegex takes ".."
// too, which Vault's storage refuses.
const nameForm = `\w+(?:(?:\.|-+)\w+)*`

var validName = regexp.MustCompile("^" + nameForm + "$")

// namePattern captures a name in a path.
func namePattern(field string) string {
	return "(?P<" + field + ">" + nameForm + ")"
}

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
	into[f.Name] = &framework.FieldSchema{
		Type:         framework.TypeString,
		Description:  description,
		DisplayAttrs: &framework.DisplayAttributes{Name: f.Name, Sensitive: f.Secret},
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

// allowed lists the values of a field for the OpenAPI document.
func allowed(names []string) []any {
	values := make([]any, len(names))
	for i, name := range names {
		values[i] = name
	}
	return values
}

// explain puts a verification's own words and the provider's references into one sentence.
func explain(v provider.Verification) string {
	message := v.Detail
	if v.Code != "" {
		message += " (" + v.Code + ")"
	}
	if v.RequestID != "" {
		message += " [request id " + v.RequestID + "]"
	}
	return message
}
