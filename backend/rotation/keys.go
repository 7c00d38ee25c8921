package rotation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// KeyRing is a provider's key API for one owner.
type KeyRing interface {
	List(context.Context) ([]provider.Key, error)
	Delete(context.Context, provider.Key) error
	// Key tells what a credential is called.
	Key(provider.Values) (provider.Key, error)
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
	// Known are the keys that existed before the request.
	Known []string `json:"known"`
	// Since and Until are when the first and the last request were sent that found these keys.
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until"`
	Attempts    int       `json:"attempts,omitempty"`
	NextAttempt time.Time `json:"next_attempt"`
	LastError   string    `json:"last_error,omitempty"`
}

// lostKey is what to look for when the answer to the rotation's last request was lost.
func (p *Pending) lostKey(now time.Time) Search {
	return Search{Known: p.KnownKeys, Since: p.AttemptedAt, Until: p.AttemptedAt, NextAttempt: now}
}

// searchFor adds a search, or extends the one that found the same keys, so that a provider that stays away for long
// leaves one search behind.
func (r *Record) searchFor(lost Search) {
	for i := range r.Searches {
		if slices.Equal(r.Searches[i].Known, lost.Known) {
			r.Searches[i].Until = lost.Until
			return
		}
	}
	r.Searches = append(r.Searches, lost)
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

func (m *Machine) searchOnce(ctx context.Context, r *Record, s Search) error {
	i := slices.IndexFunc(r.Searches, func(x Search) bool { return x.Since.Equal(s.Since) && slices.Equal(x.Known, s.Known) })
	keys, err := m.Keys.List(ctx)
	var orphans []provider.Key
	if err == nil {
		orphans = s.orphans(keys, m.ownKeys(r))
	}
	if len(orphans) == 1 {
		if err := m.stillOwns(ctx, r); err != nil {
			return err
		}
		err = m.Keys.Delete(ctx, orphans[0])
	}
	age := m.Now().Sub(s.Until)
	switch {
	case len(orphans) > 1:
		r.Searches = slices.Delete(r.Searches, i, i+1)
		return m.fail(ctx, r, severalOrphans(orphans))
	case err != nil && age > maxRequestAge:
		r.Searches = slices.Delete(r.Searches, i, i+1)
		return m.fail(ctx, r, fmt.Errorf("gave up looking for a key whose secret was lost: %w", err))
	case err == nil && (len(orphans) == 1 || age > listDelay):
		r.Searches = slices.Delete(r.Searches, i, i+1)
		r.healed(s.LastError)
		return m.Save(ctx, r)
	}
	left := &r.Searches[i]
	left.Attempts++
	left.NextAttempt = m.Now().UTC().Add(backoff(left.Attempts-1, 5*firstBackoff, maxBackoff, err))
	if err != nil {
		return m.unclean(ctx, r, &left.LastError, fmt.Errorf("looking for a key whose secret was lost: %w", err))
	}
	r.healed(s.LastError)
	left.LastError = ""
	return m.Save(ctx, r)
}

// stillOwns fails in a process that was stopped, or cut off, while another node took its work over: it cannot write. The keys
// listed before may be in use there, although the record at hand does not know them.
func (m *Machine) stillOwns(ctx context.Context, r *Record) error { return m.Save(ctx, r) }

func keyIDs(keys []provider.Key) []string {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	return ids
}
