package simulator_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

const adwords = "https://www.googleapis.com/auth/adwords"

type keyFile struct {
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	ClientEmail  string `json:"client_email"`
	TokenURI     string `json:"token_uri"`
}

func decodeKey(t *testing.T, file json.RawMessage) keyFile {
	t.Helper()
	var key keyFile
	check(t, json.Unmarshal(file, &key))
	return key
}

func refreshForm(credential simulator.OAuthCredential) url.Values {
	return url.Values{
		"grant_type":    {"refresh_token"},
		"client_id":     {credential.ClientID},
		"client_secret": {credential.ClientSecret},
		"refresh_token": {credential.RefreshToken},
	}
}

// refreshGrant returns an access token.
func (w world) refreshGrant(t *testing.T, credential simulator.OAuthCredential) string {
	t.Helper()
	answer := send(t, request{method: "POST", url: w.GoogleURL + "/token", form: refreshForm(credential)})
	if answer.status != http.StatusOK {
		t.Fatalf("the refresh grant got status %d", answer.status)
	}
	return answer.text(t, "access_token")
}

func (w world) revoke(t *testing.T, token string) {
	t.Helper()
	answer := send(t, request{method: "POST", url: w.GoogleURL + "/revoke", form: url.Values{"token": {token}}})
	if answer.status != http.StatusOK {
		t.Fatalf("the revocation got status %d", answer.status)
	}
}

func (w world) customersURL(version string) string {
	return w.GoogleURL + "/" + version + "/customers:listAccessibleCustomers"
}

// authorized returns the headers of a good Google Ads request of the default client.
func (w world) authorized(t *testing.T) map[string]string {
	t.Helper()
	credential := must(w.console.OAuthClient(t.Context(), simulator.DefaultName))(t)
	return map[string]string{
		"Authorization":   "Bearer " + w.refreshGrant(t, credential),
		"developer-token": must(w.console.DeveloperToken(t.Context()))(t),
	}
}

func TestRefreshGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := must(w.console.OAuthClient(t.Context(), simulator.DefaultName))(t)
	other := must(w.console.CreateOAuthClient(t.Context(), "other"))(t)
	tests := map[string]struct {
		change url.Values
		status int
		want   string
	}{
		"good":                           {nil, 200, ""},
		"unknown grant type":             {url.Values{"grant_type": {"password"}}, 400, "unsupported_grant_type"},
		"no client id":                   {url.Values{"client_id": nil}, 400, "invalid_request"},
		"unknown client id":              {url.Values{"client_id": {"x"}}, 401, "invalid_client"},
		"wrong secret":                   {url.Values{"client_secret": {"x"}}, 401, "invalid_client"},
		"another client's secret":        {url.Values{"client_secret": {other.ClientSecret}}, 401, "invalid_client"},
		"no refresh token":               {url.Values{"refresh_token": nil}, 400, "invalid_request"},
		"unknown refresh token":          {url.Values{"refresh_token": {"x"}}, 400, "invalid_grant"},
		"another client's refresh token": {url.Values{"refresh_token": {other.RefreshToken}}, 400, "invalid_grant"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			form := refreshForm(good)
			maps.Copy(form, test.change)
			answer := send(t, request{method: "POST", url: w.GoogleURL + "/token", form: form})
			object := answer.object(t)
			if answer.status != test.status {
				t.Errorf("got status %d, want %d", answer.status, test.status)
			}
			if test.want != "" && object["error"] != test.want {
				t.Errorf("got error %v, want %s", object["error"], test.want)
			}
			if test.want == "" && (object["token_type"] != "Bearer" || object["expires_in"] != 3599.0 || object["scope"] != adwords) {
				t.Error("the grant lacks its type, life or scope")
			}
		})
	}
}

func TestTokenEndpointWantsAForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	answer := send(t, request{method: "POST", url: w.GoogleURL + "/token", header: map[string]string{"Content-Type": "application/json"}})
	if answer.status != 400 || answer.object(t)["error"] != "invalid_request" {
		t.Errorf("got status %d", answer.status)
	}
}

func TestGoogleClientLibraryIsServed(t *testing.T) {
	t.Parallel()
	w := startWorld(t, simulator.ServerOptions{})
	ctx := t.Context()
	credential := must(w.console.OAuthClient(ctx, simulator.DefaultName))(t)
	key := must(w.console.ServiceAccountKey(ctx, simulator.DefaultName))(t)
	config, err := google.JWTConfigFromJSON(key, adwords)
	check(t, err)
	client := oauth2.Config{
		ClientID:     credential.ClientID,
		ClientSecret: credential.ClientSecret,
		Endpoint:     oauth2.Endpoint{TokenURL: w.GoogleURL + "/token"},
	}
	developerToken := must(w.console.DeveloperToken(ctx))(t)
	for name, source := range map[string]oauth2.TokenSource{
		"service account": config.TokenSource(context.WithoutCancel(ctx)),
		"refresh token":   client.TokenSource(context.WithoutCancel(ctx), &oauth2.Token{RefreshToken: credential.RefreshToken}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, err := source.Token()
			check(t, err)
			answer := send(t, request{method: "GET", url: w.customersURL("v26"), header: map[string]string{
				"Authorization": "Bearer " + token.AccessToken, "developer-token": developerToken,
			}})
			if answer.status != 200 {
				t.Errorf("got status %d", answer.status)
			}
		})
	}
}

// assertion is what a service account signs.
type assertion struct {
	jwt.Claims
	Scope string `json:"scope,omitempty"`

	key   *rsa.PrivateKey
	keyID string
}

func (a assertion) sign(t *testing.T) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	if a.keyID != "" {
		options = options.WithHeader("kid", a.keyID)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: a.key}, options)
	check(t, err)
	signed, err := jwt.Signed(signer).Claims(a).Serialize()
	check(t, err)
	return signed
}

func privateKey(t *testing.T, key keyFile) *rsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode([]byte(key.PrivateKey))
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	check(t, err)
	rsaKey, ok := private.(*rsa.PrivateKey)
	if !ok {
		t.Fatalf("the private key is a %T", private)
	}
	return rsaKey
}

// goodAssertion is one that Google accepts.
func goodAssertion(t *testing.T, key keyFile) assertion {
	t.Helper()
	now := time.Now()
	return assertion{
		Claims: jwt.Claims{
			Issuer:   key.ClientEmail,
			Audience: jwt.Audience{key.TokenURI},
			IssuedAt: jwt.NewNumericDate(now),
			Expiry:   jwt.NewNumericDate(now.Add(time.Hour)),
		},
		Scope: adwords,
		key:   privateKey(t, key),
		keyID: key.PrivateKeyID,
	}
}

func (w world) grantAssertion(t *testing.T, signed string) response {
	t.Helper()
	return send(t, request{method: "POST", url: w.GoogleURL + "/token", form: url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {signed},
	}})
}

func TestAssertionGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := decodeKey(t, must(w.console.ServiceAccountKey(t.Context(), simulator.DefaultName))(t))
	if key.TokenURI != w.GoogleURL+"/token" {
		t.Fatalf("the key file's token_uri is %s", key.TokenURI)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	in := func(d time.Duration) *jwt.NumericDate { return jwt.NewNumericDate(time.Now().Add(d)) }
	tests := map[string]struct {
		change func(*assertion)
		status int
		want   string
	}{
		"good":                 {func(*assertion) {}, 200, ""},
		"no key id":            {func(a *assertion) { a.keyID = "" }, 200, ""},
		"Google's audience":    {func(a *assertion) { a.Audience = jwt.Audience{"https://oauth2.googleapis.com/token"} }, 200, ""},
		"both scopes":          {func(a *assertion) { a.Scope += " https://www.googleapis.com/auth/cloud-platform" }, 200, ""},
		"small clock skew":     {func(a *assertion) { a.IssuedAt = in(time.Minute) }, 200, ""},
		"unknown account":      {func(a *assertion) { a.Issuer = "x@y" }, 400, "invalid_grant"},
		"unknown key":          {func(a *assertion) { a.keyID = "0000" }, 400, "invalid_grant"},
		"another key":          {func(a *assertion) { a.key = stranger }, 400, "invalid_grant"},
		"another audience":     {func(a *assertion) { a.Audience = jwt.Audience{"https://oauth2.example.com/token"} }, 400, "invalid_grant"},
		"no audience":          {func(a *assertion) { a.Audience = nil }, 400, "invalid_grant"},
		"expired":              {func(a *assertion) { a.IssuedAt, a.Expiry = in(-2*time.Hour), in(-time.Hour) }, 400, "invalid_grant"},
		"issued in the future": {func(a *assertion) { a.IssuedAt, a.Expiry = in(10*time.Minute), in(time.Hour) }, 400, "invalid_grant"},
		"too long a life":      {func(a *assertion) { a.Expiry = in(2 * time.Hour) }, 400, "invalid_grant"},
		"no expiry":            {func(a *assertion) { a.Expiry = nil }, 400, "invalid_grant"},
		"no issue time":        {func(a *assertion) { a.IssuedAt = nil }, 400, "invalid_grant"},
		"another subject":      {func(a *assertion) { a.Subject = "user@example.com" }, 401, "unauthorized_client"},
		"no scope":             {func(a *assertion) { a.Scope = "" }, 400, "invalid_scope"},
		"unknown scope":        {func(a *assertion) { a.Scope = "everything" }, 400, "invalid_scope"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := goodAssertion(t, key)
			test.change(&a)
			answer := w.grantAssertion(t, a.sign(t))
			if answer.status != test.status {
				t.Errorf("got status %d, want %d", answer.status, test.status)
			}
			if got := answer.object(t)["error"]; test.want != "" && got != test.want {
				t.Errorf("got error %v, want %s", got, test.want)
			}
		})
	}
}

func TestAssertionMustBeSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, signed := range map[string]string{
		"nothing":  "",
		"no token": "abc",
		"unsigned": "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if answer := w.grantAssertion(t, signed); answer.status != 400 {
				t.Errorf("got status %d", answer.status)
			}
		})
	}
}

func TestClockSkewBreaksAssertions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := decodeKey(t, must(w.console.ServiceAccountKey(t.Context(), simulator.DefaultName))(t))
	signed := goodAssertion(t, key).sign(t)
	check(t, w.console.AdvanceClock(t.Context(), -10*time.Minute))
	if answer := w.grantAssertion(t, signed); answer.status != 400 || answer.object(t)["error"] != "invalid_grant" {
		t.Errorf("a client whose clock is 10 minutes ahead got status %d", answer.status)
	}
}

// adsError reads an error answer of the Google Ads API: its status, and the errorCode, empty without GoogleAdsFailure.
func adsError(t *testing.T, answer response) (status, category, code string) {
	t.Helper()
	var body struct {
		Error struct {
			Code    int    `json:"code"`
			Status  string `json:"status"`
			Details []struct {
				Type   string `json:"@type"`
				Errors []struct {
					ErrorCode map[string]string `json:"errorCode"`
				} `json:"errors"`
				RequestID string `json:"requestId"`
			} `json:"details"`
		} `json:"error"`
	}
	check(t, json.Unmarshal(answer.body, &body))
	if body.Error.Code != answer.status {
		t.Errorf("the body says %d, the answer %d", body.Error.Code, answer.status)
	}
	requestID := answer.header.Get("request-id")
	if requestID == "" {
		t.Error("no request-id header")
	}
	for _, detail := range body.Error.Details {
		if !regexp.MustCompile(`^type\.googleapis\.com/google\.ads\.googleads\.v\d+\.errors\.GoogleAdsFailure$`).MatchString(detail.Type) {
			t.Errorf("the detail has type %s", detail.Type)
		}
		if detail.RequestID != requestID {
			t.Errorf("the body has request id %q, the header %q", detail.RequestID, requestID)
		}
		for category, code := range detail.Errors[0].ErrorCode {
			return body.Error.Status, category, code
		}
	}
	return body.Error.Status, "", ""
}

// onlyCustomer returns the id of the one customer of a good answer.
func onlyCustomer(t *testing.T, answer response) string {
	t.Helper()
	var body struct {
		ResourceNames []string `json:"resourceNames"`
	}
	check(t, json.Unmarshal(answer.body, &body))
	if len(body.ResourceNames) != 1 {
		t.Fatalf("status %d with %d customers", answer.status, len(body.ResourceNames))
	}
	return strings.TrimPrefix(body.ResourceNames[0], "customers/")
}

func TestListAccessibleCustomers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.authorized(t)
	tests := map[string]struct {
		version    string
		header     map[string]string
		httpStatus int
		status     string
		code       string
	}{
		"latest version":       {"v26", nil, 200, "", ""},
		"oldest live version":  {"v23", nil, 200, "", ""},
		"login customer":       {"v26", map[string]string{"login-customer-id": "1234567890"}, 200, "", ""},
		"sunset version":       {"v22", nil, 400, "INVALID_ARGUMENT", "UNSUPPORTED_VERSION"},
		"login with dashes":    {"v26", map[string]string{"login-customer-id": "123-456-7890"}, 400, "INVALID_ARGUMENT", "INVALID_LOGIN_CUSTOMER_ID"},
		"unknown bearer token": {"v26", map[string]string{"Authorization": "Bearer x"}, 401, "UNAUTHENTICATED", ""},
		"basic authentication": {"v26", map[string]string{"Authorization": "Basic eDp5"}, 401, "UNAUTHENTICATED", ""},
		"no developer token":   {"v26", map[string]string{"developer-token": ""}, 400, "INVALID_ARGUMENT", "DEVELOPER_TOKEN_PARAMETER_MISSING"},
		"wrong developer token": {
			"v26", map[string]string{"developer-token": "0123456789abcdefABCDEF"}, 401, "UNAUTHENTICATED", "DEVELOPER_TOKEN_INVALID",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := send(t, request{method: "GET", url: w.customersURL(test.version), header: merged(good, test.header)})
			if answer.status != test.httpStatus {
				t.Fatalf("got status %d, want %d", answer.status, test.httpStatus)
			}
			if test.httpStatus == 200 {
				if customer := onlyCustomer(t, answer); !regexp.MustCompile(`^[0-9]{10}$`).MatchString(customer) {
					t.Errorf("got customer %s", customer)
				}
				return
			}
			if status, _, code := adsError(t, answer); status != test.status || code != test.code {
				t.Errorf("got %s %s, want %s %s", status, code, test.status, test.code)
			}
		})
	}
}

func TestGoogleAnswersUnknownPathsWithAPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, r := range map[string]request{
		"wrong method":   {method: "POST", url: w.customersURL("v26")},
		"future version": {method: "GET", url: w.customersURL("v27")},
		"no version":     {method: "GET", url: w.customersURL("latest")},
		"another path":   {method: "GET", url: w.GoogleURL + "/v26/customers"},
		"token by GET":   {method: "GET", url: w.GoogleURL + "/token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := send(t, r)
			if answer.status != 404 || answer.header.Get("Content-Type") != "text/html; charset=UTF-8" {
				t.Errorf("got status %d, %s", answer.status, answer.header.Get("Content-Type"))
			}
		})
	}
}

func TestDeveloperTokenModes(t *testing.T) {
	t.Parallel()
	const genuine, wrong, missing, empty = "genuine", "0123456789abcdefABCDEF", "", "empty"
	tests := map[string]struct {
		mode   simulator.DeveloperTokenMode
		status simulator.DeveloperTokenStatus
		token  string
		want   int
		code   string
	}{
		"enforced, genuine":          {simulator.DeveloperTokenEnforced, simulator.DeveloperTokenApproved, genuine, 200, ""},
		"enforced, wrong":            {simulator.DeveloperTokenEnforced, simulator.DeveloperTokenApproved, wrong, 401, "DEVELOPER_TOKEN_INVALID"},
		"enforced, missing":          {simulator.DeveloperTokenEnforced, simulator.DeveloperTokenApproved, missing, 400, "DEVELOPER_TOKEN_PARAMETER_MISSING"},
		"enforced, not approved":     {simulator.DeveloperTokenEnforced, simulator.DeveloperTokenNotApproved, genuine, 403, "DEVELOPER_TOKEN_NOT_APPROVED"},
		"enforced, prohibited":       {simulator.DeveloperTokenEnforced, simulator.DeveloperTokenProhibited, genuine, 403, "DEVELOPER_TOKEN_PROHIBITED"},
		"enforced, not on allowlist": {simulator.DeveloperTokenEnforced, simulator.DeveloperTokenNotOnAllowlist, genuine, 403, "DEVELOPER_TOKEN_NOT_ON_ALLOWLIST"},
		"ignored, genuine":           {simulator.DeveloperTokenIgnored, simulator.DeveloperTokenApproved, genuine, 200, ""},
		"ignored, wrong":             {simulator.DeveloperTokenIgnored, simulator.DeveloperTokenProhibited, wrong, 200, ""},
		"ignored, empty":             {simulator.DeveloperTokenIgnored, simulator.DeveloperTokenApproved, empty, 400, "DEVELOPER_TOKEN_PARAMETER_MISSING"},
		"ignored, missing":           {simulator.DeveloperTokenIgnored, simulator.DeveloperTokenApproved, missing, 200, ""},
		"header refused, genuine":    {simulator.DeveloperTokenHeaderRefused, simulator.DeveloperTokenApproved, genuine, 400, "UNKNOWN"},
		"header refused, missing":    {simulator.DeveloperTokenHeaderRefused, simulator.DeveloperTokenApproved, missing, 200, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			header := w.authorized(t)
			switch test.token {
			case genuine:
			case missing:
				delete(header, "developer-token")
			case empty:
				header["developer-token"] = ""
			default:
				header["developer-token"] = test.token
			}
			check(t, w.console.SetDeveloperTokenMode(t.Context(), test.mode))
			check(t, w.console.SetDeveloperTokenStatus(t.Context(), test.status))
			answer := send(t, request{method: "GET", url: w.customersURL("v26"), header: header})
			if answer.status != test.want {
				t.Fatalf("got status %d, want %d", answer.status, test.want)
			}
			if test.code == "" {
				return
			}
			if _, _, code := adsError(t, answer); code != test.code {
				t.Errorf("got %s, want %s", code, test.code)
			}
		})
	}
}

func TestResetEndsThePreviousDeveloperToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	header := w.authorized(t)
	fresh := must(w.console.ResetDeveloperToken(t.Context()))(t)
	if !regexp.MustCompile(`^[-_0-9A-Za-z]{22}$`).MatchString(fresh) {
		t.Error("the new developer token is not 22 letters, digits, - and _")
	}
	if answer := send(t, request{method: "GET", url: w.customersURL("v26"), header: header}); answer.status != 401 {
		t.Errorf("the previous token got status %d", answer.status)
	}
	header["developer-token"] = fresh
	if answer := send(t, request{method: "GET", url: w.customersURL("v26"), header: header}); answer.status != 200 {
		t.Errorf("the new token got status %d", answer.status)
	}
}

func TestProjectWithoutAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	header := w.authorized(t)
	check(t, w.console.SetProjectAccess(t.Context(), simulator.ProjectNotApproved))
	for version, want := range map[string]string{
		"v26": "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION",
		"v25": "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION",
		"v24": "ACTION_NOT_PERMITTED",
		"v23": "ACTION_NOT_PERMITTED",
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			answer := send(t, request{method: "GET", url: w.customersURL(version), header: header})
			status, category, code := adsError(t, answer)
			if status != "PERMISSION_DENIED" || category != "authorizationError" || code != want {
				t.Errorf("got %s, %s %s", status, category, code)
			}
		})
	}
}

func TestAccessTokensExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	header := w.authorized(t)
	check(t, w.console.AdvanceClock(t.Context(), 3599*time.Second))
	if answer := send(t, request{method: "GET", url: w.customersURL("v26"), header: header}); answer.status != 200 {
		t.Errorf("got status %d within the hour", answer.status)
	}
	check(t, w.console.AdvanceClock(t.Context(), time.Second))
	if answer := send(t, request{method: "GET", url: w.customersURL("v26"), header: header}); answer.status != 401 {
		t.Errorf("got status %d after an hour", answer.status)
	}
}

func TestCloudScopeIsNotEnoughForAds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := decodeKey(t, must(w.console.ServiceAccountKey(t.Context(), simulator.DefaultName))(t))
	a := goodAssertion(t, key)
	a.Scope = "https://www.googleapis.com/auth/cloud-platform"
	token := w.grantAssertion(t, a.sign(t)).text(t, "access_token")
	answer := send(t, request{method: "GET", url: w.customersURL("v26"), header: map[string]string{"Authorization": "Bearer " + token}})
	if answer.status != 403 || !strings.Contains(string(answer.body), `"PERMISSION_DENIED"`) || !strings.Contains(string(answer.body), `"ACCESS_TOKEN_SCOPE_INSUFFICIENT"`) {
		t.Errorf("got status %d, want 403 with the reason", answer.status)
	}
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		revoke  func(t *testing.T, w world, credential simulator.OAuthCredential, accessToken string)
		refresh int
	}{
		"of a refresh token": {func(t *testing.T, w world, credential simulator.OAuthCredential, _ string) {
			t.Helper()
			w.revoke(t, credential.RefreshToken)
		}, 400},
		"of an access token takes the refresh token along": {func(t *testing.T, w world, _ simulator.OAuthCredential, accessToken string) {
			t.Helper()
			w.revoke(t, accessToken)
		}, 400},
		"of nothing": {func(*testing.T, world, simulator.OAuthCredential, string) {}, 200},
		"of an unknown token": {func(t *testing.T, w world, _ simulator.OAuthCredential, _ string) {
			t.Helper()
			answer := send(t, request{method: "POST", url: w.GoogleURL + "/revoke", form: url.Values{"token": {"x"}}})
			if answer.status != 400 || answer.object(t)["error"] != "invalid_token" {
				t.Errorf("got status %d", answer.status)
			}
		}, 200},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			credential := must(w.console.OAuthClient(t.Context(), simulator.DefaultName))(t)
			accessToken := w.refreshGrant(t, credential)
			test.revoke(t, w, credential, accessToken)
			answer := send(t, request{method: "POST", url: w.GoogleURL + "/token", form: refreshForm(credential)})
			if answer.status != test.refresh {
				t.Errorf("the refresh grant got status %d, want %d", answer.status, test.refresh)
			}
			if ledger := must(w.console.Ledger(t.Context()))(t); ledger.IsLive(accessToken) != (test.refresh == 200) {
				t.Error("the access token does not share the fate of its refresh token")
			}
		})
	}
}

func TestTwoClientSecretsLiveSideBySide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	old := must(w.console.OAuthClient(ctx, simulator.DefaultName))(t)
	fresh := must(w.console.AddClientSecret(ctx, simulator.DefaultName))(t)
	expect := func(what string, credential simulator.OAuthCredential, status int) {
		t.Helper()
		answer := send(t, request{method: "POST", url: w.GoogleURL + "/token", form: refreshForm(credential)})
		if answer.status != status {
			t.Errorf("%s got status %d, want %d", what, answer.status, status)
		}
	}
	expect("the old secret", old, 200)
	expect("the new secret", fresh, 200)
	if _, err := w.console.AddClientSecret(ctx, simulator.DefaultName); err == nil {
		t.Error("a client gets a third secret")
	}
	if err := w.console.DeleteClientSecret(ctx, simulator.DefaultName, old.ClientSecret); err == nil {
		t.Error("an enabled secret is deleted")
	}
	check(t, w.console.DisableClientSecret(ctx, simulator.DefaultName, old.ClientSecret))
	expect("the disabled secret", old, 401)
	expect("the other secret", fresh, 200)
	check(t, w.console.DeleteClientSecret(ctx, simulator.DefaultName, old.ClientSecret))
	must(w.console.AddClientSecret(ctx, simulator.DefaultName))(t)
}

func TestRefreshTokensOfOneClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	first := must(w.console.OAuthClient(ctx, simulator.DefaultName))(t)
	second := must(w.console.NewConsent(ctx, simulator.DefaultName))(t)
	if first.RefreshToken == second.RefreshToken {
		t.Fatal("a new consent gives the same refresh token")
	}
	expect := func(what, token string, live bool) {
		t.Helper()
		if got := must(w.console.Ledger(ctx))(t).IsLive(token); got != live {
			t.Errorf("%s is live: %t", what, got)
		}
	}
	expect("the older refresh token", first.RefreshToken, true)
	accessToken := w.refreshGrant(t, second)
	w.revoke(t, w.refreshGrant(t, first))
	expect("the revoked refresh token", first.RefreshToken, false)
	expect("the other refresh token", second.RefreshToken, true)
	expect("the other access token", accessToken, true)

	for range 99 {
		must(w.console.NewConsent(ctx, simulator.DefaultName))(t)
	}
	expect("the 100th refresh token", second.RefreshToken, true)
	last := must(w.console.NewConsent(ctx, simulator.DefaultName))(t)
	expect("the 101st refresh token", second.RefreshToken, false)
	check(t, w.console.WithdrawConsent(ctx, simulator.DefaultName))
	expect("a refresh token without consent", last.RefreshToken, false)
}
