package backend

import (
	"cmp"
	"time"
)

// expired says whether the current value has ended by itself.
func (t *token) expired(now time.Time) bool { return !t.expires.IsZero() && !now.Before(t.expires) }

// expiryReport is when to tell that the current value ends soon; zero where that was told.
func (t *token) expiryReport() time.Time {
	if t.Current == nil || t.Current.ExpiringReported {
		return time.Time{}
	}
	return t.expiring
}

// sooner is the earlier one of two times, of which a zero one does not count.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.IsZero() || !b.Before(a) {
		return cmp.Or(a, b)
	}
	return b
}
