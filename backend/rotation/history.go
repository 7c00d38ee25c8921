package rotation

import (
	"slices"
	"time"
)

// HistoryEntry tells of one version without its value.
type HistoryEntry struct {
	Version     int       `json:"version"`
	CreatedAt   time.Time `json:"created_at"`
	Reason      string    `json:"reason,omitempty"`
	EntityID    string    `json:"entity_id,omitempty"`
	DisplayName string    `json:"display_name,omitempty"`
	// Scheduled is set where the policy asked for the rotation, and nobody by hand. Healed is set where it did so because the provider
	// rejected the value before.
	Scheduled bool   `json:"scheduled,omitempty"`
	Healed    bool   `json:"healed,omitempty"`
	Source    Source `json:"source"`
	// Verification is the outcome when the version was published, or VerificationSkipped.
	Verification string `json:"verification"`
	Fingerprint  string `json:"fingerprint"`
	// Identity says whose it is, as far as a verification has told, and IdentityChanged that the one before was somebody else's, or
	// that it was so itself.
	Identity        string `json:"identity,omitempty"`
	IdentityChanged bool   `json:"identity_changed,omitempty"`
	// Refreshed is the version's.
	Refreshed  *Refreshes `json:"refreshed,omitempty"`
	Ends       *Ends      `json:"ends,omitempty"`
	RetiredAt  time.Time  `json:"retired_at,omitzero"`
	RetiredHow string     `json:"retired_how,omitempty"`
	// RotationID identifies the rotation, or the request, that published the version. Version numbers cannot: those of a token
	// that was deleted and made anew begin again. Entries of releases that had none have the empty string.
	RotationID string `json:"rotation_id,omitempty"`
	// RequestID is Vault's of the request that brought the version about; empty where the policy did.
	RequestID string `json:"request_id,omitempty"`
	// Note says what a person has to know of the version's publication or end. It holds no secret.
	Note string `json:"note,omitempty"`
}

// VerificationSkipped stands for an outcome where nobody asked the provider.
const VerificationSkipped = "skipped"

// Published returns the history's entry of the version that the rotation with this ID published; nil where it published none.
func (r *Record) Published(rotationID string) *HistoryEntry {
	return r.entry(rotationID, func(e *HistoryEntry) string { return e.RotationID })
}

// PublishedFor finds the version that a request has brought about; nil where there is none.
func (r *Record) PublishedFor(requestID string) *HistoryEntry {
	return r.entry(requestID, func(e *HistoryEntry) string { return e.RequestID })
}

func (r *Record) entry(id string, of func(*HistoryEntry) string) *HistoryEntry {
	i := slices.IndexFunc(r.History, func(e HistoryEntry) bool { return of(&e) == id })
	if id == "" || i < 0 {
		return nil
	}
	entry := r.History[i]
	return &entry
}

// Retired says whether the history knows of the version's end.
func (r *Record) Retired(version int) bool {
	return slices.ContainsFunc(r.History, func(h HistoryEntry) bool { return h.Version == version && !h.RetiredAt.IsZero() })
}
