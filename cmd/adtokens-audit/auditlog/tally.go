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
	// maxWrapped is how many response-wrapped reads can wait to be unwrapped, and how many unwrappings for their reads.
	maxWrapped = 1 << 16
)

// Tally keeps account of the entries of a log. It grows with the number of readers, rotations and versions, not with the
// number of entries. Entries may come in any order.
type Tally struct {
	Tokens      map[TokenID]*Token
	First, Last time.Time // of all entries
	// Entries counts those that were added and are the mount's, duplicates included.
	Entries int
	// Duplicates counts entries of requests that were counted already.
	Duplicates int
	// Counted is called for every entry that counts, once it is complete. It may be nil.
	Counted func(*Entry)

	seed maphash.Seed
	// seen has the hash of a request's ID in the slot that the hash picks: a later request with the same slot takes it.
	seen  []uint64
	wraps wraps
}

// NewTally returns an empty tally.
func NewTally() *Tally {
	return &Tally{
		Tokens: map[TokenID]*Token{}, seed: maphash.MakeSeed(), seen: make([]uint64, requestIDs),
		wraps: newWraps(),
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

	renewals map[Identity]time.Time // the last ones
	consents consents
	versions []*Period // in the order in which the log told of them
	byID     map[Version]*Period
	// settled is what follows from the versions; nil since the last change of them.
	settled *settled
}

// settled are the versions in the order of their first times, and the current one.
type settled struct {
	versions []*Period
	current  *Period
}

// Period is the time in which the log shows a version to be the current one.
type Period struct {
	Version
	First, Last time.Time
	// ByRequest is set if a request in the log published the version; else it was there before, or came from the background.
	ByRequest bool

	// values are all that the log has of the value's fingerprint: itself, and HMACs of it. A refresh adds another one.
	values []string
	// published is the same of the time of its publication.
	published []string
}

// SameValue reports whether the log shows two versions to be the same value. Numbers tell nothing of it: a value that was
// replaced can come back under a later one.
func (p *Period) SameValue(other *Period) bool {
	if p == nil || other == nil {
		return false
	}
	return p == other || slices.ContainsFunc(p.values, func(v string) bool { return slices.Contains(other.values, v) })
}

// Values are what the log has of the value's fingerprint: itself, and HMACs of it.
func (p *Period) Values() []string { return p.values }

// Reader is what somebody knows of a token, and from where.
type Reader struct {
	Addresses     []string
	MoreAddresses bool // there were others before those
	// Knowledge is by version, in the order in which it was learnt.
	Knowledge []*Knowledge

	// last is the last time at which the reader got the credential in clear. It has no time for whoever only handed one in, or
	// asked for a wrapped one.
	last Use
	// older are versions whose knowledge was put together with that of another one.
	older []*Period
}

// Use is a time at which somebody had a version in use.
type Use struct {
	At time.Time
	// Period is nil if the entry does not tell the version, which was the current one at AsOf at the latest.
	Period *Period
	AsOf   time.Time
	// Kind is KindRead, KindUnwrap or KindRenew.
	Kind Kind
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
	// stint is the version that was there then, as far as the log was read.
	stint *Period
	// undated is set if one of the reads that were unwrapped is not in the log.
	undated bool
}

// Count is how often somebody came to know the version.
func (k *Knowledge) Count() int { return k.Reads + k.Unwrapped + k.HandedIn }

// Add counts an entry. It returns false for one that does not count: a duplicate, or an unwrapping of which no read is
// known yet. That one counts once its read is added.
func (t *Tally) Add(e *Entry) bool {
	counts := t.link(e) && t.count(e)
	t.countDue()
	return counts
}

// Note keeps in mind what an entry tells of wrapping tokens, without counting it: its unwrapping may count.
func (t *Tally) Note(e *Entry) {
	if e.Kind == KindRead || e.Kind == KindAccessToken || e.Kind == KindRewrap {
		t.link(e)
		t.countDue()
	}
}

// countDue counts the unwrappings whose read has come.
func (t *Tally) countDue() {
	for len(t.wraps.due) > 0 {
		e := t.wraps.due[0]
		t.wraps.due = t.wraps.due[1:]
		if t.link(&e) {
			t.count(&e)
		}
	}
}

// link follows wrapping tokens from reads to unwrappings. It returns false for entries that tell nothing by themselves: new
// wrapping tokens for old ones, and unwrappings of unknown reads.
func (t *Tally) link(e *Entry) bool {
	switch e.Kind {
	case KindRead, KindAccessToken:
		if e.WrappingToken.Token != "" {
			t.wraps.add(e.WrappingToken, wrappedRead{token: e.Token, at: e.Time, accessToken: e.Kind == KindAccessToken})
		}
	case KindUnwrap, KindRewrap:
		if e.Kind == KindUnwrap && e.Token != (TokenID{}) {
			return true // it was completed before
		}
		read, ok := t.wraps.spend(e)
		if ok && e.WrappingToken.Token != "" { // wrapped again
			t.wraps.add(e.WrappingToken, read)
			return false
		}
		if !ok || e.Kind == KindRewrap || read.elsewhere {
			return false
		}
		e.Token, e.ReadAt, e.AccessToken = read.token, read.at, read.accessToken
	case KindRotate, KindImport, KindDelete, KindRenew:
	}
	return true
}

// Unmatched returns how many unwrapped credentials of this engine, and how many reads of cubbyholes, belong to no read that
// was added.
func (t *Tally) Unmatched() (credentials, cubbyholes int) { return t.wraps.unmatched() }

func (t *Tally) count(e *Entry) bool {
	t.Entries++
	if t.duplicate(e.RequestID) {
		t.Duplicates++
		return false
	}
	widen(&t.First, &t.Last, e.Time)
	token := t.token(e.Token)
	switch e.Kind {
	case KindRead:
		token.read(e)
	case KindUnwrap:
		if e.AccessToken {
			reader(token.AccessTokens, e).learn(nil, nil, e).Unwrapped++
		} else {
			token.unwrap(e)
		}
	case KindAccessToken:
		k := reader(token.AccessTokens, e).learn(nil, nil, e)
		k.Reads++
		if e.WrappingToken.Token != "" {
			k.Wrapped++
		}
	case KindRotate, KindImport:
		token.change(e)
	case KindDelete:
		token.Deleted = latest(token.Deleted, e.Time)
	case KindRenew:
		token.renewals[e.By] = latest(token.renewals[e.By], e.Time)
	case KindConsent:
		token.consents.begin(token, e)
	case KindRewrap:
	}
	if t.Counted != nil {
		t.Counted(e)
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
			renewals: map[Identity]time.Time{},
		}
		t.Tokens[id] = token
	}
	return token
}

func (t *Token) read(e *Entry) {
	var period *Period
	if e.Version.known() {
		period = t.period(e)
		widen(&period.First, &period.Last, e.Time)
		t.settled = nil
	}
	r := reader(t.Readers, e)
	stint := period
	if period == nil {
		stint = t.at(e.Time)
	}
	k := r.learn(period, stint, e)
	k.Reads++
	if e.WrappingToken.Token != "" {
		k.Wrapped++
	} else {
		r.use(Use{At: e.Time, Period: period, AsOf: e.Time, Kind: e.Kind})
	}
}

func (t *Token) unwrap(e *Entry) {
	r := reader(t.Readers, e)
	r.learn(nil, t.at(e.ReadAt), e).Unwrapped++
	r.use(Use{At: e.Time, AsOf: e.ReadAt, Kind: e.Kind})
}

// LastUse returns the reader's last use, which may be the renewal of a lease. The engine renews that of the current version
// only.
func (t *Token) LastUse(by Identity) Use {
	use, renewed := t.Readers[by].last, t.renewals[by]
	if renewed.After(use.At) && !use.At.IsZero() {
		return Use{At: renewed, AsOf: renewed, Kind: KindRenew}
	}
	return use
}

// use keeps the last use.
func (r *Reader) use(u Use) {
	if !u.At.Before(r.last.At) {
		r.last = u
	}
}

func (t *Token) change(e *Entry) {
	t.Rotations = append(t.Rotations, *e)
	// The answer to a rotation that is not finished tells nothing of a previous credential.
	if e.Rotation.Error != "" || e.Rotation.PreviousCredential == "" || e.Version == (Version{}) {
		return
	}
	period := t.period(e)
	widen(&period.First, &period.Last, e.Time)
	period.ByRequest = true
	t.settled = nil
	if e.Rotation.HandedIn {
		reader(t.Readers, e).learn(period, period, e).HandedIn++
	}
	if e.Rotation.Consent {
		t.consents.answered(t, period, e.Time)
	}
}

// period returns that of an entry's version. An entry that tells only the number stands for the latest version of that number.
func (t *Token) period(e *Entry) *Period {
	v := Version{Number: e.Version.Number, ID: e.Version.ID}
	period := t.byID[v]
	if period == nil {
		if period = t.refreshed(e); period == nil {
			period = t.alike(v)
		}
		t.byID[v] = period
		t.settled = nil
	}
	period.values = withText(period.values, e.Version.Value)
	period.published = withText(period.published, e.Version.Published)
	return period
}

func withText(texts []string, text string) []string {
	if text == "" || slices.Contains(texts, text) {
		return texts
	}
	return append(texts, text)
}

// refreshed returns the version that a refresh has given another fingerprint: that of the same publication, or the one that a request has
// published since the token was made. It returns nil where the log has none.
func (t *Token) refreshed(e *Entry) *Period {
	if e.Version.Number == 0 || e.Version.ID == "" || e.Version.Published == "" {
		return nil
	}
	for _, period := range slices.Backward(t.versions) {
		deleted := t.Deleted.After(period.First) && !t.Deleted.After(e.Time)
		unread := period.ByRequest && len(period.published) == 0 && !e.Time.Before(period.First) && !deleted
		if period.Number == e.Version.Number && (unread || slices.Contains(period.published, e.Version.Published)) {
			return period
		}
	}
	return nil
}

func (t *Token) alike(v Version) *Period {
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

// learn returns the knowledge of a version, with the entry's time added. Where the entry does not tell the version, the stint
// is the one that was there as far as the log is read: what was learnt in another one may be of another version.
func (r *Reader) learn(period, stint *Period, e *Entry) *Knowledge {
	k := r.knowledge(period, stint)
	widen(&k.First, &k.Last, e.Time)
	switch {
	case e.Kind != KindUnwrap:
		k.asOf = latest(k.asOf, e.Time)
	case e.ReadAt.IsZero():
		k.undated = true
	default:
		k.asOf = latest(k.asOf, e.ReadAt)
	}
	return k
}

func (r *Reader) knowledge(period, stint *Period) *Knowledge {
	for _, k := range slices.Backward(r.Knowledge) {
		if k.Period == period && k.stint == stint {
			return k
		}
	}
	if len(r.Knowledge) == maxVersions {
		slices.SortFunc(r.Knowledge, func(a, b *Knowledge) int { return a.Last.Compare(b.Last) })
		if older := r.Knowledge[0].stint; older != nil {
			r.older = append(r.older, older)
		}
		r.Knowledge[1].add(r.Knowledge[0])
		r.Knowledge = slices.Delete(r.Knowledge, 0, 1)
	}
	k := &Knowledge{Period: period, stint: stint}
	r.Knowledge = append(r.Knowledge, k)
	return k
}

func (k *Knowledge) add(other *Knowledge) {
	widen(&k.First, &k.Last, other.First)
	widen(&k.First, &k.Last, other.Last)
	k.asOf = latest(k.asOf, other.asOf)
	k.undated = k.undated || other.undated
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
func (t *Token) Versions() []*Period { return t.settle().versions }

// overlap is how much later than its end a version may still show up: by requests that were under way at a rotation, or
// by the clocks of a cluster's nodes.
const overlap = time.Minute

// Current returns the version that the log shows last; nil if it shows none.
func (t *Token) Current() *Period { return t.settle().current }

func (t *Token) settle() *settled {
	if t.settled != nil {
		return t.settled
	}
	s := &settled{versions: slices.SortedStableFunc(slices.Values(t.versions), func(a, b *Period) int { return a.First.Compare(b.First) })}
	var last time.Time
	for _, period := range t.versions {
		last = latest(last, period.Last)
	}
	for _, period := range t.versions {
		if last.Sub(period.Last) <= overlap && (s.current == nil || period.First.After(s.current.First)) {
			s.current = period
		}
	}
	t.settled = s
	return s
}

// State says whether somebody knows the current version.
type State string

// The states.
const (
	StateCurrent State = "current"
	StateStale   State = "stale"   // knows older versions only
	StateUnknown State = "unknown" // the log does not tell
)

// Knows returns the version that somebody's knowledge is of, and whether its value is the current one. The version is nil
// if the log does not tell.
func (t *Token) Knows(k *Knowledge) (*Period, State) {
	period, state := t.stateOf(k.Period, k.asOf)
	if k.undated && state == StateStale {
		return nil, StateUnknown
	}
	return period, state
}

// InUse returns the version of a use, and whether its value is the current one.
func (t *Token) InUse(u Use) (*Period, State) { return t.stateOf(u.Period, u.AsOf) }

// stateOf takes a version, or when it was the current one at the latest. A zero time is an unknown one.
func (t *Token) stateOf(known *Period, asOf time.Time) (*Period, State) {
	current := t.Current()
	if known == nil && !asOf.IsZero() {
		known = t.at(asOf)
	}
	switch {
	case current == nil:
		return nil, StateUnknown
	case known.SameValue(current):
		return known, StateCurrent
	case known != nil:
		return known, StateStale
	case asOf.IsZero():
		return nil, StateUnknown
	}
	// It ended before the current one, unless the value has come back.
	for _, period := range t.versions {
		if period != current && !asOf.After(period.Last) && !t.returned() {
			return nil, StateStale
		}
	}
	return nil, StateUnknown
}

// returned reports whether the current value is that of another version too.
func (t *Token) returned() bool {
	current := t.Current()
	return slices.ContainsFunc(t.versions, func(p *Period) bool { return p != current && p.SameValue(current) })
}

// AsOf returns the version of a time, and whether its value is the current one.
func (t *Token) AsOf(at time.Time) (*Period, State) { return t.stateOf(nil, at) }

// at returns the version of a time; nil if the log does not tell. A read gives the version that is current at its time, so
// that the time tells it where the entry does not.
func (t *Token) at(at time.Time) *Period {
	versions := t.Versions()
	i, _ := slices.BinarySearchFunc(versions, at, func(p *Period, at time.Time) int {
		if p.First.After(at) {
			return 1
		}
		return -1
	})
	var seen time.Time // the last time up to then
	for _, p := range versions[:i] {
		seen = latest(seen, earliest(p.Last, at))
	}
	for j, p := range slices.Backward(versions[:i]) {
		switch {
		case seen.Sub(earliest(p.Last, at)) > overlap:
			continue
		case j < i-1 && at.Before(p.Last):
			return nil // an old version came back at some time
		case i < len(versions) && at.After(p.Last) && !versions[i].ByRequest:
			// Between its last time and the first one of the next version, a version may have ended, unless a request ended it then.
			return nil
		}
		return p
	}
	return nil
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
	if slices.ContainsFunc(r.older, t.Current().SameValue) {
		return StateCurrent
	}
	return best
}

// Abandoned reports whether a version was the current one when the token was deleted. Nothing ended it at the provider.
func (t *Token) Abandoned(p *Period) bool {
	return p != nil && !t.Deleted.IsZero() && p.SameValue(t.at(t.Deleted))
}

// AnyAbandoned reports whether a reader knows a value that was the current one when the token was deleted.
func (t *Token) AnyAbandoned(r *Reader) bool {
	return slices.ContainsFunc(r.older, t.Abandoned) || slices.ContainsFunc(r.Knowledge, func(k *Knowledge) bool {
		period, _ := t.Knows(k)
		return t.Abandoned(period)
	})
}

// Newest returns the newest version whose value a reader is known to know; nil if the log does not tell.
func (t *Token) Newest(r *Reader) *Period {
	var newest *Period
	if slices.ContainsFunc(r.older, t.Current().SameValue) {
		return t.Current()
	}
	for _, k := range r.Knowledge {
		period, state := t.Knows(k)
		if state == StateCurrent {
			return t.Current()
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

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
