package cache

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Locks is a reader/writer lock per name whose waiting obeys a context, which sync.RWMutex and the sdk's striped
// locks cannot. Names never share a lock, so a slow provider delays nobody else's token.
type Locks struct {
	mu    sync.Mutex
	locks map[string]*keyedLock
}

type keyedLock struct {
	*semaphore.Weighted
	users int
}

const exclusive = 1 << 30

// Lock waits for the name exclusively. The returned function unlocks.
func (k *Locks) Lock(ctx context.Context, name string) (func(), error) {
	return k.acquire(ctx, name, exclusive)
}

// RLock waits for the name together with other readers. The returned function unlocks.
func (k *Locks) RLock(ctx context.Context, name string) (func(), error) {
	return k.acquire(ctx, name, 1)
}

// TryLock locks the name exclusively, if nobody has it. The returned function unlocks; it is nil where somebody has it.
func (k *Locks) TryLock(name string) func() {
	l := k.join(name)
	if !l.TryAcquire(exclusive) {
		k.leave(name, l)
		return nil
	}
	return k.unlocking(name, l, exclusive)
}

// Users counts those who hold the lock of the name or wait for it.
func (k *Locks) Users(name string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l := k.locks[name]; l != nil {
		return l.users
	}
	return 0
}

func (k *Locks) acquire(ctx context.Context, name string, weight int64) (func(), error) {
	l := k.join(name)
	if err := l.Acquire(ctx, weight); err != nil {
		k.leave(name, l)
		return nil, &BusyError{name, err}
	}
	return k.unlocking(name, l, weight), nil
}

// BusyError says that a lock did not become free in time. Its holder, which may wait for a provider, goes on.
type BusyError struct {
	name string
	why  error
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("other work on %q did not end in time (%s), so this was not done; try again in a moment", e.name, e.why)
}

func (e *BusyError) Unwrap() error { return e.why }

// Code is the HTTP status, which says that trying again may help.
func (e *BusyError) Code() int { return http.StatusServiceUnavailable }

func (k *Locks) join(name string) *keyedLock {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.locks[name]
	if l == nil {
		if k.locks == nil {
			k.locks = map[string]*keyedLock{}
		}
		l = &keyedLock{Weighted: semaphore.NewWeighted(exclusive)}
		k.locks[name] = l
	}
	l.users++
	return l
}

func (k *Locks) unlocking(name string, l *keyedLock, weight int64) func() {
	return func() {
		l.Release(weight)
		k.leave(name, l)
	}
}

func (k *Locks) leave(name string, l *keyedLock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(k.locks, name)
	}
}
