package testkit

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/hashicorp/vault/sdk/logical"
)

// Storage is storage in memory that counts what reaches it, and fails in the ways that a test wants. Its embedded storage has
// switches of its own, for all requests of a kind.
type Storage struct {
	*logical.InmemStorage
	// Gets are the reads, and Puts and Deletes the writes and deletions that were let through.
	Gets, Puts, Deletes atomic.Int64
	// ReadOnly refuses all writes as a standby does.
	ReadOnly atomic.Bool
	// Refusals is how many of the next writes fail.
	Refusals atomic.Int64
	// Late has writes fail and be applied later, or never.
	Late LateWrites

	beforePut atomic.Pointer[func()]
}

// NewStorage returns empty storage in which everything succeeds.
func NewStorage() *Storage { return &Storage{InmemStorage: &logical.InmemStorage{}} }

// Get is part of logical.Storage.
func (s *Storage) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	s.Gets.Add(1)
	if err := s.Late.waitFor(ctx, key); err != nil {
		return nil, err
	}
	return s.InmemStorage.Get(ctx, key)
}

// Put is part of logical.Storage.
func (s *Storage) Put(ctx context.Context, entry *logical.StorageEntry) error {
	if s.ReadOnly.Load() {
		return logical.ErrReadOnly
	}
	if s.Refusals.Load() > 0 {
		s.Refusals.Add(-1)
		return errors.New("storage is full")
	}
	if s.Late.takes(entry.Key, func() error { return s.InmemStorage.Put(context.WithoutCancel(ctx), entry) }) {
		return errLate
	}
	s.Puts.Add(1)
	if wait := s.beforePut.Load(); wait != nil {
		(*wait)()
	}
	return s.InmemStorage.Put(ctx, entry)
}

// Delete is part of logical.Storage.
func (s *Storage) Delete(ctx context.Context, key string) error {
	if s.Late.takes(key, func() error { return s.InmemStorage.Delete(context.WithoutCancel(ctx), key) }) {
		return errLate
	}
	s.Deletes.Add(1)
	return s.InmemStorage.Delete(ctx, key)
}

// HoldPuts makes writes wait until the function that it returns is called. The channel tells of each that waits.
func (s *Storage) HoldPuts() (waiting <-chan struct{}, goOn func()) {
	w, released := make(chan struct{}, 100), make(chan struct{})
	s.beforePut.Store(new(func() { w <- struct{}{}; <-released }))
	return w, func() { s.beforePut.Store(nil); close(released) }
}

// SlowReads holds the reads of other storage back. An error of Before or After is the read's.
type SlowReads struct {
	logical.Storage
	// Before is called before the entry is read, and After when it was read and is not given yet. Nil is no delay.
	Before, After func(ctx context.Context, key string) error
}

// Get is part of logical.Storage.
func (s *SlowReads) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	if s.Before != nil {
		if err := s.Before(ctx, key); err != nil {
			return nil, err
		}
	}
	entry, err := s.Storage.Get(ctx, key)
	if s.After != nil && err == nil {
		err = s.After(ctx, key)
	}
	return entry, err
}
