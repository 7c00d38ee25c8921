package backend

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// holdersPatience is how long whoever wants to know the holders of a value waits until all entries of the mount have been
// read once.
const holdersPatience = 5 * time.Second

// holding is a token or an account.
type holding struct {
	account bool
	name    string
}

func (h holding) String() string {
	if h.account {
		return fmt.Sprintf("account %q", h.name)
	}
	return fmt.Sprintf("token %q", h.name)
}

// mark stands for the identity of a value: a keyed hash, so that the index adds no secret to the memory.
type mark [16]byte

// holderIndex knows which tokens and accounts of the mount hold a value, in whatever state. It never lacks one that was
// stored: an entry whose contents may have changed is stale, and is read again before the index answers. It may name one
// that holds the value no more, so that whoever asks looks at the entry itself.
//
// With 100,000 tokens of one value each it takes about 25 MB.
type holderIndex struct {
	key [sha256.Size]byte
	// reading is held by whoever reads stale entries. It is a lock that obeys a context.
	reading chan struct{}

	mu sync.Mutex
	// listed is set once the names of all entries were stale: what is not among them since holds nothing.
	listed bool
	stale  map[holding]struct{}
	marks  map[holding][]mark
	// holders has the opposite direction of marks.
	holders map[mark][]holding
	// damaged entries cannot be used. What they hold is looked for in their bytes.
	damaged map[holding]struct{}
}

func newHolderIndex() *holderIndex {
	i := &holderIndex{
		reading: make(chan struct{}, 1),
		stale:   map[holding]struct{}{}, marks: map[holding][]mark{}, holders: map[mark][]holding{}, damaged: map[holding]struct{}{},
	}
	_, _ = rand.Read(i.key[:]) // never fails
	return i
}

func (i *holderIndex) mark(platform, identity string) mark {
	h := hmac.New(sha256.New, i.key[:])
	_, _ = h.Write([]byte(platform + "\x00" + identity)) // a hash takes everything
	return mark(h.Sum(nil)[:len(mark{})])
}

// touch says that an entry has changed, or may have. What the index knows of it stays until it is read again.
func (i *holderIndex) touch(h holding) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stale[h] = struct{}{}
}

// takeStale returns a stale entry, which is fresh from now on; false where there is none.
func (i *holderIndex) takeStale() (holding, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for h := range i.stale {
		delete(i.stale, h)
		return h, true
	}
	return holding{}, false
}

// set replaces what is known of an entry.
func (i *holderIndex) set(h holding, marks []mark) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, m := range i.marks[h] {
		left := slices.DeleteFunc(i.holders[m], func(other holding) bool { return other == h })
		if len(left) == 0 {
			delete(i.holders, m)
		} else {
			i.holders[m] = left
		}
	}
	if len(marks) == 0 {
		delete(i.marks, h)
		return
	}
	i.marks[h] = marks
	for _, m := range marks {
		i.holders[m] = append(i.holders[m], h)
	}
}

// of returns the entries that hold the value, or did.
func (i *holderIndex) of(m mark) []holding {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.holders[m])
}

// readHolders brings the index up to date. Its error means that it is not.
func (b *backend) readHolders(ctx context.Context, storage logical.Storage) error {
	ctx, cancel := context.WithTimeout(ctx, holdersPatience)
	defer cancel()
	i := b.holderIndex
	select {
	case i.reading <- struct{}{}:
		defer func() { <-i.reading }()
	case <-ctx.Done():
		return rotation.ErrHoldersUnknown
	}
	if err := b.listHoldings(ctx, storage); err != nil {
		return err
	}
	for {
		h, ok := i.takeStale()
		if !ok {
			return nil
		}
		marks, err := b.readMarks(ctx, storage, h)
		if err != nil {
			i.touch(h)
			if ctx.Err() != nil {
				return rotation.ErrHoldersUnknown
			}
			return err
		}
		i.set(h, marks)
	}
}

// listHoldings has all entries read that there are, once.
func (b *backend) listHoldings(ctx context.Context, storage logical.Storage) error {
	i := b.holderIndex
	if i.touchDamaged() {
		return nil
	}
	tokens, err := b.tokens.List(ctx, storage)
	if err != nil {
		return err
	}
	accounts, err := b.accounts.List(ctx, storage)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, name := range tokens {
		i.stale[holding{name: name}] = struct{}{}
	}
	for _, name := range accounts {
		i.stale[holding{account: true, name: name}] = struct{}{}
	}
	i.listed = true
	return nil
}

// touchDamaged has damaged entries read again: somebody may have put them right. It says whether all entries were listed.
func (i *holderIndex) touchDamaged() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for h := range i.damaged {
		i.stale[h] = struct{}{}
	}
	clear(i.damaged)
	return i.listed
}

// readMarks are the values that an entry holds now. One that cannot be used has none: see inDamaged.
func (b *backend) readMarks(ctx context.Context, storage logical.Storage, h holding) ([]mark, error) {
	values, err := b.valuesOf(ctx, storage, h)
	if _, damaged := errors.AsType[*cache.DamagedError](err); damaged {
		b.holderIndex.mu.Lock()
		defer b.holderIndex.mu.Unlock()
		b.holderIndex.damaged[h] = struct{}{}
		return nil, nil
	}
	var marks []mark
	for _, v := range values {
		if m := b.holderIndex.mark(v.platform, v.identity); !slices.Contains(marks, m) {
			marks = append(marks, m)
		}
	}
	return marks, err
}

// heldValue is a value that an entry holds.
type heldValue struct {
	platform, identity string
	// until is when a token is going to end it; zero for a value that it lives on.
	until time.Time
}

// valuesOf reads what an entry holds: a token its current value and those on their way in and out, an account its own
// identity.
func (b *backend) valuesOf(ctx context.Context, storage logical.Storage, h holding) ([]heldValue, error) {
	if h.account {
		a, err := b.accounts.Get(ctx, storage, h.name)
		if err != nil || a == nil {
			return nil, err
		}
		return a.heldValues(), nil
	}
	t, err := b.tokens.Get(ctx, storage, h.name)
	if err != nil || t == nil {
		return nil, err
	}
	return t.heldValues(), nil
}

func (a *account) heldValues() (values []heldValue) {
	for _, kind := range a.platform.Types {
		if own := a.identity(kind); own != nil {
			values = append(values, heldValue{platform: a.Provider, identity: identityOf(kind, own)})
		}
	}
	return values
}

func (t *token) heldValues() (values []heldValue) {
	add := func(credential provider.Values, until time.Time) {
		if credential != nil {
			values = append(values, heldValue{platform: t.Provider, identity: identityOf(t.kind, credential), until: until})
		}
	}
	if t.Current != nil {
		add(t.Current.Credential, time.Time{})
	}
	for p := t.Pending; p != nil; p = p.Replaces {
		add(p.Credential, time.Time{})
	}
	for _, old := range t.Retiring {
		add(old.Credential, old.At)
	}
	return values
}
