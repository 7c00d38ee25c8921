package backend

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// findType finds one of the types that the account's tokens can have.
func (a *account) findType(name string) (*provider.TokenType, error) {
	if kind := a.platform.Type(name); kind != nil {
		return kind, nil
	}
	return nil, badInput("type must be one of %s for tokens of %s accounts", strings.Join(a.platform.TypeNames(), ", "), a.Provider)
}

// readCredential takes the credential out of the fields of a write, in canonical form; nil where they have none. Fields that only other
// types have are refused, unless they are the options that the write may have beside.
func (b *backend) readCredential(given map[string]any, kind *provider.TokenType, options []provider.Field) (provider.Values, error) {
	if name := foreignField(given, slices.Concat(kind.Fields, options), fieldsOf(b.allTypes())); name != "" {
		return nil, badInput("%s is no field of a %s; its fields are %s", name, kind.Name, fieldNames(kind.Fields))
	}
	credential, err := readFields(given, kind.Fields)
	if err != nil {
		return nil, err
	}
	for _, f := range kind.Fields {
		if value, has := credential[f.Name]; has && value == "" {
			return nil, badInput("%s must not be empty", f.Name)
		}
	}
	return credential, nil
}

// checkForeignOptions refuses settings that only tokens of other types have.
func (b *backend) checkForeignOptions(given map[string]any, kind *provider.TokenType) error {
	if name := foreignField(given, slices.Concat(kind.Fields, kind.Options), optionsOf(b.allTypes())); name != "" {
		return badInput("%s is no setting of a %s", name, kind.Name)
	}
	return nil
}

// credentialFieldIn names a given field that is part of a credential, of whatever type, and no option of this one; empty where there is
// none.
func (b *backend) credentialFieldIn(given map[string]any, kind *provider.TokenType) string {
	return foreignField(given, kind.Options, fieldsOf(b.allTypes()))
}

// fieldsOf are the credential fields of the types.
func fieldsOf(kinds []*provider.TokenType) (fields []provider.Field) {
	for _, kind := range kinds {
		fields = append(fields, kind.Fields...)
	}
	return fields
}

// optionsOf are the options of the types.
func optionsOf(kinds []*provider.TokenType) (options []provider.Field) {
	for _, kind := range kinds {
		options = append(options, kind.Options...)
	}
	return options
}

// complete fills what was left out with the current values.
func (t *token) complete(given provider.Values) (provider.Values, error) {
	credential := t.leftOut(given)
	maps.Copy(credential, given)
	for _, f := range t.kind.Fields {
		if credential[f.Name] == "" {
			return nil, badInput("%s is missing: a %s needs %s", f.Name, t.Type, fieldNames(t.kind.Fields))
		}
	}
	return credential, nil
}

// leftOut are the values of the fields that a person does not hand in. Where no secret is handed in, and a hook has given one
// that is not published, the rest is for that: nobody else has it.
func (t *token) leftOut(given provider.Values) provider.Values {
	values := provider.Values{}
	if t.Current != nil {
		maps.Copy(values, t.Current.Credential)
	}
	isGivenSecret := func(f provider.Field) bool { return f.Secret && given[f.Name] != "" }
	if t.Pending == nil || !t.Pending.Source.Irreplaceable() || slices.ContainsFunc(t.kind.Fields, isGivenSecret) {
		return values
	}
	maps.Copy(values, t.Pending.Credential)
	return values
}

// readReason checks the form of the free text that goes into the history.
func readReason(text string) (string, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxReasonLength || !plainText(text) {
		return "", badInput("reason must be one line of at most %d bytes, "+textRule, maxReasonLength)
	}
	return text, nil
}

// checkReason refuses a reason that holds a part of the credential beside it, or a secret that the mount holds already.
func (b *backend) checkReason(text string, kind *provider.TokenType, credential provider.Values) error {
	if field := secretIn(text, kind, credential); field != "" {
		return badInput("reason must not contain the value of %s; Vault's audit log may have it in clear by now, so reset the token at the provider again", field)
	}
	if secret := b.secretShownIn(text); secret != "" {
		return badInput("reason must not contain %s; Vault's audit log may have it in clear by now, so have it replaced", secret)
	}
	return nil
}

// handInCommand is what to type to hand a value in: the last secret from the terminal, and, for a token that has no value yet, every
// other field too.
func (t *token) handInCommand() string {
	var fields strings.Builder
	for _, f := range t.kind.Fields {
		switch {
		case t.Current != nil || f.Name == t.secretField():
		case f.Secret:
			fmt.Fprintf(&fields, " %s=@%s", f.Name, strings.ReplaceAll(f.Name, "_", "-"))
		default:
			fmt.Fprintf(&fields, " %s=…", f.Name)
		}
	}
	return fmt.Sprintf("`vault write <mount>/tokens/%s/rotate%s %s=-`", t.name, fields.String(), t.secretField())
}

// secretIn names the secret field of a credential whose value a text holds; empty where it holds none.
func secretIn(text string, kind *provider.TokenType, credential provider.Values) string {
	for _, f := range kind.Fields {
		if f.Secret && credential[f.Name] != "" && strings.Contains(text, credential[f.Name]) {
			return f.Name
		}
	}
	return ""
}

// checkMetadata refuses custom_metadata, which everybody who reads a token sees, that holds a part of the credential beside it.
func (t *token) checkMetadata(credential provider.Values) error {
	for key, value := range t.CustomMetadata {
		for _, text := range []string{key, value} {
			if field := secretIn(text, t.kind, credential); field != "" {
				return badInput("custom_metadata must not contain the value of %s; nothing was stored", field)
			}
		}
	}
	return nil
}

// secretField is the field to hand in.
func (t *token) secretField() string {
	name := t.kind.Fields[len(t.kind.Fields)-1].Name
	for _, f := range t.kind.Fields {
		if f.Secret {
			name = f.Name
		}
	}
	return name
}
