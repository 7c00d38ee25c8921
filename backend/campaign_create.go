package backend

import (
	"context"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// allCampaigns is the lock of whoever begins a campaign, or removes what was left of others. It comes before the campaign's own.
const allCampaigns = ""

// campaignCreation asks for a new campaign.
type campaignCreation struct {
	name, reason string
	selection    campaignSelection
	parallel     int
	by           requester
}

// createCampaign selects the tokens and begins. What it answers may be followed by warnings of what is not in it.
func (b *backend) createCampaign(ctx context.Context, storage logical.Storage, c *campaignCreation) (*logical.Response, error) {
	if err := b.checkCampaign(c); err != nil {
		return nil, err
	}
	unlock, err := b.campaignLocks.Lock(ctx, allCampaigns)
	if err != nil {
		return nil, err
	}
	defer unlock()
	unlockOne, err := b.campaignLocks.Lock(ctx, c.name)
	if err != nil {
		return nil, err
	}
	defer unlockOne()
	if err := b.roomForCampaign(ctx, storage, c.name); err != nil {
		return nil, err
	}
	found, err := b.selectTokens(ctx, storage, &c.selection)
	if err != nil {
		return nil, err
	}
	if len(found.tokens) == 0 {
		return nil, badInput("the selection fits no token, so nothing was begun%s", strings.Join(append([]string{""}, found.notes...), "; "))
	}
	r, err := b.newCampaign(ctx, storage, c, found.tokens)
	if err != nil {
		return nil, err
	}
	b.begin(r)
	response := &logical.Response{Data: b.campaignAnswer(r)}
	for _, note := range found.notes {
		response.AddWarning(note)
	}
	return response, nil
}

// checkCampaign refuses what does not fit, before anything is looked at.
func (b *backend) checkCampaign(c *campaignCreation) error {
	if c.parallel < 1 || c.parallel > maxParallel {
		return badInput("parallel must be from 1 to %d; nothing was begun", maxParallel)
	}
	if err := c.selection.check(); err != nil {
		return err
	}
	for field, text := range map[string]string{"reason": c.reason, "read_by": c.selection.ReadBy} {
		if secret := b.secretShownIn(text); secret != "" {
			return badInput("%s must not contain %s; Vault's audit log may have it in clear by now, so have it replaced. "+
				"Nothing was begun", field, secret)
		}
	}
	return nil
}

// roomForCampaign refuses a name that is taken, and one campaign too many.
func (b *backend) roomForCampaign(ctx context.Context, storage logical.Storage, name string) error {
	existing, err := b.campaignEntries.Load(ctx, storage, name)
	switch {
	case err != nil:
		return err
	case existing != nil:
		return campaignExists(name)
	}
	names, err := b.campaignEntries.List(ctx, storage)
	if err == nil && len(names) >= maxCampaigns {
		return badInput("there are %d campaigns, and no more may be kept: delete some that have ended, "+
			"with `vault delete <mount>/campaigns/NAME`; nothing was begun", len(names))
	}
	return err
}

func campaignExists(name string) error {
	return badInput("campaign %q exists, and what it is about does not change: `vault read <mount>/campaigns/%s` shows it. Write retry=true or cancel=true, "+
		"or give another campaign another name; nothing was changed", name, name)
}

// newCampaign stores a campaign for these tokens.
func (b *backend) newCampaign(ctx context.Context, storage logical.Storage, c *campaignCreation, tokens []*token) (*campaignRun, error) {
	id, err := newCampaignID()
	if err != nil {
		return nil, err
	}
	entry := &campaignEntry{
		Schema: campaignSchema, ID: id, Reason: c.reason, Selection: c.selection, Parallel: c.parallel, CreatedAt: b.now().UTC(),
		EntityID: c.by.entityID, DisplayName: c.by.displayName, Total: len(tokens), State: campaignRunning,
	}
	items := make([]campaignItem, len(tokens))
	for i, t := range tokens {
		items[i] = newItem(t)
		a := b.accounts.Peek(t.Account)
		if a != nil {
			items[i].observe(id, t, source(a, t))
		}
	}
	if err := b.storeCampaign(ctx, storage, c.name, entry, items); err != nil {
		return nil, err
	}
	return newCampaignRun(c.name, entry, items), nil
}

// begin has the campaign begin. Its first rotations do not wait for the scheduler's next look at it.
func (b *backend) begin(r *campaignRun) {
	b.campaigns.add(r)
	b.scheduler.Hasten(b.orderRotations(r)...)
	b.scheduler.Hasten(schedule.Job{Token: r.name, Kind: schedule.Campaign, At: b.now()})
}

// campaignAnswer is what a write answers.
func (b *backend) campaignAnswer(r *campaignRun) map[string]any {
	now := b.campaigns.view(r)
	return now.statusData()
}
