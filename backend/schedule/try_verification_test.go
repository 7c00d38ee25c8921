package schedule

import (
	"context"
	"testing"
	"time"
)

func TestTryVerification_TakesFromTheAccountsLimitAndNeverWaits(t *testing.T) {
	t.Parallel()
	s := NewScheduler(func(context.Context, Job) {})
	for i := range verificationBurst {
		if wait := s.TryVerification("acme"); wait != 0 {
			t.Fatalf("share %d has to wait for %s", i+1, wait)
		}
	}
	wait := s.TryVerification("acme")
	if wait <= 0 || wait > verificationEvery {
		t.Errorf("the next share is there in %s, want some time of %s", wait, verificationEvery)
	}
	if again := s.TryVerification("acme"); again > wait {
		t.Errorf("to ask has taken a share: %s becomes %s", wait, again)
	}
	if s.TryVerification("other") != 0 {
		t.Error("another account has to wait")
	}
	// Whoever waits comes first.
	s.Plan(Job{Token: "a", Account: "acme", Kind: Verify, At: time.Now().Add(-time.Second)})
	s.mu.Lock()
	s.collect()
	s.mu.Unlock()
	if behind := s.TryVerification("acme"); behind < wait+verificationEvery/2 {
		t.Errorf("behind a job that waits the next share is there in %s, without it in %s", behind, wait)
	}
}
