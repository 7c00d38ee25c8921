package backend

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// credentialFields collects the credential of a write, in canonical form; nil where it carries none. Fields of other
// types are refused.
func (b *backend) credentialFields(d *framework.FieldData, kind *provider.TokenType) (provider.Values, error) {
	for _, name := range slices.Sorted(maps.Keys(b.credentialSchemas())) {
		if _, own := provider.Lookup(kind.Fields, name); own {
			continue
		}
		if _, given := d.GetOk(name); given {
			return nil, badInput("%s is no field of a %s; its fields are %s", name, kind.Name, fieldNames(kind.Fields))
		}
	}
	var credential provider.Values
	for _, f := range kind.Fields {
		raw, given := d.GetOk(f.Name)
		if !given {
			continue
		}
		value, err := f.Canonical(raw.(string))
		if err != nil {
			return nil, badInput("%s", err)
		}
		if value == "" {
			return nil, badInput("%s must not be empty", f.Name)
		}
		if credential == nil {
			credential = provider.Values{}
		}
		credential[f.Name] = value
	}
	return credential, nil
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
	if t.Pending == nil || t.Pending.Source != rotation.SourceHook || slices.ContainsFunc(t.kind.Fields, isGivenSecret) {
		return values
	}
	maps.Copy(values, t.Pending.Credential)
	return values
}

// reason reads the free text that goes into the history. It is refused where it holds a part of the credential,
// or a secret that the mount holds already.
func (b *backend) reason(d *framework.FieldData, kind *provider.TokenType, credential provider.Values) (string, error) {
	text := strings.TrimSpace(d.Get("reason").(string))
	if len(text) > maxReasonLength || !plainText(text) {
		return "", badInput("reason must be one line of at most %d bytes, "+textRule, maxReasonLength)
	}
	if field := secretIn(text, kind, credential); field != "" {
		return "", badInput("reason must not contain the value of %s; Vault's audit log may have it in clear by now, so reset the token at the provider again", field)
	}
	if secret := b.secretShownIn(text); secret != "" {
		return "", badInput("reason must not contain %s; Vault's audit log may have it in clear by now, so have it replaced", secret)
	}
	return text, nil
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

func fieldNames(fields []provider.Field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
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

// retirePrevious says whether the engine is to retire the value that a person replaces.
func (b *backend) retirePrevious(d *framework.FieldData, t *token, given provider.Values) (bool, error) {
	for _, name := range endPreviousNames {
		if end, _ := d.Get(name).(bool); !end {
			continue
		}
		if endPrevious(t.kind) != name {
			return false, badInput("%s is for tokens of the type %s; this is a %s", name, b.typesThat(func(kind *provider.TokenType) bool { return endPrevious(kind) == name }), t.Type)
		}
		if t.Current == nil {
			return false, nil
		}
		value := t.leftOut(given)
		maps.Copy(value, given)
		if t.kind.Retire != nil && t.sameValue(value, t.Current.Credential) {
			return false, badInput("%[1]s would end the %[2]s that stays in use; give a new %[2]s, or leave %[1]s out", name, t.secretField())
		}
		return true, nil
	}
	return false, nil
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
