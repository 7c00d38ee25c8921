package backend

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

func (f *fixture) wantJobs(t *testing.T, when string, want int) {
	t.Helper()
	if jobs, _ := f.scheduler.Size(); jobs != want {
		t.Errorf("%s, %d jobs are planned, want %d", when, jobs, want)
	}
}

// An account is written while somebody works on its token, and has planned more than is stored so far.
func TestPlan_AWriteOfTheAccountTakesNoPlanAway(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, nil)
	f.wantJobs(t, "before", 1) // the verification
	_, unlock, err := f.lockToken(t.Context(), f.storage, "acme-rw")
	if err != nil {
		t.Fatal(err)
	}
	f.scheduler.Plan(schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Rotate, At: f.now().Add(time.Hour)})
	f.write(t, "config/acme", map[string]any{"request_timeout": 20})
	f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Kind: schedule.Look}) // the token is busy
	f.wantJobs(t, "while the token is locked", 3)                              // with a look
	unlock()
}

func TestPlan_TheStartTakesNoPlanAway(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, nil)
	f.scheduler.Plan(schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Rotate, At: f.now().Add(time.Hour)})
	f.planToken("acme-rw") // knows nothing of that
	f.wantJobs(t, "after the start", 2)
}

func TestPlan_AWriteOfTheAccountChangesWhatItsTokensDo(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, map[string]any{"rotation_period": "1h"})
	f.clock.Advance(2 * time.Hour)
	f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme"})
	f.scheduler.Forget("acme-rw")
	_, hook := f.startHook(t, func() {})
	f.write(t, "config/acme", hook)
	eventually(t, "the overdue token to be rotated by the hook", func() bool { // the look plans it, and it is due
		f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Kind: schedule.Look})
		return f.read(t, "creds/acme-rw")["version"] == 2
	})
}

func TestConfigWrite_ADamagedTokenIsNoErrorOfItsAccount(t *testing.T) {
	t.Parallel()
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSick(t)
			s.damage(t, "token/ill-ro", damage.of)
			s.wants(t, logical.UpdateOperation, "config/ill", map[string]any{"request_timeout": 23}, "ok")
			if got := s.read(t, "config/ill")["request_timeout"]; got != 23 {
				t.Errorf("request_timeout is %v, want 23", got)
			}
		})
	}
}

func TestConfigWrite_AfterItIsStoredNothingIsAnError(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, nil)
	f.storage.FailList(true)
	response := f.write(t, "config/acme", map[string]any{"request_timeout": 23})
	if len(response.Warnings) != 1 || !strings.Contains(response.Warnings[0], "the account is changed") {
		t.Errorf("got the warnings %q", response.Warnings)
	}
	f.storage.FailList(false)
	if got := f.read(t, "config/acme")["request_timeout"]; got != 23 {
		t.Errorf("request_timeout is %v, want 23", got)
	}
	f.wantJobs(t, "afterwards", 2) // the verification, and a look at the account
}

// A node that may not write is asked once, and not for each token.
type standby struct {
	logical.StaticSystemView
	asked chan struct{}
}

func (s *standby) ReplicationState() consts.ReplicationState {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	return consts.ReplicationPerformanceStandby
}

func TestWork_AStandbyDoesNoneAndAsksOnce(t *testing.T) {
	t.Parallel()
	view := &standby{asked: make(chan struct{}, 1000)}
	f := newFixture(t, func(c *logical.BackendConfig) { c.System = view })
	f.startWork(f.storage)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		for _, kind := range []schedule.Kind{schedule.Rotate, schedule.Verify} {
			f.scheduler.Plan(schedule.Job{Token: name, Account: name, Kind: kind, At: f.now().Add(-time.Hour)})
		}
	}
	<-view.asked
	time.Sleep(20 * time.Millisecond) // for those who would ask again
	const others = 2                  // campaigns and notifications ask once each
	if jobs, _ := f.scheduler.Size(); jobs != 12 || len(view.asked) > 1+others {
		t.Errorf("%d jobs are planned, and it was asked %d more times; want 12, and at most once more, and %d times by others", jobs, len(view.asked), others)
	}
}

// panickyMint panics whatever it is to mint.
func panickyMint(context.Context, provider.Account, provider.Token) (provider.AccessToken, error) {
	panic("with the secret value")
}

func TestPanic_OfAnyGoroutineEndsNothing(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(*testing.T, *fixture){
		"a minting": func(t *testing.T, f *fixture) {
			t.Helper()
			known, a, err := f.tokenWithAccount(t.Context(), f.storage, "acme-rw")
			if err != nil {
				t.Fatal(err)
			}
			kind := *known.kind
			kind.Mint = panickyMint
			if _, err := f.accessToken(t.Context(), f.storage, a, &token{tokenEntry: known.tokenEntry, name: known.name, kind: &kind}); err == nil || !strings.Contains(err.Error(), "bug of this plugin") {
				t.Errorf("got error %v", err)
			}
		},
		"the planning at the start": func(t *testing.T, f *fixture) {
			t.Helper()
			healthy := f.tokens
			f.tokens = cache.New(tokenPrefix, f.now, func(context.Context, logical.Storage, string, []byte) (*token, error) { panic("with the secret value") })
			f.planAll()
			f.loadTokens([]string{"acme-rw"})
			f.tokens = healthy
		},
		"due work": func(t *testing.T, f *fixture) {
			t.Helper()
			f.scheduler.Panicked(schedule.Job{Token: "acme-rw"}, any("with the secret value"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &logBuffer{}
			f := newStillFixture(t, func(c *logical.BackendConfig) { c.Logger = hclog.New(&hclog.LoggerOptions{Output: log}) })
			f.withImpact(t, nil)
			do(t, f)
			if text := log.String(); !strings.Contains(text, "bug of this plugin") || !strings.Contains(text, "goroutine") || strings.Contains(text, "the secret value") {
				t.Errorf("the log has no stack, or a value: %s", text)
			}
			f.read(t, "creds/acme-rw")
		})
	}
}
