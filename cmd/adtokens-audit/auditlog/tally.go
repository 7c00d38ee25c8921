package auditlog

import (
	"hash/maphash"
	"slices"
	"time"
)

// What a tally keeps at most, whatever the length of the log.
const (
	// maxAddresses is per reader and token.
	maxAddresses = 8
	// maxVersions is per reader and token: what somebody knows of older versions is kept as one.
	maxVersions = 64
	// requestIDs is how many of the latest requests are remembered, so that a request which several audit devices have logged
	// counts once. A power of two.
	requestIDs = 1 << 20
	// maxWrapped is how many response-wrapped reads can wait to be unwrapped.
	maxWrapped = 1 << 16
)

// Tally keeps account of the entries of a log. It grows with the number of readers, rotations and versions, not with the
// number of entries. Entries may come in any order, but for a wrapped read, which has to come before it is unwrapped.
type Tally struct {
	Tokens      map[TokenID]*Token
	First, Last time.Time // of all entries
	// Duplicates counts entries of requests that were counted already.
	Duplicates int
	// Unwrapped counts unwrapped credentials whose wrapped read is not in the log, so that nothing tells whose they are.
	Unwrapped int

	seed maphash.Seed
	// seen has the hash of a request's ID in the slot that the hash picks: a later request with the same slot takes it.
	seen    []uint64
	wrapped wrappedReads
}

// NewTally returns an empty tally.
func NewTally() *Tally {
	return &Tally{
		Tokens: map[TokenID]*Token{}, seed: maphash.MakeSeed(), seen: make([]uint64, requestIDs),
		wrapped: wrappedReads{byToken: map[string]wrappedRead{}},
	}
}

// Token is what the log says about a token.
type Token struct {
	TokenID
	Readers map[Identity]*Reader
	// AccessTokens are the readers of short-lived access tokens.
	AccessTokens map[Identity]*Reader
	// Rotations are the rotations and imports, refused ones included, in the order of the log.
	Rotations []Entry
	Deleted   time.Time // the last time; zero if the log has none

	versions []*Period // in the order in which the log told of them
	byID     map[Version]*Period
}

// Period is the time in which the log shows a version to be the current one.
type Period struct {
	Version
	First, Last time.Time
	// ByRequest is set if a request in the log published the version; else it was there before, or came from the background.
	ByRequest bool
}

// Reader is what somebody knows of a token, and from where.
type Reader struct {
	Addresses     []string
	MoreAddresses bool // there were others before those
	// Knowledge is by version, in the order in which it was learnt.
	Knowledge []*Knowledge
}

// Knowledge is how somebody came to know a version.
type Knowledge struct {
	// Period is nil for reads that do not tell the version: wrapped ones.
	Period *Period
	// First and last time at which the reader came to know it.
	First, Last time.Time
	Reads       int // wrapped ones included
	Wrapped     int // reads that gave out a wrapping token
	Unwrapped   int // wrapped reads, by whomever, that this reader unwrapped
	HandedIn    int // imports and rotations with this value

	// asOf is when the credential was the current one, at the latest.
	asOf time.Time
}

// Count is how often somebody came to know the version.
func (k *Knowledge) Count() int { return k.Reads + k.Unwrapped + k.HandedIn }

// Add counts an entry, and completes it if it unwraps a known read. It returns false for one that does not count: a
// duplicate, or the unwrapping of an unknown read.
func (t *Tally) Add(e *Entry) bool {
	if t.duplicate(e.RequestID) {
		t.Duplicates++
		return false
	}
	if e.Token == (TokenID{}) && !t.resolve(e) {
		t.Unwrapped++
		return false
	}
	widen(&t.First, &t.Last, e.Time)
	token := t.token(e.Token)
	switch e.Kind {
	case KindRead:
		if e.WrappingToken != "" {
			t.wrapped.add(e)
		}
		token.read(e)
	case KindUnwrap:
		token.unwrap(e)
	case KindAccessToken:
		reader(token.AccessTokens, e).learn(nil, e).Reads++
	case KindRotate, KindImport:
		token.change(e)
	case KindDelete:
		token.Deleted = latest(token.Deleted, e.Time)
	}
	return true
}

func (t *Tally) duplicate(requestID string) bool {
	if requestID == "" {
		return false
	}
	hash := maphash.String(t.seed, requestID)
	slot := &t.seen[hash&(requestIDs-1)]
	duplicate := *slot == hash
	*slot = hash
	return duplicate
}

func (t *Tally) token(id TokenID) *Token {
	token, ok := t.Tokens[id]
	if !ok {
		token = &Token{
			TokenID: id, Readers: map[Identity]*Reader{}, AccessTokens: map[Identity]*Reader{}, byID: map[Version]*Period{},
		}
		t.Tokens[id] = token
	}
	return token
}

// resolve finds the read whose credential is unwrapped.
func (t *Tally) resolve(e *Entry) bool {
	read, ok := t.wrapped.byToken[e.WrappingToken]
	if ok {
		e.Token, e.ReadAt = read.token, read.at
	}
	return ok
}

// wrappedReads are the latest reads that gave out a wrapping token.
type wrappedReads struct {
	byToken map[string]wrappedRead
	order   []string // the wrapping tokens; a ring once it is full
	oldest  int
}

type wrappedRead struct {
	token TokenID
	at    time.Time
}

func (w *wrappedReads) add(e *Entry) {
	if len(w.order) < maxWrapped {
		w.order = append(w.order, e.WrappingToken)
	} else {
		delete(w.byToken, w.order[w.oldest])
		w.order[w.oldest] = e.WrappingToken
		w.oldest = (w.oldest + 1) % maxWrapped
	}
	w.byToken[e.WrappingToken] = wrappedRead{token: e.Token, at: e.Time}
}

func (t *Token) read(e *Entry) {
	var period *Period
	if e.Version != (Version{}) {
		period = t.period(e.Version)
		widen(&period.First, &period.Last, e.Time)
	}
	k := reader(t.Readers, e).learn(period, e)
	k.Reads++
	if e.WrappingToken != "" {
		k.Wrapped++
	}
}

func (t *Token) unwrap(e *Entry) { reader(t.Readers, e).learn(nil, e).Unwrapped++ }

func (t *Token) change(e *Entry) {
	t.Rotations = append(t.Rotations, *e)
	// The answer to a rotation that is not finished tells nothing of a previous credential.
	if e.Rotation.Error != "" || e.Rotation.PreviousCredential == "" || e.Version == (Version{}) {
		return
	}
	period := t.period(e.Version)
	widen(&period.First, &period.Last, e.Time)
	period.ByRequest = true
	if e.Rotation.HandedIn {
		reader(t.Readers, e).learn(period, e).HandedIn++
	}
}

// period returns that of a version. An entry that tells only the number stands for the latest version of that number.
func (t *Token) period(v Version) *Period {
	if period, ok := t.byID[v]; ok {
		return period
	}
	var same *Period
	for _, period := range t.versions {
		alike := v.Number > 0 && period.Number == v.Number && (v.ID == "" || period.ID == "")
		if alike && (same == nil || period.Last.After(same.Last)) {
			same = period
		}
	}
	if same == nil {
		same = &Period{Version: v}
		t.versions = append(t.versions, same)
	} else if same.ID == "" {
		same.ID = v.ID
	}
	t.byID[v] = same
	return same
}

func reader(readers map[Identity]*Reader, e *Entry) *Reader {
	r, ok := readers[e.By]
	if !ok {
		r = &Reader{}
		readers[e.By] = r
	}
	switch {
	case slices.Contains(r.Addresses, e.Address):
	case len(r.Addresses) < maxAddresses:
		r.Addresses = append(r.Addresses, e.Address)
	default:
		r.Addresses = append(slices.Delete(r.Addresses, 0, 1), e.Address)
		r.MoreAddresses = true
	}
	return r
}

// learn returns the knowledge of a version, with the entry's time added.
func (r *Reader) learn(period *Period, e *Entry) *Knowledge {
	k := r.knowledge(period)
	widen(&k.First, &k.Last, e.Time)
	if e.Kind == KindUnwrap {
		k.asOf = latest(k.asOf, e.ReadAt)
	} else {
		k.asOf = latest(k.asOf, e.Time)
	}
	return k
}

func (r *Reader) knowledge(period *Period) *Knowledge {
	for _, k := range slices.Backward(r.Knowledge) {
		if k.Period == period {
			return k
		}
	}
	if len(r.Knowledge) == maxVersions {
		slices.SortFunc(r.Knowledge, func(a, b *Knowledge) int { return a.Last.Compare(b.Last) })
		r.Knowledge[1].add(r.Knowledge[0])
		r.Knowledge = slices.Delete(r.Knowledge, 0, 1)
	}
	k := &Knowledge{Period: period}
	r.Knowledge = append(r.Knowledge, k)
	return k
}

func (k *Knowledge) add(other *Knowledge) {
	widen(&k.First, &k.Last, other.First)
	widen(&k.First, &k.Last, other.Last)
	k.asOf = latest(k.asOf, other.asOf)
	k.Reads += other.Reads
	k.Wrapped += other.Wrapped
	k.Unwrapped += other.Unwrapped
	k.HandedIn += other.HandedIn
}

// Total sums up what somebody knows of all versions.
func (r *Reader) Total() Knowledge {
	var total Knowledge
	for _, k := range r.Knowledge {
		total.add(k)
	}
	return total
}

// Versions returns the versions in the order of their first times.
func (t *Token) Versions() []*Period {
	return slices.SortedStableFunc(slices.Values(t.versions), func(a, b *Period) int { return a.First.Compare(b.First) })
}

// overlap is how much later than its end a version may still show up: by requests that were under way at a rotation, or
// by the clocks of a cluster's nodes.
const overlap = time.Minute

// Current returns the version that the log shows last; nil if it shows none.
func (t *Token) Current() *Period {
	var last time.Time
	for _, period := range t.versions {
		last = latest(last, period.Last)
	}
	var current *Period
	for _, period := range t.versions {
		if last.Sub(period.Last) <= overlap && (current == nil || period.First.After(current.First)) {
			current = period
		}
	}
	return current
}

// State says whether somebody knows the current version.
type State string

// The states.
const (
	StateCurrent State = "current"
	StateStale   State = "stale"   // knows older versions only
	StateUnknown State = "unknown" // the log does not tell
)

// Knows returns the version that somebody's knowledge is of, and whether it is the current one. The version is nil if the
// log does not tell.
func (t *Token) Knows(k *Knowledge) (*Period, State) {
	current, known := t.Current(), k.Period
	if known == nil {
		known = t.at(k.asOf)
	}
	switch {
	case current == nil:
		return nil, StateUnknown
	case known == current:
		return known, StateCurrent
	case known != nil:
		return known, StateStale
	}
	for _, period := range t.versions {
		if period != current && !k.asOf.After(period.Last) {
			return nil, StateStale
		}
	}
	return nil, StateUnknown
}

// at returns the version of a time; nil if the log does not tell. A read gives the version that is current at its time, so
// that the time tells it where the entry does not.
func (t *Token) at(at time.Time) *Period {
	var period, next *Period
	for _, p := range t.Versions() {
		if p.First.After(at) {
			next = p
			break
		}
		period = p
	}
	// Between its last time and the first one of the next version, a version may have ended, unless a request ended it then.
	if period != nil && next != nil && at.After(period.Last) && !next.ByRequest {
		return nil
	}
	return period
}

// State says what a reader of the token knows at best.
func (t *Token) State(r *Reader) State {
	best := StateStale
	for _, k := range r.Knowledge {
		switch _, state := t.Knows(k); state {
		case StateCurrent:
			return StateCurrent
		case StateUnknown:
			best = StateUnknown
		case StateStale:
		}
	}
	return best
}

// Abandoned reports whether a version was the current one when the token was deleted. Nothing ended it at the provider.
func (t *Token) Abandoned(p *Period) bool {
	return p != nil && !t.Deleted.IsZero() && t.at(t.Deleted) == p
}

// Newest returns the newest version that a reader is known to know; nil if the log does not tell.
func (t *Token) Newest(r *Reader) *Period {
	var newest *Period
	for _, k := range r.Knowledge {
		period, state := t.Knows(k)
		if state == StateCurrent {
			return period
		}
		if period != nil && (newest == nil || period.First.After(newest.First)) {
			newest = period
		}
	}
	return newest
}

func widen(first, last *time.Time, t time.Time) {
	if t.IsZero() {
		return
	}
	if first.IsZero() || t.Before(*first) {
		*first = t
	}
	*last = latest(*last, t)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
