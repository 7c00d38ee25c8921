//go:build unix

package acceptance

import (
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/simulator"
)

// importOAuthClient makes the account google and its token oauth, of a client of its own, and returns the value.
func (w *world) importOAuthClient(t *testing.T) simulator.OAuthCredential {
	t.Helper()
	w.write(t, "config/google", w.googleFields(t))
	client := done(w.sim.OAuthClient(t.Context(), simulator.DefaultName))(t)
	w.write(t, "tokens/oauth", fields{
		"account": "google", "type": "oauth_client",
		"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	})
	return client
}
