package backend

import (
	"context"
	"errors"
	"hash/fnv"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
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
	// firstTrial is when a version that was published with verify=false is tried first, and maxTrialWait how long it waits at most
	// for the next time.
	firstTrial   = 30 * time.Second
	maxTrialWait = time.Hour
	// reasonScheduled is the reason of a rotation that the policy asked for.
	reasonScheduled = "scheduled"
)

// newScheduler makes the scheduler of the mount's background work, which startWork starts, and has writes with an unknown outcome
// looked after.
func (b *backend) newScheduler() *schedule.Scheduler {
	s := schedule.NewScheduler(b.doWork)
	s.Now, s.MayWork = b.now, b.WriteSafeReplicationState
	s.Panicked = func(j schedule.Job, value any) { LogPanic(b.Logger(), "background work", j.Token, value) }
	b.tokens.Doubted = func(name string) {
		s.Hasten(schedule.Job{Token: name, Kind: schedule.Look, At: b.tokens.Doubtful(name)})
	}
	b.accounts.Doubted = func(name string) {
		s.Hasten(schedule.Job{Account: name, Kind: schedule.Look, At: b.accounts.Doubtful(name)})
	}
	return s
}

// startWork begins the background work of a mount: rotations, retirements and verifications that are due. It is called
// by whatever reaches the mount first, because a plugin process that was killed comes back without being initialized.
func (b *backend) startWork(storage logical.Storage) {
	b.workOnce.Do(func() {
		b.storage = storage
		go func() {
			for b.contain("the scheduler of the background work", "", func() { b.scheduler.Run(b.work) }) {
				b.pause(retryStorage)
			}
		}()
		go b.planAll()
	})
}

// contain calls do and keeps a panic from going on, which would end the plugin's process and with it all mounts that it serves.
func (b *backend) contain(doing, name string, do func()) (panicked bool) {
	defer func() {
		if value := recover(); value != nil {
			LogPanic(b.Logger(), doing, name, value)
			panicked = true
		}
	}()
	do()
	return false
}

// pause waits, or until the mount is closed.
func (b *backend) pause(d time.Duration) {
	select {
	case <-b.work.Done():
	case <-time.After(d):
	}
}

// planAll plans the work of all tokens, one after the other, which also brings them into memory. Reads need nothing of it.
func (b *backend) planAll() {
	for b.work.Err() == nil {
		names, err := b.tokens.List(b.work, b.storage)
		b.logError("planning the background work", "", err)
		b.loading.Lock()
		for _, name := range names {
			if b.work.Err() != nil {
				break
			}
			b.contain("planning the background work", name, func() { b.planToken(name) })
		}
		b.loading.Unlock()
		if err == nil {
			return
		}
		b.pause(retryStorage)
	}
}

// planToken plans the work of a token that nobody has planned yet. Whoever works on the token meanwhile knows more about it, and
// plans last, or has planned for an earlier time. Where the token cannot be read, it is looked at later.
func (b *backend) planToken(name string) {
	t, a, err := b.tokenWithAccount(b.work, b.storage, name)
	if err != nil {
		b.logError("planning the background work", name, err)
		b.scheduler.Hasten(schedule.Job{Token: name, Kind: schedule.Look, At: b.now().Add(retryAfter(err))})
		return
	}
	b.scheduler.Hasten(b.jobs(a, t)...)
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

// saveToken stores the token and tells those who wait for a change. Whoever holds the token's lock calls plan once it
// is done with the token.
func (b *backend) saveToken(ctx context.Context, storage logical.Storage, t *token) error {
	if err := b.beforeWrite(ctx, storage, t); err != nil {
		return err
	}
	if err := b.tokens.Put(ctx, storage, t.name, t.tokenEntry); err != nil {
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
	rotate, verify := t.nextWork(b.now(), source(a, t))
	return []schedule.Job{
		{Token: t.name, Account: t.Account, Kind: schedule.Rotate, At: rotate},
		{Token: t.name, Account: t.Account, Kind: schedule.Verify, At: verify},
	}
}

// nextWork is when the token needs a step of a rotation, and a verification; the zero time where it needs none.
func (t *token) nextWork(now time.Time, source rotation.Source) (rotate, verify time.Time) {
	rotate = t.NextStep()
	due := t.rotationStart(now)
	if source == "" || t.PersonNeeded {
		due = t.overdueReport()
	}
	if !due.IsZero() && (rotate.IsZero() || due.Before(rotate)) {
		rotate = due
	}
	return rotate, t.nextVerification()
}

// rotationStart is when the policy may start the next rotation: not while a person is needed, not before the last failure's wait is over, and only
// within rotation_window of a scheduled time.
func (t *token) rotationStart(now time.Time) time.Time {
	start := t.nextRotation
	if start.IsZero() || t.PersonNeeded || t.Pending != nil && !t.Pending.Stalled() {
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

// doWork does what is due for a token, or looks at an account. The scheduler calls it.
func (b *backend) doWork(ctx context.Context, j schedule.Job) {
	var err error
	switch {
	case j.Kind == schedule.Look && j.Token == "":
		err = b.lookAtAccount(ctx, j.Account)
	case j.Kind == schedule.Look:
		err = b.lookAtToken(ctx, j.Token)
	case j.Kind == schedule.Verify:
		err = b.verifyRoutinely(ctx, j)
	default:
		err = b.rotateGivingWay(ctx, j)
	}
	if err != nil && ctx.Err() == nil {
		b.logError("background work", j.Token, err)
		b.retryWork(j, err)
	}
	if j.Account != "" && b.tokens.Peek(j.Token) == nil {
		b.forgetAccountIfGone(ctx, j.Account)
	}
}

// forgetAccountIfGone is for a job of a token that was deleted while the job was under way, and its account maybe too.
func (b *backend) forgetAccountIfGone(ctx context.Context, name string) {
	if a, err := b.accounts.Get(ctx, b.storage, name); err == nil && a == nil {
		b.scheduler.ForgetAccount(name)
	}
}

// retryWork plans a job again after it has failed. What is due next is in storage, not in the token that was not stored.
func (b *backend) retryWork(j schedule.Job, cause error) {
	j.At = b.now().Add(retryAfter(cause))
	b.scheduler.Plan(j)
}

// lookAtToken reads what storage has of the token, which the cache then has too, and plans its work from that.
func (b *backend) lookAtToken(ctx context.Context, name string) error {
	unlock := b.tokenLocks.TryLock(name)
	if unlock == nil {
		b.scheduler.Hasten(schedule.Job{Token: name, Kind: schedule.Look, At: b.now().Add(retryBusy)})
		return nil
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	before := b.tokens.Peek(name)
	t, err := b.tokens.Load(ctx, b.storage, name)
	if err != nil {
		return err
	}
	if b.tokens.Peek(name) != before {
		b.changed(name) // a write has arrived that had failed
	}
	if t == nil {
		b.dropToken(name)
		return nil
	}
	a, err := b.account(ctx, b.storage, t.Account)
	if err != nil {
		return err
	}
	t.bringForward(a, b.now()) // the account may have lost its hook
	b.plan(a, t)
	return nil
}

// dropToken forgets what the engine has in memory and plans for a token that is not stored. The caller holds the token's lock.
func (b *backend) dropToken(name string) {
	b.scheduler.Forget(name)
	b.access.delete(name)
	b.changed(name)
	// The write that failed may have been the first one of the token.
	b.scheduler.Hasten(schedule.Job{Token: name, Kind: schedule.Look, At: b.tokens.Doubtful(name)})
}

// lookAtAccount reads what storage has of the account, which the cache then has too. What its tokens do by themselves may depend
// on that.
func (b *backend) lookAtAccount(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	before := b.accounts.Peek(name)
	if _, err := b.accounts.Load(ctx, b.storage, name); err != nil {
		return err
	}
	again := b.accounts.Doubtful(name)
	b.scheduler.Hasten(schedule.Job{Account: name, Kind: schedule.Look, At: again})
	if again.IsZero() || b.accounts.Peek(name) != before {
		return b.lookAtTokensOf(ctx, b.storage, name)
	}
	return nil
}

// lookAtTokensOf has the work of all tokens of the account planned anew, each from what is stored, under its lock.
func (b *backend) lookAtTokensOf(ctx context.Context, storage logical.Storage, account string) error {
	names, err := b.tokenNamesOf(ctx, storage, account)
	for _, name := range names {
		b.scheduler.Hasten(schedule.Job{Token: name, Kind: schedule.Look, At: b.now()})
	}
	return err
}

// rotateRoutinely takes the token's due steps, and starts a rotation that the policy asks for.
func (b *backend) rotateRoutinely(ctx context.Context, name string) error {
	t, unlock, err := b.lockToken(ctx, b.storage, name)
	if err != nil {
		return err
	}
	defer unlock()
	if t == nil {
		b.dropToken(name)
		return nil
	}
	a, err := b.account(ctx, b.storage, t.Account)
	if err != nil {
		return err
	}
	t.bringForward(a, b.now())
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
	if from == "" || t.PersonNeeded {
		if err := b.tellOverdue(ctx, t); err != nil {
			return err
		}
	}
	b.plan(a, t)
	return nil
}

// tellOverdue tells once for a version that a person is late with the next rotation.
func (b *backend) tellOverdue(ctx context.Context, t *token) error {
	if !t.overdue(b.now()) || t.OverdueReported {
		return nil
	}
	t.OverdueReported = true
	if err := b.saveToken(ctx, b.storage, t); err != nil {
		return err
	}
	b.sendTokenEvent(ctx, eventOverdue, t, "fingerprint", t.fingerprint())
	return nil
}

// verifyRoutinely notices that somebody reset the token without telling Vault. Where the token is rotated meanwhile, its next
// verification is planned with that.
func (b *backend) verifyRoutinely(ctx context.Context, j schedule.Job) error {
	name := j.Token
	again := func() {
		j.At = b.now().Add(verifyBusy)
		b.scheduler.Hasten(j)
	}
	unlock := b.tokenLocks.TryLock(name)
	if unlock == nil {
		again() // without asking the provider: the answer could not be stored
		return nil
	}
	unlock()
	t, a, err := b.storedPair(ctx, b.storage, name)
	switch {
	case err != nil:
		return err
	case t == nil:
		return b.lookAtToken(ctx, name)
	case t.Current == nil:
		return nil
	}
	_, err = b.verifyCurrent(ctx, b.storage, a, t)
	if _, busy := errors.AsType[*cache.BusyError](err); busy {
		again()
		return nil
	}
	return err
}

func (b *backend) logError(doing, name string, err error) {
	if err != nil && b.work.Err() == nil {
		b.Logger().Error(doing+" failed", "token", name, "error", b.mountPath.fillIn(err))
	}
}
