package backend

import (
	"context"
	"fmt"
	"net/http"

	"github.com/hashicorp/vault/sdk/logical"
)

// token returns the named token. That it does not exist is HTTP 404.
func (b *backend) token(ctx context.Context, storage logical.Storage, name string) (*token, error) {
	t, err := b.tokens.Get(ctx, storage, name)
	if err == nil && t == nil {
		return nil, unknownToken(name)
	}
	return t, err
}

// tokenWithAccount returns a token and its account, for reading only.
func (b *backend) tokenWithAccount(ctx context.Context, storage logical.Storage, name string) (*token, *account, error) {
	t, err := b.token(ctx, storage, name)
	if err != nil {
		return nil, nil, err
	}
	a, err := b.account(ctx, storage, t.Account)
	return t, a, err
}

// lockToken takes the token's lock and reads a copy to change; nil where the token does not exist.
func (b *backend) lockToken(ctx context.Context, storage logical.Storage, name string) (*token, func(), error) {
	unlock, err := b.tokenLocks.Lock(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	return b.loadLocked(ctx, storage, name, unlock)
}

// maxVerifyTries is how often a request tries the version that is current by then, while others rotate the token.
const maxVerifyTries = 3

// storedPair returns a copy of the token as it is stored, nil where it does not exist, and its account as it was while the token
// was that: a value is never sent where its account's address was changed to after the token was deleted or rotated.
func (b *backend) storedPair(ctx context.Context, storage logical.Storage, name string) (*token, *account, error) {
	for range maxVerifyTries {
		t, err := b.tokens.Load(ctx, storage, name)
		if err != nil || t == nil {
			return nil, nil, err
		}
		a, err := b.account(ctx, storage, t.Account)
		if err != nil {
			return nil, nil, err
		}
		now, err := b.tokens.Get(ctx, storage, name)
		if err != nil {
			return nil, nil, err
		}
		if now != nil && now.sameVersion(t) {
			return t, a, nil
		}
	}
	return nil, nil, errKeepsChanging(name)
}

// lockForPerson takes a token's lock for a request of a person, which comes before the engine's own work on it. known is the token as
// the request found it: the request was read for its type, and neither that nor its account changes.
func (b *backend) lockForPerson(ctx context.Context, storage logical.Storage, known *token) (t *token, release func(), err error) {
	giveBack := b.precedence.claim(known.name)
	t, unlock, err := b.lockToken(ctx, storage, known.name)
	if err != nil {
		giveBack()
		return nil, nil, err
	}
	release = func() {
		unlock()
		giveBack()
	}
	if err := sameToken(t, known); err != nil {
		release()
		return nil, nil, err
	}
	return t, release, nil
}

// sameToken refuses a request whose token was deleted, and perhaps made anew, while it waited.
func sameToken(t, known *token) error {
	switch {
	case t == nil:
		return unknownToken(known.name)
	case t.ID != known.ID:
		return logical.CodedError(http.StatusConflict, fmt.Sprintf(
			"token %q was deleted and made anew while this request waited; nothing was changed. Read the token, and try again if that is the one you mean", t.name))
	}
	return nil
}

// sameVersion says whether both are the same version of the same token. One that was deleted and made anew is another token.
func (t *token) sameVersion(other *token) bool {
	if t.Account != other.Account || t.Type != other.Type || (t.Current == nil) != (other.Current == nil) {
		return false
	}
	return t.Current == nil || t.Number() == other.Number() && t.Current.Origin() == other.Current.Origin() &&
		t.Current.PublishedAt.Equal(other.Current.PublishedAt)
}

func errKeepsChanging(name string) error {
	return logical.CodedError(http.StatusConflict, fmt.Sprintf(
		"token %q was rotated each time while the provider was asked about it, so nothing is known of its current version; try again", name))
}
