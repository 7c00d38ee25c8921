package googleads_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
)

const (
	invalid      = "DEVELOPER_TOKEN_INVALID"
	notApproved  = "DEVELOPER_TOKEN_NOT_APPROVED"
	prohibited   = "DEVELOPER_TOKEN_PROHIBITED"
	notOnList    = "DEVELOPER_TOKEN_NOT_ON_ALLOWLIST"
	missing      = "DEVELOPER_TOKEN_PARAMETER_MISSING"
	noProject    = "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION"
	notPermitted = "ACTION_NOT_PERMITTED"
	noTwoSteps   = "TWO_STEP_VERIFICATION_NOT_ENROLLED"
	noAdsUser    = "NOT_ADS_USER"
)

// What a verification of a developer token asks for, beside the access token.
const (
	genuineProbe = "genuine"
	controlProbe = "control"
	bareProbe    = "bare"
)

// Sentences that tell the outcomes apart.
const (
	saysProven     = "rejects a wrong one"
	saysSunset     = "9 September 2026"
	saysHeader     = "apps must stop sending it"
	saysTestOnly   = "test-only access"
	saysUnclear    = "answered the control call"
	saysNotApart   = "does not tell it from a wrong one"
	saysPermission = "project's access level"
	saysOther      = "for another reason"
	saysIdentity   = "the account's own OAuth identity"
)

// TestVerifyDeveloperToken goes through what Google may answer to the token, to a wrong one, and to none. A handler that
// is nil stands for a call that must not be made.
func TestVerifyDeveloperToken(t *testing.T) {
	t.Parallel()
	var (
		isInvalid     = adsError(401, invalid)
		isNotApproved = adsError(403, notApproved)
		isProhibited  = adsError(403, prohibited)
		isNotOnList   = adsError(403, notOnList)
		isMissing     = adsError(400, missing)
		isNoProject   = adsError(403, noProject)
		isOther       = adsError(400, "UNSUPPORTED_VERSION")
		isNoBearer    = statusError(401, "UNAUTHENTICATED")
		isRevoked     = adsError(401, "OAUTH_TOKEN_REVOKED")
		isDown        = statusError(503, "UNAVAILABLE")
	)
	type want struct {
		outcome   provider.Outcome
		detail    string
		code      string
		requestID string
		caveat    bool
	}
	proven := want{outcome: provider.Accepted, detail: saysProven, requestID: "req-ok"}
	inconclusive := func(detail, code, requestID string) want {
		return want{outcome: provider.Inconclusive, detail: detail, code: code, requestID: requestID}
	}
	rejected := func(detail, code, requestID string) want {
		return want{outcome: provider.Rejected, detail: detail, code: code, requestID: requestID}
	}
	tests := map[string]struct {
		genuine, control, bare http.HandlerFunc
		want                   want
	}{
		"accepted, control rejected":           {customers, isInvalid, nil, proven},
		"accepted, control accepted":           {customers, customers, nil, inconclusive(saysSunset, "", "req-ok")},
		"accepted, control not permitted":      {customers, isNoProject, nil, inconclusive(saysUnclear, noProject, "req-403")},
		"accepted, control not approved":       {customers, isNotApproved, nil, inconclusive(saysUnclear, notApproved, "req-403")},
		"accepted, control prohibited":         {customers, isProhibited, nil, inconclusive(saysUnclear, prohibited, "req-403")},
		"accepted, control without a bearer":   {customers, isNoBearer, nil, inconclusive(saysUnclear, "UNAUTHENTICATED", "req-front")},
		"not approved, control rejected":       {isNotApproved, isInvalid, nil, want{provider.Accepted, saysTestOnly, notApproved, "req-403", true}},
		"not approved, control accepted":       {isNotApproved, customers, nil, inconclusive(saysNotApart, notApproved, "req-403")},
		"not approved as the control":          {isNotApproved, isNotApproved, isMissing, inconclusive(saysNotApart, notApproved, "req-403")},
		"not approved as the control, or bare": {isNotApproved, isNotApproved, customers, rejected(saysHeader, notApproved, "req-403")},
		"invalid":                              {isInvalid, nil, isMissing, rejected("it is not valid", invalid, "req-401")},
		"invalid, bare accepted":               {isInvalid, nil, customers, rejected(saysHeader, invalid, "req-401")},
		"invalid, bare unanswered":             {isInvalid, nil, isDown, rejected("it is not valid", invalid, "req-401")},
		"prohibited":                           {isProhibited, nil, isMissing, rejected("Google Cloud project", prohibited, "req-403")},
		"prohibited, bare accepted":            {isProhibited, nil, customers, rejected(saysHeader, prohibited, "req-403")},
		"not on the allowlist":                 {isNotOnList, nil, isMissing, rejected("not on the allowlist", notOnList, "req-403")},
		"header refused by the version":        {isOther, nil, customers, rejected(saysHeader, "UNSUPPORTED_VERSION", "req-400")},
		"header refused with 401":              {adsError(401, "HEADER_ERROR"), nil, customers, rejected(saysHeader, "HEADER_ERROR", "req-401")},
		"header refused with 403":              {isNoProject, nil, customers, rejected(saysHeader, noProject, "req-403")},
		"project not approved":                 {isNoProject, nil, isNoProject, inconclusive(saysPermission, noProject, "req-403")},
		"action not permitted":                 {adsError(403, notPermitted), nil, isMissing, inconclusive(saysPermission, notPermitted, "req-403")},
		"user not permitted":                   {adsError(403, "USER_PERMISSION_DENIED"), nil, isMissing, inconclusive(saysPermission, "USER_PERMISSION_DENIED", "req-403")},
		"permission code with another status":  {adsError(400, notPermitted), nil, isMissing, inconclusive(saysPermission, notPermitted, "req-400")},
		"user without access":                  {adsError(401, noAdsUser), nil, adsError(401, noAdsUser), inconclusive("Access and security", noAdsUser, "req-401")},
		"user without 2-step verification":     {adsError(401, noTwoSteps), nil, adsError(401, noTwoSteps), inconclusive("2-step verification", noTwoSteps, "req-401")},
		"other error":                          {isOther, nil, isOther, inconclusive(saysOther, "UNSUPPORTED_VERSION", "req-400")},
		"other error of the front end":         {statusError(404, "NOT_FOUND"), nil, isOther, inconclusive(saysOther, "NOT_FOUND", "req-front")},
		"access token refused":                 {isNoBearer, nil, nil, inconclusive(saysIdentity, "UNAUTHENTICATED", "req-front")},
		"access token revoked":                 {isRevoked, nil, nil, inconclusive(saysIdentity, "OAUTH_TOKEN_REVOKED", "req-401")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t)
			probes := probing(google, tc.genuine, tc.control, tc.bare)
			got, err := verify(t, google.account(t, withIdentity...), developerTokenToken)
			if err != nil {
				t.Fatalf("Verify: %v", err)
			}
			if got.Outcome != tc.want.outcome || got.Caveat != tc.want.caveat || got.Code != tc.want.code || got.RequestID != tc.want.requestID ||
				!strings.Contains(got.Detail, tc.want.detail) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			wantProbes(t, probes(), tc.genuine, tc.control, tc.bare)
		})
	}
}

// probing makes the fake answer by the developer token that it is shown. The result lists the probes that came.
func probing(google *fakeGoogle, genuine, control, bare http.HandlerFunc) func() []string {
	var seen []string
	google.ads = func(w http.ResponseWriter, r *http.Request) {
		name, handler := controlProbe, control
		switch values := r.Header["Developer-Token"]; {
		case len(values) == 0:
			name, handler = bareProbe, bare
		case values[0] == developerToken:
			name, handler = genuineProbe, genuine
		}
		google.mu.Lock()
		seen = append(seen, name)
		google.mu.Unlock()
		if handler == nil {
			handler = reply(http.StatusTeapot, "{}")
		}
		handler(w, r)
	}
	return func() []string {
		google.mu.Lock()
		defer google.mu.Unlock()
		return seen
	}
}

func wantProbes(t *testing.T, got []string, genuine, control, bare http.HandlerFunc) {
	t.Helper()
	var want []string
	for _, probe := range []struct {
		name    string
		handler http.HandlerFunc
	}{{genuineProbe, genuine}, {controlProbe, control}, {bareProbe, bare}} {
		if probe.handler != nil {
			want = append(want, probe.name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got the probes %q, want %q", got, want)
	}
}

func TestVerifyDeveloperTokenWithoutAnAnswerToAProbe(t *testing.T) {
	t.Parallel()
	down := statusError(503, "UNAVAILABLE")
	tests := map[string]struct{ genuine, control, bare http.HandlerFunc }{
		"genuine token": {down, nil, nil},
		"control":       {customers, down, nil},
		"bare call after an error that is not told": {adsError(400, "OTHER"), nil, down},
		"bare call after a permission error":        {adsError(403, noProject), nil, down},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t)
			probes := probing(google, tc.genuine, tc.control, tc.bare)
			_, err := verify(t, google.account(t, withIdentity...), developerTokenToken)
			if err == nil || err.Kind != provider.Unavailable || err.Code != "UNAVAILABLE" || err.RequestID != "req-front" {
				t.Errorf("got error %+v, want Unavailable with Google's code and request ID", err)
			}
			wantProbes(t, probes(), tc.genuine, tc.control, tc.bare)
		})
	}
}

func TestVerifyDeveloperTokenNeedsAnIdentity(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	got, err := verify(t, google.account(t), developerTokenToken)
	if err != nil || got.Outcome != provider.Inconclusive || !strings.Contains(got.Detail, "set client_id, client_secret and refresh_token, or service_account_key") {
		t.Errorf("got %+v, error %v; want inconclusive with what to configure", got, err)
	}
	google.wantCalls(t)
}

func TestVerifyDeveloperTokenWithARefusedIdentity(t *testing.T) {
	t.Parallel()
	for code, says := range map[string]string{"invalid_grant": "expired or revoked", "invalid_client": "client_secret is wrong"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t)
			google.token = oauthError(400, code)
			got, err := verify(t, google.account(t, withIdentity...), developerTokenToken)
			if err != nil || got.Outcome != provider.Inconclusive || got.Code != code ||
				!strings.Contains(got.Detail, saysIdentity) || !strings.Contains(got.Detail, says) {
				t.Errorf("got %+v, error %v; want inconclusive about the identity", got, err)
			}
			google.wantCalls(t, tokenCall)
		})
	}
}

// The control token has to look like any other, and must not be one that somebody could send on purpose.
func TestControlTokenHasTheFormOfADeveloperToken(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	account := google.account(t, withIdentity...)
	for range 2 {
		if _, err := verify(t, account, developerTokenToken); err != nil {
			t.Fatalf("Verify: %v", err)
		}
	}
	google.wantCalls(t, tokenCall, adsCall, adsCall, tokenCall, adsCall, adsCall)
	first, second := google.calls[2].developerToken, google.calls[5].developerToken
	if shapeOf(first) != shapeOf(developerToken) || shapeOf(second) != shapeOf(developerToken) {
		t.Errorf("got control tokens %q and %q, want ones of the shape of %q", first, second, developerToken)
	}
	if first == second || first == developerToken {
		t.Errorf("got control tokens %q and %q, want random ones", first, second)
	}
}

// shapeOf writes 0, a or A for a character of that kind, and punctuation as it is.
func shapeOf(token string) string {
	for class, sign := range map[string]string{`[0-9]`: "0", `[a-z]`: "a", `[A-Z]`: "A"} {
		token = regexp.MustCompile(class).ReplaceAllString(token, sign)
	}
	return token
}

func TestVerify_ControlTokenHasThePunctuationOfTheGenuineOne(t *testing.T) {
	t.Parallel()
	for _, genuine := range []string{"ABcdeFGH93KL-NOPQ_STUv", "----------------------", "-_-_-_-_-_-_-_-_-_-_-0"} {
		google := newGoogle(t)
		token := provider.Token{Type: "developer_token", Credential: provider.Values{"developer_token": genuine}}
		if _, err := verify(t, google.account(t, withIdentity...), token); err != nil {
			t.Fatalf("Verify: %v", err)
		}
		google.wantCalls(t, tokenCall, adsCall, adsCall)
		control := google.calls[2].developerToken
		if control == genuine || len(control) != len(genuine) || strings.ContainsAny(genuine, "abc") && shapeOf(control) != shapeOf(genuine) {
			t.Errorf("got the control token %q for %q, want another one of its shape", control, genuine)
		}
	}
}

func TestVerifySendsWhatGoogleAsksFor(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	settings := slices.Concat(withIdentity, []string{"login_customer_id", "1234567890", "api_version", "v27"})
	if _, err := verify(t, google.account(t, settings...), developerTokenToken); err != nil {
		t.Fatalf("Verify: %v", err)
	}
	list := "GET /v27/customers:listAccessibleCustomers"
	google.wantCalls(t, tokenCall, list, list)
	got := google.calls[1].header
	for name, want := range map[string]string{
		"Authorization": "Bearer " + accessToken, "Developer-Token": developerToken, "Login-Customer-Id": "1234567890", "Accept": "application/json",
	} {
		if got.Get(name) != want {
			t.Errorf("header %s: got %q, want %q", name, got.Get(name), want)
		}
	}
	if form := google.calls[0].form; form.Get("grant_type") != "refresh_token" || form.Get("client_id") != clientID ||
		form.Get("client_secret") != clientSecret || form.Get("refresh_token") != refreshToken {
		t.Error("the grant lacks a part of the identity")
	}
}

// TestVerifyIdentity covers the token types that are an OAuth identity, and the account's own.
func TestVerifyIdentity(t *testing.T) {
	t.Parallel()
	key := keyToken(t)
	verifyKinds := map[string]func(t *testing.T, g *fakeGoogle) (provider.Verification, *provider.Error){
		"oauth_client": func(t *testing.T, g *fakeGoogle) (provider.Verification, *provider.Error) {
			return verify(t, g.account(t), oauthClientToken)
		},
		"service_account_key": func(t *testing.T, g *fakeGoogle) (provider.Verification, *provider.Error) {
			return verify(t, g.account(t), key)
		},
		"account": func(t *testing.T, g *fakeGoogle) (provider.Verification, *provider.Error) {
			v, err := googleads.New().VerifyAccount(t.Context(), g.account(t, withIdentity...))
			if v == nil {
				v = &provider.Verification{}
			}
			return checked(t)(*v, err)
		},
	}
	onlyGrant, both := []string{tokenCall}, []string{tokenCall, adsCall}
	tests := map[string]struct {
		token, ads http.HandlerFunc
		want       provider.Verification // Detail is what it has to contain
		calls      []string
	}{
		"accepted":               {granted, customers, provider.Verification{Outcome: provider.Accepted, Detail: "accepts it", RequestID: "req-ok"}, both},
		"revoked":                {oauthError(400, "invalid_grant"), nil, provider.Verification{Outcome: provider.Rejected, Detail: "Google refuses the", Code: "invalid_grant"}, onlyGrant},
		"unknown client":         {oauthError(401, "invalid_client"), nil, provider.Verification{Outcome: provider.Rejected, Detail: "check|wrong", Code: "invalid_client"}, onlyGrant},
		"not for this client":    {oauthError(401, "unauthorized_client"), nil, provider.Verification{Outcome: provider.Rejected, Detail: "does not let this", Code: "unauthorized_client"}, onlyGrant},
		"deleted client":         {oauthError(401, "deleted_client"), nil, provider.Verification{Outcome: provider.Rejected, Detail: "was deleted", Code: "deleted_client"}, onlyGrant},
		"disabled client":        {oauthError(401, "disabled_client"), nil, provider.Verification{Outcome: provider.Rejected, Detail: "switched off", Code: "disabled_client"}, onlyGrant},
		"project not approved":   {granted, adsError(403, noProject), provider.Verification{Outcome: provider.Accepted, Caveat: true, Detail: "genuine", Code: noProject, RequestID: "req-403"}, both},
		"API not enabled":        {granted, statusError(403, "PERMISSION_DENIED"), provider.Verification{Outcome: provider.Accepted, Caveat: true, Detail: "genuine", Code: "PERMISSION_DENIED", RequestID: "req-front"}, both},
		"fresh token refused":    {granted, statusError(401, "UNAUTHENTICATED"), provider.Verification{Outcome: provider.Inconclusive, Detail: "does not take it", Code: "UNAUTHENTICATED", RequestID: "req-front"}, both},
		"developer token wanted": {granted, adsError(400, missing), provider.Verification{Outcome: provider.Accepted, Detail: "wants a developer token", Code: missing, RequestID: "req-400"}, both},
		"developer token unfit":  {granted, adsError(403, prohibited), provider.Verification{Outcome: provider.Accepted, Detail: "wants a developer token", Code: prohibited, RequestID: "req-403"}, both},
		"a 401 of other reasons": {granted, adsError(401, "SOMETHING_NEW"), provider.Verification{Outcome: provider.Inconclusive, Detail: "does not know", Code: "SOMETHING_NEW", RequestID: "req-401"}, both},
		"a 403 of other reasons": {granted, adsError(403, "SOMETHING_NEW"), provider.Verification{Outcome: provider.Accepted, Caveat: true, Detail: "does not let it in", Code: "SOMETHING_NEW", RequestID: "req-403"}, both},
		"a 400 of other reasons": {granted, adsError(400, "SOMETHING_NEW"), provider.Verification{Outcome: provider.Accepted, Caveat: true, Detail: "HTTP 400", Code: "SOMETHING_NEW", RequestID: "req-400"}, both},
		"no 2-step verification": {granted, adsError(401, noTwoSteps), provider.Verification{Outcome: provider.Rejected, Detail: "refuses every call.*2-step verification.*new consent", Code: noTwoSteps, RequestID: "req-401"}, both},
		"no customers":           {granted, reply(200, "{}", "request-id", "req-none"), provider.Verification{Outcome: provider.Accepted, Caveat: true, Detail: "lists no customer", RequestID: "req-none"}, both},
		"version not live":       {granted, adsError(400, "UNSUPPORTED_VERSION"), provider.Verification{Outcome: provider.Accepted, Caveat: true, Detail: "check api_version", Code: "UNSUPPORTED_VERSION", RequestID: "req-400"}, both},
		"access token revoked":   {granted, adsError(401, "OAUTH_TOKEN_REVOKED"), provider.Verification{Outcome: provider.Inconclusive, Detail: "does not take it", Code: "OAUTH_TOKEN_REVOKED", RequestID: "req-401"}, both},
	}
	for name, tc := range tests {
		for kind, verifyKind := range verifyKinds {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				google := newGoogle(t)
				google.token, google.ads = tc.token, tc.ads
				got, err := verifyKind(t, google)
				if err != nil {
					t.Fatalf("got error %v", err)
				}
				detail, granted := got.Detail, len(tc.calls) > 1
				if (got.Identity != "") != granted {
					t.Errorf("the identity is %q, and Google has granted an access token: %v", got.Identity, granted)
				}
				got.Detail, got.Identity = tc.want.Detail, ""
				if got != tc.want || !regexp.MustCompile(tc.want.Detail).MatchString(detail) {
					t.Errorf("got %+v with detail %q, want %+v", got, detail, tc.want)
				}
				google.wantCalls(t, tc.calls...)
				if i := len(google.calls) - 1; google.calls[i].hasHeader {
					t.Error("the developer-token header was sent")
				}
			})
		}
	}
}

// TestVerify_RefusalsOfAGoodGrantComeWithAdvice has what a person is to do for each code that Google documents.
func TestVerify_RefusalsOfAGoodGrantComeWithAdvice(t *testing.T) {
	t.Parallel()
	rpc := func(reason string) http.HandlerFunc {
		return rpcError(403, "PERMISSION_DENIED", `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"`+reason+`","domain":"googleapis.com"}`)
	}
	tests := map[string]struct {
		ads  http.HandlerFunc
		says string
	}{
		noProject:                              {adsError(403, noProject), "ask for Explorer access"},
		notPermitted:                           {adsError(403, notPermitted), "Test access only"},
		noAdsUser:                              {adsError(401, noAdsUser), "Admin, then Access and security"},
		"USER_PERMISSION_DENIED":               {adsError(403, "USER_PERMISSION_DENIED"), "check login_customer_id"},
		"PROJECT_DISABLED":                     {adsError(403, "PROJECT_DISABLED"), "not disabled"},
		"CLOUD_PROJECT_NOT_UNDER_ORGANIZATION": {adsError(403, "CLOUD_PROJECT_NOT_UNDER_ORGANIZATION"), "organisation"},
		"SERVICE_ACCESS_DENIED":                {adsError(403, "SERVICE_ACCESS_DENIED"), "Google Ads API page"},
		"MISSING_TOS":                          {adsError(403, "MISSING_TOS"), "terms of service"},
		"INCOMPLETE_SIGNUP":                    {adsError(403, "INCOMPLETE_SIGNUP"), "sign-up"},
		"SERVICE_DISABLED":                     {rpc("SERVICE_DISABLED"), "not enabled"},
		"ACCESS_TOKEN_SCOPE_INSUFFICIENT":      {rpc("ACCESS_TOKEN_SCOPE_INSUFFICIENT"), "lacks the scope https://www.googleapis.com/auth/adwords"},
	}
	for code, tc := range tests {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t)
			google.ads = tc.ads
			got, err := verify(t, google.account(t), oauthClientToken)
			if err != nil || got.Outcome != provider.Accepted || !got.Caveat || got.Code != code || !strings.Contains(got.Detail, tc.says) {
				t.Errorf("got %+v, error %v; want accepted, with a warning that says %q", got, err, tc.says)
			}
			if code == noAdsUser && (strings.Contains(got.Detail, "api_version") || strings.Contains(got.Detail, "login_customer_id")) {
				t.Errorf("got %q, which sends people after what is not the cause", got.Detail)
			}
			// Of a developer token the same answer says nothing.
			dev, err := verify(t, google.account(t, withIdentity...), developerTokenToken)
			if err != nil || dev.Outcome != provider.Inconclusive || !strings.Contains(dev.Detail, tc.says) {
				t.Errorf("developer token: got %+v, error %v; want inconclusive with %q", dev, err, tc.says)
			}
		})
	}
}

func TestVerify_UnknownRefusalOfAGrantIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, token := range []provider.Token{oauthClientToken, keyToken(t)} {
		google := newGoogle(t)
		google.token = oauthError(401, "something_new")
		_, err := verify(t, google.account(t), token)
		if err == nil || err.Kind != provider.Unavailable || err.Code != "something_new" || !strings.Contains(err.Problem, "cannot tell whether the credential is refused") {
			t.Errorf("%s: got error %+v, want one with the code that says that nothing is known", token.Type, err)
		}
		google.wantCalls(t, tokenCall)
	}
}

func TestVerifyServiceAccountKeyTellsThatAFreshKeyTakesTime(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	google.token = oauthError(400, "invalid_grant")
	got, err := verify(t, google.account(t), keyToken(t))
	if err != nil || !strings.Contains(got.Detail, "may be refused for a minute or more") {
		t.Errorf("got %+v, error %v; want a word on fresh keys", got, err)
	}
}

func TestVerifyAccountWithoutAnIdentity(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	v, err := googleads.New().VerifyAccount(t.Context(), google.account(t))
	if v != nil || err != nil {
		t.Errorf("got %+v, error %v; want neither", v, err)
	}
	google.wantCalls(t)
}

// TestVerifyWithoutAUsefulAnswer breaks each of the two endpoints in every way, for every kind of token.
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
	page := "<html>" + developerToken + clientSecret + "</html>"
	faults := map[string]struct {
		handler http.HandlerFunc
		kind    provider.Kind
		says    string
		wait    time.Duration
	}{
		"redirect":             {handler: reply(307, "", "Location", thief.URL), says: "redirect"},
		"oversized":            {handler: reply(200, "{}"+strings.Repeat(" ", 1<<20)), says: "more than 1048576 bytes"},
		"slow":                 {handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, kind: provider.Timeout, says: "in time"},
		"garbage":              {handler: reply(200, "\x00\xff{not json"), says: "unreadable answer (HTTP 200)"},
		"page":                 {handler: reply(200, page, "Content-Type", "text/html"), says: "unreadable answer (HTTP 200)"},
		"text":                 {handler: reply(200, "access_token="+accessToken, "Content-Type", "text/html"), says: "unreadable answer (HTTP 200)"},
		"page of a proxy":      {handler: reply(403, page, "Content-Type", "text/html"), says: "unreadable answer (HTTP 403)"},
		"JSON of a proxy":      {handler: reply(404, `{"message":"no route"}`), says: "unreadable answer (HTTP 404)"},
		"rate limit":           {handler: reply(429, page, "Retry-After", "30"), kind: provider.RateLimited, says: "HTTP 429", wait: 30 * time.Second},
		"maintenance":          {handler: reply(503, page, "Retry-After", "60"), says: "HTTP 503", wait: time.Minute},
		"dropped connection":   {handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, says: "closed the connection"},
		"list instead of JSON": {handler: reply(200, `["customers/1"]`), says: "unreadable answer (HTTP 200)"},
		"nothing":              {handler: reply(200, ""), says: "unreadable answer (HTTP 200)"},
		"refusal of nothing":   {handler: reply(401, ""), says: "unreadable answer (HTTP 401)"},
		"empty object":         {handler: reply(200, "{}"), says: "unreadable answer (HTTP 200)"},
		"yes of a proxy":       {handler: reply(200, `{"status":"ok"}`, "request-id", "req-proxy"), says: "unreadable answer (HTTP 200)"},
		"other list":           {handler: reply(200, `{"resourceNames":["projects/1"]}`, "request-id", "req-proxy"), says: "unreadable answer (HTTP 200)"},
		"error of a proxy":     {handler: reply(403, `{"error":{"status":"blocked","code":403}}`), says: "unreadable answer (HTTP 403)"},
		"error, as a page": {
			handler: reply(401, `{"error":{"code":401,"status":"UNAUTHENTICATED"}}`, "Content-Type", "text/html"), says: "unreadable answer (HTTP 401)",
		},
		"customers, as a page": {
			handler: reply(200, `{"resourceNames":["customers/1234567890"]}`, "Content-Type", "text/html"), says: "unreadable answer (HTTP 200)",
		},
	}
	tokens := []provider.Token{developerTokenToken, oauthClientToken, keyToken(t)}
	for name, fault := range faults {
		for _, token := range tokens {
			for _, endpoint := range []string{"token", "ads"} {
				t.Run(name+"/"+token.Type+"/"+endpoint, func(t *testing.T) {
					t.Parallel()
					google := newGoogle(t)
					if endpoint == "token" {
						google.token = fault.handler
					} else {
						google.ads = fault.handler
					}
					account := google.account(t, withIdentity...)
					if fault.kind == provider.Timeout {
						account.Client = newClient(t, 100*time.Millisecond)
					}
					_, err := verify(t, account, token)
					if err == nil || err.Kind != fault.kind || err.RetryAfter != fault.wait || !strings.Contains(err.Problem, fault.says) ||
						"http://"+err.Host != google.URL {
						t.Errorf("got error %+v, want kind %d with %q, wait %s", err, fault.kind, fault.says, fault.wait)
					}
				})
			}
		}
	}
}

func TestVerifyTellsGooglesQuota(t *testing.T) {
	t.Parallel()
	const exhausted = "RESOURCE_EXHAUSTED"
	tests := map[string]struct {
		ads  http.HandlerFunc
		wait time.Duration
	}{
		"HTTP 429":                   {ads: adsError(429, exhausted)},
		"with a wait":                {ads: withHeader(adsError(429, exhausted), "Retry-After", "120"), wait: 2 * time.Minute},
		"with another 4xx":           {ads: withHeader(adsError(403, exhausted), "Retry-After", "120"), wait: 2 * time.Minute},
		"without a GoogleAdsFailure": {ads: reply(429, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}`)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, token := range []provider.Token{developerTokenToken, oauthClientToken} {
				google := newGoogle(t)
				google.ads = tc.ads
				_, err := verify(t, google.account(t, withIdentity...), token)
				if err == nil || err.Kind != provider.RateLimited || err.Code != exhausted || err.RetryAfter != tc.wait {
					t.Errorf("%s: got error %+v, want RateLimited with a wait of %s", token.Type, err, tc.wait)
				}
				google.wantCalls(t, tokenCall, adsCall)
			}
		})
	}
}

func withHeader(handler http.HandlerFunc, name, value string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, value)
		handler(w, r)
	}
}

// TestIdentifiersThatEchoASecretAreDropped puts each secret where a code or a request ID is expected.
func TestIdentifiersThatEchoASecretAreDropped(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"developer token":     developerToken,
		"inside other text":   "req." + developerToken + ".1",
		"half of a secret":    clientSecret[:len(clientSecret)/2],
		"a part, in a text":   "x" + developerToken[1:],
		"access token":        accessToken,
		"part of private key": alphanumericPartOfKey(t),
		"other characters":    "<script>",
		"too long":            strings.Repeat("a", 129),
	}
	for name, echo := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t)
			google.ads = withHeader(adsError(400, echo), "request-id", echo)
			for _, token := range []provider.Token{developerTokenToken, oauthClientToken, keyToken(t)} {
				settings := append([]string{"service_account_key", keyFile(t, nil)}, withIdentity...)
				settings = append(settings, "developer_token", developerToken)
				got, err := verify(t, google.account(t, settings...), token)
				want := provider.Accepted // the grant decides
				if token.Type == "developer_token" {
					want = provider.Inconclusive
				}
				if err != nil || got.Outcome != want || strings.Contains(got.Code+got.RequestID, echo) {
					t.Errorf("%s: got %+v, error %v; want %s without the echo", token.Type, got, err, want)
				}
				if got.Code != "INVALID_ARGUMENT" || got.RequestID != "req-400" {
					t.Errorf("%s: got code %q, request ID %q; want those that echo nothing", token.Type, got.Code, got.RequestID)
				}
			}
		})
	}
}

// alphanumericPartOfKey is a piece of the private key that has the form of an identifier.
func alphanumericPartOfKey(t *testing.T) string {
	t.Helper()
	part := regexp.MustCompile(`[0-9A-Za-z]{8,}`).FindString(strings.SplitAfterN(privateKeyPEM(), "\n", 3)[2])
	if part == "" {
		t.Fatal("no piece of the key has the form of an identifier")
	}
	return part
}

func TestVerifyWithAnAddressThatIsNone(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	_, err := verify(t, google.account(t, "base_url", "http://[::1"), oauthClientToken)
	if err == nil || !strings.Contains(err.Error(), "a configured address is no URL") {
		t.Errorf("got error %v, want one about the address", err)
	}
}
