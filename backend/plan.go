package backend

import (
	"errors"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

const (
	// retryStorage is when to look again at a token whose storage failed.
	retryStorage = 5 * time.Second
	// retryDamaged is when to look again at a token that cannot be used until somebody has put its entries right.
	retryDamaged = 5 * time.Minute
	// verifyBusy is when to look again whether a token can be verified that somebody is working on.
	verifyBusy = 30 * time.Second
	// retryBusy is when to look again at a token that somebody is working on.
	retryBusy = time.Second
)

// plan has the scheduler call doWork when the token needs it next. The caller holds the token's lock, and knows the token as it is
// stored: what is planned takes the place of everything that was.
func (b *backend) plan(a *account, t *token) {
	for _, j := range b.jobs(a, t) {
		b.scheduler.Plan(j)
	}
	b.scheduler.Hasten(schedule.Job{Token: t.name, Kind: schedule.Look, At: b.tokens.Doubtful(t.name)})
}

// jobs are what the token needs next, with a zero time for what it does not need.
func (b *backend) jobs(a *account, t *token) []schedule.Job {
	rotate, verify := t.nextWork(b.now(), source(a, t), b.retirementTime(t))
	if b.campaigns.ordered(t.name) {
		rotate = sooner(rotate, b.now())
	}
	return []schedule.Job{
		{Token: t.name, Account: t.Account, Kind: schedule.Rotate, At: rotate},
		{Token: t.name, Account: t.Account, Kind: schedule.Verify, At: verify},
		{Token: t.name, Account: t.Account, Kind: schedule.Refresh, At: t.nextRefresh()},
	}
}

// retryWork plans a job again after it has failed. What is due next is in storage, not in the token that was not stored.
func (b *backend) retryWork(j schedule.Job, cause error) {
	j.At = b.now().Add(retryAfter(cause))
	b.scheduler.Plan(j)
}

// retryAfter is how long to wait before the work of a token is tried again.
func retryAfter(err error) time.Duration {
	var (
		damaged *cache.DamagedError
		input   *inputError
	)
	if errors.As(err, &damaged) || errors.As(err, &input) {
		return retryDamaged
	}
	return retryStorage
}
