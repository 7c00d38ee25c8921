package backend

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

func TestRotate_WaiterWhoseTokenIsGoneIsTold(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		then  func(t *testing.T, f *fixture, current simulator.ImpactCredential)
		words []string
	}{
		"deleted": {func(*testing.T, *fixture, simulator.ImpactCredential) {}, []string{"was deleted while this rotation"}},
		"made anew without a credential": {func(t *testing.T, f *fixture, _ simulator.ImpactCredential) {
			t.Helper()
			f.write(t, "tokens/acme-rw", map[string]any{"account": "acme", "type": "legacy_read_write"})
		}, []string{"was deleted and made anew"}},
		"made anew with one": {func(t *testing.T, f *fixture, current simulator.ImpactCredential) {
			t.Helper()
			f.write(t, "tokens/acme-rw", map[string]any{
				"account": "acme", "type": "legacy_read_write", "account_sid": current.AccountSID, "auth_token": current.AuthToken,
			})
		}, []string{"was deleted and made anew"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			current := f.withImpact(t, nil)
			h := f.withStubHook(t, notYet)
			waiter := f.goRotate(t, "acme-rw", nil)
			<-h.asked
			eventually(t, "the rotation to be stored", func() bool { return f.contenders("acme-rw") == 0 })
			begun := f.stored(t, "acme-rw")
			started := &startedRotation{id: begun.Pending.ID, name: begun.name, tokenID: begun.ID, replaces: begun.Current}
			f.removeToken(t)
			tt.then(t, f, current)
			// Whoever looks now sees the new token. The waiter may have looked between the two.
			response, err := f.awaitRotation(t.Context(), f.storage, started)
			wantStatus(t, err, http.StatusConflict)
			wantSaid(t, "the answer to a late look", said(response, err), tt.words...)
			answer := <-waiter
			wantStatus(t, answer.err, http.StatusConflict)
			wantSaid(t, "the answer", said(answer.response, answer.err), "was deleted")
		})
	}
}

func TestRotate_RequestsForATokenThatWasMadeAnewAreRefused(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]map[string]any{
		"a value in hand": {"account_sid": "IR00000000000000000000", "auth_token": "meant-for-another"},
		"with cas":        {"account_sid": "IR00000000000000000000", "auth_token": "meant-for-another", "cas": 1},
		"automatic":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			current := f.withImpact(t, nil)
			f.withStubHook(t, notYet)
			unlock, err := f.tokenLocks.Lock(t.Context(), "acme-rw")
			if err != nil {
				t.Fatal(err)
			}
			waiter := f.goRotate(t, "acme-rw", data)
			eventually(t, "the request to wait", func() bool { return f.contenders("acme-rw") == 2 })
			// As a deletion and a creation do that were in line before it.
			old, err := f.tokens.Load(t.Context(), f.storage, "acme-rw")
			if err != nil {
				t.Fatal(err)
			}
			old.ID = "another token"
			if err := f.saveToken(t.Context(), f.storage, old); err != nil {
				t.Fatal(err)
			}
			unlock()
			answer := <-waiter
			wantStatus(t, answer.err, http.StatusConflict)
			wantSaid(t, "the answer", said(answer.response, answer.err), "made anew while this request waited", "nothing was changed")
			if got := f.read(t, "creds/acme-rw"); got["version"] != 1 || got["auth_token"] != current.AuthToken {
				t.Errorf("version %v is served", got["version"])
			}
		})
	}
}

func TestRotate_WaiterTellsOfItsOwnRotation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	first := f.resetReadWrite(t)
	h := f.withStubHook(t, gives(map[string]string{"account_sid": first.AccountSID, "auth_token": first.AuthToken}))
	// A value is handed in between the request's first look and its turn: version 2, which the rotation replaces.
	unlock, err := f.tokenLocks.Lock(t.Context(), "acme-rw")
	if err != nil {
		t.Fatal(err)
	}
	waiter := f.goRotate(t, "acme-rw", nil)
	eventually(t, "the request to wait", func() bool { return f.contenders("acme-rw") == 2 })
	token, err := f.tokens.Load(t.Context(), f.storage, "acme-rw")
	if err != nil {
		t.Fatal(err)
	}
	between := token.Current.Credential["auth_token"] + "2"
	token.Publish(rotation.Candidate{
		Credential: map[string]string{"account_sid": first.AccountSID, "auth_token": between}, Source: rotation.SourceAssisted, Fingerprint: "2",
	}, f.now())
	if err := f.saveToken(t.Context(), f.storage, token); err != nil {
		t.Fatal(err)
	}
	unlock()
	<-h.asked
	answer := <-waiter
	if answer.err != nil || answer.response.IsError() {
		t.Fatal(said(answer.response, answer.err))
	}
	if got := answer.response.Data; got["version"] != 3 || got["previous_version"] != 2 || got["previous_credential"] != previousRejected {
		t.Errorf("got version %v after %v, which is %v", got["version"], got["previous_version"], got["previous_credential"])
	}
	stored, err := f.tokens.Load(t.Context(), f.storage, "acme-rw")
	if err != nil {
		t.Fatal(err)
	}
	haveOwnIDs(t, stored.History[0], stored.History[2])
	if stored.History[1].RetiredHow != previousRejected || stored.History[0].RetiredHow != "" {
		t.Errorf("version 1 is %q and version 2 is %q, want the replaced one dead", stored.History[0].RetiredHow, stored.History[1].RetiredHow)
	}
}

func haveOwnIDs(t *testing.T, entries ...rotation.HistoryEntry) {
	t.Helper()
	seen := map[string]bool{"": true}
	for _, entry := range entries {
		if seen[entry.RotationID] {
			t.Errorf("version %d has no rotation ID of its own", entry.Version)
		}
		seen[entry.RotationID] = true
	}
}

func TestRotate_AnAutomaticRotationWithAWrongCasSaysOneThing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	h := f.withStubHook(t, notYet)
	f.goRotate(t, "acme-rw", nil)
	<-h.asked
	response, err := f.request(t, "tokens/acme-rw/rotate", map[string]any{"cas": 5}, "")
	text := said(response, err)
	wantSaid(t, "the answer", text, "cas is 5 and the current version is 1")
	if strings.Contains(text, "\n") || strings.Contains(text, "under way") {
		t.Errorf("it says more: %q", text)
	}
}

func TestRotate_AHookThatWasRemovedEndsItsRotation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	h := f.withStubHook(t, notYet) // come back in a day
	waiter := f.goRotate(t, "acme-rw", nil)
	<-h.asked
	eventually(t, "the rotation to wait", func() bool { return f.contenders("acme-rw") == 0 })
	f.write(t, "config/acme", map[string]any{"reset_hook_url": "", "reset_hook_secret": ""})
	if err := f.rotateRoutinely(t.Context(), "acme-rw"); err != nil {
		t.Fatal(err)
	}
	answer := <-waiter
	wantSaid(t, "the answer", said(answer.response, answer.err), "no reset hook any more")
	if got := f.state(t, "acme-rw"); got != rotation.StateIdle {
		t.Errorf("the state is %s", got)
	}
}

func TestRotate_ARotationBeginsForTheAccountThatItWasAskedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.removeToken(t)
	f.write(t, "tokens/acme-rw", map[string]any{"account": "acme", "type": "legacy_read_write"})
	h := f.withStubHook(t, notYet)
	// A write of the account is at its end when the intent is about to be stored.
	unlock, err := f.accountLocks.Lock(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	waiter := f.goRotate(t, "acme-rw", nil)
	eventually(t, "the intent to wait for the account", func() bool { return f.accountLocks.Users("acme") == 2 })
	a, err := f.accounts.Load(t.Context(), f.storage, "acme")
	if err != nil {
		t.Fatal(err)
	}
	a.Settings["base_url"] = "https://api.example.com"
	if err := f.accounts.Put(t.Context(), f.storage, "acme", a.accountEntry); err != nil {
		t.Fatal(err)
	}
	unlock()
	answer := <-waiter
	wantStatus(t, answer.err, http.StatusConflict)
	wantSaid(t, "the answer", said(answer.response, answer.err), "was changed or deleted in the meantime")
	if len(h.asked) != 0 || f.state(t, "acme-rw") != rotation.StateIdle {
		t.Errorf("the hook was asked %d times, the state is %s", len(h.asked), f.state(t, "acme-rw"))
	}
}

func TestDelete_NamesWhatIsLeftAtTheProvider(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		empty bool
		words []string
	}{
		"beside a current value": {false, []string{"version 1 (fingerprint", "lives on at the provider", "that the reset hook gave", "never published"}},
		"the only value":         {true, []string{"that the reset hook gave", "never published"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			sid := f.withImpact(t, nil).AccountSID
			if tt.empty {
				f.removeToken(t)
				f.write(t, "tokens/acme-rw", map[string]any{"account": "acme", "type": "legacy_read_write"})
			}
			f.withStubHook(t, gives(map[string]string{"account_sid": sid, "auth_token": "aValueThatIsRejected"}))
			f.goRotate(t, "acme-rw", nil)
			eventually(t, "the value to be pending", func() bool { return f.state(t, "acme-rw") == rotation.StatePending })
			response := f.removeToken(t)
			wantSaid(t, "the answer", said(response, nil), tt.words...)
			if strings.Contains(said(response, nil), "aValueThatIsRejected") {
				t.Error("a warning tells a value")
			}
		})
	}
}

func TestDelete_ALostKeyMayStillAppear(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withGoogle(t)
	f.write(t, "tokens/app", map[string]any{"account": "google", "type": "service_account_key", "service_account_key": f.serviceAccount(t, "app")})
	f.change(t, "app", func(token *token) {
		token.Searches = []rotation.Search{{Known: []string{"known"}, Since: f.now(), Until: f.now(), NextAttempt: f.now()}}
	})
	_, err := f.handle(t, logical.DeleteOperation, "tokens/app", nil)
	wantStatus(t, err, http.StatusBadGateway)
	wantSaid(t, "the refusal", err.Error(), "was not deleted", "a key may still appear", "force=true")
	response, err := f.handle(t, logical.DeleteOperation, "tokens/app", map[string]any{"force": true})
	wantSaid(t, "the answer", said(response, err), "search for a lost key is given up", "lives on at the provider")
	if token, err := f.tokens.Load(t.Context(), f.storage, "app"); err != nil || token != nil {
		t.Errorf("the token is there: %t, error %v", token != nil, err)
	}
}

func TestDelete_ARefusalKeepsTheValueOfAHook(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.change(t, "acme-rw", func(token *token) {
		old := *token.Current
		old.Credential = map[string]string{"account_sid": "IR00000000000000000000", "auth_token": "the-value-before"}
		token.RetireAfter(old, testkit.Epoch.AddDate(1, 0, 0)) // which impact.com cannot
		token.Pending = &rotation.Pending{
			ID: "1", Source: rotation.SourceHook, NextAttempt: testkit.Epoch.AddDate(1, 0, 0),
			Credential: map[string]string{"account_sid": "IR00000000000000000000", "auth_token": "a-hooks-value"},
		}
	})
	_, err := f.handle(t, logical.DeleteOperation, "tokens/acme-rw", nil)
	wantStatus(t, err, http.StatusBadGateway)
	if got := f.state(t, "acme-rw"); got != rotation.StatePending {
		t.Errorf("the state is %s, want the hook's value kept", got)
	}
}

func TestDelete_AnUnknownOutcomeIsNotClaimed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.storage.FailDelete(true)
	_, err := f.handle(t, logical.DeleteOperation, "tokens/acme-rw", nil)
	wantSaid(t, "the error", said(nil, err), "it is not known whether the token was deleted", "vault read <mount>/tokens/acme-rw")
}
