package testkit

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
)

// LateWrites has writes and deletions end with an error and arrive later, or never: as those of a Vault server whose storage has lost
// its quorum for a while. The zero value lets all writes through.
type LateWrites struct {
	mu sync.Mutex
	// prefix is of the keys whose writes are late; empty for none.
	prefix string
	// locking is that reads of a key wait for its write, which Vault's own cache of storage has them do.
	locking bool
	// onTheirWay are the writes that have not arrived, in their order.
	onTheirWay []lateWrite
}

type lateWrite struct {
	key     string
	apply   func() error
	arrived chan struct{}
}

var errLate = errors.New("context deadline exceeded")

// Begin has writes below the prefix be late from now on.
func (l *LateWrites) Begin(prefix string, locking bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prefix, l.locking = prefix, locking
}

// End lets further writes through. Those that are on their way still are.
func (l *LateWrites) End() { l.Begin("", false) }

// Arrive has the writes arrive that are on their way.
func (l *LateWrites) Arrive(t *testing.T) {
	t.Helper()
	for _, w := range l.takeAll() {
		if err := w.apply(); err != nil {
			t.Fatal(err)
		}
		close(w.arrived)
	}
}

// GetLost has the writes never arrive.
func (l *LateWrites) GetLost() {
	for _, w := range l.takeAll() {
		close(w.arrived)
	}
}

func (l *LateWrites) takeAll() []lateWrite {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.onTheirWay
	l.onTheirWay = nil
	return all
}

// takes says whether the write is late; then the caller returns errLate.
func (l *LateWrites) takes(key string, apply func() error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.prefix == "" || !strings.HasPrefix(key, l.prefix) {
		return false
	}
	l.onTheirWay = append(l.onTheirWay, lateWrite{key, apply, make(chan struct{})})
	return true
}

// waitFor waits for the writes of the key, where reads have to.
func (l *LateWrites) waitFor(ctx context.Context, key string) error {
	l.mu.Lock()
	var writes []lateWrite
	if l.locking {
		writes = append(writes, l.onTheirWay...)
	}
	l.mu.Unlock()
	for _, w := range writes {
		if w.key != key {
			continue
		}
		select {
		case <-w.arrived:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
