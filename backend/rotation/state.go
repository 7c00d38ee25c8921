package rotation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// State is what a token's rotation is doing.
//
//	stateDiagram-v2
//	    [*] --> idle
//	    idle --> requested: Start
//	    idle --> idle: Start, but the keys cannot be listed
//	    requested --> requested: no answer, not yet
//	    requested --> idle: refused for good, or an API's answer is lost
//	    requested --> pending: value obtained
//	    requested --> pending: refused for good, the rejected value before is tried again
//	    pending --> pending: no answer, rejected
//	    pending --> idle: published
//	    pending --> retiring: published, the old value is to be retired
//	    pending --> retiring: given up, the new key is to be deleted
//	    pending --> requested: Start again after a rejection
//	    requested --> retiring: superseded or given up, a lost key is looked for
//	    retiring --> retiring: no answer, refused, others live on the value
//	    retiring --> requested: Start
//	    retiring --> idle: retired
//
// Every arrow is one storage write. Verified and published is one arrow: nothing lies between them that could fail.
type State string

const (
	// StateIdle means that there is nothing to do.
	StateIdle State = "idle"
	// StateRequested means that the intent is stored, and that a new value may have been asked for.
	StateRequested State = "requested"
	// StatePending means that the new value is stored and waits for the provider to accept it.
	StatePending State = "pending"
	// StateRetiring means that no rotation is under way, and that an old value waits for its end.
	StateRetiring State = "retiring"
)

// Pending is a rotation under way.
type Pending struct {
	// ID is the same for every attempt, so that a hook performs one reset however often it is asked.
	ID          string `json:"id"`
	Source      Source `json:"source"`
	Reason      string `json:"reason,omitempty"`
	EntityID    string `json:"entity_id,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
	// RequestID is Vault's of the request that asked for it; empty where the policy did.
	RequestID string `json:"request_id,omitempty"`
	// Scheduled is set where the policy asked for it, and nobody by hand. Healing is set where it did so because the provider rejects the
	// current value.
	Scheduled   bool      `json:"scheduled,omitempty"`
	Healing     bool      `json:"healing,omitempty"`
	RequestedAt time.Time `json:"requested_at"`
	// Owner is for whom a key is asked, and OwnerProven by which right: see Rights. Other values have neither.
	Owner       string `json:"owner,omitempty"`
	OwnerProven bool   `json:"owner_proven,omitempty"`
	// AttemptedAt is when a value was last asked for.
	AttemptedAt time.Time `json:"attempted_at"`
	// KnownKeys are the IDs of the keys that existed before that.
	KnownKeys []string `json:"known_keys,omitempty"`
	// Credential is nil until it was obtained.
	Credential provider.Values `json:"credential,omitempty"`
	ReceivedAt time.Time       `json:"received_at,omitzero"`
	// ExpiresAt is when the credential ends by itself, as far as who gave it has said.
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	Attempts   int       `json:"attempts"`
	Rejections int       `json:"rejections,omitempty"`
	// NextAttempt is when to go on.
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	// NotSent says that an API was not asked yet, or is known not to have acted on the last request, so that it may be asked. Lost is
	// why the answer to a request is lost that it may have acted on. Once is Machine.Once as it was at the start.
	NotSent bool   `json:"not_sent,omitempty"`
	Lost    string `json:"lost,omitempty"`
	Once    bool   `json:"once,omitempty"`
	// Note is what an operator has to know of a hook's credential where it does not work, and of an API's for the history: what it has
	// taken the place of. It holds no secret.
	Note string `json:"note,omitempty"`
	// HandedInAs is the fingerprint of what a person handed in.
	HandedInAs string `json:"handed_in_as,omitempty"`
	// AcceptOther says that the credential may be somebody else's than the token's, and OtherIdentity whose it is where that keeps it from
	// being published.
	AcceptOther   bool   `json:"accept_other_identity,omitempty"`
	OtherIdentity string `json:"other_identity,omitempty"`
	// Refreshing is a refresh of the credential whose answer has not come.
	Refreshing *Refreshing `json:"refreshing,omitempty"`
	// Replaces is a rejected value that is kept until this rotation has one.
	Replaces *Pending `json:"replaces,omitempty"`

	// fresh is set until the first value was asked for by the process that stored the intent. Found in storage, an
	// intent has to be taken for one whose answer was lost.
	fresh bool
}

// Stalled says whether a rejected value that may be the only copy is not tried any more. Keys are given up instead.
func (p *Pending) Stalled() bool { return p.Source.Irreplaceable() && p.Rejections >= maxRejections }

// Restartable says whether a new rotation may take this one's place: a value that the provider rejects, and that may be the only copy.
func (p *Pending) Restartable() bool { return p.Source.Irreplaceable() && p.Rejections > 0 }

// maxRetiring bounds how many old values a record may have that wait for their end.
const maxRetiring = 10

// Retiring is a replaced value that the engine has yet to make worthless at the provider.
type Retiring struct {
	// Version is 0 for a value that was never published.
	Version    int             `json:"version"`
	Credential provider.Values `json:"credential"`
	// Proven is its version's, and set for a value that the engine has made itself. What was never proven is retired by
	// its own right alone.
	Proven bool      `json:"proven,omitempty"`
	At     time.Time `json:"at"`
	// Due is set where nothing but NextAttempt counts any more: a person has asked for its end, or everybody who read it has a newer one.
	Due bool `json:"due,omitempty"`
	// WaitReported is set once it was told that its time is over, and that it waits for its readers.
	WaitReported bool      `json:"wait_reported,omitempty"`
	Attempts     int       `json:"attempts,omitempty"`
	NextAttempt  time.Time `json:"next_attempt"`
	LastError    string    `json:"last_error,omitempty"`
}

func (x *Retiring) name() string {
	if x.Version == 0 {
		return "a new key that never worked"
	}
	return fmt.Sprintf("version %d", x.Version)
}

// State is the state of the record. A rotation hides old values that still retire beside it.
func (r *Record) State() State {
	switch {
	case r.Pending != nil && r.Pending.Credential != nil:
		return StatePending
	case r.Pending != nil:
		return StateRequested
	case len(r.Retiring) > 0 || len(r.Searches) > 0:
		return StateRetiring
	default:
		return StateIdle
	}
}

// NextStep is when Advance has something to do; zero where it has nothing.
func (r *Record) NextStep() time.Time {
	return r.NextStepWith(func(old *Retiring) time.Time { return old.NextAttempt })
}

// NextStepWith is NextStep where others than the record say when an old value may end.
func (r *Record) NextStepWith(ends func(*Retiring) time.Time) time.Time {
	var next time.Time
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if r.Pending != nil && !r.Pending.Stalled() {
		sooner(r.Pending.NextAttempt)
	}
	for i := range r.Retiring {
		sooner(ends(&r.Retiring[i]))
	}
	for i := range r.Searches {
		sooner(r.Searches[i].NextAttempt)
	}
	return next
}

// Supersede ends a rotation under way in favour of a value that a person has handed in, leaving nothing behind.
func (r *Record) Supersede(now time.Time) {
	p := r.Pending
	r.Pending = nil
	switch {
	case p == nil || p.Source != SourceIAM:
	case p.Credential != nil:
		r.abandonKey(p, now)
	default:
		r.searchFor(p.lostKey(now))
	}
}

// abandonKey has a key deleted that was made and never published.
func (r *Record) abandonKey(p *Pending, now time.Time) {
	r.Retiring = append(r.Retiring, Retiring{Credential: p.Credential, Proven: true, At: now, NextAttempt: now})
}

// RetireAfter has a replaced version retired at the given time, or at its own end where that comes before. Its proof goes with it.
func (r *Record) RetireAfter(v Version, at time.Time) {
	if end := v.Ends.At(); !end.IsZero() && end.Before(at) {
		at = end
	}
	r.Retiring = append(r.Retiring, Retiring{Version: v.Number, Credential: v.Credential, Proven: v.Proven, At: at, NextAttempt: at})
}

// RoomToRetire refuses one more old value to retire where as many wait as a record may have.
func (r *Record) RoomToRetire() error {
	if len(r.Retiring) < maxRetiring {
		return nil
	}
	waiting, problem := make([]string, len(r.Retiring)), ""
	for i := range r.Retiring {
		waiting[i] = r.Retiring[i].name()
		if r.Retiring[i].LastError != "" {
			problem = "; the last problem was: " + r.Retiring[i].LastError
		}
	}
	return &provider.Refused{Detail: fmt.Sprintf("%d old values of this token wait for their end, and no more may (%s)%s",
		len(waiting), strings.Join(waiting, ", "), problem)}
}

// wasProven says whether the value was proven while it was current. Entries of earlier releases do not say so themselves:
// then the history does.
func (r *Record) wasProven(old Retiring) bool {
	return old.Proven || old.Version == 0 || slices.ContainsFunc(r.History, func(h HistoryEntry) bool {
		return h.Version == old.Version && (h.Source == SourceIAM || h.Verification == string(provider.Accepted))
	})
}

// retiringIndex finds an old value by the value too: several that were never published share a version, and may share a time.
func (r *Record) retiringIndex(old Retiring) int {
	return slices.IndexFunc(r.Retiring, func(x Retiring) bool {
		return x.Version == old.Version && x.At.Equal(old.At) && maps.Equal(x.Credential, old.Credential)
	})
}

func (r *Record) dropRetiring(old Retiring) {
	i := r.retiringIndex(old)
	r.Retiring = slices.Delete(r.Retiring, i, i+1)
}
