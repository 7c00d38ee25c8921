package rotation

import "time"

// Ends are the ends of a version that the provider sets by itself. They are never changed, but replaced.
type Ends struct {
	// Told is what the provider said last, and Lifetime the end of the life that values of the type have; zero for no such end.
	Told     time.Time `json:"told,omitzero"`
	Lifetime time.Time `json:"lifetime,omitzero"`
}

// At is the earlier one; zero where there is none.
func (e *Ends) At() time.Time {
	switch {
	case e == nil:
		return time.Time{}
	case e.Told.IsZero(), !e.Lifetime.IsZero() && e.Lifetime.Before(e.Told):
		return e.Lifetime
	}
	return e.Told
}

// told notes what the provider said of the current version's end. Zero says nothing.
func (r *Record) told(end time.Time) {
	if end.IsZero() {
		return
	}
	ends := Ends{Told: end.UTC()}
	if known := r.Current.Ends; known != nil {
		if known.Told.Equal(end) {
			return
		}
		ends.Lifetime = known.Lifetime
	}
	r.Current.Ends = &ends
	for i := range r.History {
		if r.History[i].Version == r.Current.Number {
			r.History[i].Ends = &ends
		}
	}
}
