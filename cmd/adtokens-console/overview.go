package main

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How many tokens a page lists.
const (
	maxUrgent   = 20
	tokensAPage = 50
)

// overviewData is what the overview shows.
type overviewData struct {
	// Missing is why there is no list.
	Missing   *trouble
	Open      string // where a token is opened by its name
	Urgent    []*row
	More      int
	MoreURL   string
	Campaigns []campaignLine
	Warnings  []string
	Total     int
	Healthy   int

	Filter       filter
	States       []string
	Rows         []*row
	Found        int
	First, Last  int
	PreviousPage string
	NextPage     string
	Now          time.Time
}

// overview says what needs attention first, and lists all tokens.
func (c *console) overview(v *visit) {
	query := v.r.URL.Query()
	if name := strings.TrimSpace(query.Get("open")); name != "" {
		http.Redirect(v.w, v.r, mountURL(v.mount, "tokens", name), http.StatusSeeOther)
		return
	}
	data := overviewData{
		Open: mountURL(v.mount), Now: c.now(), States: stateFilters,
		Filter: filter{Words: strings.TrimSpace(query.Get("q")), State: query.Get("state")},
	}
	if !slices.Contains(stateFilters, data.Filter.State) {
		data.Filter.State = ""
	}
	data.Campaigns = slices.DeleteFunc(c.campaignLines(v), func(line campaignLine) bool { return !line.NeedsPerson() })
	s, err := c.survey(v)
	switch {
	case isKind(err, denied, missing):
		data.Missing = c.pages.trouble(err, "overview.denied")
	case err != nil:
		c.problem(v, err)
		return
	default:
		data.fill(v.mount, s, query.Get("page"))
	}
	c.show(v, http.StatusOK, page{name: "overview", title: c.pages.text("overview.title"), section: "tokens", data: data})
}

func (d *overviewData) fill(mount string, s *survey, pageNumber string) {
	d.Total, d.Healthy, d.Warnings = len(s.rows), s.counts[fine], s.warnings
	d.Urgent, d.More = s.urgent(maxUrgent)
	d.MoreURL = mountURL(mount) + "?" + url.Values{"state": {"attention"}}.Encode() + "#tokens"
	rows := s.filter(d.Filter)
	d.Found = len(rows)
	pages := max(1, (len(rows)+tokensAPage-1)/tokensAPage)
	number, err := strconv.Atoi(pageNumber)
	if err != nil || number < 1 {
		number = 1
	}
	number = min(number, pages)
	from := (number - 1) * tokensAPage
	d.Rows = rows[from:min(from+tokensAPage, len(rows))]
	d.First, d.Last = from+1, from+len(d.Rows)
	link := func(n int) string {
		query := url.Values{"page": {strconv.Itoa(n)}}
		if d.Filter.Words != "" {
			query.Set("q", d.Filter.Words)
		}
		if d.Filter.State != "" {
			query.Set("state", d.Filter.State)
		}
		return mountURL(mount) + "?" + query.Encode() + "#tokens"
	}
	if number > 1 {
		d.PreviousPage = link(number - 1)
	}
	if number < pages {
		d.NextPage = link(number + 1)
	}
}
