package definition

import (
	"slices"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Taken are the names that the engine's own paths use: inputs of config/, tokens/, rotate and consent, and the fields of creds/,
// access-token/ and of a token that is read. A definition cannot use them for its settings, fields, options and connection.
func Taken() provider.Taken {
	return provider.Taken{
		Account: slices.Clone(takenOfAccounts), Token: slices.Clone(takenOfTokens), AccessToken: slices.Clone(takenOfAccessTokens),
	}
}

var takenOfAccounts = []string{
	"account", "provider", "contact_email", "ca_cert", "request_timeout", "verify_connection", "secrets_set", "redirect_uri",
	"reset_hook_url", "reset_hook_secret", "reset_hook_timeout", "reset_hook_ca_cert",
}

var takenOfTokens = []string{
	// inputs
	"name", "account", "type", "custom_metadata", "refresh_ttl", "verify_period", "lease_ttl", "force",
	"rotation_period", "rotation_schedule", "rotation_window", "rotation_policy", "disable_automated_rotation", "rotation_grace_period",
	"rotate_before_expiry", "rotate_on_rejection", "retire_after", "reader_window",
	"reason", "cas", "verify", "retire_previous", "revoke_previous", "accept_other_identity",
	"redirect_uri", "redirect_url", "code", "state",
	// what is told of a token
	"provider", "version", "fingerprint", "health", "identity", "expires_at", "last_verification", "rotation_state", "last_error",
	"last_vault_rotation", "next_vault_rotation", "overdue", "retiring", "next_refresh", "refreshed_at", "refreshes",
	"previous_version", "verification", "verification_detail", "previous_credential", "warnings",
	"consent_url",
	// what is read with a value
	"ttl",
}

// takenOfAccessTokens are for types that have a grant.
var takenOfAccessTokens = []string{"access_token", "token_type"}

// framing are headers that say how a request is carried, and what the engine sets itself.
var framing = []string{
	"Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Te", "Trailer", "Keep-Alive", "Expect", "Accept-Encoding",
	"Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate", "Http2-Settings", "Forwarded", "X-Forwarded-Host",
}
