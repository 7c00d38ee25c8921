package backend

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// newScheduler makes the scheduler of the mount's background work, which startWork starts, and has writes with an unknown outcome
// looked after.
func (b *backend) newScheduler() *schedule.Scheduler {
	s := schedule.NewScheduler(b.doWork)
	s.Now, s.MayWork = b.now, b.WriteSafeReplicationState
	s.Verifications = func(name string) (burst int, every time.Duration) {
		a := b.accounts.Peek(name)
		if a == nil {
			return 0, 0
		}
		limit := a.platform.Limits.Verifications
		return limit.Burst, limit.Every
	}
	s.Panicked = func(j schedule.Job, value any) { LogPanic(b.Logger(), "background work", j.Token, value) }
	b.tokens.Doubted = func(name string) {
		s.Hasten(schedule.Job{Token: name, Kind: schedule.Look, At: b.tokens.Doubtful(name)})
	}
	b.campaignEntries.Doubted = b.campaignDoubted
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
		go func() {
			b.planAll()
			b.contain("reading the stored readers", "", b.loadReaders)
		}()
		go b.keepReaders()
		go b.resumeCampaigns()
		go b.contain("reading the notifications", "", b.startOutbox)
	})
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

// doWork does what is due for a token or a campaign, or looks at an account. The scheduler calls it.
func (b *backend) doWork(ctx context.Context, j schedule.Job) {
	var err error
	switch {
	case j.Kind == schedule.Look && j.Token == "":
		err = b.lookAtAccount(ctx, j.Account)
	case j.Kind == schedule.Look:
		err = b.lookAtToken(ctx, j.Token)
	case j.Kind == schedule.Campaign:
		err = b.advanceCampaign(ctx, j.Token)
	case j.Kind == schedule.Verify:
		err = b.verifyRoutinely(ctx, j)
	case j.Kind == schedule.Refresh:
		err = b.refreshRoutinely(ctx, j)
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
