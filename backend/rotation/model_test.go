package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// epoch is when the tests begin.
var epoch = time.Date(2026, time.November, 22, 9, 0, 0, 0, time.UTC)

const (
	// latency is how long every call takes, so that no two things happen at the same time.
	latency = 10 * time.Millisecond
	// storageRetry is how long the engine waits when its storage fails.
	storageRetry = 5 * time.Second
	grace        = time.Hour
)

// fault is what befalls one call.
type fault int

const (
	crashBefore fault = iota + 1 // the process dies before the call is sent
	crashAfter                   // the call takes effect, and the process dies before the answer comes
	noAnswer                     // the call fails without an effect
	answerLost                   // the call takes effect and fails
)

func (f fault) String() string {
	return []string{"nothing", "crash before", "crash after", "no answer from", "lost answer from"}[f]
}

// crash is what a call panics with when the process dies.
type crash struct{}

var errCrash = errors.New("the process died")

// settings say how a world behaves.
type settings struct {
	source Source
	grace  time.Duration
	// propagation is how long a fresh value is rejected.
	propagation time.Duration
	// listLag is how long lists are late with new and deleted keys, deletionLag how long deleted keys still work.
	listLag, deletionLag time.Duration
	// failures and notYets are how often requests for a value fail, and are then put off, before there is one. An API limits their rate
	// throttles times before, and the answers to the first that it acts on are lost unanswered times.
	failures, notYets, throttles, unanswered int
	// once says that an API is not asked again after a lost answer, overlapping that its values live until they are ended, and
	// byItself that the current value asks for the next one.
	once, overlapping, byItself bool
	// refuses says that requests for a value are refused for good.
	refuses bool
}

// world is what surrounds a record: a provider, its key API or a reset hook, storage and a clock. It fails the test at
// once where a step would lose a value, delete a key in use, or is not in the state diagram. Storage holds JSON, so
// that a process that dies takes along what it had in memory only.
type world struct {
	tb testing.TB
	settings
	now time.Time

	// calls names the calls of this world so far, and states has the record's state before each. faults befall them by
	// number, from 1, and usual ones by name; broken calls fail by name.
	calls  []string
	states []State
	faults map[int]fault
	usual  map[string]fault
	broken map[string]error
	// arrange, if set, changes the order of a list of keys.
	arrange func([]provider.Key)
	// verdict replaces the provider's own answers to Verify.
	verdict *provider.Verification

	// stored is what is in storage, and last the same as a record, to look at.
	stored      []byte
	last        *Record
	saves       int
	events      []Event
	transitions map[[2]State]bool
	// intents are the IDs of all rotations, and recorded all values, that were ever stored.
	intents, recorded map[string]bool

	// made is when each value was made, deleted when it was deleted.
	made, deleted map[string]time.Time
	// owners are whose keys they are, where not the token's first owner's.
	owners map[string]string
	// shared are the values that others of the mount live on, and unknowable is why those are not known.
	shared     map[string]string
	unknowable error
	// held counts the values that nobody takes in now.
	held int
	// locked are the owners whose keys nobody else makes or cleans up now.
	locked map[string]bool
	// account says that the account has rights of its own, for every owner.
	account bool
	// foreign keys are somebody else's. Released ones were replaced by hand and live on.
	foreign, released map[string]bool
	// live is the only value that is valid where a reset ends the one before.
	live string
	// resets are the values that the hook has made, by idempotency key, and lastReset is the latest.
	resets    map[string]string
	lastReset string
	// asking counts the requests to an API whose answers are not stored yet.
	asking int
	// acted are the rotations for which an API may have made a value as far as the engine can know.
	acted map[string]bool
	// blames is set once the record has said that keys may have been left behind, and told once it has said that a value is lost.
	blames, told bool
	// deletingToken is set while the token is deleted, which ends graces early.
	deletingToken bool
}

// newWorld has a token with version 1, and a key of somebody else.
func newWorld(tb testing.TB, s settings) *world {
	w := &world{
		tb: tb, settings: s, now: epoch,
		faults: map[int]fault{}, usual: map[string]fault{}, broken: map[string]error{}, transitions: map[[2]State]bool{},
		intents: map[string]bool{}, recorded: map[string]bool{}, resets: map[string]string{},
		owners: map[string]string{}, shared: map[string]string{}, locked: map[string]bool{}, acted: map[string]bool{},
		made: map[string]time.Time{}, deleted: map[string]time.Time{}, foreign: map[string]bool{}, released: map[string]bool{},
	}
	long := epoch.Add(-1000 * time.Hour)
	w.made["first"], w.made["somebody else's"], w.foreign["somebody else's"] = long, long, true
	w.live = "first"
	var r Record
	r.Publish(candidate("first", SourceImport), long)
	w.stored = encode(tb, &r)
	w.last = w.load()
	return w
}

func candidate(id string, source Source) Candidate {
	return Candidate{
		Credential: credential(id), Fingerprint: fingerprint(id), Source: source,
		Verified: &provider.Verification{Outcome: provider.Accepted},
	}
}

func credential(id string) provider.Values {
	return provider.Values{"id": id, "secret": "secret of " + id}
}

func fingerprint(id string) string { return "fingerprint of " + id }

func encode(tb testing.TB, r *Record) []byte {
	tb.Helper()
	stored, err := json.Marshal(r)
	if err != nil {
		tb.Fatal(err)
	}
	return stored
}

// load returns the record as a new process finds it.
func (w *world) load() *Record {
	w.tb.Helper()
	var r Record
	if err := json.Unmarshal(w.stored, &r); err != nil {
		w.tb.Fatal(err)
	}
	return &r
}

// call is a call of the outside world: its effect, or the fault that befalls it.
func (w *world) call(name string, effect func() error) error {
	w.calls, w.states = append(w.calls, name), append(w.states, w.last.State())
	w.now = w.now.Add(latency)
	if err := w.broken[name]; err != nil {
		return err
	}
	silence := &provider.Error{Host: "provider.example.com", Problem: "did not answer to " + name}
	switch max(w.faults[len(w.calls)], w.usual[name]) {
	case crashBefore:
		panic(crash{})
	case noAnswer:
		return silence
	case crashAfter:
		_ = effect() // nobody is left to learn of it
		panic(crash{})
	case answerLost:
		_ = effect() // what it says is lost
		return silence
	default:
		return effect()
	}
}

// machine is the machine of a process that has loaded r.
func (w *world) machine(r *Record) *Machine {
	m := &Machine{
		Now:   func() time.Time { return w.now },
		Grace: w.grace,
		Save: func(_ context.Context, saved *Record) error {
			return w.call("Save", func() error { w.save(saved); return nil })
		},
		Fingerprint: func(_ context.Context, value provider.Values) (string, error) {
			return fingerprint(value["id"]), w.call("Fingerprint", func() error { return nil })
		},
		Verify: func(_ context.Context, value provider.Values) (v provider.Verification, err error) {
			err = w.call("Verify", func() error { v = w.verify(value["id"]); return nil })
			return v, err
		},
		Obtain: func(_ context.Context, p *Pending) (value provider.Values, err error) {
			err = w.call("Obtain", func() error { value, err = w.obtain(p); return err })
			return value, err
		},
		Retire: func(_ context.Context, old Retiring) error {
			id := old.Credential["id"]
			return w.call("Retire", func() error { return w.delete(r, Rights{Owner: w.owner(id), Proven: old.Proven}, id) })
		},
		Same:      func(a, b provider.Values) bool { return a["id"] == b["id"] },
		Unchanged: func(a, b provider.Values) bool { return maps.Equal(a, b) },
		Hold: func(_ context.Context, value provider.Values) ([]string, func(), error) {
			holders, err := w.holders(value["id"])
			if err != nil {
				return nil, nil, err
			}
			w.held++
			return holders, func() { w.held-- }, nil
		},
		Happened: func(_ context.Context, r *Record, e Event) {
			w.events = append(w.events, e)
			if got := string(encode(w.tb, r)); got != string(w.stored) {
				w.tb.Errorf("event %q was sent before its cause was stored", e)
			}
		},
	}
	switch w.source {
	case SourceIAM:
		m.Keys, m.RetiresPrevious = keyRing{world: w, record: r}, true
	case SourceAPI:
		m.Once, m.RetiresPrevious, m.TryAfterRetiring = w.once, w.overlapping, true
		m.Asking = func() func() {
			w.asking++
			return func() { w.asking-- }
		}
		m.Wait = func(d time.Duration) bool { w.now = w.now.Add(d); return true }
	}
	return m
}

// keyRing is the key API as the record's current key.
type keyRing struct {
	world  *world
	record *Record
}

func (k keyRing) List(_ context.Context, by Rights) (keys []provider.Key, err error) {
	err = k.world.call("List", func() error { keys, err = k.world.list(k.record, by); return err })
	return keys, err
}

func (k keyRing) Delete(_ context.Context, by Rights, key provider.Key) error {
	return k.world.call("Delete", func() error {
		if !k.world.locked[by.Owner] || key.Owner != by.Owner {
			k.world.tb.Errorf("deleted the key %q of %q for %q, locked: %v", key.ID, key.Owner, by.Owner, k.world.locked)
		}
		return k.world.delete(k.record, by, key.ID)
	})
}

func (k keyRing) Key(value provider.Values) (provider.Key, error) {
	return provider.Key{Owner: k.world.owner(value["id"]), ID: value["id"]}, nil
}

func (k keyRing) Lock(_ context.Context, owner string) (func(), error) {
	if k.world.locked[owner] || owner == "" {
		k.world.tb.Errorf("the keys of %q are locked already", owner)
	}
	k.world.locked[owner] = true
	return func() { delete(k.world.locked, owner) }, nil
}

func (k keyRing) MayAct(by Rights) bool { return k.world.actor(k.record, by) != "" }

func (k keyRing) Proves(v Version) bool { return v.Proven }

func (k keyRing) Holders(_ context.Context, key provider.Key) ([]string, error) {
	return k.world.holders(key.ID)
}

// owner is whose key it is.
func (w *world) owner(id string) string {
	if owner := w.owners[id]; owner != "" {
		return owner
	}
	return "app"
}

func (w *world) holders(id string) ([]string, error) {
	if who := w.shared[id]; who != "" && w.unknowable == nil {
		return []string{who}, nil
	}
	return nil, w.unknowable
}

// actor is the key that acts for an owner: one that the record holds, or the account's.
func (w *world) actor(r *Record, by Rights) string {
	ids := []string{r.Current.Credential["id"]}
	for _, old := range r.Retiring {
		ids = append(ids, old.Credential["id"])
	}
	for _, id := range ids {
		if w.owner(id) == by.Owner {
			return id
		}
	}
	if by.Proven && w.account {
		return theAccount
	}
	return ""
}

const theAccount = "the account's own"

// accepts says whether the provider accepts the value now.
func (w *world) accepts(id string) bool {
	made, known := w.made[id]
	if !known || w.now.Before(made.Add(w.propagation)) {
		return false
	}
	if w.isReset() {
		return id == w.live
	}
	deleted, gone := w.deleted[id]
	return !gone || w.now.Before(deleted.Add(w.deletionLag))
}

// isReset says whether a new value ends the one before.
func (w *world) isReset() bool {
	return w.source == SourceHook || w.source == SourceAPI && !w.overlapping
}

func (w *world) verify(id string) provider.Verification {
	switch {
	case w.verdict != nil:
		return *w.verdict
	case w.accepts(id):
		return provider.Verification{Outcome: provider.Accepted, Detail: "It works."}
	default:
		return provider.Verification{Outcome: provider.Rejected, Detail: "It is unknown."}
	}
}

// list shows the keys that were there a list's lag ago, newest first.
func (w *world) list(r *Record, by Rights) ([]provider.Key, error) {
	if err := w.act(r, by); err != nil {
		return nil, err
	}
	shown := w.now.Add(-w.listLag)
	var keys []provider.Key
	for id, made := range w.made {
		if deleted, gone := w.deleted[id]; w.owner(id) == by.Owner && !made.After(shown) && (!gone || deleted.After(shown)) {
			keys = append(keys, provider.Key{Owner: by.Owner, ID: id, CreatedAt: made})
		}
	}
	slices.SortFunc(keys, func(a, b provider.Key) int { return b.CreatedAt.Compare(a.CreatedAt) })
	if w.arrange != nil {
		w.arrange(keys)
	}
	return keys, nil
}

// act refuses what is done with a key that does not work.
func (w *world) act(r *Record, by Rights) error {
	if id := w.actor(r, by); id != theAccount && !w.accepts(id) {
		return &provider.Refused{Detail: "the key " + id + " is unknown"}
	}
	return nil
}

func (w *world) delete(r *Record, by Rights, id string) error {
	w.tb.Helper()
	if err := w.act(r, by); err != nil {
		return err
	}
	if w.shared[id] != "" || w.unknowable != nil {
		w.tb.Errorf("deleted %q, which may be held by %q", id, w.shared[id])
	}
	stored := w.last
	switch {
	case w.foreign[id]:
		w.tb.Errorf("deleted %q, which the token never held", id)
	case stored.Current.Credential["id"] == id:
		w.tb.Errorf("deleted the current key %q", id)
	case w.released[id]:
		w.tb.Errorf("deleted %q, which was left alive on purpose", id)
	}
	for _, old := range stored.Retiring {
		if old.Credential["id"] == id && w.now.Before(old.At) && !w.deletingToken {
			w.tb.Errorf("retired %q at %s, before %s", id, w.now, old.At)
		}
	}
	if _, gone := w.deleted[id]; !gone {
		w.deleted[id] = w.now
	}
	return nil
}

// obtain makes a key, or performs a reset once for each idempotency key.
func (w *world) obtain(p *Pending) (provider.Values, error) {
	stored := w.last.Pending
	if stored == nil || stored.ID != p.ID || !slices.Equal(stored.KnownKeys, p.KnownKeys) || !stored.AttemptedAt.Equal(p.AttemptedAt) {
		w.tb.Errorf("a value was asked for before the intent was stored: %+v", stored)
	}
	if w.source == SourceAPI {
		return w.obtainByAPI(p, stored)
	}
	if w.refuses {
		return nil, &provider.Refused{Detail: "not for you"}
	}
	if w.failures > 0 {
		w.failures--
		return nil, &provider.Error{Host: "provider.example.com", Problem: "is not well"}
	}
	if w.source == SourceIAM {
		if !w.locked[p.Owner] || p.Owner != w.owner(w.last.Current.Credential["id"]) {
			w.tb.Errorf("a key is made for %q, locked: %v", p.Owner, w.locked)
		}
		if err := w.act(w.last, p.rights()); err != nil {
			return nil, err
		}
		id := w.make("key")
		w.owners[id] = p.Owner
		return credential(id), nil
	}
	if w.resets[p.ID] == "" {
		w.lastReset = w.make("value")
		w.live, w.resets[p.ID] = w.lastReset, w.lastReset
	}
	if w.notYets > 0 {
		w.notYets--
		return nil, &NotYet{After: 30 * time.Second}
	}
	return credential(w.resets[p.ID]), nil
}

// obtainByAPI looks that a request to an API is announced, and not one too many, and answers it.
func (w *world) obtainByAPI(p, stored *Pending) (provider.Values, error) {
	switch {
	case stored == nil || stored.NotSent:
		w.tb.Errorf("an API was asked without that being announced: %+v", stored)
	case w.once && w.acted[p.ID]:
		w.tb.Errorf("an API was asked twice for rotation %q", p.ID)
	case w.throttles > 0:
		w.throttles--
		return nil, &provider.Error{Kind: provider.RateLimited, Host: "provider.example.com", Problem: "limits the rate of requests", NotSent: true}
	case w.refuses:
		return nil, &provider.Refused{Detail: "not for you"}
	case w.failures > 0:
		w.failures--
		w.acted[p.ID] = true // as far as anybody can tell
		return nil, &provider.Error{Host: "provider.example.com", Problem: "is not well"}
	}
	return w.replace(p)
}

// replace makes the value that an API gives in place of the current one.
func (w *world) replace(p *Pending) (provider.Values, error) {
	if current := w.last.Current.Credential["id"]; w.byItself && !w.accepts(current) {
		return nil, &provider.Refused{Detail: current + " is unknown"}
	}
	w.acted[p.ID] = true
	id := w.make("value")
	w.live = id
	if w.unanswered > 0 {
		w.unanswered--
		return nil, &provider.Error{Host: "provider.example.com", Problem: "closed the connection"}
	}
	return credential(id), nil
}

func (w *world) make(what string) string {
	id := fmt.Sprintf("%s %d", what, len(w.made))
	w.made[id] = w.now
	return id
}

// save is one storage write. It checks the step that the write stands for.
func (w *world) save(r *Record) {
	w.tb.Helper()
	before, stored := w.last, encode(w.tb, r)
	w.stored = stored
	after := w.load()
	w.last = after
	w.saves++
	w.transitions[[2]State{before.State(), after.State()}] = true
	if after.Pending != nil {
		w.intents[after.Pending.ID] = true
	}
	for id := range held(after) {
		w.recorded[id] = true
	}
	if after.Number() > before.Number() && after.History[len(after.History)-1].Source == SourceAssisted {
		w.released[before.Current.Credential["id"]] = true
		delete(w.released, after.Current.Credential["id"])
	}
	w.noteTold(before, after)
	for id := range held(before) {
		if !held(after)[id] && w.valuable(id) {
			w.tb.Errorf("the record forgot %q from %s to %s", id, before.State(), after.State())
		}
	}
	switch id := after.Current.Credential["id"]; after.Number() - before.Number() {
	case 0:
		if before.Current.Credential["id"] != id {
			w.tb.Errorf("version %d became %q", after.Number(), id)
		}
	case 1:
		if w.verdict == nil && !w.accepts(id) {
			w.tb.Errorf("published %q, which the provider does not accept", id)
		}
	default:
		w.tb.Errorf("version %d follows version %d", after.Number(), before.Number())
	}
	w.blames = w.blames || blames(after.LastError)
	if strings.Contains(after.LastError, "secret of") {
		w.tb.Errorf("the last error gives a secret away: %s", after.LastError)
	}
}

// noteTold notes what people are told of values that are lost, or dropped, with an API.
func (w *world) noteTold(before, after *Record) {
	note := ""
	if after.Pending != nil {
		note = after.Pending.Note
	}
	w.told = w.told || strings.Contains(after.LastError, "is lost (") || strings.Contains(note, "was lost (")
	if before.Pending != nil && before.Pending.Replaces != nil && strings.Contains(note, "was rejected, never published, and dropped for this one") {
		w.released[before.Pending.Replaces.Credential["id"]] = true
	}
	if after.PersonNeeded && after.LastError == "" && after.Pending == nil {
		w.tb.Error("a person is needed, and not told")
	}
}

// blames says whether an error tells of keys that may have been left behind.
func blames(problem string) bool {
	return slices.ContainsFunc([]string{"unknown keys", "gave up looking", "nothing was deleted"}, func(text string) bool {
		return strings.Contains(problem, text)
	})
}

// held are the values in the record.
func held(r *Record) map[string]bool {
	ids := map[string]bool{r.Current.Credential["id"]: true}
	for p := r.Pending; p != nil; p = p.Replaces {
		ids[p.Credential["id"]] = true
	}
	for _, old := range r.Retiring {
		ids[old.Credential["id"]] = true
	}
	delete(ids, "")
	return ids
}

// valuable says whether somebody could use the value, so that a record that holds it must not forget it.
func (w *world) valuable(id string) bool {
	if w.isReset() {
		return id == w.live
	}
	_, gone := w.deleted[id]
	return !gone && !w.released[id]
}

// run is a process that loads the record and works on it until it is done or dies.
func (w *world) run(work func(*Machine, *Record) error) (err error) {
	w.tb.Helper()
	defer func() {
		if died := recover(); died == (crash{}) {
			w.held, w.asking = 0, 0
			clear(w.locked)
			err = errCrash
		} else if died != nil {
			panic(died)
		}
	}()
	r := w.load()
	err = work(w.machine(r), r)
	if w.held != 0 || len(w.locked) > 0 || w.asking != 0 {
		w.tb.Errorf("%d values and the keys of %v are held for good, and %d answers waited for", w.held, w.locked, w.asking)
	}
	if err == nil && string(encode(w.tb, r)) != string(w.stored) {
		w.tb.Error("a change of the record was not stored")
	}
	return err
}

// advance takes the steps that are due.
func (w *world) advance() error {
	w.tb.Helper()
	began := w.now
	err := w.run(func(m *Machine, r *Record) error { return m.Advance(w.tb.Context(), r) })
	if next := w.last.NextStep(); err == nil && !next.IsZero() && !next.After(began) {
		w.tb.Errorf("a step of %s was due at %s and was not taken", next, began)
	}
	return err
}

// start starts a rotation, and takes the first steps in the same process.
func (w *world) start(id string) error {
	w.tb.Helper()
	return w.run(func(m *Machine, r *Record) error {
		if err := m.Start(w.tb.Context(), r, Pending{ID: id, Source: w.source, Reason: "because of " + id}); err != nil {
			return err
		}
		return m.Advance(w.tb.Context(), r)
	})
}

// handIn publishes a value that a person made at the provider, which leaves the one before alive.
func (w *world) handIn(id string) error {
	w.tb.Helper()
	var dropped []string
	err := w.run(func(m *Machine, r *Record) error {
		if w.isReset() {
			w.live = id
		}
		if w.source == SourceAPI && r.Pending != nil { // whoever hands a value in is told of those that it drops
			told := held(&Record{Current: r.Current, Pending: r.Pending})
			if r.Pending.Credential == nil && r.Pending.MayHaveAsked() { // and of an answer that was lost
				maps.Copy(told, w.unrecorded())
			}
			for value := range told {
				if !w.released[value] {
					w.released[value], dropped = true, append(dropped, value)
				}
			}
		}
		if _, gone := w.deleted[id]; gone {
			return fmt.Errorf("%q is deleted", id)
		}
		r.Supersede(w.now)
		r.Publish(candidate(id, SourceAssisted), w.now)
		return m.Save(w.tb.Context(), r)
	})
	if w.last.Current.Credential["id"] != id { // the write did not arrive, and nothing was dropped
		for _, value := range dropped {
			delete(w.released, value)
		}
	}
	return err
}

// step lets time pass until the next step and takes it. It returns false where there is none.
func (w *world) step() bool {
	w.tb.Helper()
	next := w.last.NextStep()
	if next.IsZero() {
		return false
	}
	w.sleepUntil(next)
	if err := w.advance(); err != nil {
		w.now = w.now.Add(storageRetry)
	}
	return true
}

// rest takes every step until nothing is left to do.
func (w *world) rest() {
	w.tb.Helper()
	for range 2000 {
		if !w.step() {
			return
		}
	}
	w.tb.Fatalf("the record does not come to rest: %s", w.describe())
}

func (w *world) sleepUntil(t time.Time) {
	if t.After(w.now) {
		w.now = t
	}
}

// unrecorded are the values that were made and never got into storage.
func (w *world) unrecorded() map[string]bool {
	ids := map[string]bool{}
	for id := range w.made {
		if !w.recorded[id] && !w.foreign[id] && id != "first" {
			ids[id] = true
		}
	}
	return ids
}

// lost counts the keys whose secret never got into storage.
func (w *world) lost() int {
	ids := w.unrecorded()
	maps.DeleteFunc(ids, func(id string, _ bool) bool { return w.released[id] })
	return len(ids)
}

// orphans are the keys that work and that nobody knows.
func (w *world) orphans() []string {
	var ids []string
	known := held(w.last)
	for id := range w.made {
		if _, gone := w.deleted[id]; !gone && !known[id] && !w.foreign[id] && !w.released[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// checkKeys wants the provider to accept the current key, and no key to be left that nobody knows. Which of several lost
// keys is the token's own cannot be told, so that they are left.
func (w *world) checkKeys() {
	w.tb.Helper()
	if w.source != SourceIAM {
		return
	}
	if id := w.last.Current.Credential["id"]; !w.accepts(id) {
		w.tb.Errorf("the provider does not accept the current key %q", id)
	}
	if orphans := w.orphans(); len(orphans) > 0 && w.lost() < 2 {
		w.tb.Errorf("orphans: %v", orphans)
	}
}

// checkHistory compares the record with what the provider did.
func (w *world) checkHistory() {
	w.tb.Helper()
	r := w.last
	if len(r.History) != r.Number() {
		w.tb.Fatalf("%d versions have %d entries of history", r.Number(), len(r.History))
	}
	ended := map[string]bool{}
	for i, entry := range slices.Backward(r.History) {
		id := strings.TrimPrefix(entry.Fingerprint, "fingerprint of ")
		deleted, gone := w.deleted[id]
		retired := entry.RetiredHow == RetiredByEngine || entry.RetiredHow == RetiredAlready
		switch {
		case entry.Version != i+1:
			w.tb.Errorf("entry %d of the history is about version %d", i, entry.Version)
		case w.made[id].IsZero() || entry.CreatedAt.Before(w.made[id]):
			w.tb.Errorf("version %d of %s was made at %s", entry.Version, entry.CreatedAt, w.made[id])
		case retired && (!gone || entry.RetiredAt.Before(deleted)), w.source == SourceIAM && gone && !retired && !ended[id]:
			w.tb.Errorf("version %d: %q was deleted at %s, and retired at %s", entry.Version, id, deleted, entry.RetiredAt)
		}
		// A value that was current several times ends with its last version.
		ended[id] = true
	}
	if last := r.History[len(r.History)-1]; last.Fingerprint != r.Current.Fingerprint {
		w.tb.Errorf("the history ends with %q, the current version is %q", last.Fingerprint, r.Current.Fingerprint)
	}
}

// count says how often the call was made.
func (w *world) count(call string) int {
	return len(slices.DeleteFunc(slices.Clone(w.calls), func(c string) bool { return c != call }))
}

// happened says how often there was the event.
func (w *world) happened(event Event) int {
	return len(slices.DeleteFunc(slices.Clone(w.events), func(e Event) bool { return e != event }))
}

// mustStart starts a rotation that the test takes for granted.
func (w *world) mustStart(id string) {
	w.tb.Helper()
	if err := w.start(id); err != nil {
		w.tb.Fatal(err)
	}
}

// mustAdvance takes the steps that are due.
func (w *world) mustAdvance() {
	w.tb.Helper()
	if err := w.advance(); err != nil {
		w.tb.Fatal(err)
	}
}

// describe tells what a failed test needs to know.
func (w *world) describe() string {
	return fmt.Sprintf("at %s after %.3000s\nmade %v\ndeleted %v\nstored %s",
		w.now.Sub(epoch), strings.Join(w.calls, " "), slices.Sorted(maps.Keys(w.made)), slices.Sorted(maps.Keys(w.deleted)), w.stored)
}
