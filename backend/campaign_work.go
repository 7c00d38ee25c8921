package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// wakeCampaign has a campaign looked at soon. Only the node that may write does.
func (b *backend) wakeCampaign(name string) {
	b.scheduler.Hasten(schedule.Job{Token: name, Kind: schedule.Campaign, At: b.now()})
}

// resumeCampaigns has the campaigns go on that were under way when the mount was started, and removes what was left of others.
func (b *backend) resumeCampaigns() {
	for b.work.Err() == nil {
		names, err := b.campaignEntries.List(b.work, b.storage)
		for _, name := range names {
			b.wakeCampaign(name)
		}
		if err == nil && b.WriteSafeReplicationState() {
			err = b.removeLeftovers(b.work)
		}
		if err == nil {
			return
		}
		b.logError("resuming campaigns", "", err)
		b.pause(retryStorage)
	}
}

// removeLeftovers deletes the items of campaigns whose creation or deletion has not come to its end.
func (b *backend) removeLeftovers(ctx context.Context) error {
	unlock, err := b.campaignLocks.Lock(ctx, allCampaigns)
	if err != nil {
		return err
	}
	defer unlock()
	ids, err := b.storage.List(ctx, campaignItemPrefix)
	if err != nil || len(ids) == 0 {
		return err
	}
	names, err := b.campaignEntries.List(ctx, b.storage)
	if err != nil {
		return err
	}
	left := map[string]bool{}
	for _, id := range ids {
		left[strings.TrimSuffix(id, "/")] = true
	}
	for _, name := range names {
		entry, err := b.campaignEntries.Get(ctx, b.storage, name)
		if _, damaged := errors.AsType[*cache.DamagedError](err); damaged {
			return nil // what is left could belong to this one, until that is deleted
		}
		if err != nil {
			return err
		}
		if entry != nil {
			delete(left, entry.ID)
		}
	}
	for id := range left {
		if err := removeItems(ctx, b.storage, id); err != nil {
			return err
		}
	}
	return nil
}

// advanceCampaign does what is due for a campaign: it looks what has become of its rotations, has the next ones begin, stores what has
// changed, and tells when all have ended. The rotations themselves are work of their tokens.
func (b *backend) advanceCampaign(ctx context.Context, name string) error {
	if err := b.settleDoubt(ctx, name); err != nil {
		return err
	}
	r, _, err := b.openCampaign(ctx, b.storage, name)
	if err != nil || r == nil {
		return err
	}
	if _, err := b.lookAtItems(ctx, b.storage, r); err != nil {
		return err
	}
	unlock, err := b.campaignLocks.Lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	if !b.campaigns.holds(r) {
		return nil // it was deleted at this moment, or another node has changed it
	}
	b.scheduler.Hasten(b.orderRotations(r)...)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
	defer cancel()
	wait, err := b.saveItems(ctx, b.storage, r, false)
	if err != nil {
		return err
	}
	if wait > 0 {
		b.scheduler.Hasten(schedule.Job{Token: name, Kind: schedule.Campaign, At: b.now().Add(wait)})
	}
	if b.campaigns.waitsForSlow(r) {
		b.scheduler.Hasten(schedule.Job{Token: name, Kind: schedule.Campaign, At: b.now().Add(slowRotation / 5)})
	}
	return b.tellState(ctx, r)
}

// tellState stores another state than the one that was told, and tells of an end. What was not stored is told again.
func (b *backend) tellState(ctx context.Context, r *campaignRun) error {
	now := b.campaigns.view(r)
	if now.state == now.entry.State {
		return nil
	}
	if now.state != campaignRunning {
		if _, err := b.saveItems(ctx, b.storage, r, true); err != nil {
			return err
		}
	}
	if err := b.saveState(ctx, b.storage, r, now.state); err != nil {
		return err
	}
	if now.state == campaignDone {
		b.campaigns.drop(r.name)
	}
	if now.state != campaignRunning {
		b.sendEvent(ctx, eventCampaignDone, campaignsPrefix+r.name, "campaign", r.name, "state", string(now.state),
			"total", fmt.Sprint(now.progress.total), "done", fmt.Sprint(now.progress.done), "failed", fmt.Sprint(now.progress.failed))
	}
	return nil
}

// settleDoubt finds out what has become of a write of the campaign that ended with an error.
func (b *backend) settleDoubt(ctx context.Context, name string) error {
	if b.campaignEntries.Doubtful(name).IsZero() {
		return nil
	}
	unlock, err := b.campaignLocks.Lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	entry, err := b.campaignEntries.Load(ctx, b.storage, name)
	if err != nil {
		return err
	}
	b.scheduler.Hasten(schedule.Job{Token: name, Kind: schedule.Campaign, At: b.campaignEntries.Doubtful(name)})
	r := b.campaigns.get(name)
	switch {
	case r == nil:
	case entry == nil || entry.ID != r.entry.ID:
		b.campaigns.drop(name)
	default:
		b.campaigns.replaceEntry(r, entry)
	}
	return nil
}

// campaignDoubted plans to find out what has become of a write that failed.
func (b *backend) campaignDoubted(name string) {
	b.scheduler.Hasten(schedule.Job{Token: name, Kind: schedule.Campaign, At: b.campaignEntries.Doubtful(name)})
}

// forgetCampaign drops from memory what another node has changed.
func (b *backend) forgetCampaign(key string) {
	if name, ok := strings.CutPrefix(key, campaignPrefix); ok {
		b.campaignEntries.Invalidate(name)
		b.campaigns.drop(name)
		return
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(key, campaignItemPrefix), "/")
	b.campaigns.dropID(id)
}
