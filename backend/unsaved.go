package backend

import (
	"sync"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// unsaved keeps the values of tokens that a refresh has changed and storage has not taken. Each may be the only copy of a credential.
// The zero value is ready for use.
type unsaved struct {
	mu     sync.Mutex
	byName map[string]unsavedValue
	// late are the times of writes that failed, by token: each may still arrive, also after another one that did not fail.
	late map[string]time.Time
}

// unsavedValue is a current version, or the rotation under way whose value was refreshed.
type unsavedValue struct {
	tokenID string
	version *rotation.Version
	pending *rotation.Pending
}

// keep remembers the token's current version, or its pending value.
func (u *unsaved) keep(t *token, pending bool) {
	held := unsavedValue{tokenID: t.ID}
	switch {
	case pending && t.Pending != nil:
		copied := *t.Pending
		held.pending = &copied
	case !pending && t.Current != nil:
		copied := *t.Current
		held.version = &copied
	default:
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byName == nil {
		u.byName = map[string]unsavedValue{}
	}
	u.byName[t.name] = held
}

// of returns what storage has not taken, if it is later than what the token has.
func (u *unsaved) of(t *token) (*rotation.Version, *rotation.Pending) {
	u.mu.Lock()
	defer u.mu.Unlock()
	held, ok := u.byName[t.name]
	switch {
	case !ok || held.tokenID != t.ID:
	case held.version != nil && t.Precedes(held.version):
		return held.version, nil
	case held.pending != nil && t.PrecedesPending(held.pending):
		return nil, held.pending
	}
	return nil, nil
}

func (u *unsaved) forget(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.byName, name)
}

// doubt remembers that a write of the token failed.
func (u *unsaved) doubt(name string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.late == nil {
		u.late = map[string]time.Time{}
	}
	u.late[name] = now
}

// doubtful says whether a write that failed may still arrive.
func (u *unsaved) doubtful(name string, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	failed, ok := u.late[name]
	if ok && now.Sub(failed) >= cache.DoubtLasts {
		delete(u.late, name)
		return false
	}
	return ok
}
