package googleads

import (
	"errors"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// otherThanClientIDs are what people paste into client_id by mistake, by how it begins. Google promises no form of a client ID, so
// nothing is demanded of one. But client_id is shown to whoever may read an account, so what is clearly a secret is refused.
var otherThanClientIDs = []struct{ prefix, what string }{
	{"1//", "a refresh token: that belongs into refresh_token"},
	{"GOCSPX-", "a client secret: that belongs into client_secret"},
	{"ya29.", "an access token, which belongs nowhere here: it dies after about an hour"},
	{"4/", "an authorization code, which belongs nowhere here: it is exchanged for a refresh token once"},
	{"AIza", "an API key, which belongs nowhere here"},
	{"{", "a file of JSON: give its \"client_id\" alone"},
}

// checkClientID is the Check of client_id.
func checkClientID(value string) (string, error) {
	const want = "must be the client ID of an OAuth client, such as 123456789012-abc.apps.googleusercontent.com; this is "
	for _, other := range otherThanClientIDs {
		if strings.HasPrefix(value, other.prefix) {
			return "", errors.New(want + other.what)
		}
	}
	if strings.Contains(value, "@") {
		return "", errors.New(want + "an e-mail address")
	}
	return provider.Opaque(value)
}
