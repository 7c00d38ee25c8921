package rotation

import (
	"context"
	"errors"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
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

// Spent is what Obtain returns where the reset is said to be done, and its value cannot be had.
type Spent struct {
	// Detail is a sentence for an operator. It holds no secret.
	Detail string
}

func (e *Spent) Error() string { return e.Detail }

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
//     time; keys are listed, and the one that was made and whose secret was lost is deleted before another is made. An
//     API is asked after a write that announces it: before that nothing has happened; after it, one that may be asked
//     again is, and for another one a person is told what has become of the current value
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
	// Once says that an API must not be asked again after its answer may have been lost: any error but a *provider.Refused, and a
	// *provider.Error whose NotSent is set.
	Once bool
	// Asking is called before an API is asked, and what it returns once the answer is stored.
	Asking func() (stored func())
	// Wait waits before storage is tried again that has not taken an API's value. It says false where that is in vain.
	Wait func(time.Duration) bool
	// RetiresPrevious has the value retired that a key or an API has replaced, after Grace.
	RetiresPrevious bool
	// Lifetime is how long a value lives after it was published; zero where it does not end by itself.
	Lifetime time.Duration
	// Grace is how long a replaced value lives on.
	Grace time.Duration
	// Failing, if set, is told that the record is about to be stored with another LastError than before.
	Failing func(context.Context, *Record)
	// Adopted, if set, says whether everybody who uses a replaced version has read a newer one: it ends then, and not at a time. An error
	// means that this is not known now.
	Adopted func(context.Context, Retiring) (bool, error)
	// EndNote, if set, says what a person has to know of the end of a version, for the history.
	EndNote func(Retiring) string
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
	if p.Source == SourceAPI {
		p.NotSent, p.Once = true, m.Once
	}
	if err := m.prepare(ctx, r, &p); err != nil {
		r.ended, r.EndedRotation = &p, p.ID
		return m.startFailed(ctx, r, err)
	}
	p.Replaces = r.Pending
	r.Pending = &p
	return m.Save(ctx, r)
}

// prepare looks that a rotation can begin.
func (m *Machine) prepare(ctx context.Context, r *Record, p *Pending) error {
	if m.RetiresPrevious {
		if err := r.RoomToRetire(); err != nil {
			return err
		}
	}
	if m.Keys == nil {
		return nil
	}
	return m.knowKeys(ctx, r, p)
}

// knowKeys stores with the intent for whom a key is asked, by which right, and which keys that owner has.
func (m *Machine) knowKeys(ctx context.Context, r *Record, p *Pending) error {
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
	if err := r.foreign(p, v); err != nil {
		return m.rejected(ctx, r, err)
	}
	fingerprint, err := m.Fingerprint(ctx, p.Credential)
	if err != nil {
		return err
	}
	previous, note := r.Current, ""
	if p.Source == SourceAPI {
		note = p.Note
	}
	r.Publish(Candidate{
		Credential: p.Credential, Fingerprint: fingerprint, Source: p.Source, Reason: p.Reason,
		EntityID: p.EntityID, DisplayName: p.DisplayName, RotationID: p.ID, RequestID: p.RequestID, Scheduled: p.Scheduled, Healed: p.Healing, Verified: &v, Note: note,
		Made: m.Keys != nil && p.Source == SourceIAM, Same: m.Same, HandedInAs: p.HandedInAs,
		Lifetime: m.Lifetime, ExpiresAt: p.ExpiresAt,
	}, now)
	r.Pending = nil
	if previous != nil && m.RetiresPrevious && p.Source != SourceHook {
		r.RetireAfter(*previous, now.Add(m.Grace))
	}
	return m.saved(ctx, r, Published)
}

// rejected waits for a fresh key to become known, or keeps a hook's value, which may be the only one that exists.
func (m *Machine) rejected(ctx context.Context, r *Record, refusal error) error {
	p := r.Pending
	p.Rejections++
	now := m.Now().UTC()
	if p.Source.ByPerson() {
		return m.giveUp(ctx, r, refusal)
	}
	if p.Source.Irreplaceable() {
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

// fail stores the record with the cause. The event is sent once for each cause. A call that was cancelled tells nothing
// about the provider and, like a crash, leaves what is stored as it is.
func (m *Machine) fail(ctx context.Context, r *Record, cause error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	changed := r.LastError != cause.Error()
	r.LastError = cause.Error()
	if changed {
		if m.Failing != nil {
			m.Failing(ctx, r)
		}
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
