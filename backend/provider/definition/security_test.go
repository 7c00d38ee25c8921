package definition_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

// TestAttack_AnotherHost: no definition has a secret sent to a host that the account does not name.
func TestAttack_AnotherHost(t *testing.T) {
	t.Parallel()
	const url, place = "'{+account.base_url}/v2/{account.region}/{+option.probe_path}'", "token_types.api_key.verify.request.url"
	for address, says := range map[string]string{
		"https://evil.example/x":                   "must begin with an endpoint",
		"//evil.example/{credential.key_id}":       "must begin with an endpoint",
		"{+account.base_url}.evil.example/":        "must come /, ? or nothing",
		"{+account.base_url}@evil.example/":        "must come /, ? or nothing",
		"{+account.base_url}:443@evil.example/":    "must come /, ? or nothing",
		"{+account.base_url}{account.region}/":     "must come /, ? or nothing",
		"{+account.base_url}{+option.probe_path}":  "must come /, ? or nothing",
		"{account.base_url}/x":                     "must begin with an endpoint",
		"{+account.region}/x":                      "must begin with an endpoint",
		"{+account.tag}/x":                         "must begin with an endpoint",
		"{+option.probe_path}/x":                   "must begin with an endpoint",
		"{+credential.key_id}/x":                   "must begin with an endpoint",
		"https://evil.example/{+account.base_url}": "must begin with an endpoint",
		"x{+account.base_url}/":                    "must begin with an endpoint",
		"{+account.base_url,account.tag}/x":        "one variable and no modifier",
		"{+account.base_url:9}/x":                  "one variable and no modifier",
		"{+account.base_url*}/x":                   "one variable and no modifier",
		"{#account.base_url}/x":                    "one variable and no modifier",
		"{+account.base_url}/x#{account.tag}":      "fragment",
		"{+account.evil_url}/x":                    "there is no variable",
		"":                                         "url",
	} {
		mistakes := mistakesOf(t, with(t, url, "'"+address+"'"))
		if text := mistakes.Error(); !strings.Contains(text, says) || !strings.Contains(text, place) && address != "" {
			t.Errorf("%s: got\n%v\nwant a mistake with %q", address, text, says)
		}
	}
	for place, replaced := range map[string][]string{
		"token_types.oauth_client.grant.url":            {"      url: '{+account.token_url}'\n      client: basic\n      params", "      url: 'https://evil.example'\n      client: basic\n      params"},
		"token_types.oauth_client.consent.exchange.url": {"exchange: {url: '{+account.token_url}'", "exchange: {url: 'https://evil.example'"},
		"token_types.api_key.rotate.request.url":        {"'{+account.base_url}/v2/keys/{credential.key_id}/regenerate'", "'https://evil.example'"},
		"token_types.app.grant.request.url":             {"url: '{+account.base_url}/login'", "url: 'https://evil.example'"},
	} {
		wantMistake(t, with(t, replaced...), place, "must begin with an endpoint")
	}
}

// TestAttack_ValueThatLeadsAway: a value with the characters of addresses, in a field that takes anything, stays at its place.
func TestAttack_ValueThatLeadsAway(t *testing.T) {
	t.Parallel()
	text := with(t, "pattern: '[0-9A-Za-z/_-]+', default: me", "default: me")
	kind := parse(t, text).Provider().Type("api_key")
	for _, value := range []string{"../../admin", "a/../../../x", "%2e%2e/x", "..", ".", "a/./b", `..\x`, "%5c..%5cx", "x#y", "a/%2E%2E/b"} {
		p := newPlatform(t, said{status: 200, body: `{"id":1}`})
		if _, err := verify(t, kind, p.account("base_url", "https://api.acme.example/below"), keyToken("probe_path", value)); err == nil || !strings.Contains(err.Error(), "would lead its address away from base_url") || len(p.requests) > 0 {
			t.Errorf("%s: got %v after %d requests", value, err, len(p.requests))
		}
	}
	for _, value := range []string{"@evil.example", "//evil.example", "x?y=1", "http://evil.example", "a b", "ä"} {
		p := newPlatform(t, said{status: 200, body: `{"id":1}`})
		_, err := verify(t, kind, p.account(), keyToken("probe_path", value))
		if err != nil || p.requests[0].URL.Host != "api.acme.example" || !strings.HasPrefix(p.requests[0].URL.Path, "/v2/EMEA/") {
			t.Errorf("%s: got %v, %v", value, err, p.requests)
		}
	}
	// Percent-encoded, a value cannot have a slash of its own.
	kind = parse(t, with(t, "{+option.probe_path}", "{option.probe_path}", "pattern: '[0-9A-Za-z/_-]+', default: me", "default: me")).Provider().Type("api_key")
	p := newPlatform(t, said{status: 200, body: `{"id":1}`})
	if _, err := verify(t, kind, p.account(), keyToken("probe_path", "a/b?c=d&e#f")); err != nil || p.requests[0].URL.EscapedPath() != "/v2/EMEA/a%2Fb%3Fc%3Dd%26e%23f" {
		t.Errorf("got %v, %s", err, p.requests[0].URL)
	}
}

// TestAttack_SecretInAnAddress: addresses end up in logs.
func TestAttack_SecretInAnAddress(t *testing.T) {
	t.Parallel()
	const url = "'{+account.base_url}/v2/{account.region}/{+option.probe_path}'"
	const request = "token_types.api_key.verify.request"
	for replacement, place := range map[string]string{
		"'{+account.base_url}/{credential.api_key}'":   request + ".url",
		"'{+account.base_url}?k={credential.api_key}'": request + ".url",
		"'{+account.base_url}/{account.partner_key}'":  request + ".url",
		"'{+account.base_url}/{+credential.api_key}'":  request + ".url",
	} {
		wantMistake(t, with(t, url, replacement), place, "is secret, and addresses end up in logs")
		parse(t, with(t, url, replacement+"\n        secret_in_url: true"))
	}
	wantMistake(t, with(t, "query: {app: '{account.app_id}'", "query: {app: '{credential.api_key}'"), request+".query.app", "secret_in_url: true")
	wantMistake(t, with(t, "{+account.base_url}/v2/me", "{+account.base_url}/v2/{grant.access_token}"), "token_types.oauth_client.verify.request.url", "is secret")
	wantMistake(t, with(t, "authorize_url: https://login.acme.example/oauth/authorize", "authorize_url: '{+account.token_url}/{credential.client_secret}'"), "token_types.oauth_client.consent.authorize_url", "is secret")
	wantMistake(t, with(t, "params: {client_id: '{credential.client_id}', scope: ads.read}\n      pkce", "params: {client_id: '{credential.client_secret}'}\n      pkce"), "token_types.oauth_client.consent.params.client_id", "is secret")
}

// TestAttack_SecretBesideTheCredential: what creds/ shows beside the credential, and what goes to hooks and events, holds none.
func TestAttack_SecretBesideTheCredential(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"{credential.api_key}", "{account.partner_key}", "x {credential.api_key}", "{+account.base_url}/{credential.api_key}"} {
		wantMistake(t, with(t, "key: 'key {credential.key_id}'", "key: '"+value+"'"), "token_types.api_key.connection.key", "is secret")
	}
	wantMistake(t, with(t, "key: 'key {credential.key_id}'", "key: '{grant.access_token}'"), "token_types.api_key.connection.key", "there is no variable")
	for _, name := range []string{"api_key", "partner_key"} {
		wantMistake(t, with(t, "subject: [key_id, app_id]", "subject: ["+name+"]"), "token_types.api_key.subject[0]", "is secret")
	}
}

func TestAttack_FramingHeaders(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Host", "host", "Content-Length", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Trailer", "Keep-Alive", "Expect",
		"Proxy-Authorization", "Proxy-Connection", "Accept-Encoding", "HTTP2-Settings",
	} {
		wantMistake(t, with(t, "{X-App: '{account.app_id}', X-Key", "{"+name+": x, X-Key"), "token_types.api_key.verify.request.headers."+name, "cannot be set")
	}
	wantMistake(t, with(t, "{X-App: '{account.app_id}', X-Key", `{X-App: "a\r\nHost: evil.example", X-Key`), "token_types.api_key.verify.request.headers.X-App", "one line")
}

// TestAttack_ValueOfSeveralLines: no field takes a value that ends a header and begins another one, whatever its pattern.
func TestAttack_ValueOfSeveralLines(t *testing.T) {
	t.Parallel()
	p := parse(t, with(t, "pattern: '[0-9]{5,25}'", "pattern: '(?s).*'")).Provider()
	fields := append(p.AccountFields, p.Types[0].Fields...)
	for _, name := range []string{"app_id", "tag", "api_key"} {
		field, _ := provider.Lookup(fields, name)
		for _, value := range []string{"a\r\nHost: evil.example", "a\nb", "a\x00b", "a\u2028b", "a\u202eb"} {
			if got, err := field.Canonical(value); err == nil || strings.Contains(err.Error(), "evil") {
				t.Errorf("%s takes %q as %q, error %v", name, value, got, err)
			}
		}
	}
	key, _ := provider.Lookup(p.Types[0].Fields, "api_key")
	if _, err := key.Canonical("two words"); err == nil || strings.Contains(err.Error(), "words") {
		t.Errorf("got %v, want that a secret has no blanks", err)
	}
}

// TestAttack_RedirectIsNotFollowed, over HTTP.
func TestAttack_RedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the request was sent on") }))
	t.Cleanup(thief.Close)
	server := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	client, err := provider.NewClient(provider.ClientConfig{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	d := parse(t, acme(t))
	for _, kind := range d.Provider().Types {
		token := provider.Token{Credential: provider.Values{"key_id": "K1", "api_key": secret, "key": secret, "client_id": "x", "client_secret": secret, "refresh_token": secret, "user": "x", "password": secret}}
		account := provider.Account{Client: client, Settings: provider.Values{"base_url": server.URL, "token_url": server.URL, "app_id": "1"}}
		if v, err := kind.Verify(t.Context(), account, token); err == nil {
			t.Errorf("%s: got %+v", kind.Name, v)
		}
	}
}

// TestAttack_ExpressionThatRunsLong ends by its cost, and does not match.
func TestAttack_ExpressionThatRunsLong(t *testing.T) {
	t.Parallel()
	list := "[" + strings.Repeat("1,", 90) + "1]"
	loop := fmt.Sprintf("%[1]s.all(a, %[1]s.all(b, %[1]s.all(c, %[1]s.all(d, a + b + c + d > 0))))", list)
	grow := list + `.map(x, text + text + text + text).map(x, x + x).map(x, x + x).map(x, x + x).size() > 0`
	for name, when := range map[string]string{"a loop": loop, "a text that grows": grow, "a pattern": `text.matches("(a+)+(a+)+(a+)+(a+)+b") && ` + loop} {
		text := with(t, "when: 'status == 200 && has(body.id)'", "when: '"+when+"'")
		p := newPlatform(t, said{status: 200, body: strings.Repeat("a", 1<<20)})
		kind := parse(t, text).Provider().Type("api_key")
		began := time.Now()
		v, err := verify(t, kind, p.account(), keyToken())
		if took := time.Since(began); err != nil || v.Outcome != provider.Inconclusive || took > longest {
			t.Errorf("%s: got %+v, error %v after %v", name, v, err, took)
		}
	}
}

// TestAttack_HintsThatAskForASecret: one character after the other would be told.
func TestAttack_HintsThatAskForASecret(t *testing.T) {
	t.Parallel()
	for _, when := range []string{
		`credential.api_key.startsWith("a")`, `credential["api_key"] == "a"`, `credential.exists(k, k == "a")`, `credential["api_" + "key"] == "a"`,
		`[credential][0]["api_key"] == "a"`, `has(credential.api_key)`, `credential.key_id == "x" && "a" in credential`, `credential == {"api_key": "a"}`,
	} {
		text := with(t, "outcome: rejected, code: 'string(body.error.code)'", "outcome: rejected, hints: [{when: '"+when+"', text: yes}]")
		wantMistake(t, text, "token_types.api_key.verify.outcomes[1].hints[0].when", "could find out a secret bit by bit")
		if _, err := definition.ParseCatalogue([]byte(text), definition.Taken()); err != nil {
			t.Errorf("%s: got %v of a document of the engine's own", when, err)
		}
	}
}

// TestAttack_ExpressionsSeeNoSecret: neither credentials nor secret settings.
func TestAttack_ExpressionsSeeNoSecret(t *testing.T) {
	t.Parallel()
	kind := parse(t, with(t, "when: 'status == 200 && has(body.id)'", "when: 'has(account.partner_key) || has(account.api_key)'")).Provider().Type("api_key")
	if v, err := verify(t, kind, newPlatform(t, said{status: 200}).account("partner_key", secret), keyToken()); err != nil || v.Outcome != provider.Inconclusive {
		t.Errorf("got %+v, error %v", v, err)
	}
}

// TestAttack_ReplacementThatRevealsOrRedirects: see CheckReplacement.
func TestAttack_ReplacementThatRevealsOrRedirects(t *testing.T) {
	t.Parallel()
	old := parse(t, acme(t))
	used := definition.Uses{
		Accounts: true, Settings: []string{"base_url", "token_url", "app_id", "partner_key", "tag"},
		Types: map[string][]string{"api_key": {"probe_path"}, "oauth_client": nil},
	}
	tests := map[string]struct {
		replaced    []string
		place, says string
	}{
		"the same":                  {nil, "", ""},
		"another rule and pattern":  {[]string{"status == 403', outcome: accepted", "status == 409', outcome: accepted", "'K[0-9]{8}', form: K and 8 digits", "'K[0-9]{9}', form: K and 9 digits"}, "", ""},
		"an unused type goes":       {[]string{"  checked_key:\n", "  other_key:\n"}, "", ""},
		"an endpoint more":          {[]string{"    token_url: {default", "    new_url: {default: https://evil.example, description: x}\n    token_url: {default"}, "", ""},
		"another name":              {[]string{"name: acme_ads", "name: acme"}, "name", "must stay acme_ads"},
		"a used type goes":          {[]string{"  oauth_client:\n", "  oauth:\n"}, "token_types", "the type oauth_client must stay"},
		"a used field is shown":     {[]string{"api_key: {secret: true, ", "api_key: {"}, "token_types.api_key.fields.api_key.secret", "must stay true"},
		"a used setting is shown":   {[]string{"partner_key: {secret: true, ", "partner_key: {"}, "account.settings.partner_key.secret", "must stay true"},
		"a used type gets a field":  {[]string{"      key_id: {pattern", "      extra: {description: x}\n      key_id: {pattern"}, "token_types.api_key.fields.extra", "is new"},
		"a used option goes":        {[]string{"      probe_path: {pattern", "      probe: {pattern", "{+option.probe_path}", "{+option.probe}"}, "token_types.api_key.options", "probe_path must stay"},
		"a setting becomes a host":  {[]string{"    tag: {description: A tag that calls carry.}\n", "", "  settings:\n", "    tag: {description: x}\n  settings:\n"}, "account.endpoints.tag", "must stay in account.settings"},
		"a host becomes a setting":  {[]string{"    token_url: {default: https://login.acme.example/oauth/token, description: Token endpoint.}\n", "    other_url: {description: x}\n", "  settings:\n", "  settings:\n    token_url: {description: x}\n", "      url: '{+account.token_url}'\n", "      url: '{+account.other_url}'\n", "exchange: {url: '{+account.token_url}'", "exchange: {url: '{+account.other_url}'"}, "account.settings.token_url", "must stay in account.endpoints"},
		"a setting that is missing": {[]string{"    tag: {description", "    new: {required: true, description: x}\n    tag: {description"}, "account.settings.new.required", "cannot be true of a new setting"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replacement := parse(t, with(t, tc.replaced...))
			err := definition.CheckReplacement(old, replacement, used)
			if tc.says == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			mistakes, _ := errors.AsType[definition.Mistakes](err)
			if len(mistakes) != 1 || mistakes[0].Place != tc.place || !strings.Contains(mistakes[0].Problem, tc.says) {
				t.Errorf("got %v, want one at %s with %q", err, tc.place, tc.says)
			}
			if err := definition.CheckReplacement(old, replacement, definition.Uses{}); (err != nil) != (name == "another name") {
				t.Errorf("got %v of what nobody uses", err)
			}
		})
	}
}

// TestAttack_AddedEndpointGetsNoSecret: an account from before has no value for it, and its default is not taken.
func TestAttack_AddedEndpointGetsNoSecret(t *testing.T) {
	t.Parallel()
	text := with(t, "    token_url: {default", "    new_url: {default: https://evil.example, description: x}\n    token_url: {default",
		"url: '{+account.base_url}/v2/{account.region}/{+option", "url: '{+account.new_url}/v2/{account.region}/{+option")
	kind := parse(t, text).Provider().Type("api_key")
	p := newPlatform(t, said{status: 200, body: `{"id":1}`})
	if _, err := verify(t, kind, p.account(), keyToken()); err == nil || !strings.Contains(err.Error(), "new_url of the account has no value") || len(p.requests) > 0 {
		t.Errorf("got %v after %d requests", err, len(p.requests))
	}
}

// TestAttack_CancelledVerificationEnds.
func TestAttack_CancelledVerificationEnds(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	client, err := provider.NewClient(provider.ClientConfig{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	account := provider.Account{Client: client, Settings: provider.Values{"base_url": server.URL, "app_id": "1"}}
	if _, err := kind(t, "api_key").Verify(ctx, account, keyToken()); err == nil || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("got %v", err)
	}
}
