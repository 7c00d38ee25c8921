package backend

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// shortestSecret is how long a stored value has to be to be looked for in texts: shorter ones could be a part of any word.
const shortestSecret = 8

// secretShownIn says which secret of the mount a text holds that is going to be shown; empty where it holds none. It looks at what is
// in memory, which is everything soon after a start. Whoever gives the text has the value already.
func (b *backend) secretShownIn(text string) string {
	if len(text) < shortestSecret {
		return ""
	}
	if strings.Contains(text, "PRIVATE KEY-----") {
		return "a private key"
	}
	holds := func(values provider.Values, fields []provider.Field) string {
		for _, f := range fields {
			if value := values[f.Name]; f.Secret && len(value) >= shortestSecret && strings.Contains(text, value) {
				return f.Name
			}
		}
		return ""
	}
	for _, t := range b.tokens.All() {
		for _, credential := range t.credentials() {
			if field := holds(credential, t.kind.Fields); field != "" {
				return fmt.Sprintf("the value of %s of token %q", field, t.name)
			}
		}
	}
	for _, a := range b.accounts.All() {
		if field := holds(a.Settings, accountFields(a.platform)); field != "" {
			return "the value of " + field + " of an account"
		}
	}
	for _, n := range b.notifications.All() {
		if field := holds(n.Settings, notificationFields()); field != "" {
			return "the value of " + field + " of a notification"
		}
	}
	return ""
}

// credentials are the values that the token has: the current one, and those on their way in and out.
func (t *token) credentials() []provider.Values {
	var all []provider.Values
	if t.Current != nil {
		all = append(all, t.Current.Credential)
	}
	for p := t.Pending; p != nil; p = p.Replaces {
		all = append(all, p.Credential)
	}
	for _, old := range t.Retiring {
		all = append(all, old.Credential)
	}
	return all
}

// checkMetadataShown refuses a secret of the mount in custom_metadata, which reading the token shows.
func (b *backend) checkMetadataShown(metadata map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		for _, text := range []string{key, metadata[key]} {
			if secret := b.secretShownIn(text); secret != "" {
				return badInput("custom_metadata must not contain %s, because it is shown; nothing was changed", secret)
			}
		}
	}
	return nil
}

// checkAccountShown refuses a secret, of the account itself or of the mount, in what reading the account shows.
func (b *backend) checkAccountShown(w *accountWrite, next *account) error {
	fields := accountFields(next.platform)
	for _, f := range fields {
		text := next.Settings[f.Name]
		if _, given := w.settings[f.Name]; !given || f.Secret || text == "" {
			continue
		}
		if f.Show != nil {
			text = f.Show(text)
		}
		for _, other := range fields {
			if value := next.Settings[other.Name]; other.Secret && len(value) >= shortestSecret && strings.Contains(text, value) {
				return badInput("%s must not contain the value of %s, because it is shown; nothing was changed", f.Name, other.Name)
			}
		}
		if secret := b.secretShownIn(text); secret != "" {
			return badInput("%s must not contain %s, because it is shown; nothing was changed", f.Name, secret)
		}
	}
	return nil
}
