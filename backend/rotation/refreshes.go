package rotation

import "time"

// Refreshes are those of one version. They are never changed, but replaced.
type Refreshes struct {
	Count int       `json:"count"`
	At    time.Time `json:"at"`
}

// Number is how many there were.
func (r *Refreshes) Number() int {
	if r == nil {
		return 0
	}
	return r.Count
}

// Last is when the last one was; zero where there was none.
func (r *Refreshes) Last() time.Time {
	if r == nil {
		return time.Time{}
	}
	return r.At
}
