package backend

import (
	"fmt"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/readers"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// behind are the readers of the policy's window that have the version or an older one, as far as they are in memory. Shortly after a start
// these may not be all.
func (b *backend) behind(t *token, version int) readers.Behind {
	seen := b.readersInMemory(t)
	if seen == nil {
		return readers.Behind{}
	}
	return seen.Behind(version, t.readerWindow(), b.now())
}

// readersWho is so many readers in words, with the form of "have" for one or for several.
func (t *token) readersWho(n int, one, several string) string {
	window := provider.DurationText(t.readerWindow())
	if n == 1 {
		return fmt.Sprintf("1 reader of the last %s %s", window, one)
	}
	return fmt.Sprintf("%d readers of the last %s %s", n, window, several)
}

// haveNot says how many have not read a newer version than an old one.
func (t *token) haveNot(n int) string {
	return t.readersWho(n, "has", "have") + " not read a newer one"
}

// readerCounts are a token's readers within its reader_window.
type readerCounts struct {
	// current have the current version, and behind an older one.
	current, behind int
	// waits says that an old value has outlived its grace period because of those behind.
	waits bool
}

// countReaders counts the readers that are in memory.
func (b *backend) countReaders(t *token) (n readerCounts) {
	seen := b.readers.Peek(t.name)
	if seen == nil || seen.ID != t.ID {
		return n
	}
	now, window := b.now(), t.readerWindow()
	n.behind = seen.Behind(t.Number()-1, window, now).Count()
	n.current = seen.Behind(t.Number(), window, now).Count() - n.behind
	for i := range t.Retiring {
		old := &t.Retiring[i]
		n.waits = n.waits || t.waitsForReaders(old) && !now.Before(t.waitsSince(old)) && seen.Behind(old.Version, window, now).Count() > 0
	}
	return n
}

// endNote is for rotation.Machine.
func (b *backend) endNote(t *token) func(rotation.Retiring) string {
	return func(old rotation.Retiring) string {
		n := b.behind(t, old.Version).Count()
		if n == 0 {
			return ""
		}
		b.Logger().Warn("an old value was ended, and not all of its readers have read a newer one", "token", t.name, "version", old.Version, "behind", n)
		return t.readersWho(n, "had", "had") + " not read a newer version when it was ended"
	}
}

// seeReaders says where to look for who is behind.
func (t *token) seeReaders() string {
	return fmt.Sprintf("`vault read <mount>/tokens/%s/readers` shows who", t.name)
}

// retirementWarnings say which old values wait for their readers, or end without them. Right after a rotation everybody is behind; that
// is worth no word until all had the time to read.
func (b *backend) retirementWarnings(t *token) (warnings []string) {
	now := b.now()
	for i := range t.Retiring {
		old := &t.Retiring[i]
		if old.Version == 0 || now.Before(t.ReplacedAt(old.Version).Add(t.adoptionPause())) {
			continue
		}
		n, end := b.behind(t, old.Version).Count(), old.At.UTC().Format(time.RFC3339)
		switch {
		case n == 0 || t.waitsForReaders(old) && now.Before(t.waitsSince(old)):
		case t.waitsForReaders(old):
			warnings = append(warnings, fmt.Sprintf("version %d was to end at %s and waits: %s. %s; `vault write <mount>/tokens/%s/retire version=%d` ends it all the same",
				old.Version, end, t.haveNot(n), t.seeReaders(), t.name, old.Version))
		default:
			warnings = append(warnings, fmt.Sprintf("version %d ends at %s, and %s. %s; `vault write <mount>/tokens/%s retire_after=adopted` has it wait for them",
				old.Version, end, t.haveNot(n), t.seeReaders(), t.name))
		}
	}
	return warnings
}

// endedWarning says that the newest of the versions which the engine has ended still has readers; empty where it has none.
func (b *backend) endedWarning(t *token) string {
	for i := len(t.History) - 1; i >= 0; i-- {
		h := &t.History[i]
		if h.RetiredHow != rotation.RetiredByEngine {
			continue
		}
		n := b.behind(t, h.Version).Count()
		if n == 0 {
			return ""
		}
		return fmt.Sprintf("version %d was ended at %s, and %s. %s", h.Version, h.RetiredAt.UTC().Format(time.RFC3339), t.haveNot(n), t.seeReaders())
	}
	return ""
}

// readerProblems are the retirementWarnings of several tokens, at most maxReaderProblems of them.
func (b *backend) readerProblems(tokens []*token) (problems []string) {
	surplus := 0
	for _, t := range tokens {
		for _, warning := range b.retirementWarnings(t) {
			if len(problems) == maxReaderProblems {
				surplus++
				continue
			}
			problems = append(problems, t.name+": "+warning)
		}
	}
	if surplus > 0 {
		problems = append(problems, fmt.Sprintf("%d more old values have readers that are behind", surplus))
	}
	return problems
}

// maxReaderProblems keeps the warnings of status on one screen.
const maxReaderProblems = 20
