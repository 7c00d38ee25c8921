package rotation

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// apiScenarios are stories of values that an API gives in place of the ones before. Lost answers are a part of some.
var apiScenarios = map[string]scenario{
	"api": {
		settings: onceAPI, version: 2, writes: 4, // intent, request announced, value, published
		acts: []act{startRotation("a", always)},
	},
	"api, to be repeated": {
		settings: repeatAPI, version: 2, writes: 4,
		acts: []act{startRotation("a", always)},
	},
	"api beside": {
		settings: onceAPI.beside(), version: 2, writes: 6, // as above, still the token's, retired
		acts: []act{startRotation("a", always)},
	},
	"api beside, to be repeated": {
		settings: repeatAPI.beside(), version: 2, writes: 6,
		acts: []act{startRotation("a", always)},
	},
	"api beside, without grace": {
		settings: onceAPI.beside().with(func(s *settings) { s.grace = 0 }), version: 2, writes: 6,
		acts: []act{startRotation("a", always)},
	},
	"api that limits the rate": {
		settings: onceAPI.with(func(s *settings) { s.throttles = 3 }), version: 2, writes: 10, // intent, four requests announced, three waits, value, published
		acts: []act{startRotation("a", always)},
	},
	"api that fails": {
		settings: onceAPI.with(func(s *settings) { s.failures = 1 }), version: 1, writes: 4, fails: true, // intent, announced, lost, told
		acts: []act{startRotation("a", always)},
	},
	"api, to be repeated, that fails": {
		settings: repeatAPI.with(func(s *settings) { s.failures = 3 }), version: 2,
		acts: []act{startRotation("a", always)},
	},
	"api that refuses": {
		settings: onceAPI.with(func(s *settings) { s.refuses = true }), version: 1, writes: 3, fails: true, // intent, announced, refusal
		acts: []act{startRotation("a", always)},
	},
	"api, its answer lost": {
		settings: onceAPI.with(func(s *settings) { s.unanswered = 1 }), version: 1, fails: true,
		acts: []act{startRotation("a", always)},
	},
	"api beside, its answer lost": {
		settings: onceAPI.beside().with(func(s *settings) { s.unanswered = 1 }), version: 1, fails: true,
		acts: []act{startRotation("a", always)},
	},
	"api, to be repeated, its answer lost twice": {
		settings: repeatAPI.with(func(s *settings) { s.unanswered = 2 }), version: 2,
		acts: []act{startRotation("a", always)},
	},
	"api that cannot be repeated although it is said so": {
		settings: repeatAPI.with(func(s *settings) { s.unanswered, s.byItself = 1, true }), version: 1, fails: true,
		acts: []act{startRotation("a", always)},
	},
	"api, its answer lost, handed in": {
		settings: onceAPI.with(func(s *settings) { s.unanswered = 1 }), version: 2,
		acts: []act{startRotation("a", always), handOver(personNeeded)},
	},
	"api, its answer lost in vain, started again": {
		settings: onceAPI.with(func(s *settings) { s.failures = 1 }), version: 2,
		acts: []act{startRotation("a", always), startRotation("b", personNeeded)},
	},
	"api, its answer lost, started again": {
		settings: onceAPI.with(func(s *settings) { s.unanswered = 1 }), version: 1, fails: true,
		acts: []act{startRotation("a", always), startRotation("b", personNeeded)},
	},
	"api, a value that takes its time": {
		settings: onceAPI.with(func(s *settings) { s.propagation = 10 * time.Minute }), version: 2,
		acts: []act{startRotation("a", always)},
	},
	"api beside, started again after a rejection": {
		settings: onceAPI.beside().with(func(s *settings) { s.propagation = 10 * time.Minute }), version: 2,
		acts: []act{startRotation("a", always), startRotation("b", rejectedOnce)},
	},
	"api, superseded while it is to be asked": {
		settings: onceAPI.with(func(s *settings) { s.throttles = 4 }), version: 2,
		acts: []act{startRotation("a", always), handOver(in(StateRequested))},
	},
	"api, superseded while its value does not work": {
		settings: onceAPI.with(func(s *settings) { s.propagation = 10 * time.Minute }), version: 2,
		acts: []act{startRotation("a", always), handOver(in(StatePending))},
	},
	"api beside, twice in the grace": {
		settings: onceAPI.beside(), version: 3,
		acts: []act{startRotation("a", always), startRotation("b", in(StateRetiring))},
	},
}

// checkAPI looks at what is left of a story with an API. What befell it may have cost an answer: then the truth is told.
func (s scenario) checkAPI(w *world) {
	w.tb.Helper()
	if state := w.last.State(); state != StateIdle {
		w.tb.Errorf("the state is %s", state)
	}
	if len(w.intents) > len(s.acts) {
		w.tb.Errorf("rotations that nobody asked for: %v", w.intents)
	}
	s.checkEnd(w, len(w.faults) > 0)
	w.checkBeside()
	w.checkHistory()
	w.checkWayOn()
	if w.tb.Failed() {
		w.tb.Log(w.describe())
	}
}

// checkEnd looks how the story ended. Befallen says that it may have ended otherwise than it is told.
func (s scenario) checkEnd(w *world, befallen bool) {
	w.tb.Helper()
	r := w.last
	asTold := befallen || r.Number() == s.version
	switch {
	case r.PersonNeeded:
		if !befallen && !s.fails {
			w.tb.Errorf("a person is needed: %s", r.LastError)
		}
		w.checkTold()
	case s.fails:
		if !asTold || !befallen && r.LastError == "" {
			w.tb.Errorf("version %d is current, the last problem %q", r.Number(), r.LastError)
		}
	case !asTold || r.LastError != "" || r.Failures > 0:
		w.tb.Errorf("version %d is current after %d failures, the last %q; want version %d", r.Number(), r.Failures, r.LastError, s.version)
	case !w.accepts(r.Current.Credential["id"]):
		w.tb.Error("the current value does not work")
	}
}

// checkBeside wants somebody to be told of values that live beside the current one and that nobody knows.
func (w *world) checkBeside() {
	w.tb.Helper()
	if orphans := w.orphans(); w.source == SourceAPI && w.overlapping && len(orphans) > 0 && !w.told {
		w.tb.Errorf("nobody was told of %v", orphans)
	}
}

// checkTold wants a person to know what has become of the current value, and what to do.
func (w *world) checkTold() {
	w.tb.Helper()
	r, works := w.last, "does not work any more"
	if w.accepts(r.Current.Credential["id"]) {
		works = "still works"
	} else if r.Health != HealthRejected {
		w.tb.Errorf("the current value is dead, and its health %s", r.Health)
	}
	again := strings.Contains(r.LastError, "As before, a new value is missing") // a rotation by hand was tried since
	if !w.told || !again && !strings.Contains(r.LastError, works) || !strings.Contains(r.LastError, "hand the") {
		w.tb.Errorf("the current value %s, and a person is told: %s", works, r.LastError)
	}
}

// checkWayOn wants a value that a person hands in to end whatever there is.
func (w *world) checkWayOn() {
	w.tb.Helper()
	clear(w.faults)
	number, id := w.last.Number(), "made by a person in the end"
	w.made[id] = w.now.Add(-w.propagation)
	if err := w.handIn(id); err != nil {
		w.tb.Fatal(err)
	}
	w.rest()
	if r := w.last; r.Number() != number+1 || r.PersonNeeded || r.LastError != "" || r.Failures > 0 || r.State() != StateIdle {
		w.tb.Errorf("after a hand-in: version %d, person needed: %t, %d failures, the last %q, %s", r.Number(), r.PersonNeeded, r.Failures, r.LastError, r.State())
	}
}

// The calls of a rotation by an API where nothing happens: intent stored, request announced, value asked for, value stored, tried,
// published.
func TestRenew_WhatAFaultCosts(t *testing.T) {
	t.Parallel()
	const intent, announced, asked, stored, tried = 1, 2, 3, 4, 5
	for name, tc := range map[string]struct {
		call  int
		fault fault
		// lost says that the answer is lost, and dead that the current value is.
		lost, dead bool
	}{
		"crash before the intent":             {call: intent, fault: crashBefore},
		"crash after the intent":              {call: intent, fault: crashAfter},
		"intent stored as an error says":      {call: intent, fault: answerLost},
		"crash before the announcement":       {call: announced, fault: crashBefore},
		"announcement not stored":             {call: announced, fault: noAnswer},
		"crash after the announcement":        {call: announced, fault: crashAfter, lost: true},
		"crash before the request":            {call: asked, fault: crashBefore, lost: true},
		"request without an answer":           {call: asked, fault: noAnswer, lost: true},
		"crash after the request":             {call: asked, fault: crashAfter, lost: true, dead: true},
		"answer lost":                         {call: asked, fault: answerLost, lost: true, dead: true},
		"crash before the value is stored":    {call: stored, fault: crashBefore, lost: true, dead: true},
		"value not stored at first":           {call: stored, fault: noAnswer},
		"value stored in spite of an error":   {call: stored, fault: answerLost},
		"crash after the value is stored":     {call: stored, fault: crashAfter},
		"crash before the value is tried":     {call: tried, fault: crashBefore},
		"provider silent about the new value": {call: tried, fault: noAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for kind, s := range map[string]settings{"once": onceAPI, "repeat": repeatAPI, "beside": onceAPI.beside()} {
				story := scenario{settings: s, version: 2, acts: []act{startRotation("a", always)}}
				w := newWorld(t, s)
				w.faults[tc.call] = tc.fault
				story.play(w)
				r, lost := w.last, tc.lost && s.once
				if r.PersonNeeded != lost || lost == (r.Number() == 2) {
					t.Errorf("%s: version %d, person needed: %t (%s)", kind, r.Number(), r.PersonNeeded, r.LastError)
				}
				dead := lost && tc.dead && !s.overlapping
				if lost && dead != strings.Contains(r.LastError, "version 1 does not work any more") {
					t.Errorf("%s: told %s", kind, r.LastError)
				}
				if died := w.happened(Died) == 1; died != dead {
					t.Errorf("%s: the alarm is %t", kind, died)
				}
				story.check(w)
			}
		})
	}
}

// Storage that takes nothing for a while after the answer does not cost the value.
func TestRenew_KeepsTheValueWhileStorageFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onceAPI)
	for call := 4; call < 10; call++ {
		w.faults[call] = noAnswer
	}
	w.mustStart("a")
	if r := w.last; r.Number() != 2 || w.count("Obtain") != 1 {
		t.Errorf("version %d, %d requests", r.Number(), w.count("Obtain"))
	}
	if waited := w.now.Sub(epoch).Truncate(time.Second); waited != keepTrying {
		t.Errorf("storage was tried for %s", waited)
	}
}

// interrupted has a rotation interrupted by a person while the API is at work on the request.
func interrupted(w *world) error {
	ctx, cancel := context.WithCancel(w.tb.Context())
	defer cancel()
	return w.run(func(m *Machine, r *Record) error {
		obtain := m.Obtain
		m.Obtain = func(ctx context.Context, p *Pending) (provider.Values, error) {
			cancel()
			return obtain(context.WithoutCancel(ctx), p)
		}
		if err := m.Start(ctx, r, Pending{ID: "a", Source: SourceAPI}); err != nil {
			return err
		}
		return m.Advance(ctx, r)
	})
}

func TestRenew_WhatTheAPISaidHoldsForWhoeverInterrupts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*settings)
		check  func(*Record) bool
	}{
		"a value":   {func(*settings) {}, func(r *Record) bool { return r.Number() == 2 }},
		"a refusal": {func(s *settings) { s.refuses = true }, func(r *Record) bool { return r.Pending == nil && !r.PersonNeeded && r.LastError == "not for you" }},
		"come back": {func(s *settings) { s.throttles = 1 }, func(r *Record) bool { return r.Pending.NotSent && !r.Pending.MayHaveAsked() }},
		"a lost answer": {func(s *settings) { s.unanswered = 1 }, func(r *Record) bool {
			return strings.Contains(r.Pending.Lost, "closed the connection") && r.Pending.MayHaveAsked()
		}},
		"nothing so far": {func(s *settings) { s.failures = 1 }, func(r *Record) bool { return strings.Contains(r.Pending.Lost, "is not well") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, onceAPI.with(tc.change))
			_ = interrupted(w) // says that it was interrupted, or nothing
			if !tc.check(w.last) {
				t.Fatalf("stored is %s", w.stored)
			}
			w.rest()
			if w.count("Obtain") > 1 && name != "come back" {
				t.Error("the API was asked again")
			}
		})
	}
}

// Work that was interrupted before the request sends none.
func TestRenew_IsNotSentByWhoWasInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onceAPI)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_ = w.run(func(m *Machine, r *Record) error {
		err := m.Start(ctx, r, Pending{ID: "a", Source: SourceAPI})
		cancel()
		if err == nil {
			err = m.Advance(ctx, r)
		}
		return err
	})
	if w.count("Obtain") != 0 || w.last.Pending == nil || w.last.Pending.MayHaveAsked() {
		t.Errorf("%d requests, stored %s", w.count("Obtain"), w.stored)
	}
	w.rest()
	if w.last.Number() != 2 {
		t.Errorf("the rotation does not go on: %s", w.describe())
	}
}

// A definition that is replaced while a rotation waits says what holds for later requests, not for those that were sent.
func TestRenew_WhatWasSentOnceStaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onceAPI)
	w.faults[3] = crashAfter
	_ = w.start("a")
	w.once = false
	w.rest()
	if w.count("Obtain") != 1 || !w.last.PersonNeeded {
		t.Errorf("asked %d times, stored %s", w.count("Obtain"), w.stored)
	}
}

func TestRenew_LooksForAWhileWhatHasBecomeOfTheCurrentValue(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		silent int
		says   string
	}{
		"the provider comes back":      {3, "version 1 does not work any more"},
		"the provider does not answer": {100, "whether version 1 still works is not known (provider.example.com has a problem of its own (HTTP 503)): verify it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, onceAPI.with(func(s *settings) { s.unanswered = 1 }))
			w.broken["Verify"] = errSilence
			w.mustStart("a")
			if r := w.last; r.Pending == nil || !strings.Contains(r.LastError, "is lost (provider.example.com closed the connection); whether version 1 still works is not known yet") {
				t.Errorf("a person is told %q", r.LastError)
			}
			for n := 0; w.last.Pending != nil && w.step(); n++ {
				if n == tc.silent {
					delete(w.broken, "Verify")
				}
			}
			if r := w.last; !r.PersonNeeded || !strings.Contains(r.LastError, tc.says) || w.now.Sub(epoch) > 20*time.Minute {
				t.Errorf("after %s: %s", w.now.Sub(epoch), r.LastError)
			}
			if w.count("Obtain") != 1 {
				t.Error("the API was asked again")
			}
		})
	}
}

func TestRenew_AnswersThatAreNoNewValue(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		value provider.Values
		err   error
		needs bool
		says  string
	}{
		"the current value":           {credential("first"), nil, true, "the provider's API answered with the current value instead of a new one"},
		"an error of an unknown kind": {nil, errors.New("storage is away"), true, "is lost (storage is away); version 1 still works"},
		"a refusal":                   {nil, errRefused, false, "It is not for you"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, onceAPI)
			err := w.run(func(m *Machine, r *Record) error {
				m.Obtain = func(context.Context, *Pending) (provider.Values, error) { return tc.value, tc.err }
				if err := m.Start(t.Context(), r, Pending{ID: "a", Source: SourceAPI}); err != nil {
					return err
				}
				return m.Advance(t.Context(), r)
			})
			if r := w.last; err != nil || r.Pending != nil || r.PersonNeeded != tc.needs || !strings.Contains(r.LastError, tc.says) {
				t.Errorf("error %v, person needed: %t, %s", err, r.PersonNeeded, r.LastError)
			}
		})
	}
}

// An API that may be asked again is, for a day, and then the truth is told.
func TestRenew_IsRepeatedForADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, repeatAPI.with(func(s *settings) { s.unanswered = 1000 }))
	w.mustStart("a")
	w.rest()
	r := w.last
	if waited := w.now.Sub(epoch); waited < maxRequestAge || waited > maxRequestAge+time.Hour || w.count("Obtain") < 100 {
		t.Errorf("given up after %s and %d requests", waited, w.count("Obtain"))
	}
	if !r.PersonNeeded || !strings.Contains(r.LastError, "version 1 does not work any more") {
		t.Errorf("told: %s", r.LastError)
	}
	w = newWorld(t, onceAPI.with(func(s *settings) { s.throttles = 10000 }))
	w.mustStart("a")
	w.rest()
	if r := w.last; r.PersonNeeded || !strings.Contains(r.LastError, "no new value after 24h0m0s") || !w.accepts("first") {
		t.Errorf("throttled for a day, told: %s", r.LastError)
	}
}

// The end of an old value is refused, told, and tried again.
func TestRenew_ARefusedEndIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onceAPI.beside())
	w.mustStart("a")
	w.broken["Retire"] = errRefused
	w.step()
	if r := w.last; len(r.Retiring) != 1 || !strings.Contains(r.LastError, "version 1 could not be retired: It is not for you") {
		t.Errorf("told: %s", r.LastError)
	}
	delete(w.broken, "Retire")
	w.rest()
	if r := w.last; r.LastError != "" || slices.ContainsFunc(r.History, func(h HistoryEntry) bool { return h.Version == 1 && h.RetiredHow != RetiredByEngine }) {
		t.Errorf("at the end: %s", w.stored)
	}
}
