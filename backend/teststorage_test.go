package backend

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
)

// lateWrites has writes and deletions end with an error and arrive later, or never: as those of a Vault server whose storage has lost
// its quorum for a while. The zero value lets all writes through.
type lateWrites struct {
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

// begin has writes below the prefix be late from now on.
func (l *lateWrites) begin(prefix string, locking bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prefix, l.locking = prefix, locking
}

// end lets further writes through. Those that are on their way still are.
func (l *lateWrites) end() { l.begin("", false) }

// arrive has the writes arrive that are on their way.
func (l *lateWrites) arrive(t *testing.T) {
	t.Helper()
	for _, w := range l.takeAll() {
		if err := w.apply(); err != nil {
			t.Fatal(err)
		}
		close(w.arrived)
	}
}

// getLost has the writes never arrive.
func (l *lateWrites) getLost() {
	for _, w := range l.takeAll() {
		close(w.arrived)
	}
}

func (l *lateWrites) takeAll() []lateWrite {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.onTheirWay
	l.onTheirWay = nil
	return all
}

// takes says whether the write is late; then the caller returns errLate.
func (l *lateWrites) takes(key string, apply func() error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.prefix == "" || !strings.HasPrefix(key, l.prefix) {
		return false
	}
	l.onTheirWay = append(l.onTheirWay, lateWrite{key, apply, make(chan struct{})})
	return true
}

// waitFor waits for the writes of the key, where reads have to.
func (l *lateWrites) waitFor(ctx context.Context, key string) error {
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

func (s *countingStorage) Delete(ctx context.Context, key string) error {
	if s.late.takes(key, func() error { return s.InmemStorage.Delete(context.WithoutCancel(ctx), key) }) {
		return errLate
	}
	return s.InmemStorage.Delete(ctx, key)
}
