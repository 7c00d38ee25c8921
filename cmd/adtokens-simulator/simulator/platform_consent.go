package simulator

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"
)

// platformConsentPage asks a person. Its form is sent to the page's own address, whose query says for which app and where to go on.
var platformConsentPage = template.Must(template.New("consent").Parse(`<!doctype html>
<html lang="en"><title>{{.Platform}} (simulated): allow access</title>
<h1>{{.Platform}}</h1>
<p>An app wants to act for the account {{.Owner}}, and sends you back to {{.Host}} then.</p>
<form method="post">
<button name="answer" value="allow">Allow</button>
<button name="answer" value="deny">Cancel</button>
</form></html>
`))

func isConsentPage(e *scriptEndpoint) bool { return e.Consent != nil }

// answerConsent shows the page of a consent, or does what its buttons do. Where the request itself is wrong, the browser is sent nowhere.
// The caller holds mu.
func (s *Simulator) answerConsent(p *platform, e *scriptEndpoint, a *arrival, f *finding) writtenAnswer {
	back := e.Consent.back(a)
	if back == nil || f.credential == nil {
		return s.write(p, p.plainAnswer(answerBadRequest), f)
	}
	if a.Method != http.MethodPost {
		var page bytes.Buffer
		_ = platformConsentPage.Execute(&page, map[string]string{ // to memory
			"Platform": p.title(), "Owner": f.credential.owner, "Host": back.Host,
		})
		return writtenAnswer{status: http.StatusOK, header: map[string]string{"Content-Type": "text/html; charset=utf-8"}, body: page.Bytes()}
	}
	answer := back.Query()
	if a.query.Has("state") {
		answer.Set("state", a.query.Get("state"))
	}
	if f.credential.denied || a.form.Get("answer") != "allow" {
		answer.Set("error", "access_denied")
	} else {
		code := s.add(p, f.credential, e.Consent.Code, "")
		code.redirect, code.challenge = a.query.Get("redirect_uri"), a.query.Get("code_challenge")
		param := e.Consent.CodeParam
		if param == "" {
			param = "code"
		}
		answer.Set(param, code.text)
	}
	back.RawQuery = answer.Encode()
	return writtenAnswer{status: http.StatusFound, header: map[string]string{"Location": back.String()}}
}

// back is the address to send the browser to, nil where the request has none, or lacks what PKCE wants.
func (c *scriptConsent) back(a *arrival) *url.URL {
	back, err := url.Parse(a.query.Get("redirect_uri"))
	challenge, method := a.query.Get("code_challenge"), a.query.Get("code_challenge_method")
	if err != nil || !back.IsAbs() || back.Host == "" || (challenge == "" && c.PKCE) || (challenge != "" && method != "S256") {
		return nil
	}
	return back
}

func (p *platform) title() string {
	if p.script.Title != "" {
		return p.script.Title
	}
	return p.script.Name
}
