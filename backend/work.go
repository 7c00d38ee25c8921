package backend

import (
	"context"
	"errors"
	"hash/fnv"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

const (
	// retryStorage is when to look again at a token whose storage failed.
	retryStorage = 5 * time.Second
	// retryDamaged is when to look again at a token that cannot be used until somebody has put its entries right.
	retryDamaged = 5 * time.Minute
	// retryStandby is when a node that may not write looks whether it may by now.
	retryStandby = 30 * time.Second
	// firstTrial is when a version that was published with verify=false is tried first, and maxTrialWait how long it waits at most
	// for the next time.
	firstTrial   = 30 * time.Second
	maxTrialWait = time.Hour
	// reasonScheduled is the reason of a rotation that the policy asked for.
	reasonScheduled = "scheduled"
)

// startWork begins the background work of a mount: rotations, retirements and verifications that are due. It is called
// by whatever reaches the mount first, because a plugin process that was killed comes back without being initialized.
func (b *backend) startWork(storage logical.Storage) {
	b.workOnce.Do(func() {
		b.storage = storage
		go b.scheduler.Run(b.work)
		go b.planAll()
	})
}

// planAll plans the work of all tokens, one after the other, which also brings them into memory. Reads need nothing of it.
func (b *backend) planAll() {
	for {
		names, err := b.tokens.list(b.work, b.storage)
		b.logError("planning the background work", "", err)
		b.loading.Lock()
		for _, name := range names {
			if b.work.Err() != nil {
				break
			}
			b.planToken(name)
		}
		b.loading.Unlock()
		if err == nil {
			return
		}
		select {
		case <-b.work.Done():
			return
		case <-time.After(retryStorage):
		}
	}
}

// planToken plans the work of a token; where that cannot be read, to look again.
func (b *backend) planToken(name string) {
	t, a, err := b.tokenWithAccount(b.work, b.storage, name)
	if err == nil {
		b.plan(a, t)
		return
	}
	b.logError("planning the background work", name, err)
	// The account may be unknown. All such tokens share the rate limit of the account without a name.
	b.retryWork(rotation.Job{Token: name, Kind: rotation.Rotate}, err)
}

// retryAfter is how long to wait before the work of a token is tried again.
func retryAfter(err error) time.Duration {
	var (
		damaged *damagedError
		input   *inputError
	)
	if errors.As(err, &damaged) || errors.As(err, &input) {
		return retryDamaged
	}
	return retryStorage
}

// saveToken stores the token and tells those who wait for a change. Whoever holds the token's lock calls plan once it
// is done with the token.
func (b *backend) saveToken(ctx context.Context, storage logical.Storage, t *token) error {
	if err := b.beforeWrite(ctx, storage, t); err != nil {
		return err
	}
	if err := b.tokens.put(ctx, storage, t.name, t.tokenEntry); err != nil {
		return err
	}
	b.changed(t.name)
	t.planRotation()
	return nil
}

// watcher is what those share who wait for changes of a token.
type watcher struct {
	users   int
	changed chan struct{}
}

// watch has the token watched until stop is called. Each call of next returns a channel that is closed when the token is
// stored or deleted the next time.
func (b *backend) watch(name string) (next func() <-chan struct{}, stop func()) {
	b.watchMu.Lock()
	defer b.watchMu.Unlock()
	w := b.watchers[name]
	if w == nil {
		w = &watcher{changed: make(chan struct{})}
		b.watchers[name] = w
	}
	w.users++
	next = func() <-chan struct{} {
		b.watchMu.Lock()
		defer b.watchMu.Unlock()
		return w.changed
	}
	stop = func() {
		b.watchMu.Lock()
		defer b.watchMu.Unlock()
		if w.users--; w.users == 0 {
			delete(b.watchers, name)
		}
	}
	return next, stop
}

func (b *backend) changed(name string) {
	b.watchMu.Lock()
	defer b.watchMu.Unlock()
	if w := b.watchers[name]; w != nil {
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

// plan has the scheduler call doWork when the token needs it next.
func (b *backend) plan(a *account, t *token) {
	rotate, verify := t.nextWork(b.now(), source(a, t))
	b.scheduler.Plan(rotation.Job{Token: t.name, Account: t.Account, Kind: rotation.Rotate, At: rotate})
	b.scheduler.Plan(rotation.Job{Token: t.name, Account: t.Account, Kind: rotation.Verify, At: verify})
}

// nextWork is when the token needs a step of a rotation, and a verification; the zero time where it needs none.
func (t *token) nextWork(now time.Time, source rotation.Source) (rotate, verify time.Time) {
	rotate = t.NextStep()
	due := t.rotationStart(now)
	if source == "" {
		due = t.overdueReport()
	}
	if !due.IsZero() && (rotate.IsZero() || due.Before(rotate)) {
		rotate = due
	}
	return rotate, t.nextVerification()
}

// rotationStart is when the policy may start the next rotation: not before the last failure's wait is over, and only
// within rotation_window of a scheduled time.
func (t *token) rotationStart(now time.Time) time.Time {
	start := t.nextRotation
	if start.IsZero() || t.Pending != nil && !t.Pending.Stalled() {
		return time.Time{}
	}
	if t.RetryAt.After(start) {
		start = t.RetryAt
	}
	if earliest := now.Add(-t.RotationWindow); t.RotationWindow > 0 && t.schedule != nil && t.nextRotation.Before(earliest) {
		// Its window is over, so the policy waits for the next scheduled time whose window is not.
		if start = t.schedule.Next(earliest); t.RetryAt.After(start) {
			start = t.RetryAt
		}
	}
	return start
}

// overdueReport is when to tell that a person is late with a rotation; zero where that was told.
func (t *token) overdueReport() time.Time {
	if t.OverdueReported {
		return time.Time{}
	}
	return t.nextRotation
}

// nextVerification is when the next check is due: the routine one, or an earlier one of a version that was published untried. A tenth
// of jitter, fixed for each token, spreads those that were imported together.
func (t *token) nextVerification() time.Time {
	if t.Current == nil {
		return time.Time{}
	}
	since := t.Current.PublishedAt
	if t.LastVerification != nil {
		since = t.LastVerification.At
	}
	period := time.Duration(t.VerifyPeriod) * time.Second
	if t.untried() {
		// As long again as it has been untried so far, which doubles the wait each time.
		wait := min(max(since.Sub(t.Current.PublishedAt), firstTrial), maxTrialWait)
		if period == 0 || wait < period {
			period = wait
		}
	}
	if period == 0 {
		return time.Time{}
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(t.name)) // a hash takes everything
	return since.Add(period - period/1000*time.Duration(hash.Sum32()%100))
}

// doWork does what is due for a token. The scheduler calls it.
func (b *backend) doWork(ctx context.Context, j rotation.Job) {
	if !b.WriteSafeReplicationState() {
		j.At = time.Now().Add(retryStandby)
		b.scheduler.Plan(j)
		return
	}
	t, err := b.tokens.get(ctx, b.storage, j.Token)
	if err == nil && t == nil {
		b.forgetAccountIfGone(ctx, j.Account)
		return
	}
	if err == nil && j.Kind == rotation.Verify {
		err = b.verifyRoutinely(ctx, t)
	} else if err == nil {
		err = b.rotateRoutinely(ctx, j.Token)
	}
	if err != nil && ctx.Err() == nil {
		b.logError("background work", j.Token, err)
		b.retryWork(j, err)
	}
}

// forgetAccountIfGone is for a job of a token that was deleted while the job was under way, and its account maybe too.
func (b *backend) forgetAccountIfGone(ctx context.Context, name string) {
	if a, err := b.accounts.get(ctx, b.storage, name); err == nil && a == nil {
		b.scheduler.ForgetAccount(name)
	}
}

// retryWork plans a job again after it has failed. What is due next is in storage, not in the token that was not stored.
func (b *backend) retryWork(j rotation.Job, cause error) {
	j.At = time.Now().Add(retryAfter(cause))
	b.scheduler.Plan(j)
}

// rotateRoutinely takes the token's due steps, and starts a rotation that the policy asks for.
func (b *backend) rotateRoutinely(ctx context.Context, name string) error {
	t, unlock, err := b.lockToken(ctx, b.storage, name)
	if err != nil {
		return err
	}
	defer unlock()
	if t == nil {
		return nil
	}
	a, err := b.account(ctx, b.storage, t.Account)
	if err != nil {
		return err
	}
	from, m := source(a, t), b.machine(b.storage, a, t)
	if start := t.rotationStart(b.now()); from != "" && !start.IsZero() && !start.After(b.now()) {
		intent, err := newRotation(from, reasonScheduled)
		if err != nil {
			return err
		}
		intent.Scheduled = true
		// A refusal is in the record, with the time of the next try. Other errors are storage's.
		if err := m.Start(ctx, &t.Record, intent); err != nil && !t.RetryAt.After(b.now()) {
			return err
		}
	}
	if err := m.Advance(ctx, &t.Record); err != nil {
		return err
	}
	if from == "" && t.overdue(b.now()) && !t.OverdueReported {
		t.OverdueReported = true
		if err := b.saveToken(ctx, b.storage, t); err != nil {
			return err
		}
		b.sendTokenEvent(ctx, eventOverdue, t, "fingerprint", t.fingerprint())
	}
	b.plan(a, t)
	return nil
}

// verifyRoutinely notices that somebody reset the token without telling Vault.
func (b *backend) verifyRoutinely(ctx context.Context, t *token) error {
	a, err := b.account(ctx, b.storage, t.Account)
	if err != nil || t.Current == nil {
		return err
	}
	_, _, err = b.verifyCurrent(ctx, b.storage, a, t)
	return err
}

// verifyCurrent asks the provider about the current credential, stores the answer and returns it with its time. A
// credential that turns out to be rejected is an event.
func (b *backend) verifyCurrent(ctx context.Context, storage logical.Storage, a *account, t *token) (v provider.Verification, at time.Time, err error) {
	v, silent, err := observe(ctx, a, t)
	at = b.now()
	if err != nil {
		return v, at, err
	}
	if err := b.recordObservation(ctx, storage, a, t, func(r *rotation.Record) {
		if silent {
			r.ObserveSilence(v.Detail, at)
		} else {
			r.Observe(v, at)
		}
	}); err != nil {
		return v, at, err
	}
	if v.Outcome == provider.Rejected && t.Health != rotation.HealthRejected {
		b.sendTokenEvent(ctx, eventVerifyFail, t, "fingerprint", t.fingerprint())
	}
	return v, at, nil
}

func (b *backend) logError(doing, name string, err error) {
	if err != nil && b.work.Err() == nil {
		b.Logger().Error(doing+" failed", "token", name, "error", b.mountPath.fillIn(err))
	}
}
