package backend

import (
	"context"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/readers"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// adoption is when the old value may end for all that is known now: once the pause since the publication of the next version is over, and
// that since the start of this process, which may have lost the newest reads of the one before; and once whoever is behind was silent for
// the window. A read of a newer version brings it forward.
func (b *backend) adoption(t *token, seen *readers.Token, old *rotation.Retiring) (at time.Time, behind readers.Behind) {
	at = b.started
	if replaced := t.ReplacedAt(old.Version); replaced.After(at) {
		at = replaced
	}
	at = at.Add(t.adoptionPause())
	behind = seen.Behind(old.Version, t.readerWindow(), b.now())
	if behind.Until.After(at) {
		at = behind.Until
	}
	return at, behind
}

// adopted is for rotation.Machine.
func (b *backend) adopted(storage logical.Storage, t *token) func(context.Context, rotation.Retiring) (bool, error) {
	if t.RetireWhen != retireAdopted {
		return nil
	}
	return func(ctx context.Context, old rotation.Retiring) (bool, error) {
		seen, err := b.readersOf(ctx, storage, t)
		if err != nil {
			return false, err
		}
		at, _ := b.adoption(t, seen, &old)
		return !b.now().Before(at), nil
	}
}

// retirementTime is when to look at an old value next: at the end of its wait, or before, when it has to be told that it waits.
func (b *backend) retirementTime(t *token) func(*rotation.Retiring) time.Time {
	return func(old *rotation.Retiring) time.Time {
		if !t.waitsForReaders(old) {
			return old.NextAttempt
		}
		seen := b.readersInMemory(t)
		if seen == nil || !seen.Merged() {
			return b.now() // whoever looks reads storage
		}
		at, behind := b.adoption(t, seen, old)
		if told := t.waitsSince(old); !old.WaitReported && behind.Count() > 0 && told.Before(at) {
			return told
		}
		return at
	}
}

// hastenRetirement has the token's old values looked at as soon as a read may have let one go.
func (b *backend) hastenRetirement(seen *readers.Token) {
	t := b.tokens.Peek(seen.Name)
	if t == nil || t.ID != seen.ID {
		return
	}
	for i := range t.Retiring {
		if !t.waitsForReaders(&t.Retiring[i]) {
			continue
		}
		b.scheduler.Hasten(schedule.Job{Token: t.name, Account: t.Account, Kind: schedule.Rotate, At: b.retirementTime(t)(&t.Retiring[i])})
	}
}
