// Package schedule says when the background work of tokens begins: each job at its time, within its account's rate limits, and with no
// account in the way of another. It knows nothing of what a job does.
package schedule

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

const (
	// longestSleep is how long Run sleeps at most. Jobs are due by the wall clock, and a timer does not follow that: it
	// stands still while the machine is suspended, and does not notice that the clock was set.
	longestSleep = 10 * time.Second
	// askAgain is when Run asks again whether this node may work.
	askAgain = 30 * time.Second
	// firstPanicWait and longestPanicWait bound how long a job waits that panicked. The wait doubles each time.
	firstPanicWait, longestPanicWait = time.Minute, time.Hour
)

// Scheduler calls Work for each token when its job is due. There is one job per token and kind, so that a verification
// that waits for its rate limit holds up no rotation: planning another replaces it. One job of a token and kind is under
// way at a time: the next one begins after its end, even if it is due before.
type Scheduler struct {
	// Work does the job and plans the next one. It gets the context of Run.
	Work func(context.Context, Job)
	// Now is the clock that says what is due.
	Now func() time.Time
	// MayWork, if set, is asked before jobs begin. While it says no, it is asked again every askAgain, and none begins.
	MayWork func() bool
	// Verifications, if set, says how many of an account may begin at once, and how long it takes until one more may; zero for
	// either stands for the scheduler's own. It is called under the scheduler's lock.
	Verifications func(account string) (burst int, every time.Duration)
	// Panicked, if set, is told what Work panicked with, on the goroutine that panicked. The job is planned again. Where it
	// is not set, a panic ends the process.
	Panicked func(Job, any)

	mu       sync.Mutex
	queue    plan
	jobs     map[jobKey]*planned
	accounts map[string]*account
	// looks has the jobs of the kinds Look and Campaign, of all accounts.
	looks account
	// limited are the lanes in which due jobs wait for the rate limit.
	limited map[*lane]struct{}
	// underWay are the jobs that have passed the rate limit and are not done.
	underWay map[jobKey]struct{}
	wake     chan struct{}
	// line are the accounts that have a job for the next free worker, in turn. Those whose work outlasts its turn are in
	// another line, which gets what the first one leaves.
	line, slowLine []*account
	free           int
}

// NewScheduler returns a scheduler that Run starts. Its clock is the system's unless the caller sets another.
func NewScheduler(work func(context.Context, Job)) *Scheduler {
	return &Scheduler{
		Work: work, Now: time.Now, jobs: map[jobKey]*planned{}, accounts: map[string]*account{}, limited: map[*lane]struct{}{},
		underWay: map[jobKey]struct{}{}, wake: make(chan struct{}, 1), free: workers,
	}
}

// Plan replaces the token's job of that kind. One that is planned for that time already keeps its place in the rate limit.
// What it replaces may be newer than what the caller knows: whoever plans from what is stored holds the token's lock.
func (s *Scheduler) Plan(j Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan(j)
}

// Hasten plans the job, unless the same one is planned for an earlier time. A job that comes too early decides from what
// is stored that there is nothing to do, so the caller needs no lock.
func (s *Scheduler) Hasten(jobs ...Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range jobs {
		if old, ok := s.jobs[j.key()]; j.At.IsZero() || ok && !old.At.After(j.At) {
			continue
		}
		s.plan(j)
	}
}

func (s *Scheduler) plan(j Job) {
	j.At = j.At.Round(0) // the monotonic clock does not count: see longestSleep
	old, ok := s.jobs[j.key()]
	if ok && old.At.Equal(j.At) {
		return
	}
	s.forget(j.key())
	if j.At.IsZero() {
		return
	}
	job := &planned{Job: j}
	s.jobs[j.key()] = job
	if _, begun := s.underWay[j.key()]; begun {
		return // done lets it come
	}
	heap.Push(&s.queue, job)
	s.wakeRun()
}

// wakeRun has Run look at the plan.
func (s *Scheduler) wakeRun() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Forget drops the token's jobs. One that has begun goes on.
func (s *Scheduler) Forget(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kind := range []Kind{Rotate, Verify, Look, Refresh} {
		s.forget(jobKey{name: token, kind: kind})
	}
}

func (s *Scheduler) forget(key jobKey) {
	j := s.jobs[key]
	if j == nil {
		return
	}
	delete(s.jobs, key)
	if j.in != nil {
		heap.Remove(j.in, j.place)
	}
}

// ForgetAccount drops the rate limits of an account that is gone. Jobs that waited for them go on with new ones.
func (s *Scheduler) ForgetAccount(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[name]
	if a == nil {
		return
	}
	delete(s.accounts, name)
	for _, l := range []*lane{&a.verify, &a.rotate} {
		delete(s.limited, l)
		for len(l.waiting) > 0 {
			heap.Push(&s.queue, heap.Pop(&l.waiting))
		}
	}
	s.wakeRun()
}

// Size counts the jobs that are planned, and the accounts that have rate limits.
func (s *Scheduler) Size() (jobs, accounts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.jobs), len(s.accounts)
}

func (s *Scheduler) now() time.Time { return s.Now().Round(0) }

// Run has jobs done until the context ends. It does not wait for those under way.
func (s *Scheduler) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var mayNotBefore time.Time // by the monotonic clock: it is no time of a job
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		if wait := time.Until(mayNotBefore); wait > 0 {
			timer.Reset(wait)
			continue
		}
		if s.MayWork != nil && s.anyDue() && !s.MayWork() {
			mayNotBefore = time.Now().Add(askAgain)
			timer.Reset(askAgain)
			continue
		}
		timer.Reset(s.begin(ctx))
	}
}

// anyDue says whether a job would begin now.
func (s *Scheduler) anyDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.limited) > 0 || len(s.queue) > 0 && !s.queue[0].At.After(s.now())
}

// begin has the jobs begin whose time has come, and says how long Run may sleep.
func (s *Scheduler) begin(ctx context.Context) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	sleep := s.collect()
	s.assign(ctx)
	return sleep
}

// collect takes what may be done now out of the plan, and says how long it is until it may find more.
func (s *Scheduler) collect() time.Duration {
	now := s.now()
	sleep := longestSleep
	for len(s.queue) > 0 {
		if next := s.queue[0].At.Sub(now); next > 0 {
			sleep = min(sleep, next)
			break
		}
		s.queueUp(heap.Pop(&s.queue).(*planned))
	}
	for l := range s.limited {
		if next := s.admit(l); next > 0 {
			sleep = min(sleep, next)
		} else {
			delete(s.limited, l)
		}
	}
	return sleep
}
