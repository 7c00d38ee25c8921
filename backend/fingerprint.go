package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/helper/salt"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// fingerprint identifies a credential without giving it away: a keyed hash that means nothing outside this mount.
func (b *backend) fingerprint(ctx context.Context, storage logical.Storage, credential provider.Values) (string, error) {
	s, err := b.knownSalt(ctx, storage)
	if err != nil {
		return "", err
	}
	return fingerprintWith(s, credential), nil
}

func fingerprintWith(s *salt.Salt, credential provider.Values) string {
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(credential)) {
		fmt.Fprintf(&all, "%s=%d:%s\n", name, len(credential[name]), credential[name])
	}
	return s.GetHMAC(all.String())[:fingerprintLength]
}

// knownSalt returns the salt of the fingerprints. It reads storage the first time.
func (b *backend) knownSalt(ctx context.Context, storage logical.Storage) (*salt.Salt, error) {
	b.saltMu.Lock()
	defer b.saltMu.Unlock()
	if b.salt == nil {
		s, err := salt.NewSalt(ctx, storage, &salt.Config{})
		if err != nil {
			return nil, cache.StorageError("reading or creating the fingerprints' salt", err)
		}
		b.salt = s
		if s.DidGenerate() {
			b.reportNewSalt(ctx, storage)
		}
	}
	return b.salt, nil
}

// reportNewSalt tells whoever compares fingerprints that the salt of the earlier ones has gone missing. Refusing to go on
// without it would stop all rotations for the sake of a label.
func (b *backend) reportNewSalt(ctx context.Context, storage logical.Storage) {
	s, err := b.surveyTokens(ctx, storage)
	if err == nil && slices.ContainsFunc(s.tokens, func(t *token) bool { return t.Current != nil }) {
		b.Logger().Warn("the salt of the fingerprints was missing from storage and was made anew: a value gets another fingerprint than it had before")
	}
}

// fingerprintLength is in hexadecimal digits: 64 bits tell the values of any mount apart and still fit a table.
const fingerprintLength = 16
