package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

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
	left, end := &r.Searches[i], func() { r.Searches = slices.Delete(r.Searches, i, i+1) }
	if cause := m.adopt(r, left); cause != nil {
		end()
		return m.fail(ctx, r, cause)
	}
	owner := left.Owner // which the search at hand may be without, and left is another one after the end
	orphans, err := m.look(ctx, r, left)
	if failed, ok := errors.AsType[*storageError](err); ok {
		return failed.error
	}
	found := err == nil && len(orphans) == 1
	age := m.Now().Sub(s.Until)
	switch {
	case len(orphans) > 1:
		end()
		return m.fail(ctx, r, severalOrphans(owner, orphans))
	case err != nil && age > maxRequestAge:
		end()
		return m.fail(ctx, r, fmt.Errorf("gave up looking for a key of %s whose secret was lost: %w", owner, err))
	case err == nil && (found || age > listDelay):
		end()
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
	if !m.tryLater(&s.Attempts, &s.NextAttempt, 5*firstBackoff, cause) {
		return m.Save(ctx, r)
	}
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

func severalOrphans(owner string, orphans []provider.Key) error {
	ids := keyIDs(orphans)
	return fmt.Errorf("the answer to making a key of %s was lost, and %d unknown keys have appeared since; none was touched: "+
		"delete those that nobody uses: %s", owner, len(ids), strings.Join(ids, ", "))
}
