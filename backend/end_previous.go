package backend

import (
	"cmp"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// endPreviousNames are the inputs of a rotation that have the engine end the value which a person replaces. A token type has one of them.
var endPreviousNames = []string{"retire_previous", "revoke_previous"}

// endPrevious is that field of a type; empty where the engine cannot end its values.
func endPrevious(kind *provider.TokenType) string {
	if kind.Retire == nil && kind.Keys == nil {
		return ""
	}
	return cmp.Or(kind.EndPrevious, endPreviousNames[0])
}

// endsReplaced says whether the engine ends a value of the type by itself, after the grace period, that it has replaced by an API.
func endsReplaced(kind *provider.TokenType) bool {
	return kind.Keys != nil || kind.Renew != nil && kind.Retire != nil && kind.ResetSemantics == provider.Overlapping
}

// endedBy lists the types whose replaced values the engine ends where a rotation has the given field.
func (b *backend) endedBy(field string) string {
	return strings.Join(b.typesThat(func(kind *provider.TokenType) bool { return endPrevious(kind) == field }), ", ")
}
