package backend

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// lockedKey has another token take the key in, or end it, until the test is over.
func (f *fixture) lockedKey(t *testing.T, file string) provider.Key {
	t.Helper()
	a, err := f.account(t.Context(), f.storage, "google")
	if err != nil {
		t.Fatal(err)
	}
	key, err := a.platform.Type("service_account_key").Keys.Key(provider.Values{"service_account_key": file})
	if err != nil {
		t.Fatal(err)
	}
	if f.tryLockValue(a.platform.Name, key.Identity()) == nil {
		t.Fatal("the key is locked already")
	}
	return key
}

// A token that ends a key has looked before whether the account has it.
func TestConfigWrite_TakesNoIdentityInThatIsBeingEnded(t *testing.T) {
	t.Parallel()
	f, _ := keyFixture(t)
	file := f.serviceAccount(t, "identity")
	f.lockedKey(t, file)
	f.wantStatus(t, "while it is being ended", "config/google", map[string]any{"service_account_key": file, "verify_connection": false}, http.StatusServiceUnavailable)
	f.write(t, "config/google", map[string]any{"request_timeout": 20}) // takes nothing in
}

// A key that looks like a lost one may be in somebody's hands, who hands it in at this moment.
func TestKeyRing_DeletesNoLostKeyThatIsBeingHandedIn(t *testing.T) {
	t.Parallel()
	f, _ := keyFixture(t)
	f.importKey(t, "robot", f.serviceAccount(t, "robot"))
	file := f.serviceAccount(t, "handed-in")
	key := f.lockedKey(t, file)
	named, a, err := f.tokenWithAccount(t.Context(), f.storage, "robot")
	if err != nil {
		t.Fatal(err)
	}
	ring := &keyRing{backend: f.backend, storage: f.storage, keys: named.kind.Keys, account: a, token: named}
	own, err := named.kind.Keys.Key(named.Current.Credential)
	if err != nil {
		t.Fatal(err)
	}
	by := rotation.Rights{Owner: own.Owner, Proven: true}
	key.Owner = own.Owner
	unlock := f.tryLockValue(a.platform.Name, key.Identity())
	if err := ring.Delete(t.Context(), by, key); err == nil || !strings.Contains(err.Error(), "is being handed in") {
		t.Errorf("got %v", err)
	}
	unlock()
	if err := ring.Delete(t.Context(), by, own); err != nil {
		t.Errorf("the token's own key, which no other holds: %v", err)
	}
}

func TestRotate_AHooksValueThatAnotherTokenHoldsIsTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/other", map[string]any{
		"account": "acme", "type": "legacy_read_write", "account_sid": fresh.AccountSID, "auth_token": fresh.AuthToken,
	})
	f.withStubHook(t, gives(fresh))
	response := f.write(t, "tokens/acme-rw/rotate", nil)
	if response.Data["version"] != 2 || !strings.Contains(strings.Join(response.Warnings, " "), `held by token "other"`) {
		t.Errorf("got %v, warnings %q", response.Data, response.Warnings)
	}
}

// Without its hook, a rotation that waits for it ends at once, and not when the hook wanted to be asked again.
func TestConfigWrite_WithoutItsHookARotationEndsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	hook := f.withStubHook(t, notYet)
	f.startWork(f.storage)
	f.goRotate(t, "acme-rw", nil)
	<-hook.asked
	eventually(t, "the rotation to wait", func() bool {
		stored, err := f.tokens.Load(t.Context(), f.storage, "acme-rw")
		return err == nil && stored.Pending != nil && stored.Pending.NextAttempt.After(f.now().Add(30*time.Minute))
	})
	f.write(t, "config/acme", map[string]any{"reset_hook_url": "", "reset_hook_secret": ""})
	eventually(t, "the rotation to end", func() bool { return f.state(t, "acme-rw") == rotation.StateIdle })
}

// A value whose write ended with an error may be what a token or an account lives on.
func TestHolders_AreThoseWhoseWriteMayArrive(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"token": "tokens/second/rotate", "account": "config/google"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newStillFixture(t)
			file := f.withAppKey(t)
			f.importKey(t, "second", f.serviceAccount(t, "second"))
			data := map[string]any{"service_account_key": file}
			if name == "account" {
				data["verify_connection"] = false
			} else {
				data["accept_other_identity"] = true
			}
			f.late(t, logical.UpdateOperation, path, data, false)
			want := map[string]string{"token": `token "second"`, "account": `account "google"`}[name]
			f.wantHolders(t, want)
			f.storage.Late.GetLost()
			f.clock.Advance(cache.DoubtLasts)
			f.look(t, schedule.Job{Token: "second"})
			f.look(t, schedule.Job{Account: "google"})
			f.wantHolders(t)
		})
	}
}
