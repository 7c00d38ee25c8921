package backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// openCampaign returns a campaign whose items may still change, from memory or storage; nil where it does not exist, or is done. The entry
// is nil only where it does not exist.
func (b *backend) openCampaign(ctx context.Context, storage logical.Storage, name string) (*campaignRun, *campaignEntry, error) {
	entry, err := b.campaignEntries.Get(ctx, storage, name)
	if err != nil || entry == nil || entry.State == campaignDone {
		return nil, entry, err
	}
	if r := b.campaigns.find(name, entry.ID); r != nil {
		return r, entry, nil
	}
	unlock, err := b.campaignLocks.Lock(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	return b.openLocked(ctx, storage, name)
}

// openLocked is openCampaign for those who hold the campaign's lock.
func (b *backend) openLocked(ctx context.Context, storage logical.Storage, name string) (*campaignRun, *campaignEntry, error) {
	entry, err := b.campaignEntries.Get(ctx, storage, name)
	if err != nil || entry == nil || entry.State == campaignDone {
		return nil, entry, err
	}
	if r := b.campaigns.find(name, entry.ID); r != nil {
		return r, entry, nil
	}
	items, err := loadItems(ctx, storage, name, entry)
	if err != nil {
		return nil, nil, err
	}
	r := newCampaignRun(name, entry, items)
	b.campaigns.add(r)
	return r, entry, nil
}

// lookAtItems brings a campaign's items up to date with their tokens, those whose token may have changed. What cannot be looked at before
// the context ends is left for the next time; left is how many those are.
func (b *backend) lookAtItems(ctx context.Context, storage logical.Storage, r *campaignRun) (left int, err error) {
	unseen := b.campaigns.takeUnseen(r)
	for n, i := range unseen {
		t, from, err := b.lookAtItem(ctx, storage, b.campaigns.tokenOf(r, i))
		if _, damaged := errors.AsType[*cache.DamagedError](err); damaged {
			continue // the item stays as it is until its token can be read
		}
		if err != nil {
			b.campaigns.markUnseen(r, unseen[n:])
			return len(unseen) - n, err
		}
		b.campaigns.observe(r, i, t, from)
	}
	return 0, nil
}

// lookAtItem returns an item's token, nil where that is gone, and how the engine can replace its value.
func (b *backend) lookAtItem(ctx context.Context, storage logical.Storage, name string) (*token, rotation.Source, error) {
	t, err := b.tokens.Get(ctx, storage, name)
	if err != nil || t == nil {
		return nil, "", err
	}
	a, err := b.accounts.Get(ctx, storage, t.Account)
	if err != nil || a == nil {
		return t, "", err
	}
	return t, source(a, t), nil
}

// campaignNow is what a campaign is now; nil where it does not exist. run is nil where it is done. Whoever asks waits surveyPatience for
// tokens that are not in memory; left is how many items were not looked at.
func (b *backend) campaignNow(ctx context.Context, storage logical.Storage, name string) (now *campaignView, run *campaignRun, left int, err error) {
	patience, cancel := context.WithTimeout(ctx, surveyPatience)
	defer cancel()
	run, entry, err := b.openCampaign(ctx, storage, name)
	switch {
	case err != nil || entry == nil:
		return nil, nil, 0, err
	case run == nil:
		return doneView(name, entry), nil, 0, nil
	}
	left, err = b.lookAtItems(patience, storage, run)
	if err != nil && patience.Err() == nil {
		return nil, nil, 0, err
	}
	view := b.campaigns.view(run)
	return &view, run, left, ctx.Err()
}

// doneView is what a campaign is that is done.
func doneView(name string, entry *campaignEntry) *campaignView {
	return &campaignView{name: name, entry: *entry, state: entry.State, progress: campaignProgress{total: entry.Total, done: entry.Total}}
}

// itemsNow are the items that belong to what campaignNow has returned.
func (b *backend) itemsNow(ctx context.Context, storage logical.Storage, now *campaignView, run *campaignRun) ([]campaignItem, error) {
	if run != nil {
		return b.campaigns.itemsOf(run), nil
	}
	return loadItems(ctx, storage, now.name, &now.entry)
}

// surveyCampaigns looks at all campaigns, in the order of their names. One that cannot be read hides none of the others.
func (b *backend) surveyCampaigns(ctx context.Context, storage logical.Storage) (views []*campaignView, unreadable map[string]error, err error) {
	names, err := b.campaignEntries.List(ctx, storage)
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(names)
	patience, cancel := context.WithTimeout(ctx, surveyPatience)
	defer cancel()
	unreadable = map[string]error{}
	for _, name := range names {
		view, _, _, err := b.campaignNow(patience, storage, name)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case err != nil && patience.Err() != nil:
			unreadable[name] = fmt.Errorf("campaign %q is still being read: ask again", name)
		case err != nil:
			unreadable[name] = err
		case view != nil:
			views = append(views, view)
		}
	}
	return views, unreadable, nil
}

func unknownCampaign(name string) error {
	return logical.CodedError(http.StatusNotFound, fmt.Sprintf("campaign %q does not exist; `vault list <mount>/campaigns` shows those that do. "+
		"A new one begins with `vault write <mount>/campaigns/%s reason=… tokens=…`", name, name))
}
