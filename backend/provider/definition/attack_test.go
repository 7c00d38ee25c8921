package definition_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

// TestAttack_EncodedSecretIsNotQuoted: a server may repeat a secret in another spelling than the request had.
func TestAttack_EncodedSecretIsNotQuoted(t *testing.T) {
	t.Parallel()
	kind := kind(t, "api_key")
	for name, text := range map[string]string{
		"as it is":           secret,
		"a part":             "x" + secret[4:16] + "y",
		"upper case":         strings.ToUpper(secret),
		"base64":             base64.RawStdEncoding.EncodeToString([]byte(secret)),
		"base64 for URLs":    base64.RawURLEncoding.EncodeToString([]byte("?>" + secret)),
		"base64 with a user": base64.RawStdEncoding.EncodeToString([]byte("K12345678:" + secret)),
		"base64 in a text":   "key_" + base64.RawStdEncoding.EncodeToString([]byte("x:"+secret)),
		"hexadecimal":        hex.EncodeToString([]byte(secret)),
		"HEXADECIMAL":        "x" + strings.ToUpper(hex.EncodeToString([]byte(secret))),
	} {
		refused := newPlatform(t, said{status: 401, body: `{"error":{"code":"` + text + `"}}`, headers: []string{"X-Request-Id", text}})
		if v, err := verify(t, kind, refused.account(), keyToken()); err != nil || v.Outcome != provider.Rejected || v.Code != "" || v.RequestID != "" {
			t.Errorf("%s: got %+v, error %v", name, v, err)
		}
		accepted := newPlatform(t, said{status: 200, body: `{"id":1,"account_id":"` + text + `"}`})
		if v, err := verify(t, kind, accepted.account(), keyToken()); err != nil || v.Outcome != provider.Accepted || v.Identity != "" {
			t.Errorf("%s: got %+v, error %v", name, v, err)
		}
	}
	percent := newPlatform(t, said{status: 200, body: `{"id":1,"account_id":"` + strings.ReplaceAll(url.QueryEscape(secret), "-", "%2D") + `"}`})
	if v, err := verify(t, kind, percent.account(), keyToken()); err != nil || v.Identity != "" {
		t.Errorf("percent-encoded: got %+v, error %v", v, err)
	}
	// What is none stays.
	plain := newPlatform(t, said{status: 401, body: `{"error":{"code":"E_INVALID_OR_REVOKED_KEY"}}`, headers: []string{"X-Request-Id", "6f1ed002ab5595859014ebf0951522d9"}})
	if v, _ := verify(t, kind, plain.account(), keyToken()); v.Code != "E_INVALID_OR_REVOKED_KEY" || v.RequestID != "6f1ed002ab5595859014ebf0951522d9" {
		t.Errorf("got %+v", v)
	}
}

// TestAttack_IssuedSecretIsNotQuoted: what an answer gives out is as secret as what was sent.
func TestAttack_IssuedSecretIsNotQuoted(t *testing.T) {
	t.Parallel()
	const issued = "another-value-that-the-answer-has"
	for _, name := range []string{"access_token", "refresh_token", "id_token", "client_secret"} {
		kind := parse(t, with(t, "code: 'string(body.error.code)'", "code: 'body."+name+"'", "identity: 'body.account_id'", "identity: 'body."+name+"'")).Provider().Type("api_key")
		for _, status := range []int{200, 401} {
			v, err := verify(t, kind, newPlatform(t, said{status: status, body: `{"id":1,"` + name + `":"` + issued + `"}`}).account(), keyToken())
			if err != nil || v.Code != "" || v.Identity != "" {
				t.Errorf("%s with %d: got %+v, error %v", name, status, v, err)
			}
		}
	}
	kind := parse(t, with(t, "{when: 'status == 200', outcome: replaced}", "{when: 'status == 200', outcome: refused, code: body.key}")).Provider().Type("api_key")
	_, err := kind.Renew.Call(t.Context(), newPlatform(t, said{status: 200, body: `{"key":"` + issued + `"}`}).account(), keyToken())
	if refused, ok := errors.AsType[*provider.Refused](err); !ok || refused.Code != "" {
		t.Errorf("got %v", err)
	}
}

// TestAttack_PathThatClimbs is refused when it is written, and cannot come by a value.
func TestAttack_PathThatClimbs(t *testing.T) {
	t.Parallel()
	const place = "token_types.api_key.verify.request.url"
	for _, path := range []string{"/../x", "/..", "/./x", "/%2e%2e/x", "/%252e%252e/x", "/..;/x", "/x/..;a=b/y", "/..?a=b", "/a%5c..%5cx"} {
		wantMistake(t, with(t, "/v2/{account.region}/{+option.probe_path}'", path+"'"), place, "must not have . or ..")
	}
	for _, path := range []string{"/v1.0/x", "/...", "/a..b/{account.region}", "/x?a=../b", "/.well-known/x"} {
		parse(t, with(t, "/v2/{account.region}/{+option.probe_path}'", path+"'"))
	}
	endpoint, _ := provider.Lookup(parse(t, acme(t)).Provider().AccountFields, "base_url")
	for _, address := range []string{"https://api.acme.example/..", "https://api.acme.example/a/%2e%2e/b", "https://api.acme.example/./a", `https://api.acme.example/..;a`} {
		if got, err := endpoint.Canonical(address); err == nil || !strings.Contains(err.Error(), "must have no . and ..") {
			t.Errorf("%s: got %q, error %v", address, got, err)
		}
	}
	kind := parse(t, with(t, "pattern: '[0-9A-Za-z/_-]+', default: me", "default: me")).Provider().Type("api_key")
	p := newPlatform(t, said{status: 200, body: `{"id":1}`})
	if _, err := verify(t, kind, p.account(), keyToken("probe_path", "..;/..;x/admin")); err == nil || len(p.requests) > 0 {
		t.Errorf("got %v after %d requests", err, len(p.requests))
	}
}

// TestAttack_DefaultOfAUsedSetting: accounts without a value of their own have it too.
func TestAttack_DefaultOfAUsedSetting(t *testing.T) {
	t.Parallel()
	old := parse(t, acme(t))
	used := definition.Uses{Accounts: true, Settings: []string{"base_url", "app_id"}}
	replacement := parse(t, strings.ReplaceAll(with(t, "    region: {choices", "    area: {choices"), "{account.region}", "{account.area}"))
	mistakes, _ := errors.AsType[definition.Mistakes](definition.CheckReplacement(old, replacement, used))
	if len(mistakes) != 1 || mistakes[0].Place != "account.settings" || !strings.Contains(mistakes[0].Problem, "region must stay") {
		t.Errorf("got %v", mistakes)
	}
	if err := definition.CheckReplacement(old, replacement, definition.Uses{}); err != nil {
		t.Errorf("got %v without accounts", err)
	}
}

func TestParseAs_NameIsToldWithTheOtherMistakes(t *testing.T) {
	t.Parallel()
	_, err := definition.ParseAs("acme", []byte(with(t, "when: 'status == 200 && has(body.id)'", "when: 'status = 200'")), definition.Taken())
	mistakes, _ := errors.AsType[definition.Mistakes](err)
	if len(mistakes) != 2 || mistakes[0].Place != "name" || !strings.Contains(mistakes[0].Problem, `is "acme_ads", and the path's is acme`) {
		t.Errorf("got %v", err)
	}
	if _, err := definition.ParseAs("acme_ads", []byte(acme(t)), definition.Taken()); err != nil {
		t.Errorf("got %v", err)
	}
}

// TestParse_EscapesOfJSON that YAML does not have.
func TestParse_EscapesOfJSON(t *testing.T) {
	t.Parallel()
	const written = `{"format":1,"name":"x","title":"A\/d\\/s \ud83d\ude00 \u00e9 \"q\"","sources":[{"title":"G","url":"https:\/\/docs.acme.example","read":"2026-11-26"}],
		"account":{"endpoints":{"base_url":{"description":"x"}}},"token_types":{"key":{"title":"K","description":"d","reset_semantics":"immediate",
		"fields":{"key":{"secret":true,"description":"x"}},"verify":{"request":{"url":"{+account.base_url}\/me","bearer":"{credential.key}"},
		"outcomes":[{"when":"status == 200","outcome":"accepted"}]},"runbook":{"console_url":"https://x.example","steps":["a"],"previous":"x"}}}}`
	var want struct{ Title string }
	if err := json.Unmarshal([]byte(written), &want); err != nil {
		t.Fatal(err)
	}
	if got := parse(t, written).Title(); got != want.Title {
		t.Errorf("got %q, want %q", got, want.Title)
	}
}

// TestVerify_RequestIDWhereTheGrantDecides is that of the grant's answer.
func TestVerify_RequestIDWhereTheGrantDecides(t *testing.T) {
	t.Parallel()
	const decides = `
format: 1
name: x
title: X
sources: [{title: G, url: https://docs.x.example, read: 2026-11-26}]
account: {endpoints: {token_url: {description: x}}}
token_types:
  app:
    title: A
    description: d
    reset_semantics: immediate
    fields: {client_id: {description: x}, client_secret: {secret: true, description: x}}
    grant: {type: client_credentials, url: '{+account.token_url}', client: basic}
    verify: {identity: body.who, request_id: "headers['x-rid']"}
    runbook: {console_url: https://x.example, steps: [a], previous: x}
`
	kind := parse(t, decides).Provider().Type("app")
	token := provider.Token{Credential: provider.Values{"client_id": "c", "client_secret": secret}}
	for want, answer := range map[provider.Outcome]said{
		provider.Accepted:     {status: 200, body: `{"access_token":"a-token","who":7}`},
		provider.Rejected:     {status: 401, body: `{"error":"invalid_client"}`},
		provider.Inconclusive: {status: 403, body: `{}`},
	} {
		answer.headers = []string{"X-Rid", "r-1"}
		if v, err := verify(t, kind, newPlatform(t, answer).account(), token); err != nil || v.Outcome != want || v.RequestID != "r-1" {
			t.Errorf("got %+v, error %v, want %s with the request id", v, err, want)
		}
	}
}

// TestMint_LoginIsNeverRepeated over a connection that was used before and is dropped: platforms allow few logins.
func TestMint_LoginIsNeverRepeated(t *testing.T) {
	t.Parallel()
	var logins atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if logins.Add(1) == 1 {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"token":"abc"}`))
			return
		}
		if connection, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = connection.Close()
		}
	}))
	t.Cleanup(server.Close)
	kind := parse(t, with(t, "{method: POST, url: '{+account.base_url}/login', json: {user: '{credential.user}', password: '{credential.password}', days: 7, tag: '{account.tag}', query: '{ me { id } }'}}",
		"{url: '{+account.base_url}/login', basic: {username: '{credential.user}', password: '{credential.password}'}}")).Provider().Type("app")
	account := httpAccount(t, server.URL)
	if token, err := kind.Mint(t.Context(), account, appToken()); err != nil || token.Value != "abc" {
		t.Fatalf("got %+v, error %v", token, err)
	}
	if _, err := kind.Mint(t.Context(), account, appToken()); err == nil || logins.Load() != 2 {
		t.Errorf("got error %v after %d logins, want one after 2", err, logins.Load())
	}
}
