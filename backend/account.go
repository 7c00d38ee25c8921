package backend

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

const accountSchema = 1

const (
	defaultRequestTimeout = 10
	maxRequestTimeout     = 60
	defaultHookTimeout    = 120
	maxHookTimeout        = 600
	maxNameLength         = 128
)

// accountEntry is how an account is stored.
type accountEntry struct {
	Schema   int    `json:"schema"`
	Provider string `json:"provider"`
	// RequestTimeout is in seconds.
	RequestTimeout int `json:"request_timeout"`
	// ResetHookTimeout is in seconds.
	ResetHookTimeout int  `json:"reset_hook_timeout"`
	VerifyConnection bool `json:"verify_connection"`
	// Settings are the string fields, the common ones and the provider's own. Empty ones are absent.
	Settings provider.Values `json:"settings"`
	// KeepsEndpoints says that the defaults of endpoints are in Settings. Accounts of early releases do not have them.
	KeepsEndpoints bool `json:"keeps_endpoints,omitempty"`
}

// account is a stored account, ready for use.
type account struct {
	accountEntry
	platform *platform
	call     provider.Account
	// hookClient is for the reset hook, nil where there is none.
	hookClient *http.Client
	// doubtful is what trying the account's own identity left open, for the answer to the write that had it tried.
	doubtful string
}

// hangUp closes the connections that wait for further requests. Requests under way go on.
func (a *account) hangUp() {
	a.call.Client.CloseIdleConnections()
	if a.hookClient != nil {
		a.hookClient.CloseIdleConnections()
	}
}

func (b *backend) decodeAccount(ctx context.Context, storage logical.Storage, _ string, stored []byte) (*account, error) {
	var entry accountEntry
	if err := decodeJSON(stored, accountSchema, &entry); err != nil {
		return nil, err
	}
	p, err := b.platform(ctx, storage, entry.Provider)
	if err != nil {
		return nil, cache.Needed(err)
	}
	if p == nil {
		return nil, fmt.Errorf("its provider %q is not known to this plugin (%s)", entry.Provider, Version)
	}
	entry.keepEndpoints(accountFields(p))
	return b.newAccount(p, entry)
}

func (b *backend) newAccount(p *platform, entry accountEntry) (*account, error) {
	client, err := provider.NewClient(provider.ClientConfig{
		CACert:    entry.Settings["ca_cert"],
		Timeout:   time.Duration(entry.RequestTimeout) * time.Second,
		UserAgent: userAgent(),
	})
	if err != nil {
		return nil, fmt.Errorf("ca_cert %w", err)
	}
	settings := provider.Values{}
	for _, f := range accountFields(p) {
		if value := entry.setting(f); value != "" {
			settings[f.Name] = value
		}
	}
	a := &account{accountEntry: entry, platform: p, call: provider.Account{Settings: settings, Client: b.metrics.observe(p.Name, client)}}
	if entry.Settings[fieldHookURL] == "" {
		return a, nil
	}
	hookClient, err := provider.NewClient(provider.ClientConfig{
		CACert:    entry.Settings[fieldHookCACert],
		Timeout:   time.Duration(entry.ResetHookTimeout) * time.Second,
		UserAgent: userAgent(),
	})
	if err != nil {
		return nil, fmt.Errorf("%s %w", fieldHookCACert, err)
	}
	a.hookClient = b.metrics.observe("reset_hook", hookClient)
	return a, nil
}

// setting is the value in force: what is stored, else the default. The default of an endpoint is stored with the account.
func (e *accountEntry) setting(f provider.Field) string {
	if value := e.Settings[f.Name]; value != "" || f.Endpoint {
		return value
	}
	return f.Default
}

// keepEndpoints adds the defaults of endpoints to an entry of an early release, which does not have them.
func (e *accountEntry) keepEndpoints(fields []provider.Field) {
	if e.KeepsEndpoints {
		return
	}
	e.KeepsEndpoints = true
	for _, f := range fields {
		if f.Endpoint && f.Default != "" && e.Settings[f.Name] == "" {
			if e.Settings == nil {
				e.Settings = provider.Values{}
			}
			e.Settings[f.Name] = f.Default
		}
	}
}

// account returns the named account. That it does not exist is the caller's mistake.
func (b *backend) account(ctx context.Context, storage logical.Storage, name string) (*account, error) {
	a, err := b.accounts.Get(ctx, storage, name)
	if err == nil && a == nil {
		return nil, badInput("account %q does not exist; configure it with `vault write <mount>/config/%s provider=…` first", name, name)
	}
	return a, err
}

// changedEndpoints names the fields that would send the account's secrets, or trust for them, somewhere else.
func (e *accountEntry) changedEndpoints(next *accountEntry, fields []provider.Field) []string {
	var changed []string
	for _, f := range fields {
		if f.Endpoint && !f.Same(e.setting(f), next.setting(f)) {
			changed = append(changed, f.Name)
		}
	}
	return changed
}

// connectionChanged says whether anything differs that the provider would see.
func (e *accountEntry) connectionChanged(next *accountEntry, fields []provider.Field) bool {
	return slices.ContainsFunc(fields, func(f provider.Field) bool {
		return f.Name != "contact_email" && e.setting(f) != next.setting(f)
	})
}

// connectsOtherwiseThan says whether the provider would see a difference to the other account, or there is none.
func (a *account) connectsOtherwiseThan(other *account) bool {
	return other == nil || a.Provider != other.Provider || other.connectionChanged(&a.accountEntry, accountFields(a.platform))
}
