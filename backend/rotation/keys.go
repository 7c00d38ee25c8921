package rotation

import (
	"context"
	"slices"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// KeyRing is a provider's key API. It acts for the owner that each call names, and never for another one.
type KeyRing interface {
	// Lock keeps all other tokens from making and cleaning up keys of the owner, until the returned function is called.
	Lock(ctx context.Context, owner string) (unlock func(), err error)
	List(context.Context, Rights) ([]provider.Key, error)
	Delete(context.Context, Rights, provider.Key) error
	// MayAct says whether there is anybody to act with these rights.
	MayAct(Rights) bool
	// Key tells what a credential is called.
	Key(provider.Values) (provider.Key, error)
	// Proves says whether a version is proven to be its owner's, by the settings of now.
	Proves(Version) bool
	// Holders names those beside the token that hold the key, for any length of time.
	Holders(context.Context, provider.Key) ([]string, error)
}

// Rights say for whose keys something is done, and by which right. They are stored with the intent.
type Rights struct {
	Owner string
	// Proven says that the token held a proven value of the owner when the intent was made, so that the account's own
	// rights may help with it.
	Proven bool
}

// A lost key's creation time is looked for in this window around the lost request: the provider's clock may differ, and
// a request takes no longer than the longest request_timeout. Keys that somebody else makes at other times are safe.
const (
	clockSkew   = time.Minute
	requestTime = time.Minute
)

// listDelay is how long a list of keys may be late.
const listDelay = 10 * time.Minute

// Search looks for a key that may have been made although the answer, with its secret, was lost.
type Search struct {
	// Owner is for whom the key was asked, and Proven by which right: see Rights. Entries of earlier releases have neither.
	Owner  string `json:"owner,omitempty"`
	Proven bool   `json:"proven,omitempty"`
	// Known are the keys that existed before the request.
	Known []string `json:"known"`
	// Since and Until are when the first and the last request were sent that found these keys.
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until"`
	Attempts    int       `json:"attempts,omitempty"`
	NextAttempt time.Time `json:"next_attempt"`
	LastError   string    `json:"last_error,omitempty"`
}

func (s *Search) rights() Rights { return Rights{Owner: s.Owner, Proven: s.Proven} }

// lostKey is what to look for when the answer to the rotation's last request was lost.
func (p *Pending) lostKey(now time.Time) Search {
	return Search{Owner: p.Owner, Proven: p.OwnerProven, Known: p.KnownKeys, Since: p.AttemptedAt, Until: p.AttemptedAt, NextAttempt: now}
}

// searchFor adds a search, or extends the one that found the same keys of the same owner, so that a provider that stays
// away for long leaves one search behind.
func (r *Record) searchFor(lost Search) {
	for i := range r.Searches {
		if s := &r.Searches[i]; s.Owner == lost.Owner && slices.Equal(s.Known, lost.Known) {
			s.Until = lost.Until
			s.Proven = s.Proven && lost.Proven
			return
		}
	}
	r.Searches = append(r.Searches, lost)
}

// maxCleanups bounds how many lost keys a record remembers.
const maxCleanups = 20

// Cleanup tells of a key that was made for this token, whose secret was lost on the way, and that the engine deleted.
type Cleanup struct {
	Owner   string    `json:"owner"`
	KeyID   string    `json:"key_id"`
	FoundAt time.Time `json:"found_at"`
	// DeletedAt is zero until the provider has confirmed it.
	DeletedAt time.Time `json:"deleted_at,omitzero"`
}

// cleanup returns the record's note about a key, which it makes where there is none.
func (r *Record) cleanup(key provider.Key, now time.Time) *Cleanup {
	for i := range r.Cleanups {
		if c := &r.Cleanups[i]; c.Owner == key.Owner && c.KeyID == key.ID {
			return c
		}
	}
	r.Cleanups = append(r.Cleanups, Cleanup{Owner: key.Owner, KeyID: key.ID, FoundAt: now})
	r.Cleanups = r.Cleanups[max(0, len(r.Cleanups)-maxCleanups):]
	return &r.Cleanups[len(r.Cleanups)-1]
}

// orphans are the keys that nobody knows and that were made at the time of the request.
func (s *Search) orphans(keys []provider.Key, own []string) []provider.Key {
	return slices.DeleteFunc(slices.Clone(keys), func(k provider.Key) bool {
		return slices.Contains(s.Known, k.ID) || slices.Contains(own, k.ID) ||
			k.CreatedAt.Before(s.Since.Add(-clockSkew)) || k.CreatedAt.After(s.Until.Add(requestTime+clockSkew))
	})
}

// ownKeys are the IDs of the keys that the record holds.
func (m *Machine) ownKeys(r *Record) []string {
	var ids []string
	add := func(credential provider.Values) {
		if key, err := m.Keys.Key(credential); err == nil {
			ids = append(ids, key.ID)
		}
	}
	if r.Current != nil {
		add(r.Current.Credential)
	}
	if r.Pending != nil && r.Pending.Credential != nil {
		add(r.Pending.Credential)
	}
	for _, old := range r.Retiring {
		add(old.Credential)
	}
	return ids
}

// withOwn adds the token's own keys to those that are no orphans: lists may not show them yet, and the token may hold
// them no more when they do. The order is the same for every list.
func (m *Machine) withOwn(r *Record, ids []string) []string {
	ids = append(slices.Clone(ids), m.ownKeys(r)...)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// unknownKeys are the orphans that nobody on the mount holds. Those that somebody does are known from now on, even if that
// one lets go of them.
func (m *Machine) unknownKeys(ctx context.Context, r *Record, s *Search, listed []provider.Key) ([]provider.Key, error) {
	var unknown []provider.Key
	known := slices.Clone(s.Known)
	for _, key := range s.orphans(listed, m.ownKeys(r)) {
		holders, err := m.Keys.Holders(ctx, key)
		switch {
		case err != nil:
			return nil, err
		case len(holders) > 0:
			known = append(known, key.ID)
		default:
			unknown = append(unknown, key)
		}
	}
	slices.Sort(known)
	s.Known = slices.Compact(known)
	return unknown, nil
}

// deleteLost deletes a key whose secret was lost. The record says so before and after. A failed write is a storageError;
// other errors are the provider's.
func (m *Machine) deleteLost(ctx context.Context, r *Record, rights Rights, key provider.Key) error {
	now := m.Now().UTC()
	key.Owner = rights.Owner
	r.cleanup(key, now)
	if err := m.stillOwns(ctx, r); err != nil {
		return &storageError{err}
	}
	if err := m.Keys.Delete(ctx, rights, key); err != nil {
		return err
	}
	r.cleanup(key, now).DeletedAt = m.Now().UTC()
	return nil
}

func keyIDs(keys []provider.Key) []string {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	return ids
}
