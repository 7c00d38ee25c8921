package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// slowStorage gives an entry as it was when the read began, after the test has let it go on.
type slowStorage struct {
	logical.InmemStorage
	reading, goOn chan struct{}
}

func (s *slowStorage) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	entry, err := s.InmemStorage.Get(ctx, key)
	s.reading <- struct{}{}
	<-s.goOn
	return entry, err
}

type number struct {
	Schema int `json:"schema"`
	Value  int `json:"value"`
}

// stored is the entry as the store stores it.
func stored(key string, n number) *logical.StorageEntry {
	return &logical.StorageEntry{Key: key, Value: fmt.Appendf(nil, `{"schema":%d,"value":%d}`, n.Schema, n.Value)}
}

func TestASlowReadDoesNotCacheWhatAWriteReplaced(t *testing.T) {
	t.Parallel()
	storage := &slowStorage{reading: make(chan struct{}), goOn: make(chan struct{}, 2)}
	s := newStore("n/", time.Now, func(_ string, stored []byte) (*number, error) {
		n := &number{}
		return n, decodeJSON(stored, 1, n)
	})
	if err := s.put(t.Context(), storage, "a", number{1, 1}); err != nil {
		t.Fatal(err)
	}
	s.invalidate("a") // by another node
	old := make(chan int)
	go func() {
		n, err := s.get(t.Context(), storage, "a")
		if err != nil {
			n = &number{}
		}
		old <- n.Value
	}()
	<-storage.reading
	if err := s.put(t.Context(), storage, "a", number{1, 2}); err != nil {
		t.Fatal(err)
	}
	storage.goOn <- struct{}{}
	if got := <-old; got != 1 {
		t.Errorf("the slow read gives %d, want 1", got)
	}
	n, err := s.get(t.Context(), storage, "a") // which does not ask storage: that would wait for ever
	if err != nil || n.Value != 2 {
		t.Errorf("the next read gives %v, error %v; want 2", n, err)
	}
}

func TestKeyedLocks(t *testing.T) {
	t.Parallel()
	var locks keyedLocks
	unlock, err := locks.lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := locks.lock(t.Context(), "b")
	if err != nil {
		t.Fatalf("another name waits: %v", err)
	}
	other()
	expired, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := locks.rlock(expired, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting beyond the deadline gives %v", err)
	}
	unlock()
	var readers []func()
	for range 3 {
		r, err := locks.rlock(t.Context(), "a")
		if err != nil {
			t.Fatalf("readers exclude each other: %v", err)
		}
		readers = append(readers, r)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		w, err := locks.lock(t.Context(), "a")
		if err != nil {
			t.Errorf("a writer after readers: %v", err)
			return
		}
		w()
	})
	for _, r := range readers {
		r()
	}
	wg.Wait()
	if len(locks.locks) != 0 {
		t.Errorf("%d locks are left behind", len(locks.locks))
	}
}
