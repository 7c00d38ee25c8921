package auditlog

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

var (
	token  = TokenID{Name: "acme-rw"}
	app    = Identity{DisplayName: "app", EntityID: "e-app"}
	person = Identity{DisplayName: "jane", EntityID: "e-jane"}
)

// hour is a time so many hours after the beginning.
func hour(n float64) time.Time {
	return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n * float64(time.Hour)))
}

func read(by Identity, at float64, version int) Entry {
	return Entry{Kind: KindRead, Token: token, By: by, Time: hour(at), Version: Version{Number: version}, Address: "10.0.0.1"}
}

func withID(e Entry, id string) Entry {
	e.Version.ID = id
	return e
}

func wrapped(by Identity, at float64) Entry {
	e := read(by, at, 0)
	e.WrappingToken.Token = fmt.Sprint("hmac-sha256:", at)
	return e
}

// unwrapped is the unwrapping of the read that was wrapped at a time.
func unwrapped(by Identity, at, readAt float64) Entry {
	return Entry{Kind: KindUnwrap, By: by, Time: hour(at), Unwraps: wrapped(by, readAt).WrappingToken, Ours: true}
}

func rotated(by Identity, at float64, version int) Entry {
	return Entry{
		Kind: KindRotate, Token: token, By: by, Time: hour(at), Version: Version{Number: version},
		Rotation: &Rotation{HandedIn: true, PreviousCredential: "not checked"},
	}
}

func tallyOf(entries ...Entry) *Tally {
	t := NewTally()
	for _, e := range entries {
		t.Add(&e)
	}
	return t
}

func TestReadsAreCountedByReaderAndVersion(t *testing.T) {
	t.Parallel()
	entries := []Entry{read(app, 1, 1), read(person, 2, 1), read(app, 3, 1), read(app, 5, 2)}
	backwards := slices.Clone(entries)
	slices.Reverse(backwards)
	for name, in := range map[string][]Entry{"in the order of time": entries, "backwards": backwards} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tally := tallyOf(in...)
			r := tally.Tokens[token].Readers[app]
			slices.SortFunc(r.Knowledge, func(a, b *Knowledge) int { return a.First.Compare(b.First) })
			if len(r.Knowledge) != 2 {
				t.Fatalf("the app knows %d versions", len(r.Knowledge))
			}
			for i, want := range []Knowledge{{First: hour(1), Last: hour(3), Reads: 2}, {First: hour(5), Last: hour(5), Reads: 1}} {
				got := *r.Knowledge[i]
				if got.First != want.First || got.Last != want.Last || got.Reads != want.Reads || got.Period.Number != i+1 {
					t.Errorf("the app knows %+v of version %s", got, got.Period)
				}
			}
			if tally.First != hour(1) || tally.Last != hour(5) {
				t.Errorf("the log is from %s to %s", tally.First, tally.Last)
			}
		})
	}
}

func TestTheLogTellsWhoKnowsTheCurrentVersion(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		entries []Entry
		current string
		app     State
		newest  string
	}{
		"has read it":                      {[]Entry{read(app, 1, 1)}, "1", StateCurrent, "1"},
		"has read the one before":          {[]Entry{read(app, 1, 1), read(person, 2, 2)}, "2", StateStale, "1"},
		"has read both":                    {[]Entry{read(app, 1, 1), read(app, 3, 2)}, "2", StateCurrent, "2"},
		"nobody has read it since":         {[]Entry{read(app, 1, 1), rotated(person, 2, 2)}, "2", StateStale, "1"},
		"has handed it in":                 {[]Entry{read(person, 1, 1), rotated(app, 2, 2)}, "2", StateCurrent, "2"},
		"got it wrapped afterwards":        {[]Entry{read(person, 1, 1), rotated(person, 2, 2), wrapped(app, 3)}, "2", StateCurrent, "2"},
		"got the one before wrapped":       {[]Entry{read(person, 1, 1), wrapped(app, 1.5), rotated(person, 2, 2)}, "2", StateStale, "1"},
		"wrapped between background reads": {[]Entry{read(person, 1, 1), wrapped(app, 1.5), read(person, 2, 2)}, "2", StateUnknown, "?"},
		"wrapped before two of them":       {[]Entry{read(person, 1, 1), wrapped(app, 1.5), read(person, 2, 2), read(person, 3, 3)}, "3", StateStale, "?"},
		"unwrapped it":                     {[]Entry{read(person, 1, 1), wrapped(person, 2), unwrapped(app, 2.1, 2)}, "1", StateCurrent, "1"},
		"unwrapped an old one too late":    {[]Entry{read(person, 1, 1), wrapped(person, 2), rotated(person, 3, 2), unwrapped(app, 4, 2)}, "2", StateStale, "1"},
		"an old number is back":            {[]Entry{read(person, 1, 1), read(person, 2, 2), read(app, 3, 1)}, "1", StateCurrent, "1"},
		"a request was still under way":    {[]Entry{read(person, 1, 1), rotated(person, 2, 2), read(app, 2.001, 1)}, "2", StateStale, "1"},
		"made anew with the same number": {
			[]Entry{withID(read(app, 1, 1), "old"), withID(rotated(person, 2, 1), "new")}, "1", StateStale, "1",
		},
		"fingerprints since a while only": {[]Entry{read(app, 1, 1), withID(read(person, 2, 1), "f")}, "1", StateCurrent, "1"},
		"hidden numbers": {
			[]Entry{withID(read(app, 1, 0), "hmac-sha256:aa"), withID(read(person, 2, 0), "hmac-sha256:bb")}, "#bb", StateStale, "#aa",
		},
		"nothing but a wrapped read": {[]Entry{wrapped(app, 1)}, "none", StateUnknown, "?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tk := tallyOf(tt.entries...).Tokens[token]
			current, newest := "none", "?"
			if p := tk.Current(); p != nil {
				current = p.String()
			}
			if p := tk.Newest(tk.Readers[app]); p != nil {
				newest = p.String()
			}
			if state := tk.State(tk.Readers[app]); current != tt.current || state != tt.app || newest != tt.newest {
				t.Errorf("the current version is %s; the app is %s and knows %s", current, state, newest)
			}
		})
	}
}

func TestARotationThatPublishedNothingTellsOfNoVersion(t *testing.T) {
	t.Parallel()
	refused, unfinished := rotated(person, 2, 0), rotated(person, 3, 1)
	refused.Rotation = &Rotation{HandedIn: true, Error: "refused"}
	unfinished.Rotation = &Rotation{State: "requested"}
	tk := tallyOf(read(app, 1, 1), refused, unfinished).Tokens[token]
	if len(tk.Versions()) != 1 || tk.Readers[person] != nil {
		t.Errorf("there are %d versions, and who failed knows %+v", len(tk.Versions()), tk.Readers[person])
	}
	if len(tk.Rotations) != 2 {
		t.Errorf("%d attempts are told", len(tk.Rotations))
	}
}

func TestAnUnwrappedReadBelongsToWhoeverUnwrapsIt(t *testing.T) {
	t.Parallel()
	tally := NewTally()
	read, unwrap, unknown := wrapped(app, 1), unwrapped(person, 2, 1), unwrapped(person, 2, 99)
	for _, e := range []*Entry{&read, &unwrap} {
		if !tally.Add(e) {
			t.Errorf("%s does not count", e.Kind)
		}
	}
	if tally.Add(&unknown) {
		t.Error("the unwrapping of an unknown read counts")
	}
	if ours, _ := tally.Unmatched(); ours != 1 {
		t.Errorf("%d are unknown", ours)
	}
	if unwrap.Token != token || unwrap.ReadAt != hour(1) {
		t.Errorf("the entry was not completed: %+v", unwrap)
	}
	by, with := tally.Tokens[token].Readers[person].Total(), tally.Tokens[token].Readers[app].Total()
	if by.Unwrapped != 1 || by.First != hour(2) || by.Reads != 0 || with.Wrapped != 1 || with.Reads != 1 {
		t.Errorf("who unwrapped: %+v; who asked: %+v", by, with)
	}
}

func TestADeletedTokensCredentialIsAbandoned(t *testing.T) {
	t.Parallel()
	deleted := rotated(person, 3, 0)
	deleted.Kind, deleted.Rotation = KindDelete, nil
	tk := tallyOf(
		withID(read(app, 1, 1), "first"), withID(rotated(person, 2, 2), "second"), deleted, withID(rotated(person, 4, 1), "anew"),
	).Tokens[token]
	for i, want := range []bool{false, true, false} {
		if p := tk.Versions()[i]; tk.Abandoned(p) != want {
			t.Errorf("version %s is abandoned: %t", p, !want)
		}
	}
}

func TestARequestCountsOnce(t *testing.T) {
	t.Parallel()
	tally := NewTally()
	first, second, other := read(app, 1, 1), read(app, 1, 1), read(app, 2, 1)
	first.RequestID, second.RequestID, other.RequestID = "one", "one", "two"
	if !tally.Add(&first) || tally.Add(&second) || !tally.Add(&other) {
		t.Error("the second entry of a request counts, or another request does not")
	}
	if total := tally.Tokens[token].Readers[app].Total(); total.Reads != 2 || tally.Duplicates != 1 {
		t.Errorf("%d reads and %d duplicates", total.Reads, tally.Duplicates)
	}
}

func TestAccessTokensAreNoCredentials(t *testing.T) {
	t.Parallel()
	e := read(app, 1, 1)
	e.Kind = KindAccessToken
	tk := tallyOf(e, e).Tokens[token]
	if len(tk.Readers) != 0 || tk.Current() != nil || tk.AccessTokens[app].Total().Reads != 2 {
		t.Errorf("%d know the credential; the access token was read %+v", len(tk.Readers), tk.AccessTokens[app])
	}
}

func TestATallyDoesNotGrowWithTheLog(t *testing.T) {
	t.Parallel()
	const versions, addresses, reads = 3 * maxVersions, 3 * maxAddresses, 2*maxWrapped + 100
	tally := NewTally()
	for i := range versions {
		e := read(app, float64(i), i+1)
		e.Address = fmt.Sprint("10.0.0.", i%addresses)
		tally.Add(&e)
	}
	r := tally.Tokens[token].Readers[app]
	if len(r.Knowledge) != maxVersions || r.Total().Reads != versions || r.Total().First != hour(0) {
		t.Errorf("%d versions are kept, %d reads since %s", len(r.Knowledge), r.Total().Reads, r.Total().First)
	}
	if tally.Tokens[token].State(r) != StateCurrent {
		t.Error("the newest version is forgotten")
	}
	if len(r.Addresses) != maxAddresses || !r.MoreAddresses || r.Addresses[maxAddresses-1] != fmt.Sprint("10.0.0.", (versions-1)%addresses) {
		t.Errorf("the addresses are %v, and more: %t", r.Addresses, r.MoreAddresses)
	}
	for i := range reads {
		e := wrapped(app, float64(i))
		tally.Add(&e)
	}
	if len(tally.wraps.reads) != 2*maxWrapped {
		t.Errorf("%d wrapped reads are kept", len(tally.wraps.reads))
	}
	last, first := unwrapped(person, reads, reads-1), unwrapped(person, reads, 0)
	if !tally.Add(&last) || tally.Add(&first) {
		t.Error("not the latest wrapped reads are kept")
	}
}
