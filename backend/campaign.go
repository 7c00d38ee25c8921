package backend

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

const campaignSchema = 1

const (
	defaultParallel = 5
	maxParallel     = 1000
	// maxCampaigns bounds how many a mount keeps, those that have ended included: each has series in the metrics.
	maxCampaigns = 200
)

// campaignChunk is how many items share a storage entry. One entry for all of them would outgrow what storage takes, and be written anew
// at each step; an entry for each would make as many writes at the beginning as there are tokens. A chunk has about 25 KiB.
const campaignChunk = 100

// campaignState is how far a campaign is.
type campaignState string

const (
	campaignRunning campaignState = "running"
	// campaignDone means that every item is done. It stays.
	campaignDone campaignState = "done"
	// campaignFailed means that every item has ended, and some have failed. It goes on where one of them is done after all.
	campaignFailed    campaignState = "failed"
	campaignCancelled campaignState = "cancelled"
)

// campaignEntry is how a campaign is stored, but for its items: those are in entries of their own, see campaign_store.go. It is never
// changed, but replaced.
type campaignEntry struct {
	Schema int `json:"schema"`
	// ID tells the campaign from another one of the same name that was made after it was deleted.
	ID          string            `json:"id"`
	Reason      string            `json:"reason"`
	Selection   campaignSelection `json:"selection"`
	Parallel    int               `json:"parallel"`
	CreatedAt   time.Time         `json:"created_at"`
	EntityID    string            `json:"entity_id,omitempty"`
	DisplayName string            `json:"display_name,omitempty"`
	// Total is how many items there are.
	Total int `json:"total"`
	// State is the last one that was told. While the campaign is neither done nor cancelled, its items decide.
	State campaignState `json:"state"`
}

// campaignSelection says which tokens a campaign is about: those that fit each of the lists that is not empty.
type campaignSelection struct {
	// Tokens are names, in which * stands for any characters.
	Tokens    []string `json:"tokens,omitempty"`
	Accounts  []string `json:"accounts,omitempty"`
	Providers []string `json:"providers,omitempty"`
	Types     []string `json:"types,omitempty"`
	// ReadBy is the entity ID or the display name of somebody who has read them.
	ReadBy string `json:"read_by,omitempty"`
}

func (b *backend) decodeCampaign(_ context.Context, _ logical.Storage, _ string, stored []byte) (*campaignEntry, error) {
	entry := &campaignEntry{}
	if err := decodeJSON(stored, campaignSchema, entry); err != nil {
		return nil, err
	}
	return entry, nil
}

// historyReason is what the histories of its tokens say.
func (e *campaignEntry) historyReason(name string) string {
	return fmt.Sprintf("%s (campaign %s)", e.Reason, name)
}

// campaignProgress counts a campaign's items.
type campaignProgress struct {
	total, done, waiting, running, waitingForPerson, failed int
}

// state is what the items say of a campaign that was not stopped.
func (p *campaignProgress) state() campaignState {
	switch {
	case p.done == p.total:
		return campaignDone
	case p.done+p.failed == p.total:
		return campaignFailed
	}
	return campaignRunning
}

func (p *campaignProgress) data() map[string]any {
	return map[string]any{
		"total": p.total, "done": p.done, "waiting": p.waiting, "running": p.running,
		"waiting_for_person": p.waitingForPerson, "failed": p.failed,
	}
}
