package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// data is what a read of a campaign shows, without its items.
func (v *campaignView) data() map[string]any {
	e := &v.entry
	data := v.statusData()
	data["reason"], data["parallel"], data["selection"] = e.Reason, e.Parallel, e.Selection.data()
	data["created_at"] = timestamp(e.CreatedAt)
	data["created_by"] = map[string]any{"entity_id": e.EntityID, "display_name": e.DisplayName}
	return data
}

func (s *campaignSelection) data() map[string]any {
	data := map[string]any{}
	for field, names := range map[string][]string{"tokens": s.Tokens, "accounts": s.Accounts, "providers": s.Providers, "types": s.Types} {
		if len(names) > 0 {
			data[field] = names
		}
	}
	if s.ReadBy != "" {
		data["read_by"] = s.ReadBy
	}
	return data
}

// itemData is what a read of a campaign shows of its items. What the token is today comes from memory.
func (b *backend) itemData(items []campaignItem) []any {
	type place struct {
		account *account
		kind    *provider.TokenType
	}
	consoles := map[place]string{}
	shown := make([]any, len(items))
	for i := range items {
		it := &items[i]
		version, console := it.Now, ""
		if t := b.tokens.Peek(it.Token); t != nil && t.ID == it.TokenID {
			version = max(version, t.Number())
			if a := b.accounts.Peek(t.Account); a != nil {
				known, ok := consoles[place{a, t.kind}]
				if !ok {
					known = t.kind.Runbook(a.call.Settings).ConsoleURL
					consoles[place{a, t.kind}] = known
				}
				console = known
			}
		}
		shown[i] = map[string]any{
			"token": it.Token, "how": string(it.How), "state": string(it.State), "version_before": it.Before, "version_now": version,
			"done_at": timestamp(it.DoneAt), "last_error": it.LastError, "console_url": console,
		}
	}
	return shown
}

// statusData is what lists and the status show of a campaign.
func (v *campaignView) statusData() map[string]any {
	return map[string]any{"state": string(v.state), "progress": v.progress.data()}
}

// problem says what a person has to do for a campaign; empty where it is nothing.
func (v *campaignView) problem() string {
	if v.state != campaignRunning && v.state != campaignFailed || v.progress.failed+v.progress.waitingForPerson == 0 {
		return ""
	}
	return fmt.Sprintf("campaign %s, since %s: %d of its %d tokens wait for a person and %d have failed; "+
		"`vault read <mount>/campaigns/%s` tells which, and where to go",
		v.name, v.entry.CreatedAt.UTC().Format(time.RFC3339), v.progress.waitingForPerson, v.progress.total, v.progress.failed, v.name)
}

// campaignStatus is what the status shows of campaigns, and what a person has to do for them: at most maxTold sentences.
func (b *backend) campaignStatus(ctx context.Context, storage logical.Storage) (shown map[string]any, problems []string, err error) {
	views, unreadable, err := b.surveyCampaigns(ctx, storage)
	if err != nil {
		return nil, nil, err
	}
	shown = map[string]any{}
	for _, view := range views {
		if view.state == campaignRunning || view.state == campaignFailed {
			shown[view.name] = view.statusData()
		}
		if problem := view.problem(); problem != "" {
			problems = append(problems, problem)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unreadable)) {
		problems = append(problems, unreadable[name].Error())
	}
	if surplus := len(problems) - maxTold; surplus > 0 {
		problems = append(problems[:maxTold], fmt.Sprintf("%d more campaigns have problems", surplus))
	}
	return shown, problems, nil
}
