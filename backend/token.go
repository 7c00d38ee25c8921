package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/custommetadata"
	"github.com/hashicorp/vault/sdk/logical"
	sdkrotation "github.com/hashicorp/vault/sdk/rotation"
	"github.com/robfig/cron/v3"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

const tokenSchema = 1

const (
	defaultRefreshTTL   = 60
	defaultVerifyPeriod = 24 * 60 * 60
	defaultGracePeriod  = 24 * 60 * 60
	maxReasonLength     = 512
)

// tokenEntry is how a token is stored: one record, so that every change of it is one write.
type tokenEntry struct {
	Schema int `json:"schema"`
	// ID tells the token from another one of the same name that was made after it was deleted. Tokens of releases that had none
	// have the empty string.
	ID      string          `json:"id,omitempty"`
	Account string          `json:"account"`
	Type    string          `json:"type"`
	Options provider.Values `json:"options,omitempty"`
	// RefreshTTL is how many seconds a consumer may go on with a value before it looks again.
	RefreshTTL int `json:"refresh_ttl"`
	// VerifyPeriod is in seconds; 0 is never.
	VerifyPeriod int `json:"verify_period"`
	// RotationGracePeriod is how many seconds the engine lets an old value live that it retires itself.
	RotationGracePeriod int `json:"rotation_grace_period"`
	// LeaseTTL is in seconds; 0 means that reads carry no lease.
	LeaseTTL       int               `json:"lease_ttl,omitempty"`
	CustomMetadata map[string]string `json:"custom_metadata,omitempty"`

	// RotationSchedule excludes RotationPeriod; both are empty where nothing is planned.
	RotationSchedule         string        `json:"rotation_schedule"`
	RotationWindow           time.Duration `json:"rotation_window"`
	RotationPeriod           time.Duration `json:"rotation_period"`
	DisableAutomatedRotation bool          `json:"disable_automated_rotation"`
	// ScheduleSince is when rotation_schedule was set. What it missed before is not overdue.
	ScheduleSince time.Time `json:"schedule_since,omitzero"`

	rotation.Record
}

// token is a stored token, ready for use.
type token struct {
	tokenEntry
	name string
	kind *provider.TokenType
	// provider is the name of the platform that has the type.
	provider string
	// nextRotation is zero where no rotation is planned, and schedule nil where there is no rotation_schedule.
	nextRotation time.Time
	schedule     *cron.SpecSchedule
	// planProblem says why nothing is planned although there is a rotation_schedule; empty where there is no problem.
	planProblem string
	// The answers to reads of creds/ and access-token/.
	credsAnswer, accessTokenAnswer atomic.Pointer[warmAnswer]
}

func (b *backend) decodeToken(name string, stored []byte) (*token, error) {
	t := &token{name: name}
	if err := decodeJSON(stored, tokenSchema, &t.tokenEntry); err != nil {
		return nil, err
	}
	kind, ok := b.tokenTypes[t.Type]
	if !ok {
		return nil, fmt.Errorf("its type %q is not known to this plugin (%s)", t.Type, Version)
	}
	t.kind, t.provider = &kind.TokenType, kind.platform.Name()
	t.planRotation()
	return t, nil
}

// platformType is a token type and the provider that has it.
type platformType struct {
	provider.TokenType
	platform provider.Provider
}

// planRotation works out when the policy wants the current credential replaced. A stored schedule that this version of the plugin
// cannot read, or that never comes, plans nothing and is a problem to tell: the credential is no worse for it.
func (t *token) planRotation() {
	t.nextRotation, t.schedule, t.planProblem = time.Time{}, nil, ""
	if t.Current == nil || t.DisableAutomatedRotation {
		return
	}
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

func (t *token) overdue(now time.Time) bool {
	return !t.nextRotation.IsZero() && now.After(t.nextRotation)
}

// holdsCredential says whether there is any value that would follow a changed address.
func (t *token) holdsCredential() bool {
	return t.Current != nil || t.Pending != nil || len(t.Retiring) > 0
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

// token returns the named token. That it does not exist is HTTP 404.
func (b *backend) token(ctx context.Context, storage logical.Storage, name string) (*token, error) {
	t, err := b.tokens.Get(ctx, storage, name)
	if err == nil && t == nil {
		return nil, unknownToken(name)
	}
	return t, err
}

// lockToken takes the token's lock and reads a copy to change; nil where the token does not exist.
func (b *backend) lockToken(ctx context.Context, storage logical.Storage, name string) (*token, func(), error) {
	unlock, err := b.tokenLocks.Lock(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	return b.loadLocked(ctx, storage, name, unlock)
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

// applyPolicy takes the fields of a write that say how the token is treated.
func (t *token) applyPolicy(d *framework.FieldData, now time.Time) error {
	for name, seconds := range t.durations() {
		if raw, ok := d.GetOk(name); ok {
			*seconds = raw.(int)
		}
	}
	if t.RefreshTTL < 1 {
		return badInput("refresh_ttl must be at least 1s")
	}
	if raw, ok := d.GetOk("custom_metadata"); ok {
		t.CustomMetadata = raw.(map[string]string)
		if err := custommetadata.Validate(t.CustomMetadata); err != nil {
			return badInput("custom_metadata must have at most 64 printable keys of up to 128 bytes, with values of 1 to 512 bytes")
		}
		for key, value := range t.CustomMetadata {
			if !plainText(key) || !plainText(value) {
				return badInput("custom_metadata must have at most 64 printable keys, with values " + textRule)
			}
		}
	}
	options := maps.Clone(t.Options)
	for _, f := range t.kind.Options {
		raw, ok := d.GetOk(f.Name)
		if !ok {
			continue
		}
		value, err := f.Canonical(raw.(string))
		if err != nil {
			return badInput("%s", err)
		}
		if options == nil {
			options = provider.Values{}
		}
		if options[f.Name] = value; value == "" {
			delete(options, f.Name)
		}
	}
	t.Options = options
	if err := t.applyRotationPolicy(d, now); err != nil {
		return err
	}
	t.planRotation()
	return nil
}

// durations are the policy's plain lengths of time, in seconds, by field.
func (t *token) durations() map[string]*int {
	return map[string]*int{
		"refresh_ttl":           &t.RefreshTTL,
		"verify_period":         &t.VerifyPeriod,
		"rotation_grace_period": &t.RotationGracePeriod,
		"lease_ttl":             &t.LeaseTTL,
	}
}

// applyRotationPolicy takes the fields of a write that say when the credential is replaced. Giving one of the two ways to plan takes
// the place of the other. That a person is late is told once for a version, whatever is written here.
func (t *token) applyRotationPolicy(d *framework.FieldData, now time.Time) error {
	period, _ := d.Get("rotation_period").(int)
	window, _ := d.Get("rotation_window").(int)
	expression, _ := d.Get("rotation_schedule").(string)
	expression = strings.TrimSpace(expression)
	switch {
	case period != 0 && expression != "":
		return badInput("rotation_period and rotation_schedule exclude each other: give only one of them")
	case period != 0 && window != 0:
		return badInput("rotation_window is for a rotation_schedule; a rotation_period has none")
	case window != 0 && expression == "":
		return badInput("rotation_window is for a rotation_schedule: give rotation_schedule in the same write")
	}
	if err := checkSchedule(expression, now); err != nil {
		return err
	}
	before := t.RotationSchedule
	if _, given := d.GetOk("rotation_schedule"); given || period != 0 {
		t.RotationSchedule = expression
	}
	if _, given := d.GetOk("rotation_period"); given || expression != "" {
		t.RotationPeriod = seconds(period)
	}
	if t.RotationSchedule != before {
		t.ScheduleSince = now.UTC()
	}
	if disable, given := d.GetOk("disable_automated_rotation"); given {
		t.DisableAutomatedRotation = disable.(bool)
	}
	_, windowGiven := d.GetOk("rotation_window")
	return t.applyWindow(window, windowGiven)
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// applyWindow takes the window, which only a schedule has.
func (t *token) applyWindow(window int, given bool) error {
	if window != 0 {
		if err := sdkrotation.DefaultScheduler.ValidateRotationWindow(window); err != nil {
			return badInput("%s", err)
		}
	}
	if given || t.RotationSchedule == "" {
		t.RotationWindow = seconds(window)
	}
	return nil
}

// credentialFields collects the credential of a write, in canonical form; nil where it carries none. Fields of other
// types are refused.
func (b *backend) credentialFields(d *framework.FieldData, kind *provider.TokenType) (provider.Values, error) {
	for _, name := range slices.Sorted(maps.Keys(b.credentialSchemas())) {
		if _, own := provider.Lookup(kind.Fields, name); own {
			continue
		}
		if _, given := d.GetOk(name); given {
			return nil, badInput("%s is no field of a %s; its fields are %s", name, kind.Name, fieldNames(kind.Fields))
		}
	}
	var credential provider.Values
	for _, f := range kind.Fields {
		raw, given := d.GetOk(f.Name)
		if !given {
			continue
		}
		value, err := f.Canonical(raw.(string))
		if err != nil {
			return nil, badInput("%s", err)
		}
		if value == "" {
			return nil, badInput("%s must not be empty", f.Name)
		}
		if credential == nil {
			credential = provider.Values{}
		}
		credential[f.Name] = value
	}
	return credential, nil
}

// complete fills what was left out with the current values.
func (t *token) complete(given provider.Values) (provider.Values, error) {
	credential := t.leftOut(given)
	maps.Copy(credential, given)
	for _, f := range t.kind.Fields {
		if credential[f.Name] == "" {
			return nil, badInput("%s is missing: a %s needs %s", f.Name, t.Type, fieldNames(t.kind.Fields))
		}
	}
	return credential, nil
}

// reason reads the free text that goes into the history. It is refused where it holds a part of the credential,
// or a secret that the mount holds already.
func (b *backend) reason(d *framework.FieldData, kind *provider.TokenType, credential provider.Values) (string, error) {
	text := strings.TrimSpace(d.Get("reason").(string))
	if len(text) > maxReasonLength || !plainText(text) {
		return "", badInput("reason must be one line of at most %d bytes, "+textRule, maxReasonLength)
	}
	if field := secretIn(text, kind, credential); field != "" {
		return "", badInput("reason must not contain the value of %s; Vault's audit log may have it in clear by now, so reset the token at the provider again", field)
	}
	if secret := b.secretShownIn(text); secret != "" {
		return "", badInput("reason must not contain %s; Vault's audit log may have it in clear by now, so have it replaced", secret)
	}
	return text, nil
}

// secretIn names the secret field of a credential whose value a text holds; empty where it holds none.
func secretIn(text string, kind *provider.TokenType, credential provider.Values) string {
	for _, f := range kind.Fields {
		if f.Secret && credential[f.Name] != "" && strings.Contains(text, credential[f.Name]) {
			return f.Name
		}
	}
	return ""
}

// checkMetadata refuses custom_metadata, which everybody who reads a token sees, that holds a part of the credential beside it.
func (t *token) checkMetadata(credential provider.Values) error {
	for key, value := range t.CustomMetadata {
		for _, text := range []string{key, value} {
			if field := secretIn(text, t.kind, credential); field != "" {
				return badInput("custom_metadata must not contain the value of %s; nothing was stored", field)
			}
		}
	}
	return nil
}

func fieldNames(fields []provider.Field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

// timestamp is a time in responses: RFC 3339 in UTC, or nil where there is none.
func timestamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
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
