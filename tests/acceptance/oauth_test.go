//go:build unix

package acceptance

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// rollingServer is an OAuth server whose refresh tokens can be used as often as uses says, once for those that die at once.
type rollingServer struct {
	*httptest.Server
	mu        sync.Mutex
	live      map[string]int
	uses      int
	refreshes int
	// answered is called after a refresh, before its answer is sent.
	answered func()
}

func startRolling(t *testing.T, uses int) *rollingServer {
	t.Helper()
	s := &rollingServer{live: map[string]int{"rt-0-of-a-consent": uses}, uses: uses}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/me" {
			fmt.Fprint(w, `{"account_id":7}`)
			return
		}
		body := s.refresh(r.FormValue("refresh_token"))
		if body == nil {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_grant"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *rollingServer) refresh(given string) fields {
	s.mu.Lock()
	if s.live[given] < 1 {
		s.mu.Unlock()
		return nil
	}
	s.live[given]--
	s.refreshes++
	n, answered := s.refreshes, s.answered
	s.answered = nil
	fresh := fmt.Sprintf("rt-%d-of-the-simulated-platform", n)
	s.live[fresh] = s.uses
	s.mu.Unlock()
	if answered != nil {
		answered()
	}
	return fields{"access_token": fmt.Sprintf("at-%d-of-the-simulated-platform", n), "expires_in": 3600, "refresh_token": fresh}
}

func (s *rollingServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refreshes
}

const consentingDefinition = `
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
      refresh_token: {answer: always, previous: dies, keep_alive: 30d}
    verify:
      request: {url: '{+account.base_url}/me', bearer: '{grant.access_token}'}
      outcomes: [{when: status == 200, outcome: accepted}, {when: status == 401, outcome: rejected}]
    runbook: {console_url: https://console.rolling.example, steps: [Agree anew.], previous: Dies at the refresh.}
`

// importRolling makes the token app.
func importRolling(t *testing.T, m *vaulttest.Mount, s *rollingServer) {
	t.Helper()
	for _, write := range []struct {
		path string
		data fields
	}{
		{"providers/rolling_ads", fields{"definition": consentingDefinition}},
		{"config/rolling", fields{"provider": "rolling_ads", "base_url": s.URL}},
		{"tokens/app", fields{"account": "rolling", "type": "oauth_client", "client_id": "client-7", "client_secret": "a-client-secret", "refresh_token": "rt-0-of-a-consent"}},
	} {
		if _, err := m.Write(t.Context(), write.path, write.data); err != nil {
			vaulttest.Fatalf(t, "writing %s: %v", write.path, err)
		}
	}
}

func TestOAuth_ManyReadersCauseOneRefresh(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t), startRolling(t, 1)
	importRolling(t, w.Mount, s)
	before := s.count()
	var readers sync.WaitGroup
	tokens := make(chan any, 500)
	for range cap(tokens) {
		readers.Go(func() {
			secret, err := w.Read(t.Context(), "access-token/app")
			if err != nil {
				t.Errorf("reading: %v", err)
				return
			}
			tokens <- secret.Data["access_token"]
		})
	}
	readers.Wait()
	close(tokens)
	seen := map[any]bool{}
	for token := range tokens {
		seen[token] = true
	}
	if got := s.count() - before; got != 1 || len(seen) != 1 {
		t.Errorf("%d refreshes and %d access tokens, want one of each", got, len(seen))
	}
	has(t, w.data(t, "tokens/app"), fields{"version": 1, "refreshes": 1, "health": "ok"})
	if _, err := w.Read(t.Context(), "creds/app"); err == nil || !strings.Contains(err.Error(), "access-token/app") {
		t.Errorf("creds/ gives %v, want a refusal that names access-token/", err)
	}
}

// TestOAuth_PluginDiesBetweenAnswerAndStorage kills the plugin when the platform has refreshed, and before its answer is there.
func TestOAuth_PluginDiesBetweenAnswerAndStorage(t *testing.T) {
	t.Parallel()
	for name, uses := range map[string]int{"the old value dies at once": 1, "the old value may be used again": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, s := vaulttest.StartDev(t), startRolling(t, uses)
			m := server.Mount(t)
			importRolling(t, m, s)
			s.mu.Lock()
			s.answered = func() { server.KillPlugins(t) }
			s.mu.Unlock()
			// Vault may send the read to the next process, which can use the old value only where that did not die.
			if _, err := m.Read(t.Context(), "access-token/app"); err == nil && uses == 1 {
				t.Error("a read gave an access token although its refresh token was dead")
			}
			wanted := fields{"health": "rejected", "version": 1}
			if uses == 2 {
				wanted = fields{"health": "ok", "version": 1, "refreshes": 1, "last_error": ""}
			}
			var got fields
			vaulttest.Await(t, "the engine to know what became of the value", func() bool {
				secret, err := m.Read(t.Context(), "tokens/app")
				if err != nil {
					return false
				}
				got = secret.Data
				return fmt.Sprint(got["health"]) == "rejected" || fmt.Sprint(got["refreshes"]) == "1"
			})
			has(t, got, wanted)
			text := fmt.Sprint(got["last_error"])
			if lost := strings.Contains(text, "answer to a refresh was lost") && strings.Contains(text, "new consent is needed"); lost != (uses == 1) {
				t.Errorf("last_error is %q", text)
			}
			if uses == 1 {
				// A new consent makes everything well.
				s.mu.Lock()
				s.live["rt-of-a-new-consent"] = 1
				s.mu.Unlock()
				if _, err := m.Write(t.Context(), "tokens/app/rotate", fields{"refresh_token": "rt-of-a-new-consent"}); err != nil {
					t.Errorf("handing in: %v", err)
				}
			}
			if _, err := m.Read(t.Context(), "access-token/app"); err != nil {
				t.Errorf("reading: %v", err)
			}
		})
	}
}

var formAction = regexp.MustCompile(`action="([^"]+)"`)

// browse opens the consent page as a browser does, presses a button, and returns where the browser is sent.
func browse(t *testing.T, simulatorURL, consentURL, answer string) string {
	t.Helper()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	page := done(browser.Get(strings.Replace(consentURL, "https://accounts.google.com", simulatorURL, 1)))(t) //nolint:bodyclose // closed below
	defer page.Body.Close()
	text := string(done(io.ReadAll(page.Body))(t))
	if page.StatusCode != http.StatusOK {
		t.Fatalf("the consent page answers %s: %s", page.Status, text)
	}
	action := html.UnescapeString(formAction.FindStringSubmatch(text)[1])
	back := done(browser.PostForm(simulatorURL+action, url.Values{"answer": {answer}}))(t) //nolint:bodyclose // closed below
	defer back.Body.Close()
	return back.Header.Get("Location")
}

func TestOAuth_ConsentInTheBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	succeeded(t, w.sim.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored))
	account := w.googleFields(t)
	w.write(t, "config/google", account)
	w.write(t, "tokens/ads", fields{"account": "google", "type": "oauth_client"})
	begin := func() fields {
		return w.write(t, "tokens/ads/consent", fields{"client_id": account["client_id"], "client_secret": account["client_secret"]}).Data
	}
	denied := browse(t, w.sim.GoogleURL, begin()["consent_url"].(string), "deny")
	if _, err := w.Write(t.Context(), "tokens/ads/rotate", fields{"redirect_url": denied}); err == nil || !strings.Contains(err.Error(), "access_denied") {
		t.Errorf("a refused consent gives %v", err)
	}
	redirect := browse(t, w.sim.GoogleURL, begin()["consent_url"].(string), "allow")
	if !strings.HasPrefix(redirect, "http://127.0.0.1/?") {
		t.Errorf("the browser is sent to %q", redirect)
	}
	has(t, w.write(t, "tokens/ads/rotate", fields{"redirect_url": redirect, "reason": "first consent"}).Data, fields{"version": 1, "verification": "accepted"})
	if _, err := w.Write(t.Context(), "tokens/ads/rotate", fields{"redirect_url": redirect}); err == nil {
		t.Error("one consent was answered twice")
	}
	entry := w.data(t, "tokens/ads/history")["versions"].([]any)[0].(fields)
	has(t, entry, fields{"source": "consent", "reason": "first consent"})
	credential := w.data(t, "creds/ads")
	if credential["refresh_token"] == nil || credential["refresh_token"] == account["refresh_token"] {
		t.Error("the consent gave no refresh token of its own")
	}
	has(t, w.data(t, "tokens/ads/rotate"), fields{"consent": true})
	w.data(t, "access-token/ads")
}

func TestOAuth_Keyless(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	succeeded(t, w.sim.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored))
	key := done(w.sim.CreateServiceAccount(t.Context(), "robot"))(t)
	var robot struct {
		Email string `json:"client_email"`
	}
	succeeded(t, json.Unmarshal(key, &robot))
	token := filepath.Join(t.TempDir(), "token")
	succeeded(t, os.WriteFile(token, []byte(simulator.SubjectToken), 0o600))
	file := done(json.Marshal(fields{
		"type": "external_account", "audience": "//iam.googleapis.com/projects/7/locations/global/workloadIdentityPools/p/providers/v",
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
		"credential_source": fields{"file": token},
	}))(t)
	w.write(t, "config/google", fields{
		"provider": "google_ads", "external_account": string(file), "base_url": w.sim.GoogleURL, "iamcredentials_url": w.sim.GoogleURL, "sts_url": w.sim.GoogleURL + "/v1/token",
	})
	w.write(t, "tokens/robot", fields{"account": "google", "type": "impersonated_service_account", "service_account_email": robot.Email})
	access := w.data(t, "access-token/robot")
	if status := done(callGoogle(t.Context(), w.sim.GoogleURL, access["access_token"].(string)))(t); status != http.StatusOK {
		t.Errorf("Google Ads answers %d", status)
	}
	has(t, w.write(t, "tokens/robot/verify", nil).Data, fields{"outcome": "accepted"})
	for _, refused := range []struct {
		says string
		do   func() error
	}{
		{"access-token/robot", func() error { _, err := w.Read(t.Context(), "creds/robot"); return err }},
		{"nothing to rotate", func() error { _, err := w.Write(t.Context(), "tokens/robot/rotate", nil); return err }},
	} {
		if err := refused.do(); err == nil || !strings.Contains(err.Error(), refused.says) {
			t.Errorf("got %v, want %q in it", err, refused.says)
		}
	}
}
