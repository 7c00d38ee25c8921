package backend

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
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
	for _, kind := range a.platform.TokenTypes() {
		if own := a.identity(&kind); own != nil {
			values = append(values, heldValue{platform: a.Provider, identity: identityOf(&kind, own)})
		}
	}
	return values
}

func (t *token) heldValues() (values []heldValue) {
	add := func(credential provider.Values, until time.Time) {
		if credential != nil {
			values = append(values, heldValue{platform: t.provider, identity: identityOf(t.kind, credential), until: until})
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
	s := sought{platform: a.platform.Name(), identity: identityOf(t.kind, credential), self: holding{name: t.name}}
	if rotator, isKey := keyRotator(a, t); isKey {
		if key, err := rotator.Key(credential); err == nil {
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
	unlock, err := b.valueLocks.Lock(ctx, b.valueLock(a.platform.Name(), identityOf(t.kind, credential)))
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
	for _, kind := range next.platform.TokenTypes() {
		own := next.identity(&kind)
		if own == nil || stored != nil && stored.identity(&kind) != nil && identityOf(&kind, stored.identity(&kind)) == identityOf(&kind, own) {
			continue
		}
		done := b.tryLockValue(next.platform.Name(), identityOf(&kind, own))
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
	for _, kind := range a.platform.TokenTypes() {
		own := a.identity(&kind)
		if own == nil {
			continue
		}
		b.warnHeld(ctx, storage, sought{platform: a.platform.Name(), identity: identityOf(&kind, own), self: holding{account: true, name: name}}, response)
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
