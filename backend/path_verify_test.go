package backend

import (
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// withMeddler imports acme-rw behind a gate. The first verification of it after that is held up while meddle is called.
func (f *fixture) withMeddler(t *testing.T, meddle func()) {
	t.Helper()
	g := newGate(t, f.server.ImpactURL)
	f.server.ImpactURL = g.url
	f.withImpact(t, nil)
	var verifications atomic.Int64
	g.before.Store(new(func(*http.Request) {
		if verifications.Add(1) == 1 {
			meddle()
		}
	}))
}

func TestVerify_AnAnswerAboutAReplacedVersionIsDropped(t *testing.T) {
	t.Parallel()
	for name, verify := range map[string]func(*testing.T, *fixture){
		"by hand": func(t *testing.T, f *fixture) {
			t.Helper()
			if got := f.write(t, "tokens/acme-rw/verify", nil).Data; got["version"] != 2 || got["outcome"] != "accepted" {
				t.Errorf("version %v is %v, want 2, accepted: that is the current one", got["version"], got["outcome"])
			}
		},
		"by routine": func(t *testing.T, f *fixture) {
			t.Helper()
			f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Verify})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &listener{}
			f := newStillFixture(t, func(c *logical.BackendConfig) { c.EventsSender = l })
			f.withMeddler(t, func() {
				fresh := f.resetReadWrite(t) // so the version that is being tried is rejected
				f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
			})
			verify(t, f)
			if kinds := l.kinds(); slices.Contains(kinds, "adtokens/verify-fail") {
				t.Errorf("an alarm was raised about a version that is not current: %v", kinds)
			}
			if got := f.read(t, "tokens/acme-rw"); got["version"] != 2 || got["health"] != "ok" {
				t.Errorf("version %v has the health %v, want 2, ok", got["version"], got["health"])
			}
		})
	}
}

func TestVerify_ATokenThatIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	remove := func(f *fixture) func() {
		return func() {
			if response, err := f.handle(t, logical.DeleteOperation, "tokens/acme-rw", nil); err != nil || response.IsError() {
				t.Errorf("deleting the token: %v, %v", response, err)
			}
		}
	}
	f := newStillFixture(t)
	f.withMeddler(t, remove(f))
	_, err := f.handle(t, logical.UpdateOperation, "tokens/acme-rw/verify", nil)
	var coded logical.HTTPCodedError
	if !errors.As(err, &coded) || coded.Code() != http.StatusNotFound {
		t.Errorf("by hand: got %v, want 404", err)
	}
	f.wantJobs(t, "by hand", 0)

	f = newStillFixture(t)
	f.withMeddler(t, remove(f))
	f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Verify})
	f.wantJobs(t, "by routine", 0)
}

// A token that is deleted and made anew has the same version number.
func TestVerify_ATokenThatIsMadeAnewMeanwhileIsAnother(t *testing.T) {
	t.Parallel()
	l := &listener{}
	f := newStillFixture(t, func(c *logical.BackendConfig) { c.EventsSender = l })
	f.withMeddler(t, func() {
		fresh := f.resetReadWrite(t)
		if response, err := f.handle(t, logical.DeleteOperation, "tokens/acme-rw", nil); err != nil || response.IsError() {
			t.Errorf("deleting the token: %v, %v", response, err)
		}
		f.write(t, "tokens/acme-rw", map[string]any{
			"account": "acme", "type": "legacy_read_write", "account_sid": fresh.AccountSID, "auth_token": fresh.AuthToken,
		})
	})
	f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Verify})
	if got := f.read(t, "tokens/acme-rw"); got["version"] != 1 || got["health"] != "ok" || slices.Contains(l.kinds(), "adtokens/verify-fail") {
		t.Errorf("version %v has the health %v, want 1, ok; events %v", got["version"], got["health"], l.kinds())
	}
}

func TestVerify_ATokenThatKeepsChangingIsAConflict(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	g := newGate(t, f.server.ImpactURL)
	f.server.ImpactURL = g.url
	f.withImpact(t, nil)
	var busy atomic.Bool
	g.before.Store(new(func(*http.Request) {
		if !busy.Swap(true) {
			fresh := f.resetReadWrite(t)
			f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
			busy.Store(false)
		}
	}))
	_, err := f.handle(t, logical.UpdateOperation, "tokens/acme-rw/verify", nil)
	var coded logical.HTTPCodedError
	if !errors.As(err, &coded) || coded.Code() != http.StatusConflict {
		t.Errorf("got %v, want a conflict", err)
	}
	if got := f.read(t, "tokens/acme-rw"); got["version"] != 1+maxVerifyTries || got["health"] != "ok" {
		t.Errorf("version %v has the health %v", got["version"], got["health"])
	}
}
