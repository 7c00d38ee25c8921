package backend

import (
	"errors"
	"net/http"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

func (f *fixture) emptyToken(t *testing.T) {
	t.Helper()
	f.write(t, "config/acme", map[string]any{
		"provider": "impact", "account_type": "agency", "base_url": f.server.ImpactURL, "contact_email": "ads@acme.example",
	})
	f.write(t, "tokens/acme-rw", map[string]any{"account": "acme", "type": "legacy_read_write"})
}

func (f *fixture) readWrite(t *testing.T) simulator.ImpactCredential {
	t.Helper()
	credentials, err := f.provider.ImpactCredentials(t.Context(), "agency")
	if err != nil {
		t.Fatal(err)
	}
	return credentials.ReadWrite
}

func (f *fixture) wantStatus(t *testing.T, when, path string, data map[string]any, want int) {
	t.Helper()
	response, err := f.handle(t, logical.UpdateOperation, path, data)
	var coded logical.HTTPCodedError
	if !errors.As(err, &coded) || coded.Code() != want {
		t.Errorf("%s, %s: got %v, error %v; want status %d", when, path, response, err, want)
	}
}

// The address that a change of the account gives it may arrive after the token's first value was published at the one before.
func TestHandIn_AFirstValueWaitsForTheAccountsAddress(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.emptyToken(t)
	elsewhere := map[string]any{"base_url": "http://127.0.0.1:1/elsewhere"}
	first := f.readWrite(t)
	value := map[string]any{"account_sid": first.AccountSID, "auth_token": first.AuthToken}

	f.late(t, logical.UpdateOperation, "config/acme", elsewhere, false)
	f.wantStatus(t, "while it is on its way", "tokens/acme-rw/rotate", value, http.StatusServiceUnavailable)
	f.storage.Late.GetLost()
	f.clock.Advance(cache.DoubtLasts)
	f.write(t, "tokens/acme-rw/rotate", value)

	// A token that holds a value keeps the account where it is, so that no later value waits.
	f.late(t, logical.UpdateOperation, "config/acme", map[string]any{"request_timeout": 20}, false)
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": f.resetReadWrite(t).AuthToken})
}

// The token's first value may be stored, and follow the account to another address.
func TestConfigWrite_AnAddressWaitsForAFirstValue(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.emptyToken(t)
	first := f.readWrite(t)
	f.late(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"account_sid": first.AccountSID, "auth_token": first.AuthToken}, false)
	f.wantStatus(t, "while the value is on its way", "config/acme", map[string]any{"base_url": "http://127.0.0.1:1/elsewhere"}, http.StatusConflict)
	f.write(t, "config/acme", map[string]any{"request_timeout": 20}) // which moves nothing
}
