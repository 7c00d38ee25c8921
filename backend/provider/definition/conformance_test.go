package definition_test

import (
	"maps"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/providertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	// The rules of the example that look at the body, as those of a definition that is in use should.
	text := with(t, "status == 401 || body.error.code == 190", "has(body.error.code) && body.error.code == 190", "status == 403', outcome: accepted", "status == 403 && body != null', outcome: accepted",
		"{when: 'status == 200', outcome: accepted}\n        - {when: 'status == 401', outcome: rejected}\n      control", "{when: 'status == 200 && body != null', outcome: accepted}\n        - {when: 'status == 401 && body != null', outcome: rejected}\n      control",
		"{when: 'status == 401', outcome: rejected, detail: Acme refuses the login}", "{when: 'status == 401 && body != null', outcome: rejected, detail: Acme refuses the login}")
	acme := parse(t, text).Provider()
	settings := newPlatform(t).account("partner_key", "a-secret-of-the-account", "region", "us").Settings
	tokens := []provider.Token{keyToken(), clientToken(), appToken(), {Type: "checked_key", Credential: provider.Values{"key": "ck-0123456789abcdef"}}}
	for _, token := range tokens {
		t.Run(token.Type, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, providertest.Case{
				Provider: acme, Type: token.Type, Settings: maps.Clone(settings), Token: token,
				Granted: `{"access_token":"an-access-token","token":"an-access-token","expires_in":60}`,
			})
		})
	}
}
