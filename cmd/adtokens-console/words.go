package main

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// trouble is why a part of a page is missing, in words.
type trouble struct {
	Text   string
	Detail string
}

// trouble is nil where there is no error. forDenied is the key of what a person without the right reads.
func (p *pages) trouble(err error, forDenied string) *trouble {
	switch {
	case err == nil:
		return nil
	case isKind(err, denied):
		return &trouble{Text: p.text(forDenied)}
	}
	return &trouble{Text: p.explain(err), Detail: detailOf(err)}
}

// explain says in words why a request to Vault has failed.
func (p *pages) explain(err error) string { return p.text("failure." + string(kindOf(err))) }

func kindOf(err error) kind {
	for _, k := range []kind{denied, signedOut, missing, refused, busy, silent, sealed, unreachable, late} {
		if isKind(err, k) {
			return k
		}
	}
	return broken
}

// detailOf is what Vault said, where that helps an engineer.
func detailOf(err error) string {
	if f, is := errors.AsType[*failure](err); is && f.kind != denied {
		return f.Detail()
	}
	return ""
}

// statusOf is the HTTP status of a page about an error.
func statusOf(err error) int {
	switch kindOf(err) {
	case denied:
		return http.StatusForbidden
	case signedOut:
		return http.StatusUnauthorized
	case missing:
		return http.StatusNotFound
	case refused:
		return http.StatusBadRequest
	case busy:
		return http.StatusConflict
	case sealed, unreachable:
		return http.StatusServiceUnavailable
	case late:
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// outcome is a result with the texts of a key: its title, and what it means.
func (p *pages) outcome(tone, key string, args ...any) *result {
	r := &result{Tone: tone, Title: p.text(key, args...)}
	if more := p.textOr(key+".more", ""); more != "" {
		r.Text = append(r.Text, more)
	}
	return r
}

// failed says in words why something that a person did has failed. What is the end of texts' keys.
func (p *pages) failed(err error, what string) *result {
	k := kindOf(err)
	key := "result." + what + "." + string(k)
	detail := sentence(detailOf(err))
	switch {
	case strings.Contains(detail, "is the current credential already"):
		key = "result.rotate.same"
	case p.textOr(key, "") == "":
		key = "result.failed." + string(k)
	}
	r := p.outcome("bad", key)
	if k == silent || k == late || k == busy {
		r.Tone = "info"
	}
	r.Detail = detail
	r.OtherIdentity = strings.Contains(r.Detail, "accept_other_identity")
	r.signedOut = k == signedOut
	return r
}

// problem shows a page that could not be made.
func (c *console) problem(v *visit, err error) {
	if isKind(err, signedOut) {
		c.sessions.end(v.w, v.r)
		c.askToSignIn(v.w, v.r, true)
		return
	}
	c.logger.Warn("a page could not be made", "page", v.r.Pattern, "why", kindOf(err))
	c.show(v, statusOf(err), page{
		name: "problem", title: c.pages.text("problem.title"), data: trouble{Text: c.pages.explain(err), Detail: detailOf(err)},
	})
}

// say shows a page with one text.
func (c *console) say(v *visit, status int, key string, args ...any) {
	c.show(v, status, page{name: "problem", title: c.pages.text(key + ".title"), data: trouble{Text: c.pages.text(key, args...)}})
}

func (c *console) nothingHere(v *visit) { c.say(v, http.StatusNotFound, "problem.nothing-here") }

// plainProblem is a page for somebody of whom nothing is known.
func (c *console) plainProblem(w http.ResponseWriter, status int, key string) {
	c.render(w, status, page{name: "problem", title: c.pages.text("problem.title"), data: trouble{Text: c.pages.text(key)}}, frame{})
}

// kind is what people call a type of tokens: the platform's title, where it is at hand.
func (p *pages) kind(name, title string) string {
	return cmp.Or(title, p.textOr("type."+name, strings.ReplaceAll(name, "_", " ")))
}

// moment is a point in time as people read it.
func (p *pages) moment(at time.Time) string { return at.UTC().Format("2 January 2006, 15:04 UTC") }

func (p *pages) momentText(rfc3339 string) string {
	at, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		return rfc3339
	}
	return p.moment(at)
}

// duration is a length of time in its largest unit.
func (p *pages) duration(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		key    string
	}{{24 * time.Hour, "unit.day"}, {time.Hour, "unit.hour"}, {time.Minute, "unit.minute"}, {time.Second, "unit.second"}} {
		if n := int(d / unit.length); n >= 2 || n == 1 && unit.key == "unit.second" {
			return p.text(cmp.Or(map[bool]string{true: unit.key + ".one"}[n == 1], unit.key), n)
		}
	}
	return p.text("unit.second", 0)
}

// ago is how long before now a time was; or how long after, for one to come.
func (p *pages) ago(at, now time.Time) string {
	switch d := now.Sub(at); {
	case d > -time.Minute && d < time.Minute:
		return p.text("time.now")
	case d < 0:
		return p.text("time.in", p.duration(-d))
	default:
		return p.text("time.ago", p.duration(d))
	}
}

func sortBy[T any](all []T, key func(T) string) {
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
}
