package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/readers"
)

// forgetReaders drops the readers of a token that was deleted. What an error leaves in storage names a token that is gone, and does no
// harm: see loadReadersOf.
func (b *backend) forgetReaders(ctx context.Context, storage logical.Storage, name string) {
	b.readers.Forget(name)
	b.logError("deleting the readers of a deleted token", name, storage.Delete(ctx, readersPrefix+name))
}

// keepReaders stores who reads, and looks at the retirements that a read may have brought about, until the mount is closed.
func (b *backend) keepReaders() {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-b.work.Done():
			return
		case <-b.readers.Noted():
		case <-again.C:
		}
		again.Stop()
		b.contain("keeping the readers", "", func() {
			for _, seen := range b.readers.TakeMoved() {
				b.hastenRetirement(seen)
			}
			if b.storeReaders(b.work) {
				again.Reset(time.Second)
			}
		})
	}
}

// loadReaders brings the stored readers into memory, one token after the other, and deletes those of tokens that are gone.
func (b *backend) loadReaders() {
	names, err := b.storage.List(b.work, readersPrefix)
	b.logError("listing the stored readers", "", err)
	for _, name := range names {
		if b.work.Err() != nil {
			return
		}
		b.logError("reading the stored readers", name, b.loadReadersOf(name))
	}
}

func (b *backend) loadReadersOf(name string) error {
	t, err := b.tokens.Get(b.work, b.storage, name)
	switch {
	case err != nil:
		return err
	case t != nil:
		_, err = b.readersOf(b.work, b.storage, t)
		return err
	case !b.WriteSafeReplicationState() || !b.tokens.Doubtful(name).IsZero():
		return nil
	}
	unlock := b.tokenLocks.TryLock(name) // whoever has it may be making a token of that name
	if unlock == nil {
		return nil
	}
	defer unlock()
	if t, err := b.tokens.Load(b.work, b.storage, name); err != nil || t != nil {
		return err
	}
	return b.storage.Delete(b.work, readersPrefix+name)
}

// storeReaders stores what is due, one token after the other, and says whether others are to be stored later. A node that may not write
// keeps it in memory.
func (b *backend) storeReaders(ctx context.Context) (more bool) {
	due, more := b.readers.TakeDue(b.now().Unix())
	if len(due) == 0 {
		return more
	}
	mayWrite := b.WriteSafeReplicationState()
	for _, seen := range due {
		if !mayWrite {
			continue // this node knows what it knows in memory only
		}
		err := b.storeReadersOf(ctx, seen)
		if err == nil || errors.Is(err, logical.ErrReadOnly) || b.work.Err() != nil {
			continue
		}
		b.logError("storing the readers", seen.Name, err)
		b.readers.Untake(seen, b.now().Add(retryReaders).Unix())
		more = true
	}
	return more
}

// retryReaders is when to store the readers of a token again whose write has failed.
const retryReaders = 30 * time.Second

// keptReaders is how long a reader is known that reads no more, unless the token's window is longer.
const keptReaders = 90 * 24 * time.Hour

func (b *backend) storeReadersOf(ctx context.Context, seen *readers.Token) error {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	t, err := b.tokens.Get(ctx, b.storage, seen.Name)
	if err != nil {
		return err
	}
	if t == nil || t.ID != seen.ID {
		return nil
	}
	if _, err := b.readersOf(ctx, b.storage, t); err != nil {
		return err
	}
	now, window := b.now(), t.readerWindow()
	entry, err := logical.StorageEntryJSON(readersPrefix+seen.Name, seen.Entry(now, now.Add(-max(window, keptReaders)), window))
	if err != nil {
		return fmt.Errorf("encoding the readers: %w", err)
	}
	if err := b.storage.Put(ctx, entry); err != nil {
		return fmt.Errorf("writing %s to storage: %w", entry.Key, err)
	}
	if b.readers.Peek(seen.Name) != seen { // deleted meanwhile
		return b.storage.Delete(ctx, entry.Key)
	}
	return nil
}
