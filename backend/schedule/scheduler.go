// Package schedule says when the background work of tokens begins: each job at its time, within its account's rate limits, and with no
// account in the way of another. It knows nothing of what a job does.
package schedule

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// What bounds how many tokens are worked on at a time. A provider that hangs would keep the workers of everybody, so work
// that takes long goes on without one; what is left to bound it is how many tokens its account may have under way.
const (
	// workers are shared by all accounts, which get them in turn.
	workers = 10
	// perAccount is how many tokens of an account are worked on at a time, with a worker or without.
	perAccount = 5
	// turn is how long work has a worker.
	turn = 250 * time.Millisecond
)

// Per account, so that background work stays far below the providers' quotas (impact.com: 1,000 requests an hour,
// shared with the customer's own) and still handles a burst: verifications, and everything else.
const (
	verificationBurst = 20
	rotationBurst     = 10
	rotationsPerSec   = 5
)

var verificationRate = rate.Every(time.Minute)

const (
	// longestSleep is how long Run sleeps at most. Jobs are due by the wall clock, and a timer does not follow that: it
	// stands still while the machine is suspended, and does not notice that the clock was set.
	longestSleep = 10 * time.Second
	// askAgain is when Run asks again whether this node may work.
	askAgain = 30 * time.Second
	// firstPanicWait and longestPanicWait bound how long a job waits that panicked. The wait doubles each time.
	firstPanicWait, longestPanicWait = time.Minute, time.Hour
)

// Kind is what is planned for a token.
type Kind int

const (
	// Rotate is a step of a rotation or of a retirement.
	Rotate Kind = iota
	// Verify is a routine check of the current credential.
	Verify
	// Look reads what storage has, and plans from that. It asks no provider, so that it has no rate limit, and holds up
	// none of the account's other work.
	Look
)

// Job is the next thing of its kind to do for a token. A Look without a token is at the account itself.
type Job struct {
	Token, Account string
	Kind           Kind
	// At is when, by the wall clock; zero for not at all.
	At time.Time
	// panics counts how often the job panicked in a row.
	panics int
}

// jobKey is what there is one job for.
type jobKey struct {
	// name is the token's, or the account's where there is no token.
	name    string
	account bool
	kind    Kind
}

func (j *Job) key() jobKey {
	if j.Token == "" {
		return jobKey{name: j.Account, account: true, kind: j.Kind}
	}
	return jobKey{name: j.Token, kind: j.Kind}
}

// plan is a heap of jobs that begins with the next one.
type plan []*planned

type planned struct {
	Job
	// in is the heap that has the job, and place its index there. A job whose predecessor is under way is in none.
	in    *plan
	place int
}

func (p plan) Len() int           { return len(p) }
func (p plan) Less(i, j int) bool { return p[i].At.Before(p[j].At) }

func (p plan) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].place, p[j].place = i, j
}

// Push is part of heap.Interface.
func (p *plan) Push(j any) {
	job := j.(*planned)
	job.in, job.place = p, len(*p)
	*p = append(*p, job)
}

// Pop is part of heap.Interface.
func (p *plan) Pop() any {
	last := len(*p) - 1
	job := (*p)[last]
	(*p)[last] = nil // for the garbage collector
	*p = (*p)[:last]
	job.in = nil
	return job
}

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
	// Panicked, if set, is told what Work panicked with, on the goroutine that panicked. The job is planned again. Where it
	// is not set, a panic ends the process.
	Panicked func(Job, any)

	mu       sync.Mutex
	queue    plan
	jobs     map[jobKey]*planned
	accounts map[string]*account
	// looks has the jobs of the kind Look, of all accounts.
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

// account is what a provider account may do, and what it has to do now.
type account struct {
	verify, rotate lane
	// due are jobs that have passed the rate limit.
	due []Job
	// underWay are all jobs that have begun, and slow are those beyond their turn.
	underWay, slow int
	inLine         bool
}

// lane is where the due jobs of an account and kind wait for the rate limit. A job takes its share of the limit when it
// goes on, so one that is forgotten or planned anew has taken none.
type lane struct {
	limiter *rate.Limiter
	waiting plan
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
	for _, kind := range []Kind{Rotate, Verify, Look} {
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

// queueUp has a due job wait for the rate limit, if there is one.
func (s *Scheduler) queueUp(j *planned) {
	if j.Kind == Look {
		s.pass(&s.looks, j)
		return
	}
	l := s.account(j.Account).lane(j.Kind)
	heap.Push(&l.waiting, j)
	s.limited[l] = struct{}{}
}

// admit has jobs go on that the rate limit allows now. It says how long the next one has to wait; zero for none. A rate is
// about time that passes, so it goes by the monotonic clock, which is never set back.
func (s *Scheduler) admit(l *lane) time.Duration {
	for len(l.waiting) > 0 {
		now := time.Now()
		if !l.limiter.AllowN(now, 1) {
			missing := 1 - l.limiter.TokensAt(now)
			return time.Duration(missing/float64(l.limiter.Limit())*float64(time.Second)) + time.Microsecond
		}
		j := heap.Pop(&l.waiting).(*planned)
		s.pass(s.account(j.Account), j)
	}
	return 0
}

// pass has the account do the job as soon as it gets a worker.
func (s *Scheduler) pass(a *account, j *planned) {
	delete(s.jobs, j.key())
	s.underWay[j.key()] = struct{}{}
	a.due = append(a.due, j.Job)
	s.lineUp(a)
}

// lineUp gives the account its turn if it has a job that may begin.
func (s *Scheduler) lineUp(a *account) {
	if a.inLine || len(a.due) == 0 || a.underWay >= perAccount {
		return
	}
	a.inLine = true
	if a.slow > 0 {
		s.slowLine = append(s.slowLine, a)
	} else {
		s.line = append(s.line, a)
	}
}

// assign has the next jobs begin while there are free workers.
func (s *Scheduler) assign(ctx context.Context) {
	for s.free > 0 && ctx.Err() == nil {
		line := &s.line
		if len(*line) == 0 {
			line = &s.slowLine
		}
		if len(*line) == 0 {
			return
		}
		a := (*line)[0]
		*line, a.inLine = (*line)[1:], false
		if a.slow > 0 && line == &s.line {
			s.lineUp(a) // it was not slow when it lined up
			continue
		}
		j := a.due[0]
		if a.due = a.due[1:]; len(a.due) == 0 {
			a.due = nil // for the garbage collector
		}
		a.underWay++
		s.free--
		s.lineUp(a)
		go s.do(ctx, a, j)
	}
}

// do does a job, whose worker is free for another one at the end of the job or of its turn.
func (s *Scheduler) do(ctx context.Context, a *account, j Job) {
	over, slow := false, 0
	turnOver := time.AfterFunc(turn, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if over {
			return
		}
		slow = 1
		a.slow++
		s.free++
		s.assign(ctx)
	})
	defer turnOver.Stop()
	panicked := s.work(ctx, j)
	s.mu.Lock()
	defer s.mu.Unlock()
	over = true
	s.free += 1 - slow
	a.slow -= slow
	a.underWay--
	s.done(j, panicked)
	s.lineUp(a)
	s.assign(ctx)
}

// work calls Work, and says whether that panicked.
func (s *Scheduler) work(ctx context.Context, j Job) (panicked bool) {
	defer func() {
		if s.Panicked == nil {
			return
		}
		if value := recover(); value != nil {
			s.Panicked(j, value)
			panicked = true
		}
	}()
	s.Work(ctx, j)
	return false
}

// done lets the next job of the same token and kind come. One that panicked is planned again, later each time, unless
// another one is planned.
func (s *Scheduler) done(j Job, panicked bool) {
	delete(s.underWay, j.key())
	switch next := s.jobs[j.key()]; {
	case next != nil:
		if panicked {
			next.panics = j.panics + 1
		}
		heap.Push(&s.queue, next)
		s.wakeRun()
	case panicked:
		j.At = s.now().Add(min(firstPanicWait<<min(j.panics, 10), longestPanicWait))
		j.panics++
		s.plan(j)
	}
}

func (s *Scheduler) account(name string) *account {
	a := s.accounts[name]
	if a == nil {
		a = &account{
			verify: lane{limiter: rate.NewLimiter(verificationRate, verificationBurst)},
			rotate: lane{limiter: rate.NewLimiter(rotationsPerSec, rotationBurst)},
		}
		s.accounts[name] = a
	}
	return a
}

func (a *account) lane(kind Kind) *lane {
	if kind == Verify {
		return &a.verify
	}
	return &a.rotate
}
