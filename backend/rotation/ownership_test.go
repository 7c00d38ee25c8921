package rotation

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// moveToNews hands in a key of another owner, which has another fresh key beside it.
func moveToNews(w *world) {
	w.tb.Helper()
	for _, id := range []string{"news 1", "news 2"} {
		w.made[id], w.owners[id], w.foreign[id] = w.now.Add(time.Second), "news", id == "news 2"
	}
	w.now = w.now.Add(2 * time.Second)
	if err := w.handIn("news 1"); err != nil {
		w.tb.Fatal(err)
	}
}

func TestSearch_ActsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		account, unproven bool
		// forgetOwner makes the search one of an earlier release.
		forgetOwner bool
		// deleted says that the lost key is found and deleted; else the text says what a person has to look for.
		deleted bool
		says    []string
	}{
		"the account may act":             {account: true, deleted: true},
		"nobody may act":                  {says: []string{"a key of app may have been made", "the keys of app", "nothing was deleted"}},
		"the intent was made by no right": {account: true, unproven: true, says: []string{"may act for app", "nothing was deleted"}},
		"of an earlier release":           {account: true, forgetOwner: true, says: []string{"not known any more of whom", "nothing was deleted"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, iam)
			w.account = tc.account
			if tc.unproven {
				w.last.Current.Proven = false
				w.stored = encode(t, w.last)
			}
			w.mustCrash(crashAfter)
			if tc.forgetOwner {
				w.last.Pending.Owner, w.last.Pending.OwnerProven = "", false
				w.stored = encode(t, w.last)
			}
			moveToNews(w)
			w.rest()
			_, deleted := w.deleted["key 2"]
			if _, gone := w.deleted["news 2"]; gone || deleted != tc.deleted {
				t.Errorf("the lost key was deleted: %t; the other owner's: %t", deleted, gone)
			}
			r := w.last
			if r.State() != StateIdle || (r.LastError == "") != tc.deleted {
				t.Errorf("%s, %q", r.State(), r.LastError)
			}
			for _, want := range tc.says {
				if !strings.Contains(r.LastError, want) {
					t.Errorf("the last error says %q, without %q", r.LastError, want)
				}
			}
		})
	}
}

// A search of an earlier release whose token has only rotated by itself since is for the owner that it still has.
func TestSearch_OfAnEarlierReleaseGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, iam.with(func(s *settings) { s.listLag = 30 * time.Second }))
	w.mustCrash(crashAfter)
	for w.last.Pending != nil {
		w.step()
	}
	if w.last.Number() != 2 || len(w.last.Searches) != 1 {
		t.Fatal(w.describe())
	}
	w.last.Searches[0].Owner, w.last.Searches[0].Proven = "", false
	w.stored = encode(t, w.last)
	w.rest()
	if w.lost() != 1 || len(w.orphans()) > 0 {
		t.Errorf("orphans %v: %s", w.orphans(), w.describe())
	}
}

func TestSearch_TellsWhatItDeleted(t *testing.T) {
	t.Parallel()
	for name, lag := range map[string]time.Duration{"before the next request": 0, "after the publication": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, iam.with(func(s *settings) { s.listLag = lag }))
			w.mustCrash(crashAfter)
			w.rest()
			c := w.last.Cleanups
			if len(c) != 1 || c[0].Owner != "app" || c[0].KeyID != "key 2" || c[0].FoundAt.IsZero() || c[0].DeletedAt.Before(c[0].FoundAt) {
				t.Errorf("cleaned up %+v", c)
			}
			if w.happened(CleanedUp) != 1 {
				t.Errorf("events %v", w.events)
			}
		})
	}
}

func TestSearch_RemembersTheLatestCleanups(t *testing.T) {
	t.Parallel()
	var r Record
	for i := range maxCleanups + 3 {
		r.cleanup(provider.Key{Owner: "app", ID: fmt.Sprint(i)}, epoch)
		r.cleanup(provider.Key{Owner: "app", ID: fmt.Sprint(i)}, epoch.Add(time.Hour)).DeletedAt = epoch
	}
	if len(r.Cleanups) != maxCleanups || r.Cleanups[0].KeyID != "3" || !r.Cleanups[0].FoundAt.Equal(epoch) || r.Cleanups[0].DeletedAt.IsZero() {
		t.Errorf("%d cleanups, the first %+v", len(r.Cleanups), r.Cleanups[0])
	}
}

// Keys of other tokens are no orphans, not even once these have let go of them.
func TestSearch_LeavesKeysThatOthersHold(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*world){
		"rotation goes on":    func(*world) {},
		"rotation superseded": handInDrawer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, iam)
			w.mustCrash(crashBefore)
			w.made["of tb"], w.shared["of tb"], w.foreign["of tb"] = w.now, `token "tb"`, true
			prepare(w)
			w.step()
			delete(w.shared, "of tb")
			w.rest()
			if _, gone := w.deleted["of tb"]; gone || w.last.Number() != 2 || w.last.LastError != "" {
				t.Errorf("deleted: %t; version %d, %q", gone, w.last.Number(), w.last.LastError)
			}
		})
	}
}

func TestSearch_DeletesNothingWhileHoldersAreUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, iam)
	w.mustCrash(crashAfter)
	w.unknowable = ErrHoldersUnknown
	for range 5 {
		w.step()
	}
	if len(w.deleted) > 0 || w.last.Number() != 1 {
		t.Errorf("deleted %v, version %d", w.deleted, w.last.Number())
	}
	w.unknowable = nil
	w.rest()
	w.checkKeys()
	if w.last.Number() != 2 || w.last.LastError != "" {
		t.Errorf("version %d, %q", w.last.Number(), w.last.LastError)
	}
}

func TestRetire_WaitsForOtherHolders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, iam)
	w.mustStart("a")
	w.shared["first"] = `token "tb"`
	for w.now.Before(epoch.Add(5 * time.Hour)) {
		w.step()
	}
	r := w.last
	if want := `version 1 is not retired as long as token "tb" lives on the same value`; r.LastError != want || len(r.Retiring) != 1 || w.count("Retire") > 0 {
		t.Errorf("%q, retiring %+v", r.LastError, r.Retiring)
	}
	if w.happened(Failed) != 1 {
		t.Errorf("events %v", w.events)
	}
	delete(w.shared, "first")
	w.rest()
	if r := w.last; r.State() != StateIdle || r.LastError != "" || r.History[0].RetiredHow != RetiredByEngine {
		t.Errorf("%s, %q, %+v", r.State(), r.LastError, r.History[0])
	}
}

func TestRetire_WaitsQuietlyWhileHoldersAreUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, iam)
	w.mustStart("a")
	w.unknowable = fmt.Errorf("not so fast: %w", ErrHoldersUnknown)
	w.step()
	w.step()
	if r := w.last; r.LastError != "" || len(r.Retiring) != 1 || w.happened(Failed) > 0 {
		t.Errorf("%q, retiring %+v, events %v", r.LastError, r.Retiring, w.events)
	}
	r := w.load()
	if err := w.machine(r).RetireNow(t.Context(), r); err == nil || !strings.Contains(err.Error(), "not known yet") {
		t.Errorf("RetireNow says %v", err)
	}
	w.unknowable = nil
	w.rest()
	w.checkKeys()
}

func TestRetireNow_LeavesToOthersWhatTheyLiveOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, iam)
	w.mustStart("a")
	w.shared["first"], w.deletingToken, w.released["first"] = `account "acme"`, true, true
	r := w.load()
	if err := w.machine(r).RetireNow(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if kept := r.Kept(); len(kept) != 1 || !strings.Contains(kept[0], `version 1 was not retired, because account "acme"`) || len(r.Retiring) > 0 {
		t.Errorf("kept %q, retiring %+v", kept, r.Retiring)
	}
}

func TestRetireNow_NamesAKeyThatMayStillAppear(t *testing.T) {
	t.Parallel()
	w := newWorld(t, iam)
	w.failures = 1
	w.mustStart("a")
	r := w.load()
	err := w.machine(r).RetireNow(t.Context(), r)
	if err == nil || !strings.Contains(err.Error(), "a key of app may have been made") {
		t.Errorf("RetireNow says %v", err)
	}
	w.now = w.now.Add(listDelay + time.Second)
	if err := w.machine(r).RetireNow(t.Context(), r); err != nil {
		t.Errorf("later RetireNow says %v", err)
	}
}

// A value may be another spelling of the current one.
func TestRetire_DropsWhatIsTheCurrentValue(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Record){
		"current": func(r *Record) {},
		"pending": func(r *Record) {
			r.Pending = &Pending{ID: "x", Source: SourceIAM, Credential: r.Retiring[0].Credential, NextAttempt: epoch.Add(1000 * time.Hour)}
			r.Current.Credential = credential("key 2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, iam)
			w.mustStart("a")
			w.released["first"] = true
			r := w.load()
			if name == "current" {
				r.Retiring[0].Credential = provider.Values{"id": r.Current.Credential["id"], "secret": "another spelling"}
			}
			change(r)
			w.now = r.Retiring[0].At
			if err := w.machine(r).retire(t.Context(), r); err != nil || len(r.Retiring) > 0 || w.count("Retire") > 0 {
				t.Errorf("error %v, retiring %+v, %d retired", err, r.Retiring, w.count("Retire"))
			}
		})
	}
}

func TestRetire_CarriesTheProofOfItsVersion(t *testing.T) {
	t.Parallel()
	entry := func(source Source, verification string) []HistoryEntry {
		return []HistoryEntry{{Version: 3, Source: source, Verification: verification}}
	}
	tests := map[string]struct {
		old     Retiring
		history []HistoryEntry
		want    bool
	}{
		"proven":                           {old: Retiring{Version: 3, Proven: true}, want: true},
		"never proven":                     {old: Retiring{Version: 3}, history: entry(SourceAssisted, VerificationSkipped)},
		"nobody could tell":                {old: Retiring{Version: 3}, history: entry(SourceAssisted, "inconclusive")},
		"made by the engine, given up":     {old: Retiring{}, want: true},
		"earlier release, made by API":     {old: Retiring{Version: 3}, history: entry(SourceIAM, "inconclusive"), want: true},
		"earlier release, accepted":        {old: Retiring{Version: 3}, history: entry(SourceImport, "accepted"), want: true},
		"earlier release, forgotten since": {old: Retiring{Version: 2}, history: entry(SourceImport, "accepted")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []bool
			m := &Machine{
				Retire: func(_ context.Context, old Retiring) error { got = append(got, old.Proven); return nil },
			}
			if _, err := m.end(t.Context(), &Record{History: tc.history}, tc.old); err != nil || !reflect.DeepEqual(got, []bool{tc.want}) {
				t.Errorf("retired by proof %v, error %v; want %t", got, err, tc.want)
			}
		})
	}
	var r Record
	r.RetireAfter(Version{Number: 1, Proven: true}, epoch)
	r.RetireAfter(Version{Number: 2}, epoch)
	r.abandonKey(&Pending{Credential: credential("x")}, epoch)
	if !r.Retiring[0].Proven || r.Retiring[1].Proven || !r.Retiring[2].Proven {
		t.Errorf("retiring %+v", r.Retiring)
	}
}

// A node that was stopped before it retires a key wakes up when that key is current again elsewhere.
func TestRetire_NeedsTheRightToWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, iam)
	w.mustStart("a")
	stopped := w.load()
	if err := w.handIn("first"); err != nil {
		t.Fatal(err)
	}
	w.now = stopped.NextStep()
	w.broken["Save"] = errNotLeader
	if err := w.machine(stopped).Advance(t.Context(), stopped); !errors.Is(err, errNotLeader) {
		t.Errorf("the node that was stopped went on: %v", err)
	}
	if _, gone := w.deleted["first"]; gone {
		t.Error("the node that was stopped has deleted the current key")
	}
}

// Somebody took the permission away, and deleted the key by hand.
func TestRetire_EndsWithAValueThatIsDeadAlready(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		prepare func(*world)
		stays   bool
	}{
		"deleted by hand":  {prepare: func(w *world) { w.deleted["first"] = w.now }},
		"alive":            {prepare: func(*world) {}, stays: true},
		"nothing works":    {prepare: func(w *world) { w.verdict = &rejected }, stays: true},
		"nobody can tell":  {prepare: func(w *world) { w.broken["Verify"] = errSilence }, stays: true},
		"silence, deleted": {prepare: func(w *world) { w.deleted["first"], w.broken["Retire"] = w.now, errSilence }, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, iam)
			w.mustStart("a")
			looks := w.count("Verify")
			w.broken["Retire"] = errRefused
			tc.prepare(w)
			for end := w.now.Add(grace + 3*time.Hour); w.now.Before(end) && w.step(); {
			}
			r := w.last
			if (len(r.Retiring) > 0) != tc.stays || (r.History[0].RetiredHow == RetiredAlready) == tc.stays || w.count("Verify")-looks > 8 {
				t.Errorf("retiring %+v, history %+v, tried %d times", r.Retiring, r.History[0], w.count("Verify")-looks)
			}
		})
	}
}

func TestRetire_TriesTheCurrentValueAfterARevocation(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answers []provider.Outcome // "" is silence
		health  Health
		events  []Event
		says    string
	}{
		"it lives":         {answers: []provider.Outcome{provider.Accepted}, health: HealthOK, events: []Event{Retired}},
		"it died":          {answers: []provider.Outcome{provider.Rejected}, health: HealthRejected, events: []Event{Retired, Died}, says: "version 1 has stopped to work with the end of version 0"},
		"silence at first": {answers: []provider.Outcome{"", provider.Rejected}, health: HealthRejected, events: []Event{Failed, Retired, Died}, says: "has stopped to work"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, hook)
			r := w.load()
			r.Retiring = []Retiring{{Version: -1, Credential: credential("old"), At: epoch, NextAttempt: epoch}}
			m := w.machine(r)
			m.TryAfterRetiring = true
			m.Retire = func(context.Context, Retiring) error { return nil }
			m.Verify = func(context.Context, provider.Values) (provider.Verification, error) {
				outcome := tc.answers[0]
				tc.answers = tc.answers[1:]
				if outcome == "" {
					return provider.Verification{}, errSilence
				}
				return provider.Verification{Outcome: outcome, Detail: "So it says."}, nil
			}
			for len(r.Retiring) > 0 {
				w.sleepUntil(r.NextStep())
				if err := m.Advance(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			if r.Health != tc.health || !reflect.DeepEqual(w.events, tc.events) {
				t.Errorf("health %s, events %v", r.Health, w.events)
			}
			if tc.says == "" && r.LastError != "" || !strings.Contains(strings.ReplaceAll(r.LastError, "version -1", "version 0"), tc.says) {
				t.Errorf("last error %q", r.LastError)
			}
		})
	}
}

func TestRoomToRetire(t *testing.T) {
	t.Parallel()
	w := newWorld(t, iam.with(func(s *settings) { s.grace = 1000 * time.Hour }))
	for i := range maxRetiring {
		w.mustStart(fmt.Sprint(i))
	}
	err := w.start("one too many")
	if err == nil || !strings.Contains(err.Error(), "10 old values") || !strings.Contains(err.Error(), "version 1, version 2") {
		t.Errorf("Start says %v", err)
	}
	if r := w.last; r.Number() != maxRetiring+1 || r.Pending != nil || r.Failures != 1 || r.LastError != err.Error() {
		t.Errorf("version %d, %d failures, %q", r.Number(), r.Failures, r.LastError)
	}
	w.sleepUntil(w.last.NextStep())
	w.mustAdvance()
	w.mustStart("after one has ended")
	if err := (&Record{Retiring: make([]Retiring, maxRetiring-1)}).RoomToRetire(); err != nil {
		t.Errorf("with room: %v", err)
	}
	full := &Record{Retiring: make([]Retiring, maxRetiring)}
	full.Retiring[4].LastError = "Google says no"
	if err := full.RoomToRetire(); err == nil || !strings.Contains(err.Error(), "Google says no") {
		t.Errorf("without room: %v", err)
	}
}

// What a value says of itself proves nothing.
func TestObserve_TakesNoProofFromAnAddressThatTheValueNames(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{false, true} {
		r := &Record{Current: &Version{Number: 1, Proven: before}}
		r.Observe(provider.Verification{Outcome: provider.Accepted, SelfAsserted: true}, epoch)
		if r.Current.Proven != before || r.Health != HealthOK {
			t.Errorf("proven %t, then %t; health %s", before, r.Current.Proven, r.Health)
		}
	}
}

func TestPublish_KnowsTheSameValueInAnotherSpelling(t *testing.T) {
	t.Parallel()
	r := &Record{Retiring: []Retiring{{Version: 1, Credential: provider.Values{"id": "a", "secret": "x"}}}}
	c := Candidate{Credential: provider.Values{"id": "a", "secret": "y"}}
	if r.Publish(c, epoch); len(r.Retiring) != 1 {
		t.Error("without Same all fields count")
	}
	c.Same = func(a, b provider.Values) bool { return a["id"] == b["id"] }
	c.Made = true
	if r.Publish(c, epoch); len(r.Retiring) != 0 || !r.Current.Proven {
		t.Errorf("retiring %+v, proven %t", r.Retiring, r.Current.Proven)
	}
}
