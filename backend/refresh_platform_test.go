package backend

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rollingPlatform is an OAuth server whose refresh tokens can be used once.
type rollingPlatform struct {
	*httptest.Server
	mu sync.Mutex
	// live are the refresh tokens that it takes, by how often each may still be used.
	live map[string]int
	// uses is how often a fresh one may be used; 1 has the one before die at once.
	uses      int
	refreshes int
	// asked has the refresh token of each request.
	asked []string
	// then is what becomes of the next answers: "drop" closes the connection after the refresh, "503" refuses before it.
	then []string
	// expiresIn is what answers say of a new refresh token, in seconds; 0 for nothing.
	expiresIn int
	// during is called in the middle of a refresh.
	during func()
	// noRights has it refuse what access tokens ask for.
	noRights atomic.Bool
	// account is whose the tokens are; 7 where it is empty.
	account atomic.Pointer[string]
	// codes that authorize has given out, with the client's code challenge.
	codes map[string]string
}

func newRollingPlatform(t testing.TB) *rollingPlatform {
	t.Helper()
	p := &rollingPlatform{live: map[string]int{}, uses: 1, codes: map[string]string{}}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

func (p *rollingPlatform) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/me" {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer at-") || p.noRights.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		account := "7"
		if p.account.Load() != nil {
			account = *p.account.Load()
		}
		fmt.Fprintf(w, `{"account_id":%q}`, account)
		return
	}
	if during := p.during; during != nil {
		during()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	then := ""
	if len(p.then) > 0 {
		then, p.then = p.then[0], p.then[1:]
	}
	if then == "503" {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	given := r.FormValue("refresh_token")
	p.asked = append(p.asked, given)
	if r.FormValue("grant_type") == "authorization_code" {
		code := r.FormValue("code")
		if _, known := p.codes[code]; !known {
			given = "no such code"
		} else {
			delete(p.codes, code)
			given = "consent-" + code
			p.live[given] = 1
		}
	}
	if p.live[given] < 1 {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	if p.live[given]--; p.live[given] == 0 {
		delete(p.live, given)
	}
	p.refreshes++
	fresh := fmt.Sprintf("rt-%d-of-the-simulated-platform", p.refreshes)
	p.live[fresh] = p.uses
	if then == "drop" {
		panic(http.ErrAbortHandler)
	}
	body := map[string]any{"access_token": fmt.Sprintf("at-%d-of-the-simulated-platform", p.refreshes), "expires_in": 3600, "refresh_token": fresh}
	if p.expiresIn > 0 {
		body["refresh_expires_in"] = p.expiresIn
	}
	_ = json.NewEncoder(w).Encode(body)
}

func (p *rollingPlatform) issue(value string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live[value] = p.uses
	return value
}

func (p *rollingPlatform) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refreshes
}

func (p *rollingPlatform) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

const rollingDefinition = `
format: 1
name: rolling_ads
title: Rolling Ads
sources: [{title: made up, url: https://docs.rolling.example, read: 2026-11-26}]
account:
  endpoints:
    base_url: {description: Address.}
token_types:
  oauth_client:
    title: OAuth client
    description: An OAuth client with a refresh token.
    reset_semantics: overlapping
    fields:
      client_id: {description: Client.}
      client_secret: {secret: true, description: Secret.}
      refresh_token: {secret: true, description: Refresh token.}
    grant:
      type: refresh_token
      url: '{+account.base_url}/token'
      client: body
      refresh_token: {answer: always, previous: PREVIOUS, expires_in: body.refresh_expires_in KEEPALIVE}
    consent:
      authorize_url: '{+account.base_url}/authorize'
      params: {client_id: '{credential.client_id}', scope: ads.read}
      pkce: true
      exchange: {url: '{+account.base_url}/token', client: body}
      credential: {refresh_token: body.refresh_token}
    verify:
      request: {url: '{+account.base_url}/me', bearer: '{grant.access_token}'}
      outcomes:
        - {when: status == 200, outcome: accepted}
        - {when: status == 401, outcome: rejected}
      identity: body.account_id
    runbook:
      console_url: https://console.rolling.example
      steps: [Agree anew.]
      previous: Dies at the refresh.
`

// rolling configures an account of the platform with one token "app", whose refresh token is the given one.
func (f *fixture) rolling(t testing.TB, p *rollingPlatform, previous, keepAlive string) {
	t.Helper()
	if keepAlive != "" {
		keepAlive = ", keep_alive: " + keepAlive
	}
	document := strings.NewReplacer("PREVIOUS", previous, " KEEPALIVE", keepAlive).Replace(rollingDefinition)
	f.write(t, "providers/rolling_ads", map[string]any{"definition": document})
	f.write(t, "config/rolling", map[string]any{"provider": "rolling_ads", "base_url": p.URL})
	f.write(t, "tokens/app", map[string]any{
		"account": "rolling", "type": "oauth_client", "client_id": "client-7", "client_secret": "a-client-secret", "refresh_token": p.issue("rt-0-of-a-consent"),
	})
}

func (f *fixture) await(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// wantFields looks that the data have these fields among others.
func wantFields(t testing.TB, what string, got, want map[string]any) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: %s is %v, want %v", what, name, got[name], value)
		}
	}
}
