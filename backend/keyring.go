package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// keyRing is a rotation.KeyRing. It acts as a value that the token holds of the owner in question.
//
// The account's own identity helps only where it is proven that the token holds a value of that owner: whoever may hand in
// a value could name somebody else's service account in it, and have keys of that made or deleted. What counts as proof
// is decided anew at each use, by the account's settings of that moment.
type keyRing struct {
	backend *backend
	storage logical.Storage
	keys    provider.Keys
	account *account
	token   *token
}

// actor is by whom a call is made.
type actor struct {
	account provider.Account
	token   provider.Token
}

// as is the value as an actor. Helped adds the account's own rights.
func (k *keyRing) as(value provider.Values, helped bool) actor {
	a := actor{account: k.account.call, token: k.token.call(value)}
	if !helped {
		a.account = withoutSecrets(k.account)
	}
	return a
}

// withoutSecrets is the account without rights of its own.
func withoutSecrets(a *account) provider.Account {
	alone := a.call
	alone.Settings = maps.Clone(a.call.Settings)
	for _, f := range a.platform.AccountFields {
		if f.Secret {
			delete(alone.Settings, f.Name)
		}
	}
	return alone
}

// proves says whether a value that is said to be proven is so by the account's settings of now.
func (k *keyRing) proves(value provider.Values, proven bool) bool {
	return proven && !k.keys.SelfAsserted(k.account.call.Settings, value)
}

// Proves is rotation.KeyRing's.
func (k *keyRing) Proves(v rotation.Version) bool { return k.proves(v.Credential, v.Proven) }

func (k *keyRing) owns(owner string, value provider.Values) bool {
	key, err := k.keys.Key(value)
	return err == nil && strings.EqualFold(key.Owner, owner)
}

// acting is who acts for the owner: the current value, else one that still retires, else the account.
func (k *keyRing) acting(by rotation.Rights) (actor, error) {
	if v := k.token.Current; v != nil && k.owns(by.Owner, v.Credential) {
		return k.as(v.Credential, by.Proven || k.Proves(*v)), nil
	}
	for _, old := range k.token.Retiring {
		if k.owns(by.Owner, old.Credential) {
			return k.as(old.Credential, by.Proven || k.proves(old.Credential, old.Proven)), nil
		}
	}
	if own := k.account.identity(k.token.kind); own != nil && by.Proven {
		return k.as(own, true), nil
	}
	return actor{}, &provider.Refused{Detail: "The token has no key of " + by.Owner + " to act with"}
}

// MayAct is rotation.KeyRing's.
func (k *keyRing) MayAct(by rotation.Rights) bool {
	_, err := k.acting(by)
	return err == nil
}

// Lock is rotation.KeyRing's.
func (k *keyRing) Lock(ctx context.Context, owner string) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, ownerTimeout)
	defer cancel()
	unlock, err := k.backend.ownerLocks.Lock(ctx, k.account.Provider+"/"+strings.ToLower(owner))
	if err != nil {
		return nil, fmt.Errorf("another token makes a key of %s for too long: %w", owner, err)
	}
	return unlock, nil
}

// List is rotation.KeyRing's.
func (k *keyRing) List(ctx context.Context, by rotation.Rights) ([]provider.Key, error) {
	a, err := k.acting(by)
	if err != nil {
		return nil, err
	}
	return k.keys.List(ctx, a.account, a.token, by.Owner)
}

// Delete is rotation.KeyRing's.
func (k *keyRing) Delete(ctx context.Context, by rotation.Rights, key provider.Key) error {
	a, err := k.acting(by)
	if err != nil {
		return err
	}
	key.Owner = by.Owner
	// Somebody may hand the key in at this moment, and it works as long as it is tried.
	release := k.backend.tryLockValue(k.account.platform.Name, key.Identity())
	if release == nil {
		return fmt.Errorf("key %s of %s is being handed in, or ended, by another token at this moment", key.ID, key.Owner)
	}
	defer release()
	names, err := k.Holders(ctx, key)
	switch {
	case err != nil:
		return err
	case len(names) > 0:
		return fmt.Errorf("key %s of %s is held by %s by now", key.ID, key.Owner, strings.Join(names, " and "))
	}
	return k.keys.Delete(ctx, a.account, a.token, key)
}

// Key is rotation.KeyRing's.
func (k *keyRing) Key(credential provider.Values) (provider.Key, error) {
	return k.keys.Key(credential)
}

// Holders is rotation.KeyRing's.
func (k *keyRing) Holders(ctx context.Context, key provider.Key) ([]string, error) {
	return k.backend.holders(ctx, k.storage, sought{
		platform: k.account.platform.Name, identity: key.Identity(), traces: []string{key.ID}, self: holding{name: k.token.name},
	})
}

// create is a rotation.Machine's Obtain. The key is made as the current value, which has to be the owner's still.
func (k *keyRing) create(ctx context.Context, p *rotation.Pending) (provider.Values, error) {
	v := k.token.Current
	if v == nil || !k.owns(p.Owner, v.Credential) {
		return nil, &provider.Refused{Detail: "The token has no key of " + p.Owner + " any more, for which a new one was to be made"}
	}
	a := k.as(v.Credential, k.Proves(*v))
	credential, end, err := k.keys.Create(ctx, a.account, a.token)
	p.ExpiresAt = end
	return credential, err
}

// retire is a rotation.Machine's Retire. A value that was never proven is retired as itself, by its own right: it may
// name whatever key of whatever owner. One that is proven is retired as the current value of its owner too, and with the
// account's rights.
func (k *keyRing) retire(ctx context.Context, old rotation.Retiring) error {
	key, err := k.keys.Key(old.Credential)
	if err != nil {
		return err
	}
	proven := k.proves(old.Credential, old.Proven)
	if v := k.token.Current; proven && v != nil && k.owns(key.Owner, v.Credential) {
		alone := k.as(v.Credential, false)
		err := k.keys.Delete(ctx, alone.account, alone.token, key)
		if _, refused := errors.AsType[*provider.Refused](err); !refused {
			return err
		}
	}
	a := k.as(old.Credential, proven)
	err = k.keys.Delete(ctx, a.account, a.token, key)
	if refused, ok := errors.AsType[*provider.Refused](err); ok && !proven {
		return &provider.Refused{Code: refused.Code, Detail: "it was never proven to be a key of " + key.Owner + ", so that it is deleted by its own right alone: " +
			refused.Detail + ". If it is one, delete key " + key.ID + " of " + key.Owner + " at the provider"}
	}
	return err
}
