package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/automatedrotationutil"
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
	Schema  int             `json:"schema"`
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

	automatedrotationutil.AutomatedRotationParams
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
	return t, t.planRotation()
}

// platformType is a token type and the provider that has it.
type platformType struct {
	provider.TokenType
	platform provider.Provider
}

// planRotation works out when the policy wants the current credential replaced.
func (t *token) planRotation() error {
	t.nextRotation, t.schedule = time.Time{}, nil
	if t.Current == nil || t.DisableAutomatedRotation {
		return nil
	}
	switch {
	case t.RotationPeriod > 0:
		t.nextRotation = t.Current.PublishedAt.Add(t.RotationPeriod)
	case t.RotationSchedule != "":
		schedule, err := parseSchedule(t.RotationSchedule)
		if err != nil {
			return errors.New("its rotation_schedule is not valid; write a new one")
		}
		since := t.Current.PublishedAt
		if t.ScheduleSince.After(since) {
			since = t.ScheduleSince
		}
		t.schedule, t.nextRotation = schedule, schedule.Next(since)
	}
	return nil
}

// parseSchedule reads a cron expression. The parser would also take a time zone (TZ=…) before the fields, and panic where
// no space follows it.
func parseSchedule(expression string) (*cron.SpecSchedule, error) {
	if strings.Contains(expression, "=") {
		return nil, errors.New("it has a time zone")
	}
	return sdkrotation.DefaultScheduler.Parse(expression)
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
	t, err := b.tokens.get(ctx, storage, name)
	if err == nil && t == nil {
		return nil, unknownToken(name)
	}
	return t, err
}

// lockToken takes the token's lock and reads a copy to change; nil where the token does not exist.
func (b *backend) lockToken(ctx context.Context, storage logical.Storage, name string) (*token, func(), error) {
	unlock, err := b.tokenLocks.lock(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	t, err := b.tokens.load(ctx, storage, name)
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
	return t.applyRotationPolicy(d, now)
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

func (t *token) applyRotationPolicy(d *framework.FieldData, now time.Time) error {
	schedule, scheduleGiven := d.GetOk("rotation_schedule")
	if scheduleGiven && schedule.(string) != "" {
		if _, err := parseSchedule(schedule.(string)); err != nil {
			return badInput(`rotation_schedule must be a cron expression of five fields (minute, hour, day of month, month, day of week; UTC), such as "0 3 * * SAT"`)
		}
	}
	if window, ok := d.GetOk("rotation_window"); ok && window.(int) != 0 {
		if err := sdkrotation.DefaultScheduler.ValidateRotationWindow(window.(int)); err != nil {
			return badInput("%s", err)
		}
	}
	before := t.RotationSchedule
	if err := t.ParseAutomatedRotationFields(d); err != nil {
		return badInput("%s", err)
	}
	// Giving one of the two ways to plan takes the place of the other.
	if period, ok := d.GetOk("rotation_period"); ok && period.(int) != 0 {
		t.RotationSchedule, t.RotationWindow = "", 0
	} else if scheduleGiven && t.RotationSchedule != "" {
		t.RotationPeriod = 0
	}
	if t.RotationSchedule != before {
		t.ScheduleSince = now.UTC()
	}
	t.OverdueReported = false
	return nil
}

// credentialFields collects the credential of a write, in canonical form; nil where it carries none. Fields of other
// types are refused.
func (b *backend) credentialFields(d *framework.FieldData, kind *provider.TokenType) (provider.Values, error) {
	for name := range b.credentialSchemas() {
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

// reason reads the free text that goes into the history. It is refused where it holds a part of the credential.
func reason(d *framework.FieldData, kind *provider.TokenType, credential provider.Values) (string, error) {
	text := strings.TrimSpace(d.Get("reason").(string))
	if len(text) > maxReasonLength || strings.ContainsFunc(text, unicode.IsControl) {
		return "", badInput("reason must be one line of at most %d bytes", maxReasonLength)
	}
	for _, f := range kind.Fields {
		if f.Secret && credential[f.Name] != "" && strings.Contains(text, credential[f.Name]) {
			return "", badInput("reason must not contain the value of %s; Vault's audit log may have it in clear by now, so reset the token at the provider again", f.Name)
		}
	}
	return text, nil
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
