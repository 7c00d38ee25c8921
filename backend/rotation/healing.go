package rotation

import (
	"cmp"
	"slices"
	"time"
)

const (
	// MaxHealings is how many rotations may begin within healingWindow because the provider rejects the current value. Those that fail
	// count too.
	MaxHealings   = 3
	healingWindow = 24 * time.Hour
)

// Healing is what was begun because the provider rejected the current value. It is never changed, but replaced.
type Healing struct {
	// Begun is when each rotation began, oldest first, as far as they still count.
	Begun []time.Time `json:"begun"`
	// Told is set once it was told that no other one begins for now.
	Told bool `json:"told,omitempty"`
}

// recentHealings are when those rotations began that count at the given time.
func (r *Record) recentHealings(now time.Time) []time.Time {
	if r.Healing == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Healing.Begun), func(at time.Time) bool { return now.Sub(at) >= healingWindow })
}

// BeginHealing counts a rotation that begins because the provider rejects the current value. It is stored with the intent, so that no
// crash leaves one that is not counted.
func (r *Record) BeginHealing(now time.Time) {
	r.Healing = &Healing{Begun: append(r.recentHealings(now), now.UTC())}
}

// mayHeal says whether the current value is one to replace because the provider rejects it, and nothing else is on the way to that.
func (r *Record) mayHeal() bool {
	return r.Current != nil && r.Health == HealthRejected && !r.PersonNeeded && (r.Pending == nil || r.Pending.Stalled())
}

// NextHealing is when a rotation may begin because the provider rejects the current value; zero where none may. A failed one is followed by
// the next after a wait, or once a verification finds the value rejected again.
func (r *Record) NextHealing(now time.Time) time.Time {
	if !r.mayHeal() {
		return time.Time{}
	}
	begun := r.recentHealings(now)
	last := r.LastVerification
	switch {
	case len(begun) >= MaxHealings:
		return begun[len(begun)-MaxHealings].Add(healingWindow)
	case last == nil:
		return cmp.Or(r.RetryAt, r.Current.PublishedAt)
	case len(begun) == 0, last.At.After(begun[len(begun)-1]):
		return last.At
	case r.RetryAt.After(last.At):
		return r.RetryAt
	}
	return last.At
}

// HealingUsedUp says when the last rotation began, and when the next one may, where the current value is rejected and as many have begun as
// may; next is zero elsewhere.
func (r *Record) HealingUsedUp(now time.Time) (last, next time.Time) {
	begun := r.recentHealings(now)
	if !r.mayHeal() || len(begun) < MaxHealings {
		return time.Time{}, time.Time{}
	}
	return begun[len(begun)-1], begun[len(begun)-MaxHealings].Add(healingWindow)
}

// TellHealing notes that it was told that no other rotation begins for now.
func (r *Record) TellHealing(problem string) {
	if r.Healing != nil {
		r.Healing = &Healing{Begun: r.Healing.Begun, Told: true}
	}
	r.LastError = problem
}

// HealingTold says whether it was told that no other rotation begins for now.
func (r *Record) HealingTold() bool { return r.Healing != nil && r.Healing.Told }
