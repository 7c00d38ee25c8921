package definition_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func TestVerify_SendsTheRequestOfTheDefinition(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		settings, options []string
		url, tag          string
	}{
		"defaults":         {url: "https://api.acme.example/v2/EMEA/me?app=12345"},
		"with a choice":    {settings: []string{"region", "us"}, url: "https://api.acme.example/v2/AMER/me?app=12345"},
		"with an option":   {options: []string{"probe_path", "a/b"}, url: "https://api.acme.example/v2/EMEA/a/b?app=12345"},
		"with a parameter": {settings: []string{"tag", "x y&z"}, url: "https://api.acme.example/v2/EMEA/me?app=12345&tag=x+y%26z", tag: "x y&z"},
		"behind a proxy":   {settings: []string{"base_url", "http://127.0.0.1:8080/acme"}, url: "http://127.0.0.1:8080/acme/v2/EMEA/me?app=12345"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, said{status: 200, body: `{"id":1}`})
			if v, err := verify(t, kind(t, "api_key"), p.account(tc.settings...), keyToken(tc.options...)); err != nil || v.Outcome != provider.Accepted {
				t.Fatalf("got %+v, error %v", v, err)
			}
			r := p.requests[0]
			if len(p.requests) != 1 || r.Method != http.MethodGet || r.URL.String() != tc.url {
				t.Errorf("got %d requests, %s %s, want GET %s", len(p.requests), r.Method, r.URL, tc.url)
			}
			if _, has := r.Header["X-Tag"]; r.Header.Get("X-Key") != secret || r.Header.Get("X-App") != "12345" || r.Header.Get("X-Tag") != tc.tag || has != (tc.tag != "") {
				t.Errorf("got the headers %v", r.Header)
			}
		})
	}
}

func TestVerify_TheFirstRuleThatFitsDecides(t *testing.T) {
	t.Parallel()
	const accepted, rejected, inconclusive = provider.Accepted, provider.Rejected, provider.Inconclusive
	html := []string{"Content-Type", "text/html"}
	tests := map[string]struct {
		answer  said
		outcome provider.Outcome
		code    string
		detail  string
		caveat  bool
	}{
		"accepted":                     {said{status: 200, body: `{"id":1}`}, accepted, "", "Acme accepts the key", false},
		"200 of another form":          {said{status: 200, body: `{"ok":1}`}, inconclusive, "", "api.acme.example answered HTTP 200, which says nothing", false},
		"200 with nothing":             {said{status: 200}, inconclusive, "", "HTTP 200", false},
		"200 without a type":           {said{status: 200, body: ` {"id":1}`, headers: []string{"Content-Type", "text/plain"}}, inconclusive, "", "HTTP 200", false},
		"200 of a related type":        {said{status: 200, body: `{"id":1}`, headers: []string{"Content-Type", "application/hal+json; charset=utf-8"}}, accepted, "", "", false},
		"half of it":                   {said{status: 200, body: `{"id":1`}, inconclusive, "", "HTTP 200", false},
		"two of it":                    {said{status: 200, body: `{"id":1}{"id":1}`}, inconclusive, "", "HTTP 200", false},
		"a page":                       {said{status: 200, body: `<html>{"id":1}`, headers: html}, inconclusive, "", "HTTP 200", false},
		"a page that says it is JSON":  {said{status: 200, body: `<html>{"id":1}`, headers: []string{"Content-Type", "application/json"}}, inconclusive, "", "HTTP 200", false},
		"rejected by status":           {said{status: 401}, rejected, "", "Acme refuses the key", false},
		"rejected by code":             {said{status: 400, body: `{"error":{"code":190}}`}, rejected, "190", "Acme refuses the key", false},
		"another code":                 {said{status: 400, body: `{"error":{"code":191}}`}, inconclusive, "", "HTTP 400", false},
		"a code that is a secret":      {said{status: 401, body: `{"error":{"code":"` + secret + `"}}`}, rejected, "", "Acme refuses the key", false},
		"a code that is half a secret": {said{status: 401, body: `{"error":{"code":"E-` + secret[4:16] + `"}}`}, rejected, "", "", false},
		"a code of several lines":      {said{status: 401, body: `{"error":{"code":"a\nb"}}`}, rejected, "", "", false},
		"genuine":                      {said{status: 403}, accepted, "", "without the right", true},
		"418":                          {said{status: 418}, inconclusive, "", "HTTP 418", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := verify(t, kind(t, "api_key"), newPlatform(t, tc.answer).account(), keyToken())
			if err != nil {
				t.Fatal(err)
			}
			if v.Outcome != tc.outcome || v.Code != tc.code || v.Caveat != tc.caveat || !strings.Contains(v.Detail, tc.detail) {
				t.Errorf("got %+v, want %+v", v, tc)
			}
		})
	}
}

func TestVerify_NoUsefulAnswer(t *testing.T) {
	t.Parallel()
	const unavailable, throttled, timeout = provider.Unavailable, provider.RateLimited, provider.Timeout
	tests := map[string]struct {
		answer said
		kind   provider.Kind
		says   string
		wait   time.Duration
	}{
		"429":                      {said{status: 429, headers: []string{"Retry-After", "7"}}, throttled, "limits the rate of requests (HTTP 429)", 7 * time.Second},
		"429 with another header":  {said{status: 429, headers: []string{"X-RateLimit-Reset", "1900000000"}}, throttled, "HTTP 429", 0},
		"throttled by a rule":      {said{status: 420, headers: []string{"X-Wait", "90"}}, throttled, "limits the rate of requests (HTTP 420)", 90 * time.Second},
		"a rule without its wait":  {said{status: 420, headers: []string{"Retry-After", "5"}}, throttled, "HTTP 420", 5 * time.Second},
		"a wait for ever":          {said{status: 420, headers: []string{"X-Wait", "999999999"}}, throttled, "HTTP 420", 24 * time.Hour},
		"a wait that is negative":  {said{status: 420, headers: []string{"X-Wait", "-5"}}, throttled, "HTTP 420", 0},
		"until long ago":           {said{status: 421, headers: []string{"X-Reset", "1000000000"}}, throttled, "HTTP 421", 0},
		"unavailable by a rule":    {said{status: 404, body: `{"maintenance":true}`}, unavailable, "gave no useful answer (HTTP 404): Acme is being maintained", 0},
		"500":                      {said{status: 500}, unavailable, "has a problem of its own (HTTP 500)", 0},
		"503 that asks to wait":    {said{status: 503, headers: []string{"Retry-After", "9"}}, unavailable, "HTTP 503", 9 * time.Second},
		"500 that looks accepted":  {said{status: 500, body: `{"id":1}`}, unavailable, "HTTP 500", 0},
		"500 that looks rejected":  {said{status: 500, body: `{"error":{"code":190}}`}, unavailable, "HTTP 500", 0},
		"a redirect":               {said{status: 302, headers: []string{"Location", "https://evil.example"}}, unavailable, "redirect (HTTP 302)", 0},
		"a redirect that rejects":  {said{status: 301, body: `{"error":{"code":190}}`}, unavailable, "redirect (HTTP 301)", 0},
		"408":                      {said{status: 408}, timeout, "HTTP 408", 0},
		"a dropped connection":     {said{err: io.ErrUnexpectedEOF}, unavailable, "closed the connection", 0},
		"an error with the secret": {said{err: errors.New("bad " + secret)}, unavailable, "no valid HTTP", 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := verify(t, kind(t, "api_key"), newPlatform(t, tc.answer).account(), keyToken())
			if err == nil {
				t.Fatalf("got %+v, want an error", v)
			}
			if err.Kind != tc.kind || !strings.Contains(err.Error(), tc.says) || err.RetryAfter != tc.wait {
				t.Errorf("got %+v (%v), want %+v", err, err, tc)
			}
		})
	}
}

func TestVerify_WaitUntilIsATime(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, said{status: 421, headers: []string{"X-Reset", itoa(time.Now().Add(time.Hour).Unix())}})
	if _, err := verify(t, kind(t, "api_key"), p.account(), keyToken()); err == nil || err.RetryAfter < 59*time.Minute || err.RetryAfter > time.Hour {
		t.Errorf("got %+v, want to wait an hour", err)
	}
}

func TestVerify_TellsIdentityExpiryAndRequestID(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body, requestID string
		identity        string
		expires         string
		wantRequestID   string
	}{
		"a number":               {`{"id":1,"account_id":7,"expires":1900000000}`, "r-1", "7", "2030-03-17T17:46:40Z", "r-1"},
		"a text and a time":      {`{"id":1,"account_id":"act 7","expires":"2030-01-02T03:04:05+01:00"}`, "", "act 7", "2030-01-02T02:04:05Z", ""},
		"a number of 64 bits":    {`{"id":1,"account_id":9223372036854775807}`, "", "9223372036854775807", "", ""},
		"a larger one":           {`{"id":1,"account_id":18446744073709551615}`, "", "18446744073709551615", "", ""},
		"one beyond all":         {`{"id":1,"account_id":123456789012345678901234567890}`, "", "123456789012345678901234567890", "", ""},
		"a whole number with .0": {`{"id":1,"account_id":7.0}`, "", "7", "", ""},
		"a huge exponent":        {`{"id":1,"account_id":1e999999999}`, "", "", "", ""},
		"a list":                 {`{"id":1,"account_id":["b","a","b",3]}`, "", "3,a,b", "", ""},
		"a list of lists":        {`{"id":1,"account_id":[["b"]]}`, "", "", "", ""},
		"an object":              {`{"id":1,"account_id":{"a":1}}`, "", "", "", ""},
		"never":                  {`{"id":1,"expires":0}`, "", "", "", ""},
		"no time":                {`{"id":1,"expires":"soon"}`, "", "", "", ""},
		"too long":               {`{"id":1,"account_id":"` + strings.Repeat("x", 257) + `"}`, "", "", "", ""},
		"several lines":          {`{"id":1,"account_id":"a\nb"}`, "", "", "", ""},
		"the secret":             {`{"id":1,"account_id":"` + secret + `"}`, secret, "", "", ""},
		"a part of the secret":   {`{"id":1,"account_id":"x` + secret[5:17] + `"}`, "x" + secret[5:17], "", "", ""},
		"an unprintable id":      {`{"id":1}`, "a b\x01", "", "", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := verify(t, kind(t, "api_key"), newPlatform(t, said{status: 200, body: tc.body, headers: []string{"X-Request-Id", tc.requestID}}).account(), keyToken())
			if err != nil || v.Outcome != provider.Accepted {
				t.Fatalf("got %+v, error %v", v, err)
			}
			expires := ""
			if !v.ExpiresAt.IsZero() {
				expires = v.ExpiresAt.Format(time.RFC3339)
			}
			if v.Identity != tc.identity || expires != tc.expires || v.RequestID != tc.wantRequestID {
				t.Errorf("got identity %q, expiry %q, request id %q; want %+v", v.Identity, expires, v.RequestID, tc)
			}
		})
	}
}

func TestVerify_RefusedAnswersTellNoIdentity(t *testing.T) {
	t.Parallel()
	v, err := verify(t, kind(t, "api_key"), newPlatform(t, said{status: 401, body: `{"account_id":7,"expires":1900000000}`}).account(), keyToken())
	if err != nil || v.Outcome != provider.Rejected || v.Identity != "" || !v.ExpiresAt.IsZero() {
		t.Errorf("got %+v, error %v", v, err)
	}
}

func TestVerify_Control(t *testing.T) {
	t.Parallel()
	const value = "ck-0123456789abcdef"
	token := provider.Token{Credential: provider.Values{"key": value}}
	tests := map[string]struct {
		control said
		outcome provider.Outcome
		says    string
	}{
		"rejected":     {said{status: 401}, provider.Accepted, "accepts the credential"},
		"accepted too": {said{status: 200}, provider.Inconclusive, "accepts a wrong key as well"},
		"cannot tell":  {said{status: 418}, provider.Inconclusive, "cannot tell"},
		"no answer":    {said{err: io.EOF}, provider.Inconclusive, "does not answer usefully about a wrong key"},
		"throttled":    {said{status: 429}, provider.Inconclusive, "does not answer usefully about a wrong key"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, said{status: 200}, tc.control)
			v, err := kind(t, "checked_key").Verify(t.Context(), p.account(), token)
			if err != nil || v.Outcome != tc.outcome || !strings.Contains(v.Detail, tc.says) {
				t.Errorf("got %+v, error %v; want %s with %q", v, err, tc.outcome, tc.says)
			}
			if len(p.requests) != 2 {
				t.Fatalf("got %d requests, want 2", len(p.requests))
			}
			wrong := p.requests[1].Header.Get("X-Key")
			if wrong == value || len(wrong) != len(value) || !strings.HasPrefix(wrong, "ck-") {
				t.Errorf("got the wrong value %q, want one of the same shape", wrong)
			}
		})
	}
	t.Run("not asked after a refusal", func(t *testing.T) {
		t.Parallel()
		p := newPlatform(t, said{status: 401})
		if v, err := kind(t, "checked_key").Verify(t.Context(), p.account(), token); err != nil || v.Outcome != provider.Rejected || len(p.requests) != 1 {
			t.Errorf("got %+v, error %v after %d requests", v, err, len(p.requests))
		}
	})
}

// TestVerify_UnsetEndpointIsNamed: an endpoint that a definition has added has no value in accounts from before.
func TestVerify_UnsetEndpointIsNamed(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, said{status: 200})
	_, err := verify(t, kind(t, "api_key"), p.account("base_url", ""), keyToken())
	if err == nil || !strings.Contains(err.Error(), "Acme Ads API was not called: base_url of the account has no value") || !err.NotSent || len(p.requests) > 0 {
		t.Errorf("got %v after %d requests", err, len(p.requests))
	}
}

func TestVerify_StoredOptionThatIsRefused(t *testing.T) {
	t.Parallel()
	text := with(t, "probe_path: {pattern", "probe_path: {refuse: [{pattern: 'Report.*', problem: must not be a report}], pattern")
	p := newPlatform(t, said{status: 200})
	v, err := verify(t, parse(t, text).Provider().Type("api_key"), p.account(), keyToken("probe_path", "Reports"))
	if err != nil || v.Outcome != provider.Inconclusive || v.Detail != "Acme Ads API was not asked, because probe_path of the token must not be a report" || len(p.requests) > 0 {
		t.Errorf("got %+v, error %v", v, err)
	}
}

func TestVerify_OptionThatIsRequired(t *testing.T) {
	t.Parallel()
	text := with(t, "probe_path: {pattern: '[0-9A-Za-z/_-]+', default: me,", "probe_path: {pattern: '[0-9A-Za-z/_-]+', required: true, form: a path,")
	p := newPlatform(t, said{status: 200, body: `{"id":1}`})
	kind := parse(t, text).Provider().Type("api_key")
	if v, err := verify(t, kind, p.account(), keyToken()); err != nil || v.Outcome != provider.Inconclusive || !strings.Contains(v.Detail, "probe_path of the token is missing; give a path") || len(p.requests) > 0 {
		t.Errorf("got %+v, error %v", v, err)
	}
	if v, err := verify(t, kind, p.account(), keyToken("probe_path", "me")); err != nil || v.Outcome != provider.Accepted {
		t.Errorf("got %+v, error %v", v, err)
	}
}

func TestVerify_Hints(t *testing.T) {
	t.Parallel()
	const hints = "outcome: rejected, hints: [{when: 'credential.key_id == \"K00000000\"', text: this is the key of the examples}, {when: 'option.probe_path == \"x\"', text: look at x}], code: 'string(body.error.code)'"
	kind := parse(t, with(t, "outcome: rejected, code: 'string(body.error.code)'", hints)).Provider().Type("api_key")
	p := newPlatform(t, said{status: 401})
	token := keyToken()
	if v, _ := verify(t, kind, p.account(), token); v.Detail != "Acme refuses the key" {
		t.Errorf("got %q, want no hint", v.Detail)
	}
	token.Credential["key_id"] = "K00000000"
	if v, _ := verify(t, kind, p.account(), token); v.Detail != "Acme refuses the key. this is the key of the examples" {
		t.Errorf("got %q, want a hint", v.Detail)
	}
}

func TestTry_TellsWhatWasDone(t *testing.T) {
	t.Parallel()
	d := parse(t, acme(t))
	p := newPlatform(t, said{status: 200, body: `{"access_token":"` + secret + `-at"}`}, said{status: 401, body: `{"x":1}`})
	v, trial, err := d.Try(t.Context(), "oauth_client", p.account(), clientToken())
	if err != nil || v.Outcome != provider.Rejected || len(trial.Steps) != 2 {
		t.Fatalf("got %+v, %+v, error %v", v, trial, err)
	}
	grant, verify := trial.Steps[0], trial.Steps[1]
	if grant.Name != "grant" || grant.Status != 200 || grant.Rule != "" || grant.Host != "login.acme.example" || verify.Name != "verify" || verify.Status != 401 ||
		verify.Rule != "token_types.oauth_client.verify.outcomes[1]" || verify.When != "status == 401 && body != null" || verify.Host != "api.acme.example" {
		t.Errorf("got %+v", trial)
	}
	if _, _, err := d.Try(t.Context(), "nothing", p.account(), clientToken()); err == nil {
		t.Error("got no error for a type that is not there")
	}
}
