package backend

import "time"

// timestamp is a time in responses: RFC 3339 in UTC, or nil where there is none.
func timestamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

// ttl is how many seconds a consumer may go on with the value before it looks again: until the next planned rotation, or the value's end,
// but never longer than refresh_ttl, because a reset can come out of schedule. A planned time that has passed bounds nothing:
// nobody knows when a late person comes, and consumers that look every second would find nothing sooner than that.
func (t *token) ttl(now time.Time) int {
	ttl := t.RefreshTTL
	if left := t.nextRotation.Sub(now); !t.nextRotation.IsZero() && left > 0 {
		ttl = min(ttl, int(left.Seconds()))
	}
	if left := t.expires.Sub(now); !t.expires.IsZero() && left > 0 {
		ttl = min(ttl, int(left.Seconds()))
	}
	return max(ttl, 1)
}

// ttlUntil is ttl, where what is read ends at a time of its own.
func (t *token) ttlUntil(end, now time.Time) int {
	ttl := t.ttl(now)
	if !end.IsZero() {
		ttl = min(ttl, int(end.Sub(now).Seconds()))
	}
	return max(ttl, 1)
}

func (t *token) overdue(now time.Time) bool {
	return !t.nextRotation.IsZero() && now.After(t.nextRotation)
}
