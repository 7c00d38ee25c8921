package backend

import (
	"crypto/rand"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// sentAgain sends a request to an engine that ends after it, and again, as Vault does, to the next one, before which then happens.
func (f *fixture) sentAgain(
	t *testing.T, operation logical.Operation, path string, data map[string]any, then func(*testing.T, *fixture),
) (next *fixture, first, second *logical.Response, err error) {
	t.Helper()
	request := func(f *fixture) *logical.Request {
		return &logical.Request{Operation: operation, Path: path, Data: data, Storage: f.storage, EntityID: "entity-jane", ID: "4a0c1d0e-the-request"}
	}
	first, err = testkit.Handle(t, f, request(f))
	must(t, err)
	must(t, first.Error())
	f.Cleanup(t.Context())
	next = f.restarted(t)
	then(t, next)
	second, err = testkit.Handle(t, next, request(next))
	return next, first, second, err
}

// scopedValue is a new scoped token, as fields to hand in.
func (f *fixture) scopedValue(t *testing.T) map[string]any {
	t.Helper()
	issued, err := f.provider.CreateScopedToken(t.Context(), simulator.ScopedTokenInput{ScopedTokenName: simulator.ScopedTokenName{Account: "agency", Name: rand.Text()}})
	must(t, err)
	return map[string]any{"account_sid": issued.AccountSID, "auth_token": issued.AuthToken, "accept_other_identity": true}
}

// Vault sends a request again whose answer went with the plugin's process. A value that was replaced since must not come back by that, and
// a second reset would end the value of the first one.
func TestRotate_ARequestThatVaultSendsAgainRotatesOnce(t *testing.T) {
	t.Parallel()
	nothing := func(*testing.T, *fixture) {}
	replaced := func(t *testing.T, f *fixture) {
		t.Helper()
		f.write(t, "tokens/acme-0/rotate", f.scopedValue(t))
	}
	create := func(t *testing.T, f *fixture) (logical.Operation, string, map[string]any) {
		t.Helper()
		data := f.scopedValue(t)
		delete(data, "accept_other_identity")
		data["account"], data["type"] = "acme", "scoped"
		return logical.CreateOperation, "tokens/new", data
	}
	handIn := func(t *testing.T, f *fixture) (logical.Operation, string, map[string]any) {
		t.Helper()
		return logical.UpdateOperation, "tokens/acme-0/rotate", f.scopedValue(t)
	}
	for name, tt := range map[string]struct {
		request func(*testing.T, *fixture) (logical.Operation, string, map[string]any)
		then    func(*testing.T, *fixture)
		// token is the one that is created or rotated, to the version; current is its version in the end.
		token            string
		version, current int
	}{
		"a value that was handed in":                             {handIn, nothing, "acme-0", 2, 2},
		"a value that was handed in and has been replaced since": {handIn, replaced, "acme-0", 2, 3},
		"a value that was handed in untried": {func(t *testing.T, f *fixture) (logical.Operation, string, map[string]any) {
			t.Helper()
			operation, path, data := handIn(t, f)
			data["verify"] = false
			return operation, path, data
		}, replaced, "acme-0", 2, 3},
		"a first value": {create, nothing, "new", 1, 1},
		"a reset by the hook": {func(*testing.T, *fixture) (logical.Operation, string, map[string]any) {
			return logical.UpdateOperation, "tokens/acme-0/rotate", nil
		}, nothing, "acme-0", 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			hook := f.withScoped(t, 1, true)
			operation, path, data := tt.request(t, f)
			next, first, second, err := f.sentAgain(t, operation, path, data, tt.then)
			must(t, err)
			must(t, second.Error())
			for _, field := range []string{"version", "previous_version", "fingerprint", "verification"} {
				if first.Data[field] != second.Data[field] {
					t.Errorf("%s was %v, and is %v when the request is sent again", field, first.Data[field], second.Data[field])
				}
			}
			if second.Data["version"] != tt.version {
				t.Errorf("the answer tells of version %v, want %d", second.Data["version"], tt.version)
			}
			if tt.current > tt.version {
				wantSaid(t, "the answer", said(second, nil), "version 3 was published since")
			}
			if got := next.read(t, "creds/"+tt.token)["version"]; got != tt.current {
				t.Errorf("version %v is current, want %d", got, tt.current)
			}
			if resets := len(hook.keysOf("acme-0")); resets > 1 {
				t.Errorf("the hook was asked for %d resets", resets)
			}
		})
	}
}

func TestRotate_ARequestThatVaultSendsAgainWaitsForWhatItHasBegun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	hook := f.withStubHook(t, notYet)
	request := func(f *fixture) *logical.Request {
		return &logical.Request{Operation: logical.UpdateOperation, Path: "tokens/acme-rw/rotate", Storage: f.storage, ID: "4a0c1d0e-the-request"}
	}
	go func() { _, _ = f.HandleRequest(t.Context(), request(f)) }()
	<-hook.asked
	eventually(t, "the rotation to be stored", func() bool { return f.contenders("acme-rw") == 0 })
	f.Cleanup(t.Context())
	fresh := f.resetReadWrite(t)
	hook.set(gives(map[string]any{"account_sid": fresh.AccountSID, "auth_token": fresh.AuthToken}))
	next := f.restarted(t)
	next.change(t, "acme-rw", func(tok *token) { tok.Pending.NextAttempt = next.now() })
	answer := make(chan later, 1)
	go func() {
		response, err := next.HandleRequest(t.Context(), request(next))
		answer <- later{response, err}
	}()
	next.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Rotate})
	got := <-answer
	must(t, got.err)
	must(t, got.response.Error())
	if got.response.Data["version"] != 2 || next.state(t, "acme-rw") != rotation.StateIdle {
		t.Errorf("got %v, and the state %s", got.response.Data, next.state(t, "acme-rw"))
	}
}
