package cache

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

func TestLocks(t *testing.T) {
	t.Parallel()
	var locks Locks
	unlock, err := locks.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := locks.Lock(t.Context(), "b")
	if err != nil {
		t.Fatalf("another name waits: %v", err)
	}
	other()
	expired, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := locks.RLock(expired, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting beyond the deadline gives %v", err)
	}
	unlock()
	var readers []func()
	for range 3 {
		r, err := locks.RLock(t.Context(), "a")
		if err != nil {
			t.Fatalf("readers exclude each other: %v", err)
		}
		readers = append(readers, r)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		w, err := locks.Lock(t.Context(), "a")
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

func TestLocks_WaitingInVainSaysSoAndThatTryingAgainHelps(t *testing.T) {
	t.Parallel()
	var locks Locks
	unlock, err := locks.Lock(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if locks.TryLock("acme") != nil {
		t.Error("the lock was given twice")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = locks.Lock(ctx, "acme")
	var coded logical.HTTPCodedError
	if !errors.As(err, &coded) || coded.Code() != http.StatusServiceUnavailable || !strings.Contains(err.Error(), "try again") {
		t.Errorf("got %v, want a sentence with status 503", err)
	}
}
