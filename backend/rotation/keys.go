package rotation

import (
	"context"
	"errors"
	"fmt"
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

// storageError is an error of Save.
type storageError struct{ error }

func (e *storageError) Unwrap() error { return e.error }

// search looks for lost keys until it is sure that there is none.
func (m *Machine) search(ctx context.Context, r *Record) error {
	if m.Keys == nil {
		return nil
	}
	for _, s := range slices.Clone(r.Searches) {
		if m.Now().Before(s.NextAttempt) {
			continue
		}
		if err := m.searchOnce(ctx, r, s); err != nil {
			return err
		}
	}
	return nil
}

// searchOnce takes one look. Its error is storage's.
func (m *Machine) searchOnce(ctx context.Context, r *Record, s Search) error {
	i := slices.IndexFunc(r.Searches, func(x Search) bool {
		return x.Owner == s.Owner && x.Since.Equal(s.Since) && slices.Equal(x.Known, s.Known)
	})
	left := &r.Searches[i]
	if cause := m.adopt(r, left); cause != nil {
		r.Searches = slices.Delete(r.Searches, i, i+1)
		return m.fail(ctx, r, cause)
	}
	orphans, err := m.look(ctx, r, left)
	if failed, ok := errors.AsType[*storageError](err); ok {
		return failed.error
	}
	found := err == nil && len(orphans) == 1
	age := m.Now().Sub(s.Until)
	switch {
	case len(orphans) > 1:
		r.Searches = slices.Delete(r.Searches, i, i+1)
		return m.fail(ctx, r, severalOrphans(s.Owner, orphans))
	case err != nil && age > maxRequestAge:
		r.Searches = slices.Delete(r.Searches, i, i+1)
		return m.fail(ctx, r, fmt.Errorf("gave up looking for a key of %s whose secret was lost: %w", left.Owner, err))
	case err == nil && (found || age > listDelay):
		r.Searches = slices.Delete(r.Searches, i, i+1)
		r.healed(s.LastError)
		if found {
			return m.saved(ctx, r, CleanedUp)
		}
		return m.Save(ctx, r)
	}
	return m.lookAgain(ctx, r, left, err)
}

// lookAgain has a search go on later. The cause is why the last look has failed, nil where it saw nothing.
func (m *Machine) lookAgain(ctx context.Context, r *Record, s *Search, cause error) error {
	now := m.Now().UTC()
	if errors.Is(cause, ErrHoldersUnknown) && !m.deleting {
		s.NextAttempt = now.Add(holdersRetry)
		return m.Save(ctx, r)
	}
	s.Attempts++
	s.NextAttempt = now.Add(backoff(s.Attempts-1, 5*firstBackoff, maxBackoff, cause))
	if cause != nil {
		return m.unclean(ctx, r, &s.LastError, fmt.Errorf("looking for a key of %s whose secret was lost: %w", s.Owner, cause))
	}
	r.healed(s.LastError)
	s.LastError = ""
	return m.Save(ctx, r)
}

// look lists the keys of the search's owner and deletes the lost one, where it is the only unknown one.
func (m *Machine) look(ctx context.Context, r *Record, s *Search) ([]provider.Key, error) {
	unlock, err := m.Keys.Lock(ctx, s.Owner)
	if err != nil {
		return nil, err
	}
	defer unlock()
	keys, err := m.Keys.List(ctx, s.rights())
	if err != nil {
		return nil, err
	}
	orphans, err := m.unknownKeys(ctx, r, s, keys)
	if err != nil || len(orphans) != 1 {
		return orphans, err
	}
	return orphans, m.deleteLost(ctx, r, s.rights(), orphans[0])
}

// adopt finds out for whom a search is, where its entry does not say, and whether there is anybody to act for that owner.
// The error says why nobody can look, and what a person has to look for.
func (m *Machine) adopt(r *Record, s *Search) error {
	lookYourself := fmt.Sprintf("made between %s and %s; if there is one that nobody uses, delete it at the provider",
		s.Since.Add(-clockSkew).UTC().Format(time.RFC3339), s.Until.Add(requestTime+clockSkew).UTC().Format(time.RFC3339))
	if s.Owner == "" {
		// Only the engine's own rotations keep the owner.
		handedIn := slices.ContainsFunc(r.History, func(h HistoryEntry) bool { return h.CreatedAt.After(s.Since) && h.Source != SourceIAM })
		key, err := m.Keys.Key(r.Current.Credential)
		if handedIn || err != nil {
			return errors.New("a key may have been made whose secret was lost, and it is not known any more of whom; nothing was deleted: " +
				"look at the keys of the owner before for one " + lookYourself)
		}
		s.Owner = key.Owner
	}
	if !m.Keys.MayAct(s.rights()) {
		return fmt.Errorf("a key of %s may have been made whose secret was lost, and neither this token nor its account may act for %s any more; "+
			"nothing was deleted: look at the keys of %s for one %s", s.Owner, s.Owner, s.Owner, lookYourself)
	}
	return nil
}

// stillOwns fails in a process that was stopped, or cut off, while another node took its work over: it cannot write. The
// keys at hand may be in use there, although the record at hand does not know it.
func (m *Machine) stillOwns(ctx context.Context, r *Record) error { return m.Save(ctx, r) }

func keyIDs(keys []provider.Key) []string {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	return ids
}
