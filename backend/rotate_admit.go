package backend

import (
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// admit checks what a value that is handed in does to the one before, and keeps the value from being ended elsewhere until
// release is called.
func (b *backend) admit(ctx context.Context, in handedIn, value provider.Values) (release func(), err error) {
	if in.endPrevious {
		if err := checkEnd(in, value); err != nil {
			return nil, err
		}
	}
	return b.lockValue(ctx, in.account, in.token, value)
}

// checkEnd refuses to end the current value behind a new one where that would end the new one as well, where nothing proves whose it is,
// or where too many wait already.
func checkEnd(in handedIn, fresh provider.Values) error {
	t, v := in.token, in.token.Current
	if known := t.leftOut(in.given); t.kind.Retire != nil {
		maps.Copy(known, in.given)
		if t.sameValue(known, v.Credential) {
			return badInput("%[1]s would revoke the %[2]s that stays in use; give a new %[2]s, or leave %[1]s out", endPrevious(t.kind), t.secretField())
		}
	}
	if t.sameValue(fresh, v.Credential) {
		return badInput("the new value is the same %s at the provider as version %d, so that the end of one would be the end of both; leave out %s",
			t.Type, v.Number, endPrevious(t.kind))
	}
	if keys := t.kind.Keys; keys != nil && !v.Proven && !t.accepted(v.Number) {
		key, err := keys.Key(v.Credential)
		if err != nil {
			return err
		}
		return badInput("version %d was never proven to be a key of %s, so the engine does not delete it: try it with `vault write -f <mount>/tokens/%s/verify` first, "+
			"or leave out %s, and delete key %s of %s at the provider if it is one", v.Number, key.Owner, t.name, endPrevious(t.kind), key.ID, key.Owner)
	}
	if err := t.RoomToRetire(); err != nil {
		return badInput("nothing was changed: %s", err)
	}
	return nil
}

// accepted says whether the provider accepted the version when it was published, or its key API made it.
func (t *token) accepted(version int) bool {
	return slices.ContainsFunc(t.History, func(h rotation.HistoryEntry) bool {
		return h.Version == version && (h.Source == rotation.SourceIAM || h.Verification == string(provider.Accepted))
	})
}

// warnRevocation says what the end of a grant may end beside it: see rotation.Machine's TryAfterRetiring.
func warnRevocation(t *token, response *logical.Response) {
	if t.kind.Keys != nil || t.kind.Mint == nil {
		return
	}
	response.AddWarning("revoking one grant may end others of the same user and client, the new one among them: the engine tries the new value " +
		"straight after the revocation, and raises the alarm if it has died")
}
