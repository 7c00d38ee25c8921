package rotation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

const (
	// keepTrying is how long storage is tried again that fails to take what an API has said and what is nowhere else.
	keepTrying = time.Minute
	// maxLostTries is how often it is tried, after a lost answer, what has become of the current value, before that is left to a person.
	maxLostTries = 8
)

// wasStopped is why there is no answer to a request that a process had announced.
const wasStopped = "the engine was stopped while it asked, or just before"

// Irreplaceable says whether a value of this source may be the only copy there is, so that it is kept even while the provider refuses it.
func (s Source) Irreplaceable() bool { return s == SourceHook || s == SourceAPI }

// Giver names who gives a value of such a source.
func (s Source) Giver() string {
	if s == SourceAPI {
		return "the provider's API"
	}
	return "the reset hook"
}

// MayHaveAsked says whether somebody may be at work on a new value, or have made one, that this rotation knows nothing of.
func (p *Pending) MayHaveAsked() bool { return p.Credential == nil && (!p.NotSent || p.Lost != "") }

// once says whether the API must not be asked again after a lost answer: neither where that holds now nor where it held when it was asked.
func (m *Machine) once(p *Pending) bool { return m.Once || p.Once }

// renew asks the provider's API for a new value. What is stored says at any time whether the API may have made one: a request is
// announced by a write of its own.
func (m *Machine) renew(ctx context.Context, r *Record) error {
	p := r.Pending
	if !p.NotSent && p.Lost == "" {
		p.Lost, p.Attempts = wasStopped, 1
	}
	if p.Lost != "" && (m.once(p) || m.Now().Sub(p.RequestedAt) > maxRequestAge) {
		return m.lost(ctx, r, errors.New(p.Lost))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	p.NotSent = false
	if err := m.Save(ctx, r); err != nil {
		return err
	}
	defer m.Asking()()
	value, err := m.Obtain(ctx, p)
	if _, refused := errors.AsType[*provider.Refused](err); refused && p.Lost != "" {
		return m.lost(ctx, r, fmt.Errorf("%s; asked again, it says: %w", p.Lost, err))
	}
	// What the API has said holds, whoever interrupts the work by now.
	return m.persistent().renewed(context.WithoutCancel(ctx), r, value, err)
}

// persistent is the machine for what is nowhere else: storage that does not take it is tried again for a while.
func (m *Machine) persistent() *Machine {
	persistent := *m
	persistent.Save = func(ctx context.Context, r *Record) error {
		err := m.Save(ctx, r)
		for waited, wait := time.Duration(0), firstBackoff; err != nil && waited < keepTrying && m.Wait(wait); {
			err = m.Save(ctx, r)
			waited += wait
			wait = min(2*wait, keepTrying-waited)
		}
		return err
	}
	return &persistent
}

// renewed stores what the API has said.
func (m *Machine) renewed(ctx context.Context, r *Record, value provider.Values, err error) error {
	p, now := r.Pending, m.Now().UTC()
	_, refused := errors.AsType[*provider.Refused](err)
	silence, isSilence := errors.AsType[*provider.Error](err)
	switch {
	case err == nil && m.Unchanged(value, r.Current.Credential):
		return m.needPerson(ctx, r, errNotNew(p.Source))
	case err == nil:
		p.Note = m.describeDropped(ctx, p)
		m.take(r, value)
		return m.Save(ctx, r)
	case refused:
		return m.giveUp(ctx, r, err)
	case isSilence && silence.NotSent:
		p.NotSent = true
	case p.Lost == "":
		p.Lost = err.Error()
	}
	if p.Lost != "" && m.once(p) {
		p.Attempts = 1
		return m.Save(ctx, r)
	}
	if now.Sub(p.RequestedAt) > maxRequestAge && p.Lost == "" {
		return m.giveUp(ctx, r, fmt.Errorf("no new value after %s: %w", maxRequestAge, err))
	}
	return m.askLater(ctx, r, err)
}

// describeDropped tells of what an API has given, or may have given, before the value of now, and that nobody keeps.
func (m *Machine) describeDropped(ctx context.Context, p *Pending) string {
	var notes []string
	if p.Lost != "" {
		notes = append(notes, fmt.Sprintf("an earlier answer of %s was lost (%s); if that made a value of its own, it may be live at the provider, and nobody has it",
			p.Source.Giver(), p.Lost))
	}
	if p.Replaces != nil {
		identified := ""
		if fingerprint, err := m.Fingerprint(ctx, p.Replaces.Credential); err == nil { // without it the next value is stored all the same
			identified = fmt.Sprintf(" (fingerprint %s)", fingerprint)
		}
		notes = append(notes, fmt.Sprintf("the value that %s gave at %s%s was rejected, never published, and dropped for this one; it may be live at the provider",
			p.Replaces.Source.Giver(), p.Replaces.ReceivedAt.UTC().Format(time.RFC3339), identified))
	}
	return strings.Join(notes, "; ")
}

// lost ends a rotation whose value was made, as far as is known, and is not at hand. It looks what has become of the current value.
func (m *Machine) lost(ctx context.Context, r *Record, cause error) error {
	p, now := r.Pending, m.Now().UTC()
	v, err := m.Verify(ctx, r.Current.Credential)
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	told := func(what string) error {
		return fmt.Errorf("%s was asked to replace the value, and its answer, which may have had the new one, is lost (%w); %s", p.Source.Giver(), cause, what)
	}
	if err != nil && p.Attempts < maxLostTries && m.once(p) {
		p.Attempts++
		p.NextAttempt = now.Add(backoff(p.Attempts-2, firstBackoff, maxBackoff, err))
		return m.fail(ctx, r, told(fmt.Sprintf("whether version %d still works is not known yet: %s", r.Number(), err)))
	}
	died := false
	if err != nil {
		r.ObserveSilence(err.Error(), now)
	} else {
		died = v.Outcome == provider.Rejected && r.Health != HealthRejected
		r.Observe(v, now)
	}
	ended := told(r.afterLost(v, err))
	if m.once(p) || v.Outcome == provider.Rejected {
		err = m.needPerson(ctx, r, ended)
	} else {
		err = m.giveUp(ctx, r, ended)
	}
	if err == nil && died {
		m.Happened(ctx, r, Died)
	}
	return err
}

// afterLost says what is known of the current value after a lost answer, and what to do.
func (r *Record) afterLost(v provider.Verification, err error) string {
	version := fmt.Sprintf("version %d", r.Number())
	switch {
	case err != nil:
		return fmt.Sprintf("whether %s still works is not known (%s): verify it, and if it does not, reset the token at the provider and hand the new value in", version, err)
	case v.Outcome == provider.Rejected:
		return version + " does not work any more, so it was replaced: reset the token at the provider and hand the new value in"
	case v.Outcome == provider.Accepted:
		return version + " still works, so it was not replaced, or a new value was made beside it that nobody has: look at the provider, " +
			"delete such a value there, and start the rotation again, or reset the token there and hand the new value in"
	default:
		return fmt.Sprintf("whether %s still works cannot be told (%s): reset the token at the provider and hand the new value in", version, v.Detail)
	}
}
