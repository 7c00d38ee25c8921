package backend

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-uuid"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// itemHow is who replaces a token's value.
type itemHow string

const (
	howAutomatic itemHow = "automatic"
	howPerson    itemHow = "person"
)

// itemState is how far a campaign is with one token.
type itemState string

const (
	itemWaiting itemState = "waiting"
	itemRunning itemState = "running"
	// itemDone stays, whatever happens to the token later.
	itemDone itemState = "done"
	// itemFailed ends where a version is published after all.
	itemFailed itemState = "failed"
)

const (
	// failedRejections is how often the provider has refused a hook's or an API's new value when its item counts as failed: after about a
	// minute. The value is tried further, and the item is done when it is accepted.
	failedRejections = 6
	// maxItemError is in bytes, so that an entry of items stays far below what storage takes.
	maxItemError = 600
)

// campaignItem is one token of a campaign. What is stored of it may be behind: what has become of its rotation is in the token's own
// record, which has the rotation's ID in each state, so that observe finds it after a crash.
type campaignItem struct {
	Token string `json:"token"`
	// TokenID is that of the token when the campaign began, or when the item was tried once more. Version numbers alone do not tell: those
	// of a token that was deleted and made anew begin again.
	TokenID string `json:"token_id,omitempty"`
	Account string `json:"account"`
	// Before is the version of that moment.
	Before int       `json:"before,omitempty"`
	How    itemHow   `json:"how"`
	State  itemState `json:"state"`
	// Try counts how often a failed item was to be tried once more.
	Try int `json:"try,omitempty"`
	// Begun is set once the token's record was seen with the rotation of this try.
	Begun     bool      `json:"begun,omitempty"`
	Now       int       `json:"now,omitempty"`
	DoneAt    time.Time `json:"done_at,omitzero"`
	LastError string    `json:"last_error,omitempty"`
}

// newItem is the item of a token that is to be reset.
func newItem(t *token) campaignItem {
	return campaignItem{
		Token: t.name, TokenID: t.ID, Account: t.Account, Before: t.Number(), Now: t.Number(), How: howPerson, State: itemWaiting,
	}
}

// rotationID is that of the item's rotation in the campaign with this ID. It is the same at each reckoning, so that a rotation whose
// intent was stored before a crash is known for this item's, and none begins twice.
func (it *campaignItem) rotationID(campaignID string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%s/%d", campaignID, it.Token, it.TokenID, it.Try))
	id, err := uuid.FormatUUID(sum[:16])
	if err != nil {
		panic(err) // it is of sixteen bytes
	}
	return id
}

// observe brings the item up to date with its token, nil where that is gone. from is how the engine can replace its value, empty where
// only a person can.
func (it *campaignItem) observe(campaignID string, t *token, from rotation.Source) {
	switch {
	case it.State == itemDone:
	case t == nil:
		it.fail("the token was deleted before it had a new value")
	case t.ID != it.TokenID:
		it.fail("the token was deleted and made anew, and whether its value is another one is not known: retry=true has the new one reset")
	case t.Number() > it.Before:
		it.finish(t)
	default:
		it.observeRotation(campaignID, t, from)
	}
}

func (it *campaignItem) fail(why string) {
	it.State, it.LastError = itemFailed, shortened(why)
}

// finish notes the first version that was published after the campaign began.
func (it *campaignItem) finish(t *token) {
	it.State, it.LastError, it.Now, it.DoneAt = itemDone, "", t.Number(), t.Current.PublishedAt
	for i := range t.History {
		if t.History[i].Version > it.Before {
			it.DoneAt = t.History[i].CreatedAt
			return
		}
	}
}

// observeRotation is for a token that has the version of before.
func (it *campaignItem) observeRotation(campaignID string, t *token, from rotation.Source) {
	id, p := it.rotationID(campaignID), t.Pending
	own := p != nil && p.ID == id
	switch {
	case own:
		it.Begun, it.How, it.State, it.LastError = true, howAutomatic, itemRunning, shortened(t.LastError)
		if p.Stalled() || p.Restartable() && p.Rejections >= failedRejections {
			it.State = itemFailed
		}
	case it.Begun || t.EndedRotation == id:
		it.Begun = true
		it.fail(cmp.Or(t.LastError, "its rotation was ended without a new version"))
	case it.State == itemFailed:
		// Only a new version, or another try, ends that.
	case p != nil && !p.Restartable():
		it.State, it.LastError = itemRunning, shortened(t.LastError)
		if !p.Source.ByPerson() {
			it.How = howAutomatic
		}
	default:
		it.State, it.How, it.LastError = itemWaiting, howPerson, ""
		// A value may have been made that only a person can fetch, which another reset would end: that a person decides, with a retry.
		if from != "" && (!t.PersonNeeded || it.Try > 0) {
			it.How = howAutomatic
		}
	}
}

// mayBegin says whether the engine is to begin the item's rotation.
func (it *campaignItem) mayBegin() bool { return it.State == itemWaiting && it.How == howAutomatic }

// tryAgain has a failed item begin once more, with the token that there is now; nil for none.
func (it *campaignItem) tryAgain(t *token) {
	again := campaignItem{Token: it.Token, TokenID: it.TokenID, Account: it.Account, Before: it.Before, How: it.How, Now: it.Now}
	if t != nil {
		again = newItem(t)
	}
	again.State, again.Try = itemWaiting, it.Try+1
	*it = again
}

// shortened keeps a text within maxItemError.
func shortened(text string) string {
	if len(text) <= maxItemError {
		return text
	}
	cut := maxItemError - len("…")
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strings.TrimSpace(text[:cut]) + "…"
}
