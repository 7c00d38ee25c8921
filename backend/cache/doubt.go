package cache

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// doubt is about the last write that failed: whether it arrives is not known. Storage that has something else may still get it,
// so the doubt ends when storage has what was wanted, or when it has lasted for DoubtLasts.
type doubt[T any] struct {
	// wanted is what the write was to store, with its checksum; empty for a deletion.
	wanted cacheEntry[T]
	since  time.Time
}

const (
	// firstDoubtWait is when to look for the first time what has become of a write. The wait doubles each time.
	firstDoubtWait = 5 * time.Second
	// DoubtLasts is after how long a write is not expected to arrive any more.
	DoubtLasts = 15 * time.Minute
)

// doubtWrite notes that a write failed, and returns its error. Where storage takes no writes at all there is no doubt.
func (s *Store[T]) doubtWrite(name, doing string, err error, wanted cacheEntry[T]) error {
	err = StorageError(fmt.Sprintf(doing, s.prefix, name)+" failed", err)
	if errors.Is(err, logical.ErrReadOnly) {
		return err
	}
	s.mu.Lock()
	s.doubts[name] = &doubt[T]{wanted: wanted, since: s.now()}
	s.mu.Unlock()
	if s.Doubted != nil {
		s.Doubted(name)
	}
	return fmt.Errorf("%w; %w", err, ErrUncertain)
}

// settle ends the doubt about an entry where storage has what the write wanted, or nothing more is to be expected.
func (s *Store[T]) settle(name string, sum uint64) {
	if d := s.doubts[name]; d != nil && (sum == d.wanted.sum || s.now().Sub(d.since) >= DoubtLasts) {
		delete(s.doubts, name)
	}
}

// Doubtful returns when to look whether a write has arrived; the zero time where there is no doubt.
func (s *Store[T]) Doubtful(name string) time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d := s.doubts[name]
	if d == nil {
		return time.Time{}
	}
	now := s.now()
	return now.Add(max(now.Sub(d.since), firstDoubtWait))
}

// MayHave returns the entries that storage may have, now or soon, because their write ended with an error. They must not be changed.
func (s *Store[T]) MayHave() map[string]*T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.doubts) == 0 {
		return nil
	}
	entries := map[string]*T{}
	for name, d := range s.doubts {
		if d.wanted.entry != nil {
			entries[name] = d.wanted.entry
		}
	}
	return entries
}
