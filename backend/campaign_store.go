package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
)

// campaignItems is how a chunk of items is stored.
type campaignItems struct {
	Schema int            `json:"schema"`
	Items  []campaignItem `json:"items"`
}

// The order of writes makes a campaign whole: its items come before its own entry, which makes it one, and go after it. Items without
// that are what a crash has left, and removed at the next start.

func campaignItemsKey(id string, chunk int) string {
	return fmt.Sprintf("%s%s/%06d", campaignItemPrefix, id, chunk)
}

func chunksOf(items int) int { return (items + campaignChunk - 1) / campaignChunk }

// saveChunk stores the items of a chunk. After an error it is not known whether storage has them.
func saveChunk(ctx context.Context, storage logical.Storage, id string, chunk int, items []campaignItem) error {
	value, err := json.Marshal(campaignItems{campaignSchema, items})
	if err != nil {
		return fmt.Errorf("encoding items of a campaign: %w", err)
	}
	if err := storage.Put(ctx, &logical.StorageEntry{Key: campaignItemsKey(id, chunk), Value: value}); err != nil {
		return cache.StorageError("writing items of a campaign to storage", err)
	}
	return nil
}

// chunk are the items of a chunk, as the caller may keep them.
func (c *campaigns) chunk(r *campaignRun, n int) []campaignItem {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(r.items[n*campaignChunk : min((n+1)*campaignChunk, len(r.items))])
}

// takeUnsaved returns a chunk to store, or all that storage has not got where that has to be now. Wait is the time until there may be
// another one; zero where there is none.
func (c *campaigns) takeUnsaved(r *campaignRun, now bool) (chunks []int, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now {
		chunks = slices.Sorted(maps.Keys(r.unsaved))
		r.unsaved = map[int]struct{}{}
		return chunks, 0
	}
	if left := c.pace - time.Since(r.savedAt); len(r.unsaved) > 0 && left > 0 {
		return nil, left
	}
	for n := range r.unsaved { // any of them: none is passed over for long
		r.savedAt = time.Now()
		if delete(r.unsaved, n); len(r.unsaved) > 0 {
			wait = c.pace
		}
		return []int{n}, wait
	}
	return nil, 0
}

// saveItems stores what has changed of a campaign's items: everything, or else one chunk, so that reads do not wait behind several, and then
// it says how long to wait for the next. The caller holds the campaign's lock.
func (b *backend) saveItems(ctx context.Context, storage logical.Storage, r *campaignRun, now bool) (wait time.Duration, err error) {
	chunks, wait := b.campaigns.takeUnsaved(r, now)
	for i, n := range chunks {
		if err := saveChunk(ctx, storage, r.entry.ID, n, b.campaigns.chunk(r, n)); err != nil {
			b.campaigns.unsave(r, chunks[i:])
			return 0, err
		}
	}
	return wait, nil
}

// unsave notes that chunks are to be stored again.
func (c *campaigns) unsave(r *campaignRun, chunks []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range chunks {
		r.unsaved[n] = struct{}{}
	}
}

// loadItems reads a campaign's items from storage.
func loadItems(ctx context.Context, storage logical.Storage, name string, entry *campaignEntry) ([]campaignItem, error) {
	items := make([]campaignItem, 0, entry.Total)
	for n := range chunksOf(entry.Total) {
		key := campaignItemsKey(entry.ID, n)
		stored, err := storage.Get(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("reading %s from storage: %w", key, err)
		}
		var chunk campaignItems
		if stored == nil {
			return nil, cannotBeRead(name, key, errors.New("it does not exist"))
		}
		if err := decodeJSON(stored.Value, campaignSchema, &chunk); err != nil {
			return nil, cannotBeRead(name, key, err)
		}
		items = append(items, chunk.Items...)
	}
	if len(items) != entry.Total {
		return nil, cannotBeRead(name, campaignItemPrefix+entry.ID, fmt.Errorf("it has %d items and not %d", len(items), entry.Total))
	}
	return items, nil
}

func cannotBeRead(name, key string, why error) error {
	return fmt.Errorf("campaign %q cannot be used, because of its storage entry %s: %w; "+
		"`vault delete <mount>/campaigns/%s` removes it, and rotations under way go on", name, key, why, name)
}

// storeCampaign stores a new campaign. The caller holds the campaign's lock, and that of all.
func (b *backend) storeCampaign(ctx context.Context, storage logical.Storage, name string, entry *campaignEntry, items []campaignItem) error {
	for n := range chunksOf(len(items)) {
		if err := saveChunk(ctx, storage, entry.ID, n, items[n*campaignChunk:min((n+1)*campaignChunk, len(items))]); err != nil {
			return fmt.Errorf("nothing was begun: %w. Try again", err)
		}
	}
	if err := b.campaignEntries.Put(ctx, storage, name, entry); err != nil {
		return unknownCampaignWrite("the campaign was created", name, err)
	}
	return nil
}

// saveState stores which state of a campaign was told. The caller holds the campaign's lock.
func (b *backend) saveState(ctx context.Context, storage logical.Storage, r *campaignRun, state campaignState) error {
	entry := b.campaigns.view(r).entry
	entry.State = state
	if err := b.campaignEntries.Put(ctx, storage, r.name, entry); err != nil {
		return err
	}
	b.campaigns.replaceEntry(r, &entry)
	return nil
}

// removeItems deletes the items of a campaign that is gone.
func removeItems(ctx context.Context, storage logical.Storage, id string) error {
	prefix := campaignItemPrefix + id + "/"
	chunks, err := storage.List(ctx, prefix)
	if err != nil {
		return fmt.Errorf("listing %s in storage: %w", prefix, err)
	}
	for _, chunk := range chunks {
		if err := storage.Delete(ctx, prefix+chunk); err != nil {
			return cache.StorageError("deleting items of a campaign from storage", err)
		}
	}
	return nil
}

func newCampaignID() (string, error) {
	id, err := uuid.GenerateUUID()
	if err != nil {
		return "", fmt.Errorf("making the campaign's ID: %w", err)
	}
	return id, nil
}

// unknownCampaignWrite is the error after a storage write that ended with one.
func unknownCampaignWrite(what, name string, err error) error {
	if errors.Is(err, logical.ErrReadOnly) {
		return err // bare, as Vault wants it
	}
	return fmt.Errorf("it is not known whether %s, because the storage write ended with an error: %w. "+
		"`vault read <mount>/campaigns/%s` tells, once storage works again", what, err, name)
}
