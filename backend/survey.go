package backend

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// surveyPatience is how long a request for many tokens waits for those that are not in memory: long enough for any mount
// of some thousand tokens, and short enough to answer within a second.
const surveyPatience = 300 * time.Millisecond

// survey is what is known about tokens.
type survey struct {
	// tokens are in the order of their names.
	tokens     []*token
	unreadable map[string]error
	// unknown counts the tokens that could not be read in time. The background goes on with them.
	unknown int
}

// surveyTokens looks at the tokens of the mount.
func (b *backend) surveyTokens(ctx context.Context, storage logical.Storage) (*survey, error) {
	names, err := b.tokens.List(ctx, storage)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return b.surveyNamed(ctx, storage, names)
}

// surveyNamed looks at the named tokens. One that cannot be read hides none of the others.
func (b *backend) surveyNamed(ctx context.Context, storage logical.Storage, names []string) (*survey, error) {
	patience, cancel := context.WithTimeout(ctx, surveyPatience)
	defer cancel()
	s := &survey{tokens: make([]*token, 0, len(names)), unreadable: map[string]error{}}
	var missing []string
	for _, name := range names {
		if patience.Err() != nil {
			// What is in memory costs no time.
			if t := b.tokens.Peek(name); t != nil {
				s.tokens = append(s.tokens, t)
			} else {
				missing = append(missing, name)
			}
			continue
		}
		t, err := b.tokens.Get(patience, storage, name)
		switch {
		case err != nil && patience.Err() != nil:
			missing = append(missing, name)
		case err != nil:
			s.unreadable[name] = err
		case t != nil:
			s.tokens = append(s.tokens, t)
		}
	}
	if len(missing) > 0 {
		go b.loadTokens(missing)
	}
	s.unknown = len(missing)
	return s, ctx.Err()
}

// warn says what the survey leaves out.
func (s *survey) warn(response *logical.Response) {
	if s.unknown == 0 {
		return
	}
	known := len(s.tokens) + len(s.unreadable)
	response.AddWarning(fmt.Sprintf("%d of %d tokens are known so far, and the others are left out; they are being read in the background: ask again later",
		known, known+s.unknown))
}

// loadTokens brings tokens into memory, one after the other, so that there is storage left for reads. One such load is
// enough at a time.
func (b *backend) loadTokens(names []string) {
	if !b.loading.TryLock() {
		return
	}
	defer b.loading.Unlock()
	for _, name := range names {
		if b.work.Err() != nil {
			return
		}
		b.contain("reading all tokens", name, func() {
			_, err := b.tokens.Get(b.work, b.storage, name)
			b.logError("reading all tokens", name, err)
		})
	}
}
