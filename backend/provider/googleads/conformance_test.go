package googleads_test

import (
	"maps"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/providertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	identity := provider.Values{"client_id": "1-x.apps.googleusercontent.com", "client_secret": "GOCSPX-0123456789abcdefghij", "refresh_token": "1//0refresh-0123456789abcdef"}
	settings := provider.Values{"api_version": "v26", "login_customer_id": "1234567890"}
	maps.Copy(settings, identity)
	credentials := map[string]provider.Values{"developer_token": {"developer_token": "ABCDEFGHIJKLMNOPQRSTUV"}, "oauth_client": identity}
	for name, credential := range credentials {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, providertest.Case{Provider: googleads.New(), Type: name, Settings: settings, Token: provider.Token{Credential: credential}})
		})
	}
}
