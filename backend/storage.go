package backend

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

// store keeps the entries of one storage prefix, with a cache in front. Entries are values that nobody changes: a writer works
// on a copy of its own (load).
//
// The cache has what storage is known to have. Whoever reads storage puts what is there into the cache. A write that ended with
// an error may have arrived, or still arrive: until that is known the cache goes on with what was true before, and doubtful says
// when to look again. Reads of cached entries never ask storage, because Vault has them wait for a write of the same key.
type store[T any] struct {
	prefix string
	now    func() time.Time
	// decode makes an entry of what is stored.
	decode func(name string, stored []byte) (*T, error)
	// release, if set, is for an entry that leaves the cache.
	release func(*T)
	// touched, if set, is told of every name whose entry may be another one than before.
	touched func(name string)
	// doubted, if set, is told of a write that failed: somebody has to look whether it arrived, at the time that doubtful says.
	doubted func(name string)

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

// doubt is about the last write that failed: whether it arrives is not known. Storage that has something else may still get it,
// so the doubt ends when storage has what was wanted, or when it has lasted for doubtLasts.
type doubt[T any] struct {
	// wanted is what the write was to store, with its checksum; empty for a deletion.
	wanted cacheEntry[T]
	since  time.Time
}

const (
	// firstDoubtWait is when to look for the first time what has become of a write. The wait doubles each time.
	firstDoubtWait = 5 * time.Second
	// doubtLasts is after how long a write is not expected to arrive any more.
	doubtLasts = 15 * time.Minute
)

var checksumSeed = maphash.MakeSeed()

func checksum(stored []byte) uint64 { return maphash.Bytes(checksumSeed, stored) }

func newStore[T any](prefix string, now func() time.Time, decode func(name string, stored []byte) (*T, error)) *store[T] {
	return &store[T]{
		prefix: prefix, now: now, decode: decode, entries: map[string]cacheEntry[T]{}, reads: map[string]*reads{}, doubts: map[string]*doubt[T]{},
	}
}

// get returns the cached entry, which must not be changed; nil where there is none. It reads storage only for an entry that
// is not cached.
func (s *store[T]) get(ctx context.Context, storage logical.Storage, name string) (*T, error) {
	s.mu.RLock()
	known, ok := s.entries[name]
	s.mu.RUnlock()
	if ok {
		return known.entry, nil
	}
	return s.read(ctx, storage, name, false)
}

// peek returns the entry if it is cached; it must not be changed.
func (s *store[T]) peek(name string) *T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[name].entry
}

// load reads the entry from storage, for a caller that is going to change it, or that needs what is true now.
func (s *store[T]) load(ctx context.Context, storage logical.Storage, name string) (*T, error) {
	return s.read(ctx, storage, name, true)
}

// read reads the entry from storage and tells the cache. The caller gets the cached entry, or its own copy.
func (s *store[T]) read(ctx context.Context, storage logical.Storage, name string, own bool) (*T, error) {
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
	entry, err := s.decode(name, stored.Value)
	if err != nil {
		s.endRead(name)
		return nil, &damagedError{key: s.prefix + name, why: err}
	}
	fresh := cacheEntry[T]{entry, checksum(stored.Value)}
	if own {
		fresh.entry = s.decodeAgain(name, stored.Value, fresh.sum)
	}
	s.show(name, turn, fresh)
	return entry, nil
}

// decodeAgain makes an entry for the cache of what was decoded for somebody else a moment ago; nil where the cache has it.
func (s *store[T]) decodeAgain(name string, stored []byte, sum uint64) *T {
	s.mu.RLock()
	known := s.entries[name].sum
	s.mu.RUnlock()
	if known == sum {
		return nil
	}
	entry, err := s.decode(name, stored)
	if err != nil {
		return nil
	}
	return entry
}

// beginRead returns the read's turn.
func (s *store[T]) beginRead(name string) (turn uint64) {
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
func (s *store[T]) endRead(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveRead(name)
}

func (s *store[T]) leaveRead(name string) (r *reads) {
	r = s.reads[name]
	if r.underWay--; r.underWay == 0 {
		delete(s.reads, name)
	}
	return r
}

// show ends a read that found fresh, whose checksum is 0 where there is nothing. The cache takes it over, unless it knows
// better: of a later read or write.
func (s *store[T]) show(name string, turn uint64, fresh cacheEntry[T]) {
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
func (s *store[T]) exchange(name string, fresh cacheEntry[T]) (old *T, changed bool) {
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
func (s *store[T]) left(name string, old *T) {
	if s.touched != nil {
		s.touched(name)
	}
	if old != nil && s.release != nil {
		s.release(old)
	}
}

// damagedError says why an entry cannot be used. It stays like that until somebody restores, deletes or replaces it.
type damagedError struct {
	key string
	why error
}

func (e *damagedError) Error() string { return e.key + " in storage cannot be used: " + e.why.Error() }

func (e *damagedError) Unwrap() error { return e.why }

// put stores the entry, and has it at hand for the next read. After an error it is not known whether storage has it.
func (s *store[T]) put(ctx context.Context, storage logical.Storage, name string, entry any) error {
	stored, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("encoding %s%s: %w", s.prefix, name, err)
	}
	err = storage.Put(ctx, &logical.StorageEntry{Key: s.prefix + name, Value: stored})
	// The writer goes on with its own copy. What cannot be decoded is an error for those who read it.
	fresh := cacheEntry[T]{sum: checksum(stored)}
	var unusable error
	if fresh.entry, unusable = s.decode(name, stored); err != nil {
		return s.doubtWrite(name, "writing %s%s to storage", err, fresh)
	}
	if unusable != nil {
		fresh = cacheEntry[T]{}
	}
	s.replace(name, fresh)
	return nil
}

// delete deletes the entry. After an error it is not known whether storage has it.
func (s *store[T]) delete(ctx context.Context, storage logical.Storage, name string) error {
	if err := storage.Delete(ctx, s.prefix+name); err != nil {
		return s.doubtWrite(name, "deleting %s%s from storage", err, cacheEntry[T]{})
	}
	s.replace(name, cacheEntry[T]{})
	return nil
}

// errUncertain is in the chain of every error of a write that may have arrived all the same.
var errUncertain = errors.New("it is not known whether storage has taken the change. The engine looks again by itself, " +
	"and what storage has then is what counts: read it in a minute, before you try again")

// doubtWrite notes that a write failed, and returns its error. Where storage takes no writes at all there is no doubt.
func (s *store[T]) doubtWrite(name, doing string, err error, wanted cacheEntry[T]) error {
	err = storageError(fmt.Sprintf(doing, s.prefix, name)+" failed", err)
	if errors.Is(err, logical.ErrReadOnly) {
		return err
	}
	s.mu.Lock()
	s.doubts[name] = &doubt[T]{wanted: wanted, since: s.now()}
	s.mu.Unlock()
	if s.doubted != nil {
		s.doubted(name)
	}
	return fmt.Errorf("%w; %w", err, errUncertain)
}

// settle ends the doubt about an entry where storage has what the write wanted, or nothing more is to be expected.
func (s *store[T]) settle(name string, sum uint64) {
	if d := s.doubts[name]; d != nil && (sum == d.wanted.sum || s.now().Sub(d.since) >= doubtLasts) {
		delete(s.doubts, name)
	}
}

// doubtful returns when to look whether a write has arrived; the zero time where there is no doubt.
func (s *store[T]) doubtful(name string) time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d := s.doubts[name]
	if d == nil {
		return time.Time{}
	}
	now := s.now()
	return now.Add(max(now.Sub(d.since), firstDoubtWait))
}

// mayHave returns the entries that storage may have, now or soon, because their write ended with an error. They must not be changed.
func (s *store[T]) mayHave() map[string]*T {
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

// invalidate drops a cached entry that another node has changed.
func (s *store[T]) invalidate(name string) { s.replace(name, cacheEntry[T]{}) }

// replace changes what is cached, and has reads that began before it change nothing. No entry is nothing.
func (s *store[T]) replace(name string, fresh cacheEntry[T]) {
	s.mu.Lock()
	if r := s.reads[name]; r != nil {
		r.applied = r.begun
	}
	old, _ := s.exchange(name, fresh)
	s.mu.Unlock()
	s.left(name, old) // also where nothing was cached: what is stored may be another entry than others know of
}

// all returns the entries in memory.
func (s *store[T]) all() []*T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*T, 0, len(s.entries))
	for _, known := range s.entries {
		all = append(all, known.entry)
	}
	return all
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
func decodeJSON(stored []byte, current int, into any) error { //nolint:unparam // each kind of entry has a version of its own
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
