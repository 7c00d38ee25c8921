package backend

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// identityOf names what the credential is at the platform. It may hold a secret.
func identityOf(kind *provider.TokenType, credential provider.Values) string {
	if kind.Identity == nil {
		return allFields(credential)
	}
	return kind.Identity(credential)
}

// contentOf is what matters to those who use the credential. It holds secrets.
func contentOf(kind *provider.TokenType, credential provider.Values) string {
	if kind.Content == nil {
		return allFields(credential)
	}
	return kind.Content(credential)
}

// allFields is the credential as one string.
func allFields(credential provider.Values) string {
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(credential)) {
		fmt.Fprintf(&all, "%s=%d:%s\n", name, len(credential[name]), credential[name])
	}
	return all.String()
}

// sameValue says whether the end of one value at the provider is the end of the other.
func (t *token) sameValue(a, b provider.Values) bool {
	return identityOf(t.kind, a) == identityOf(t.kind, b)
}

// unchanged says whether two values are one credential for those who use it. A new client secret beside the refresh token
// of before is a change, and still the same grant at the provider.
func (t *token) unchanged(a, b provider.Values) bool {
	return contentOf(t.kind, a) == contentOf(t.kind, b)
}

// isCurrent says whether the value is the current one already, so that there is nothing to publish. A key file that named
// its own address to prove itself at gives way to one of the same key that does not.
func (t *token) isCurrent(a *account, value provider.Values) bool {
	if t.Current == nil || !t.unchanged(value, t.Current.Credential) {
		return false
	}
	keys := t.kind.Keys
	return keys == nil || !keys.SelfAsserted(a.call.Settings, t.Current.Credential) || keys.SelfAsserted(a.call.Settings, value)
}

// identity is the account's own credential of a token type, nil where it has none.
func (a *account) identity(kind *provider.TokenType) provider.Values {
	own := provider.Values{}
	for _, f := range kind.Fields {
		value := a.Settings[f.Name]
		if value == "" {
			return nil
		}
		own[f.Name] = value
	}
	return own
}
