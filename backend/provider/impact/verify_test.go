package impact_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/impact"
)

const (
	accountSID = "IRq8mWJybvoQ1020978kbj7am8zzM2dBL1"
	authToken  = "s3cr3t-auth-token"
)

var tokenTypes = []string{"legacy_read_write", "legacy_read_only", "scoped"}

// token has a credential, and the options given as name and value in turn.
func token(tokenType string, options ...string) provider.Token {
	t := provider.Token{
		Type: tokenType, Options: provider.Values{},
		Credential: provider.Values{"account_sid": accountSID, "auth_token": authToken},
	}
	if len(options) == 2 {
		t.Options[options[0]] = options[1]
	}
	return t
}

// fakeImpact answers every request as its handler says, and keeps the last one.
type fakeImpact struct {
	*httptest.Server
	requests atomic.Int32
	last     atomic.Pointer[http.Request]
}

func newImpact(t *testing.T, handler http.HandlerFunc) *fakeImpact {
	t.Helper()
	f := &fakeImpact{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.requests.Add(1)
		f.last.Store(r)
		handler(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeImpact) account(t *testing.T, accountType string, timeout time.Duration) provider.Account {
	t.Helper()
	client, err := provider.NewClient(provider.ClientConfig{Timeout: timeout})
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return provider.Account{Client: client, Settings: provider.Values{"account_type": accountType, "base_url": f.URL}}
}

func reply(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if len(header) == 2 {
			w.Header().Set(header[0], header[1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// failure has impact.com's form, and echoes the secret as no real server should.
func failure(status int) http.HandlerFunc {
	return reply(status, `{"Status":"ERROR","Message":"bad `+authToken+`","Errors":[{"Field":"`+authToken+`","Message":"bad"}]}`)
}

// verify checks that what comes out holds no secret, and that an error is a *provider.Error.
func verify(t *testing.T, a provider.Account, token provider.Token) (provider.Verification, *provider.Error) {
	t.Helper()
	v, err := impact.New().Verify(t.Context(), a, token)
	if told := v.Detail + v.Code + v.RequestID; strings.Contains(told, token.Credential["auth_token"]) {
		t.Errorf("the secret shows up in %q", told)
	}
	if err == nil {
		return v, nil
	}
	if strings.Contains(err.Error(), token.Credential["auth_token"]) {
		t.Errorf("the secret shows up in the error %v", err)
	}
	silence, ok := errors.AsType[*provider.Error](err)
	if !ok || v != (provider.Verification{}) {
		t.Fatalf("got %+v and error %v, want a *provider.Error alone", v, err)
	}
	return v, silence
}

func TestVerifyOutcomes(t *testing.T) {
	t.Parallel()
	const (
		accepted     = provider.Accepted
		rejected     = provider.Rejected
		inconclusive = provider.Inconclusive
	)
	probe := []string{"probe_path", "Campaigns"}
	tests := map[string]struct {
		handler http.HandlerFunc
		token   provider.Token
		outcome provider.Outcome
		caveat  bool
		code    string
		detail  string
	}{
		"read/write accepted":       {reply(200, `{"CompanyName":"x"}`), token("legacy_read_write"), accepted, false, "", "accepts the token"},
		"read-only accepted":        {reply(200, `{}`), token("legacy_read_only"), accepted, false, "", "accepts the token"},
		"scoped accepted":           {reply(200, `{}`), token("scoped"), accepted, false, "", "accepts the token"},
		"read/write 401":            {failure(401), token("legacy_read_write"), rejected, false, "HTTP 401", "rejects the token"},
		"read-only 401":             {failure(401), token("legacy_read_only"), rejected, false, "HTTP 401", "rejects the token"},
		"scoped 401":                {failure(401), token("scoped"), rejected, false, "HTTP 401", "rejects the token"},
		"scoped 401 with a probe":   {failure(401), token("scoped", probe...), rejected, false, "HTTP 401", "rejects the token"},
		"read/write 403":            {failure(403), token("legacy_read_write"), inconclusive, false, "HTTP 403", "check account_type"},
		"read-only 403":             {failure(403), token("legacy_read_only"), inconclusive, false, "HTTP 403", "check account_type"},
		"read-only 403, probe":      {failure(403), token("legacy_read_only", probe...), inconclusive, false, "HTTP 403", "check account_type"},
		"scoped 403":                {failure(403), token("scoped"), accepted, true, "HTTP 403", "genuine, but disabled or without this endpoint's scope"},
		"scoped 403 with a probe":   {failure(403), token("scoped", probe...), rejected, false, "HTTP 403", "without the scope for its probe_path"},
		"404":                       {failure(404), token("legacy_read_write"), inconclusive, false, "HTTP 404", "check account_type and api_version of the account, and account_sid and probe_path"},
		"400":                       {failure(400), token("scoped"), inconclusive, false, "HTTP 400", "check account_type"},
		"410":                       {failure(410), token("scoped", probe...), inconclusive, false, "HTTP 410", "check account_type"},
		"401 without a body":        {reply(401, ""), token("scoped"), rejected, false, "HTTP 401", "rejects the token"},
		"404 with a page for human": {reply(404, "<html>"), token("scoped"), inconclusive, false, "HTTP 404", "check account_type"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newImpact(t, tc.handler)
			got, err := verify(t, server.account(t, "agency", time.Minute), tc.token)
			if err != nil {
				t.Fatalf("Verify: %v", err)
			}
			if got.Outcome != tc.outcome || got.Caveat != tc.caveat || got.Code != tc.code || got.RequestID != "" || !strings.Contains(got.Detail, tc.detail) {
				t.Errorf("got %+v, want %s, caveat %v, code %q, detail with %q", got, tc.outcome, tc.caveat, tc.code, tc.detail)
			}
			if n := server.requests.Load(); n != 1 {
				t.Errorf("got %d requests, want 1", n)
			}
		})
	}
}

func TestVerifyAsksForTheRightResource(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		accountType, version string
		token                provider.Token
		path                 string
	}{
		"agency":                 {accountType: "agency", token: token("legacy_read_write"), path: "/Agencies/" + accountSID + "/CompanyInformation"},
		"brand":                  {accountType: "brand", token: token("legacy_read_only"), path: "/Advertisers/" + accountSID + "/CompanyInformation"},
		"partner with a version": {accountType: "partner", version: "16", token: token("scoped"), path: "/Mediapartners/" + accountSID + "/CompanyInformation"},
		"probe path":             {accountType: "agency", token: token("scoped", "probe_path", "Campaigns/1/Ads"), path: "/Agencies/" + accountSID + "/Campaigns/1/Ads"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newImpact(t, reply(200, "{}"))
			account := server.account(t, tc.accountType, time.Minute)
			if tc.version != "" {
				account.Settings["api_version"] = tc.version
			}
			if _, err := verify(t, account, tc.token); err != nil {
				t.Fatalf("Verify: %v", err)
			}
			got := server.last.Load()
			if got.Method != http.MethodGet || got.URL.Path != tc.path || got.URL.RawQuery != "" {
				t.Errorf("got %s %s, want GET %s", got.Method, got.URL, tc.path)
			}
			if user, password, ok := got.BasicAuth(); !ok || user != accountSID || password != authToken {
				t.Errorf("got Basic authentication of %q (%v), want the Account SID and its token", user, ok)
			}
			if got.Header.Get("Accept") != "application/json" || strings.Join(got.Header.Values("IR-Version"), ",") != tc.version {
				t.Errorf("got Accept %q, IR-Version %q; want JSON and %q", got.Header.Get("Accept"), got.Header.Values("IR-Version"), tc.version)
			}
		})
	}
}

func TestVerifyWithoutAUsefulAnswer(t *testing.T) {
	t.Parallel()
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	t.Cleanup(func() {
		thief.Close()
		if n := stolen.Load(); n > 0 {
			t.Errorf("%d credentials were sent across a redirect", n)
		}
	})
	const xml = `<?xml version="1.0"?><ImpactRadiusResponse><CompanyInformation/></ImpactRadiusResponse>`
	tests := map[string]struct {
		handler http.HandlerFunc
		kind    provider.Kind
		says    string
		wait    time.Duration
	}{
		"redirect":           {handler: reply(302, "", "Location", thief.URL), says: "redirect"},
		"oversized":          {handler: reply(200, "{}"+strings.Repeat(" ", 1<<20)), says: "more than 1048576 bytes"},
		"slow":               {handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, kind: provider.Timeout, says: "in time"},
		"garbage":            {handler: reply(200, "\x00\xff{"+authToken), says: "unreadable answer (HTTP 200)"},
		"XML":                {handler: reply(200, xml), says: "unreadable answer (HTTP 200)"},
		"empty":              {handler: reply(204, ""), says: "unreadable answer (HTTP 204)"},
		"rate limit":         {handler: reply(429, "{}", "X-RateLimit-Reset", "1800"), kind: provider.RateLimited, says: "HTTP 429", wait: 30 * time.Minute},
		"server error":       {handler: failure(500), says: "HTTP 500"},
		"dropped connection": {handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, says: "closed the connection"},
	}
	for name, tc := range tests {
		for _, tokenType := range tokenTypes {
			t.Run(name+"/"+tokenType, func(t *testing.T) {
				t.Parallel()
				server, timeout := newImpact(t, tc.handler), time.Minute
				if tc.kind == provider.Timeout {
					timeout = 50 * time.Millisecond
				}
				_, err := verify(t, server.account(t, "brand", timeout), token(tokenType))
				if err == nil || err.Kind != tc.kind || err.RetryAfter != tc.wait || !strings.Contains(err.Problem, tc.says) || "http://"+err.Host != server.URL {
					t.Errorf("got error %+v, want kind %d with %q, wait %s", err, tc.kind, tc.says, tc.wait)
				}
			})
		}
	}
}

func TestVerifyWithAnAddressThatIsNone(t *testing.T) {
	t.Parallel()
	server := newImpact(t, reply(200, "{}"))
	account := server.account(t, "agency", time.Minute)
	account.Settings["base_url"] = "http://[::1"
	_, err := verify(t, account, token("scoped"))
	if err == nil || !strings.Contains(err.Error(), "a configured address is no URL") {
		t.Errorf("got error %v, want one about the address", err)
	}
}
