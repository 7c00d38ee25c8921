package definition

import (
	"maps"
	"slices"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Prefixes of variables.
const (
	ofAccount    = "account."
	ofCredential = "credential."
	ofCurrent    = "current."
	ofOption     = "option."
	ofConsent    = "consent."
	// accessToken is the variable with what the grant gave.
	accessToken = "grant.access_token"
)

// The variables of an exchange.
const (
	consentCode     = "consent.code"
	consentRedirect = "consent.redirect_uri"
	consentVerifier = "consent.code_verifier"
)

// scope says which variables a template can use, and which of them are secret.
type scope map[string]bool

// scope of the requests of a type, without those that only some have.
func (t *tokenType) scope() scope {
	s := scope{}
	for _, f := range t.definition.accountFields() {
		s[ofAccount+f.name] = f.Secret
	}
	for _, f := range t.fields {
		s[ofCredential+f.name] = f.Secret
	}
	for _, f := range t.options {
		s[ofOption+f.name] = false
	}
	return s
}

// with adds variables, all of them secret.
func (s scope) with(names ...string) scope {
	s = maps.Clone(s)
	for _, name := range names {
		s[name] = true
	}
	return s
}

func (s scope) knows(name string) bool {
	_, known := s[name]
	return known
}

// names lists the variables for a mistake.
func (s scope) names() string { return oneOf(slices.Sorted(maps.Keys(s))) }

// variablesOf are the values of an account and of a token.
func (t *tokenType) variablesOf(settings provider.Values, token provider.Token) variables {
	v := variables{}
	set := func(prefix string, fields []*field, values provider.Values) {
		for _, f := range fields {
			if value, defined := f.expanded(values[f.name]); defined {
				v[prefix+f.name] = value
			}
		}
	}
	set(ofAccount, t.definition.accountFields(), settings)
	set(ofCredential, t.fields, token.Credential)
	set(ofOption, t.options, token.Options)
	return v
}

// secretsOf are the secret values that a call knows.
func (t *tokenType) secretsOf(settings provider.Values, credentials ...provider.Values) []string {
	var secrets []string
	add := func(fields []*field, values provider.Values) {
		for _, f := range fields {
			if f.Secret && values[f.name] != "" {
				secrets = append(secrets, values[f.name])
			}
		}
	}
	add(t.definition.accountFields(), settings)
	for _, credential := range credentials {
		add(t.fields, credential)
	}
	return secrets
}

// factsOf are what expressions see of the account and the token: what is no secret, as it was given.
func (t *tokenType) factsOf(settings provider.Values, options provider.Values) map[string]any {
	account, option := map[string]string{}, map[string]string{}
	for _, f := range t.definition.accountFields() {
		value := settings[f.name]
		if value == "" && !f.isEndpoint {
			value = f.Default
		}
		if value != "" && !f.Secret {
			account[f.name] = value
		}
	}
	for _, f := range t.options {
		if options[f.name] != "" {
			option[f.name] = options[f.name]
		}
	}
	return map[string]any{varAccount: account, varOption: option}
}
