package catalogue_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
)

const (
	accountSID = "IRq8mWJybvoQ1020978kbj7am8zzM2dBL1"
	authToken  = "s3cr3t-auth-token"
)

var tokenTypes = []string{"legacy_read_write", "legacy_read_only", "scoped"}

// token has a credential, and the options given as name and value in turn.
// impact is impact.com as the engine knows it.
func impact() *provider.Provider { return catalogue.Load("impact").Provider() }

// ask tries a token of its own type.
func ask(ctx context.Context, a provider.Account, t provider.Token) (provider.Verification, error) {
	return impact().Type(t.Type).Verify(ctx, a, t)
}

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

func impactReply(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if len(header) == 2 {
			w.Header().Set(header[0], header[1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// answer is announced as the API's are.
func answer(status int, body string) http.HandlerFunc {
	return impactReply(status, body, "Content-Type", "application/json;charset=utf-8")
}

// company is the body of CompanyInformation.
const company = `{"@uri":"/x","CompanyName":"Acme"}`

// failure has impact.com's form, and echoes the secret as no real server should.
const failureBody = `{"Status":"ERROR","Message":"bad ` + authToken + `","Errors":[{"Field":"` + authToken + `","Message":"bad"}]}`

func failure(status int) http.HandlerFunc { return answer(status, failureBody) }

// verify checks that what comes out holds no secret, and that an error is a *provider.Error.
func verify(t *testing.T, a provider.Account, token provider.Token) (provider.Verification, *provider.Error) {
	t.Helper()
	v, err := ask(t.Context(), a, token)
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

func TestImpact_VerifyOutcomes(t *testing.T) {
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
		"read/write accepted":     {answer(200, company), token("legacy_read_write"), accepted, false, "", "accepts the token"},
		"read-only accepted":      {answer(200, company), token("legacy_read_only"), accepted, false, "", "accepts the token"},
		"scoped accepted":         {answer(200, company), token("scoped"), accepted, false, "", "accepts the token"},
		"scoped accepted, probe":  {answer(200, `{"@page":"1","Campaigns":[],"Status":"ACTIVE"}`), token("scoped", probe...), accepted, false, "", "accepts the token"},
		"compressed":              {compressed(200, company), token("scoped"), accepted, false, "", "accepts the token"},
		"compressed refusal":      {compressed(401, failureBody), token("scoped"), rejected, false, "HTTP 401", "rejects the token"},
		"failure without fields":  {answer(401, `{"Status":"ERROR","Message":"no"}`), token("scoped"), rejected, false, "HTTP 401", "rejects the token"},
		"read/write 401":          {failure(401), token("legacy_read_write"), rejected, false, "HTTP 401", "rejects the token"},
		"read-only 401":           {failure(401), token("legacy_read_only"), rejected, false, "HTTP 401", "rejects the token"},
		"scoped 401":              {failure(401), token("scoped"), rejected, false, "HTTP 401", "rejects the token"},
		"scoped 401 with a probe": {failure(401), token("scoped", probe...), rejected, false, "HTTP 401", "rejects the token"},
		"read/write 403":          {failure(403), token("legacy_read_write"), inconclusive, false, "HTTP 403", "check account_type"},
		"read-only 403":           {failure(403), token("legacy_read_only"), inconclusive, false, "HTTP 403", "check account_type"},
		"read-only 403, probe":    {failure(403), token("legacy_read_only", probe...), inconclusive, false, "HTTP 403", "check account_type"},
		"scoped 403":              {failure(403), token("scoped"), accepted, true, "HTTP 403", "genuine, but disabled or without this endpoint's scope"},
		"scoped 403 with a probe": {failure(403), token("scoped", probe...), rejected, false, "HTTP 403", "without the scope for its probe_path"},
		"404":                     {failure(404), token("legacy_read_write"), inconclusive, false, "HTTP 404", "check account_type and api_version of the account, and account_sid and probe_path"},
		"400":                     {failure(400), token("scoped"), inconclusive, false, "HTTP 400", "check account_type"},
		"410":                     {failure(410), token("scoped", probe...), inconclusive, false, "HTTP 410", "check account_type"},
		"unknown 4xx":             {failure(418), token("scoped"), inconclusive, false, "HTTP 418", "check account_type"},
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

// compressed is answered as gzip, which the client asks for.
func compressed(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		zipped := gzip.NewWriter(w)
		_, _ = io.WriteString(zipped, body)
		_ = zipped.Close()
	}
}

// TestVerify_AnswerOfSomebodyElse: a proxy, a login portal or another service proves and refutes nothing, whatever the
// status and the type of token.
func TestImpact_Verify_AnswerOfSomebodyElse(t *testing.T) {
	t.Parallel()
	const (
		json = "application/json"
		html = "text/html; charset=utf-8"
		xml  = `<?xml version="1.0"?><ImpactRadiusResponse><Status>ERROR</Status><Message>no</Message></ImpactRadiusResponse>`
	)
	type body struct {
		contentType, text string
		// only says with which statuses the body comes from somebody else; nil means all.
		only func(status int) bool
	}
	success := func(status int) bool { return status < 300 }
	refusal := func(status int) bool { return status >= 400 }
	bodies := map[string]body{
		"page":                       {html, "<html>blocked</html>", nil},
		"page announced as JSON":     {json, "<html>blocked</html>", nil},
		"empty":                      {"", "", nil},
		"empty JSON":                 {json, "", nil},
		"text":                       {"text/plain", "blocked", nil},
		"list":                       {json, `[` + company + `]`, nil},
		"null":                       {json, "null", nil},
		"empty object":               {json, "{}", nil},
		"another service":            {json, `{"error":"unauthorized"}`, nil},
		"another service's status":   {json, `{"status":"ERROR","message":"no"}`, refusal},
		"gateway":                    {json, `{"message":"Forbidden"}`, refusal},
		"failure without a message":  {json, `{"Status":"ERROR"}`, refusal},
		"failure of another status":  {json, `{"Status":"FAILED","Message":"no"}`, refusal},
		"failure that is no string":  {json, `{"Status":["ERROR"],"Message":"no"}`, refusal},
		"failure announced as page":  {html, failureBody, nil},
		"failure without a type":     {"", failureBody, nil},
		"failure of another type":    {"application/problem+json", failureBody, nil},
		"failure as XML":             {"application/xml", xml, nil},
		"success in a refusal":       {json, company, refusal},
		"failure in a success":       {json, failureBody, success},
		"both in one":                {json, `{"CompanyName":"x","Status":"ERROR","Message":"no"}`, success},
		"company announced as page":  {html, company, success},
		"company in another case":    {json, `{"companyname":"x"}`, success},
		"company without a name":     {json, `{"CompanyName":""}`, success},
		"name that is no string":     {json, `{"CompanyName":{"x":1}}`, success},
		"two objects":                {json, company + company, success},
		"half an object":             {json, `{"CompanyName":"x"`, success},
		"portal that says all right": {json, `{"ok":true}`, success},
	}
	for name, b := range bodies {
		for _, status := range []int{200, 201, 204, 400, 401, 403, 404, 407, 410, 418} {
			if b.only != nil && !b.only(status) {
				continue
			}
			for _, of := range []provider.Token{token("legacy_read_only"), token("scoped"), token("scoped", "probe_path", "CompanyInformation")} {
				handler := impactReply(status, b.text, "Content-Type", b.contentType)
				if b.contentType == "" {
					handler = impactReply(status, b.text)
				}
				got, err := verify(t, newImpact(t, handler).account(t, "agency", time.Minute), of)
				if err == nil || err.Kind != provider.Unavailable || !strings.Contains(err.Problem, "unreadable answer (HTTP ") {
					t.Errorf("%s, HTTP %d, %s: got %+v, error %v; want no useful answer", name, status, of.Type, got, err)
				}
			}
		}
	}
}

// TestVerify_ProbePathOfAnUnknownForm: what a probe_path gives is not known, but for that it is an object with something in
// it, and no error.
func TestImpact_Verify_ProbePathOfAnUnknownForm(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"page":         impactReply(200, "<html>", "Content-Type", "text/html"),
		"empty object": answer(200, "{}"),
		"error":        answer(200, `{"error":"login"}`),
		"errors":       answer(200, `{"errors":[]}`),
		"its failure":  answer(200, failureBody),
		"no type":      impactReply(200, `{"Campaigns":[]}`, "Content-Type", "text/plain"),
	} {
		got, err := verify(t, newImpact(t, handler).account(t, "agency", time.Minute), token("scoped", "probe_path", "Campaigns"))
		if err == nil || !strings.Contains(err.Problem, "unreadable answer (HTTP 200)") {
			t.Errorf("%s: got %+v, error %v; want no useful answer", name, got, err)
		}
	}
}

// TestVerify_ExportsAreNeverAsked, whatever is stored from before.
func TestImpact_Verify_ExportsAreNeverAsked(t *testing.T) {
	t.Parallel()
	server := newImpact(t, answer(200, company))
	got, err := verify(t, server.account(t, "agency", time.Minute), token("scoped", "probe_path", "ReportExport/x"))
	if err != nil || got.Outcome != provider.Inconclusive || !strings.Contains(got.Detail, "probe_path") || server.requests.Load() != 0 {
		t.Errorf("got %+v, error %v after %d requests; want inconclusive after none", got, err, server.requests.Load())
	}
}

// TestVerify_RejectedPairThatIsMixedUp says what the values look like, and repeats none.
func TestImpact_Verify_RejectedPairThatIsMixedUp(t *testing.T) {
	t.Parallel()
	const other = "IRotherQJSxxtx1003248mgW3JmDKDeoq1"
	tests := map[string]struct{ sid, token, says string }{
		"as it should be":      {accountSID, authToken, ""},
		"SID twice":            {accountSID, accountSID, ". auth_token is the same as account_sid"},
		"SID of another token": {accountSID, other, ". auth_token looks like an Account SID"},
		"swapped":              {authToken, accountSID, ". The two look swapped"},
		"token as the SID":     {"e8GYwpy1VwW2l61dJOLJJ3zZa9epa9kT", authToken, ". account_sid does not look like an Account SID"},
	}
	for name, tc := range tests {
		of := token("legacy_read_write")
		of.Credential = provider.Values{"account_sid": tc.sid, "auth_token": tc.token}
		got, err := verify(t, newImpact(t, answer(401, `{"Status":"ERROR","Message":"no"}`)).account(t, "agency", time.Minute), of)
		const refused = "impact.com rejects the token: account_sid and auth_token are no valid pair, or not any more since a reset"
		rest, ok := strings.CutPrefix(got.Detail, refused)
		if err != nil || got.Outcome != provider.Rejected || !ok || !strings.HasPrefix(rest, tc.says) || (rest == "") != (tc.says == "") {
			t.Errorf("%s: got %+v, error %v; want rejected with %q", name, got, err, tc.says)
		}
		if strings.Contains(got.Detail, tc.sid) || strings.Contains(got.Detail, tc.token) {
			t.Errorf("%s: the value is in %q", name, got.Detail)
		}
	}
}

func TestImpact_VerifyAsksForTheRightResource(t *testing.T) {
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
			server := newImpact(t, answer(200, `{"CompanyName":"x"}`))
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

func TestImpact_VerifyWithoutAUsefulAnswer(t *testing.T) {
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
		"redirect":           {handler: impactReply(302, "", "Location", thief.URL), says: "redirect"},
		"oversized":          {handler: answer(200, company+strings.Repeat(" ", 1<<20)), says: "more than 1048576 bytes"},
		"slow":               {handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, kind: provider.Timeout, says: "in time"},
		"garbage":            {handler: answer(200, "\x00\xff{"+authToken), says: "unreadable answer (HTTP 200)"},
		"XML":                {handler: impactReply(200, xml, "Content-Type", "text/xml;charset=utf-8"), says: "unreadable answer (HTTP 200): impact.com's XML, although JSON was asked for"},
		"empty":              {handler: impactReply(204, ""), says: "unreadable answer (HTTP 204)"},
		"rate limit":         {handler: impactReply(429, "{}", "X-RateLimit-Reset", "1800"), kind: provider.RateLimited, says: "HTTP 429", wait: 30 * time.Minute},
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

func TestImpact_VerifyWithAnAddressThatIsNone(t *testing.T) {
	t.Parallel()
	server := newImpact(t, answer(200, `{"CompanyName":"x"}`))
	account := server.account(t, "agency", time.Minute)
	account.Settings["base_url"] = "http://[::1"
	_, err := verify(t, account, token("scoped"))
	if err == nil || !strings.Contains(err.Error(), "a configured address is no URL") {
		t.Errorf("got error %v, want one about the address", err)
	}
}
