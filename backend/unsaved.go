package backend

import (
	"sync"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// unsaved keeps the versions of tokens that a refresh has changed and storage has not taken. Each may be the only copy of a credential.
// The zero value is ready for use.
type unsaved struct {
	mu     sync.Mutex
	byName map[string]unsavedVersion
}

type unsavedVersion struct {
	tokenID string
	version rotation.Version
}

// keep remembers the current version of the token.
func (u *unsaved) keep(t *token) {
	if t.Current == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byName == nil {
		u.byName = map[string]unsavedVersion{}
	}
	u.byName[t.name] = unsavedVersion{tokenID: t.ID, version: *t.Current}
}

// of returns the version that storage has not taken, if it is later than what the token has.
func (u *unsaved) of(t *token) *rotation.Version {
	u.mu.Lock()
	defer u.mu.Unlock()
	held, ok := u.byName[t.name]
	if !ok || held.tokenID != t.ID || !t.Precedes(&held.version) {
		return nil
	}
	return &held.version
}

func (u *unsaved) forget(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.byName, name)
}
