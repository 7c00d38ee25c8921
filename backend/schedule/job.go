package schedule

import "time"

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
	// Refresh is a refresh of the current credential.
	Refresh
	// Campaign is a step of the campaign whose name Token is. Like a Look it asks no provider.
	Campaign
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

func (p plan) Len() int { return len(p) }

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
