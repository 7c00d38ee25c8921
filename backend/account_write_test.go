package backend

import (
	"net/http"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func TestWriteAccount_TakesNoSettingsForAnotherProvider(t *testing.T) {
	t.Parallel()
	f := withLater(t)
	// The account was another provider's when the request was read.
	_, err := f.writeAccount(t.Context(), f.storage, &accountWrite{name: "late", platform: f.builtIn["impact"], settings: provider.Values{"account_type": "agency"}})
	wantStatus(t, err, http.StatusConflict)
	_, err = f.writeAccount(t.Context(), f.storage, &accountWrite{name: "late", provider: new("impact"), platform: f.builtIn["impact"]})
	wantBadInput(t, err, "provider is fixed once an account exists")
	must(t, f.deleteAccount(t.Context(), f.storage, "late"))
	_, err = f.writeAccount(t.Context(), f.storage, &accountWrite{name: "late", platform: f.builtIn["later"]})
	wantBadInput(t, err, "provider is missing")
}
