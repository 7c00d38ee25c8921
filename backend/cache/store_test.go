package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
)

// slowStorage gives an entry as it was when the read began, after the test has let it go on.
type slowStorage struct {
	testkit.SlowReads
	reading, goOn chan struct{}
}

func newSlowStorage(goOn chan struct{}) *slowStorage {
	s := &slowStorage{reading: make(chan struct{}), goOn: goOn}
	s.SlowReads = testkit.SlowReads{Storage: testkit.NewStorage(), After: func(context.Context, string) error {
		s.reading <- struct{}{}
		<-s.goOn
		return nil
	}}
	return s
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
	storage := newSlowStorage(make(chan struct{}, 2))
	s := New("n/", time.Now, func(_ context.Context, _ logical.Storage, _ string, stored []byte) (*number, error) {
		n := &number{}
		return n, json.Unmarshal(stored, n)
	})
	if err := s.Put(t.Context(), storage, "a", number{1, 1}); err != nil {
		t.Fatal(err)
	}
	s.Invalidate("a") // by another node
	old := make(chan int)
	go func() {
		n, err := s.Get(t.Context(), storage, "a")
		if err != nil {
			n = &number{}
		}
		old <- n.Value
	}()
	<-storage.reading
	if err := s.Put(t.Context(), storage, "a", number{1, 2}); err != nil {
		t.Fatal(err)
	}
	storage.goOn <- struct{}{}
	if got := <-old; got != 1 {
		t.Errorf("the slow read gives %d, want 1", got)
	}
	n, err := s.Get(t.Context(), storage, "a") // which does not ask storage: that would wait for ever
	if err != nil || n.Value != 2 {
		t.Errorf("the next read gives %v, error %v; want 2", n, err)
	}
}

// What a slow read has seen does not take the place of what a later one has.
func TestStore_ReadsAreTakenOverInTheirOrder(t *testing.T) {
	t.Parallel()
	storage := newSlowStorage(make(chan struct{}))
	s := New("n/", time.Now, func(_ context.Context, _ logical.Storage, _ string, stored []byte) (*number, error) {
		n := &number{}
		return n, json.Unmarshal(stored, n)
	})
	if err := s.Put(t.Context(), storage, "a", number{1, 1}); err != nil {
		t.Fatal(err)
	}
	var done []chan struct{}
	load := func() {
		d := make(chan struct{})
		done = append(done, d)
		go func() {
			defer close(d)
			if _, err := s.Load(t.Context(), storage, "a"); err != nil {
				t.Error(err)
			}
		}()
		<-storage.reading
	}
	load()                                                                        // sees 1, and is slow
	if err := storage.Put(t.Context(), stored("n/a", number{1, 2})); err != nil { // a write that had failed
		t.Fatal(err)
	}
	late := make(chan *number)
	go func() {
		n, err := s.Load(t.Context(), storage, "a")
		if err != nil {
			t.Error(err)
		}
		late <- n
	}()
	<-storage.reading
	storage.goOn <- struct{}{}
	storage.goOn <- struct{}{}
	<-done[0]
	if n := <-late; n.Value != 2 {
		t.Errorf("the later read gives %d, want 2", n.Value)
	}
	if n := s.Peek("a"); n == nil || n.Value != 2 {
		t.Errorf("the cache has %v, want 2", n)
	}
	if len(s.reads) != 0 {
		t.Errorf("%d reads are left behind", len(s.reads))
	}
}
