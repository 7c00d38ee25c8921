package main

import (
	"cmp"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rotated is what the engine says about a rotation.
type rotated struct {
	Version            int
	PreviousVersion    int    `json:"previous_version"`
	Verification       string `json:"verification"`
	VerificationDetail string `json:"verification_detail"`
	Previous           string `json:"previous_credential"`
	RotationState      string `json:"rotation_state"`
}

// ownFields are the fields of the console's forms that are no values of a token.
var ownFields = []string{"csrf", "reason", "cas"}

// handIn hands a new value to the engine.
func (c *console) handIn(v *visit) {
	name := v.r.PathValue("token")
	var steps runbook
	if !isName(name) {
		c.say(v, http.StatusNotFound, "problem.no-token", name)
		return
	}
	if _, err := v.user.read(v.r.Context(), v.path("tokens/"+name+"/rotate"), nil, &steps); err != nil {
		c.answer(v, name, c.pages.failed(err, "rotate"))
		return
	}
	data, pasted := map[string]any{}, []string{}
	for _, field := range steps.Fields {
		if value := fieldValue(v.r, field); value != "" {
			data[field] = value
			pasted = append(pasted, value)
		}
	}
	if len(data) == 0 {
		c.answer(v, name, c.pages.outcome("bad", "result.nothing-pasted"))
		return
	}
	c.rotate(v, name, data, pasted)
}

// fieldValue is what was pasted, or the file that was chosen.
func fieldValue(r *http.Request, field string) string {
	if r.MultipartForm != nil {
		if files := r.MultipartForm.File[field+"_file"]; len(files) > 0 && files[0].Size > 0 {
			if file, err := files[0].Open(); err == nil {
				defer file.Close()
				if text, err := io.ReadAll(file); err == nil {
					return strings.TrimSpace(string(text))
				}
			}
		}
	}
	return strings.TrimSpace(r.PostFormValue(field))
}

// rotate asks the engine for a rotation: with a value, with what a consent gave, or with neither.
func (c *console) rotate(v *visit, name string, data map[string]any, pasted []string) {
	if reason := strings.TrimSpace(v.r.PostFormValue("reason")); reason != "" {
		data["reason"] = reason
	}
	if cas, err := strconv.Atoi(v.r.PostFormValue("cas")); err == nil {
		data["cas"] = cas
	}
	if v.r.PostFormValue("accept_other_identity") == "true" {
		data["accept_other_identity"] = true
	}
	var got rotated
	answer, err := v.user.write(v.r.Context(), v.path("tokens/"+name+"/rotate"), data, &got)
	if err != nil {
		r := c.pages.failed(err, "rotate")
		r.hide(pasted)
		c.answer(v, name, r)
		return
	}
	r := c.pages.rotated(&got, answer.Warnings)
	r.hide(pasted)
	c.answer(v, name, r)
}

// rotated says in words how a rotation ended.
func (p *pages) rotated(got *rotated, warnings []string) *result {
	if got.RotationState != "" && got.RotationState != "idle" && got.RotationState != "retiring" && got.Verification == "" {
		r := p.outcome("info", "result.under-way")
		r.Detail = sentences(warnings)
		return r
	}
	r := p.outcome("good", "result.published", got.Version)
	r.Text = append(r.Text, p.text("result.verification."+cmp.Or(got.Verification, "inconclusive")))
	switch {
	case got.PreviousVersion == 0:
	case strings.HasPrefix(got.Previous, "retires at "):
		r.Text = append(r.Text, p.text("result.previous.retires", p.momentText(strings.TrimPrefix(got.Previous, "retires at "))))
	default:
		r.Text = append(r.Text, p.textOr("result.previous."+strings.ReplaceAll(got.Previous, " ", "-"), got.Previous))
	}
	r.Detail = sentences(append([]string{got.VerificationDetail}, warnings...))
	if got.Verification == "inconclusive" {
		r.Tone = "info"
	}
	return r
}

// hide takes pasted values out of what Vault said, where it should never be.
func (r *result) hide(values []string) {
	for _, value := range values {
		if len(value) >= 4 {
			r.Detail = strings.ReplaceAll(r.Detail, value, "…")
		}
	}
}

// renew has the engine get a new value by itself.
func (c *console) renew(v *visit) {
	name := v.r.PathValue("token")
	if !isName(name) {
		c.say(v, http.StatusNotFound, "problem.no-token", name)
		return
	}
	c.rotate(v, name, map[string]any{}, nil)
}

// verify asks the platform about the current value.
func (c *console) verify(v *visit) {
	name := v.r.PathValue("token")
	var got struct {
		Outcome, Detail string
		ProviderCode    string `json:"provider_code"`
		RequestID       string `json:"request_id"`
	}
	if !isName(name) {
		c.say(v, http.StatusNotFound, "problem.no-token", name)
		return
	}
	if _, err := v.user.write(v.r.Context(), v.path("tokens/"+name+"/verify"), nil, &got); err != nil {
		c.answer(v, name, c.pages.failed(err, "verify"))
		return
	}
	tone := map[string]string{"accepted": "good", "rejected": "bad"}[got.Outcome]
	r := c.pages.outcome(cmp.Or(tone, "info"), "result.verified."+got.Outcome)
	r.Detail = sentence(got.Detail)
	if got.RequestID != "" {
		r.Detail += " " + c.pages.text("result.request-id", got.RequestID)
	}
	c.answer(v, name, r)
}

// retire ends an old value now.
func (c *console) retire(v *visit) {
	name := v.r.PathValue("token")
	data := map[string]any{}
	if version, err := strconv.Atoi(v.r.PostFormValue("version")); err == nil {
		data["version"] = version
	}
	var got struct {
		Version int
		Retired bool
	}
	if !isName(name) {
		c.say(v, http.StatusNotFound, "problem.no-token", name)
		return
	}
	answer, err := v.user.write(v.r.Context(), v.path("tokens/"+name+"/retire"), data, &got)
	if err != nil {
		c.answer(v, name, c.pages.failed(err, "retire"))
		return
	}
	r := c.pages.outcome("good", "result.retired", got.Version)
	r.Detail = sentences(answer.Warnings)
	c.answer(v, name, r)
}

// answer leads to the token's page, which shows the result. Reloading it sends nothing again.
func (c *console) answer(v *visit, name string, r *result) {
	if r.signedOut {
		c.askToSignIn(v.w, v.r, true)
		return
	}
	r.At = c.now()
	v.tell(v.mount, name, r)
	http.Redirect(v.w, v.r, mountURL(v.mount, "tokens", name)+"#result", http.StatusSeeOther)
}

// beginConsent leads to the platform, where a person agrees.
func (c *console) beginConsent(v *visit) {
	name := v.r.PathValue("token")
	if !isName(name) {
		c.say(v, http.StatusNotFound, "problem.no-token", name)
		return
	}
	data := map[string]any{"redirect_uri": c.origin(v.r) + "/consent/callback"}
	var pasted []string
	for field := range v.r.PostForm {
		if value := fieldValue(v.r, field); value != "" && !slices.Contains(ownFields, field) {
			data[field] = value
			pasted = append(pasted, value)
		}
	}
	var got struct {
		ConsentURL string `json:"consent_url"`
		State      string
	}
	if _, err := v.user.write(v.r.Context(), v.path("tokens/"+name+"/consent"), data, &got); err != nil {
		r := c.pages.failed(err, "consent")
		r.hide(pasted)
		c.answer(v, name, r)
		return
	}
	address, err := url.Parse(got.ConsentURL)
	if err != nil || !isPlatformURL(address) || got.State == "" {
		c.answer(v, name, c.pages.outcome("bad", "result.consent-address"))
		return
	}
	v.beginConsent(got.State, consentUnderWay{mount: v.mount, token: name, begun: c.now()})
	c.show(v, http.StatusOK, page{
		name: "elsewhere", title: c.pages.text("elsewhere.consent", name), section: "tokens", data: elsewhere{
			URL: address.String(), Host: address.Host, Back: mountURL(v.mount, "tokens", name),
			Text: []string{c.pages.text("elsewhere.consent-1"), c.pages.text("elsewhere.consent-2", data["redirect_uri"])},
		},
	})
}

// endConsent takes what a platform's redirect brings, and hands it to the engine at once. The address with the code is left behind: the
// browser keeps none that it was led on from.
func (c *console) endConsent(v *visit) {
	query := v.r.URL.Query()
	begun, known := v.endConsent(query.Get("state"), c.now())
	if !known {
		c.say(v, http.StatusBadRequest, "problem.consent-lost")
		return
	}
	v.mount = begun.mount
	data := map[string]any{"reason": c.pages.text("consent.reason")}
	if query.Get("code") != "" && query.Get("error") == "" {
		data["code"], data["state"] = query.Get("code"), query.Get("state")
	} else {
		refusal := url.Values{"state": {query.Get("state")}, "error": {cmp.Or(query.Get("error"), "no_code")}}
		data["redirect_url"] = c.origin(v.r) + "/consent/callback?" + refusal.Encode()
	}
	c.rotate(v, begun.token, data, []string{query.Get("code")})
}

// forTerminal is a part of a sentence that says what to type: the page has a button or a field for that.
var forTerminal = regexp.MustCompile("(?:^|[.;:,] )[^.;`]*`vault [^`]*`[^.;`]*")

// sentence ends a text as a sentence does, and leaves out what is for a terminal.
func sentence(text string) string {
	text = strings.TrimSpace(forTerminal.ReplaceAllString(text, ""))
	if text == "" {
		return ""
	}
	if !strings.ContainsAny(text[len(text)-1:], ".!?:") {
		text += "."
	}
	return text
}

// sentences are several texts as one.
func sentences(texts []string) string {
	var all []string
	for _, text := range texts {
		if text = sentence(text); text != "" {
			all = append(all, text)
		}
	}
	return strings.Join(all, " ")
}
