package backend

import (
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

const testCampaign = "6f6d9f1c-1111-2222-3333-444444444444"

func TestCampaignItem_FollowsItsToken(t *testing.T) {
	t.Parallel()
	before := campaignItem{Token: "acme-rw", TokenID: "id", Account: "acme", Before: 3, How: howAutomatic, State: itemWaiting}
	own := before.rotationID(testCampaign)
	published := func(version int) *rotation.Version {
		return &rotation.Version{Number: version, PublishedAt: time.Unix(int64(version), 0)}
	}
	at := func(change func(*tokenEntry)) *token {
		t := &token{name: "acme-rw", tokenEntry: tokenEntry{ID: "id", Record: rotation.Record{Current: published(3)}}}
		change(&t.tokenEntry)
		return t
	}
	pending := func(p rotation.Pending) func(*tokenEntry) { return func(e *tokenEntry) { e.Pending = &p } }
	hook := rotation.SourceHook
	for name, tc := range map[string]struct {
		token *token
		from  rotation.Source
		item  func(*campaignItem)
		state itemState
		how   itemHow
		said  string
	}{
		"the engine can":               {token: at(func(*tokenEntry) {}), from: hook, state: itemWaiting, how: howAutomatic},
		"the engine cannot":            {token: at(func(*tokenEntry) {}), state: itemWaiting, how: howPerson},
		"a person is needed":           {token: at(func(e *tokenEntry) { e.PersonNeeded = true }), from: hook, state: itemWaiting, how: howPerson},
		"a person says: once more":     {token: at(func(e *tokenEntry) { e.PersonNeeded = true }), from: hook, item: func(it *campaignItem) { it.Try = 1 }, state: itemWaiting, how: howAutomatic},
		"its rotation is under way":    {token: at(pending(rotation.Pending{ID: own, Source: hook})), from: hook, state: itemRunning, how: howAutomatic},
		"another one is under way":     {token: at(pending(rotation.Pending{ID: "other", Source: hook})), state: itemRunning, how: howAutomatic},
		"another one's value waits":    {token: at(pending(rotation.Pending{ID: "other", Source: hook, Rejections: 1})), from: hook, state: itemWaiting, how: howAutomatic},
		"its value is rejected":        {token: at(pending(rotation.Pending{ID: own, Source: hook, Rejections: 2})), from: hook, state: itemRunning, how: howAutomatic},
		"its value stays rejected":     {token: at(pending(rotation.Pending{ID: own, Source: hook, Rejections: failedRejections})), from: hook, state: itemFailed, how: howAutomatic},
		"its key is not known yet":     {token: at(pending(rotation.Pending{ID: own, Source: rotation.SourceIAM, Rejections: 20})), from: rotation.SourceIAM, state: itemRunning, how: howAutomatic},
		"its rotation has ended":       {token: at(func(e *tokenEntry) { e.EndedRotation, e.LastError = own, "refused" }), from: hook, state: itemFailed, how: howAutomatic, said: "refused"},
		"another one has ended":        {token: at(func(e *tokenEntry) { e.EndedRotation = "other" }), from: hook, state: itemWaiting, how: howAutomatic},
		"its rotation is nowhere":      {token: at(func(*tokenEntry) {}), from: hook, item: func(it *campaignItem) { it.Begun, it.State = true, itemRunning }, state: itemFailed, how: howAutomatic, said: "was ended without a new version"},
		"failed, and another one runs": {token: at(pending(rotation.Pending{ID: "other", Source: hook})), item: func(it *campaignItem) { it.State = itemFailed }, state: itemFailed, how: howAutomatic},
		"published":                    {token: at(func(e *tokenEntry) { e.Current = published(4) }), state: itemDone, how: howAutomatic},
		"published after it failed":    {token: at(func(e *tokenEntry) { e.Current = published(4) }), item: func(it *campaignItem) { it.State = itemFailed }, state: itemDone, how: howAutomatic},
		"deleted":                      {state: itemFailed, how: howAutomatic, said: "was deleted before"},
		"deleted when it was done":     {item: func(it *campaignItem) { it.State = itemDone }, state: itemDone, how: howAutomatic},
		"made anew, with a version 4":  {token: at(func(e *tokenEntry) { e.ID, e.Current = "another", published(4) }), state: itemFailed, how: howAutomatic, said: "made anew"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			it := before
			if tc.item != nil {
				tc.item(&it)
			}
			it.observe(testCampaign, tc.token, tc.from)
			if it.State != tc.state || it.How != tc.how || !strings.Contains(it.LastError, tc.said) {
				t.Errorf("got %s, %s, %q; want %s, %s, %q", it.State, it.How, it.LastError, tc.state, tc.how, tc.said)
			}
			again := it
			if again.observe(testCampaign, tc.token, tc.from); again != it {
				t.Errorf("looking again changes it from %+v to %+v", it, again)
			}
		})
	}
}

func TestCampaignItem_IsDoneByTheFirstVersionAfterTheBeginning(t *testing.T) {
	t.Parallel()
	at := func(minutes int) time.Time { return time.Unix(int64(60*minutes), 0).UTC() }
	it := campaignItem{TokenID: "id", Before: 1, State: itemWaiting}
	it.observe(testCampaign, &token{tokenEntry: tokenEntry{ID: "id", Record: rotation.Record{
		Current: &rotation.Version{Number: 3, PublishedAt: at(3)},
		History: []rotation.HistoryEntry{{Version: 1, CreatedAt: at(1)}, {Version: 2, CreatedAt: at(2)}, {Version: 3, CreatedAt: at(3)}},
	}}}, "")
	if it.State != itemDone || it.Now != 3 || !it.DoneAt.Equal(at(2)) {
		t.Errorf("got %s, version %d, done at %s; want done, 3, %s", it.State, it.Now, it.DoneAt, at(2))
	}
}

func TestCampaignItem_EachTryHasARotationOfItsOwn(t *testing.T) {
	t.Parallel()
	it := campaignItem{Token: "acme-rw", TokenID: "id"}
	seen := map[string]bool{}
	for try := range 3 {
		it.Try = try
		seen[it.rotationID(testCampaign)] = true
		seen[it.rotationID("another campaign")] = true
	}
	it.TokenID = "another token"
	seen[it.rotationID(testCampaign)] = true
	if len(seen) != 7 {
		t.Errorf("got %d IDs, want 7", len(seen))
	}
}

func TestShortened_KeepsWholeCharacters(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "short", strings.Repeat("x", maxItemError), strings.Repeat("ä", maxItemError), "x" + strings.Repeat("€", maxItemError)} {
		got := shortened(text)
		if len(got) > maxItemError || !strings.HasPrefix(text, strings.TrimSuffix(got, "…")) || strings.ToValidUTF8(got, "") != got {
			t.Errorf("%d bytes become %q", len(text), got)
		}
	}
}
