package rotation

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

// Kind is what is planned for a token; each has a rate limit of its own.
type Kind int

const (
	// Rotate is a step of a rotation or of a retirement.
	Rotate Kind = iota
	// Verify is a routine check of the current credential.
	Verify
)

// Job is the next thing of its kind to do for a token.
type Job struct {
	Token, Account string
	Kind           Kind
	// At is when; zero for not at all.
	At time.Time
	// due is At as it was planned, before the rate limit. paid is set once the job has passed that.
	due  time.Time
	paid bool
}

// jobKey is what there is one job for.
type jobKey struct {
	token string
	kind  Kind
}

func (j *Job) key() jobKey { return jobKey{j.Token, j.Kind} }

// plan is a heap of jobs that begins with the next one.
type plan []*planned

type planned struct {
	Job
	// place is the job's index in the plan.
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
	job.place = len(*p)
	*p = append(*p, job)
}

// Pop is part of heap.Interface.
func (p *plan) Pop() any {
	last := len(*p) - 1
	job := (*p)[last]
	(*p)[last] = nil // for the garbage collector
	*p = (*p)[:last]
	return job
}

// Scheduler calls Work for each token when its job is due. There is one job per token and kind, so that a verification
// that waits for its rate limit holds up no rotation: planning another replaces it.
type Scheduler struct {
	// Work does the job and plans the next one. It gets the context of Run.
	Work func(context.Context, Job)

	mu       sync.Mutex
	queue    plan
	jobs     map[jobKey]*planned
	accounts map[string]*account
	wake     chan struct{}
	// line are the accounts that have a job for the next free worker, in turn. Those whose work outlasts its turn are in
	// another line, which gets what the first one leaves.
	line, slowLine []*account
	free           int
}

// account is what a provider account may do, and what it has to do now.
type account struct {
	verify, rotate *rate.Limiter
	// due are jobs that have passed the rate limit.
	due []Job
	// underWay are all jobs that have begun, and slow are those beyond their turn.
	underWay, slow int
	inLine         bool
}

// NewScheduler returns a scheduler that Run starts.
func NewScheduler(work func(context.Context, Job)) *Scheduler {
	return &Scheduler{Work: work, jobs: map[jobKey]*planned{}, accounts: map[string]*account{}, wake: make(chan struct{}, 1), free: workers}
}

// Plan replaces the token's job of that kind. One that is planned for that time already keeps its place in the rate limit.
func (s *Scheduler) Plan(j Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.jobs[j.key()]; ok && old.due.Equal(j.At) {
		return
	}
	s.forget(j.key())
	if j.At.IsZero() {
		return
	}
	j.due, j.paid = j.At, false // whatever they were before
	job := &planned{Job: j}
	s.jobs[j.key()] = job
	heap.Push(&s.queue, job)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Forget drops the token's jobs.
func (s *Scheduler) Forget(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(jobKey{token, Rotate})
	s.forget(jobKey{token, Verify})
}

func (s *Scheduler) forget(key jobKey) {
	if j := s.jobs[key]; j != nil {
		heap.Remove(&s.queue, j.place)
		delete(s.jobs, key)
	}
}

// ForgetAccount drops the rate limits of an account that is gone.
func (s *Scheduler) ForgetAccount(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.accounts, name)
}

// Size counts the jobs that are planned, and the accounts that have rate limits.
func (s *Scheduler) Size() (jobs, accounts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.jobs), len(s.accounts)
}

// idle is how long Run sleeps where nothing is planned; planning wakes it.
const idle = time.Hour

// Run has jobs done until the context ends. It does not wait for those under way.
func (s *Scheduler) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		timer.Reset(time.Until(s.begin(ctx)))
	}
}

// begin has the jobs begin whose time has come, and says when the next one is due.
func (s *Scheduler) begin(ctx context.Context) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.collect()
	s.assign(ctx)
	return next
}

// collect takes what may be done now out of the plan, and says when the next job is due.
func (s *Scheduler) collect() time.Time {
	for len(s.queue) > 0 {
		j := s.queue[0]
		if time.Until(j.At) > 0 {
			return j.At
		}
		a := s.account(j.Account)
		if !j.paid {
			delay := a.limiter(j.Kind).Reserve().Delay()
			if j.paid = true; delay > 0 {
				j.At = time.Now().Add(delay)
				heap.Fix(&s.queue, j.place)
				continue
			}
		}
		s.forget(j.key())
		a.due = append(a.due, j.Job)
		s.lineUp(a)
	}
	return time.Now().Add(idle)
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
		a.due = a.due[1:]
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
	s.Work(ctx, j)
	s.mu.Lock()
	defer s.mu.Unlock()
	over = true
	s.free += 1 - slow
	a.slow -= slow
	a.underWay--
	s.lineUp(a)
	s.assign(ctx)
}

func (s *Scheduler) account(name string) *account {
	a := s.accounts[name]
	if a == nil {
		a = &account{verify: rate.NewLimiter(verificationRate, verificationBurst), rotate: rate.NewLimiter(rotationsPerSec, rotationBurst)}
		s.accounts[name] = a
	}
	return a
}

func (a *account) limiter(kind Kind) *rate.Limiter {
	if kind == Verify {
		return a.verify
	}
	return a.rotate
}
