package backend

import (
	"context"
	"fmt"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// campaignChange asks for a change of a campaign that exists.
type campaignChange struct{ retry, cancel bool }

// changeCampaign has failed items tried once more, or begins nothing new.
func (b *backend) changeCampaign(ctx context.Context, storage logical.Storage, name string, c campaignChange) (*logical.Response, error) {
	unlock, err := b.campaignLocks.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	r, entry, err := b.openLocked(ctx, storage, name)
	switch {
	case err != nil:
		return nil, err
	case entry == nil:
		return nil, unknownCampaign(name)
	case r == nil:
		response := &logical.Response{Data: doneView(name, entry).statusData()}
		response.AddWarning("the campaign is done, so nothing was changed")
		return response, nil
	case c.cancel:
		return b.cancelCampaign(ctx, storage, r)
	}
	return b.retryCampaign(ctx, storage, r)
}

// cancelCampaign has the campaign begin nothing new. The caller holds its lock.
func (b *backend) cancelCampaign(ctx context.Context, storage logical.Storage, r *campaignRun) (*logical.Response, error) {
	response := &logical.Response{}
	if b.campaigns.view(r).state == campaignCancelled {
		response.AddWarning("the campaign was cancelled before; nothing was changed")
	} else if err := b.saveState(ctx, storage, r, campaignCancelled); err != nil {
		return nil, unknownCampaignWrite("the campaign was cancelled", r.name, err)
	}
	response.Data = b.campaignAnswer(r)
	if now := b.campaigns.view(r).progress; now.running > 0 {
		response.AddWarning(fmt.Sprintf("rotations that are under way go on: %d", now.running))
	}
	return response, nil
}

// retryCampaign has the failed items begin once more. The caller holds the campaign's lock.
func (b *backend) retryCampaign(ctx context.Context, storage logical.Storage, r *campaignRun) (*logical.Response, error) {
	if b.campaigns.view(r).state == campaignCancelled {
		return nil, badInput("the campaign is cancelled and begins nothing any more: begin another one, under another name, "+
			"or after `vault delete <mount>/campaigns/%s`", r.name)
	}
	if _, err := b.lookAtItems(ctx, storage, r); err != nil {
		return nil, err
	}
	again, err := b.tryItemsAgain(ctx, storage, r)
	if err != nil {
		return nil, err
	}
	if _, err := b.saveItems(ctx, storage, r, true); err != nil {
		return nil, unknownCampaignWrite("all failed items begin once more", r.name, err)
	}
	b.scheduler.Hasten(b.orderRotations(r)...)
	b.scheduler.Hasten(schedule.Job{Token: r.name, Kind: schedule.Campaign, At: b.now()})
	response := &logical.Response{Data: b.campaignAnswer(r)}
	if again == 0 {
		response.AddWarning("no item has failed, so nothing was changed")
	}
	return response, nil
}

// tryItemsAgain counts the items that begin once more.
func (b *backend) tryItemsAgain(ctx context.Context, storage logical.Storage, r *campaignRun) (again int, err error) {
	for i, it := range b.campaigns.itemsOf(r) {
		if it.State != itemFailed {
			continue
		}
		t, from, err := b.lookAtItem(ctx, storage, it.Token)
		if err != nil {
			return again, err
		}
		b.campaigns.tryAgain(r, i, t, from)
		again++
	}
	return again, nil
}

// deleteCampaign forgets a campaign. Rotations under way go on.
func (b *backend) deleteCampaign(ctx context.Context, storage logical.Storage, name string) (*logical.Response, error) {
	unlock, err := b.campaignLocks.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	entry, err := b.campaignEntries.Load(ctx, storage, name)
	if err == nil && entry == nil {
		return nil, nil
	}
	// One that cannot be read is deleted all the same.
	if err := b.campaignEntries.Delete(ctx, storage, name); err != nil {
		return nil, unknownCampaignWrite("the campaign was deleted", name, err)
	}
	b.campaigns.drop(name)
	response := &logical.Response{}
	if entry == nil {
		response.AddWarning("the campaign was deleted without looking at it, because " + err.Error())
		return response, nil
	}
	if err := removeItems(ctx, storage, entry.ID); err != nil {
		response.AddWarning("the campaign is deleted; some of its items are left in storage, which harms nothing, " +
			"and are removed at the next start: " + err.Error())
	}
	return response, nil
}
