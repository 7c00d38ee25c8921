package rotation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// mustCrash starts a rotation whose process dies when it asks for a key.
func (w *world) mustCrash(f fault) {
	w.tb.Helper()
	w.faults[obtaining] = f
	if err := w.start("a"); !errors.Is(err, errCrash) {
		w.tb.Fatalf("the process did not die: %v", err)
	}
}

// obtaining is the number of the call that asks for the first key: List and Save come before.
const obtaining = 3

// A key whose secret was lost is found and deleted, and it alone.
func TestALostKeyIsDeleted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		listLag time.Duration
		// meanwhile happens between the lost answer and the next step.
		meanwhile func(*world)
		version   int
	}{
		"seen at once":    {version: 2},
		"seen late":       {version: 2, listLag: 30 * time.Second},
		"seen very late":  {version: 2, listLag: 5 * time.Minute},
		"after a weekend": {version: 2, meanwhile: func(w *world) { w.now = w.now.Add(60 * time.Hour) }},
		"superseded":      {version: 2, listLag: 5 * time.Minute, meanwhile: handInDrawer},
		"others make keys later": {version: 2, meanwhile: func(w *world) {
			w.now = w.now.Add(10 * time.Minute)
			w.made["a colleague's"], w.foreign["a colleague's"] = w.now, true
		}},
		"lists fail for hours": {version: 2, meanwhile: func(w *world) {
			handInDrawer(w)
			w.broken["List"] = errSilence
			for w.now.Before(epoch.Add(5 * time.Hour)) {
				w.step()
			}
			delete(w.broken, "List")
		}},
		"deleting fails for hours": {version: 2, meanwhile: func(w *world) {
			handInDrawer(w)
			w.broken["Delete"] = errSilence
			for w.now.Before(epoch.Add(5 * time.Hour)) {
				w.step()
			}
			delete(w.broken, "Delete")
		}},
		"lists are refused for an hour": {version: 1, meanwhile: func(w *world) {
			w.broken["List"] = errRefused
			for w.now.Before(epoch.Add(time.Hour)) && w.step() {
			}
			delete(w.broken, "List")
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, iam.with(func(s *settings) { s.listLag = tc.listLag }))
			w.mustCrash(crashAfter)
			if tc.meanwhile != nil {
				tc.meanwhile(w)
			}
			w.rest()
			r := w.last
			if orphans := w.orphans(); w.lost() != 1 || len(orphans) > 0 {
				t.Errorf("%d keys lost, orphans %v: %s", w.lost(), orphans, w.describe())
			}
			if r.Number() != tc.version || r.State() != StateIdle {
				t.Errorf("version %d, %s", r.Number(), r.State())
			}
			if problem := r.LastError; tc.version == 2 && problem != "" {
				t.Errorf("last error %q", problem)
			}
		})
	}
}

func handInDrawer(w *world) {
	w.tb.Helper()
	w.made["from the drawer"] = epoch.Add(-100 * time.Hour)
	if err := w.handIn("from the drawer"); err != nil {
		w.tb.Fatal(err)
	}
}

// A node that was stopped in the middle of a search wakes up when another one has published a key that it does not know.
func TestANodeThatMayNotWriteAnyMoreDeletesNoKey(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(*world){
		"it was about to ask again":     func(*world) {},
		"it was looking for a lost key": handInDrawer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, iam)
			w.mustCrash(crashBefore)
			meanwhile(w)
			stopped := w.load()
			published := w.last.Number()
			if w.last.Pending == nil {
				w.mustStart("b")
			}
			for w.last.Number() == published && w.step() {
			}
			current := w.last.Current.Credential["id"]
			w.broken["Save"] = errNotLeader
			if err := w.machine(stopped).Advance(t.Context(), stopped); !errors.Is(err, errNotLeader) {
				t.Errorf("the node that was stopped went on: %v", err)
			}
			if _, gone := w.deleted[current]; gone {
				t.Error("the node that was stopped has deleted the current key")
			}
		})
	}
}

var errNotLeader = errors.New("this node is not the leader")

func TestAKeyMadeAtTheLastMomentIsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, iam)
	w.broken["Obtain"] = errHours
	w.mustStart("a")
	for w.last.NextStep().Before(epoch.Add(24 * time.Hour)) {
		w.step()
	}
	delete(w.broken, "Obtain")
	w.usual["Obtain"] = answerLost
	for w.last.Pending != nil && w.step() {
	}
	if w.lost() != 1 {
		t.Fatalf("%d keys were lost", w.lost())
	}
	w.rest()
	if orphans := w.orphans(); len(orphans) > 0 {
		t.Errorf("orphans: %v", orphans)
	}
	if r := w.last; r.Number() != 1 || r.State() != StateIdle || r.Failures != 1 {
		t.Errorf("version %d, %s, %d failures", r.Number(), r.State(), r.Failures)
	}
}

// Which of several unknown keys was made for this token, nobody can tell.
func TestSeveralUnknownKeysAreNamedAndLeftAlone(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		meanwhile func(*world)
		version   int
	}{
		"rotation under way":  {meanwhile: func(*world) {}, version: 1},
		"rotation superseded": {meanwhile: handInDrawer, version: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, iam)
			w.mustCrash(crashAfter)
			w.made["a colleague's"], w.foreign["a colleague's"] = w.now, true
			tc.meanwhile(w)
			w.rest()
			r := w.last
			if w.count("Delete") > 0 || r.Number() != tc.version || r.State() != StateIdle || w.happened(Failed) != 1 {
				t.Errorf("%d deletions, version %d, %s, events %v", w.count("Delete"), r.Number(), r.State(), w.events)
			}
			for _, want := range []string{"2 unknown keys", "key 2", "a colleague's", "none was touched"} {
				if !strings.Contains(r.LastError, want) {
					t.Errorf("the last error says %q, without %q", r.LastError, want)
				}
			}
			w.mustStart("b")
			w.rest()
			if r := w.last; r.Number() != tc.version+1 || r.LastError != "" || len(w.orphans()) != 1 {
				t.Errorf("version %d, %q, orphans %v", r.Number(), r.LastError, w.orphans())
			}
		})
	}
}

func TestOrphansAreTheUnknownKeysOfTheirTime(t *testing.T) {
	t.Parallel()
	s := Search{Known: []string{"known"}, Since: epoch, Until: epoch.Add(10 * time.Minute)}
	tests := map[string]struct {
		id   string
		made time.Duration
		want bool
	}{
		"long before":               {id: "x", made: -2 * time.Minute},
		"before, by a slower clock": {id: "x", made: -time.Minute, want: true},
		"at the first request":      {id: "x", want: true},
		"between the requests":      {id: "x", made: 5 * time.Minute, want: true},
		"a slow last request":       {id: "x", made: 12 * time.Minute, want: true},
		"after the last request":    {id: "x", made: 13 * time.Minute},
		"known":                     {id: "known"},
		"own":                       {id: "own"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys := []provider.Key{{ID: tc.id, CreatedAt: epoch.Add(tc.made)}}
			if got := s.orphans(keys, []string{"own"}); (len(got) == 1) != tc.want {
				t.Errorf("got %v, want an orphan: %t", got, tc.want)
			}
		})
	}
}

// The token's own keys are no orphans, even when it holds them no more by the time that a list shows them.
func TestAKeyThatWasLeftAliveIsNoOrphan(t *testing.T) {
	t.Parallel()
	slow := settings{source: SourceIAM, grace: 100 * time.Hour, listLag: 30 * time.Second}
	tests := map[string]struct {
		prepare func(*world)
		alive   string
	}{
		"made before the lost one": {alive: "key 2", prepare: func(w *world) {
			w.mustStart("a")
			w.failures = 1
			w.mustStart("b")
		}},
		"made after the lost one": {alive: "key 2", prepare: func(w *world) {
			w.failures = 1
			w.mustStart("a")
			for w.last.Pending != nil {
				w.step()
			}
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, slow)
			tc.prepare(w)
			if len(w.last.Searches) == 0 && w.last.Pending == nil {
				t.Fatal("nothing is looked for")
			}
			handInDrawer(w)
			w.rest()
			if !w.accepts(tc.alive) || w.count("Delete") > 0 {
				t.Errorf("%q, which was replaced by hand to live on, is accepted: %t; %d deletions", tc.alive, w.accepts(tc.alive), w.count("Delete"))
			}
		})
	}
}

// A provider that stays away for long leaves one search behind, in whatever order it lists keys.
func TestSearchesAreMergedAndEnd(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]func([]provider.Key){
		"steady order":   func([]provider.Key) {},
		"changing order": slices.Reverse[[]provider.Key],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, iam)
			lists := 0
			w.arrange = func(keys []provider.Key) {
				if lists++; lists%2 == 0 {
					order(keys)
				}
			}
			w.broken["Obtain"] = errSilence
			w.mustStart("a")
			for w.now.Before(epoch.Add(5 * time.Minute)) {
				w.step()
			}
			if s := w.last.Searches[0]; s.Since.Sub(epoch) > time.Second || s.Until.Sub(epoch) < time.Minute {
				t.Errorf("the search is from %s to %s", s.Since, s.Until)
			}
			for w.now.Before(epoch.Add(3 * time.Hour)) {
				if w.step(); len(w.last.Searches) > 1 {
					t.Fatalf("%d searches", len(w.last.Searches))
				}
			}
			delete(w.broken, "Obtain")
			for w.last.Pending != nil && w.step() {
			}
			until, looks := w.last.Searches[0].Until, w.count("List")
			for len(w.last.Searches) > 0 && w.step() {
			}
			if took := w.now.Sub(until); took < 10*time.Minute || took > 20*time.Minute || w.count("List")-looks > 10 {
				t.Errorf("looked %d times until %s after the last request", w.count("List")-looks, took)
			}
		})
	}
}

// A search that never sees a list ends, too.
func TestASearchIsGivenUpAfterADay(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"refused": errRefused, "silence": errSilence} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, iam)
			w.mustCrash(crashAfter)
			handInDrawer(w)
			w.broken["List"] = cause
			w.rest()
			if age := w.now.Sub(epoch); age < 24*time.Hour || age > 25*time.Hour || w.count("List") > 400 {
				t.Errorf("looked %d times in %s", w.count("List"), age)
			}
			if r := w.last; r.State() != StateIdle || !strings.Contains(r.LastError, "gave up looking for a key of app whose") || w.happened(Failed) != 2 {
				t.Errorf("%s, %q, events %v", r.State(), r.LastError, w.events)
			}
		})
	}
}

// A credential that cannot be read has no key to protect; what else the token holds is still its own.
func TestOwnKeys(t *testing.T) {
	t.Parallel()
	r := &Record{
		Current:  &Version{Credential: credential("current")},
		Pending:  &Pending{Credential: credential("pending")},
		Retiring: []Retiring{{Credential: credential("retiring")}, {Credential: provider.Values{}}},
	}
	m := &Machine{Keys: readableKeys{}}
	if got, want := m.ownKeys(r), []string{"current", "pending", "retiring"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := m.ownKeys(&Record{Pending: &Pending{}}); len(got) > 0 {
		t.Errorf("an empty record has %v", got)
	}
}

// readableKeys cannot read a credential without an ID.
type readableKeys struct{ keyRing }

func (readableKeys) Key(value provider.Values) (provider.Key, error) {
	if value["id"] == "" {
		return provider.Key{}, fmt.Errorf("%w: no ID", errRefused)
	}
	return provider.Key{ID: value["id"]}, nil
}
