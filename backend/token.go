package backend

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/robfig/cron/v3"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/readers"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

const tokenSchema = 1

const (
	defaultRefreshTTL   = 60
	defaultVerifyPeriod = 24 * 60 * 60
	defaultGracePeriod  = 24 * 60 * 60
	defaultBeforeExpiry = 7 * 24 * 60 * 60
	defaultReaderWindow = 24 * 60 * 60
	maxReasonLength     = 512
)

// tokenEntry is how a token is stored: one record, so that every change of it is one write.
type tokenEntry struct {
	Schema int `json:"schema"`
	// ID tells the token from another one of the same name that was made after it was deleted. Tokens of releases that had none
	// have the empty string.
	ID      string `json:"id,omitempty"`
	Account string `json:"account"`
	// Provider is the account's, whose type this is. Tokens of releases whose types were unique have the empty string.
	Provider string          `json:"provider,omitempty"`
	Type     string          `json:"type"`
	Options  provider.Values `json:"options,omitempty"`
	// RefreshTTL is how many seconds a consumer may go on with a value before it looks again.
	RefreshTTL int `json:"refresh_ttl"`
	// VerifyPeriod is in seconds; 0 is never.
	VerifyPeriod int `json:"verify_period"`
	// RotationGracePeriod is how many seconds the engine lets an old value live that it retires itself.
	RotationGracePeriod int `json:"rotation_grace_period"`
	// RetireWhen is retireAdopted, or empty for retireByGrace.
	RetireWhen string `json:"retire_after,omitempty"`
	// ReaderWindow is in seconds; 0 is defaultReaderWindow.
	ReaderWindow int `json:"reader_window,omitempty"`
	// LeaseTTL is in seconds; 0 means that reads carry no lease.
	LeaseTTL       int               `json:"lease_ttl,omitempty"`
	CustomMetadata map[string]string `json:"custom_metadata,omitempty"`

	// RotationSchedule excludes RotationPeriod; both are empty where nothing is planned.
	RotationSchedule         string        `json:"rotation_schedule"`
	RotationWindow           time.Duration `json:"rotation_window"`
	RotationPeriod           time.Duration `json:"rotation_period"`
	DisableAutomatedRotation bool          `json:"disable_automated_rotation"`
	// RotateOnRejection has a value replaced at once that the provider is found to reject.
	RotateOnRejection bool `json:"rotate_on_rejection,omitempty"`
	// RotateBeforeExpiry is in seconds; nil is defaultBeforeExpiry.
	RotateBeforeExpiry *int `json:"rotate_before_expiry,omitempty"`
	// ScheduleSince is when rotation_schedule was set. What it missed before is not overdue.
	ScheduleSince time.Time `json:"schedule_since,omitzero"`
	// Consent is the newest consent that was asked for, until its answer comes or its time is over.
	Consent *askedConsent `json:"consent,omitempty"`

	rotation.Record
}

// token is a stored token, ready for use.
type token struct {
	tokenEntry
	name string
	kind *provider.TokenType
	// nextRotation is zero where no rotation is planned, and schedule nil where there is no rotation_schedule.
	nextRotation time.Time
	schedule     *cron.SpecSchedule
	// expires is when the current value ends by itself, and expiring when it is to be replaced for that; zero where it does not end.
	expires, expiring time.Time
	// planProblem says why nothing is planned although there is a rotation_schedule; empty where there is no problem.
	planProblem string
	// The answers to reads of creds/ and access-token/.
	credsAnswer, accessTokenAnswer atomic.Pointer[warmAnswer]
	// readers is nil until somebody has read.
	readers atomic.Pointer[readers.Token]
}

func (b *backend) decodeToken(ctx context.Context, storage logical.Storage, name string, stored []byte) (*token, error) {
	t := &token{name: name}
	if err := decodeJSON(stored, tokenSchema, &t.tokenEntry); err != nil {
		return nil, err
	}
	if err := b.findKind(ctx, storage, t); err != nil {
		return nil, err
	}
	t.planRotation()
	return t, nil
}

// findKind finds the token's type. An entry of an early release says nothing of the provider, but its account does.
func (b *backend) findKind(ctx context.Context, storage logical.Storage, t *token) error {
	if t.Provider == "" {
		a, err := b.accounts.Get(ctx, storage, t.Account)
		if err != nil {
			return cache.Needed(err)
		}
		if a == nil {
			return fmt.Errorf("its account %q does not exist", t.Account)
		}
		t.Provider = a.Provider
	}
	p, err := b.platform(ctx, storage, t.Provider)
	if err != nil {
		return cache.Needed(err)
	}
	if p == nil {
		return fmt.Errorf("its provider %q is not known to this plugin (%s)", t.Provider, Version)
	}
	t.kind, err = kindOf(p, t.Type)
	return err
}

// planRotation works out when the policy wants the current credential replaced. A stored schedule that this version of the plugin
// cannot read, or that never comes, plans nothing and is a problem to tell: the credential is no worse for it.
func (t *token) planRotation() {
	t.nextRotation, t.schedule, t.planProblem = time.Time{}, nil, ""
	t.planExpiry()
	if t.Current == nil || t.DisableAutomatedRotation || t.kind != nil && t.kind.ResetSemantics == provider.None {
		return
	}
	defer t.rotateBeforeExpiry()
	switch {
	case t.RotationPeriod > 0:
		t.nextRotation = t.Current.PublishedAt.Add(t.RotationPeriod)
	case t.RotationSchedule != "":
		since := t.Current.PublishedAt
		if t.ScheduleSince.After(since) {
			since = t.ScheduleSince
		}
		schedule, err := parseSchedule(t.RotationSchedule, since)
		if err != nil {
			t.planProblem = fmt.Sprintf("no rotation is planned, because its rotation_schedule %s; write a new one with "+
				"`vault write <mount>/tokens/%s rotation_schedule=…`", err, t.name)
			return
		}
		t.schedule, t.nextRotation = schedule, schedule.Next(since)
	}
}

// beforeExpiry is rotate_before_expiry in seconds.
func (e *tokenEntry) beforeExpiry() int {
	if e.RotateBeforeExpiry == nil {
		return defaultBeforeExpiry
	}
	return *e.RotateBeforeExpiry
}

// planExpiry works out when the current value ends by itself, and when it is to be replaced for that: rotate_before_expiry before, and at
// most half of its life.
func (t *token) planExpiry() {
	t.expires, t.expiring = time.Time{}, time.Time{}
	if t.Current == nil || t.Current.Ends == nil {
		return
	}
	t.expires = t.Current.Ends.At()
	before := min(seconds(t.beforeExpiry()), t.expires.Sub(t.Current.PublishedAt)/2)
	t.expiring = t.expires.Add(-max(before, 0))
}

// rotateBeforeExpiry has the current value replaced before it ends, whatever the policy says.
func (t *token) rotateBeforeExpiry() {
	if t.dueByExpiry() {
		t.nextRotation = t.expiring
	}
}

// dueByExpiry says whether the end of the value comes before what the policy says. A rotation_window is not about that.
func (t *token) dueByExpiry() bool {
	return !t.expiring.IsZero() && (t.nextRotation.IsZero() || !t.nextRotation.Before(t.expiring))
}

// askedConsent is a consent that a person was sent to.
type askedConsent struct {
	State string `json:"state"`
	// Verifier is the secret of PKCE.
	Verifier    string    `json:"verifier,omitempty"`
	RedirectURI string    `json:"redirect"`
	ExpiresAt   time.Time `json:"expires_at"`
	// Given are the fields of the credential that came with the request.
	Given provider.Values `json:"given,omitempty"`
}

// holdsCredential says whether there is any value that would follow a changed address.
func (t *token) holdsCredential() bool {
	return t.Current != nil || t.Pending != nil || len(t.Retiring) > 0 || t.Consent != nil
}

// health is what is known about the credential, in the words of `tokens/<name>`.
func (t *token) health() rotation.Health {
	if t.Current == nil {
		return rotation.HealthNone
	}
	return t.Health
}

// untried says whether the current version was published with verify=false, and the provider has neither accepted nor refused it since.
func (t *token) untried() bool {
	if t.Current == nil || t.Current.Proven || t.Health == rotation.HealthOK || t.Health == rotation.HealthRejected || len(t.History) == 0 {
		return false
	}
	entry := t.History[len(t.History)-1]
	return entry.Version == t.Number() && entry.Verification == rotation.VerificationSkipped
}

func (t *token) fingerprint() string {
	if t.Current == nil {
		return ""
	}
	return t.Current.Fingerprint
}

// call is the token as the provider sees it, with the given credential.
func (t *token) call(credential provider.Values) provider.Token {
	return provider.Token{Type: t.Type, Options: t.Options, Credential: credential}
}

// loadLocked reads a copy of a token whose lock the caller has taken, and unlocks after an error.
func (b *backend) loadLocked(ctx context.Context, storage logical.Storage, name string, unlock func()) (*token, func(), error) {
	t, err := b.tokens.Load(ctx, storage, name)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return t, unlock, nil
}

// lockTokenWithin is lockToken for those who have something better to do than to wait for long. A *cache.BusyError means that the token
// did not become free.
func (b *backend) lockTokenWithin(ctx context.Context, storage logical.Storage, name string, patience time.Duration) (*token, func(), error) {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unlock, err := b.tokenLocks.Lock(waiting, name)
	if err != nil {
		return nil, nil, err
	}
	return b.loadLocked(ctx, storage, name, unlock)
}

// warmAnswer is what a read of a token gave, as JSON. It is good for as long as the token and the account are the ones that
// it was made of, because those never change: what is written makes new ones.
type warmAnswer struct {
	account *account
	// until is when it is not given any more; zero for no such time.
	until time.Time
	// data is the object without its end, which is the ttl: that is another one at each read.
	data string
}
