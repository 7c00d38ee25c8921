package backend

import (
	"net/http"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// TestToken_LivesWithoutTheFramework goes through the life of a token with what path files hand down.
func TestToken_LivesWithoutTheFramework(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.withImpact(t, nil)
	a, err := f.account(t.Context(), f.storage, "acme")
	must(t, err)
	kind, err := a.findType("legacy_read_write")
	must(t, err)
	jane := requester{entityID: "entity-jane", displayName: "jane"}
	const ttl = 30
	c := &tokenCreation{
		name: "second", accountName: "acme", account: a, kind: kind, policy: policyWrite{refreshTTL: new(ttl)},
		value: rotateRequest{given: provider.Values{"account_sid": first.AccountSID, "auth_token": first.AuthToken}, verify: true, by: jane},
	}
	_, err = f.createToken(t.Context(), f.storage, c)
	must(t, err)
	_, err = f.createToken(t.Context(), f.storage, c)
	wantStatus(t, err, http.StatusConflict)

	known, err := f.token(t.Context(), f.storage, "second")
	must(t, err)
	r := &rotateRequest{given: provider.Values{"auth_token": f.resetReadWrite(t).AuthToken}, verify: true, cas: new(1), reason: "monthly", by: jane}
	_, err = f.rotateAssisted(t.Context(), f.storage, known, r)
	must(t, err)
	stored, err := f.token(t.Context(), f.storage, "second")
	must(t, err)
	entry := stored.History[1]
	if stored.Number() != 2 || stored.RefreshTTL != ttl || entry.Reason != "monthly" || entry.EntityID != "entity-jane" || entry.Source != rotation.SourceAssisted {
		t.Errorf("got version %d with ttl %d and %+v in the history", stored.Number(), stored.RefreshTTL, entry)
	}
	_, err = f.rotateAssisted(t.Context(), f.storage, known, &rotateRequest{given: provider.Values{"auth_token": "anotherValue"}, cas: new(1), by: jane})
	wantBadInput(t, err, "cas is 1 and the current version is 2")

	_, err = f.retireNow(t.Context(), f.storage, "second", retireRequest{version: new(1)})
	wantBadInput(t, err, "no old value of this token waits")
	_, err = f.deleteToken(t.Context(), f.storage, "second", false)
	must(t, err)
	_, err = f.changePolicy(t.Context(), f.storage, known, &policyWrite{refreshTTL: new(ttl)})
	wantStatus(t, err, http.StatusNotFound)
	_, err = f.createToken(t.Context(), f.storage, &tokenCreation{name: "second", accountName: "acme", account: a, kind: kind})
	must(t, err)
	_, err = f.changePolicy(t.Context(), f.storage, known, &policyWrite{refreshTTL: new(ttl)})
	wantStatus(t, err, http.StatusConflict) // it is another token by now
}
