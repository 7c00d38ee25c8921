package backend

import (
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// hangingRotation has a rotation of acme-rw hang in its hook, and returns the hook.
func (f *fixture) hangingRotation(t *testing.T) *stubHook {
	t.Helper()
	f.withImpact(t, nil)
	hook := f.withStubHook(t, nil)
	hook.set(hook.hang(nil))
	t.Cleanup(func() { f.precedence.claim("acme-rw") }) // ends it
	f.goRotate(t, "acme-rw", nil)
	<-hook.asked
	return hook
}

// A hook may take ten minutes. Nobody who changes a policy waits for that, and the rotation goes on afterwards.
func TestTokensWrite_DoesNotWaitForAHook(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	hook := f.hangingRotation(t)
	hook.set(gives(f.resetReadWrite(t))) // from the next request on
	began := time.Now()
	f.write(t, "tokens/acme-rw", map[string]any{"refresh_ttl": "30s"})
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	<-hook.left
	eventually(t, "the rotation to go on", func() bool {
		f.clock.Advance(time.Minute)
		f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Rotate})
		return f.read(t, "creds/acme-rw")["version"] == 2
	})
	if got := f.read(t, "tokens/acme-rw")["refresh_ttl"]; got != 30 {
		t.Errorf("refresh_ttl is %v, want 30", got)
	}
}

func TestVerify_AnswersWhileAHookHangs(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.hangingRotation(t)
	f.resetReadWrite(t)
	response := f.write(t, "tokens/acme-rw/verify", nil)
	if response.Data["outcome"] != "rejected" || !strings.Contains(strings.Join(response.Warnings, " "), "a rotation holds the token") {
		t.Errorf("got %v, warnings %q; want the outcome, and that it is not recorded", response.Data, response.Warnings)
	}
}

// The provider is not asked for an answer that cannot be stored.
func TestVerify_TheRoutineWaitsForARotation(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.hangingRotation(t)
	before := f.read(t, "tokens/acme-rw")["last_verification"]
	f.clock.Advance(48 * time.Hour)
	f.scheduler.Forget("acme-rw")
	f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Verify})
	if jobs, _ := f.scheduler.Size(); jobs != 1 {
		t.Errorf("%d jobs are planned, want the verification again", jobs)
	}
	if after := f.read(t, "tokens/acme-rw")["last_verification"]; after == nil || before == nil {
		t.Errorf("last verification %v, before %v", after, before)
	}
}
