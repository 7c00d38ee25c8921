package backend

import (
	"fmt"
	"maps"
	"slices"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// register indexes the providers and their token types by name. It panics where a name would hide another one: a provider's, a type's,
// or that of a field which the paths or the answers of creds/ and access-token/ use themselves. That is a mistake in the code, which
// would otherwise lose or reveal values.
func register(all ...provider.Provider) (map[string]provider.Provider, map[string]*platformType) {
	providers, types := map[string]provider.Provider{}, map[string]*platformType{}
	for _, p := range all {
		if providers[p.Name()] != nil {
			panic(fmt.Sprintf("two providers have the name %q", p.Name()))
		}
		providers[p.Name()] = p
		checkDistinct("the accounts of "+p.Name(), ownAccountNames(), accountFields(p))
		for _, kind := range p.TokenTypes() {
			if types[kind.Name] != nil {
				panic(fmt.Sprintf("two token types have the name %q", kind.Name))
			}
			types[kind.Name] = &platformType{kind, p}
			checkDistinct("the token type "+kind.Name, ownTokenNames(), slices.Concat(kind.Fields, kind.Options))
		}
	}
	return providers, types
}

// checkDistinct panics where two fields have one name, or one has a name that is taken.
func checkDistinct(whose string, taken []string, fields []provider.Field) {
	for i, f := range fields {
		if _, twice := provider.Lookup(fields[:i], f.Name); twice || slices.Contains(taken, f.Name) {
			panic(fmt.Sprintf("the field %q of %s has a name that is taken", f.Name, whose))
		}
	}
}

// ownAccountNames are the inputs of config/<account> that are no provider's, and what its answer adds.
func ownAccountNames() []string {
	return []string{"account", "provider", "request_timeout", "reset_hook_timeout", "verify_connection", "secrets_set"}
}

// ownTokenNames are the names that the paths of a token, creds/ and access-token/ use themselves.
func ownTokenNames() []string {
	return slices.Concat(
		[]string{"name", fieldForce, "cas", "retire_previous", "revoke_previous", "access_token", "token_type", "expires_at"},
		slices.Collect(maps.Keys(handInFields())), slices.Collect(maps.Keys(commonPolicyFields())),
		slices.Collect(maps.Keys(tokenStateFields())), slices.Collect(maps.Keys(credsStateFields())),
	)
}
