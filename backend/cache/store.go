// Package cache keeps the entries of the engine's storage in memory, and has the locks by name that writers of entries hold. It knows
// nothing of what the entries are.
package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// Store keeps the entries of one storage prefix, with a cache in front. Entries are values that nobody changes: a writer works
// on a copy of its own (Load).
//
// The cache has what storage is known to have. Whoever reads storage puts what is there into the cache. A write that ended with
// an error may have arrived, or still arrive: until that is known the cache goes on with what was true before, and Doubtful says
// when to look again. Reads of cached entries never ask storage, because Vault has them wait for a write of the same key.
type Store[T any] struct {
	prefix string
	now    func() time.Time
	decode Decode[T]
	// Release, if set, is for an entry that leaves the cache.
	Release func(*T)
	// Touched, if set, is told of every name whose entry may be another one than before.
	Touched func(name string)
	// Doubted, if set, is told of a write that failed: somebody has to look whether it arrived, at the time that Doubtful says.
	Doubted func(name string)

	mu      sync.RWMutex
	entries map[string]cacheEntry[T]
	// reads are those of storage that are under way, by name.
	reads map[string]*reads
	// doubts are the writes whose outcome is not known, by name.
	doubts map[string]*doubt[T]
}

// cacheEntry is an entry with the checksum of what is stored, which tells whether storage has another one.
type cacheEntry[T any] struct {
	entry *T
	sum   uint64
}

// reads puts the reads of one entry in the order in which they began, so that the cache never goes back to what an older one
// has seen.
type reads struct {
	underWay       int
	begun, applied uint64
}

var checksumSeed = maphash.MakeSeed()

func checksum(stored []byte) uint64 { return maphash.Bytes(checksumSeed, stored) }

// New returns a store of the entries below the prefix. Release, Touched and Doubted are set before its first use.
func New[T any](prefix string, now func() time.Time, decode Decode[T]) *Store[T] {
	return &Store[T]{
		prefix: prefix, now: now, decode: decode, entries: map[string]cacheEntry[T]{}, reads: map[string]*reads{}, doubts: map[string]*doubt[T]{},
	}
}

// Get returns the cached entry, which must not be changed; nil where there is none. It reads storage only for an entry that
// is not cached.
func (s *Store[T]) Get(ctx context.Context, storage logical.Storage, name string) (*T, error) {
	s.mu.RLock()
	known, ok := s.entries[name]
	s.mu.RUnlock()
	if ok {
		return known.entry, nil
	}
	return s.read(ctx, storage, name, false)
}

// Peek returns the entry if it is cached; it must not be changed.
func (s *Store[T]) Peek(name string) *T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[name].entry
}

// Load reads the entry from storage, for a caller that is going to change it, or that needs what is true now.
func (s *Store[T]) Load(ctx context.Context, storage logical.Storage, name string) (*T, error) {
	return s.read(ctx, storage, name, true)
}

// read reads the entry from storage and tells the cache. The caller gets the cached entry, or its own copy.
func (s *Store[T]) read(ctx context.Context, storage logical.Storage, name string, own bool) (*T, error) {
	turn := s.beginRead(name)
	stored, err := storage.Get(ctx, s.prefix+name)
	if err != nil {
		s.endRead(name)
		return nil, fmt.Errorf("reading %s%s from storage: %w", s.prefix, name, err)
	}
	if stored == nil {
		s.show(name, turn, cacheEntry[T]{})
		return nil, nil
	}
	entry, err := s.decode(ctx, storage, name, stored.Value)
	if err != nil {
		s.endRead(name)
		if _, needed := errors.AsType[*NeededError](err); needed {
			return nil, err
		}
		return nil, &DamagedError{key: s.prefix + name, why: err}
	}
	fresh := cacheEntry[T]{entry, checksum(stored.Value)}
	if own {
		fresh.entry = s.decodeAgain(ctx, storage, name, fresh.sum, stored.Value)
	}
	s.show(name, turn, fresh)
	return entry, nil
}

// decodeAgain makes an entry for the cache of what was decoded for somebody else a moment ago; nil where the cache has it.
func (s *Store[T]) decodeAgain(ctx context.Context, storage logical.Storage, name string, sum uint64, stored []byte) *T {
	s.mu.RLock()
	known := s.entries[name].sum
	s.mu.RUnlock()
	if known == sum {
		return nil
	}
	entry, err := s.decode(ctx, storage, name, stored)
	if err != nil {
		return nil
	}
	return entry
}

// beginRead returns the read's turn.
func (s *Store[T]) beginRead(name string) (turn uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.reads[name]
	if r == nil {
		r = &reads{}
		s.reads[name] = r
	}
	r.underWay++
	r.begun++
	return r.begun
}

// endRead ends a read of which the cache learns nothing.
func (s *Store[T]) endRead(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveRead(name)
}

func (s *Store[T]) leaveRead(name string) (r *reads) {
	r = s.reads[name]
	if r.underWay--; r.underWay == 0 {
		delete(s.reads, name)
	}
	return r
}

// show ends a read that found fresh, whose checksum is 0 where there is nothing. The cache takes it over, unless it knows
// better: of a later read or write.
func (s *Store[T]) show(name string, turn uint64, fresh cacheEntry[T]) {
	s.mu.Lock()
	r := s.leaveRead(name)
	var old *T
	changed := false
	if turn > r.applied {
		r.applied = turn
		s.settle(name, fresh.sum)
		old, changed = s.exchange(name, fresh)
	}
	s.mu.Unlock()
	if changed {
		s.left(name, old)
	}
}

// exchange changes what is cached, and returns what was. What has the same checksum stays, so that readers keep what they
// have made of it.
func (s *Store[T]) exchange(name string, fresh cacheEntry[T]) (old *T, changed bool) {
	known, ok := s.entries[name]
	switch {
	case ok && fresh.sum != 0 && known.sum == fresh.sum, !ok && fresh.entry == nil:
		return nil, false
	case fresh.entry == nil:
		delete(s.entries, name)
	default:
		s.entries[name] = fresh
	}
	return known.entry, true
}

// left tells others that the cache has changed, and which entry has left it, if any.
func (s *Store[T]) left(name string, old *T) {
	if s.Touched != nil {
		s.Touched(name)
	}
	if old != nil && s.Release != nil {
		s.Release(old)
	}
}

// Put stores the entry, and has it at hand for the next read. After an error it is not known whether storage has it.
func (s *Store[T]) Put(ctx context.Context, storage logical.Storage, name string, entry any) error {
	stored, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("encoding %s%s: %w", s.prefix, name, err)
	}
	err = storage.Put(ctx, &logical.StorageEntry{Key: s.prefix + name, Value: stored})
	// The writer goes on with its own copy. What cannot be decoded is an error for those who read it.
	fresh := cacheEntry[T]{sum: checksum(stored)}
	var unusable error
	if fresh.entry, unusable = s.decode(ctx, storage, name, stored); err != nil {
		return s.doubtWrite(name, "writing %s%s to storage", err, fresh)
	}
	if unusable != nil {
		fresh = cacheEntry[T]{}
	}
	s.replace(name, fresh)
	return nil
}

// Delete deletes the entry. After an error it is not known whether storage has it.
func (s *Store[T]) Delete(ctx context.Context, storage logical.Storage, name string) error {
	if err := storage.Delete(ctx, s.prefix+name); err != nil {
		return s.doubtWrite(name, "deleting %s%s from storage", err, cacheEntry[T]{})
	}
	s.replace(name, cacheEntry[T]{})
	return nil
}

// List returns the names of the entries in storage.
func (s *Store[T]) List(ctx context.Context, storage logical.Storage) ([]string, error) {
	names, err := storage.List(ctx, s.prefix)
	if err != nil {
		return nil, fmt.Errorf("listing %s in storage: %w", s.prefix, err)
	}
	return names, nil
}

// Cached counts the entries in memory.
func (s *Store[T]) Cached() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.entries)
}

// Invalidate drops a cached entry that another node has changed.
func (s *Store[T]) Invalidate(name string) { s.replace(name, cacheEntry[T]{}) }

// replace changes what is cached, and has reads that began before it change nothing. No entry is nothing.
func (s *Store[T]) replace(name string, fresh cacheEntry[T]) {
	s.mu.Lock()
	if r := s.reads[name]; r != nil {
		r.applied = r.begun
	}
	old, _ := s.exchange(name, fresh)
	s.mu.Unlock()
	s.left(name, old) // also where nothing was cached: what is stored may be another entry than others know of
}

// All returns the entries in memory.
func (s *Store[T]) All() []*T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*T, 0, len(s.entries))
	for _, known := range s.entries {
		all = append(all, known.entry)
	}
	return all
}

// Clear drops everything from the cache.
func (s *Store[T]) Clear() {
	s.mu.RLock()
	names := slices.Collect(maps.Keys(s.entries))
	s.mu.RUnlock()
	for _, name := range names {
		s.Invalidate(name)
	}
}
