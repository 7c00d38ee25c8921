package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

var (
	errSilence = &provider.Error{Host: "provider.example.com", Problem: "has a problem of its own (HTTP 503)"}
	errLimit   = &provider.Error{Kind: provider.RateLimited, Host: "provider.example.com", Problem: "limits the rate of requests (HTTP 429)", RetryAfter: 20 * time.Minute}
	errHours   = &provider.Error{Host: "provider.example.com", Problem: "is down for maintenance", RetryAfter: 3 * time.Hour}
	errRefused = &provider.Refused{Detail: "It is not for you"}

	rejected = provider.Verification{Outcome: provider.Rejected, Detail: "It is unknown."}
)

// failing says whether the rotation needs more than patience.
func failing(p *Pending) bool { return p.Attempts > 1 || p.Rejections > 0 }

// jittered says whether the wait is the wanted one, give or take a fifth and the time that calls take.
func jittered(got, want time.Duration) bool {
	const calls = 10 * latency
	return got >= want*8/10-calls && got <= want*12/10+calls
}

func TestAHookThatSaysNotYetIsAskedWhenItWants(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ after, least, most time.Duration }{
		"in half a minute": {after: 30 * time.Second, least: 30 * time.Second, most: 30 * time.Second},
		"in an hour":       {after: time.Hour, least: time.Hour, most: time.Hour},
		"at once":          {after: 0, least: time.Second, most: time.Minute},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, hook)
			w.broken["Obtain"] = &NotYet{After: tc.after}
			w.mustStart("a")
			r := w.last
			if wait := r.NextStep().Sub(w.now.Add(-latency)); r.State() != StateRequested || wait < tc.least || wait > tc.most {
				t.Errorf("%s, with the next step after %s; want %s to %s", r.State(), wait, tc.least, tc.most)
			}
			if failing(r.Pending) || r.LastError != "" || len(w.events) > 0 {
				t.Errorf("patience counts as failure: %q, events %v", r.LastError, w.events)
			}
		})
	}
}

func TestNothingIsDoneBeforeItsTime(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		settings settings
		before   func(*world)
	}{
		"idle":       {settings: iam, before: func(*world) {}},
		"requested":  {settings: hook, before: func(w *world) { w.notYets = 1; w.mustStart("a") }},
		"pending":    {settings: late, before: func(w *world) { w.mustStart("a") }},
		"retiring":   {settings: iam, before: func(w *world) { w.mustStart("a") }},
		"looked for": {settings: late, before: func(w *world) { w.failures = 1; w.mustStart("a"); w.step() }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.settings)
			tc.before(w)
			done := len(w.calls)
			if next := w.last.NextStep(); !next.IsZero() {
				w.sleepUntil(next.Add(-time.Nanosecond))
			}
			w.mustAdvance()
			if calls := w.calls[done:]; len(calls) > 0 {
				t.Errorf("did %v", calls)
			}
		})
	}
}

// Another look at the keys while a search waits would be one too many for the provider.
func TestASearchWaitsWhileTheRotationGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, late)
	w.failures = 1
	w.mustStart("a")
	w.step() // looks, and obtains a key that is not known yet
	looks := w.count("List")
	for w.now.Before(w.last.Searches[0].NextAttempt) && w.last.NextStep().Before(w.last.Searches[0].NextAttempt) {
		w.step()
	}
	if w.count("Verify") < 2 || w.count("List") != looks {
		t.Errorf("%d verifications, and %d looks", w.count("Verify"), w.count("List")-looks)
	}
}

// A process that lives on after a lost answer is as careful as one that starts.
func TestALostAnswerInALivingProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, iam)
	w.faults[obtaining] = answerLost
	if err := w.run(func(m *Machine, r *Record) error {
		err := m.Start(t.Context(), r, Pending{ID: "a", Source: SourceIAM})
		for err == nil && r.State() != StateRetiring {
			w.sleepUntil(r.NextStep())
			err = m.Advance(t.Context(), r)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if w.lost() != 1 || w.last.Number() != 2 {
		t.Errorf("%d keys lost, version %d", w.lost(), w.last.Number())
	}
	w.checkKeys()
}

func TestAnAnswerEndsTheFailureOfItsRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hook)
	w.failures = 1
	w.mustStart("a")
	if w.last.LastError == "" || !failing(w.last.Pending) {
		t.Fatal("no failure")
	}
	w.faults[len(w.calls)+3] = crashBefore // Verify, after Obtain and Save
	w.step()
	if r := w.last; r.State() != StatePending || r.LastError != "" || failing(r.Pending) {
		t.Errorf("%s, %q, failing: %t", r.State(), r.LastError, failing(r.Pending))
	}
}

func TestAStartBesideARotation(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		settings settings
		broken   string
	}{
		"key requested":  {settings: iam, broken: "Obtain"},
		"key pending":    {settings: iam, broken: "Verify"},
		"hook requested": {settings: hook, broken: "Obtain"},
		"hook pending":   {settings: hook, broken: "Verify"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.settings)
			w.broken[tc.broken] = errSilence
			w.mustStart("a")
			before := string(w.stored)
			for range 2 {
				if err := w.start("b"); err == nil || !strings.Contains(err.Error(), "under way") {
					t.Errorf("Start says %v", err)
				}
				w.broken["List"] = errSilence
			}
			if after := string(w.stored); after != before {
				t.Errorf("the record was changed from %s to %s", before, after)
			}
		})
	}
}

// A rotation that is refused leaves the policy a wait that grows.
func TestRefusalsPutOffTheNextRotation(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		settings settings
		call     string
		err      error
	}{
		"key refused":      {settings: iam, call: "Obtain", err: errRefused},
		"list refused":     {settings: iam, call: "List", err: errRefused},
		"list unavailable": {settings: iam, call: "List", err: errSilence},
		"hook refused":     {settings: hook, call: "Obtain", err: errRefused},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.settings)
			w.broken[tc.call] = tc.err
			for i, want := range []int{1, 2, 4, 8, 16, 32, 60, 60, 60} {
				if err := w.start(fmt.Sprint(i)); tc.call == "List" && !errors.Is(err, tc.err) {
					t.Fatalf("Start says %v, want %v", err, tc.err)
				}
				r := w.last
				if r.State() != StateIdle || r.Number() != 1 || r.Failures != i+1 || r.LastError != tc.err.Error() {
					t.Fatalf("%s, version %d, %d failures, %q", r.State(), r.Number(), r.Failures, r.LastError)
				}
				if wait := r.RetryAt.Sub(w.now); !jittered(wait, time.Duration(want)*time.Minute) {
					t.Errorf("wait %d is %s, want %d minutes", i, wait, want)
				}
				w.sleepUntil(r.RetryAt)
			}
			if failed := w.happened(Failed); failed != 1 {
				t.Errorf("%d events for one cause", failed)
			}
			delete(w.broken, tc.call)
			w.mustStart("at last")
			if r := w.last; r.Number() != 2 || r.Failures != 0 || !r.RetryAt.IsZero() || r.LastError != "" {
				t.Errorf("version %d, %d failures, next try %s, %q", r.Number(), r.Failures, r.RetryAt, r.LastError)
			}
		})
	}
}

// A call that fails is made again after a wait that grows, or as late as the provider asks.
func TestSilenceIsWaitedOut(t *testing.T) {
	t.Parallel()
	startWith := func(f fault) func(*world) {
		return func(w *world) {
			w.faults[3] = f // Obtain
			if err := w.start("a"); !errors.Is(err, errCrash) {
				w.tb.Fatal("no crash")
			}
		}
	}
	pending := func(r *Record) time.Time { return r.Pending.NextAttempt }
	tests := map[string]struct {
		settings settings
		call     string
		// before leads to the call; without it the start of a rotation does.
		before func(*world)
		next   func(*Record) time.Time
	}{
		"asking a hook":      {settings: hook, call: "Obtain", next: pending},
		"asking for a key":   {settings: iam, call: "Obtain", next: pending},
		"verifying":          {settings: hook, call: "Verify", next: pending},
		"listing keys":       {settings: iam, call: "List", before: startWith(crashBefore), next: pending},
		"deleting an orphan": {settings: iam, call: "Delete", before: startWith(crashAfter), next: pending},
		"retiring":           {settings: iam, call: "Retire", before: func(w *world) { w.mustStart("a") }, next: (*Record).NextStep},
	}
	for name, tc := range tests {
		for _, cause := range []*provider.Error{errSilence, errLimit} {
			t.Run(fmt.Sprintf("%s: %s", name, cause.Problem), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, tc.settings)
				if tc.before != nil {
					tc.before(w)
				}
				w.broken[tc.call] = cause
				if tc.before == nil {
					w.mustStart("a")
				} else {
					w.step()
				}
				for i := range 12 {
					want := max(min(time.Second<<i, 5*time.Minute), cause.RetryAfter)
					next := tc.next(w.last)
					if wait := next.Sub(w.now); !jittered(wait, want) {
						t.Errorf("wait %d is %s, want %s", i, wait, want)
					}
					w.sleepUntil(next)
					w.mustAdvance()
				}
				if r := w.last; !strings.Contains(r.LastError, cause.Error()) || w.happened(Failed) != 1 {
					t.Errorf("last error %q, %d events", r.LastError, w.happened(Failed))
				}
				delete(w.broken, tc.call)
				w.rest()
				if r := w.last; r.Number() != 2 || r.State() != StateIdle || r.LastError != "" {
					t.Errorf("version %d, %s, last error %q", r.Number(), r.State(), r.LastError)
				}
			})
		}
	}
}

func TestARequestIsGivenUpAfterADay(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		settings settings
		err      error
	}{
		"hook, not yet": {settings: hook, err: &NotYet{After: time.Hour}},
		"hook, silence": {settings: hook, err: errHours},
		"key, silence":  {settings: iam, err: errHours},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.settings)
			w.broken["Obtain"] = tc.err
			w.mustStart("a")
			for w.last.Pending != nil && w.step() {
			}
			if age := w.now.Sub(epoch); age < 24*time.Hour || age > 28*time.Hour {
				t.Errorf("given up after %s", age)
			}
			w.rest()
			if r := w.last; r.Number() != 1 || r.State() != StateIdle || r.Failures != 1 || !strings.Contains(r.LastError, tc.err.Error()) {
				t.Errorf("version %d, %s, %d failures, %q", r.Number(), r.State(), r.Failures, r.LastError)
			}
		})
	}
}

// A fresh key may be refused for a while.
func TestAFreshKeyGetsTenMinutes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		propagation time.Duration
		version     int
	}{
		"known at once":           {propagation: 0, version: 2},
		"known after 9 minutes":   {propagation: 9 * time.Minute, version: 2},
		"unknown after 9 minutes": {propagation: 100 * time.Hour, version: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, iam)
			w.propagation = tc.propagation
			w.mustStart("a")
			for last := w.now; w.last.State() == StatePending; last = w.now {
				if w.step(); w.now.Sub(last) > 20*time.Second || w.now.Sub(epoch) > 11*time.Minute {
					t.Errorf("tried after %s, %s after the last time", w.now.Sub(epoch), w.now.Sub(last))
				}
			}
			w.rest()
			r := w.last
			if r.Number() != tc.version || r.State() != StateIdle || len(w.orphans()) > 0 {
				t.Errorf("version %d, %s, orphans %v", r.Number(), r.State(), w.orphans())
			}
			if _, deleted := w.deleted["key 2"]; deleted != (tc.version == 1) {
				t.Errorf("new key deleted: %t", deleted)
			}
			if tc.version == 1 && (!strings.Contains(r.LastError, "It is unknown.") || r.Failures != 1 || r.RetryAt.IsZero()) {
				t.Errorf("%q, %d failures, next try %s", r.LastError, r.Failures, r.RetryAt)
			}
		})
	}
}

// What a hook gave may be the only value that exists, so it is kept, and tried for about a day.
func TestARejectedValueOfAHookIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hook)
	w.verdict = &rejected
	w.mustStart("a")
	w.rest()
	r := w.last
	if r.State() != StatePending || r.Pending.Credential["id"] != "value 2" || !r.Pending.Stalled() || r.Number() != 1 {
		t.Fatalf("%s, version %d, pending %+v", r.State(), r.Number(), r.Pending)
	}
	if tried := w.now.Sub(epoch); tried < 20*time.Hour || tried > 30*time.Hour || w.count("Verify") > 50 {
		t.Errorf("tried %d times in %s", w.count("Verify"), tried)
	}
	if wait := r.RetryAt.Sub(w.now); !jittered(wait, 24*time.Hour) {
		t.Errorf("the policy may start another reset in %s", wait)
	}
	if w.happened(Failed) != 1 || !strings.Contains(r.LastError, "It is unknown.") {
		t.Errorf("%d events, last error %q", w.happened(Failed), r.LastError)
	}
}

func TestAStalledValueWaitsForTheNextRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hook)
	w.verdict = &rejected
	w.mustStart("a")
	w.rest()
	tried := len(w.calls)
	w.now = w.now.Add(1000 * time.Hour)
	if w.mustAdvance(); len(w.calls) > tried {
		t.Errorf("did %v", w.calls[tried:])
	}
	w.verdict = nil
	w.mustStart("b")
	if r := w.last; r.Number() != 2 || r.Current.Credential["id"] != "value 3" || r.State() != StateIdle || r.LastError != "" {
		t.Errorf("version %d is %q, %s, %q", r.Number(), r.Current.Credential["id"], r.State(), r.LastError)
	}
}

func TestANewRotationReplacesARejectedValueOnlyByANewOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hook)
	w.verdict = &rejected
	w.mustStart("a")

	w.broken["Obtain"] = errSilence
	w.mustStart("b")
	if p := w.last.Pending; p.ID != "b" || p.Credential != nil || p.Replaces == nil || p.Replaces.Credential["id"] != "value 2" {
		t.Fatalf("while b is asked for: %+v", p)
	}
	w.broken["Obtain"] = errRefused
	w.step()
	r := w.last
	if p := r.Pending; r.State() != StatePending || p.ID != "a" || p.Credential["id"] != "value 2" || p.Replaces != nil {
		t.Fatalf("after b was refused: %+v", p)
	}
	if r.NextStep().IsZero() {
		t.Error("the old value is not tried any more")
	}

	delete(w.broken, "Obtain")
	w.mustStart("c")
	if p := w.last.Pending; p.ID != "c" || p.Credential["id"] != "value 3" || p.Replaces != nil {
		t.Fatalf("after c was answered: %+v", p)
	}
	w.verdict = nil
	w.rest()
	if r := w.last; r.Number() != 2 || r.Current.Credential["id"] != "value 3" {
		t.Errorf("version %d is %q", r.Number(), r.Current.Credential["id"])
	}
}

func TestAHookThatAnswersWithTheCurrentValueHasFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hook)
	w.resets["a"] = "first"
	w.mustStart("a")
	if r := w.last; r.Number() != 1 || r.State() != StateIdle || !strings.HasPrefix(r.LastError, errNotNew(SourceHook).Error()) || r.Failures != 1 || !r.PersonNeeded {
		t.Errorf("version %d, %s, %d failures, %q", r.Number(), r.State(), r.Failures, r.LastError)
	}
}

// The provider cannot tell, but answers: that is no reason to keep apps down.
func TestAnInconclusiveValueIsPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hook)
	w.verdict = &provider.Verification{Outcome: provider.Inconclusive, Detail: "Nobody can tell."}
	w.mustStart("a")
	if r := w.last; r.Number() != 2 || r.Health != HealthUnverified || r.History[1].Verification != string(provider.Inconclusive) || r.LastError != "" {
		t.Errorf("version %d, %s, %+v, %q", r.Number(), r.Health, r.History[1], r.LastError)
	}
}

func TestAValueWithoutFingerprintIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hook)
	w.broken["Fingerprint"] = errSilence
	if err := w.start("a"); !errors.Is(err, errSilence) {
		t.Fatalf("Start says %v", err)
	}
	if r := w.last; r.State() != StatePending || r.Number() != 1 {
		t.Fatalf("%s, version %d", r.State(), r.Number())
	}
	delete(w.broken, "Fingerprint")
	w.rest()
	if r := w.last; r.Number() != 2 {
		t.Errorf("version %d", r.Number())
	}
}

func TestEachCauseIsAnEventOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hook)
	var seen []string
	for _, cause := range []error{errSilence, errSilence, errLimit, errLimit, errSilence} {
		w.broken["Obtain"] = cause
		if w.last.Pending == nil {
			w.mustStart("a")
		} else {
			w.step()
		}
		seen = append(seen, fmt.Sprintf("%d: %s", w.happened(Failed), w.last.LastError))
	}
	want := []string{"1: " + errSilence.Error(), "1: " + errSilence.Error(), "2: " + errLimit.Error(), "2: " + errLimit.Error(), "3: " + errSilence.Error()}
	if !slices.Equal(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}
	delete(w.broken, "Obtain")
	w.rest()
	if r := w.last; r.LastError != "" || w.happened(Published) != 1 || len(w.events) != 4 {
		t.Errorf("last error %q, events %v", r.LastError, w.events)
	}
}

// Why a rotation failed stays visible while what it left behind fails, too.
func TestALeftoverDoesNotHideAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, iam)
	w.mustStart("a")
	w.broken["Obtain"], w.broken["Retire"] = errRefused, errSilence
	w.mustStart("b")
	for range 3 {
		w.step()
	}
	r := w.last
	if r.LastError != errRefused.Error() || !strings.Contains(r.Retiring[0].LastError, "version 1 could not be retired: "+errSilence.Error()) {
		t.Errorf("last error %q, of the retirement %q", r.LastError, r.Retiring[0].LastError)
	}
	clear(w.broken)
	w.rest()
	if r := w.last; r.LastError != errRefused.Error() || w.happened(Retired) != 1 {
		t.Errorf("last error %q, events %v", r.LastError, w.events)
	}
	w.mustStart("c")
	if r := w.last; r.LastError != "" {
		t.Errorf("last error %q", r.LastError)
	}
}

func TestALeftoverTellsOfItsLatestFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, iam)
	w.mustStart("a")
	for _, cause := range []error{errSilence, errRefused, errSilence} {
		w.broken["Retire"] = cause
		w.step()
		if want := "version 1 could not be retired: " + cause.Error(); w.last.LastError != want || w.last.Retiring[0].LastError != want {
			t.Errorf("last error %q, of the retirement %q", w.last.LastError, w.last.Retiring[0].LastError)
		}
	}
}

// A person who returns to an old value has it back for good.
func TestAValueThatIsCurrentAgainIsNotRetired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, iam)
	w.mustStart("a")
	if err := w.handIn("first"); err != nil {
		t.Fatal(err)
	}
	w.rest()
	w.now = w.now.Add(100 * time.Hour)
	if r := w.last; r.Number() != 3 || len(r.Retiring) > 0 || !w.accepts("first") {
		t.Errorf("version %d, accepted: %t; retiring %+v", r.Number(), w.accepts("first"), r.Retiring)
	}
	w.checkHistory()
}

func TestSupersede(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		settings settings
		// before leads to the state in which a value is handed in.
		before func(*world)
		state  State
		// after is the state then.
		after State
	}{
		"key, idle":       {settings: iam, before: func(*world) {}, state: StateIdle, after: StateIdle},
		"key, requested":  {settings: iam, before: func(w *world) { w.failures = 1; w.mustStart("a") }, state: StateRequested, after: StateRetiring},
		"key, pending":    {settings: late, before: func(w *world) { w.mustStart("a") }, state: StatePending, after: StateRetiring},
		"key, retiring":   {settings: iam, before: func(w *world) { w.mustStart("a") }, state: StateRetiring, after: StateRetiring},
		"hook, idle":      {settings: hook, before: func(*world) {}, state: StateIdle, after: StateIdle},
		"hook, requested": {settings: hook, before: func(w *world) { w.notYets = 1; w.mustStart("a") }, state: StateRequested, after: StateIdle},
		"hook, pending":   {settings: hook, before: func(w *world) { w.propagation = time.Hour; w.mustStart("a") }, state: StatePending, after: StateIdle},
		"hook, started again": {settings: hook, state: StateRequested, after: StateIdle, before: func(w *world) {
			w.verdict = &rejected
			w.mustStart("a")
			w.notYets = 1
			w.mustStart("b")
			w.verdict = nil
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.settings)
			tc.before(w)
			w.made["by hand"] = w.now.Add(-tc.settings.propagation - time.Hour)
			if got := w.last.State(); got != tc.state {
				t.Fatalf("the state before is %s, want %s", got, tc.state)
			}
			w.propagation = 0 // of the value by hand
			if err := w.handIn("by hand"); err != nil {
				t.Fatal(err)
			}
			r := w.last
			if r.State() != tc.after || r.Pending != nil || r.LastError != "" {
				t.Errorf("%s, %q, pending %+v", r.State(), r.LastError, r.Pending)
			}
			w.rest()
			if r := w.last; r.State() != StateIdle || r.Current.Credential["id"] != "by hand" {
				t.Errorf("%s, current %q", r.State(), r.Current.Credential["id"])
			}
			w.checkKeys()
			w.checkHistory()
		})
	}
}

func TestRetireNow(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		settings settings
		before   func(*world)
		broken   string
		wantErr  bool
	}{
		"nothing":           {settings: iam, before: func(*world) {}},
		"in its grace":      {settings: iam, before: func(w *world) { w.mustStart("a") }},
		"two":               {settings: iam, before: func(w *world) { w.mustStart("a"); w.mustStart("b") }},
		"a key that is new": {settings: late, before: func(w *world) { w.mustStart("a") }},
		"a key that is lost": {settings: iam, before: func(w *world) {
			w.faults[3] = answerLost // Obtain
			w.mustStart("a")
		}},
		"after a failure":         {settings: iam, before: func(w *world) { w.mustStart("a"); w.refuses = true; w.mustStart("b") }},
		"provider does not do it": {settings: iam, before: func(w *world) { w.mustStart("a") }, broken: "Retire", wantErr: true},
		"keys cannot be listed": {settings: iam, broken: "List", wantErr: true, before: func(w *world) {
			w.faults[3] = answerLost // Obtain
			w.mustStart("a")
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.settings)
			tc.before(w)
			w.deletingToken = true
			if tc.broken != "" {
				w.broken[tc.broken] = errSilence
			}
			r := w.load()
			err := w.machine(r).RetireNow(t.Context(), r)
			if (err != nil) != tc.wantErr || tc.wantErr && !strings.Contains(err.Error(), errSilence.Error()) {
				t.Fatalf("RetireNow says %v", err)
			}
			var left []string
			for id := range w.made {
				if _, gone := w.deleted[id]; !gone && !w.foreign[id] && id != r.Current.Credential["id"] && w.source == SourceIAM {
					left = append(left, id)
				}
			}
			if (len(left) > 0) != tc.wantErr || !tc.wantErr && (len(r.Retiring) > 0 || r.Pending != nil) {
				t.Errorf("left alive: %v, retiring %+v, pending %+v", left, r.Retiring, r.Pending)
			}
		})
	}
}

func TestRetireNow_LeavesARotationByAHookAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hook)
	w.notYets = 1
	w.mustStart("a")
	r := w.load()
	if err := w.machine(r).RetireNow(t.Context(), r); err != nil || r.Pending == nil {
		t.Errorf("pending: %t, error %v; want the rotation there, whose value nobody else has", r.Pending != nil, err)
	}
}

func TestRetireNowStopsWhenStorageFails(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*world){
		"retiring":  func(w *world) { w.mustStart("a") },
		"searching": func(w *world) { w.failures = 1; w.mustStart("a") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, iam)
			before(w)
			w.broken["Save"], w.deletingToken = context.DeadlineExceeded, true
			r := w.load()
			if err := w.machine(r).RetireNow(t.Context(), r); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("RetireNow says %v", err)
			}
		})
	}
}
