package rotation

import (
	"context"
	"errors"
	"fmt"
)

// needPerson ends a rotation whose reset is done, as far as is known, and whose value is not at hand.
func (m *Machine) needPerson(ctx context.Context, r *Record, cause error) error {
	r.PersonNeeded = true
	return m.finish(ctx, r, fmt.Errorf("%w. The policy starts no other reset before that, because it would end the value that a person takes meanwhile; "+
		"a rotation that is started by hand does", cause))
}

// Ended is the rotation that has failed for good since the record was loaded; nil where none has.
func (r *Record) Ended() *Pending { return r.ended }

// giveUp ends a rotation that cannot succeed. The policy starts another one later.
func (m *Machine) giveUp(ctx context.Context, r *Record, cause error) error {
	return m.finish(ctx, r, r.stillNeedsPerson(cause))
}

// stillNeedsPerson adds to the problem of a rotation by hand what an earlier one has left to do.
func (r *Record) stillNeedsPerson(problem error) error {
	if !r.PersonNeeded {
		return problem
	}
	return fmt.Errorf("%w. As before, a new value is missing that may have been made at the provider: reset the token there and hand the value in; "+
		"the policy starts no rotation before that", problem)
}

// finish ends a rotation without a value.
func (m *Machine) finish(ctx context.Context, r *Record, cause error) error {
	r.ended, r.EndedRotation = r.Pending, r.Pending.ID
	r.Pending = r.Pending.Replaces
	m.postpone(r)
	return m.fail(ctx, r, cause)
}

// postpone keeps the policy from starting the next rotation at once.
func (m *Machine) postpone(r *Record) {
	r.Failures++
	r.RetryAt = m.Now().UTC().Add(backoff(r.Failures-1, firstRetry, maxRetry, nil))
}

// startFailed remembers why a rotation could not even begin, so that the next try waits.
func (m *Machine) startFailed(ctx context.Context, r *Record, cause error) error {
	m.postpone(r)
	if err := m.fail(ctx, r, r.stillNeedsPerson(cause)); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}
