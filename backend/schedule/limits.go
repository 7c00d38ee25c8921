package schedule

import (
	"cmp"
	"container/heap"
	"context"
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
	verificationEvery = time.Minute
	rotationBurst     = 10
	rotationsPerSec   = 5
)

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

// queueUp has a due job wait for the rate limit, if there is one.
func (s *Scheduler) queueUp(j *planned) {
	if j.Kind == Look || j.Kind == Campaign {
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

// TryVerification takes a share of an account's limit for a verification that cannot wait for its turn. Where nothing is left it takes nothing,
// and says how long it takes until there is a share again, those who wait for one first.
func (s *Scheduler) TryVerification(account string) (wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.account(account).verify
	now := time.Now()
	if len(l.waiting) == 0 && l.limiter.AllowN(now, 1) {
		return 0
	}
	missing := float64(len(l.waiting)+1) - l.limiter.TokensAt(now)
	return max(time.Duration(missing/float64(l.limiter.Limit())*float64(time.Second)), time.Second)
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
			verify: lane{limiter: rate.NewLimiter(rate.Every(verificationEvery), verificationBurst)},
			rotate: lane{limiter: rate.NewLimiter(rotationsPerSec, rotationBurst)},
		}
		s.accounts[name] = a
	}
	s.limitVerifications(name, a.verify.limiter)
	return a
}

// limitVerifications has the account's limiter follow what its provider says, which may change.
func (s *Scheduler) limitVerifications(name string, limiter *rate.Limiter) {
	if s.Verifications == nil {
		return
	}
	burst, every := s.Verifications(name)
	burst, every = cmp.Or(burst, verificationBurst), cmp.Or(every, verificationEvery)
	if limiter.Burst() != burst || limiter.Limit() != rate.Every(every) {
		limiter.SetBurst(burst)
		limiter.SetLimit(rate.Every(every))
	}
}

func (a *account) lane(kind Kind) *lane {
	if kind == Verify {
		return &a.verify
	}
	return &a.rotate
}
