package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const (
	// defaultItemLimit and maxItemLimit are as for the tokens of the status.
	defaultItemLimit = 1000
	maxItemLimit     = 5000
	// longestReader is in bytes: the longest name of somebody.
	longestReader = 256
)

const campaignsHelpLong = `
A campaign resets many tokens: everything that somebody knew who leaves, or every key of a provider by Friday.

    vault write adtokens/campaigns/jane-leaves reason="Jane leaves" tokens='acme-*,widgets-rw'
    vault write adtokens/campaigns/new-keys reason="new keys by Friday" providers=PROVIDER types=TYPE

tokens (names, with * for any characters), accounts, providers, types and read_by (the entity ID or display name of somebody
who has read the tokens) say which ones; a token has to fit all that are given. The campaign begins at once. What the engine
can rotate is rotated, parallel of them at a time, within the limits of each account and whatever
disable_automated_rotation says. The others wait for a person: read the campaign for the list, with the address of each
console. A token is done as soon as it has a version that was published after the campaign began, whoever did it. The
history has the campaign's reason and name.

    vault read -format=yaml adtokens/campaigns/jane-leaves
    vault write adtokens/campaigns/jane-leaves retry=true
    vault write adtokens/campaigns/jane-leaves cancel=true

retry=true has the failed ones begin once more; cancel=true begins nothing new. Deleting a campaign stops and forgets it. In
both cases rotations that are under way go on.
`

func (b *backend) pathCampaigns() *framework.Path {
	names := func(description string) *framework.FieldSchema {
		return &framework.FieldSchema{Type: framework.TypeCommaStringSlice, Description: description}
	}
	return &framework.Path{
		Pattern: campaignsPrefix + namePattern("name") + "$",
		Fields: map[string]*framework.FieldSchema{
			"name":      {Type: framework.TypeString, Required: true, Description: "Name of the campaign."},
			"reason":    {Type: framework.TypeString, Description: "Why, in free text; kept in the history of each token and in the audit log. A new campaign needs one."},
			"tokens":    names("Names of tokens, separated by commas; * stands for any characters."),
			"accounts":  names("Names of accounts whose tokens are meant."),
			"providers": names("Names of providers whose tokens are meant."),
			"types":     names("Types of tokens that are meant."),
			"read_by":   {Type: framework.TypeString, Description: "Entity ID or display name of somebody who has read the tokens that are meant."},
			"parallel":  {Type: framework.TypeInt, Default: defaultParallel, Description: fmt.Sprintf("How many automatic rotations are under way at once, 1 to %d.", maxParallel)},
			"retry":     {Type: framework.TypeBool, Default: false, Description: "Have the failed ones begin once more."},
			"cancel":    {Type: framework.TypeBool, Default: false, Description: "Begin nothing new. The campaign stays to be read."},
			"after":     {Type: framework.TypeString, Query: true, Description: "Of a read: show items whose tokens sort after this name."},
			"limit":     {Type: framework.TypeInt, Query: true, Default: defaultItemLimit, Description: fmt.Sprintf("Of a read: how many items to show at most, up to %d.", maxItemLimit)},
		},
		ExistenceCheck: b.pathCampaignsExist,
		DisplayAttrs:   &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "campaign"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.CreateOperation: writeOperation(b.pathCampaignsCreate, "Begin a campaign that resets many tokens.", "begin", ok("The campaign has begun.", campaignStateFields())),
			logical.UpdateOperation: writeOperation(b.pathCampaignsUpdate, "Begin, retry or cancel a campaign.", "begin", ok("What the campaign does now.", campaignStateFields())),
			logical.ReadOperation:   readOperation(b.pathCampaignsRead, "Read how far a campaign is, token by token.", "read", campaignResponseFields()),
			logical.DeleteOperation: writeOperation(b.pathCampaignsDelete, "Stop a campaign and forget it.", "delete", warningsOnly),
		},
		HelpSynopsis:    "Reset many tokens at once.",
		HelpDescription: strings.TrimSpace(campaignsHelpLong),
	}
}

func (b *backend) pathCampaignsList() *framework.Path {
	return &framework.Path{
		Pattern:      campaignsPrefix + "?$",
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "campaigns"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: listOperation(b.pathCampaignsListAll, "List the campaigns.", "State and progress of each campaign."),
		},
		HelpSynopsis:    "List the campaigns.",
		HelpDescription: "With -detailed also the state and the progress of each: total, done, waiting, running, waiting_for_person and failed.",
	}
}

func campaignStateFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"state":    {Type: framework.TypeString, Required: true, Description: "running, done, failed (all have ended, and some have failed) or cancelled."},
		"progress": {Type: framework.TypeMap, Required: true, Description: "Counts of items: total, which is the sum of done, waiting, running, waiting_for_person and failed."},
	}
}

func campaignResponseFields() map[string]*framework.FieldSchema {
	fields := campaignStateFields()
	maps.Copy(fields, map[string]*framework.FieldSchema{
		"reason":     {Type: framework.TypeString, Required: true, Description: "Why."},
		"selection":  {Type: framework.TypeMap, Required: true, Description: "What was asked for: tokens, accounts, providers, types and read_by, those that were given."},
		"parallel":   {Type: framework.TypeInt, Required: true, Description: "How many automatic rotations are under way at once."},
		"created_at": {Type: framework.TypeTime, Required: true, Description: "When it began."},
		"created_by": {Type: framework.TypeMap, Required: true, Description: "Who began it: entity_id and display_name."},
		"items": {Type: framework.TypeSlice, Required: true, Description: "A token each: token, how (automatic or person), state (waiting, running, done or failed), " +
			"version_before, version_now, done_at, last_error, console_url."},
	})
	return fields
}

func (b *backend) pathCampaignsExist(ctx context.Context, req *logical.Request, d *framework.FieldData) (bool, error) {
	entry, err := b.campaignEntries.Get(ctx, req.Storage, d.Get("name").(string))
	return entry != nil, err
}

// creationFields are those of a new campaign alone.
var creationFields = []string{"reason", "tokens", "accounts", "providers", "types", "read_by", "parallel"}

func isGiven(d *framework.FieldData, field string) bool {
	_, has := d.GetOk(field)
	return has
}

func (b *backend) pathCampaignsCreate(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("name").(string)
	switch {
	case isGiven(d, "after"), isGiven(d, "limit"):
		return nil, errItemPage
	case d.Get("retry").(bool), d.Get("cancel").(bool):
		return nil, unknownCampaign(name)
	}
	reason, err := readReason(d.Get("reason").(string))
	if err != nil {
		return nil, err
	}
	if reason == "" {
		return nil, badInput("reason is missing: say why these tokens are reset; it is kept in the history of each. Nothing was begun")
	}
	selection, err := readSelection(d)
	if err != nil {
		return nil, err
	}
	return b.createCampaign(ctx, req.Storage, &campaignCreation{
		name: name, reason: reason, selection: *selection, parallel: d.Get("parallel").(int), by: requesterOf(req),
	})
}

// readSelection reads which tokens are meant.
func readSelection(d *framework.FieldData) (*campaignSelection, error) {
	var s campaignSelection
	for field, into := range map[string]*[]string{"tokens": &s.Tokens, "accounts": &s.Accounts, "providers": &s.Providers, "types": &s.Types} {
		list := given[[]string](d, field)
		if list == nil {
			continue
		}
		*into = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(*list))), func(name string) bool { return name == "" })
		if len(*into) == 0 {
			return nil, badInput("%s is empty: name at least one, or leave it out; nothing was begun", field)
		}
	}
	who := given[string](d, "read_by")
	if who == nil {
		return &s, nil
	}
	s.ReadBy = strings.TrimSpace(*who)
	if s.ReadBy == "" || len(s.ReadBy) > longestReader || !plainText(s.ReadBy) {
		return nil, badInput("read_by must be the entity ID or the display name of somebody: one line of at most %d bytes, "+
			textRule+"; nothing was begun", longestReader)
	}
	return &s, nil
}

var errItemPage = badInput("after and limit are for reads of a campaign; nothing was changed")

func (b *backend) pathCampaignsUpdate(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name, change := d.Get("name").(string), campaignChange{retry: d.Get("retry").(bool), cancel: d.Get("cancel").(bool)}
	switch {
	case slices.ContainsFunc(creationFields, func(field string) bool { return isGiven(d, field) }):
		return nil, campaignExists(name)
	case isGiven(d, "after"), isGiven(d, "limit"):
		return nil, errItemPage
	case change.retry == change.cancel:
		return nil, badInput("write either retry=true, which has the failed ones begin once more, or cancel=true, which begins nothing new; nothing was changed")
	}
	return b.changeCampaign(ctx, req.Storage, name, change)
}

func (b *backend) pathCampaignsDelete(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return b.deleteCampaign(ctx, req.Storage, d.Get("name").(string))
}

func (b *backend) pathCampaignsListAll(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	views, unreadable, err := b.surveyCampaigns(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	info := map[string]any{}
	for _, view := range views {
		info[view.name] = view.statusData()
	}
	for name, err := range unreadable {
		info[name] = map[string]any{"error": err.Error()}
	}
	return logical.ListResponseWithInfo(slices.Sorted(maps.Keys(info)), info), nil
}

func (b *backend) pathCampaignsRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name, after, limit := d.Get("name").(string), d.Get("after").(string), d.Get("limit").(int)
	if limit < 1 {
		return nil, badInput("limit must be at least 1")
	}
	now, run, left, err := b.campaignNow(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	if now == nil {
		return nil, unknownCampaign(name)
	}
	items, err := b.itemsNow(ctx, req.Storage, now, run)
	if err != nil {
		return nil, err
	}
	response := &logical.Response{Data: now.data()}
	if left > 0 {
		response.AddWarning(fmt.Sprintf("%d tokens are still being read after a start; their items are shown as they were stored: ask again later", left))
	}
	shown, surplus := pageOf(items, after, min(limit, maxItemLimit))
	response.Data["items"] = b.itemData(shown)
	if surplus > 0 && (!isGiven(d, "limit") || limit > maxItemLimit) {
		response.AddWarning(fmt.Sprintf("items that are not shown: %d; read on with after=%s", surplus, shown[len(shown)-1].Token))
	}
	return response, nil
}

// pageOf are the items whose tokens sort after a name, and how many of those are not among them.
func pageOf(items []campaignItem, after string, limit int) (page []campaignItem, surplus int) {
	first := 0
	for first < len(items) && after != "" && items[first].Token <= after {
		first++
	}
	items = items[first:]
	page = items[:min(limit, len(items))]
	return page, len(items) - len(page)
}
