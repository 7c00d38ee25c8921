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
//	    retiring --> retiring: no answer, refused
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

// Pending is a rotation under way.
type Pending struct {
	// ID is the same for every attempt, so that a hook performs one reset however often it is asked.
	ID          string    `json:"id"`
	Source      Source    `json:"source"`
	Reason      string    `json:"reason,omitempty"`
	EntityID    string    `json:"entity_id,omitempty"`
	DisplayName string    `json:"display_name,omitempty"`
	RequestedAt time.Time `json:"requested_at"`
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

// Failing says whether the rotation needs more than patience, so that a person may take another way.
func (p *Pending) Failing() bool { return p.Attempts > 1 || p.Rejections > 0 }

// Restartable says whether a new rotation may take this one's place: a hook's value that the provider rejects.
func (p *Pending) Restartable() bool { return p.Source == SourceHook && p.Rejections > 0 }

// Retiring is a replaced value that the engine has yet to make worthless at the provider.
type Retiring struct {
	// Version is 0 for a value that was never published.
	Version     int             `json:"version"`
	Credential  provider.Values `json:"credential"`
	At          time.Time       `json:"at"`
	Attempts    int             `json:"attempts,omitempty"`
	NextAttempt time.Time       `json:"next_attempt"`
	LastError   string          `json:"last_error,omitempty"`
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
	// Obtain asks for a new value. Errors: *NotYet, *provider.Refused (for good), or another one (unknown: ask again).
	Obtain func(context.Context, *Pending) (provider.Values, error)
	// Retire makes an old value worthless at the provider. What is so already is no error.
	Retire func(context.Context, provider.Values) error
	// Keys is nil unless new values are keys of a provider's API.
	Keys KeyRing
	// Grace is how long a value lives on after a key has taken its place.
	Grace time.Duration
	// Happened is told of events, after they were stored.
	Happened func(context.Context, *Record, Event)
}

// Start stores the intent of a rotation. The record must be idle, retiring, or hold a hook's rejected value.
func (m *Machine) Start(ctx context.Context, r *Record, p Pending) error {
	if r.Pending != nil && !r.Pending.Restartable() {
		return errors.New("a rotation of this token is under way")
	}
	now := m.Now().UTC()
	p.RequestedAt, p.AttemptedAt, p.NextAttempt, p.Attempts, p.fresh = now, now, now, 1, true
	if m.Keys != nil {
		keys, err := m.Keys.List(ctx)
		if err != nil {
			return m.startFailed(ctx, r, err)
		}
		p.KnownKeys = m.withOwn(r, keyIDs(keys))
	}
	p.Replaces = r.Pending
	r.Pending = &p
	return m.Save(ctx, r)
}

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

var errNotNew = errors.New("the reset hook answered with the current value instead of a new one; its own log says why")

// obtain asks for a new value and stores it before anything else happens.
func (m *Machine) obtain(ctx context.Context, r *Record) error {
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
	)
	now := m.Now().UTC()
	switch {
	case err == nil && r.Current != nil && maps.Equal(value, r.Current.Credential):
		return m.giveUp(ctx, r, errNotNew)
	case err == nil:
		p.Credential, p.ReceivedAt, p.NextAttempt, p.Replaces, p.Attempts = value, now, now, nil, 1
		r.LastError = ""
		for i := range r.Searches {
			r.Searches[i].Known = m.withOwn(r, r.Searches[i].Known)
		}
		return m.Save(ctx, r)
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
	keys, err := m.Keys.List(ctx)
	if err != nil {
		return m.keysUnavailable(ctx, r, err)
	}
	lost := p.lostKey(m.Now().UTC())
	switch orphans := lost.orphans(keys, m.ownKeys(r)); len(orphans) {
	case 0:
		// The list may be late: look again while the rotation goes on.
		r.searchFor(lost)
	case 1:
		if err := m.stillOwns(ctx, r); err != nil {
			return err
		}
		if err := m.Keys.Delete(ctx, orphans[0]); err != nil {
			return m.keysUnavailable(ctx, r, err)
		}
	default:
		return m.giveUp(ctx, r, severalOrphans(orphans))
	}
	p.KnownKeys, p.AttemptedAt = m.withOwn(r, keyIDs(keys)), m.Now().UTC()
	return m.Save(ctx, r)
}

// keysUnavailable waits, or gives up where the provider refuses for good.
func (m *Machine) keysUnavailable(ctx context.Context, r *Record, cause error) error {
	p := r.Pending
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
		EntityID: p.EntityID, DisplayName: p.DisplayName, Verified: &v,
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

// giveUp ends a rotation that cannot succeed. The policy starts another one later.
func (m *Machine) giveUp(ctx context.Context, r *Record, cause error) error {
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

// RetireNow retires everything that is still to be retired, whatever its time. It returns the first refusal.
func (m *Machine) RetireNow(ctx context.Context, r *Record) error {
	now := m.Now().UTC()
	r.Supersede(now)
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
	if r.LastError != "" {
		return errors.New(r.LastError)
	}
	return nil
}

// retire makes the old values worthless whose time has come.
func (m *Machine) retire(ctx context.Context, r *Record) error {
	for _, old := range slices.Clone(r.Retiring) {
		if m.Now().Before(old.NextAttempt) {
			continue
		}
		i := slices.IndexFunc(r.Retiring, func(x Retiring) bool { return x.Version == old.Version && x.At.Equal(old.At) })
		err := m.Retire(ctx, old.Credential)
		if err == nil {
			r.Retiring = slices.Delete(r.Retiring, i, i+1)
			r.Retire(old.Version, RetiredByEngine, m.Now())
			r.healed(old.LastError)
			if err := m.saved(ctx, r, Retired); err != nil {
				return err
			}
			continue
		}
		left := &r.Retiring[i]
		left.Attempts++
		left.NextAttempt = m.Now().UTC().Add(backoff(left.Attempts-1, firstBackoff, maxBackoff, err))
		if err := m.unclean(ctx, r, &left.LastError, fmt.Errorf("%s could not be retired: %w", old.name(), err)); err != nil {
			return err
		}
	}
	return nil
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
	r.Retiring = append(r.Retiring, Retiring{Credential: p.Credential, At: now, NextAttempt: now})
}

// RetireAfter has a replaced version retired at the given time.
func (r *Record) RetireAfter(v Version, at time.Time) {
	r.Retiring = append(r.Retiring, Retiring{Version: v.Number, Credential: v.Credential, At: at, NextAttempt: at})
}

func severalOrphans(orphans []provider.Key) error {
	ids := keyIDs(orphans)
	return fmt.Errorf("the answer to making a key was lost, and %d unknown keys have appeared since; none was touched: "+
		"delete those that nobody uses: %s", len(ids), strings.Join(ids, ", "))
}
