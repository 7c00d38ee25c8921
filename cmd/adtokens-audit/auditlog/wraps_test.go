package auditlog

import (
	"fmt"
	"slices"
	"testing"
)

// wrap returns the read that gives out a wrapping token.
func wrap(by Identity, at float64, token string) Entry {
	e := read(by, at, 0)
	e.WrappingToken = WrappingToken{Token: token, Accessor: token + "'s accessor"}
	return e
}

// spend returns what a wrapping token is spent for, by the one or other way.
func spend(kind Kind, at float64, token, next string) Entry {
	e := Entry{Kind: kind, By: person, Time: hour(at), Unwraps: WrappingToken{Token: token}, RequestID: fmt.Sprint(kind, at)}
	if next != "" {
		e.WrappingToken = WrappingToken{Token: next, Accessor: next + "'s accessor"}
	}
	return e
}

func fromCubbyhole(at float64, token string) Entry {
	e := spend(KindUnwrap, at, "of another form", "")
	e.By, e.Unwraps.Accessor, e.Untold = Identity{DisplayName: wrappingTokenHolder}, token+"'s accessor", true
	return e
}

func TestTally_FollowsWrappingTokens(t *testing.T) {
	t.Parallel()
	long := []Entry{wrap(app, 2, "w0")}
	for i := range 1000 {
		long = append(long, spend(KindRewrap, 3, fmt.Sprint("w", i), fmt.Sprint("w", i+1)))
	}
	for name, tt := range map[string]struct {
		entries []Entry
		by      Identity
		known   int
		untold  int
	}{
		"unwrapped":                        {[]Entry{wrap(app, 2, "a"), spend(KindUnwrap, 3, "a", "")}, person, 1, 0},
		"read from its cubbyhole":          {[]Entry{wrap(app, 2, "a"), fromCubbyhole(3, "a")}, Identity{DisplayName: wrappingTokenHolder}, 1, 0},
		"rewrapped and unwrapped":          {[]Entry{wrap(app, 2, "a"), spend(KindRewrap, 3, "a", "b"), spend(KindUnwrap, 4, "b", "")}, person, 1, 0},
		"rewrapped a thousand times":       {append(long, spend(KindUnwrap, 4, "w1000", "")), person, 1, 0},
		"unwrapped into another wrapping":  {[]Entry{wrap(app, 2, "a"), spend(KindUnwrap, 3, "a", "b"), spend(KindUnwrap, 4, "b", "")}, person, 1, 0},
		"rewrapped, and from a cubbyhole":  {[]Entry{wrap(app, 2, "a"), spend(KindRewrap, 3, "a", "b"), fromCubbyhole(4, "b")}, Identity{DisplayName: wrappingTokenHolder}, 1, 0},
		"rewrapped, but not unwrapped":     {[]Entry{wrap(app, 2, "a"), spend(KindRewrap, 3, "a", "b")}, person, 0, 0},
		"another cubbyhole":                {[]Entry{wrap(app, 2, "a"), fromCubbyhole(3, "z")}, person, 0, 1},
		"rewrapped, known by its path":     {[]Entry{withToken(spend(KindRewrap, 3, "a", "b")), spend(KindUnwrap, 4, "b", "")}, person, 1, 0},
		"rewrapped, and known to be other": {[]Entry{elsewhere(spend(KindRewrap, 3, "a", "b")), fromCubbyhole(4, "b")}, person, 0, 0},
	} {
		for order, in := range map[string][]Entry{"in order": tt.entries, "backwards": backwards(tt.entries)} {
			t.Run(name+" "+order, func(t *testing.T) {
				t.Parallel()
				tally := tallyOf(append([]Entry{read(app, 1, 1)}, in...)...)
				got := 0
				if r := tally.Tokens[token].Readers[tt.by]; r != nil {
					got = r.Total().Unwrapped
				}
				if ours, untold := tally.Unmatched(); got != tt.known || ours != 0 || untold != tt.untold {
					t.Errorf("unwrapped %d times; unmatched are %d and %d", got, ours, untold)
				}
			})
		}
	}
}

func backwards(entries []Entry) []Entry {
	entries = slices.Clone(entries)
	slices.Reverse(entries)
	return entries
}

func withToken(e Entry) Entry { e.Token = token; return e }

func elsewhere(e Entry) Entry { e.Elsewhere = true; return e }

func TestTally_TellsNothingOfAnUnwrappingWhoseReadIsUnknown(t *testing.T) {
	t.Parallel()
	tk := tallyOf(read(app, 1, 1), rotated(app, 2, 2), withToken(spend(KindRewrap, 3, "a", "b")), spend(KindUnwrap, 4, "b", "")).Tokens[token]
	if state := tk.State(tk.Readers[person]); state != StateUnknown {
		t.Errorf("whoever unwrapped a read of an unknown time is %s", state)
	}
}

func TestTally_TakesAnUnwrappingFromAnyOfTwoDevices(t *testing.T) {
	t.Parallel()
	// Each device has HMACs of its own.
	var entries []Entry
	for _, device := range []string{"a", "b"} {
		e := wrap(app, 1, "of "+device)
		e.RequestID = "read"
		entries = append(entries, e)
	}
	for _, device := range []string{"c", "b", "a"} {
		e := spend(KindUnwrap, 2, "of "+device, "")
		e.RequestID, e.Ours = "unwrap", true
		entries = append(entries, e)
	}
	for order, in := range map[string][]Entry{"in order": entries, "backwards": backwards(entries)} {
		tally := tallyOf(in...)
		if got := tally.Tokens[token].Readers[person].Total().Unwrapped; got != 1 {
			t.Errorf("%s: unwrapped %d times", order, got)
		}
		if ours, untold := tally.Unmatched(); ours != 0 || untold != 0 {
			t.Errorf("%s: unmatched are %d and %d", order, ours, untold)
		}
	}
}

func TestTally_KnowsValuesWhateverTheirNumbers(t *testing.T) {
	t.Parallel()
	value := func(e Entry, value string) Entry { e.Version.Value = value; return e }
	other := Identity{DisplayName: "other"}
	for name, tt := range map[string]struct {
		entries []Entry
		state   State
		newest  string
	}{
		"came back under a later number": {
			[]Entry{value(read(person, 1, 1), "A"), value(rotated(app, 2, 2), "B"), value(rotated(app, 3, 3), "A")}, StateCurrent, "3",
		},
		"came back, and went again": {
			[]Entry{value(read(person, 1, 1), "A"), value(rotated(app, 2, 2), "B"), value(rotated(app, 3, 3), "A"), value(rotated(app, 4, 4), "C")}, StateStale, "1",
		},
		"came back, fingerprints being hidden": {
			[]Entry{value(read(person, 1, 1), "hmac-sha256:A"), value(rotated(app, 2, 2), "hmac-sha256:B"), value(rotated(app, 3, 3), "hmac-sha256:A")}, StateCurrent, "3",
		},
		"came back, everything being hidden": {
			[]Entry{
				value(withID(read(person, 1, 0), "hmac-sha256:1"), "hmac-sha256:A"), value(withID(read(app, 2, 0), "hmac-sha256:2"), "hmac-sha256:B"),
				value(withID(read(app, 3, 0), "hmac-sha256:3"), "hmac-sha256:A"),
			}, StateCurrent, "#3",
		},
		"made anew with the same value": {
			[]Entry{value(withID(read(person, 1, 7), "A"), "A"), value(withID(rotated(app, 2, 1), "A"), "A")}, StateCurrent, "1",
		},
		"wrapped while it was there": {
			[]Entry{value(read(app, 1, 1), "A"), wrapped(person, 1.5), value(rotated(app, 2, 2), "B"), wrapped(person, 2.5), value(rotated(app, 3, 3), "A")}, StateCurrent, "3",
		},
		"wrapped while nobody knows which was there": {
			[]Entry{value(read(app, 1, 1), "A"), wrapped(person, 1.5), value(read(app, 2, 2), "B"), value(read(app, 3, 3), "A")}, StateUnknown, "?",
		},
		"an old snapshot is back": {
			[]Entry{value(read(other, 1, 1), "A"), value(read(other, 2, 2), "B"), value(read(other, 3, 1), "A"), wrapped(person, 3.5)}, StateCurrent, "1",
		},
		"between a version and its return": {
			[]Entry{value(read(other, 1, 1), "A"), value(read(other, 2, 2), "B"), wrapped(person, 2.5), value(read(other, 3, 1), "A")}, StateUnknown, "?",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tk := tallyOf(tt.entries...).Tokens[token]
			newest := "?"
			if p := tk.Newest(tk.Readers[person]); p != nil {
				newest = p.String()
			}
			if state := tk.State(tk.Readers[person]); state != tt.state || newest != tt.newest {
				t.Errorf("the reader is %s and knows %s", state, newest)
			}
		})
	}
}

func TestTally_RemembersAValueThroughManyVersions(t *testing.T) {
	t.Parallel()
	var entries []Entry
	for i := range 3 * maxVersions {
		e := read(person, float64(i), i+1)
		e.Version.Value = fmt.Sprint("value ", i)
		entries = append(entries, e)
	}
	back := rotated(app, 1000, 9999)
	back.Version.Value = "value 0"
	tk := tallyOf(append(entries, back)...).Tokens[token]
	if state := tk.State(tk.Readers[person]); state != StateCurrent || tk.Newest(tk.Readers[person]) != tk.Current() {
		t.Errorf("whoever has read the first of many values is %s", state)
	}
}

func TestToken_LastUse(t *testing.T) {
	t.Parallel()
	renewed := read(person, 5, 0)
	renewed.Kind, renewed.Version = KindRenew, Version{}
	for name, tt := range map[string]struct {
		entries []Entry
		at      float64
		state   State
	}{
		"read the old one":                    {[]Entry{read(person, 1, 1), rotated(app, 2, 2)}, 1, StateStale},
		"read both, the old one last":         {[]Entry{read(person, 3, 2), read(person, 1, 1), rotated(app, 2, 2)}, 3, StateCurrent},
		"renewed the lease of the new one":    {[]Entry{read(person, 1, 1), rotated(app, 2, 2), renewed}, 5, StateCurrent},
		"renewed before the next rotation":    {[]Entry{read(person, 1, 1), renewed, rotated(app, 6, 2)}, 5, StateStale},
		"unwrapped the old one":               {[]Entry{read(app, 1, 1), wrap(app, 1.5, "a"), spend(KindUnwrap, 1.6, "a", ""), rotated(app, 2, 2)}, 1.6, StateStale},
		"unwrapped the old one, and too late": {[]Entry{read(app, 1, 1), wrap(app, 1.5, "a"), rotated(app, 2, 2), spend(KindUnwrap, 3, "a", "")}, 3, StateStale},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tk := tallyOf(tt.entries...).Tokens[token]
			use := tk.LastUse(person)
			if _, state := tk.InUse(use); state != tt.state || use.At != hour(tt.at) {
				t.Errorf("the last use was at %s, and is %s", use.At, state)
			}
		})
	}
	if use := tallyOf(rotated(person, 1, 1), wrap(person, 2, "a")).Tokens[token].LastUse(person); !use.At.IsZero() {
		t.Errorf("whoever handed a value in, or asked for a wrapped one, uses it: %+v", use)
	}
}
