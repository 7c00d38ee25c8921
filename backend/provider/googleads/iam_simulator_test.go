package googleads_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// newIAMWorld is a simulated Google with an account that has no identity of its own.
func newIAMWorld(t *testing.T) world {
	t.Helper()
	w := newWorld(t)
	for _, name := range []string{"client_id", "client_secret", "refresh_token"} {
		delete(w.account.Settings, name)
	}
	w.account.Settings["iam_url"] = w.account.Settings["base_url"]
	return w
}

func tokenOf(credential provider.Values) provider.Token {
	return provider.Token{Type: "service_account_key", Credential: credential}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantLeakFree fails where an error has a secret that the world ever gave out.
func (w world) wantLeakFree(t *testing.T, err error) {
	t.Helper()
	ledger, failed := w.console.Ledger(t.Context())
	must(t, failed)
	if leaks := ledger.Leaks([]byte(fmt.Sprint(err))); len(leaks) > 0 {
		t.Errorf("the error has %q", leaks)
	}
}

func keyIDs(t *testing.T, w world, token provider.Token) []string {
	t.Helper()
	own, err := rotator(t).Key(token.Credential)
	must(t, err)
	keys, err := rotator(t).List(t.Context(), w.account, token, own.Owner)
	must(t, err)
	var ids []string
	for _, key := range keys {
		ids = append(ids, key.ID)
	}
	return ids
}

func TestSimulatedKeyRotation(t *testing.T) {
	t.Parallel()
	w := newIAMWorld(t)
	old := w.serviceAccountKey(t)
	oldKey, err := rotator(t).Key(old.Credential)
	must(t, err)

	made, _, err := rotator(t).Create(t.Context(), w.account, old)
	must(t, err)
	fresh := tokenOf(made)
	v, err := googleads.New().Type(fresh.Type).Verify(t.Context(), w.account, fresh)
	must(t, err)
	if v.Outcome != provider.Accepted {
		t.Errorf("the new key is %s: %s", v.Outcome, v.Detail)
	}
	if got := len(keyIDs(t, w, old)); got != 2 {
		t.Errorf("got %d keys, want the old and the new one", got)
	}

	must(t, rotator(t).Delete(t.Context(), w.account, fresh, oldKey))
	must(t, rotator(t).Delete(t.Context(), w.account, fresh, oldKey)) // gone already
	freshKey, err := rotator(t).Key(made)
	must(t, err)
	if got := keyIDs(t, w, fresh); len(got) != 1 || got[0] != freshKey.ID {
		t.Errorf("got the keys %q, want %s alone", got, freshKey.ID)
	}
	_, _, err = rotator(t).Create(t.Context(), w.account, old)
	w.wantLeakFree(t, err)
	wantRefused(t, err, "invalid_grant", "Google refuses the service account key")
}

func TestSimulatedKeyRefusals(t *testing.T) {
	t.Parallel()
	fill := func(t *testing.T, w world) {
		t.Helper()
		for range 9 {
			_, err := w.console.CreateServiceAccountKey(t.Context(), simulator.DefaultName)
			must(t, err)
		}
	}
	tests := map[string]struct {
		prepare      func(*testing.T, world)
		code, detail string
	}{
		"policy": {func(t *testing.T, w world) {
			must(t, w.console.ConfigureIAM(t.Context(), simulator.IAMSettings{KeyCreation: simulator.KeyCreationForbidden}))
		}, "FAILED_PRECONDITION", "constraints/iam.disableServiceAccountKeyCreation"},
		"managed policy": {func(t *testing.T, w world) {
			must(t, w.console.ConfigureIAM(t.Context(), simulator.IAMSettings{KeyCreation: simulator.KeyCreationForbiddenManaged}))
		}, "FAILED_PRECONDITION", "constraints/iam.managed.disableServiceAccountKeyCreation"},
		"limit as a quota": {fill, "RESOURCE_EXHAUSTED", "has 10 keys"},
		"limit as a precondition": {func(t *testing.T, w world) {
			must(t, w.console.ConfigureIAM(t.Context(), simulator.IAMSettings{KeyLimitError: simulator.KeyLimitFailedPrecondition}))
			fill(t, w)
		}, "FAILED_PRECONDITION", "has 10 keys"},
		"no permission": {func(t *testing.T, w world) {
			must(t, w.console.SetKeyAdministration(t.Context(), simulator.DefaultName, simulator.KeyAdministrationDenied))
		}, "PERMISSION_DENIED", "roles/iam.serviceAccountKeyAdmin"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newIAMWorld(t)
			token := w.serviceAccountKey(t)
			tc.prepare(t, w)
			_, _, err := rotator(t).Create(t.Context(), w.account, token)
			w.wantLeakFree(t, err)
			wantRefused(t, err, tc.code, tc.detail)
		})
	}
}

// TestSimulatedKeyBehindALostAnswer: the error leaves it open whether a key was made, and the list shows that one was.
func TestSimulatedKeyBehindALostAnswer(t *testing.T) {
	t.Parallel()
	for _, kind := range []simulator.FaultKind{simulator.FaultDropAfter, simulator.FaultHalfBody, simulator.FaultOversizedBody} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newIAMWorld(t)
			token := w.serviceAccountKey(t)
			must(t, w.console.InjectFault(t.Context(), simulator.Fault{Service: simulator.GoogleIAM, Kind: kind, Times: 1}))
			_, _, err := rotator(t).Create(t.Context(), w.account, token)
			w.wantLeakFree(t, err)
			wantSilence(t, err, provider.Unavailable, "")
			if got := len(keyIDs(t, w, token)); got != 2 {
				t.Errorf("got %d keys, want the old one and one that was made once", got)
			}
		})
	}
}

func TestSimulatedKeyDeletedBehindOurBack(t *testing.T) {
	t.Parallel()
	w := newIAMWorld(t)
	file, err := w.console.CreateServiceAccount(t.Context(), "rotator")
	must(t, err)
	w.account.Settings["service_account_key"] = string(file)
	token := w.serviceAccountKey(t)
	key, err := rotator(t).Key(token.Credential)
	must(t, err)
	must(t, w.console.DeleteServiceAccountKey(t.Context(), simulator.KeyName{ServiceAccount: simulator.DefaultName, ID: key.ID}))

	made, _, err := rotator(t).Create(t.Context(), w.account, token)
	must(t, err)
	if got, err := rotator(t).Key(made); err != nil || got.Owner != key.Owner {
		t.Errorf("got a key of %s, error %v; want one of %s", got.Owner, err, key.Owner)
	}
}

func TestSimulatedKeyThatEnds(t *testing.T) {
	t.Parallel()
	w := newIAMWorld(t)
	old := w.serviceAccountKey(t)
	must(t, w.console.ConfigureIAM(t.Context(), simulator.IAMSettings{KeyLife: 8 * time.Hour}))
	made, _, err := rotator(t).Create(t.Context(), w.account, old)
	must(t, err)
	own, err := rotator(t).Key(old.Credential)
	must(t, err)
	keys, err := rotator(t).List(t.Context(), w.account, old, own.Owner)
	must(t, err)
	if len(keys) != 2 || !keys[0].ExpiresAt.IsZero() || keys[1].ExpiresAt.Sub(keys[1].CreatedAt) != 8*time.Hour {
		t.Errorf("got the keys %+v, want the second to end after 8 hours", keys)
	}
	must(t, w.console.AdvanceClock(t.Context(), 8*time.Hour+time.Second))
	_, err = mint(t.Context(), t, w.account, tokenOf(made))
	wantRefused(t, err, "invalid_grant", "expired")
}
