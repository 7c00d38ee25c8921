package backend

import (
	"crypto/subtle"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// maxLikenesses bounds how many tokens a refusal names.
const maxLikenesses = 3

// looksLike says what a refused credential is instead: one that this token had before, or one whose secret another token of the mount
// has. It looks at what is in memory, because it is a hint and no proof. Whoever reads it has handed the value in.
func (b *backend) looksLike(in handedIn, refused rotation.Candidate) string {
	for _, entry := range slices.Backward(in.token.History) {
		if entry.Fingerprint != "" && entry.Fingerprint == refused.Fingerprint {
			return fmt.Sprintf("; it is the value that version %d of this token had", entry.Version)
		}
	}
	var names []string
	field := ""
	for _, other := range b.tokens.All() {
		if other.name == in.token.name || other.Provider != in.token.Provider || other.Current == nil {
			continue
		}
		if shared := in.sharedSecret(other.Current.Credential); shared != "" {
			names, field = append(names, fmt.Sprintf("%q", other.name)), shared
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	more := ""
	if len(names) > maxLikenesses {
		names, more = names[:maxLikenesses], " and others"
	}
	return fmt.Sprintf("; %s is the one that token %s%s has", field, strings.Join(names, ", "), more)
}

// sharedSecret names the secret field that came with the request and whose value the other credential has, in whatever field.
func (in handedIn) sharedSecret(other provider.Values) string {
	for _, f := range in.token.kind.Fields {
		given := in.given[f.Name]
		if !f.Secret || given == "" {
			continue
		}
		for _, held := range maps.All(other) {
			if subtle.ConstantTimeCompare([]byte(given), []byte(held)) == 1 {
				return f.Name
			}
		}
	}
	return ""
}
