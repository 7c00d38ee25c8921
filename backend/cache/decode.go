package cache

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/hashicorp/vault/sdk/logical"
)

// Decode makes an entry of what is stored. It may read what else the entry needs: an error of that storage is a *NeededError.
type Decode[T any] func(ctx context.Context, storage logical.Storage, name string, stored []byte) (*T, error)

// NeededError says that what an entry needs could not be read from storage at this moment. It says nothing about the entry.
type NeededError struct{ why error }

func (e *NeededError) Error() string { return e.why.Error() }

func (e *NeededError) Unwrap() error { return e.why }

// Needed is for a Decode that could not read what the entry needs: an error of storage is no fault of the entry, and all else is.
func Needed(err error) error {
	if _, damaged := errors.AsType[*DamagedError](err); damaged {
		return err
	}
	return &NeededError{err}
}

// InvalidateIf drops the cached entries that are affected by a change of what they need, and what is being read at this moment.
func (s *Store[T]) InvalidateIf(affected func(*T) bool) {
	s.mu.RLock()
	names := slices.Collect(maps.Keys(s.reads))
	for name, known := range s.entries {
		if affected(known.entry) {
			names = append(names, name)
		}
	}
	s.mu.RUnlock()
	for _, name := range names {
		s.Invalidate(name)
	}
}
