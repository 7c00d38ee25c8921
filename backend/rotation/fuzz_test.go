package rotation

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// fuzzStory is a token's life as told by random bytes: what people do, what fails, what dies, and how long it all takes.
type fuzzStory struct {
	*world
	rotations int
	// unfinished is a value that a person has reset to and not got into the token yet.
	unfinished string
}

// What a byte pair tells: the first one what happens, the second one how.
var chapters = []func(*fuzzStory, byte){
	func(s *fuzzStory, _ byte) { s.step() },
	func(s *fuzzStory, how byte) {
		s.now = s.now.Add(time.Duration(how) * time.Minute)
		_ = s.advance() // may die
	},
	func(s *fuzzStory, _ byte) {
		s.rotations++
		_ = s.start(fmt.Sprint("rotation ", s.rotations)) // may be refused, or die
	},
	func(s *fuzzStory, how byte) {
		if id := "first"; how%4 == 0 && s.source == SourceIAM && s.accepts(id) && s.last.Current.Credential["id"] != id {
			s.handBack(id)
			return
		}
		id := fmt.Sprint("by hand ", len(s.made))
		s.made[id], s.released[id] = epoch.Add(-100*time.Hour), true
		s.handBack(id)
	},
	func(s *fuzzStory, how byte) { s.faults[len(s.calls)+1+int(how>>2)%16] = fault(1 + how%4) },
	func(s *fuzzStory, how byte) {
		calls := []string{"List", "Obtain", "Verify", "Retire", "Delete", "Save", "Fingerprint"}
		errs := []error{nil, errSilence, errLimit, errRefused}
		if call := calls[int(how>>2)%len(calls)]; how%4 == 0 {
			delete(s.broken, call)
		} else {
			s.broken[call] = errs[how%4]
		}
	},
	func(s *fuzzStory, how byte) {
		if s.verdict = nil; how%2 == 1 {
			s.verdict = &rejected
		}
	},
	func(s *fuzzStory, how byte) {
		s.failures, s.notYets, s.throttles, s.unanswered = int(how%4), int(how>>2)%4, int(how>>4)%4, int(how>>6)
	},
	func(s *fuzzStory, how byte) { // others of the mount come to live on a value, or leave it
		ids := append(slices.Sorted(maps.Keys(s.recorded)), "first")
		if id := ids[int(how)%len(ids)]; s.shared[id] == "" {
			s.shared[id] = `token "another"`
		} else {
			delete(s.shared, id)
		}
	},
	func(s *fuzzStory, how byte) { // the token moves to another owner
		if s.source != SourceIAM {
			return
		}
		id := fmt.Sprint("by hand ", len(s.made))
		s.made[id], s.released[id], s.owners[id] = epoch.Add(-100*time.Hour), true, []string{"app", "news"}[how%2]
		s.handBack(id)
	},
}

// handBack has a person hand in a value, ten minutes after the last thing that happened: a key that was made only just
// now, and left alive by hand, may be taken for a lost one.
func (s *fuzzStory) handBack(id string) {
	s.now = s.now.Add(listDelay)
	s.unfinished = id
	if s.handIn(id) == nil {
		s.unfinished = ""
	}
}

func tell(t *testing.T, script []byte) *fuzzStory {
	how := byte(0)
	if len(script) > 0 {
		how, script = script[0], script[1:]
	}
	delays := []time.Duration{0, 5 * time.Second, time.Minute, 5 * time.Minute}
	s := &fuzzStory{world: newWorld(t, settings{
		source: SourceIAM, grace: delays[how>>6], propagation: delays[how>>4%4], listLag: delays[how>>2%4], deletionLag: delays[how>>1%2],
	})}
	if how%2 == 1 {
		s.settings = settings{source: SourceHook, propagation: delays[how>>4%4]}
	}
	if how%4 == 3 { // once, which is asked for by the value itself; beside the value before
		s.settings = settings{source: SourceAPI, propagation: delays[how>>4%4], once: how>>2%2 == 1, byItself: how>>2%2 == 1, overlapping: how>>3%2 == 1}
		if s.overlapping {
			s.grace = delays[how>>6]
		}
	}
	const longest = 80 // chapters: fewer than versions that a record remembers
	for script = script[:min(len(script), 2*longest)]; len(script) > 1; script = script[2:] {
		chapters[int(script[0])%len(chapters)](s, script[1])
	}
	return s
}

// end lets everything heal and come to rest.
func (s *fuzzStory) end() {
	clear(s.faults)
	clear(s.broken)
	clear(s.shared)
	s.verdict, s.failures, s.notYets, s.throttles, s.unanswered = nil, 0, 0, 0, 0
	if s.unfinished != "" {
		s.handBack(s.unfinished)
	}
	s.rest()
	s.now = s.now.Add(24 * time.Hour)
}

func FuzzRotation(f *testing.F) {
	const step, wait, start, handIn, befall, breakCall, confuse, slow, share, move = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	const key, lateKey, hook = 0b00_00_00_00, 0b01_01_10_10, 0b00_01_00_01
	const repeatAPI, onceAPI, onceBeside = 0b00_00_00_11, 0b00_01_01_11, 0b01_00_11_11
	for _, script := range [][]byte{
		{key, start, 0, step, 0, start, 0, handIn, 1},
		{key, start, 0, handIn, 0, step, 0},
		{key, slow, 3, start, 0, step, 0, handIn, 1, wait, 20},
		{key, breakCall, 1, start, 0, breakCall, 3, start, 0, breakCall, 0, start, 0},
		{key, start, 0, breakCall, 3<<2 | 1, step, 0, step, 0, breakCall, 3 << 2},
		{lateKey, befall, 2<<2 | 1, start, 0, step, 0, befall, 1, wait, 30},
		{lateKey, befall, 3<<2 | 3, start, 0, handIn, 1, befall, 2, step, 0},
		{hook, slow, 3 << 2, befall, 1<<2 | 1, start, 0, step, 0, step, 0},
		{hook, confuse, 1, start, 0, step, 0, start, 0, confuse, 0, step, 0},
		{hook, start, 0, befall, 0, handIn, 1, step, 0},
		{key, start, 0, share, 0, step, 0, step, 0, share, 0, step, 0},
		{key, befall, 2<<2 | 1, start, 0, move, 1, step, 0, start, 0},
		{lateKey, befall, 2<<2 | 3, start, 0, move, 1, share, 3, wait, 30},
		{onceAPI, start, 0, step, 0, start, 0, handIn, 1},
		{onceAPI, slow, 1 << 6, start, 0, step, 0, start, 0, handIn, 1, start, 0},
		{onceAPI, befall, 2<<2 | 1, start, 0, step, 0, start, 0, step, 0},
		{onceAPI, befall, 3<<2 | 2, start, 0, confuse, 1, step, 0, start, 0, confuse, 0},
		{onceBeside, confuse, 1, start, 0, step, 0, start, 0, confuse, 0, wait, 30},
		{onceBeside, slow, 1 << 6, start, 0, step, 0, start, 0, breakCall, 3<<2 | 3, wait, 30, breakCall, 3 << 2},
		{repeatAPI, slow, 2<<6 | 2<<4 | 1, start, 0, step, 0, step, 0, step, 0, befall, 1, step, 0},
		{hook, breakCall, 1<<2 | 1, start, 0, wait, 255, wait, 255, wait, 255, wait, 255, wait, 255, wait, 255, start, 0},
	} {
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		s := tell(t, script)
		s.end()
		r, id := s.last, s.last.Current.Credential["id"]
		stalled := r.Pending != nil && r.Pending.Stalled()
		if state := r.State(); state != StateIdle && !stalled {
			t.Errorf("the state is %s", state)
		}
		if s.isReset() && id != s.live && r.Failures == 0 && !stalled {
			t.Errorf("current is %q, while the provider knows %q", id, s.live)
		}
		if len(s.intents) > s.rotations {
			t.Errorf("%d rotations were asked for, and there were %v", s.rotations, s.intents)
		}
		if !s.blames {
			s.checkKeys()
		}
		s.checkBeside()
		s.checkHistory()
		if t.Failed() {
			t.Log(s.describe())
		}
	})
}
