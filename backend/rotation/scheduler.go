package rotation

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// What bounds how many tokens are worked on at a time. A provider that hangs would keep the workers of everybody, so work
// that takes long goes on without one; what is left to bound it is how many tokens its account may have under way.
const (
	// workers are shared by all accounts, first come, first served.
	workers = 20
	// perAccount is how many of them an account may have, or wait for: a bound of its turn before another account's.
	perAccount = 5
	// turn is how long work has a worker.
	turn = 500 * time.Millisecond
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

	workers *semaphore.Weighted

	mu       sync.Mutex
	queue    plan
	jobs     map[jobKey]*planned
	accounts map[string]*allowance
	wake     chan struct{}
}

// allowance is what an account may do.
type allowance struct {
	verify, rotate *rate.Limiter
	underWay       *semaphore.Weighted
}

// NewScheduler returns a scheduler that Run starts.
func NewScheduler(work func(context.Context, Job)) *Scheduler {
	return &Scheduler{
		Work: work, workers: semaphore.NewWeighted(workers), jobs: map[jobKey]*planned{},
		accounts: map[string]*allowance{}, wake: make(chan struct{}, 1),
	}
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

// ForgetAccount drops the allowance of an account that is gone.
func (s *Scheduler) ForgetAccount(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.accounts, account)
}

// Size counts the jobs that are planned, and the accounts that have rate limits.
func (s *Scheduler) Size() (jobs, accounts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.jobs), len(s.limiters)
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
		due, next := s.due()
		for _, j := range due {
			go s.do(ctx, j)
		}
		timer.Reset(time.Until(next))
	}
}

// dueJob is a job that has passed its account's rate limit, which bounds how many of them wait.
type dueJob struct {
	Job
	underWay *semaphore.Weighted
}

// do does a job when it is its account's turn and there is a worker.
func (s *Scheduler) do(ctx context.Context, j dueJob) {
	if j.underWay.Acquire(ctx, 1) != nil {
		return // the context has ended
	}
	defer j.underWay.Release(1)
	if s.workers.Acquire(ctx, 1) != nil {
		return
	}
	free := sync.OnceFunc(func() { s.workers.Release(1) })
	defer free()
	defer time.AfterFunc(turn, free).Stop()
	s.Work(ctx, j.Job)
}

// due takes what may be done now out of the plan, and says when the next job is due.
func (s *Scheduler) due() (due []dueJob, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 {
		j := s.queue[0]
		if time.Until(j.At) > 0 {
			return due, j.At
		}
		if !j.paid {
			delay := s.allowance(j.Account).of(j.Kind).Reserve().Delay()
			if j.paid = true; delay > 0 {
				j.At = time.Now().Add(delay)
				heap.Fix(&s.queue, j.place)
				continue
			}
		}
		s.forget(j.key())
		due = append(due, dueJob{j.Job, s.allowance(j.Account).underWay})
	}
	return due, time.Now().Add(idle)
}

func (s *Scheduler) allowance(account string) *allowance {
	a := s.accounts[account]
	if a == nil {
		a = &allowance{
			verify:   rate.NewLimiter(verificationRate, verificationBurst),
			rotate:   rate.NewLimiter(rotationsPerSec, rotationBurst),
			underWay: semaphore.NewWeighted(perAccount),
		}
		s.accounts[account] = a
	}
	return a
}

func (a *allowance) of(kind Kind) *rate.Limiter {
	if kind == Verify {
		return a.verify
	}
	return a.rotate
}
