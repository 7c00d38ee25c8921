package backend

import (
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// rotateWait is how long a rotation by hand waits for its end; the work goes on after that.
const rotateWait = 30 * time.Second

// startedRotation is what identifies a rotation to the request that waits for its end, whatever happens to the token meanwhile.
type startedRotation struct {
	id string
	// name and tokenID are the token's. Another token of the same name has another ID.
	name, tokenID string
	// replaces is the version that was current at the start, nil where there was none.
	replaces *rotation.Version
}

// startedBy finds the rotation that a request has started; nil where there is none. A request whose answer went with the plugin's process is
// sent again by Vault: it is told what became of the first one, because a value that was replaced since must not be published anew.
func (t *token) startedBy(requestID string) *startedRotation {
	if t == nil || requestID == "" {
		return nil
	}
	started := &startedRotation{name: t.name, tokenID: t.ID, replaces: t.Current}
	if p := t.Pending; p != nil && p.RequestID == requestID {
		started.id = p.ID
		return started
	}
	entry := t.PublishedFor(requestID)
	if entry == nil {
		return nil
	}
	started.id, started.replaces = entry.RotationID, nil
	if entry.Version > 1 {
		started.replaces = &rotation.Version{Number: entry.Version - 1} // nobody knows its value by now
	}
	return started
}

// number is that of the version at the start.
func (s *startedRotation) number() int {
	if s.replaces == nil {
		return 0
	}
	return s.replaces.Number
}

// concerns says whether the stored token is the one of the rotation.
func (s *startedRotation) concerns(t *token) bool { return t != nil && t.ID == s.tokenID }

// tokenIsGone says that the rotation has lost its token.
func (s *startedRotation) tokenIsGone(now *token) error {
	what := "deleted"
	if now != nil {
		what = "deleted and made anew"
	}
	return logical.CodedError(http.StatusConflict, fmt.Sprintf("token %q was %s while this rotation was under way, which ended it. "+
		"Whether a new value was made at the provider is not known: look there", s.name, what))
}

// unpublished says why the rotation has published no version.
func (s *startedRotation) unpublished(t *token) error {
	switch {
	case t.Number() > s.number():
		by := t.History[len(t.History)-1]
		if by.Source == rotation.SourceAssisted {
			return logical.CodedError(http.StatusConflict, fmt.Sprintf("somebody handed in version %d in the meantime, which ended this rotation", by.Version))
		}
		return logical.CodedError(http.StatusConflict, fmt.Sprintf("this rotation published nothing, and another one has published version %d since", by.Version))
	case t.Pending != nil:
		return logical.CodedError(http.StatusConflict, "another rotation of this token has taken the place of this one; nothing was changed yet")
	case t.LastError == "":
		return logical.CodedError(http.StatusConflict, fmt.Sprintf("this rotation was ended without a new version; `vault read <mount>/tokens/%s` tells what is current", s.name))
	}
	if t.PersonNeeded {
		return badInput("nothing was changed in Vault: %s", t.LastError)
	}
	return badInput("nothing was changed: %s", t.LastError)
}

// published is the history's entry of the rotation; nil where the token is gone or another one.
func (t *token) published(s *startedRotation) *rotation.HistoryEntry {
	if !s.concerns(t) {
		return nil
	}
	return t.Published(s.id)
}
