package rotation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// NotYet is what Obtain returns where the new value is being made and is to be asked for again.
type NotYet struct{ After time.Duration }

func (e *NotYet) Error() string {
	return fmt.Sprintf("the reset hook is still at work and asks to come back after %s", e.After)
}

func errNotNew(source Source) error {
	why := ""
	if source == SourceHook {
		why = "; its own log says why"
	}
	return fmt.Errorf("%s answered with the current value instead of a new one%s. "+
		"If the token was reset, take the new value from the provider's console and hand it in", source.Giver(), why)
}

// obtain asks for a new value and stores it before anything else happens. Nobody else on the mount makes or cleans up keys
// of its owner meanwhile: a key that was made and is not stored yet would be taken for a lost one.
func (m *Machine) obtain(ctx context.Context, r *Record) error {
	if r.Pending.Source == SourceAPI {
		return m.renew(ctx, r)
	}
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
		return m.needPerson(ctx, r, errNotNew(p.Source))
	case err == nil:
		m.take(r, value)
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
		return m.askLater(ctx, r, err)
	}
}

// take puts a new value into the record, which is then to be stored before anything else happens.
func (m *Machine) take(r *Record, value provider.Values) {
	p, now := r.Pending, m.Now().UTC()
	p.Credential, p.ReceivedAt, p.NextAttempt, p.Replaces, p.Attempts = value, now, now, nil, 1
	p.NotSent, p.Lost = false, ""
	r.LastError, r.PersonNeeded = "", false
	for i := range r.Searches {
		r.Searches[i].Known = m.withOwn(r, r.Searches[i].Known)
	}
}

// askLater has a value asked for again after a failure.
func (m *Machine) askLater(ctx context.Context, r *Record, cause error) error {
	p := r.Pending
	p.Attempts++
	p.NextAttempt = m.Now().UTC().Add(backoff(p.Attempts-2, firstBackoff, maxBackoff, cause))
	return m.fail(ctx, r, cause)
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
	return m.askLater(ctx, r, cause)
}
