package definition

import (
	"slices"
	"strings"

	"github.com/yosida95/uritemplate/v3"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// connection is what an app gets beside the credential. Its variables are found when it is compiled: reads of creds/ are to be fast.
type connection struct {
	name  string
	parts []connectionPart
	// isAddress has values percent-encoded.
	isAddress bool
}

// connectionPart is literal text, or a value.
type connectionPart struct {
	literal string
	field   *field
	// prefix says whose field it is.
	prefix string
	raw    bool
}

// connect is the Connect of the type. What needs a value that is not there is left out.
func (t *tokenType) connect(settings provider.Values, token provider.Token) provider.Values {
	all := t.compiled().connection
	values := make(provider.Values, len(all))
	for i := range all {
		if text, defined := all[i].text(settings, token); defined {
			values[all[i].name] = text
		}
	}
	return values
}

// usualConnection is what most addresses fit into.
const usualConnection = 128

// text says false where a variable is undefined.
func (c *connection) text(settings provider.Values, token provider.Token) (string, bool) {
	var text strings.Builder
	for i := range c.parts {
		p := &c.parts[i]
		value, defined := p.value(settings, token)
		if !defined {
			return "", false
		}
		if c.isAddress && p.field != nil {
			value = encode(value, p.raw)
		}
		if len(c.parts) == 1 {
			return value, value != ""
		}
		if i == 0 {
			text.Grow(usualConnection)
		}
		text.WriteString(value)
	}
	return text.String(), text.Len() > 0
}

func (p *connectionPart) value(settings provider.Values, token provider.Token) (string, bool) {
	if p.field == nil {
		return p.literal, true
	}
	switch p.prefix {
	case ofAccount:
		return p.field.expanded(settings[p.field.name])
	case ofCredential:
		return p.field.expanded(token.Credential[p.field.name])
	default:
		return p.field.expanded(token.Options[p.field.name])
	}
}

var encodedValue, encodedRawValue = uritemplate.MustNew("{value}"), uritemplate.MustNew("{+value}")

// encode writes a value as it stands in an address. Most values have nothing to encode.
func encode(value string, raw bool) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~", r) ||
			raw && strings.ContainsRune(":/?#[]@!$&'()*+,;=", r)
	}
	if strings.IndexFunc(value, func(r rune) bool { return !plain(r) }) < 0 {
		return value
	}
	template := encodedValue
	if raw {
		template = encodedRawValue
	}
	encoded, err := template.Expand(uritemplate.Values{"value": uritemplate.String(value)})
	if err != nil {
		return "" // a text can always be expanded
	}
	return encoded
}

// describeConnection is the setting's description where the value is one.
func (t *tokenType) describeConnection(name string) string {
	if f := lookup(t.definition.accountFields(), name); f != nil {
		return f.Description
	}
	return "What an app needs beside the credential."
}

// connections compiles what an app gets. None of it is secret.
func (c *compiler) connections(place string, members ordered[string], s scope) []connection {
	var all []connection
	for _, m := range members {
		at := within(place, m.Name)
		var value *template
		if isAddress(m.Value) {
			var err error
			if value, err = parseAddress(m.Value); err != nil {
				c.add(at, "%v", err)
				continue
			}
			c.checkVariables(at, value, s)
		} else {
			value = c.text(at, m.Value, s)
		}
		if name := secretIn(value, s); name != "" {
			c.add(at, "{%s} is secret, and what stands beside a credential is none: an app gets the fields of the credential anyway", name)
		}
		all = append(all, connection{name: m.Name, parts: c.connectionParts(value), isAddress: value.address != nil})
	}
	return all
}

// connectionParts finds the fields behind the variables. Those that are not there have been told of.
func (c *compiler) connectionParts(t *template) []connectionPart {
	var parts []connectionPart
	for _, p := range t.parts {
		resolved := connectionPart{literal: p.literal, raw: p.raw}
		for prefix, fields := range map[string][]*field{ofAccount: c.t.definition.accountFields(), ofCredential: c.t.fields, ofOption: c.t.options} {
			if name, found := strings.CutPrefix(p.variable, prefix); found {
				resolved.field, resolved.prefix = lookup(fields, name), prefix
			}
		}
		if p.literal != "" || resolved.field != nil {
			parts = append(parts, resolved)
		}
	}
	return parts
}

// checkSubject wants names of the credential's fields and the account's settings that are no secret.
func (c *compiler) checkSubject(place string) {
	known := append(namesOf(c.t.fields), namesOf(c.t.definition.accountFields())...)
	for i, name := range c.t.Subject {
		f := lookup(c.t.fields, name)
		if f == nil {
			f = lookup(c.t.definition.accountFields(), name)
		}
		switch {
		case f == nil:
			c.unknown(item(place, i), "field or setting", name, known)
		case f.Secret:
			c.add(item(place, i), "%s is secret, and the subject goes to the reset hook and into events: leave it out", name)
		case slices.Contains(c.t.Subject[:i], name):
			c.add(item(place, i), "%s is there twice; leave one out", name)
		}
	}
}
