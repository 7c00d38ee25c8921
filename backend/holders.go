package backend

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// sought is a value whose holders are sought.
type sought struct {
	platform, identity string
	// traces are what its bytes would have in them wherever it is stored.
	traces []string
	// self is not asked about.
	self holding
	// living leaves out those that are about to end the value themselves.
	living bool
}

// soughtValue is a value of the token's type.
func (t *token) soughtValue(a *account, credential provider.Values) sought {
	s := sought{platform: a.platform.Name, identity: identityOf(t.kind, credential), self: holding{name: t.name}}
	if t.kind.Keys != nil {
		if key, err := t.kind.Keys.Key(credential); err == nil {
			s.traces = []string{key.ID}
			return s
		}
	}
	for _, f := range t.kind.Fields {
		if f.Secret && credential[f.Name] != "" {
			s.traces = append(s.traces, credential[f.Name])
		}
	}
	return s
}

// holders names those that hold the value. An error means that they are not all known.
func (b *backend) holders(ctx context.Context, storage logical.Storage, s sought) ([]string, error) {
	if err := b.readHolders(ctx, storage); err != nil {
		return nil, err
	}
	return b.knownHolders(ctx, storage, s)
}

// knownHolders names those that hold the value as far as the index knows.
func (b *backend) knownHolders(ctx context.Context, storage logical.Storage, s sought) ([]string, error) {
	i := b.holderIndex
	var names []string
	for _, h := range i.of(i.mark(s.platform, s.identity)) {
		if h == s.self {
			continue
		}
		values, err := b.valuesOf(ctx, storage, h)
		if err != nil {
			return nil, err
		}
		if b.among(s, values) {
			names = append(names, h.String())
		}
	}
	names = append(names, b.possibleHolders(s)...)
	damaged, err := b.damagedHolders(ctx, storage, s)
	names = append(names, damaged...)
	slices.Sort(names)
	return slices.Compact(names), err
}

// among says whether the value that is sought is one of these.
func (b *backend) among(s sought, values []heldValue) bool {
	return slices.ContainsFunc(values, func(v heldValue) bool {
		return v.platform == s.platform && v.identity == s.identity && (!s.living || v.until.IsZero() || v.until.After(b.now()))
	})
}

// possibleHolders names those that hold the value if a write has arrived, or arrives, that ended with an error.
func (b *backend) possibleHolders(s sought) (names []string) {
	for name, t := range b.tokens.MayHave() {
		if h := (holding{name: name}); h != s.self && b.among(s, t.heldValues()) {
			names = append(names, h.String())
		}
	}
	for name, a := range b.accounts.MayHave() {
		if h := (holding{account: true, name: name}); h != s.self && b.among(s, a.heldValues()) {
			names = append(names, h.String())
		}
	}
	return names
}

// damagedHolders names the entries that cannot be used and have the value's bytes in them. Such an entry would else have
// to keep all values of the mount alive, although what cannot be found in it cannot be restored from it either.
func (b *backend) damagedHolders(ctx context.Context, storage logical.Storage, s sought) ([]string, error) {
	i := b.holderIndex
	i.mu.Lock()
	damaged := slices.Collect(maps.Keys(i.damaged))
	i.mu.Unlock()
	var names []string
	for _, h := range damaged {
		prefix := tokenPrefix
		if h.account {
			prefix = configPrefix
		}
		stored, err := storage.Get(ctx, prefix+h.name)
		if err != nil {
			return nil, fmt.Errorf("reading %s%s from storage: %w", prefix, h.name, err)
		}
		if h != s.self && stored != nil && slices.ContainsFunc(s.traces, func(trace string) bool { return hasTrace(stored.Value, trace) }) {
			names = append(names, h.String()+" (which cannot be read)")
		}
	}
	return names, nil
}

// hasTrace says whether a stored entry has the text in one of its strings.
func hasTrace(stored []byte, trace string) bool {
	quoted, err := json.Marshal(trace)
	return err == nil && bytes.Contains(stored, bytes.Trim(quoted, `"`))
}

// hold is a rotation.Machine's Hold.
func (b *backend) hold(ctx context.Context, storage logical.Storage, a *account, t *token, credential provider.Values) ([]string, func(), error) {
	release, err := b.lockValue(ctx, a, t, credential)
	if err != nil {
		return nil, nil, err
	}
	names, err := b.livesOn(ctx, storage, a, t, credential)
	if err != nil {
		release()
		return nil, nil, err
	}
	return names, release, nil
}

// lockValue keeps a value from being ended by one token and taken in by another at the same time. Whoever takes it holds
// the token's lock.
func (b *backend) lockValue(ctx context.Context, a *account, t *token, credential provider.Values) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, ownerTimeout)
	defer cancel()
	unlock, err := b.valueLocks.Lock(ctx, b.valueLock(a.platform.Name, identityOf(t.kind, credential)))
	if err != nil {
		return nil, fmt.Errorf("the same value is being taken in, or ended, by another token for too long: %w", context.Cause(ctx))
	}
	return unlock, nil
}

// valueLock is the name of a value's lock.
func (b *backend) valueLock(platform, identity string) string {
	m := b.holderIndex.mark(platform, identity)
	return hex.EncodeToString(m[:])
}

// tryLockValue is lockValue for those who hold other locks, and do not wait: nil where the value is being taken in, or ended.
func (b *backend) tryLockValue(platform, identity string) (unlock func()) {
	return b.valueLocks.TryLock(b.valueLock(platform, identity))
}

// lockOwnIdentity keeps tokens from ending an identity that the account is about to take in.
func (b *backend) lockOwnIdentity(name string, stored, next *account) (unlock func(), err error) {
	var locked []func()
	unlock = func() {
		for _, done := range locked {
			done()
		}
	}
	for _, kind := range next.platform.Types {
		own := next.identity(kind)
		if own == nil || stored != nil && stored.identity(kind) != nil && identityOf(kind, stored.identity(kind)) == identityOf(kind, own) {
			continue
		}
		done := b.tryLockValue(next.platform.Name, identityOf(kind, own))
		if done == nil {
			unlock()
			return nil, logical.CodedError(http.StatusServiceUnavailable, fmt.Sprintf("nothing was changed, because a token takes in, or ends, "+
				"the value of %s at this moment; try again, if account %q is to have it all the same", fieldNames(kind.Fields), name))
		}
		locked = append(locked, done)
	}
	return unlock, nil
}

// livesOn names those beside the token that live on a value.
func (b *backend) livesOn(ctx context.Context, storage logical.Storage, a *account, t *token, credential provider.Values) ([]string, error) {
	s := t.soughtValue(a, credential)
	s.living = true
	return b.holders(ctx, storage, s)
}

// warnShared says in the response where else on the mount the token's new value is held. It tells what is known by now.
func (b *backend) warnShared(ctx context.Context, storage logical.Storage, a *account, t *token, value provider.Values, response *logical.Response) {
	b.warnHeld(ctx, storage, t.soughtValue(a, value), response)
}

// warnSharedIdentity is warnShared for an account's own identity.
func (b *backend) warnSharedIdentity(ctx context.Context, storage logical.Storage, name string, a *account, response *logical.Response) {
	for _, kind := range a.platform.Types {
		own := a.identity(kind)
		if own == nil {
			continue
		}
		b.warnHeld(ctx, storage, sought{platform: a.platform.Name, identity: identityOf(kind, own), self: holding{account: true, name: name}}, response)
	}
}

func (b *backend) warnHeld(ctx context.Context, storage logical.Storage, s sought, response *logical.Response) {
	patience, cancel := context.WithTimeout(ctx, surveyPatience)
	defer cancel()
	if err := b.readHolders(patience, storage); err != nil {
		b.Logger().Debug("not all holders of a value are known", "error", err)
	}
	names, err := b.knownHolders(ctx, storage, s)
	if err != nil || len(names) == 0 {
		return
	}
	response.AddWarning("the same value is held by " + strings.Join(names, " and ") + ": as long as that is so the engine does not end it at the provider, " +
		"and a reset there ends it for all of them")
}

// ownerTimeout bounds the wait for other tokens that make or clean up keys of the same owner: a few requests of the
// longest request_timeout.
const ownerTimeout = 3 * maxRequestTimeout * time.Second
