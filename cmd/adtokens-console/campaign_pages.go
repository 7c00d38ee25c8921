package main

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// refreshInterval is how often the script of a page asks how far a campaign is, in seconds.
const refreshInterval = 5

// campaignLines are the campaigns that the person may see; none where there are none or the engine has no campaigns.
func (c *console) campaignLines(v *visit) []campaignLine {
	lines, err := readCampaigns(v.r.Context(), v.user, v.mount)
	if err != nil {
		return nil
	}
	return lines
}

func (c *console) campaignsPage(v *visit) {
	lines, err := readCampaigns(v.r.Context(), v.user, v.mount)
	if isKind(err, signedOut, sealed, unreachable, late) {
		c.problem(v, err)
		return
	}
	key := "campaigns.denied"
	var missingTrouble *trouble
	switch {
	case isKind(err, missing) && strings.Contains(detailOf(err), "unsupported"):
		missingTrouble = &trouble{Text: c.pages.text("campaigns.unknown")}
	case isKind(err, missing): // an empty list is nothing at all for Vault
	default:
		missingTrouble = c.pages.trouble(err, key)
	}
	c.show(v, http.StatusOK, page{name: "campaigns", title: c.pages.text("campaigns.title"), section: "campaigns", data: struct {
		Lines   []campaignLine
		Missing *trouble
		New     string
	}{lines, missingTrouble, mountURL(v.mount, "campaigns", "new")}})
}

// campaignForm is what a person writes to begin a campaign.
type campaignForm struct {
	Problem, Detail                                          string
	Name, Reason, Tokens, Accounts, Providers, Types, ReadBy string
	Parallel                                                 string
	// PreviewURL and StartURL are where its forms go.
	PreviewURL, StartURL string
	Preview              *preview
	Automatic, Person    int
	// Known are examples of what can be filled in.
	Known struct{ Accounts, Providers, Types string }
}

func (c *console) readCampaignForm(v *visit) *campaignForm {
	text := func(name string) string { return strings.TrimSpace(v.r.FormValue(name)) }
	return &campaignForm{
		Name: text("name"), Reason: text("reason"), Tokens: text("tokens"), Accounts: text("accounts"), Providers: text("providers"),
		Types: text("types"), ReadBy: text("read_by"), Parallel: text("parallel"),
		PreviewURL: mountURL(v.mount, "campaigns", "preview"), StartURL: mountURL(v.mount, "campaigns", "start"),
	}
}

func (f *campaignForm) selection() *selection {
	return &selection{
		Tokens: words(f.Tokens), Accounts: words(f.Accounts), Providers: words(f.Providers), Types: words(f.Types), ReadBy: f.ReadBy,
	}
}

// newCampaign shows an empty form, or one that a link fills in.
func (c *console) newCampaign(v *visit) {
	form := c.readCampaignForm(v)
	if form.Name == "" {
		form.Name = c.now().UTC().Format("2006-01-02")
	}
	c.showCampaignForm(v, http.StatusOK, form)
}

func (c *console) showCampaignForm(v *visit, status int, form *campaignForm) {
	c.giveExamples(v, form)
	c.show(v, status, page{name: "campaign-new", title: c.pages.text("campaign-new.title"), section: "campaigns", data: form})
}

// maxExamples is how many examples a field has.
const maxExamples = 8

// giveExamples says what can be filled in, as far as the person may see it.
func (c *console) giveExamples(v *visit, form *campaignForm) {
	var listed struct{ Keys []string }
	if _, err := v.user.list(v.r.Context(), v.path("providers"), &listed); err == nil {
		form.Known.Providers = examples(listed.Keys)
	}
	s, err := c.survey(v)
	if err != nil {
		return
	}
	var accounts, types []string
	for _, r := range s.rows {
		accounts, types = append(accounts, r.Account), append(types, r.Type)
	}
	form.Known.Accounts, form.Known.Types = examples(accounts), examples(types)
}

// examples are some of the names, each once.
func examples(names []string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	return strings.Join(names[:min(maxExamples, len(names))], ", ")
}

// previewCampaign shows which tokens would be replaced. Nothing is, so far.
func (c *console) previewCampaign(v *visit) {
	form := c.readCampaignForm(v)
	wanted := form.selection()
	if form.Problem = c.pages.lacking(form, wanted); form.Problem != "" {
		c.showCampaignForm(v, http.StatusBadRequest, form)
		return
	}
	found, err := c.preview(v, wanted)
	if isKind(err, signedOut, sealed, unreachable) {
		c.problem(v, err)
		return
	}
	if err != nil {
		form.Problem, form.Detail = c.pages.explain(err), detailOf(err)
		c.showCampaignForm(v, statusOf(err), form)
		return
	}
	if len(found.Rows) == 0 && found.NotLookedAt == 0 && !found.ReadByUnknown {
		form.Problem = c.pages.text("campaign-new.fits-nothing")
		c.showCampaignForm(v, http.StatusBadRequest, form)
		return
	}
	form.has(found)
	c.show(v, http.StatusOK, page{
		name: "campaign-preview", title: c.pages.text("campaign-preview.title", form.Name), section: "campaigns", data: form,
	})
}

// lacking says what a form lacks, empty for nothing.
func (p *pages) lacking(form *campaignForm, wanted *selection) string {
	switch {
	case form.Reason == "":
		return p.text("campaign-new.no-reason")
	case !isName(form.Name):
		return p.text("campaign-new.no-name")
	case wanted.isEmpty():
		return p.text("campaign-new.no-selection")
	}
	return ""
}

// has puts a preview into the form, and counts who replaces its tokens.
func (f *campaignForm) has(found *preview) {
	f.Preview = found
	for _, r := range found.Rows {
		switch {
		case r.Automatic:
			f.Automatic++
		case r.Known:
			f.Person++
		}
	}
}

// startCampaign begins a campaign.
func (c *console) startCampaign(v *visit) {
	form := c.readCampaignForm(v)
	if !isName(form.Name) {
		form.Problem = c.pages.text("campaign-new.no-name")
		c.showCampaignForm(v, http.StatusBadRequest, form)
		return
	}
	data := form.selection().fields()
	data["reason"] = form.Reason
	if n, err := strconv.Atoi(form.Parallel); err == nil {
		data["parallel"] = n
	}
	if _, err := v.user.write(v.r.Context(), v.path("campaigns/"+form.Name), data, nil); err != nil {
		if isKind(err, signedOut, sealed, unreachable) {
			c.problem(v, err)
			return
		}
		form.Problem, form.Detail = c.pages.text("campaign-new.refused"), sentence(detailOf(err))
		if isKind(err, denied, missing) {
			form.Problem = c.pages.text("campaigns." + string(kindOf(err)))
		}
		c.showCampaignForm(v, statusOf(err), form)
		return
	}
	http.Redirect(v.w, v.r, mountURL(v.mount, "campaigns", "c", form.Name), http.StatusSeeOther)
}

// campaignData is what the page of a campaign shows.
type campaignData struct {
	campaign
	Name, URL string
	By        string
	Result    *result
	// Person, Others and Failed are the items by what a person has to do.
	Person, Others, Failed, Done []campaignItem
	Refresh                      int
	Now                          time.Time
}

func (c *console) campaignPage(v *visit) {
	name := v.r.PathValue("campaign")
	data := campaignData{Name: name, URL: mountURL(v.mount, "campaigns", "c", name), Now: c.now()}
	if !isName(name) {
		c.say(v, http.StatusNotFound, "problem.no-campaign", name)
		return
	}
	all := map[string][]string{"limit": {strconv.Itoa(statusPage)}}
	_, err := v.user.read(v.r.Context(), v.path("campaigns/"+name), all, &data.campaign)
	switch {
	case err == nil:
	case isKind(err, missing):
		c.say(v, http.StatusNotFound, "problem.no-campaign", name)
		return
	case isKind(err, denied):
		c.say(v, http.StatusForbidden, "campaigns.denied")
		return
	default:
		c.problem(v, err)
		return
	}
	data.By = data.CreatedBy.DisplayName
	data.Result = v.told(v.mount, "campaign "+name, c.now())
	if data.State == "running" {
		data.Refresh = refreshInterval
	}
	data.sort(v.mount)
	c.show(v, http.StatusOK, page{name: "campaign", title: c.pages.text("campaign.title", name), section: "campaigns", data: data})
}

// sort sorts the items by what a person has to do.
func (d *campaignData) sort(mount string) {
	slices.SortStableFunc(d.Items, func(a, b campaignItem) int { return strings.Compare(a.Token, b.Token) })
	for _, item := range d.Items {
		item.URL = mountURL(mount, "tokens", item.Token)
		switch {
		case item.State == "done":
			d.Done = append(d.Done, item)
		case item.State == "failed":
			d.Failed = append(d.Failed, item)
		case item.NeedsPerson():
			d.Person = append(d.Person, item)
		default:
			d.Others = append(d.Others, item)
		}
	}
}

// changeCampaign tries what has failed once more, or begins nothing new.
func (c *console) changeCampaign(v *visit) {
	name, do := v.r.PathValue("campaign"), v.r.PostFormValue("do")
	if !isName(name) || do != "retry" && do != "cancel" {
		c.say(v, http.StatusBadRequest, "problem.nothing-here")
		return
	}
	r := c.pages.outcome("good", "campaign."+do+".done")
	if _, err := v.user.write(v.r.Context(), v.path("campaigns/"+name), map[string]any{do: true}, nil); err != nil {
		if r = c.pages.failed(err, "campaign"); r.signedOut {
			c.askToSignIn(v.w, v.r, true)
			return
		}
	}
	r.At = c.now()
	v.tell(v.mount, "campaign "+name, r)
	http.Redirect(v.w, v.r, mountURL(v.mount, "campaigns", "c", name)+"#result", http.StatusSeeOther)
}
