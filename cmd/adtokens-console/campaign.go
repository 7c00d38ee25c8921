package main

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// What the engine says about campaigns, and what it is told.

type campaign struct {
	Reason    string
	CreatedAt *time.Time `json:"created_at"`
	CreatedBy struct {
		EntityID    string `json:"entity_id"`
		DisplayName string `json:"display_name"`
	} `json:"created_by"`
	State    string
	Progress progress
	Items    []campaignItem
}

type progress struct {
	Total, Done, Waiting, Running, Failed int
	WaitingForPerson                      int `json:"waiting_for_person"`
}

type campaignItem struct {
	Token         string
	How, State    string
	VersionBefore int        `json:"version_before"`
	VersionNow    int        `json:"version_now"`
	DoneAt        *time.Time `json:"done_at"`
	LastError     string     `json:"last_error"`
	ConsoleURL    string     `json:"console_url"`
	URL           string     `json:"-"`
}

// NeedsPerson says that somebody has to reset this token by hand.
func (i *campaignItem) NeedsPerson() bool {
	return i.How == "person" && (i.State == "waiting" || i.State == "running")
}

// campaignLine is a campaign in a list.
type campaignLine struct {
	Name, URL, State, Reason string
	Progress                 progress
}

func (l campaignLine) NeedsPerson() bool {
	return l.State == "running" && l.Progress.WaitingForPerson > 0
}

// readCampaigns lists the campaigns of a mount, the running ones first.
func readCampaigns(ctx context.Context, u *user, mount string) ([]campaignLine, error) {
	var listed struct {
		Keys    []string
		KeyInfo map[string]struct {
			State, Reason string
			Progress      progress
		} `json:"key_info"`
	}
	if _, err := u.list(ctx, mount+"/campaigns", &listed); err != nil {
		return nil, err
	}
	var lines []campaignLine
	for _, name := range listed.Keys {
		info := listed.KeyInfo[name]
		lines = append(lines, campaignLine{name, mountURL(mount, "campaigns", "c", name), info.State, info.Reason, info.Progress})
	}
	slices.SortStableFunc(lines, func(a, b campaignLine) int {
		return cmp.Or(-compareBool(a.State == "running", b.State == "running"), cmp.Compare(a.Name, b.Name))
	})
	return lines, nil
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// selection is which tokens a campaign is to replace: those that fit all that is given.
type selection struct {
	Tokens, Accounts, Providers, Types []string
	ReadBy                             string
}

func (s *selection) isEmpty() bool {
	return len(s.Tokens)+len(s.Accounts)+len(s.Providers)+len(s.Types) == 0 && s.ReadBy == ""
}

// fields are the selection as the engine takes it.
func (s *selection) fields() map[string]any {
	data := map[string]any{}
	for name, values := range map[string][]string{"tokens": s.Tokens, "accounts": s.Accounts, "providers": s.Providers, "types": s.Types} {
		if len(values) > 0 {
			data[name] = values
		}
	}
	if s.ReadBy != "" {
		data["read_by"] = s.ReadBy
	}
	return data
}

// words are the values of a field that takes several.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r <= ' ' })
}

// matches says whether a name fits one of several, each with * for anything; or none is asked for.
func matches(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool {
		fits, err := path.Match(pattern, name)
		return err == nil && fits
	})
}

// How much a preview looks at, beside the list of all tokens.
const (
	maxPreviewed = 200 // tokens of which it finds out who resets them
	maxReadBy    = 500 // tokens whose readers it looks at
)

// preview is what a campaign would replace.
type preview struct {
	Rows []*previewRow
	// NotLookedAt is how many tokens more there were, about whose readers or resets nothing was asked.
	NotLookedAt int
	// ReadByUnknown says that nobody may tell the person who has read what.
	ReadByUnknown bool
}

type previewRow struct {
	*row
	// Known says that it is known who resets it, Automatic that the engine does.
	Known, Automatic bool
}

// preview finds the tokens that a selection fits.
func (c *console) preview(v *visit, wanted *selection) (*preview, error) {
	s, err := c.survey(v)
	if err != nil {
		return nil, err
	}
	var fit []*row
	for _, r := range s.rows {
		if matches(wanted.Tokens, r.Name) && matches(wanted.Accounts, r.Account) && matches(wanted.Types, r.Type) {
			fit = append(fit, r)
		}
	}
	if len(wanted.Providers) > 0 {
		fit = c.ofProviders(v, fit, wanted.Providers)
	}
	found := &preview{}
	if wanted.ReadBy != "" {
		found.NotLookedAt = max(0, len(fit)-maxReadBy)
		fit = found.readBy(v, fit[:len(fit)-found.NotLookedAt], wanted.ReadBy)
	}
	for _, r := range fit {
		found.Rows = append(found.Rows, &previewRow{row: r})
	}
	each(found.Rows[:min(maxPreviewed, len(found.Rows))], func(r *previewRow) {
		var steps runbook
		if _, err := v.user.read(v.r.Context(), v.path("tokens/"+r.Name+"/rotate"), nil, &steps); err == nil {
			r.Known, r.Automatic = true, steps.Automatic
		}
	})
	return found, nil
}

// ofProviders keeps the tokens whose account is one of these providers. One token tells that for all of its account.
func (c *console) ofProviders(v *visit, rows []*row, wanted []string) []*row {
	first := map[string]*row{}
	for _, r := range rows {
		if first[r.Account] == nil {
			first[r.Account] = r
		}
	}
	var accounts []*row
	for _, r := range first {
		accounts = append(accounts, r)
	}
	var mu sync.Mutex
	fits := map[string]bool{}
	each(accounts, func(r *row) {
		var t token
		if _, err := v.user.read(v.r.Context(), v.path("tokens/"+r.Name), nil, &t); err == nil {
			mu.Lock()
			defer mu.Unlock()
			fits[r.Account] = matches(wanted, t.Provider)
		}
	})
	return slices.DeleteFunc(slices.Clone(rows), func(r *row) bool { return !fits[r.Account] })
}

// readBy keeps the tokens that somebody has read.
func (p *preview) readBy(v *visit, rows []*row, who string) []*row {
	var mu sync.Mutex
	read := map[string]bool{}
	each(rows, func(r *row) {
		var known readers
		_, err := v.user.read(v.r.Context(), v.path("tokens/"+r.Name+"/readers"), nil, &known)
		mu.Lock()
		defer mu.Unlock()
		p.ReadByUnknown = p.ReadByUnknown || err != nil
		read[r.Name] = slices.ContainsFunc(known.Readers, func(reader reader) bool {
			return reader.EntityID == who || reader.DisplayName == who
		})
	})
	return slices.DeleteFunc(slices.Clone(rows), func(r *row) bool { return !read[r.Name] })
}

// each does something with several at a time.
func each[T any](all []T, do func(T)) {
	var group errgroup.Group
	group.SetLimit(maxAsked)
	for _, one := range all {
		group.Go(func() error { do(one); return nil })
	}
	_ = group.Wait() // nothing of it fails
}
