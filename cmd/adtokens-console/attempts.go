package main

import (
	"sync"
	"time"
)

// How often a sign-in may fail, from one address or for one name, before the next one has to wait.
const (
	maxFailures   = 10
	failureWindow = 5 * time.Minute
)

// maxAttempted bounds the memory that failed sign-ins take.
const maxAttempted = 50_000

// attempts counts sign-ins that have failed.
type attempts struct {
	mu     sync.Mutex
	failed map[string]*failures
}

type failures struct {
	count int
	since time.Time
}

func newAttempts() *attempts { return &attempts{failed: map[string]*failures{}} }

// begin counts an attempt before it is made, so that many at the same time are no way around. It says how long to wait where there
// were too many.
func (a *attempts) begin(now time.Time, keys ...string) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, f := range a.failed {
		if now.Sub(f.since) > failureWindow {
			delete(a.failed, key)
		}
	}
	for _, key := range keys {
		if f := a.failed[key]; f != nil && f.count >= maxFailures {
			wait = max(wait, f.since.Add(failureWindow).Sub(now))
		}
	}
	if wait > 0 {
		return wait
	}
	if len(a.failed) >= maxAttempted {
		return failureWindow
	}
	for _, key := range keys {
		if a.failed[key] == nil {
			a.failed[key] = &failures{since: now}
		}
		a.failed[key].count++
	}
	return 0
}

// forgive takes an attempt back that has not failed.
func (a *attempts) forgive(keys ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, key := range keys {
		if f := a.failed[key]; f != nil {
			if f.count--; f.count <= 0 {
				delete(a.failed, key)
			}
		}
	}
}
