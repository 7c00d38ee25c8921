package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/vault/sdk/logical"
)

// store keeps the entries of one storage prefix, with a cache in front. Entries are values that nobody changes:
// what is cached was stored before, and a writer works on a copy of its own (load).
type store[T any] struct {
	prefix string
	// decode makes an entry of what is stored.
	decode func(name string, stored []byte) (*T, error)
	// release, if set, is for an entry that leaves the cache.
	release func(*T)
	// touched, if set, is told of every name whose entry may be another one than before.
	touched func(name string)

	mu      sync.RWMutex
	entries map[string]*T
	// generation counts what made cached entries stale, so that a slow read does not cache what it read before that.
	generation uint64
}

func newStore[T any](prefix string, decode func(name string, stored []byte) (*T, error)) *store[T] {
	return &store[T]{prefix: prefix, decode: decode, entries: map[string]*T{}}
}

// get returns the cached entry, which must not be changed; nil where there is none.
func (s *store[T]) get(ctx context.Context, storage logical.Storage, name string) (*T, error) {
	s.mu.RLock()
	entry, ok := s.entries[name]
	generation := s.generation
	s.mu.RUnlock()
	if ok {
		return entry, nil
	}
	entry, err := s.load(ctx, storage, name)
	if err != nil || entry == nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation == generation {
		s.entries[name] = entry
	}
	return entry, nil
}

// peek returns the entry if it is cached; it must not be changed.
func (s *store[T]) peek(name string) *T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[name]
}

// load reads the entry from storage, for a caller that is going to change it.
func (s *store[T]) load(ctx context.Context, storage logical.Storage, name string) (*T, error) {
	stored, err := storage.Get(ctx, s.prefix+name)
	if err != nil {
		return nil, fmt.Errorf("reading %s%s from storage: %w", s.prefix, name, err)
	}
	if stored == nil {
		return nil, nil
	}
	entry, err := s.decode(name, stored.Value)
	if err != nil {
		return nil, &damagedError{key: s.prefix + name, why: err}
	}
	return entry, nil
}

// damagedError says why an entry cannot be used. It stays like that until somebody restores, deletes or replaces it.
type damagedError struct {
	key string
	why error
}

func (e *damagedError) Error() string { return e.key + " in storage cannot be used: " + e.why.Error() }

func (e *damagedError) Unwrap() error { return e.why }

// put stores the entry, and has it at hand for the next read. After an error it is unknown whether storage has it, so the
// next read looks.
func (s *store[T]) put(ctx context.Context, storage logical.Storage, name string, entry any) error {
	stored, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("encoding %s%s: %w", s.prefix, name, err)
	}
	if err := storage.Put(ctx, &logical.StorageEntry{Key: s.prefix + name, Value: stored}); err != nil {
		s.invalidate(name)
		return storageError(fmt.Sprintf("writing %s%s to storage", s.prefix, name), err)
	}
	// The writer goes on with its own copy. What cannot be decoded is an error for those who read it.
	fresh, err := s.decode(name, stored)
	if err != nil {
		fresh = nil
	}
	s.replace(name, fresh)
	return nil
}

func (s *store[T]) delete(ctx context.Context, storage logical.Storage, name string) error {
	err := storage.Delete(ctx, s.prefix+name)
	s.invalidate(name)
	if err != nil {
		return storageError(fmt.Sprintf("deleting %s%s from storage", s.prefix, name), err)
	}
	return nil
}

func (s *store[T]) list(ctx context.Context, storage logical.Storage) ([]string, error) {
	names, err := storage.List(ctx, s.prefix)
	if err != nil {
		return nil, fmt.Errorf("listing %s in storage: %w", s.prefix, err)
	}
	return names, nil
}

// cached counts the entries in memory.
func (s *store[T]) cached() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.entries)
}

func (s *store[T]) invalidate(name string) { s.replace(name, nil) }

// replace changes what is cached; nil is nothing.
func (s *store[T]) replace(name string, fresh *T) {
	s.mu.Lock()
	old := s.entries[name]
	s.generation++
	if delete(s.entries, name); fresh != nil {
		s.entries[name] = fresh
	}
	s.mu.Unlock()
	if s.touched != nil {
		s.touched(name)
	}
	if old != nil && s.release != nil {
		s.release(old)
	}
}

// all returns the entries in memory.
func (s *store[T]) all() []*T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Values(s.entries))
}

// clear drops everything from the cache.
func (s *store[T]) clear() {
	s.mu.RLock()
	names := slices.Collect(maps.Keys(s.entries))
	s.mu.RUnlock()
	for _, name := range names {
		s.invalidate(name)
	}
}

// decodeJSON is the common part of a decoder. An encoding error may quote what is stored, so it is not passed on. The
// schema version is read first: a later one may have anything else.
func decodeJSON(stored []byte, current int, into any) error {
	var versioned struct {
		Schema int `json:"schema"`
	}
	errDamaged := errors.New("it is not valid JSON of this engine; restore it from a backup")
	if err := json.Unmarshal(stored, &versioned); err != nil {
		return errDamaged
	}
	if versioned.Schema < 1 || versioned.Schema > current {
		return fmt.Errorf("it has schema version %d and this plugin (%s) knows 1 to %d; install the plugin version that wrote it or a newer one",
			versioned.Schema, Version, current)
	}
	if err := json.Unmarshal(stored, into); err != nil {
		return errDamaged
	}
	return nil
}

// storageError keeps the read-only sentinel bare: Vault forwards the request to the active node only when the error
// that crosses the plugin's process boundary is exactly that.
func storageError(doing string, err error) error {
	if errors.Is(err, logical.ErrReadOnly) || err.Error() == logical.ErrReadOnly.Error() {
		return logical.ErrReadOnly
	}
	return fmt.Errorf("%s: %w", doing, err)
}
