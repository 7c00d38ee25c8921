package googleads_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
)

// canned is an answer of HTTP.
type canned struct {
	status int
	id     string // the request's, for the header
	body   []byte
}

func (c canned) answer(r *http.Request) *http.Response {
	return &http.Response{StatusCode: c.status, Header: http.Header{"Request-Id": {c.id}, "Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(c.body)), Request: r}
}

// cannedGoogle is a Google of three parts, each of which answers every request alike.
type cannedGoogle struct{ token, revoke, api canned }

var (
	cannedGrant     = canned{status: 200, body: []byte(`{"access_token":"` + accessToken + `","expires_in":3599,"token_type":"Bearer"}`)}
	cannedCustomers = canned{status: 200, id: "req-ok", body: []byte(`{"resourceNames":["customers/1234567890"]}`)}
)

func (g cannedGoogle) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.URL.Path {
	case "/token":
		return g.token.answer(r), nil
	case "/revoke":
		return g.revoke.answer(r), nil
	default:
		return g.api.answer(r), nil
	}
}

func (g cannedGoogle) account() provider.Account {
	const address = "http://127.0.0.1"
	return provider.Account{
		Client: &http.Client{Transport: g, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		Settings: provider.Values{
			"base_url": address, "token_url": address + "/token", "revoke_url": address + "/revoke", "iam_url": address, "api_version": "v26",
			"client_id": clientID, "client_secret": clientSecret, "refresh_token": refreshToken, "developer_token": developerToken,
		},
	}
}

// partLength is in bytes: so much of a secret tells something about it.
const partLength = 12

// wantNoPart fails where a text holds a part of a secret.
func wantNoPart(t *testing.T, text string) {
	t.Helper()
	secrets := append([]string{developerToken, clientSecret, refreshToken, accessToken}, strings.Split(privateKeyPEM(), "\n")...)
	for _, secret := range secrets {
		for ; len(secret) >= partLength && !strings.HasPrefix(secret, "-----"); secret = secret[1:] {
			if strings.Contains(text, secret[:partLength]) {
				t.Fatalf("a part of a secret shows up in %q", text)
			}
		}
	}
}

// wantDeclared fails where an error is none that callers know, or holds a part of a secret.
func wantDeclared(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	wantNoPart(t, err.Error())
	var silence *provider.Error
	var refused *provider.Refused
	if !errors.As(err, &silence) && !errors.As(err, &refused) {
		t.Errorf("got an undeclared error: %v", err)
	}
}

func fuzzVerify(t *testing.T, g cannedGoogle, tokens ...provider.Token) {
	t.Helper()
	for _, token := range tokens {
		v, err := googleads.New().Type(token.Type).Verify(t.Context(), g.account(), token)
		wantDeclared(t, err)
		wantNoPart(t, v.Detail+v.Code+v.RequestID)
		if g.api.status == 200 && g.token.status/100 != 2 && v.Outcome == provider.Accepted {
			t.Errorf("a %s is accepted without a grant", token.Type)
		}
	}
}

// echo has the secrets where only codes and sentences belong.
const echo = `{"error":"` + clientSecret + `","error_description":"` + refreshToken + `"}`

// FuzzTokenEndpoint looks for answers of the token and revocation endpoints that crash a grant, pass for one, or get into
// what an operator is told.
func FuzzTokenEndpoint(f *testing.F) {
	for body, status := range map[string]int{
		string(cannedGrant.body):                                   200,
		`{"access_token":"a b","token_type":"Bearer"}`:             200,
		`{"access_token":"x","token_type":"mac","expires_in":"9"}`: 200,
		`{"access_token":"x","expires_in":1e99}`:                   200,
		`{"access_token":["x"]}`:                                   200,
		`access_token=x&token_type=Bearer`:                         200,
		`{"error":"invalid_grant"}`:                                400,
		`{"error":"x` + refreshToken[2:] + `"}`:                    400,
		`{"error":{"status":"UNAUTHENTICATED"}}`:                   401,
		`{"error":"invalid_token"}`:                                400,
		`{"error":"temporarily_unavailable"}`:                      400,
		echo:                                                       400,
		"":                                                         302,
		`<html>`:                                                   503,
	} {
		f.Add(status, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		g := cannedGoogle{token: canned{status: status, body: body}, revoke: canned{status: status, body: body}, api: cannedCustomers}
		fuzzVerify(t, g, developerTokenToken, oauthClientToken, keyToken(t))
		kind := googleads.New().Type("oauth_client")
		got, err := kind.Mint(t.Context(), g.account(), oauthClientToken)
		if wantDeclared(t, err); (got.Value == "") == (err == nil) || strings.ContainsAny(got.Value, "\r\n ") {
			t.Errorf("got %d bytes of an access token beside error %v", len(got.Value), err)
		}
		err = kind.Retire(t.Context(), g.account(), oauthClientToken, nil)
		if wantDeclared(t, err); err == nil && status/100 != 2 && !bytes.Contains(body, []byte("invalid_token")) {
			t.Errorf("HTTP %d with %q revokes the token", status, body)
		}
	})
}

// FuzzAdsAnswer looks for answers of the Google Ads API that crash the verification, or get into what an operator is told.
func FuzzAdsAnswer(f *testing.F) {
	details := func(code, id string) string {
		return `{"error":{"status":"UNAUTHENTICATED","details":[{"errors":[{"errorCode":{"authenticationError":"` + code + `"}}],"requestId":"` + id + `"}]}}`
	}
	for body, status := range map[string]int{
		string(cannedCustomers.body): 200,
		`[]`:                         200,
		details("DEVELOPER_TOKEN_INVALID", "req-1"):                                              401,
		details("DEVELOPER_TOKEN_NOT_APPROVED", ""):                                              403,
		details("OAUTH_TOKEN_INVALID", accessToken):                                              401,
		details("x"+developerToken[1:], developerToken):                                          403,
		details("ACTION_NOT_PERMITTED", clientSecret[1:]):                                        403,
		`{"error":{"status":"` + accessToken + `"}}`:                                             401,
		`{"error":{"details":[{"errors":[null,{}]},null]}}`:                                      400,
		`{"error":{"details":[{"errors":[{"errorCode":{"quotaError":"RESOURCE_EXHAUSTED"}}]}]}}`: 429,
		`{"error":7}`: 400,
		"":            302,
		`<html>`:      503,
	} {
		f.Add(status, "req-2", []byte(body))
		f.Add(status, "a"+accessToken, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, id string, body []byte) {
		fuzzVerify(t, cannedGoogle{token: cannedGrant, api: canned{status, id, body}}, developerTokenToken, oauthClientToken)
	})
}

// FuzzIAMAnswer looks for answers of the IAM API that crash the key API, pass for a key of this service account that they
// are not, or get into what an operator is told.
func FuzzIAMAnswer(f *testing.F) {
	for body, status := range map[string]int{
		keyList(3):        200,
		keyList(10):       200,
		`{"keys":[null]}`: 200,
		`{"keys":[{"name":"a/../b","validAfterTime":"2026"}]}`: 200,
		`{"privateKeyData":"%%%"}`:                             200,
		`{}`:                                                   200,
		`[]`:                                                   200,
		`{"error":{"status":"NOT_FOUND","message":"` + accessToken + `"}}`:               404,
		`{"error":{"status":"PERMISSION_DENIED"}}`:                                       403,
		`{"error":{"status":"` + accessToken + `"}}`:                                     400,
		`{"error":{"status":"FAILED_PRECONDITION","details":[` + policyViolation + `]}}`: 400,
		`{"error":{"status":"RESOURCE_EXHAUSTED"}}`:                                      429,
		"":       302,
		`<html>`: 503,
	} {
		f.Add(status, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		a := cannedGoogle{token: cannedGrant, api: canned{status: status, body: body}}.account()
		keys, err := rotator(t).List(t.Context(), a, keyToken(t), clientEmail)
		wantDeclared(t, err)
		for _, key := range keys {
			if key.Owner != clientEmail || key.ID == "" || strings.ContainsAny(key.ID, "/?#%.") || key.CreatedAt.IsZero() {
				t.Errorf("listed %+v", key)
			}
		}
		made, _, err := rotator(t).Create(t.Context(), a, keyToken(t))
		if wantDeclared(t, err); (made == nil) == (err == nil) {
			t.Errorf("got %d fields beside error %v", len(made), err)
		}
		wantDeclared(t, rotator(t).Delete(t.Context(), a, keyToken(t), provider.Key{Owner: clientEmail, ID: newKeyID}))
	})
}

// FuzzMadeKey looks for key files that IAM could give and that pass for one that they are not.
func FuzzMadeKey(f *testing.F) {
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		a := cannedGoogle{token: cannedGrant, api: canned{status: 200, body: []byte(madeKey(string(file)))}}.account()
		made, _, err := rotator(t).Create(t.Context(), a, keyToken(t))
		if wantDeclared(t, err); err != nil {
			return
		}
		key, err := rotator(t).Key(made)
		if want := (provider.Key{Owner: clientEmail, ID: newKeyID}); err != nil || key != want {
			t.Errorf("made %+v, error %v; want %+v", key, err, want)
		}
	})
}

// FuzzKeyFile looks for key files that crash the engine, whose canonical form is another file, that send a grant in clear,
// or that are quoted when they are refused.
func FuzzKeyFile(f *testing.F) {
	for _, members := range []map[string]any{
		nil,
		{"token_uri": "http://token.example.com"},
		{"token_uri": "http://127.0.0.1:1/token"},
		{"token_uri": nil},
		{"private_key_id": "../k"},
		{"private_key_id": 7},
		{"type": "authorized_user"},
		{"client_email": "ads@p/../x"},
		{"private_key": strings.ReplaceAll(privateKeyPEM(), "PRIVATE", "PUBLIC")},
		{"private_key": privateKeyPEM()[:200]},
		{"private_key": []string{privateKeyPEM()}},
	} {
		f.Add([]byte(keyFile(f, members)))
	}
	f.Add([]byte(strings.ReplaceAll(keyFile(f, nil), `\n`, "\n")))
	f.Add([]byte(strings.ReplaceAll(keyFile(f, nil), `\n`, `\\n`)))
	for _, file := range []string{"", "null", `["service_account"]`, base64.StdEncoding.EncodeToString([]byte(keyFile(f, nil)))} {
		f.Add([]byte(file))
	}
	field, _ := provider.Lookup(allFields(), "service_account_key")
	f.Fuzz(func(t *testing.T, file []byte) {
		canonical, err := field.Canonical(string(file))
		if err != nil {
			wantNotQuoted(t, file, err)
			return
		}
		if canonical == "" {
			return
		}
		if again, err := field.Canonical(canonical); err != nil || again != canonical {
			t.Errorf("the canonical form has another one, error %v", err)
		}
		key, err := rotator(t).Key(provider.Values{"service_account_key": canonical})
		if err != nil || key.Owner == "" || key.ID == "" || strings.ContainsAny(key.ID+key.Owner, "/?#%\r\n ") {
			t.Errorf("the key is %+v, error %v", key, err)
		}
		g := cannedGoogle{token: cannedGrant, api: cannedCustomers}
		a := g.account()
		delete(a.Settings, "token_url")
		a.Client.Transport = onlySafe{t, g}
		_, err = googleads.New().Type("service_account_key").Verify(t.Context(), a, provider.Token{Type: "service_account_key", Credential: provider.Values{"service_account_key": canonical}})
		wantDeclared(t, err)
	})
}

// onlySafe fails the test where a request would go over plain HTTP to another host.
type onlySafe struct {
	t *testing.T
	http.RoundTripper
}

func (o onlySafe) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := provider.EndpointURL((&url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host}).String()); err != nil {
		o.t.Errorf("a grant would go to %s", r.URL.Redacted())
	}
	return o.RoundTripper.RoundTrip(r)
}

// wantNotQuoted fails where the refusal of a file quotes so much of it that it is not by chance.
func wantNotQuoted(t *testing.T, file []byte, err error) {
	t.Helper()
	wantNoPart(t, err.Error())
	const length = 24
	for end := length; end <= len(file); end++ {
		if strings.Contains(err.Error(), string(file[end-length:end])) {
			t.Fatalf("the refusal quotes the file: %v", err)
		}
	}
}
