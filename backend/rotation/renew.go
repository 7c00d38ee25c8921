package rotation

import (
	"context"
	"errors"
	"fmt"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Irreplaceable says whether a value of this source may be the only copy there is, so that it is kept even while the provider refuses it.
func (s Source) Irreplaceable() bool { return s == SourceHook || s == SourceAPI }

// ByPerson says whether a person gives the value, and can give another one.
func (s Source) ByPerson() bool {
	return s == SourceImport || s == SourceAssisted || s == SourceConsent
}

// Giver names who gives a value of such a source.
func (s Source) Giver() string {
	switch {
	case s == SourceAPI:
		return "the provider's API"
	case s.ByPerson():
		return "a person"
	}
	return "the reset hook"
}

// askOnce prepares for asking again where that is not to be done after a lost answer. It says whether the rotation goes on.
func (m *Machine) askOnce(ctx context.Context, r *Record) (goOn bool, err error) {
	p := r.Pending
	if !p.NotSent {
		return false, m.lost(ctx, r, errors.New("the engine was interrupted before it had an answer"))
	}
	// The intent again: from here on the request may have been sent.
	p.NotSent = false
	return true, m.Save(ctx, r)
}

// isLost says whether the request may have been acted on although no usable answer came.
func isLost(err error) bool {
	silence, ok := errors.AsType[*provider.Error](err)
	return ok && !silence.NotSent
}

// lost ends a rotation whose value was made, as far as is known, and is not at hand. It looks what has become of the current value.
func (m *Machine) lost(ctx context.Context, r *Record, cause error) error {
	const asked = "the provider was asked to replace the value, and the answer with the new value was lost"
	v, err := m.Verify(ctx, r.Current.Credential)
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	died := false
	var now string
	switch {
	case err != nil:
		now = fmt.Sprintf("whether version %d still works is not known (%s)", r.Number(), err)
	case v.Outcome == provider.Rejected:
		died = r.Health != HealthRejected
		now = fmt.Sprintf("version %d does not work any more, so it was replaced: reset the token at the provider and hand the new value in", r.Number())
	default:
		now = fmt.Sprintf("version %d is not refused: start the rotation again, or reset the token at the provider and hand the new value in", r.Number())
	}
	if err == nil {
		r.Observe(v, m.Now())
	}
	err = m.needPerson(ctx, r, fmt.Errorf("%s (%w); %s", asked, cause, now))
	if err == nil && died {
		m.Happened(ctx, r, Died)
	}
	return err
}
