package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// resets performs one reset for each idempotency key, however often and from wherever it is asked for.
//
// What a crash leaves behind, by the step before which it happens, and what the next delivery of the key does:
//
//  1. the current credential is read and remembered: nothing has happened
//  2. the token is reset: if the console still shows the remembered credential, it was not reset, so that is done now;
//     else the value that the console shows is the answer
//  3. the new credential is remembered: as 2. Nothing is lost, because the consoles show a credential again
//  4. answer: the remembered credential is the answer
type resets struct {
	console console
	store   store
	// timeout bounds one reset, which goes on when the caller hangs up.
	timeout time.Duration
	logger  hclog.Logger

	mu      sync.Mutex // guards jobs
	jobs    map[string]*job
	running sync.WaitGroup
}

// job is a reset that is running, or whose failure nobody was told yet.
type job struct {
	event event
	// done is closed at the end, when credential or err is set.
	done       chan struct{}
	credential map[string]string
	err        error
}

// errReused marks a key that came before with another token.
var errReused = errors.New("the idempotency key belongs to the reset of another token")

// deliver returns the job for the event, started by this delivery unless it is running, or done. The context's end does
// not end the job.
func (r *resets) deliver(ctx context.Context, e event) (j *job, started bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j, ok := r.jobs[e.IdempotencyKey]; ok {
		if !j.event.sameToken(e) {
			return failed(errReused), false
		}
		return j, false
	}
	found, err := r.store.get(e.IdempotencyKey)
	switch {
	case err != nil:
		return failed(err), false
	case found != nil && !found.Event.sameToken(e):
		return failed(errReused), false
	case found != nil && found.Credential != nil:
		return succeeded(found.Credential), false
	}
	j = &job{event: e, done: make(chan struct{})}
	r.jobs[e.IdempotencyKey] = j
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
	r.running.Go(func() {
		defer cancel()
		r.run(ctx, j, found)
	})
	return j, true
}

func (j *job) ended() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

func succeeded(credential map[string]string) *job {
	j := &job{done: make(chan struct{}), credential: credential}
	close(j.done)
	return j
}

func failed(err error) *job {
	j := &job{done: make(chan struct{}), err: err}
	close(j.done)
	return j
}

// told forgets a job whose failure is on its way to the caller, so that the next delivery tries again.
func (r *resets) told(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jobs[j.event.IdempotencyKey] == j {
		delete(r.jobs, j.event.IdempotencyKey)
	}
}

// wait returns when no reset is running any more.
func (r *resets) wait() { r.running.Wait() }

func (r *resets) run(ctx context.Context, j *job, found *entry) {
	logger := r.logger.With("key", j.event.IdempotencyKey, "account", j.event.Account, "token", j.event.Token)
	j.credential, j.err = r.obtain(ctx, j.event, found)
	if j.err == nil {
		logger.Info("the token was reset", "reason", j.event.Reason)
		r.told(j) // the store knows it from now on
	} else {
		logger.Error("the reset failed", "error", j.err)
	}
	close(j.done)
}

func (r *resets) obtain(ctx context.Context, e event, found *entry) (map[string]string, error) {
	current, err := r.console.show(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("looking at the current credential: %w", err)
	}
	if found == nil {
		found = &entry{Event: e, Before: digest(current)}
		if err := r.store.put(e.IdempotencyKey, *found); err != nil {
			return nil, err
		}
	}
	if digest(current) == found.Before {
		if current, err = r.console.reset(ctx, e); err != nil {
			return nil, fmt.Errorf("resetting: %w", err)
		}
	}
	found.Credential = current
	if err := r.store.put(e.IdempotencyKey, *found); err != nil {
		return nil, err
	}
	return current, nil
}

// digest identifies a credential without giving it away.
func digest(credential map[string]string) string {
	text, _ := json.Marshal(credential) // strings always marshal, in the order of their keys
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
