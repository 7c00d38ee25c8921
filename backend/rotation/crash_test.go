package rotation

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// act is what somebody does to the token as soon as it is possible, again and again until it is done.
type act struct {
	possible func(*Record) bool
	do       func(*world) error
	done     func(*world) bool
}

func startRotation(id string, possible func(*Record) bool) act {
	return act{
		possible: possible,
		do:       func(w *world) error { return w.start(id) },
		done:     func(w *world) bool { return w.intents[id] },
	}
}

// handOver hands in a value that was made long ago and kept in a drawer.
func handOver(possible func(*Record) bool) act {
	const id = "from the drawer"
	return act{
		possible: possible,
		do: func(w *world) error {
			if w.made[id].IsZero() {
				w.made[id], w.released[id] = epoch.Add(-100*time.Hour), true
			}
			return w.handIn(id)
		},
		done: func(w *world) bool { return w.recorded[id] },
	}
}

func always(*Record) bool { return true }

func in(state State) func(*Record) bool {
	return func(r *Record) bool { return r.State() == state }
}

func rejectedOnce(r *Record) bool { return r.Pending != nil && r.Pending.Rejections > 0 }

// scenario is a story that ends well, whatever crashes in between.
type scenario struct {
	settings
	acts []act
	// version is the current one at the end.
	version int
	// fails says that the story ends without what was asked for.
	fails bool
	// writes is how often the record is stored if nothing crashes; not checked where it is 0.
	writes int
}

var (
	iam  = settings{source: SourceIAM, grace: grace}
	late = settings{source: SourceIAM, grace: grace, propagation: 40 * time.Second, listLag: 20 * time.Second, deletionLag: 20 * time.Second}
	hook = settings{source: SourceHook}
	// one API must not be asked twice, and the other may be, because it is asked by another right than the value's.
	onceAPI   = settings{source: SourceAPI, once: true, byItself: true}
	repeatAPI = settings{source: SourceAPI}
)

func (s settings) beside() settings {
	s.overlapping, s.grace = true, grace
	return s
}

func personNeeded(r *Record) bool { return r.PersonNeeded && r.Pending == nil }

func (s settings) with(change func(*settings)) settings {
	change(&s)
	return s
}

var scenarios = map[string]scenario{
	"key": {
		settings: iam, version: 2, writes: 5, // intent, value, published, still the owner, retired
		acts: []act{startRotation("a", always)},
	},
	"key, everything late": {
		settings: late, version: 2,
		acts: []act{startRotation("a", always)},
	},
	"key, without grace": {
		settings: iam.with(func(s *settings) { s.grace = 0 }), version: 2, writes: 5,
		acts: []act{startRotation("a", always)},
	},
	"key, after failures": {
		settings: iam.with(func(s *settings) { s.failures = 2 }), version: 2,
		acts: []act{startRotation("a", always)},
	},
	"key, refused": {
		settings: iam.with(func(s *settings) { s.refuses = true }), version: 1, writes: 2, fails: true, // intent, refusal
		acts: []act{startRotation("a", always)},
	},
	"key that never works": {
		settings: late.with(func(s *settings) { s.propagation = 100 * time.Hour }), version: 1, fails: true,
		acts: []act{startRotation("a", always)},
	},
	"key, superseded while it is requested": {
		settings: iam.with(func(s *settings) { s.failures = 4 }), version: 2,
		acts: []act{startRotation("a", always), handOver(in(StateRequested))},
	},
	"key, superseded while it does not work": {
		settings: late, version: 2,
		acts: []act{startRotation("a", always), handOver(in(StatePending))},
	},
	"key, twice in the grace": {
		settings: late, version: 3,
		acts: []act{startRotation("a", always), startRotation("b", in(StateRetiring))},
	},
	"hook": {
		settings: hook, version: 2, writes: 3, // intent, value, published
		acts: []act{startRotation("a", always)},
	},
	"hook that is slow": {
		settings: hook.with(func(s *settings) { s.notYets = 3 }), version: 2, writes: 6, // intent, three times not yet, value, published
		acts: []act{startRotation("a", always)},
	},
	"hook, after failures": {
		settings: hook.with(func(s *settings) { s.failures = 3 }), version: 2, writes: 6, // intent, three failures, value, published
		acts: []act{startRotation("a", always)},
	},
	"hook that refuses": {
		settings: hook.with(func(s *settings) { s.refuses = true }), version: 1, writes: 2, fails: true, // intent, refusal
		acts: []act{startRotation("a", always)},
	},
	"hook, a value that takes its time": {
		settings: hook.with(func(s *settings) { s.propagation = 10 * time.Minute }), version: 2,
		acts: []act{startRotation("a", always)},
	},
	"hook, started again after a rejection": {
		settings: hook.with(func(s *settings) { s.propagation = 10 * time.Minute }), version: 2,
		acts: []act{startRotation("a", always), startRotation("b", rejectedOnce)},
	},
	"hook, superseded": {
		settings: hook.with(func(s *settings) { s.notYets = 4 }), version: 2,
		acts: []act{startRotation("a", always), handOver(in(StateRequested))},
	},
}

func init() { maps.Copy(scenarios, apiScenarios) }

// play lets the acts happen and everything come to rest. An act that has become impossible is left out.
func (s scenario) play(w *world) {
	w.tb.Helper()
	acts := slices.Clone(s.acts)
	for range 2000 {
		switch {
		case len(acts) > 0 && acts[0].done(w):
			acts = acts[1:]
		case len(acts) > 0 && acts[0].possible(w.last):
			if err := acts[0].do(w); err != nil {
				w.now = w.now.Add(storageRetry)
			}
		case !w.step():
			return
		}
	}
	w.tb.Fatalf("the story does not end: %s", w.describe())
}

// check looks at what is left when everything has come to rest and is known everywhere.
func (s scenario) check(w *world) {
	w.tb.Helper()
	w.now = w.now.Add(24 * time.Hour)
	r := w.last
	if w.source == SourceAPI {
		s.checkAPI(w)
		return
	}
	if r.Number() != s.version || r.State() != StateIdle {
		w.tb.Errorf("version %d is current and the state %s, want version %d", r.Number(), r.State(), s.version)
	}
	if (r.LastError != "") != s.fails || (r.Failures > 0) != s.fails || r.RetryAt.IsZero() == s.fails {
		w.tb.Errorf("%d failures, the last %q, next try %s; want failures: %t", r.Failures, r.LastError, r.RetryAt, s.fails)
	}
	if len(w.intents) > len(s.acts) {
		w.tb.Errorf("rotations that nobody asked for: %v", w.intents)
	}
	for id := range w.resets {
		if !w.intents[id] {
			w.tb.Errorf("the hook was asked for rotation %q, which was never stored", id)
		}
	}
	if !s.fails && w.source == SourceHook && r.Current.Credential["id"] != w.live {
		w.tb.Errorf("the current value is %q, and the one that the hook made last %q", r.Current.Credential["id"], w.live)
	}
	w.checkKeys()
	w.checkHistory()
	if w.tb.Failed() {
		w.tb.Log(w.describe())
	}
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s.settings)
			s.play(w)
			writes := w.saves
			s.check(w)
			if s.writes != 0 && writes != s.writes {
				t.Errorf("%d storage writes, want %d: %v", writes, s.writes, w.calls)
			}
		})
	}
}

// turningPoints are the numbers of the calls of a world that differ: of those with one name in one state, the first and
// the last.
func turningPoints(w *world) []int {
	type kind struct {
		state State
		call  string
	}
	first, last := map[kind]int{}, map[kind]int{}
	for i, call := range w.calls {
		k := kind{w.states[i], call}
		if first[k] == 0 {
			first[k] = i + 1
		}
		last[k] = i + 1
	}
	points := slices.AppendSeq(slices.Collect(maps.Values(first)), maps.Values(last))
	slices.Sort(points)
	return slices.Compact(points)
}

// faultsOf are the faults that differ for a call: one that only looks has no effect that could be half known.
func faultsOf(call string) []fault {
	switch call {
	case "List", "Verify", "Fingerprint":
		return []fault{crashBefore, noAnswer}
	default:
		return []fault{crashBefore, crashAfter, noAnswer, answerLost}
	}
}

// A fault befalls each call, of each kind.
func TestOneFaultAnywhere(t *testing.T) {
	t.Parallel()
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clean := newWorld(t, s.settings)
			s.play(clean)
			for _, n := range turningPoints(clean) {
				for _, f := range faultsOf(clean.calls[n-1]) {
					t.Run(fmt.Sprintf("%s %s (call %d)", f, clean.calls[n-1], n), func(t *testing.T) {
						w := newWorld(t, s.settings)
						w.faults[n] = f
						s.play(w)
						s.check(w)
					})
				}
			}
		})
	}
}

// A second process dies while it cleans up after the first.
func TestTwoCrashes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"key", "hook that is slow", "api", "api beside, to be repeated"} {
		s := scenarios[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clean := newWorld(t, s.settings)
			s.play(clean)
			for _, n := range turningPoints(clean) {
				for m := n + 1; m < n+5; m++ {
					for _, first := range []fault{crashBefore, crashAfter} {
						for _, second := range []fault{crashBefore, crashAfter} {
							t.Run(fmt.Sprintf("%s call %d, %s call %d", first, n, second, m), func(t *testing.T) {
								w := newWorld(t, s.settings)
								w.faults[n], w.faults[m] = first, second
								s.play(w)
								s.check(w)
							})
						}
					}
				}
			}
		})
	}
}
