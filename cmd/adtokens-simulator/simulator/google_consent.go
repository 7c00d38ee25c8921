package simulator

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
)

// consentPath is the path of Google's consent page at accounts.google.com.
const consentPath = "/o/oauth2/v2/auth"

// consentCode is what a consent gives until it is exchanged, once.
type consentCode struct {
	client                *oauthClient
	redirectURI, verifies string
	offline               bool
}

var consentPage = template.Must(template.New("consent").Parse(`<!doctype html>
<html lang="en"><title>Sign in - Google Accounts (simulated)</title>
<h1>{{.Client}} wants to access your Google Account</h1>
<p>See, edit, create and delete your Google Ads accounts and data.</p>
<form method="post" action="{{.Action}}">
<button name="answer" value="allow">Allow</button>
<button name="answer" value="deny">Cancel</button>
</form></html>
`))

// consentRefusal is the page for a request that Google shows no consent for; it never sends the browser on then.
func (s *Simulator) consentRefusal(q url.Values) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	address, err := url.Parse(q.Get("redirect_uri"))
	switch {
	case s.clientByID(q.Get("client_id")) == nil:
		return "Error 401: invalid_client"
	case q.Get("response_type") != "code":
		return "Error 400: unsupported_response_type"
	case err != nil || address.Host == "":
		return "Error 400: redirect_uri_mismatch"
	case q.Get("scope") != scopeAdWords:
		return "Error 400: invalid_scope"
	case q.Get("code_challenge") != "" && q.Get("code_challenge_method") != "S256":
		return "Error 400: invalid_request"
	}
	return ""
}

func (s *Simulator) handleConsentPage(w http.ResponseWriter, r *http.Request) {
	if refusal := s.consentRefusal(r.URL.Query()); refusal != "" {
		http.Error(w, refusal, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = consentPage.Execute(w, map[string]string{"Client": r.URL.Query().Get("client_id"), "Action": consentPath + "?" + r.URL.RawQuery}) // the client went away
}

// handleConsent is what the buttons of the page do.
func (s *Simulator) handleConsent(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if refusal := s.consentRefusal(q); refusal != "" {
		http.Error(w, refusal, http.StatusBadRequest)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	back, _ := url.Parse(q.Get("redirect_uri")) // consentRefusal has looked
	answer := back.Query()
	answer.Set("state", q.Get("state"))
	if r.PostFormValue("answer") == "allow" {
		answer.Set("code", s.newConsentCode(q))
		answer.Set("scope", scopeAdWords)
	} else {
		answer.Set("error", "access_denied")
	}
	back.RawQuery = answer.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound) //nolint:gosec // a test says where to
}

func (s *Simulator) newConsentCode(q url.Values) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	code := "4/0A" + randomString(base64URL, 70)
	client := s.clientByID(q.Get("client_id"))
	s.consentCodes[code] = consentCode{
		client: client, redirectURI: q.Get("redirect_uri"), verifies: q.Get("code_challenge"), offline: q.Get("access_type") == "offline" && q.Get("prompt") == "consent",
	}
	s.issue(Secret{GoogleToken, kindAccessToken, client.Name, "", code})
	return code
}

// grantCode exchanges the code of a consent, once.
func (s *Simulator) grantCode(r *http.Request) (*grantResponse, *oauthError) {
	client := s.clientByID(r.PostForm.Get("client_id"))
	if client == nil {
		return nil, &oauthError{status: http.StatusUnauthorized, Code: "invalid_client", Description: "The OAuth client was not found."}
	}
	if refusal := client.stateRefusal(); refusal != nil {
		return nil, refusal
	}
	if !client.acceptsSecret(r.PostForm.Get("client_secret")) {
		return nil, &oauthError{status: http.StatusUnauthorized, Code: "invalid_client", Description: "The provided client secret is invalid."}
	}
	code := r.PostForm.Get("code")
	consent, known := s.consentCodes[code]
	delete(s.consentCodes, code)
	hash := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	switch {
	case !known || consent.client != client:
		return nil, invalidGrant("Malformed auth code.")
	case consent.redirectURI != r.PostForm.Get("redirect_uri"):
		return nil, &oauthError{status: http.StatusBadRequest, Code: "redirect_uri_mismatch", Description: "Bad Request"}
	case consent.verifies != "" && consent.verifies != base64.RawURLEncoding.EncodeToString(hash[:]):
		return nil, invalidGrant("Invalid code verifier.")
	}
	s.addRefreshToken(client)
	fresh := client.RefreshTokens[len(client.RefreshTokens)-1].Value
	response := s.newAccessToken(accessToken{scopes: []string{scopeAdWords}, client: client, refreshToken: fresh})
	response.Scope = scopeAdWords
	if consent.offline {
		response.RefreshToken = fresh
	}
	return response, nil
}
