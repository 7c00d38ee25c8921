package backend

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"
)

// keyedLocks is a reader/writer lock per name whose waiting obeys a context, which sync.RWMutex and the sdk's striped
// locks cannot. Names never share a lock, so a slow provider delays nobody else's token.
type keyedLocks struct {
	mu    sync.Mutex
	locks map[string]*keyedLock
}

type keyedLock struct {
	*semaphore.Weighted
	users int
}

const exclusive = 1 << 30

// lock waits for the name exclusively. The returned function unlocks.
func (k *keyedLocks) lock(ctx context.Context, name string) (func(), error) {
	return k.acquire(ctx, name, exclusive)
}

// rlock waits for the name together with other readers. The returned function unlocks.
func (k *keyedLocks) rlock(ctx context.Context, name string) (func(), error) {
	return k.acquire(ctx, name, 1)
}

func (k *keyedLocks) acquire(ctx context.Context, name string, weight int64) (func(), error) {
	k.mu.Lock()
	l := k.locks[name]
	if l == nil {
		if k.locks == nil {
			k.locks = map[string]*keyedLock{}
		}
		l = &keyedLock{Weighted: semaphore.NewWeighted(exclusive)}
		k.locks[name] = l
	}
	l.users++
	k.mu.Unlock()

	err := l.Acquire(ctx, weight)
	if err != nil {
		k.leave(name, l)
		return nil, fmt.Errorf("waiting for other work on %q: %w", name, err)
	}
	return func() {
		l.Release(weight)
		k.leave(name, l)
	}, nil
}

func (k *keyedLocks) leave(name string, l *keyedLock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(k.locks, name)
	}
}
