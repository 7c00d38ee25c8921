package main

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// tokenData is what the page of a token shows. A part that could not be read is nil, and its trouble says why.
type tokenData struct {
	Name, URL string
	Concern   concern
	Result    *result
	Token     *token
	// Platform is the name that people know, PlatformURL its page.
	Platform, PlatformURL, TypeTitle string
	Unconfirmed                      []string

	Runbook        *runbook
	Steps          []string
	RunbookTrouble *trouble
	Inputs         []input
	ConsentInputs  []input
	HasFile        bool
	ConsoleHost    string

	History        []historyEntry
	HistoryTrouble *trouble

	Readers        *readers
	ReadersTrouble *trouble

	May     map[string]bool
	Message []string
	Now     time.Time
}

// tokenPage shows a token: its state, what to do, and what has been done.
func (c *console) tokenPage(v *visit) {
	data, err := c.lookAtToken(v, v.r.PathValue("token"))
	if err != nil {
		if isKind(err, missing) {
			c.say(v, http.StatusNotFound, "problem.no-token", v.r.PathValue("token"))
			return
		}
		c.problem(v, err)
		return
	}
	c.show(v, http.StatusOK, page{name: "token", title: data.Name, section: "tokens", data: data})
}

// isName says whether a text can be the name of a token, campaign or provider: nothing that leads elsewhere in Vault.
func isName(text string) bool {
	return text != "" && len(text) <= 128 && !strings.ContainsAny(text, "/?#%\\") && strings.Trim(text, ".") != ""
}

// lookAtToken asks Vault for all parts of the page at once.
func (c *console) lookAtToken(v *visit, name string) (*tokenData, error) {
	if !isName(name) {
		return nil, &failure{kind: missing}
	}
	d := &tokenData{Name: name, URL: mountURL(v.mount, "tokens", name), Now: c.now(), Token: &token{}}
	var known history
	var reading readers
	var steps runbook
	var tokenErr, runbookErr, historyErr, readersErr error
	path, ctx := v.path("tokens/"+name), v.r.Context()
	var group errgroup.Group
	for _, ask := range []func(){
		func() { _, tokenErr = v.user.read(ctx, path, nil, d.Token) },
		func() { _, runbookErr = v.user.read(ctx, path+"/rotate", nil, &steps) },
		func() { _, historyErr = v.user.read(ctx, path+"/history", nil, &known) },
		func() { _, readersErr = v.user.read(ctx, path+"/readers", nil, &reading) },
		func() { d.May = rights(ctx, v.user, path) },
	} {
		group.Go(func() error { ask(); return nil })
	}
	_ = group.Wait()
	if tokenErr != nil {
		return nil, tokenErr
	}
	d.Concern, d.Result = d.Token.concern(d.Now), v.told(v.mount, name, d.Now)
	about := c.platformOf(v, d.Token.Provider)
	d.describe(c.pages, v.mount, about)
	if d.RunbookTrouble = c.pages.trouble(runbookErr, "token.runbook-denied"); runbookErr == nil {
		d.Runbook = &steps
		d.guide(c.pages, about)
	}
	d.HistoryTrouble = c.pages.trouble(historyErr, "token.history-denied")
	d.History = known.Versions
	slices.Reverse(d.History)
	if readersErr == nil {
		d.Readers = &reading
		slices.SortStableFunc(d.Readers.Readers, func(a, b reader) int { return cmp.Compare(a.Version, b.Version) })
	} else if !isKind(readersErr, missing, refused) { // an engine that does not know its readers
		d.ReadersTrouble = c.pages.trouble(readersErr, "token.readers-denied")
	}
	d.Message = c.pages.ownersMessage(d)
	return d, nil
}

// platformOf is what the engine says about a platform, nil where the person may not know.
func (c *console) platformOf(v *visit, name string) *platform {
	var about platform
	if !isName(name) {
		return nil
	}
	if _, err := v.user.read(v.r.Context(), v.path("providers/"+name), nil, &about); err != nil {
		return nil
	}
	return &about
}

func (d *tokenData) describe(p *pages, mount string, about *platform) {
	d.Platform, d.TypeTitle = d.Token.Provider, p.kind(d.Token.Type, "")
	if about == nil {
		return
	}
	d.Platform, d.PlatformURL = about.people(), mountURL(mount, "providers", about.Name)
	d.TypeTitle = p.kind(d.Token.Type, about.TokenTypes[d.Token.Type].Title)
	if !about.Verified {
		d.Unconfirmed = about.Notes
	}
}

// guide makes steps for somebody with this page of the runbook, whose commands are for a terminal.
func (d *tokenData) guide(p *pages, about *platform) {
	d.Steps = p.steps(d.Runbook.Steps)
	d.Runbook.Previous = unmarked(d.Runbook.Previous)
	for i, note := range d.Runbook.Notes {
		d.Runbook.Notes[i] = unmarked(note)
	}
	hasValue := d.Token.Version > 0
	d.Inputs = p.inputs(about, d.Token.Type, d.Runbook.Fields, hasValue)
	d.HasFile = slices.ContainsFunc(d.Inputs, func(in input) bool { return in.File })
	if d.Runbook.Consent && !hasValue {
		d.ConsentInputs = p.inputs(about, d.Token.Type, about.consentFields(d.Token.Type, d.Runbook.Fields), false)
	}
	if address, err := url.Parse(d.Runbook.ConsoleURL); err == nil && isPlatformURL(address) {
		d.ConsoleHost = address.Host
	} else {
		d.Runbook.ConsoleURL = ""
	}
}

// steps drops what a person does at a terminal: the page has a button or a field for it.
func (p *pages) steps(all []string) []string {
	var steps []string
	for _, step := range all {
		switch {
		case strings.Contains(step, "/consent`"), strings.Contains(step, "redirect_url="):
			continue // the page's own button
		case strings.Contains(step, "`vault "), strings.Contains(step, "terminal with Vault"):
			continue // the page's own field
		}
		steps = append(steps, unmarked(step))
	}
	return steps
}

// unmarked takes the marks of code out of a text.
func unmarked(text string) string { return strings.ReplaceAll(text, "`", "") }

// ownersMessage is what a person can send to those whose apps use the token.
func (p *pages) ownersMessage(d *tokenData) []string {
	t := d.Token
	isDown := d.Concern == rejected || d.Concern == ended
	if t.Version == 0 || t.Version == 1 && !isDown { // nothing was replaced
		return nil
	}
	var lines []string
	refresh := p.duration(time.Duration(t.RefreshTTL) * time.Second)
	if isDown {
		lines = append(lines, p.text("owners.down", d.Name, d.Platform), p.text("owners.refresh-later", refresh))
	} else {
		if t.LastRotation != nil {
			lines = append(lines, p.text("owners.replaced", d.Name, d.Platform, p.moment(*t.LastRotation)))
		}
		lines = append(lines, p.text("owners.refresh", refresh))
	}
	if d.Readers != nil && d.Readers.Summary.Behind > 0 {
		var behind []string
		for _, r := range d.Readers.Readers {
			if r.Version != d.Readers.CurrentVersion {
				behind = append(behind, r.Who())
			}
		}
		slices.Sort(behind)
		lines = append(lines, p.text("owners.behind", strings.Join(slices.Compact(behind), ", ")))
	}
	return append(lines, p.text("owners.unsure"))
}

// Who is a name for a reader.
func (r *reader) Who() string { return cmp.Or(r.DisplayName, r.EntityID, r.Address, r.Client) }

// rights says what the person may do with a token. Where that is not known, everything: Vault decides.
func rights(ctx context.Context, u *user, path string) map[string]bool {
	may := map[string]bool{"rotate": true, "verify": true, "retire": true, "consent": true}
	var paths []string
	for action := range may {
		paths = append(paths, path+"/"+action)
	}
	var capabilities map[string]any
	if _, err := u.write(ctx, "sys/capabilities-self", map[string]any{"paths": paths}, &capabilities); err != nil {
		return may
	}
	for action := range may {
		if list, there := capabilities[path+"/"+action].([]any); there {
			may[action] = slices.Contains(list, any("update")) || slices.Contains(list, any("root"))
		}
	}
	return may
}
