package backend

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// TestUnsaved_IsStoredOnceStorageTakesIt begins where storage has refused an answer for so long that the plugin alone has it.
func TestUnsaved_IsStoredOnceStorageTakesIt(t *testing.T) {
	t.Parallel()
	const fresh = "rt-that-the-plugin-alone-has"
	renew := func(value provider.Values) provider.Values {
		value = maps.Clone(value)
		value["refresh_token"] = fresh
		return value
	}
	doubt := &rotation.Refreshing{Since: testkit.Epoch, Tries: 1, NextTry: testkit.Epoch.Add(time.Hour)}
	for name, test := range map[string]struct {
		stored func(t *token)
		held   func(t *token) (pending bool)
		// storesNothing says that what is held is of another value.
		storesNothing bool
	}{
		"of the current value": {
			func(t *token) { t.Refreshing = doubt },
			func(t *token) bool {
				t.Current.Credential, t.Current.Refreshed = renew(t.Current.Credential), &rotation.Refreshes{Count: 1, At: testkit.Epoch}
				return false
			}, false,
		},
		"of the pending value": {
			func(t *token) {
				t.Pending = &rotation.Pending{
					ID: "a", Source: rotation.SourceAssisted, RequestedAt: testkit.Epoch, NextAttempt: testkit.Epoch.Add(time.Hour),
					Credential: t.Current.Credential, Refreshing: doubt,
				}
			},
			func(t *token) bool { t.Pending.Credential = renew(t.Pending.Credential); return true }, false,
		},
		"of a pending value that was superseded": {
			func(t *token) {
				t.Pending = &rotation.Pending{
					ID: "b", Source: rotation.SourceAssisted, RequestedAt: testkit.Epoch, NextAttempt: testkit.Epoch.Add(time.Hour),
					Credential: t.Current.Credential, Refreshing: doubt,
				}
			},
			func(t *token) bool {
				t.Pending.ID, t.Pending.Credential = "a", renew(t.Pending.Credential)
				return true
			}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := newStillFixture(t), newRollingPlatform(t)
			f.rolling(t, p, "dies", "")
			stored := f.stored(t, "app")
			test.stored(stored)
			if err := f.tokens.Put(t.Context(), f.storage, "app", stored.tokenEntry); err != nil {
				t.Fatal(err)
			}
			f.unsaved.keep(stored, test.held(stored))
			if err := f.refreshRoutinely(t.Context(), schedule.Job{Token: "app", Account: "rolling", Kind: schedule.Refresh}); err != nil {
				t.Fatal(err)
			}
			got := f.stored(t, "app")
			value := got.Current.Credential["refresh_token"]
			doubtful := got.Refreshing != nil
			if got.Pending != nil {
				value, doubtful = got.Pending.Credential["refresh_token"], got.Pending.Refreshing != nil
			}
			if (value == fresh) == test.storesNothing || doubtful != test.storesNothing {
				t.Errorf("the value is stored: %t, and in doubt: %t", value == fresh, doubtful)
			}
			if version, pending := f.unsaved.of(got); version != nil || pending != nil {
				t.Error("the plugin goes on to hold it")
			}
		})
	}
}

func TestRefresh_AWriteThatArrivesLatePutsNothingBack(t *testing.T) {
	t.Parallel()
	f, p := newStillFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	p.during = func() {
		f.storage.Late.Begin(tokenPrefix, false)
		time.AfterFunc(20*time.Millisecond, f.storage.Late.End)
	}
	f.read(t, "access-token/app") // its first write is on its way, and the next one is there
	p.during = nil
	f.access.delete("app")
	asked := p.requests()
	_, err := f.handle(t, logical.ReadOperation, "access-token/app", nil)
	if coded, ok := errors.AsType[logical.HTTPCodedError](err); !ok || coded.Code() != http.StatusServiceUnavailable || p.requests() != asked {
		t.Errorf("got %v after %d requests, want HTTP 503 and none", err, p.requests()-asked)
	}
	f.storage.Late.Arrive(t)
	f.clock.Advance(16 * time.Minute)
	f.look(t, schedule.Job{Token: "app"})
	if got := f.read(t, "access-token/app"); got["access_token"] == nil {
		t.Error("there is no access token after the late write")
	}
	wantFields(t, "after the late write", f.read(t, "tokens/app"), map[string]any{"health": "ok", "refreshes": 2, "last_error": ""})
}

// TestClosing_WaitsForTheAnswerToARefresh has a mount closed while the platform is at work.
func TestClosing_WaitsForTheAnswerToARefresh(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(t *testing.T, f *fixture, p *rollingPlatform) func() error{
		"a read": func(t *testing.T, f *fixture, _ *rollingPlatform) func() error {
			return func() error { _, err := f.handle(t, logical.ReadOperation, "access-token/app", nil); return err }
		},
		"a consent": func(t *testing.T, f *fixture, p *rollingPlatform) func() error {
			redirect := p.agree(t, f.write(t, "tokens/app/consent", nil))
			return func() error {
				_, err := f.handle(t, logical.UpdateOperation, "tokens/app/rotate", map[string]any{"redirect_url": redirect})
				return err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := newFixture(t), newRollingPlatform(t)
			f.rolling(t, p, "dies", "")
			do := begin(t, f, p)
			asked, goOn, closed, done := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan error, 1)
			first := true
			p.during = func() {
				if first { // requests come one after the other
					first = false
					close(asked)
					<-goOn
				}
			}
			go func() { done <- do() }()
			<-asked
			go func() { f.Cleanup(context.Background()); close(closed) }() //nolint:usetesting // the test's context may be over
			select {
			case <-closed:
				t.Error("the mount is closed before the answer is stored")
			case <-time.After(50 * time.Millisecond):
			}
			close(goOn)
			_ = <-done //nolint:staticcheck // an error, whatever it is
			<-closed
			if got := f.stored(t, "app"); got.Current.Refreshed.Number() == 0 && got.Number() == 1 && got.Pending == nil {
				t.Error("the answer is lost")
			}
		})
	}
}
