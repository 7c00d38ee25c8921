// Package rotation holds what is stored of a token's credential and the transitions between its versions. It knows
// neither Vault nor any provider's wire format, so that it can be tested with nothing but a clock.
package rotation

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// MaxHistory bounds how many versions a record remembers; the oldest are forgotten first.
const MaxHistory = 100

// Source says how a version was obtained.
type Source string

const (
	// SourceImport is a credential that was handed in when the token was created.
	SourceImport Source = "import"
	// SourceAssisted is a credential that a person reset at the provider and handed in.
	SourceAssisted Source = "assisted"
	// SourceIAM is a key that the engine made by the provider's API.
	SourceIAM Source = "iam"
	// SourceAPI is a credential that an API of the provider gave in place of the one before.
	SourceAPI Source = "api"
	// SourceConsent is a credential that a person's consent in a browser gave.
	SourceConsent Source = "consent"
	// SourceHook is a credential that the account's reset hook gave.
	SourceHook Source = "hook"
)

// Health is what is known about the current credential.
type Health string

const (
	// HealthOK means that the provider accepted it, and has not refused it since.
	HealthOK Health = "ok"
	// HealthRejected means that the provider refuses it.
	HealthRejected Health = "rejected"
	// HealthUnverified means that the provider was not asked, or cannot tell.
	HealthUnverified Health = "unverified"
	// HealthNone means that there is no credential yet.
	HealthNone Health = "none"
)

// Record is a token's credential with its past. The zero value has no credential.
type Record struct {
	Current *Version `json:"current,omitempty"`
	// History is oldest first and includes the current version.
	History          []HistoryEntry `json:"history,omitempty"`
	Health           Health         `json:"health,omitempty"`
	LastVerification *Check         `json:"last_verification,omitempty"`
	// LastError is why the last rotation or retirement failed; empty once one has succeeded. It holds no secret.
	LastError string `json:"last_error,omitempty"`

	// Refreshing is a refresh of the current version whose answer has not come.
	Refreshing *Refreshing `json:"refreshing,omitempty"`
	// Pending is the rotation under way.
	Pending *Pending `json:"pending,omitempty"`
	// Retiring are old values whose end is yet to come.
	Retiring []Retiring `json:"retiring,omitempty"`
	// Searches look for keys whose secret was lost.
	Searches []Search `json:"searches,omitempty"`
	// Cleanups are the lost keys that were found, oldest first.
	Cleanups []Cleanup `json:"cleanups,omitempty"`
	// EndedRotation is the ID of the last rotation that ended without a version, or could not begin.
	EndedRotation string `json:"ended_rotation,omitempty"`
	// Failures counts rotations that failed for good in a row, and RetryAt is when the policy may start the next.
	Failures int       `json:"failures,omitempty"`
	RetryAt  time.Time `json:"retry_at,omitzero"`
	// PersonNeeded is set where a reset was performed, as far as is known, and its value is not at hand. The policy starts no other
	// rotation then: another reset would end the value that a person may be about to hand in.
	PersonNeeded bool `json:"person_needed,omitempty"`
	// OverdueReported is set once it was told that a person is late with the next rotation.
	OverdueReported bool `json:"overdue_reported,omitempty"`
	// Healing is what was begun because the provider rejects the current value; nil where nothing was.
	Healing *Healing `json:"healing,omitempty"`
	// Identity says whose the credential is, as far as a verification has told, and IdentityChange when the current value has turned out
	// to be somebody else's.
	Identity       string          `json:"identity,omitempty"`
	IdentityChange *IdentityChange `json:"identity_change,omitempty"`

	// ended is the rotation that has failed for good since the record was loaded.
	ended *Pending
	// kept says what RetireNow has left alive.
	kept []string
	// untold is an IdentityChange since the record was loaded that TakeIdentityChange has not given yet.
	untold *IdentityChange
	// justRetired is the version that was retired last since the record was loaded.
	justRetired int
}

// RetiredByEngine is why a version stopped to work that the engine deleted or revoked.
const RetiredByEngine = "retired by the engine"

// RetiredAlready is why a version stopped to work that somebody else had ended when the engine came to it.
const RetiredAlready = "rejected by provider"

// Version is one value of a credential.
type Version struct {
	Number      int             `json:"number"`
	Credential  provider.Values `json:"credential"`
	Fingerprint string          `json:"fingerprint"`
	PublishedAt time.Time       `json:"published_at"`
	// Proven is set once the provider has accepted it at an address that the value did not choose, or where the provider's
	// key API has made it. It stays.
	Proven bool `json:"proven,omitempty"`
	// PublishedAs is the fingerprint that it was published with, where a refresh has replaced a part of it since.
	PublishedAs string `json:"published_as,omitempty"`
	// Refreshed is what refreshes did to it since it was published; nil where there was none.
	Refreshed *Refreshes `json:"refreshed,omitempty"`
	// Ends is nil where it does not end by itself, as far as is known.
	Ends *Ends `json:"ends,omitempty"`
	// ExpiringReported is set once it was told that it ends soon.
	ExpiringReported bool `json:"expiring_reported,omitempty"`
}

// Origin is the fingerprint that the version was published with. Unlike its own it stays the same.
func (v *Version) Origin() string { return cmp.Or(v.PublishedAs, v.Fingerprint) }

// Check is a verification with its time.
type Check struct {
	At      time.Time        `json:"at"`
	Outcome provider.Outcome `json:"outcome"`
	Detail  string           `json:"detail"`
}

// Number is the current version's number, 0 where there is no credential.
func (r *Record) Number() int {
	if r.Current == nil {
		return 0
	}
	return r.Current.Number
}

// Candidate is a value that is about to become the current one.
type Candidate struct {
	Credential  provider.Values
	Fingerprint string
	Source      Source
	Reason      string
	EntityID    string
	DisplayName string
	RotationID  string
	RequestID   string
	Note        string
	Scheduled   bool
	Healed      bool
	// Lifetime is how long it lives from now on, and ExpiresAt when it ends as far as its giver has said; zero for no such end.
	Lifetime  time.Duration
	ExpiresAt time.Time
	// HandedInAs is the fingerprint of what a person handed in, where a refresh has replaced a part of it since.
	HandedInAs string
	// Verified is nil where the provider was not asked.
	Verified *provider.Verification
	// Made says that the provider's key API made the value for this token, which proves whose it is.
	Made bool
	// Same says whether two values are one at the provider. Nil compares all fields.
	Same func(a, b provider.Values) bool
}

func (c *Candidate) is(other provider.Values) bool {
	if c.Same == nil {
		return maps.Equal(c.Credential, other)
	}
	return c.Same(c.Credential, other)
}

// Publish makes the candidate the current version; where it is an old value, that is not retired any more. The record
// is not stored by this.
func (r *Record) Publish(c Candidate, now time.Time) {
	now = now.UTC()
	entry := HistoryEntry{
		Version:      r.Number() + 1,
		CreatedAt:    now,
		Reason:       c.Reason,
		EntityID:     c.EntityID,
		DisplayName:  c.DisplayName,
		Scheduled:    c.Scheduled,
		Healed:       c.Healed,
		Source:       c.Source,
		Verification: VerificationSkipped,
		Fingerprint:  c.Fingerprint,
		RotationID:   c.RotationID,
		RequestID:    c.RequestID,
		Note:         c.Note,
	}
	r.Current = &Version{Number: entry.Version, Credential: c.Credential, Fingerprint: c.Fingerprint, PublishedAt: now, Proven: c.Made, PublishedAs: c.HandedInAs}
	if ends := (Ends{Told: c.ExpiresAt.UTC()}); c.Lifetime > 0 || !c.ExpiresAt.IsZero() {
		if c.Lifetime > 0 {
			ends.Lifetime = now.Add(c.Lifetime)
		}
		r.Current.Ends, entry.Ends = &ends, &ends
	}
	r.Health, r.LastVerification, r.LastError, r.Refreshing = HealthUnverified, nil, "", nil
	r.Failures, r.RetryAt, r.OverdueReported, r.PersonNeeded = 0, time.Time{}, false, false
	r.Retiring = slices.DeleteFunc(r.Retiring, func(old Retiring) bool { return c.is(old.Credential) })
	r.History = append(r.History, entry)
	if c.Verified != nil {
		r.History[len(r.History)-1].Verification = string(c.Verified.Outcome)
		r.publishIdentity(c.Verified.Identity)
		r.Observe(*c.Verified, now)
	}
	if surplus := len(r.History) - MaxHistory; surplus > 0 {
		r.History = r.History[surplus:]
	}
}

// Observe records what the provider said about the current version. An answer that cannot tell takes back an earlier
// acceptance, but no refusal: only an acceptance clears an alarm.
func (r *Record) Observe(v provider.Verification, now time.Time) {
	r.LastVerification = &Check{At: now.UTC(), Outcome: v.Outcome, Detail: v.Detail}
	r.told(v.ExpiresAt)
	r.identify(v.Identity, now)
	switch {
	case v.Outcome == provider.Accepted:
		r.Health = HealthOK
		r.Current.Proven = r.Current.Proven || !v.SelfAsserted
	case v.Outcome == provider.Rejected:
		r.Health = HealthRejected
	case r.Health != HealthRejected:
		r.Health = HealthUnverified
	}
}

// ObserveSilence records that the provider gave no useful answer. What was known before still stands.
func (r *Record) ObserveSilence(detail string, now time.Time) {
	r.LastVerification = &Check{At: now.UTC(), Outcome: provider.Inconclusive, Detail: detail}
}

// Retire notes in the history when and how a version stopped to work.
func (r *Record) Retire(version int, how string, now time.Time) {
	for i := range r.History {
		if r.History[i].Version == version {
			r.History[i].RetiredAt, r.History[i].RetiredHow = now.UTC(), how
		}
	}
}
