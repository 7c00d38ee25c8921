package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

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

// JustRetired is the version that was retired last since the record was loaded, 0 for one that was never published.
func (r *Record) JustRetired() int { return r.justRetired }

// retire makes the old values worthless whose time has come.
func (m *Machine) retire(ctx context.Context, r *Record) error {
	for i := range r.Retiring {
		if err := m.letGo(ctx, &r.Retiring[i]); err != nil {
			return err
		}
	}
	for _, old := range slices.Clone(r.Retiring) {
		if m.Now().Before(old.NextAttempt) || m.waitsForReaders(&old) {
			continue
		}
		if err := m.retireOne(ctx, r, old); err != nil {
			return err
		}
	}
	return nil
}

// WaitsForReaders says whether an old value may wait until everybody who read it has a newer one: it was published, nobody has asked for
// its end, and no attempt to end it was made.
func (x *Retiring) WaitsForReaders() bool { return x.Version > 0 && !x.Due && x.Attempts == 0 }

// waitsForReaders says whether the machine leaves the value alone for its readers' sake. Where the token is deleted, it does not.
func (m *Machine) waitsForReaders(old *Retiring) bool {
	return m.Adopted != nil && !m.deleting && old.WaitsForReaders()
}

// letGo has an old value end now that waited for its readers, and has none any more.
func (m *Machine) letGo(ctx context.Context, old *Retiring) error {
	if !m.waitsForReaders(old) {
		return nil
	}
	adopted, err := m.Adopted(ctx, *old)
	if err != nil || !adopted {
		return err
	}
	old.Due, old.NextAttempt = true, m.Now().UTC()
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
	r.noteEnd(old.Version, m.endNote(old))
	r.justRetired = old.Version
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

// endNote says what a person has to know of the end of an old value; empty where there is nothing.
func (m *Machine) endNote(old Retiring) string {
	if m.EndNote == nil || old.Version == 0 {
		return ""
	}
	return m.EndNote(old)
}

// noteEnd adds to the version's entry in the history.
func (r *Record) noteEnd(version int, note string) {
	for i := range r.History {
		if h := &r.History[i]; h.Version == version && note != "" {
			if h.Note != "" {
				note = h.Note + "; " + note
			}
			h.Note = note
		}
	}
}

// ReplacedAt is when the version was replaced by the next one; zero where the history does not say so.
func (r *Record) ReplacedAt(version int) time.Time {
	for _, h := range r.History {
		if h.Version > version {
			return h.CreatedAt
		}
	}
	return time.Time{}
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
	if !m.tryLater(&left.Attempts, &left.NextAttempt, firstBackoff, cause) {
		return m.Save(ctx, r)
	}
	return m.unclean(ctx, r, &left.LastError, cause)
}

// tryLater says when a retirement or a search is tried again, and whether this attempt counts: to wait for who holds what is none.
func (m *Machine) tryLater(attempts *int, next *time.Time, first time.Duration, cause error) (counts bool) {
	now := m.Now().UTC()
	if errors.Is(cause, ErrHoldersUnknown) && !m.deleting {
		*next = now.Add(holdersRetry)
		return false
	}
	*attempts++
	*next = now.Add(backoff(*attempts-1, first, maxBackoff, cause))
	return true
}
