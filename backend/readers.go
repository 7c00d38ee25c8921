package backend

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/readers"
)

// Reader is who sent a read, as Vault knows it.
type Reader = readers.Reader

// saw takes note of a read that is answered with the token's current version. It takes no lock and no memory where it tells nothing new,
// and never asks storage.
func (b *backend) saw(t *token, by Reader, path readers.Path, now time.Time) {
	seen := t.readers.Load()
	if seen == nil {
		if seen = b.readersInMemory(t); seen == nil {
			return
		}
		t.readers.Store(seen)
	}
	seen.Saw(readers.Read{Reader: by, Path: path, Version: t.Number(), At: now, Window: t.readerWindow()})
}

// readersInMemory are the token's readers as far as they are in memory. It is nil for a token that is not the one that the mount has now
// under its name.
func (b *backend) readersInMemory(t *token) *readers.Token {
	if known := b.readers.Peek(t.name); known != nil && known.ID != t.ID {
		if now := b.tokens.Peek(t.name); now == nil || now.ID != t.ID {
			return nil
		}
	}
	return b.readers.Token(t.name, t.ID)
}

// readersOf are the token's readers with those that are stored. It reads storage the first time.
func (b *backend) readersOf(ctx context.Context, storage logical.Storage, t *token) (*readers.Token, error) {
	seen := b.readersInMemory(t)
	if seen == nil {
		return nil, logical.CodedError(http.StatusConflict, fmt.Sprintf("token %q was deleted and made anew meanwhile; try again", t.name))
	}
	if seen.Merged() {
		return seen, nil
	}
	if !b.readers.HashKnown() {
		s, err := b.knownSalt(ctx, storage)
		if err != nil {
			return nil, err
		}
		// No credential has a field of this name.
		b.readers.KnowHash(func(accessor string) string { return fingerprintWith(s, provider.Values{"the reader": accessor}) })
	}
	stored, err := storage.Get(ctx, readersPrefix+t.name)
	if err != nil {
		return nil, fmt.Errorf("reading %s%s from storage: %w", readersPrefix, t.name, err)
	}
	entry := readers.Entry{ID: t.ID}
	if stored == nil {
		seen.Merge(entry)
		return seen, nil
	}
	if err := decodeJSON(stored.Value, readers.Schema, &entry); err != nil {
		// Nobody knows who was in it. That counts as one reader with a version before the first, until the window is over.
		b.Logger().Warn("the stored readers of a token cannot be used, and are known again as they read", "token", t.name, "error", err)
		entry = readers.Entry{ID: t.ID, Lost: []readers.Lost{{Last: uint32(b.now().Unix()), Count: 1}}} //nolint:gosec // until the year 2106
	}
	seen.Merge(entry)
	return seen, nil
}

// readBy says whether somebody has read the token: an entity by its ID, or whoever has the display name.
func (b *backend) readBy(ctx context.Context, storage logical.Storage, name, who string) (bool, error) {
	t, err := b.tokens.Get(ctx, storage, name)
	if err != nil || t == nil {
		return false, err
	}
	seen, err := b.readersOf(ctx, storage, t)
	if err != nil {
		return false, err
	}
	return seen.ReadBy(who), nil
}
