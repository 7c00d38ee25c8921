package schedule

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// newDiary begins a diary now.
func newDiary() *diary { return &diary{began: time.Now(), runs: map[string][]time.Duration{}} }

func TestScheduler_AStepOfTheClockMakesNoWorkLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		s := NewScheduler(d.work)
		var step atomic.Int64
		s.Now = func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
		s.Plan(Job{Token: "in six hours", Account: "a", At: s.Now().Add(6 * time.Hour)})
		s.Plan(Job{Token: "in a day", Account: "a", At: s.Now().Add(24 * time.Hour)})
		go s.Run(t.Context())
		pass(time.Minute)
		step.Store(int64(6 * time.Hour)) // the machine was suspended, or its clock was set
		pass(longestSleep)
		if runs := d.of("in six hours"); len(runs) != 1 || runs[0] > time.Minute+longestSleep {
			t.Errorf("the job ran at %v, want soon after the step", runs)
		}
		if runs := d.of("in a day"); len(runs) != 0 {
			t.Errorf("the job of tomorrow ran at %v", runs)
		}
		step.Store(0) // and set back
		pass(18 * time.Hour)
		if runs := d.of("in a day"); len(runs) != 0 {
			t.Errorf("after the clock was set back, the job of tomorrow ran at %v", runs)
		}
	})
}

func TestScheduler_AClockThatIsSetBackStopsNoRateLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		s := NewScheduler(d.work)
		var step atomic.Int64
		s.Now = func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
		for i := range verificationBurst + 2 {
			s.Plan(Job{Token: fmt.Sprint(i), Account: "a", Kind: Verify, At: s.Now().Add(-24 * time.Hour)})
		}
		go s.Run(t.Context())
		pass(time.Second)
		step.Store(int64(-6 * time.Hour))
		pass(2*time.Minute + time.Second)
		if got := d.count(); got != verificationBurst+2 {
			t.Errorf("%d verifications were done, want %d", got, verificationBurst+2)
		}
	})
}

// What waits for the rate limit and is planned anew, or forgotten, has used nothing of the limit up.
func TestScheduler_JobsThatArePlannedAnewTakeNothingFromTheRateLimit(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(*Scheduler, Job){
		"planned anew": func(s *Scheduler, j Job) { s.Plan(j) },
		"forgotten":    func(s *Scheduler, j Job) { s.Forget(j.Token); s.Plan(j) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, s *Scheduler, d *diary) {
				for i := range verificationBurst {
					s.Plan(Job{Token: fmt.Sprint(i), Account: "a", Kind: Verify, At: time.Now()})
				}
				pass(time.Second)
				for i := range 5 {
					again(s, Job{Token: "restless", Account: "a", Kind: Verify, At: time.Now().Add(time.Duration(i) * time.Millisecond)})
					s.Plan(Job{Token: "patient", Account: "a", Kind: Verify, At: time.Now().Add(5 * time.Millisecond)})
					pass(time.Second)
				}
				pass(2 * time.Minute)
				for _, token := range []string{"restless", "patient"} {
					if runs := d.of(token); len(runs) != 1 || runs[0] > 2*time.Minute+time.Second {
						t.Errorf("the %s verification ran at %v, want within the two minutes that two take", token, runs)
					}
				}
			})
		})
	}
}

func TestScheduler_OneJobOfATokenAndKindIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		var mu sync.Mutex
		most, now := map[Kind]int{}, map[Kind]int{}
		s := NewScheduler(func(ctx context.Context, j Job) {
			mu.Lock()
			now[j.Kind]++
			most[j.Kind] = max(most[j.Kind], now[j.Kind])
			mu.Unlock()
			d.work(ctx, Job{Token: fmt.Sprint(j.Token, j.Kind)})
			time.Sleep(10 * time.Second)
			mu.Lock()
			now[j.Kind]--
			mu.Unlock()
		})
		go s.Run(t.Context())
		for _, kind := range []Kind{Rotate, Verify, Look} {
			s.Plan(Job{Token: "t", Account: "a", Kind: kind, At: time.Now()})
		}
		pass(time.Second)
		for i := range 5 { // while the first is under way
			s.Plan(Job{Token: "t", Account: "a", Kind: Verify, At: time.Now()})
			s.Plan(Job{Token: "t", Account: "a", Kind: Rotate, At: time.Now().Add(time.Duration(i) * time.Minute)})
			pass(time.Second)
		}
		pass(10 * time.Minute)
		for kind, times := range map[Kind][]time.Duration{
			Verify: {0, 10 * time.Second}, // it was due before, and waited for the end of the first
			Rotate: {0, 4*time.Minute + 5*time.Second},
			Look:   {0},
		} {
			if got := d.of(fmt.Sprint("t", kind)); !slices.Equal(got, times) || most[kind] != 1 {
				t.Errorf("kind %d ran at %v, %d at a time; want %v, one at a time", kind, got, most[kind], times)
			}
		}
		if jobs, _ := s.Size(); jobs != 0 || len(s.underWay) != 0 {
			t.Errorf("%d jobs and %d traces are left", jobs, len(s.underWay))
		}
	})
}

func TestScheduler_ANodeThatMayNotWorkAsksOnceForAllTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		s := NewScheduler(d.work)
		var asked atomic.Int64
		var active atomic.Bool
		s.MayWork = func() bool { asked.Add(1); return active.Load() }
		go s.Run(t.Context())
		pass(time.Hour)
		if asked.Load() != 0 {
			t.Errorf("it was asked %d times with nothing to do", asked.Load())
		}
		for i := range 1000 {
			s.Plan(Job{Token: fmt.Sprint(i), Account: fmt.Sprint(i % 100), At: time.Now()})
			time.Sleep(time.Millisecond)
		}
		pass(10 * time.Minute)
		if got := asked.Load(); got < 15 || got > 25 || d.count() != 0 {
			t.Errorf("in ten minutes it was asked %d times, want about 20; %d jobs were done", got, d.count())
		}
		active.Store(true)
		pass(askAgain + time.Second)
		if d.count() != 1000 {
			t.Errorf("%d of 1,000 jobs were done half a minute after the promotion", d.count())
		}
	})
}

func TestScheduler_APanicIsToldAndEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		s := NewScheduler(func(ctx context.Context, j Job) {
			d.work(ctx, j)
			if j.Token == "bad" && len(d.of("bad")) < 4 {
				panic("bad luck")
			}
		})
		var told []string
		s.Panicked = func(j Job, value any) { told = append(told, fmt.Sprint(j.Token, ": ", value)) }
		go s.Run(t.Context())
		s.Plan(Job{Token: "bad", Account: "a", At: time.Now()})
		s.Plan(Job{Token: "good", Account: "a", At: time.Now().Add(time.Second)})
		pass(2 * time.Hour)
		want := []time.Duration{0, time.Minute, 3 * time.Minute, 7 * time.Minute}
		if runs := d.of("bad"); !slices.Equal(runs, want) {
			t.Errorf("the job that panics ran at %v, want %v", runs, want)
		}
		if len(d.of("good")) != 1 || len(told) != 3 || told[0] != "bad: bad luck" {
			t.Errorf("the other job ran %d times, and %q was told", len(d.of("good")), told)
		}
		if s.free != workers || len(s.underWay) != 0 {
			t.Errorf("%d workers are free, want %d", s.free, workers)
		}
	})
}

func TestScheduler_LooksHoldUpNoOtherWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		s := NewScheduler(func(ctx context.Context, j Job) {
			d.work(ctx, j)
			if j.Kind == Look {
				time.Sleep(20 * time.Millisecond)
			}
		})
		go s.Run(t.Context())
		for i := range 1000 {
			s.Plan(Job{Token: fmt.Sprint(i), Account: "busy", Kind: Look, At: time.Now()})
		}
		s.Plan(Job{Account: "busy", Kind: Look, At: time.Now()})
		pass(time.Second)
		s.Plan(Job{Token: "due", Account: "busy", At: time.Now()})
		pass(promptly)
		if runs := d.of("due"); len(runs) != 1 || runs[0] > time.Second+100*time.Millisecond {
			t.Errorf("the rotation began at %v, want at once", runs)
		}
		pass(10 * time.Second)
		if got := d.count(); got != 1002 {
			t.Errorf("%d of 1,002 jobs were done: looks have no rate limit", got)
		}
	})
}

func TestScheduler_HastenKeepsWhatComesSooner(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *Scheduler, d *diary) {
		at := func(seconds int) time.Time { return d.began.Add(time.Duration(seconds) * time.Second) }
		job := func(token string, seconds int) Job { return Job{Token: token, Account: "a", At: at(seconds)} }
		s.Plan(job("planned sooner", 10))
		s.Hasten(job("planned sooner", 20))
		s.Plan(job("planned later", 20))
		s.Hasten(job("planned later", 10), Job{Token: "planned later"})
		s.Hasten(job("not planned", 10), Job{Token: "never"})
		pass(time.Minute)
		for token, want := range map[string][]time.Duration{
			"planned sooner": {10 * time.Second}, "planned later": {10 * time.Second}, "not planned": {10 * time.Second}, "never": nil,
		} {
			if got := d.of(token); !slices.Equal(got, want) {
				t.Errorf("%s: ran at %v, want %v", token, got, want)
			}
		}
	})
}

func TestScheduler_JobsOfAForgottenAccountAreNotLost(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *Scheduler, d *diary) {
		for i := range verificationBurst + 5 {
			s.Plan(Job{Token: fmt.Sprint(i), Account: "a", Kind: Verify, At: time.Now()})
		}
		pass(time.Second)
		s.ForgetAccount("a")
		pass(time.Second)
		if got := d.count(); got != verificationBurst+5 {
			t.Errorf("%d verifications were done, want %d", got, verificationBurst+5)
		}
	})
}

func TestScheduler_AnAccountFollowsItsProvidersLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		s := NewScheduler(d.work)
		burst, every := 2, time.Hour
		s.Verifications = func(account string) (int, time.Duration) {
			if account == "scarce" {
				return burst, every
			}
			return 0, 0
		}
		plan := func(account string, n int) {
			for i := range n {
				s.Plan(Job{Token: fmt.Sprint(account, i), Account: account, Kind: Verify, At: s.Now()})
			}
		}
		plan("scarce", 5)
		plan("other", verificationBurst)
		go s.Run(t.Context())
		pass(time.Minute)
		if got := d.count(); got != 2+verificationBurst {
			t.Errorf("%d verifications in a minute, want 2 of the scarce account and all of the other", got)
		}
		pass(time.Hour)
		if got := d.count(); got != 3+verificationBurst {
			t.Errorf("%d verifications after an hour, want one more", got)
		}
		burst, every = 0, 0 // the provider's definition says nothing of it any more
		plan("scarce", 5)
		pass(5 * time.Minute)
		if got := d.count(); got < 7+verificationBurst {
			t.Errorf("%d verifications, want the account to have the scheduler's own limit again", got)
		}
	})
}
