package backend

import (
	"maps"
	"slices"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

// takenNames are the fields of accounts and tokens that no provider may have: those that the tool for definitions refuses, and in any
// case all that the paths have.
func takenNames() provider.Taken {
	taken := definition.Taken()
	taken.Account = append(taken.Account, ownAccountNames()...)
	taken.Token = append(taken.Token, ownTokenNames()...)
	return taken
}

// ownAccountNames are the inputs of config/<account> that are no provider's, and what its answer adds.
func ownAccountNames() []string {
	names := []string{"account", "provider", "request_timeout", "reset_hook_timeout", "verify_connection", "secrets_set"}
	for _, f := range append(commonAccountFields(), consentAccountFields()...) {
		names = append(names, f.Name)
	}
	return names
}

// ownTokenNames are the names that the paths of a token, creds/ and access-token/ use themselves.
func ownTokenNames() []string {
	return slices.Concat(
		[]string{"name", fieldForce, "cas", "accept_other_identity", "expires_at"}, endPreviousNames, slices.Collect(maps.Keys(redirectFields())), []string{fieldRedirectURI, "consent_url"},
		slices.Collect(maps.Keys(handInFields())), slices.Collect(maps.Keys(commonPolicyFields())),
		slices.Collect(maps.Keys(tokenStateFields())), slices.Collect(maps.Keys(credsStateFields())),
	)
}
