package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// identityOf names what the credential is at the platform. It may hold a secret.
func identityOf(kind *provider.TokenType, credential provider.Values) string {
	if kind.Identity == nil {
		return allFields(credential)
	}
	return kind.Identity(credential)
}

// contentOf is what matters to those who use the credential. It holds secrets.
func contentOf(kind *provider.TokenType, credential provider.Values) string {
	if kind.Content == nil {
		return allFields(credential)
	}
	return kind.Content(credential)
}

// allFields is the credential as one string.
func allFields(credential provider.Values) string {
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(credential)) {
		fmt.Fprintf(&all, "%s=%d:%s\n", name, len(credential[name]), credential[name])
	}
	return all.String()
}

// sameValue says whether the end of one value at the provider is the end of the other.
func (t *token) sameValue(a, b provider.Values) bool {
	return identityOf(t.kind, a) == identityOf(t.kind, b)
}

// unchanged says whether two values are one credential for those who use it. A new client secret beside the refresh token
// of before is a change, and still the same grant at the provider.
func (t *token) unchanged(a, b provider.Values) bool {
	return contentOf(t.kind, a) == contentOf(t.kind, b)
}

// isCurrent says whether the value is the current one already, so that there is nothing to publish. A key file that named
// its own address to prove itself at gives way to one of the same key that does not.
func (t *token) isCurrent(a *account, value provider.Values) bool {
	if t.Current == nil || !t.unchanged(value, t.Current.Credential) {
		return false
	}
	rotator, isKey := keyRotator(a, t)
	return !isKey || !rotator.SelfAsserted(a.call.Settings, t.Current.Credential) || rotator.SelfAsserted(a.call.Settings, value)
}

// identity is the account's own credential of a token type, nil where it has none.
func (a *account) identity(kind *provider.TokenType) provider.Values {
	own := provider.Values{}
	for _, f := range kind.Fields {
		value := a.Settings[f.Name]
		if value == "" {
			return nil
		}
		own[f.Name] = value
	}
	return own
}

// admit checks what a value that is handed in does to the one before, and keeps the value from being ended elsewhere until
// release is called.
func (b *backend) admit(ctx context.Context, in handedIn, value provider.Values) (release func(), err error) {
	if in.retirePrevious {
		if err := checkRetirement(in.account, in.token, value); err != nil {
			return nil, err
		}
	}
	return b.lockValue(ctx, in.account, in.token, value)
}

// checkRetirement refuses to retire the current value behind a new one where that would end the new one as well, where
// nothing proves whose it is, or where too many wait already.
func checkRetirement(a *account, t *token, fresh provider.Values) error {
	v := t.Current
	if t.sameValue(fresh, v.Credential) {
		return badInput("the new value is the same %s at the provider as version %d, so that the end of one would be the end of both; leave out %s",
			t.Type, v.Number, retirementField(t))
	}
	if rotator, isKey := keyRotator(a, t); isKey && !v.Proven && !t.accepted(v.Number) {
		key, err := rotator.Key(v.Credential)
		if err != nil {
			return err
		}
		return badInput("version %d was never proven to be a key of %s, so the engine does not delete it: try it with `vault write -f <mount>/tokens/%s/verify` first, "+
			"or leave out %s, and delete key %s of %s at the provider if it is one", v.Number, key.Owner, t.name, retirementField(t), key.ID, key.Owner)
	}
	if err := t.RoomToRetire(); err != nil {
		return badInput("nothing was changed: %s", err)
	}
	return nil
}

// retirementField is the field that has the engine end what is replaced.
func retirementField(t *token) string {
	if t.Type == "service_account_key" {
		return "retire_previous"
	}
	return "revoke_previous"
}

// accepted says whether the provider accepted the version when it was published, or its key API made it.
func (t *token) accepted(version int) bool {
	return slices.ContainsFunc(t.History, func(h rotation.HistoryEntry) bool {
		return h.Version == version && (h.Source == rotation.SourceIAM || h.Verification == string(provider.Accepted))
	})
}

// warnRevocation says what the end of a grant may end beside it: see rotation.Machine's TryAfterRetiring.
func warnRevocation(a *account, t *token, response *logical.Response) {
	if _, isKey := keyRotator(a, t); isKey {
		return
	}
	response.AddWarning("revoking one grant may end others of the same user and client, the new one among them: the engine tries the new value " +
		"straight after the revocation, and raises the alarm if it has died")
}
