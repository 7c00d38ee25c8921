package backend

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// accountWrite is a write of an account. What is nil was left out.
type accountWrite struct {
	name string
	// provider is what the write says of it, and platform what that comes to: a write of an account that exists may leave it out.
	provider *string
	platform *platform
	// settings are those that came, in canonical form; empty ones are to be removed.
	settings provider.Values
	// These are in seconds.
	requestTimeout, resetHookTimeout *int
	verifyConnection                 *bool
}

// check refuses timeouts that are out of bounds.
func (w *accountWrite) check() error {
	if err := checkTimeout("request_timeout", w.requestTimeout, maxRequestTimeout); err != nil {
		return err
	}
	return checkTimeout("reset_hook_timeout", w.resetHookTimeout, maxHookTimeout)
}

func checkTimeout(field string, given *int, most int) error {
	if given != nil && (*given < 1 || *given > most) {
		return badInput("%s must be between 1s and %s", field, provider.DurationText(seconds(most)))
	}
	return nil
}

// findPlatform finds the platform of a write: that of the stored account, or for a new one (nil) the one that the write names.
func (b *backend) findPlatform(ctx context.Context, storage logical.Storage, named *string, stored *account) (*platform, error) {
	switch {
	case stored != nil && named != nil && *named != stored.Provider:
		return nil, badInput("provider is fixed once an account exists; configure another account for another provider")
	case stored != nil:
		return stored.platform, nil
	case named == nil:
		return nil, badInput("provider is missing; give one of %s", b.platformList(ctx, storage))
	}
	p, err := b.platform(ctx, storage, *named)
	if err == nil && p == nil {
		return nil, badInput("provider must be one of %s", b.platformList(ctx, storage))
	}
	return p, err
}

// checkForeignSettings refuses settings that only accounts of other providers have.
func (b *backend) checkForeignSettings(given map[string]any, p *platform) error {
	own := accountFields(p)
	if field := foreignField(given, own, consentAccountFields()); field != "" {
		return badInput("%s is for accounts of platforms whose tokens a consent in a browser can give; %s has none", field, p.Name)
	}
	for _, name := range b.builtInNames() {
		if field := foreignField(given, own, b.builtIn[name].AccountFields); field != "" {
			return badInput("%s is a field of %s accounts; the provider of this account is %s", field, strings.Join(b.providersWith(field), ", "), p.Name)
		}
	}
	return nil
}

// providersWith lists the built-in providers whose accounts have the field.
func (b *backend) providersWith(field string) []string {
	return slices.DeleteFunc(b.builtInNames(), func(name string) bool {
		_, has := provider.Lookup(b.builtIn[name].AccountFields, field)
		return !has
	})
}

// apply returns the entry as a write changes it; one without settings is that of a new account. An endpoint's default is stored, so that
// no change of a definition sends a secret to another host. The receiver's settings stay as they are.
func (e accountEntry) apply(w *accountWrite, fields []provider.Field) accountEntry {
	settings := provider.Values{}
	for _, f := range fields {
		value, given := w.settings[f.Name]
		switch {
		case !given && e.Settings != nil:
			value = e.Settings[f.Name]
		case value == "" && f.Endpoint:
			value = f.Default
		}
		if value != "" {
			settings[f.Name] = value
		}
	}
	e.Settings = settings
	if w.requestTimeout != nil {
		e.RequestTimeout = *w.requestTimeout
	}
	if w.resetHookTimeout != nil {
		e.ResetHookTimeout = *w.resetHookTimeout
	}
	if w.verifyConnection != nil {
		e.VerifyConnection = *w.verifyConnection
	}
	return e
}

// secretsLeftOut names the secrets that the account has and the write does not give.
func (w *accountWrite) secretsLeftOut(stored *account, fields []provider.Field) []string {
	var missing []string
	for _, f := range fields {
		if _, given := w.settings[f.Name]; f.Secret && stored.Settings[f.Name] != "" && !given {
			missing = append(missing, f.Name)
		}
	}
	return missing
}
