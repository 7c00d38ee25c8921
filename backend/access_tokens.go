package backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"golang.org/x/sync/singleflight"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// An access token is handed out until the last tenth of its life, at most maxExpiryMargin before its end, so that a
// reader has time to use it.
const (
	expiryMarginShare = 10
	maxExpiryMargin   = 5 * time.Minute
	// assumedLife is that of an access token of which the provider does not say how long it lives, or says what cannot be.
	assumedLife = 5 * time.Minute
)

// accessTokens shares access tokens between readers. The zero value is ready for use.
type accessTokens struct {
	minting singleflight.Group
	mu      sync.RWMutex
	// byName holds at most one per token.
	byName map[string]sharedAccessToken
}

type sharedAccessToken struct {
	provider.AccessToken
	// credential is what it was minted from: another one makes it worthless.
	credential mintedFrom
	// until is when it is not handed out any more.
	until time.Time
}

// mintedFrom identifies the version of an access token, whose refreshes make no other. The account is a part of it: a token can be made
// anew in another one.
type mintedFrom struct{ account, fingerprint string }

func (s *accessTokens) get(name string, from mintedFrom, now time.Time) (sharedAccessToken, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	shared, ok := s.byName[name]
	return shared, ok && shared.credential == from && now.Before(shared.until)
}

func (s *accessTokens) put(name string, shared sharedAccessToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName == nil {
		s.byName = map[string]sharedAccessToken{}
	}
	s.byName[name] = shared
}

func (s *accessTokens) cached() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.byName)
}

func (s *accessTokens) delete(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byName, name)
}

// errRotatedMeanwhile says that the token is not the one that the caller knows.
var errRotatedMeanwhile = logical.CodedError(http.StatusConflict,
	"the token was changed each time while an access token was to be minted; read again")

// accessToken returns the shared access token, or mints one: a single provider call, however many readers wait for it,
// which goes on when the first of them hangs up.
func (b *backend) accessToken(ctx context.Context, storage logical.Storage, a *account, t *token) (sharedAccessToken, error) {
	from := mintedFrom{t.Account, t.Current.Origin()}
	if shared, ok := b.access.get(t.name, from, b.now()); ok {
		return shared, nil
	}
	minted := b.access.minting.DoChan(t.name+"/"+from.account+"/"+from.fingerprint, func() (result any, err error) {
		// singleflight lets a panic end the process.
		if b.contain("minting an access token", t.name, func() { result, err = b.mint(storage, a, t, from) }) {
			err = errors.New("no access token could be minted, because of a bug of this plugin; Vault's log has more")
		}
		return result, err
	})
	select {
	case <-ctx.Done():
		return sharedAccessToken{}, ctx.Err()
	case result := <-minted:
		if result.Err != nil {
			return sharedAccessToken{}, result.Err
		}
		return result.Val.(sharedAccessToken), nil
	}
}

// mint gets an access token from the provider, and keeps it for others.
func (b *backend) mint(storage logical.Storage, a *account, t *token, from mintedFrom) (sharedAccessToken, error) {
	if shared, ok := b.access.get(t.name, from, b.now()); ok {
		return shared, nil
	}
	if t.kind.Refresh != nil {
		return b.mintByRefresh(storage, t, from)
	}
	// The account was read after the token. If that is still the same, the account's address was not changed in between to one
	// that the credential was not given for: see checkEndpoints.
	still, err := b.tokens.Get(b.work, storage, t.name)
	if err != nil {
		return sharedAccessToken{}, err
	}
	if still == nil || !still.sameVersion(t) {
		return sharedAccessToken{}, errRotatedMeanwhile
	}
	asked := b.now()
	token, err := t.kind.Mint(b.work, a.call, t.call(t.Current.Credential))
	if err != nil {
		return sharedAccessToken{}, fmt.Errorf("no access token could be minted: %w", err)
	}
	shared := share(token, from, asked)
	b.access.put(t.name, shared)
	if still, err := b.tokens.Get(b.work, storage, t.name); err == nil && still == nil { // deleted meanwhile
		b.access.delete(t.name)
	}
	return shared, nil
}

// mintByRefresh is mint for a type whose refresh may replace a part of the credential. known is the token as the reader found it.
func (b *backend) mintByRefresh(storage logical.Storage, known *token, from mintedFrom) (sharedAccessToken, error) {
	if !b.WriteSafeReplicationState() {
		return sharedAccessToken{}, logical.ErrReadOnly // Vault forwards the read to the node that may write
	}
	t, unlock, err := b.lockTokenWithin(b.work, storage, known.name, refreshPatience)
	if err != nil {
		return sharedAccessToken{}, err
	}
	defer unlock()
	if t == nil || !t.sameVersion(known) {
		return sharedAccessToken{}, errRotatedMeanwhile
	}
	// Whoever had the lock may have got one.
	if shared, ok := b.access.get(t.name, from, b.now()); ok {
		return shared, nil
	}
	if err := b.refusedLately(t); err != nil {
		return sharedAccessToken{}, fmt.Errorf("no access token could be minted: %w", err)
	}
	return b.refreshLocked(storage, t)
}

// refreshLocked refreshes the token's credential, and keeps the access token that comes with it for readers. The caller holds the token's
// lock.
func (b *backend) refreshLocked(storage logical.Storage, t *token) (sharedAccessToken, error) {
	a, err := b.account(b.work, storage, t.Account)
	if err != nil {
		return sharedAccessToken{}, err
	}
	defer b.plan(a, t)
	var minted provider.AccessToken
	asked := b.now()
	err = b.withCurrent(b.work, storage, t, func(ctx context.Context, with provider.Token) (rotation.Ending, error) {
		var err error
		minted, err = t.kind.Mint(ctx, a.call, with)
		return rotation.EndingOf(err), err
	})
	if errors.Is(err, logical.ErrReadOnly) {
		return sharedAccessToken{}, logical.ErrReadOnly
	}
	if err != nil {
		return sharedAccessToken{}, fmt.Errorf("no access token could be minted: %w", err)
	}
	reachPoint(t, pointTokenShared)
	shared := share(minted, mintedFrom{t.Account, t.Current.Origin()}, asked)
	b.access.put(t.name, shared)
	return shared, nil
}

// share says for how long an access token is handed out that was asked for at the given time. What has passed since, while storage was
// slow, is no sign that the provider has not said how long it lives.
func share(token provider.AccessToken, from mintedFrom, asked time.Time) sharedAccessToken {
	if token.ExpiresAt.Sub(asked) < time.Second {
		token.ExpiresAt = asked.Add(assumedLife)
	}
	margin := min(token.ExpiresAt.Sub(asked)/expiryMarginShare, maxExpiryMargin)
	return sharedAccessToken{AccessToken: token, credential: from, until: token.ExpiresAt.Add(-margin)}
}
