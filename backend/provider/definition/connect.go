package definition

import (
	"slices"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// connection is what an app gets beside the credential.
type connection struct {
	name  string
	value *template
}

// connect is the Connect of the type. What needs a value that is not there is left out.
func (t *tokenType) connect(settings provider.Values, token provider.Token) provider.Values {
	variables := t.variablesOf(settings, token)
	values := provider.Values{}
	for _, c := range t.compiled().connection {
		if c.value.address != nil {
			if address, err := c.value.encoded(variables); err == nil {
				values[c.name] = address
			}
			continue
		}
		if text, defined := c.value.text(variables); defined && c.value.undefined(variables) == "" && text != "" {
			values[c.name] = text
		}
	}
	return values
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
			c.add(at, "{%s} is secret: what stands beside a credential is shown to whoever may read it; an app gets the fields of the credential anyway", name)
		}
		all = append(all, connection{m.Name, value})
	}
	return all
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
