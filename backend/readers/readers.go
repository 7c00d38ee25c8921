// Package readers knows who reads tokens, and which version each reader has read last. A read that tells nothing new costs a search in
// memory and one store to it. The package knows nothing of Vault, of storage, or of what a token is.
package readers

import (
	"cmp"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Reader is who sent a read, as Vault knows it.
type Reader struct {
	// EntityID is that of Vault's identity store; empty for a root token and the like.
	EntityID string
	// DisplayName is the name that the auth method gave.
	DisplayName string
	// Accessor is that of the Vault token; empty for a batch token.
	Accessor string
	// Address is where the request came from, without the port.
	Address string
}

// Path is what was read.
type Path uint8

const (
	// Creds is creds/<name>.
	Creds Path = iota
	// AccessToken is access-token/<name>.
	AccessToken
)

// String is the first part of the path, as it is shown and stored.
func (p Path) String() string {
	if p == AccessToken {
		return "access-token"
	}
	return "creds"
}

// Book has the readers of all tokens of a mount.
type Book struct {
	// clean makes a text that came from elsewhere fit to be shown.
	clean func(string) string
	seed  maphash.Seed
	// hash is set by KnowHash.
	hash atomic.Pointer[func(accessor string) string]
	// rows and forgotten count those of all tokens.
	rows, forgotten atomic.Int64

	mu     sync.RWMutex
	tokens map[string]*Token

	noteMu sync.Mutex
	// unstored are the tokens that have something to store, and moved those with a reader who has another version than before.
	unstored, moved map[*Token]struct{}
	noted           chan struct{}
}

// NewBook returns an empty book. clean makes a text that came from elsewhere fit to be shown.
func NewBook(clean func(string) string) *Book {
	return &Book{
		clean: clean, seed: maphash.MakeSeed(), tokens: map[string]*Token{},
		unstored: map[*Token]struct{}{}, moved: map[*Token]struct{}{}, noted: make(chan struct{}, 1),
	}
}

// KnowHash gives the keyed hash of a Vault token's accessor, by which a client is shown and stored. What is stored of a token can be
// merged, and a token's rows can be shown and stored, only after that.
func (b *Book) KnowHash(hash func(accessor string) string) { b.hash.Store(&hash) }

// HashKnown says whether KnowHash was called.
func (b *Book) HashKnown() bool { return b.hash.Load() != nil }

// client is how a Vault token is shown; empty for none.
func (b *Book) client(accessor string) string {
	hash := b.hash.Load()
	if accessor == "" || hash == nil {
		return ""
	}
	return (*hash)(accessor)
}

// Token returns the readers of the token of that name and ID. Those of another token of that name are forgotten.
func (b *Book) Token(name, id string) *Token {
	if t := b.Peek(name); t != nil && t.ID == id {
		return t
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.tokens[name]
	if old != nil && old.ID == id {
		return old
	}
	t := &Token{book: b, Name: name, ID: id}
	t.index.Store(&noRows)
	b.tokens[name] = t
	if old != nil {
		old.leave()
	}
	return t
}

var noRows []*row

// Peek returns the readers of the token of that name; nil where none are known.
func (b *Book) Peek(name string) *Token {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.tokens[name]
}

// Forget drops the readers of a token that is deleted.
func (b *Book) Forget(name string) {
	b.mu.Lock()
	t := b.tokens[name]
	delete(b.tokens, name)
	b.mu.Unlock()
	if t == nil {
		return
	}
	t.leave()
	b.noteMu.Lock()
	defer b.noteMu.Unlock()
	delete(b.unstored, t)
	delete(b.moved, t)
}

// Rows counts the rows in memory, and Forgotten those that there was no room for since the process started.
func (b *Book) Rows() int { return int(b.rows.Load()) }

// Forgotten counts the rows that had to be forgotten since the process started.
func (b *Book) Forgotten() int { return int(b.forgotten.Load()) }

// Noted has a value once there may be something for Take.
func (b *Book) Noted() <-chan struct{} { return b.noted }

// note has the token stored, and its retirements looked at where a reader has moved to another version.
func (b *Book) note(t *Token, moved bool) {
	b.noteMu.Lock()
	b.unstored[t] = struct{}{}
	if moved {
		b.moved[t] = struct{}{}
	}
	b.noteMu.Unlock()
	select {
	case b.noted <- struct{}{}:
	default:
	}
}

// TakeMoved returns the tokens with a reader who has read another version since the last call.
func (b *Book) TakeMoved() []*Token {
	b.noteMu.Lock()
	defer b.noteMu.Unlock()
	return take(b.moved, func(*Token) bool { return true })
}

// TakeDue returns the tokens whose rows are to be stored now, and says whether others are to be stored later. now is a Unix time. Who
// cannot store them gives them back with Untake.
func (b *Book) TakeDue(now int64) (due []*Token, more bool) {
	b.noteMu.Lock()
	defer b.noteMu.Unlock()
	due = take(b.unstored, func(t *Token) bool { return t.storeAt.Load() <= now })
	return due, len(b.unstored) > 0
}

// Untake has a token stored later that was taken and not stored.
func (b *Book) Untake(t *Token, at int64) {
	t.storeAt.Store(at)
	b.note(t, false)
}

func take(from map[*Token]struct{}, which func(*Token) bool) (taken []*Token) {
	for t := range from {
		if which(t) {
			taken = append(taken, t)
			delete(from, t)
		}
	}
	return taken
}

// keys identify a row, and what is shown of its reader beside. They are hashes of a secret seed, so two readers of a token share one as
// seldom as two values share a fingerprint.
func (b *Book) keys(r *Reader, path Path) (key, face uint64) {
	id := struct {
		kind         uint8
		path         Path
		who, address string
	}{0, path, cmp.Or(r.EntityID, r.Accessor, r.DisplayName), r.Address}
	switch {
	case r.EntityID != "":
	case r.Accessor != "":
		id.kind = 1
	default:
		id.kind = 2
	}
	shown := struct{ displayName, accessor string }{r.DisplayName, r.Accessor}
	return maphash.Comparable(b.seed, id) | 1, maphash.Comparable(b.seed, shown)
}
