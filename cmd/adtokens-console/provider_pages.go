package main

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
)

// providerLine is a platform in a list.
type providerLine struct {
	Name, URL, Title string
	Origin           string
	Verified         bool
	Types            []string
}

func (c *console) providersPage(v *visit) {
	var listed struct {
		Keys    []string
		KeyInfo map[string]struct {
			Origin, Title string
			TokenTypes    []string `json:"token_types"`
			Verified      bool
		} `json:"key_info"`
	}
	_, err := v.user.list(v.r.Context(), v.path("providers"), &listed)
	if err != nil && !isKind(err, denied, missing) {
		c.problem(v, err)
		return
	}
	var lines []providerLine
	for _, name := range listed.Keys {
		info := listed.KeyInfo[name]
		lines = append(lines, providerLine{
			name, mountURL(v.mount, "providers", name), cmp.Or(info.Title, name), info.Origin, info.Verified, info.TokenTypes,
		})
	}
	sortBy(lines, func(l providerLine) string { return l.Title })
	c.show(v, http.StatusOK, page{name: "providers", title: c.pages.text("providers.title"), section: "providers", data: struct {
		Lines   []providerLine
		Missing *trouble
	}{lines, c.pages.trouble(err, "providers.denied")}})
}

// providerData is what the page of a platform shows.
type providerData struct {
	platform
	Types []typeLine
	Now   string
}

// typeLine is a token type of a platform.
type typeLine struct {
	Name, Title, ResetSemantics string
	Automatic, Consent          bool
	Role, ConsoleURL            string
	Inputs                      []input
}

func (c *console) providerPage(v *visit) {
	name := v.r.PathValue("provider")
	var data providerData
	if !isName(name) {
		c.say(v, http.StatusNotFound, "problem.no-provider", name)
		return
	}
	if _, err := v.user.read(v.r.Context(), v.path("providers/"+name), nil, &data.platform); err != nil {
		switch {
		case isKind(err, missing, refused):
			c.say(v, http.StatusNotFound, "problem.no-provider", name)
		case isKind(err, denied):
			c.say(v, http.StatusForbidden, "providers.denied")
		default:
			c.problem(v, err)
		}
		return
	}
	d := data.document()
	for kind, about := range data.TokenTypes {
		line := typeLine{
			Name: kind, Title: c.pages.kind(kind, about.Title), ResetSemantics: about.ResetSemantics, Automatic: about.Automatic, Consent: about.Consent,
			Role: d.TokenTypes[kind].Runbook.Role, Inputs: c.pages.inputs(&data.platform, kind, about.Fields, false),
		}
		if address, err := url.Parse(d.TokenTypes[kind].Runbook.ConsoleURL); err == nil && isPlatformURL(address) {
			line.ConsoleURL = address.String()
		}
		data.Types = append(data.Types, line)
	}
	sortBy(data.Types, func(l typeLine) string { return l.Name })
	data.Sources = slices.DeleteFunc(data.Sources, func(s struct{ Title, URL, Read string }) bool {
		address, err := url.Parse(s.URL)
		return err != nil || !isPlatformURL(address)
	})
	c.show(v, http.StatusOK, page{name: "provider", title: cmp.Or(data.Title, name), section: "providers", data: data})
}
