package schedule

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// promptly is how soon due work has to begin.
const promptly = 2 * time.Second

// diary notes when which token was worked on, in a bubble of fake time.
type diary struct {
	began time.Time
	mu    sync.Mutex
	runs  map[string][]time.Duration
}

// work notes the job.
func (d *diary) work(_ context.Context, j Job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.runs[j.Token] = append(d.runs[j.Token], time.Since(d.began))
}

// of returns when the token was worked on.
func (d *diary) of(token string) []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.runs[token])
}

// count says how often tokens were worked on so far.
func (d *diary) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, runs := range d.runs {
		n += len(runs)
	}
	return n
}

// inBubble runs the test with a scheduler in fake time. At its end every goroutine of the scheduler has to be gone: one
// that is left is a deadlock, which fails the test.
func inBubble(t *testing.T, test func(*testing.T, *Scheduler, *diary)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{began: time.Now(), runs: map[string][]time.Duration{}}
		s := NewScheduler(d.work)
		go s.Run(t.Context())
		test(t, s, d)
		places := len(s.queue)
		for l := range s.limited {
			places += len(l.waiting)
		}
		if len(s.jobs) != places {
			t.Errorf("%d jobs have %d places in the queues", len(s.jobs), places)
		}
	})
}

// pass lets time pass, and everything happen that happens by then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestJobsBeginWhenTheyAreDue(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *Scheduler, d *diary) {
		want := map[string]time.Duration{
			"long overdue": -time.Hour, "now": 0, "soon": 10 * time.Millisecond, "a bit later": 1500 * time.Millisecond, "later": time.Minute,
		}
		for token, at := range want {
			s.Plan(Job{Token: token, Account: "a", At: time.Now().Add(at)})
		}
		pass(30 * time.Second)
		s.Plan(Job{Token: "planned in the meantime", Account: "b", Kind: Verify, At: time.Now().Add(time.Second)})
		want["planned in the meantime"] = 31 * time.Second
		pass(time.Minute)
		for token, at := range want {
			at = max(at, 0)
			if runs := d.of(token); len(runs) != 1 || runs[0] < at || runs[0] > at+promptly {
				t.Errorf("%s: at %v, want %s", token, runs, at)
			}
		}
	})
}

func TestPlanReplaces(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *Scheduler, d *diary) {
		for token, plans := range map[string][]time.Duration{"put off": {time.Second, 20 * time.Second}, "brought forward": {20 * time.Second, time.Second}} {
			for _, at := range plans {
				s.Plan(Job{Token: token, Account: "a", At: time.Now().Add(at)})
			}
		}
		s.Plan(Job{Token: "forgotten", Account: "a", At: time.Now().Add(time.Second)})
		s.Forget("forgotten")
		s.Forget("never planned")
		pass(time.Minute)
		for token, at := range map[string]time.Duration{"put off": 20 * time.Second, "brought forward": time.Second} {
			if runs := d.of(token); len(runs) != 1 || runs[0] < at || runs[0] > at+promptly {
				t.Errorf("%s: at %v, want %s", token, runs, at)
			}
		}
		if runs := d.of("forgotten"); len(runs) > 0 {
			t.Errorf("forgotten: at %v", runs)
		}
	})
}

// Each account has its own allowance, of each kind.
func TestRateLimits(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		kind Kind
		// want is how many have begun by when.
		want map[time.Duration]int
	}{
		"rotations":     {kind: Rotate, want: map[time.Duration]int{0: 10, time.Second: 15, 2 * time.Second: 20, 10 * time.Second: 30}},
		"verifications": {kind: Verify, want: map[time.Duration]int{0: 20, 50 * time.Second: 20, 70 * time.Second: 21, 190 * time.Second: 23}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, s *Scheduler, d *diary) {
				for i := range 30 {
					s.Plan(Job{Token: fmt.Sprint(i), Account: "busy", Kind: tc.kind, At: time.Now()})
				}
				var last time.Duration
				for _, at := range slices.Sorted(maps.Keys(tc.want)) {
					pass(at - last + time.Millisecond)
					last = at + time.Millisecond
					if got := d.count(); got != tc.want[at] {
						t.Errorf("%d of 30 after %s, want %d", got, at, tc.want[at])
					}
				}
				began := d.count()
				s.Plan(Job{Token: "other account", Account: "idle", Kind: tc.kind, At: time.Now()})
				s.Plan(Job{Token: "other kind", Account: "busy", Kind: Verify - tc.kind, At: time.Now()})
				pass(100 * time.Millisecond)
				if got := d.count(); got != began+2 {
					t.Errorf("%d jobs of others began, want 2", got-began)
				}
				s.ForgetAccount("busy")
				s.Plan(Job{Token: "afresh", Account: "busy", Kind: tc.kind, At: time.Now()})
				pass(100 * time.Millisecond)
				if runs := d.of("afresh"); len(runs) != 1 {
					t.Errorf("an account that was made anew got no allowance: %v", runs)
				}
			})
		})
	}
}

// Work that plans itself again, as after a failure, is limited like all other.
func TestAJobThatIsPlannedAgainIsLimitedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{began: time.Now(), runs: map[string][]time.Duration{}}
		var s *Scheduler
		s = NewScheduler(func(ctx context.Context, j Job) {
			d.work(ctx, j)
			j.At = time.Now()
			s.Plan(j)
		})
		go s.Run(t.Context())
		s.Plan(Job{Token: "eager", Account: "a", Kind: Verify, At: time.Now()})
		pass(3*time.Minute + time.Second)
		if got := d.count(); got != verificationBurst+3 {
			t.Errorf("%d verifications in three minutes, want %d", got, verificationBurst+3)
		}
	})
}

// An account whose provider does not answer has a few tokens under way, and everybody else's work goes on.
func TestASlowAccountDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{began: time.Now(), runs: map[string][]time.Duration{}}
		answer := make(chan struct{})
		s := NewScheduler(func(ctx context.Context, j Job) {
			d.work(ctx, j)
			if j.Account == "slow" {
				<-answer
			}
		})
		go s.Run(t.Context())
		for i := range 100 {
			s.Plan(Job{Token: fmt.Sprint(i), Account: "slow", At: time.Now()})
		}
		pass(30 * time.Second)
		if got := d.count(); got != perAccount {
			t.Errorf("the slow account has %d tokens under way, want %d", got, perAccount)
		}
		for _, token := range []string{"one", "two", "three"} {
			s.Plan(Job{Token: token, Account: "account of " + token, At: time.Now()})
		}
		pass(promptly)
		for _, token := range []string{"one", "two", "three"} {
			if runs := d.of(token); len(runs) != 1 || runs[0] > 30*time.Second+promptly {
				t.Errorf("%s: at %v", token, runs)
			}
		}
		close(answer)
		pass(30 * time.Second)
		if got := d.count(); got != 103 {
			t.Errorf("%d of 103 jobs were done in the end", got)
		}
	})
}

// With every worker busy, planning still works, and nothing is lost.
func TestPlanningDoesNotWaitForWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{began: time.Now(), runs: map[string][]time.Duration{}}
		answer := make(chan struct{})
		var s *Scheduler
		s = NewScheduler(func(ctx context.Context, j Job) {
			first := len(d.of(j.Token)) == 0
			d.work(ctx, j)
			if <-answer; first {
				s.Plan(j)
			}
		})
		go s.Run(t.Context())
		for i := range 60 {
			s.Plan(Job{Token: fmt.Sprint(i), Account: fmt.Sprint("account ", i%30), At: time.Now()})
			pass(time.Millisecond)
		}
		if got := d.count(); got != workers {
			t.Errorf("%d jobs at a time, want %d", got, workers)
		}
		close(answer)
		pass(time.Minute)
		if got := d.count(); got != 120 {
			t.Errorf("%d of 120 jobs were done", got)
		}
	})
}

func TestRunStopsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var causes []error
		s := NewScheduler(func(ctx context.Context, _ Job) {
			<-ctx.Done()
			causes = append(causes, ctx.Err())
		})
		stopped := false
		go func() {
			s.Run(ctx)
			stopped = true
		}()
		s.Plan(Job{Token: "under way", Account: "a", At: time.Now()})
		s.Plan(Job{Token: "to come", Account: "a", At: time.Now().Add(time.Minute)})
		pass(time.Second)
		if stopped || len(causes) > 0 {
			t.Fatalf("stopped early: %t, %v", stopped, causes)
		}
		cancel()
		pass(2 * time.Minute)
		if !stopped || len(causes) != 1 {
			t.Errorf("stopped: %t; work ended %d times, want once", stopped, len(causes))
		}
	})
}

func TestPlanningFromEverywhere(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *Scheduler, d *diary) {
		var all sync.WaitGroup
		for account := range 8 {
			all.Go(func() {
				for i := range 50 {
					token := fmt.Sprintf("%d of %d", i%5, account)
					s.Plan(Job{Token: token, Account: fmt.Sprint(account), At: time.Now().Add(time.Second + time.Duration(i)*time.Millisecond)})
					if i%7 == 0 && i < 45 { // the last plans stay
						s.Forget(token)
						s.ForgetAccount(fmt.Sprint(account))
					}
				}
			})
		}
		all.Wait()
		pass(time.Minute)
		if got := d.count(); got != 8*5 {
			t.Errorf("%d jobs were done, want one for each of 40 tokens", got)
		}
	})
}

// A look at a plan of which nothing is due moves no job of it, however long the plan is.
func TestALookAtALongPlanMovesNothing(t *testing.T) {
	t.Parallel()
	s, _ := longPlan(t, 10_000)
	before := slices.Clone(s.queue)
	if sleep := s.collect(); len(s.line) > 0 || sleep != longestSleep {
		t.Errorf("%d accounts have due jobs, and the scheduler sleeps for %s; want none, and %s", len(s.line), sleep, longestSleep)
	}
	if !slices.Equal(s.queue, before) || len(s.jobs) != len(before) {
		t.Error("the look has moved jobs")
	}
}

// longPlan returns a scheduler with that many jobs, planned last first, and when the next one is due.
func longPlan(tb testing.TB, jobs int) (*Scheduler, time.Time) {
	tb.Helper()
	s := NewScheduler(func(context.Context, Job) {})
	next := time.Now().Add(time.Hour)
	for i := range jobs {
		s.Plan(Job{Token: fmt.Sprint(i), Account: "a", At: next.Add(time.Duration(jobs-1-i) * time.Second)})
	}
	return s, next
}

func BenchmarkLook(b *testing.B) {
	for _, jobs := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(jobs), func(b *testing.B) {
			s, _ := longPlan(b, jobs)
			for b.Loop() {
				s.collect()
			}
		})
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, jobs := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(jobs), func(b *testing.B) {
			s, next := longPlan(b, jobs)
			for i := 0; b.Loop(); i++ {
				s.Plan(Job{Token: fmt.Sprint(i % jobs), Account: "a", At: next.Add(time.Duration(i) * time.Millisecond)})
			}
		})
	}
}

func TestAVerificationThatWaitsHoldsUpNoRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		done := map[Kind]time.Duration{}
		start := time.Now()
		s := NewScheduler(func(_ context.Context, j Job) {
			mu.Lock()
			defer mu.Unlock()
			if j.Token == "late" {
				done[j.Kind] = time.Since(start)
			}
		})
		for i := range verificationBurst {
			s.Plan(Job{Token: fmt.Sprint(i), Account: "a", Kind: Verify, At: start})
		}
		s.Plan(Job{Token: "late", Account: "a", Kind: Verify, At: start.Add(time.Millisecond)})
		s.Plan(Job{Token: "late", Account: "a", Kind: Rotate, At: start.Add(time.Second)})
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		time.Sleep(30 * time.Second)
		// Planning the same again loses no place in the queue.
		s.Plan(Job{Token: "late", Account: "a", Kind: Verify, At: start.Add(time.Millisecond)})
		time.Sleep(2 * time.Minute)
		cancel()
		running.Wait()
		mu.Lock()
		defer mu.Unlock()
		if done[Rotate] == 0 || done[Rotate] > 2*time.Second {
			t.Errorf("the rotation began after %v, want within a second of its time", done[Rotate])
		}
		if done[Verify] < 50*time.Second || done[Verify] > 70*time.Second {
			t.Errorf("the verification began after %v, want about the minute that its rate limit says", done[Verify])
		}
	})
}

// However many accounts have a provider that does not answer, the others' work begins in time.
func TestHungAccountsDelayNoOther(t *testing.T) {
	t.Parallel()
	for _, hung := range []int{1, 2, 10, 40} {
		t.Run(fmt.Sprint(hung), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &diary{began: time.Now(), runs: map[string][]time.Duration{}}
				s := NewScheduler(func(ctx context.Context, j Job) {
					d.work(ctx, j)
					if !strings.HasPrefix(j.Account, "healthy") {
						select {
						case <-time.After(2 * time.Minute): // a hook's timeout
						case <-ctx.Done():
						}
					}
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go s.Run(ctx)
				due := time.Now().Add(time.Second)
				for account := range hung {
					for i := range 100 {
						s.Plan(Job{Token: fmt.Sprint(i, " of ", account), Account: fmt.Sprint("hung ", account), At: due})
					}
				}
				healthy := []string{"first", "second", "third", "fourth", "fifth", "other"}
				for _, name := range healthy {
					account := "healthy"
					if name == "other" {
						account = "healthy too"
					}
					s.Plan(Job{Token: name, Account: account, At: due})
				}
				pass(time.Hour)
				for _, name := range healthy {
					if runs := d.of(name); len(runs) != 1 || runs[0] > time.Second+promptly {
						t.Errorf("%s: at %v, want within %s", name, runs, promptly)
					}
				}
				if got, want := d.count(), hung*100+len(healthy); got != want {
					t.Errorf("%d of %d jobs were begun in an hour", got, want)
				}
			})
		})
	}
}
