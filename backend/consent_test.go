package backend

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// agree gives the consent, as a person in a browser would, and returns where the browser is sent.
func (p *rollingPlatform) agree(t *testing.T, response *logical.Response) string {
	t.Helper()
	u, err := url.Parse(response.Data["consent_url"].(string))
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	code := fmt.Sprintf("code-%d-of-the-platform", len(p.codes)+p.refreshes)
	p.codes[code] = u.Query().Get("code_challenge")
	return u.Query().Get("redirect_uri") + "?" + url.Values{"state": {u.Query().Get("state")}, "code": {code}}.Encode()
}

func TestConsent_GivesTheFirstValue(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	f.write(t, "tokens/empty", map[string]any{"account": "rolling", "type": "oauth_client"})
	if response, err := f.handle(t, logical.UpdateOperation, "tokens/empty/consent", nil); err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), "client_id") {
		t.Errorf("got %v, error %v; want that client_id is missing", response, err)
	}
	asked := f.write(t, "tokens/empty/consent", map[string]any{"client_id": "client-8", "client_secret": "another-secret"})
	u, err := url.Parse(asked.Data["consent_url"].(string))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	wantFields(t, "consent_url", map[string]any{"client": q.Get("client_id"), "to": q.Get("redirect_uri"), "state": q.Get("state"), "pkce": q.Get("code_challenge_method")},
		map[string]any{"client": "client-8", "to": "http://127.0.0.1/", "state": asked.Data["state"], "pkce": "S256"})
	if q.Get("code_challenge") == "" || strings.Contains(u.String(), "another-secret") {
		t.Errorf("got %s", u)
	}
	runbook := f.read(t, "tokens/empty/rotate")
	if runbook["consent"] != true || !strings.Contains(runbook["steps"].([]string)[0], "tokens/empty/consent client_id=… client_secret=@FILE") {
		t.Errorf("the runbook begins with %q", runbook["steps"].([]string)[0])
	}
	redirect := p.agree(t, asked)
	response := f.write(t, "tokens/empty/rotate", map[string]any{"redirect_url": redirect, "reason": "first"})
	wantFields(t, "rotate", response.Data, map[string]any{"version": 1, "verification": "accepted"})
	got := f.stored(t, "empty")
	wantFields(t, "stored", map[string]any{
		"asked": got.Consent != nil, "source": got.History[0].Source, "client": got.Current.Credential["client_id"], "secret": got.Current.Credential["client_secret"] == "another-secret",
	}, map[string]any{"asked": false, "source": rotation.SourceConsent, "client": "client-8", "secret": true})
	f.read(t, "access-token/empty")
	asks := p.requests()
	if again, err := f.handle(t, logical.UpdateOperation, "tokens/empty/rotate", map[string]any{"redirect_url": redirect}); err != nil || !again.IsError() || p.requests() != asks {
		t.Errorf("the same answer again gives %v, error %v; want a refusal without a request", again, err)
	}
}

func TestConsent_Answers(t *testing.T) {
	t.Parallel()
	const mine = "mine"
	for name, test := range map[string]struct {
		answer func(state, code string) map[string]any
		late   bool
		says   string
		// over says that the consent cannot be answered any more.
		over bool
	}{
		"code and state": {answer: func(s, c string) map[string]any { return map[string]any{"code": c, "state": s} }},
		"address": {answer: func(s, c string) map[string]any {
			return map[string]any{"redirect_url": "http://127.0.0.1/?code=" + c + "&state=" + s}
		}},
		"another address": {answer: func(s, c string) map[string]any {
			return map[string]any{"redirect_url": "https://app.example/cb?x=1&code=" + c + "&state=" + s}
		}},
		"wrong state": {answer: func(_, c string) map[string]any { return map[string]any{"code": c, "state": mine} }, says: "not that of the newest consent"},
		"no code":     {answer: func(s, _ string) map[string]any { return map[string]any{"state": s} }, says: "belong together"},
		"no state":    {answer: func(_, c string) map[string]any { return map[string]any{"redirect_url": "http://127.0.0.1/?code=" + c} }, says: "whole address"},
		"refused": {
			answer: func(s, _ string) map[string]any {
				return map[string]any{"redirect_url": "http://127.0.0.1/?error=access_denied&error_description=" + mine + "&state=" + s}
			}, says: "access_denied", over: true,
		},
		"somebody else's refusal": {
			answer: func(string, string) map[string]any {
				return map[string]any{"redirect_url": "http://127.0.0.1/?error=access_denied&state=" + mine}
			}, says: "not that of the newest consent",
		},
		"unreadable refusal": {
			answer: func(s, _ string) map[string]any {
				return map[string]any{"redirect_url": "http://127.0.0.1/?error=" + mine + "%20%0a&state=" + s}
			}, says: "without a readable code", over: true,
		},
		"wrong code": {answer: func(s, _ string) map[string]any { return map[string]any{"code": mine, "state": s} }, says: "does not exchange the code", over: true},
		"both ways": {answer: func(s, c string) map[string]any {
			return map[string]any{"code": c, "state": s, "redirect_url": "http://127.0.0.1/"}
		}, says: "or code and state"},
		"beside a value": {answer: func(s, c string) map[string]any {
			return map[string]any{"code": c, "state": s, "refresh_token": "x-of-a-person"}
		}, says: "comes by itself"},
		"another version":  {answer: func(s, c string) map[string]any { return map[string]any{"code": c, "state": s, "cas": 7} }, says: "cas is 7"},
		"after its time":   {answer: func(s, c string) map[string]any { return map[string]any{"code": c, "state": s} }, late: true, says: "ten minutes", over: true},
		"without a verify": {answer: func(s, c string) map[string]any { return map[string]any{"code": c, "state": s, "verify": false} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := newFixture(t), newRollingPlatform(t)
			f.rolling(t, p, "dies", "")
			asked := f.write(t, "tokens/app/consent", nil)
			redirect, err := url.Parse(p.agree(t, asked))
			if err != nil {
				t.Fatal(err)
			}
			if test.late {
				f.clock.Advance(consentLife)
			}
			code := redirect.Query().Get("code")
			response, err := f.handle(t, logical.UpdateOperation, "tokens/app/rotate", test.answer(redirect.Query().Get("state"), code))
			if err != nil {
				t.Fatal(err)
			}
			if test.says == "" {
				if response.IsError() || response.Data["version"] != 2 {
					t.Errorf("got %v", response)
				}
				return
			}
			if text := fmt.Sprint(response.Error()); !strings.Contains(text, test.says) || strings.Contains(text, code) || strings.Contains(strings.ReplaceAll(text, "client", ""), mine+" ") {
				t.Errorf("got %q, want %q in it", text, test.says)
			}
			if got := f.stored(t, "app"); got.Number() != 1 || (got.Consent == nil) != test.over {
				t.Errorf("version %d, consent %v", got.Number(), got.Consent)
			}
			if test.over {
				return
			}
			if after := f.write(t, "tokens/app/rotate", map[string]any{"redirect_url": redirect.String()}); after.Data["version"] != 2 {
				t.Errorf("the consent could not be answered after that: %v", after.Data)
			}
		})
	}
}

func TestConsent_NewestCounts(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	first := p.agree(t, f.write(t, "tokens/app/consent", nil))
	second := p.agree(t, f.write(t, "tokens/app/consent", map[string]any{"redirect_uri": "https://console.example/back"}))
	if !strings.HasPrefix(second, "https://console.example/back?") {
		t.Errorf("the browser is sent to %s", second)
	}
	if response, err := f.handle(t, logical.UpdateOperation, "tokens/app/rotate", map[string]any{"redirect_url": first}); err != nil || !response.IsError() {
		t.Errorf("an older consent gives %v, error %v", response, err)
	}
	f.write(t, "tokens/app/rotate", map[string]any{"redirect_url": second})
}

func TestConsent_CodeIsSentOnce(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	redirect := p.agree(t, f.write(t, "tokens/app/consent", nil))
	p.lose("drop")
	asked := p.requests()
	_, err := f.handle(t, logical.UpdateOperation, "tokens/app/rotate", map[string]any{"redirect_url": redirect})
	if coded, ok := err.(logical.HTTPCodedError); !ok || coded.Code() != http.StatusBadGateway { //nolint:errorlint // outermost
		t.Errorf("got %v, want HTTP 502", err)
	}
	if again, err := f.handle(t, logical.UpdateOperation, "tokens/app/rotate", map[string]any{"redirect_url": redirect}); err != nil || !again.IsError() {
		t.Errorf("got %v, error %v", again, err)
	}
	if got := p.requests() - asked; got != 1 {
		t.Errorf("the code was sent %d times", got)
	}
}

func TestConsent_ValueOutlivesASilentProvider(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	redirect := p.agree(t, f.write(t, "tokens/app/consent", nil))
	p.lose("", "503") // the exchange, and the verification
	_, err := f.handle(t, logical.UpdateOperation, "tokens/app/rotate", map[string]any{"redirect_url": redirect})
	if err == nil || !strings.Contains(err.Error(), "goes on to try it by itself") {
		t.Errorf("got %v", err)
	}
	f.clock.Advance(5 * time.Second)
	f.await(t, "the value is published", func() bool { return f.read(t, "tokens/app")["version"] == 2 })
	if got := f.stored(t, "app").History[1]; got.Source != rotation.SourceConsent {
		t.Errorf("got %+v", got)
	}
}

func TestConsent_IsForTypesThatHaveOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	for path, data := range map[string]map[string]any{
		"tokens/acme-rw/consent": nil,
		"tokens/acme-rw/rotate":  {"redirect_url": "http://127.0.0.1/?code=a&state=b"},
		"config/acme":            {"redirect_uri": "https://console.example/"},
	} {
		if response, err := f.handle(t, logical.UpdateOperation, path, data); err != nil && !strings.Contains(err.Error(), "redirect") || err == nil && !response.IsError() {
			t.Errorf("%s: got %v, error %v", path, response, err)
		}
	}
}

func TestConsent_KeepsTheAddressesOfItsAccount(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	if response, err := f.handle(t, logical.DeleteOperation, "tokens/app", nil); err != nil || response.IsError() {
		t.Fatal(response, err)
	}
	f.write(t, "config/rolling", map[string]any{"redirect_uri": "https://console.example/back"})
	f.write(t, "tokens/empty", map[string]any{"account": "rolling", "type": "oauth_client"})
	asked := f.write(t, "tokens/empty/consent", map[string]any{"client_id": "client-8", "client_secret": "another-secret"})
	if !strings.Contains(asked.Data["consent_url"].(string), url.QueryEscape("https://console.example/back")) {
		t.Errorf("got %v", asked.Data)
	}
	if response, err := f.handle(t, logical.UpdateOperation, "config/rolling", map[string]any{"base_url": "https://elsewhere.example"}); err != nil || !response.IsError() {
		t.Errorf("got %v, error %v; want that the token's secret stays", response, err)
	}
	f.clock.Advance(consentLife)
	if err := f.rotateGivingWay(t.Context(), schedule.Job{Token: "empty", Account: "rolling", Kind: schedule.Rotate}); err != nil {
		t.Fatal(err)
	}
	f.write(t, "config/rolling", map[string]any{"base_url": "https://elsewhere.example"})
}
