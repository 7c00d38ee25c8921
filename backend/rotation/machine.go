package rotation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// State is what a token's rotation is doing.
//
//	stateDiagram-v2
//	    [*] --> idle
//	    idle --> requested: Start
//	    idle --> idle: Start, but the keys cannot be listed
//	    requested --> requested: no answer, not yet
//	    requested --> idle: refused for good
//	    requested --> pending: value obtained
//	    requested --> pending: refused for good, the rejected value before is tried again
//	    pending --> pending: no answer, rejected
//	    pending --> idle: published
//	    pending --> retiring: published, the old value is to be retired
//	    pending --> retiring: given up, the new key is to be deleted
//	    pending --> requested: Start again after a rejection
//	    requested --> retiring: superseded or given up, a lost key is looked for
//	    retiring --> retiring: no answer, refused, others live on the value
//	    retiring --> requested: Start
//	    retiring --> idle: retired
//
// Every arrow is one storage write. Verified and published is one arrow: nothing lies between them that could fail.
type State string

const (
	// StateIdle means that there is nothing to do.
	StateIdle State = "idle"
	// StateRequested means that the intent is stored, and that a new value may have been asked for.
	StateRequested State = "requested"
	// StatePending means that the new value is stored and waits for the provider to accept it.
	StatePending State = "pending"
	// StateRetiring means that no rotation is under way, and that an old value waits for its end.
	StateRetiring State = "retiring"
)

// Limits of patience. A fresh key may be refused for a minute or more; a rejected value of a hook is tried for about a
// day, because the reset has killed the old one; a hook that keeps saying "not yet" is believed for a day.
const (
	firstBackoff       = time.Second
	maxBackoff         = 5 * time.Minute
	maxKeyBackoff      = 15 * time.Second
	maxRejectedBackoff = time.Hour
	keyPropagation     = 10 * time.Minute
	maxRejections      = 36
	maxRequestAge      = 24 * time.Hour
	firstRetry         = time.Minute
	maxRetry           = time.Hour
	rejectedRetry      = 24 * time.Hour
)

// NotYet is what Obtain returns where the new value is being made and is to be asked for again.
type NotYet struct{ After time.Duration }

func (e *NotYet) Error() string {
	return fmt.Sprintf("the reset hook is still at work and asks to come back after %s", e.After)
}

// Spent is what Obtain returns where the reset is said to be done, and its value cannot be had.
type Spent struct {
	// Detail is a sentence for an operator. It holds no secret.
	Detail string
}

func (e *Spent) Error() string { return e.Detail }

// Pending is a rotation under way.
type Pending struct {
	// ID is the same for every attempt, so that a hook performs one reset however often it is asked.
	ID          string `json:"id"`
	Source      Source `json:"source"`
	Reason      string `json:"reason,omitempty"`
	EntityID    string `json:"entity_id,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
	// Scheduled is set where the policy asked for it, and nobody by hand.
	Scheduled   bool      `json:"scheduled,omitempty"`
	RequestedAt time.Time `json:"requested_at"`
	// Owner is for whom a key is asked, and OwnerProven by which right: see Rights. Other values have neither.
	Owner       string `json:"owner,omitempty"`
	OwnerProven bool   `json:"owner_proven,omitempty"`
	// AttemptedAt is when a value was last asked for.
	AttemptedAt time.Time `json:"attempted_at"`
	// KnownKeys are the IDs of the keys that existed before that.
	KnownKeys []string `json:"known_keys,omitempty"`
	// Credential is nil until it was obtained.
	Credential provider.Values `json:"credential,omitempty"`
	ReceivedAt time.Time       `json:"received_at,omitzero"`
	Attempts   int             `json:"attempts"`
	Rejections int             `json:"rejections,omitempty"`
	// NextAttempt is when to go on.
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	// Note is what an operator has to know of the credential where it does not work. It holds no secret.
	Note string `json:"note,omitempty"`
	// Replaces is a rejected value that is kept until this rotation has one.
	Replaces *Pending `json:"replaces,omitempty"`

	// fresh is set until the first value was asked for by the process that stored the intent. Found in storage, an
	// intent has to be taken for one whose answer was lost.
	fresh bool
}

// Stalled says whether a rejected value of a hook is not tried any more. Keys are given up instead.
func (p *Pending) Stalled() bool { return p.Source == SourceHook && p.Rejections >= maxRejections }

// Restartable says whether a new rotation may take this one's place: a hook's value that the provider rejects.
func (p *Pending) Restartable() bool { return p.Source == SourceHook && p.Rejections > 0 }

// maxRetiring bounds how many old values a record may have that wait for their end.
const maxRetiring = 10

// Retiring is a replaced value that the engine has yet to make worthless at the provider.
type Retiring struct {
	// Version is 0 for a value that was never published.
	Version    int             `json:"version"`
	Credential provider.Values `json:"credential"`
	// Proven is its version's, and set for a value that the engine has made itself. What was never proven is retired by
	// its own right alone.
	Proven      bool      `json:"proven,omitempty"`
	At          time.Time `json:"at"`
	Attempts    int       `json:"attempts,omitempty"`
	NextAttempt time.Time `json:"next_attempt"`
	LastError   string    `json:"last_error,omitempty"`
}

func (x *Retiring) name() string {
	if x.Version == 0 {
		return "a new key that never worked"
	}
	return fmt.Sprintf("version %d", x.Version)
}

// State is the state of the record. A rotation hides old values that still retire beside it.
func (r *Record) State() State {
	switch {
	case r.Pending != nil && r.Pending.Credential != nil:
		return StatePending
	case r.Pending != nil:
		return StateRequested
	case len(r.Retiring) > 0 || len(r.Searches) > 0:
		return StateRetiring
	default:
		return StateIdle
	}
}

// NextStep is when Advance has something to do; zero where it has nothing.
func (r *Record) NextStep() time.Time {
	var next time.Time
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if r.Pending != nil && !r.Pending.Stalled() {
		sooner(r.Pending.NextAttempt)
	}
	for i := range r.Retiring {
		sooner(r.Retiring[i].NextAttempt)
	}
	for i := range r.Searches {
		sooner(r.Searches[i].NextAttempt)
	}
	return next
}

// Event is something that happened to a record and is stored.
type Event string

const (
	// Published means that a new version is current.
	Published Event = "published"
	// Failed means that LastError has changed.
	Failed Event = "failed"
	// Retired means that an old value was made worthless.
	Retired Event = "retired"
	// CleanedUp means that a lost key was deleted: the latest of the record's Cleanups.
	CleanedUp Event = "cleaned up"
	// Died means that the end of an old value was the end of the current one, too.
	Died Event = "died"
)

// Machine moves one record on. Its functions are the record's outside world.
//
// What a crash leaves behind, by the step before which it happens, and the way on:
//
//  1. intent stored: nothing has happened
//  2. value asked for: requested. A hook is asked again with the same ID and answers with the value of the first
//     time; keys are listed, and the one that was made and whose secret was lost is deleted before another is made
//  3. value stored: as 2
//  4. value accepted by the provider: pending, tried again
//  5. published with what is to be retired, in one write: pending, tried again
//  6. old value retired: retiring, done again; a key that is gone already is no error
//  7. its end noted: as 6
type Machine struct {
	Now func() time.Time
	// Save stores the record in one write.
	Save func(context.Context, *Record) error
	// Fingerprint identifies a value without giving it away.
	Fingerprint func(context.Context, provider.Values) (string, error)
	// Verify asks the provider about a value.
	Verify func(context.Context, provider.Values) (provider.Verification, error)
	// Obtain asks for a new value. Errors: *NotYet, *Spent and *provider.Refused (for good), or another one (unknown: ask again).
	Obtain func(context.Context, *Pending) (provider.Values, error)
	// Retire makes an old value worthless at the provider, by no other right than that of the value where it was never
	// proven. What is so already is no error.
	Retire func(context.Context, Retiring) error
	// Same says whether two values are one at the provider, so that the end of one is the end of the other, and Unchanged
	// whether they are one credential for those who use it.
	Same, Unchanged func(a, b provider.Values) bool
	// Hold keeps everybody else of the mount from taking a value in until release is called, and names those beside the
	// token that live on it now, or will for a while. An error means that this is not known, so that the value must not be
	// ended; release is nil then.
	Hold func(context.Context, provider.Values) (holders []string, release func(), err error)
	// TryAfterRetiring says that ending an old value may end the current one, so that this one is tried afterwards.
	TryAfterRetiring bool
	// Keys is nil unless new values are keys of a provider's API.
	Keys KeyRing
	// Grace is how long a value lives on after a key has taken its place.
	Grace time.Duration
	// Happened is told of events, after they were stored.
	Happened func(context.Context, *Record, Event)

	// deleting is set while the token is about to be deleted: what others live on is left to them then.
	deleting bool
}

// Start stores the intent of a rotation. The record must be idle, retiring, or hold a hook's rejected value.
func (m *Machine) Start(ctx context.Context, r *Record, p Pending) error {
	if r.Pending != nil && !r.Pending.Restartable() {
		return errors.New("a rotation of this token is under way")
	}
	now := m.Now().UTC()
	p.RequestedAt, p.AttemptedAt, p.NextAttempt, p.Attempts, p.fresh = now, now, now, 1, true
	if m.Keys != nil {
		if err := m.knowKeys(ctx, r, &p); err != nil {
			r.ended = &p
			return m.startFailed(ctx, r, err)
		}
	}
	p.Replaces = r.Pending
	r.Pending, r.PersonNeeded = &p, false
	return m.Save(ctx, r)
}

// knowKeys stores with the intent for whom a key is asked, by which right, and which keys that owner has.
func (m *Machine) knowKeys(ctx context.Context, r *Record, p *Pending) error {
	if err := r.RoomToRetire(); err != nil {
		return err
	}
	key, err := m.Keys.Key(r.Current.Credential)
	if err != nil {
		return err
	}
	p.Owner, p.OwnerProven = key.Owner, m.Keys.Proves(*r.Current)
	keys, err := m.Keys.List(ctx, p.rights())
	if err != nil {
		return err
	}
	p.KnownKeys = m.withOwn(r, keyIDs(keys))
	return nil
}

func (p *Pending) rights() Rights { return Rights{Owner: p.Owner, Proven: p.OwnerProven} }

// startFailed remembers why a rotation could not even begin, so that the next try waits.
func (m *Machine) startFailed(ctx context.Context, r *Record, cause error) error {
	m.postpone(r)
	if err := m.fail(ctx, r, cause); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}

// Advance takes every step that is due. Its error is storage's; what providers do is in the record.
func (m *Machine) Advance(ctx context.Context, r *Record) error {
	for r.Pending != nil && !r.Pending.Stalled() && !m.Now().Before(r.Pending.NextAttempt) {
		step := m.obtain
		if r.State() == StatePending {
			step = m.prove
		}
		if err := step(ctx, r); err != nil {
			return err
		}
	}
	if err := m.search(ctx, r); err != nil {
		return err
	}
	return m.retire(ctx, r)
}

var errNotNew = errors.New("the reset hook answered with the current value instead of a new one; its own log says why. " +
	"If the token was reset, take the new value from the provider's console and hand it in")

// obtain asks for a new value and stores it before anything else happens. Nobody else on the mount makes or cleans up keys
// of its owner meanwhile: a key that was made and is not stored yet would be taken for a lost one.
func (m *Machine) obtain(ctx context.Context, r *Record) error {
	if m.Keys == nil {
		return m.obtainAlone(ctx, r)
	}
	p := r.Pending
	if key, err := m.Keys.Key(r.Current.Credential); p.Owner == "" && err == nil {
		p.Owner = key.Owner // an intent of an earlier release: it ends when somebody hands in a value
	}
	unlock, err := m.Keys.Lock(ctx, p.Owner)
	if err != nil {
		return m.keysUnavailable(ctx, r, err)
	}
	defer unlock()
	return m.obtainAlone(ctx, r)
}

func (m *Machine) obtainAlone(ctx context.Context, r *Record) error {
	p := r.Pending
	if !p.fresh {
		if err := m.again(ctx, r); err != nil || r.Pending == nil || m.Now().Before(p.NextAttempt) {
			return err
		}
	}
	p.fresh = false
	value, err := m.Obtain(ctx, p)
	var (
		notYet  *NotYet
		refused *provider.Refused
		spent   *Spent
	)
	now := m.Now().UTC()
	switch {
	case err == nil && r.Current != nil && m.Unchanged(value, r.Current.Credential):
		return m.needPerson(ctx, r, errNotNew)
	case err == nil:
		p.Credential, p.ReceivedAt, p.NextAttempt, p.Replaces, p.Attempts = value, now, now, nil, 1
		r.LastError = ""
		for i := range r.Searches {
			r.Searches[i].Known = m.withOwn(r, r.Searches[i].Known)
		}
		return m.Save(ctx, r)
	case errors.As(err, &spent):
		return m.needPerson(ctx, r, err)
	case errors.As(err, &refused):
		return m.giveUp(ctx, r, err)
	case now.Sub(p.RequestedAt) > maxRequestAge:
		if m.Keys != nil {
			r.searchFor(p.lostKey(now))
		}
		return m.giveUp(ctx, r, fmt.Errorf("no new value after %s: %w", maxRequestAge, err))
	case errors.As(err, &notYet):
		p.NextAttempt = now.Add(max(notYet.After, firstBackoff))
		return m.Save(ctx, r)
	default:
		p.Attempts++
		p.NextAttempt = now.Add(backoff(p.Attempts-2, firstBackoff, maxBackoff, err))
		return m.fail(ctx, r, err)
	}
}

// again prepares for asking once more after an answer may have been lost.
func (m *Machine) again(ctx context.Context, r *Record) error {
	p := r.Pending
	if m.Keys == nil {
		return nil
	}
	keys, err := m.Keys.List(ctx, p.rights())
	if err != nil {
		return m.keysUnavailable(ctx, r, err)
	}
	lost := p.lostKey(m.Now().UTC())
	orphans, err := m.unknownKeys(ctx, r, &lost, keys)
	if err != nil {
		return m.keysUnavailable(ctx, r, err)
	}
	found := len(orphans) == 1
	switch {
	case len(orphans) > 1:
		return m.giveUp(ctx, r, severalOrphans(p.Owner, orphans))
	case found:
		err := m.deleteLost(ctx, r, p.rights(), orphans[0])
		if failed, ok := errors.AsType[*storageError](err); ok {
			return failed.error
		}
		if err != nil {
			return m.keysUnavailable(ctx, r, err)
		}
	default:
		// The list may be late: look again while the rotation goes on.
		r.searchFor(lost)
	}
	p.KnownKeys, p.AttemptedAt = m.withOwn(r, keyIDs(keys)), m.Now().UTC()
	if found {
		return m.saved(ctx, r, CleanedUp)
	}
	return m.Save(ctx, r)
}

// keysUnavailable waits, or gives up where the provider refuses for good.
func (m *Machine) keysUnavailable(ctx context.Context, r *Record, cause error) error {
	p := r.Pending
	if errors.Is(cause, ErrHoldersUnknown) {
		p.NextAttempt = m.Now().UTC().Add(holdersRetry)
		return m.Save(ctx, r)
	}
	if _, refused := errors.AsType[*provider.Refused](cause); refused {
		r.searchFor(p.lostKey(m.Now().UTC()))
		return m.giveUp(ctx, r, cause)
	}
	p.Attempts++
	p.NextAttempt = m.Now().UTC().Add(backoff(p.Attempts-2, firstBackoff, maxBackoff, cause))
	return m.fail(ctx, r, cause)
}

// prove tries the new value, and publishes it once the provider does not reject it.
func (m *Machine) prove(ctx context.Context, r *Record) error {
	p := r.Pending
	v, err := m.Verify(ctx, p.Credential)
	now := m.Now().UTC()
	incomplete, ok := errors.AsType[*Incomplete](err)
	switch {
	case ok:
		return m.rejected(ctx, r, incomplete)
	case err != nil:
		p.Attempts++
		p.NextAttempt = now.Add(backoff(p.Attempts-2, firstBackoff, maxBackoff, err))
		return m.fail(ctx, r, err)
	case v.Outcome == provider.Rejected:
		return m.rejected(ctx, r, refusal(p, v))
	}
	fingerprint, err := m.Fingerprint(ctx, p.Credential)
	if err != nil {
		return err
	}
	previous := r.Current
	r.Publish(Candidate{
		Credential: p.Credential, Fingerprint: fingerprint, Source: p.Source, Reason: p.Reason,
		EntityID: p.EntityID, DisplayName: p.DisplayName, RotationID: p.ID, Scheduled: p.Scheduled, Verified: &v,
		Made: m.Keys != nil && p.Source == SourceIAM, Same: m.Same,
	}, now)
	r.Pending = nil
	if previous != nil && m.Keys != nil {
		r.RetireAfter(*previous, now.Add(m.Grace))
	}
	return m.saved(ctx, r, Published)
}

// rejected waits for a fresh key to become known, or keeps a hook's value, which may be the only one that exists.
func (m *Machine) rejected(ctx context.Context, r *Record, refusal error) error {
	p := r.Pending
	p.Rejections++
	now := m.Now().UTC()
	if p.Source == SourceHook {
		p.NextAttempt = now.Add(backoff(p.Rejections-1, firstBackoff, maxRejectedBackoff, nil))
		// Another reset would not help a provider that refuses what it has just given out.
		r.RetryAt = now.Add(rejectedRetry)
		return m.fail(ctx, r, refusal)
	}
	if now.Sub(p.ReceivedAt) > keyPropagation {
		r.abandonKey(p, now)
		return m.giveUp(ctx, r, refusal)
	}
	p.NextAttempt = now.Add(backoff(p.Rejections-1, firstBackoff, maxKeyBackoff, nil))
	return m.fail(ctx, r, refusal)
}

// needPerson ends a rotation whose reset is done, as far as is known, and whose value is not at hand.
func (m *Machine) needPerson(ctx context.Context, r *Record, cause error) error {
	r.PersonNeeded = true
	return m.giveUp(ctx, r, fmt.Errorf("%w. The policy starts no other reset before that, because it would end the value that a person takes meanwhile; "+
		"a rotation that is started by hand does", cause))
}

// Ended is the rotation that has failed for good since the record was loaded; nil where none has.
func (r *Record) Ended() *Pending { return r.ended }

// giveUp ends a rotation that cannot succeed. The policy starts another one later.
func (m *Machine) giveUp(ctx context.Context, r *Record, cause error) error {
	r.ended = r.Pending
	r.Pending = r.Pending.Replaces
	m.postpone(r)
	return m.fail(ctx, r, cause)
}

// postpone keeps the policy from starting the next rotation at once.
func (m *Machine) postpone(r *Record) {
	r.Failures++
	r.RetryAt = m.Now().UTC().Add(backoff(r.Failures-1, firstRetry, maxRetry, nil))
}

// fail stores the record with the cause. The event is sent once for each cause. A call that was cancelled tells nothing
// about the provider and, like a crash, leaves what is stored as it is.
func (m *Machine) fail(ctx context.Context, r *Record, cause error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	changed := r.LastError != cause.Error()
	r.LastError = cause.Error()
	if changed {
		return m.saved(ctx, r, Failed)
	}
	return m.Save(ctx, r)
}

// unclean stores why something that a rotation left behind is still there; last is the reason before. It does not hide
// why a rotation failed.
func (m *Machine) unclean(ctx context.Context, r *Record, last *string, cause error) error {
	hidden := r.LastError != "" && r.LastError != *last
	*last = cause.Error()
	if hidden && ctx.Err() == nil {
		return m.Save(ctx, r)
	}
	return m.fail(ctx, r, cause)
}

// healed forgets a problem that is over.
func (r *Record) healed(problem string) {
	if r.LastError == problem {
		r.LastError = ""
	}
}

func (m *Machine) saved(ctx context.Context, r *Record, e Event) error {
	if err := m.Save(ctx, r); err != nil {
		return err
	}
	m.Happened(ctx, r, e)
	return nil
}

// RetireNow retires everything that is still to be retired, whatever its time. It returns the first refusal. What others of the
// mount live on is left to them: see Kept. It leaves a rotation by a hook alone: there is nothing to retire at the provider, and
// a value that the hook gave may be the only copy.
func (m *Machine) RetireNow(ctx context.Context, r *Record) error {
	m.deleting = true
	now := m.Now().UTC()
	if r.Pending != nil && r.Pending.Source == SourceIAM {
		r.Supersede(now)
	}
	r.LastError = "" // what is there in the end is a refusal of these steps
	for i := range r.Searches {
		r.Searches[i].NextAttempt = now
	}
	for i := range r.Retiring {
		r.Retiring[i].NextAttempt = now
	}
	if err := m.search(ctx, r); err != nil {
		return err
	}
	if err := m.retire(ctx, r); err != nil {
		return err
	}
	switch {
	case r.LastError != "":
		return errors.New(r.LastError)
	case len(r.Searches) > 0:
		return r.Searches[0].unfinished()
	}
	return nil
}

// unfinished says what a search waits for.
func (s *Search) unfinished() error {
	return fmt.Errorf("a key of %s may have been made at %s whose secret was lost, and the provider's list may still be without it until %s",
		s.Owner, s.Until.UTC().Format(time.RFC3339), s.Until.Add(listDelay).UTC().Format(time.RFC3339))
}

// Kept says which old values RetireNow has left alive, and who lives on them.
func (r *Record) Kept() []string { return r.kept }

// retire makes the old values worthless whose time has come.
func (m *Machine) retire(ctx context.Context, r *Record) error {
	for _, old := range slices.Clone(r.Retiring) {
		if m.Now().Before(old.NextAttempt) {
			continue
		}
		if err := m.retireOne(ctx, r, old); err != nil {
			return err
		}
	}
	return nil
}

// retireOne ends an old value, unless somebody lives on it. Its error is storage's.
func (m *Machine) retireOne(ctx context.Context, r *Record, old Retiring) error {
	if m.holds(r, old.Credential) {
		r.dropRetiring(old)
		r.healed(old.LastError)
		return m.Save(ctx, r)
	}
	holders, release, err := m.Hold(ctx, old.Credential)
	if err == nil {
		defer release()
	}
	if len(holders) > 0 {
		return m.leaveTo(ctx, r, old, holders)
	}
	var died bool
	if err == nil {
		if err := m.stillOwns(ctx, r); err != nil {
			return err
		}
		died, err = m.end(ctx, r, old)
	}
	how := RetiredByEngine
	if err != nil && m.isDead(ctx, r, old, err) {
		how, err = RetiredAlready, nil
	}
	if err != nil {
		return m.notRetired(ctx, r, old, fmt.Errorf("%s could not be retired: %w", old.name(), err))
	}
	r.dropRetiring(old)
	r.Retire(old.Version, how, m.Now())
	r.healed(old.LastError)
	if died {
		r.LastError = fmt.Sprintf("version %d has stopped to work with the end of %s: %s; hand in a new value", r.Number(), old.name(), r.LastVerification.Detail)
	}
	if err := m.saved(ctx, r, Retired); err != nil {
		return err
	}
	if died {
		m.Happened(ctx, r, Died)
	}
	return nil
}

// end makes an old value worthless, and looks whether the current one has outlived that where it may not have: died says
// that it has just been found dead.
func (m *Machine) end(ctx context.Context, r *Record, old Retiring) (died bool, err error) {
	old.Proven = r.wasProven(old)
	if err := m.Retire(ctx, old); err != nil || !m.TryAfterRetiring || m.deleting || r.Current == nil {
		return false, err
	}
	v, err := m.Verify(ctx, r.Current.Credential)
	if err != nil {
		return false, fmt.Errorf("it is ended, and whether version %d has outlived that is not known yet: %w", r.Number(), err)
	}
	alive := r.Health != HealthRejected
	r.Observe(v, m.Now())
	return alive && v.Outcome == provider.Rejected, nil
}

// deadCheck is after how many refused attempts it is looked whether the old value works at all: the first time when even a
// fresh key is known everywhere, and then about once an hour.
const deadCheck = 10

// isDead says whether the provider refuses an old value although it refuses to end it, too: somebody else has ended it, or
// an answer was lost. That the current value works shows that it is not for another reason.
func (m *Machine) isDead(ctx context.Context, r *Record, old Retiring, cause error) bool {
	_, refused := errors.AsType[*provider.Refused](cause)
	if !refused || (old.Attempts+1)%deadCheck != 0 || m.Now().Before(old.At.Add(keyPropagation)) || r.Current == nil {
		return false
	}
	was, err := m.Verify(ctx, old.Credential)
	if err != nil || was.Outcome != provider.Rejected {
		return false
	}
	is, err := m.Verify(ctx, r.Current.Credential)
	return err == nil && is.Outcome == provider.Accepted
}

// holds says whether the record lives on the value.
func (m *Machine) holds(r *Record, value provider.Values) bool {
	if r.Current != nil && m.Same(r.Current.Credential, value) {
		return true
	}
	for p := r.Pending; p != nil; p = p.Replaces {
		if p.Credential != nil && m.Same(p.Credential, value) {
			return true
		}
	}
	return false
}

// leaveTo has an old value wait until nobody lives on it any more, or leaves it to its holders where the token goes.
func (m *Machine) leaveTo(ctx context.Context, r *Record, old Retiring, holders []string) error {
	cause := fmt.Errorf("%s is not retired as long as %s lives on the same value", old.name(), strings.Join(holders, " and "))
	if !m.deleting {
		return m.notRetired(ctx, r, old, cause)
	}
	r.dropRetiring(old)
	r.kept = append(r.kept, fmt.Sprintf("%s was not retired, because %s lives on the same value", old.name(), strings.Join(holders, " and ")))
	return m.Save(ctx, r)
}

// ErrHoldersUnknown is for Machine.Hold and KeyRing.Holders: the mount is still finding out who holds what. Waiting for that is no failure.
var ErrHoldersUnknown = errors.New("it is not known yet who else lives on the value, because the tokens of this mount are still being read")

// holdersRetry is how long to wait where the holders of a value are not known yet.
const holdersRetry = 5 * time.Second

// notRetired has a retirement tried again later.
func (m *Machine) notRetired(ctx context.Context, r *Record, old Retiring, cause error) error {
	left := &r.Retiring[r.retiringIndex(old)]
	if errors.Is(cause, ErrHoldersUnknown) && !m.deleting {
		left.NextAttempt = m.Now().UTC().Add(holdersRetry)
		return m.Save(ctx, r)
	}
	left.Attempts++
	left.NextAttempt = m.Now().UTC().Add(backoff(left.Attempts-1, firstBackoff, maxBackoff, cause))
	return m.unclean(ctx, r, &left.LastError, cause)
}

// retiringIndex finds an old value by the value too: several that were never published share a version, and may share a time.
func (r *Record) retiringIndex(old Retiring) int {
	return slices.IndexFunc(r.Retiring, func(x Retiring) bool {
		return x.Version == old.Version && x.At.Equal(old.At) && maps.Equal(x.Credential, old.Credential)
	})
}

func (r *Record) dropRetiring(old Retiring) {
	i := r.retiringIndex(old)
	r.Retiring = slices.Delete(r.Retiring, i, i+1)
}

// RoomToRetire refuses one more old value to retire where as many wait as a record may have.
func (r *Record) RoomToRetire() error {
	if len(r.Retiring) < maxRetiring {
		return nil
	}
	waiting, problem := make([]string, len(r.Retiring)), ""
	for i := range r.Retiring {
		waiting[i] = r.Retiring[i].name()
		if r.Retiring[i].LastError != "" {
			problem = "; the last problem was: " + r.Retiring[i].LastError
		}
	}
	return &provider.Refused{Detail: fmt.Sprintf("%d old values of this token wait for their end, and no more may (%s)%s",
		len(waiting), strings.Join(waiting, ", "), problem)}
}

// wasProven says whether the value was proven while it was current. Entries of earlier releases do not say so themselves:
// then the history does.
func (r *Record) wasProven(old Retiring) bool {
	return old.Proven || old.Version == 0 || slices.ContainsFunc(r.History, func(h HistoryEntry) bool {
		return h.Version == old.Version && (h.Source == SourceIAM || h.Verification == string(provider.Accepted))
	})
}

// Supersede ends a rotation under way in favour of a value that a person has handed in, leaving nothing behind.
func (r *Record) Supersede(now time.Time) {
	p := r.Pending
	r.Pending = nil
	switch {
	case p == nil || p.Source != SourceIAM:
	case p.Credential != nil:
		r.abandonKey(p, now)
	default:
		r.searchFor(p.lostKey(now))
	}
}

// abandonKey has a key deleted that was made and never published.
func (r *Record) abandonKey(p *Pending, now time.Time) {
	r.Retiring = append(r.Retiring, Retiring{Credential: p.Credential, Proven: true, At: now, NextAttempt: now})
}

// RetireAfter has a replaced version retired at the given time. Its proof goes with it.
func (r *Record) RetireAfter(v Version, at time.Time) {
	r.Retiring = append(r.Retiring, Retiring{Version: v.Number, Credential: v.Credential, Proven: v.Proven, At: at, NextAttempt: at})
}

func severalOrphans(owner string, orphans []provider.Key) error {
	ids := keyIDs(orphans)
	return fmt.Errorf("the answer to making a key of %s was lost, and %d unknown keys have appeared since; none was touched: "+
		"delete those that nobody uses: %s", owner, len(ids), strings.Join(ids, ", "))
}
