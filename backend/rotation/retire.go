package rotation

import (
	"context"
	"slices"
)

// LeftError says why something that was to end is still there at the provider.
type LeftError struct{ Why string }

func (e *LeftError) Error() string { return e.Why }

// Waits says whether the version waits for its end. Version 0 stands for keys that were never published.
func (r *Record) Waits(version int) bool {
	return slices.ContainsFunc(r.Retiring, func(old Retiring) bool { return old.Version == version })
}

// EndVersion ends one old value now, whatever its time, and stores what became of it. A *LeftError says that the provider did not
// do it; then the value goes on waiting, and is tried again. Other errors are storage's, or the context's.
func (m *Machine) EndVersion(ctx context.Context, r *Record, version int) error {
	now := m.Now().UTC()
	for i := range r.Retiring {
		if old := &r.Retiring[i]; old.Version == version {
			old.NextAttempt, old.Due = now, true
			if old.At.After(now) {
				old.At = now
			}
		}
	}
	if err := m.retire(ctx, r); err != nil {
		return err
	}
	for _, old := range r.Retiring {
		if old.Version == version {
			return &LeftError{old.LastError}
		}
	}
	return nil
}

// EndSearches looks for lost keys now. A *LeftError says that one may still be there, or appear; the search for it goes on. Other
// errors are storage's, or the context's.
func (m *Machine) EndSearches(ctx context.Context, r *Record) error {
	now := m.Now().UTC()
	for i := range r.Searches {
		r.Searches[i].NextAttempt = now
	}
	if err := m.search(ctx, r); err != nil {
		return err
	}
	if why := r.StillSought(); why != "" {
		return &LeftError{why}
	}
	return nil
}

// StillSought says that a lost key may still appear, and why it was not ended; empty where none is looked for.
func (r *Record) StillSought() string {
	if len(r.Searches) == 0 {
		return ""
	}
	why := "a key may still appear at the provider: " + r.Searches[0].unfinished().Error()
	for _, s := range r.Searches {
		if s.LastError != "" {
			return why + " (" + s.LastError + ")"
		}
	}
	return why + ". The engine looks for it until then"
}

// Forget drops the version that waits for its end, or with it several keys that were never published (version 0), and returns how
// many. Nothing is done at the provider. The record is not stored by this.
func (r *Record) Forget(version int, note string) int {
	before := len(r.Retiring)
	r.Retiring = slices.DeleteFunc(r.Retiring, func(old Retiring) bool {
		if old.Version != version {
			return false
		}
		r.healed(old.LastError)
		return true
	})
	for i := range r.History {
		if version != 0 && r.History[i].Version == version {
			r.History[i].Note = note
		}
	}
	return before - len(r.Retiring)
}

// ForgetSearches drops the searches for lost keys, and returns how many there were. The record is not stored by this.
func (r *Record) ForgetSearches() int {
	n := len(r.Searches)
	for _, s := range r.Searches {
		r.healed(s.LastError)
	}
	r.Searches = nil
	return n
}
