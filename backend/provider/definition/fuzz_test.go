package definition_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

// longest is how long anything here may take, on a slow machine.
const longest = 30 * time.Second

func wantSoon(t testing.TB, began time.Time) {
	t.Helper()
	if took := time.Since(began); took > longest {
		t.Errorf("it took %v", took)
	}
}

// FuzzParse looks for documents that crash the parser, cost much, or are taken and then crash what is made of them.
func FuzzParse(f *testing.F) {
	f.Add([]byte(acme(f)))
	f.Add([]byte(bomb(5)))
	f.Add([]byte(`{"format":1,"name":"a","title":"b","token_types":{"c":{}}}`))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("name: !!binary x\n? [a]\n: b\n--- x"))
	f.Add([]byte(with(f, "pattern: '[0-9]{5,25}'", "pattern: '((a{99}){99}){99}'")))
	f.Add([]byte(with(f, "when: 'status == 200 && has(body.id)'", "when: '[1,2].map(x, [x].map(y, y))[0][0] == 1'")))
	f.Add([]byte(with(f, "json: {user: '{credential.user}'", "json: {x: [[{a: '{account.app_id}'}]], user: '{credential.user}'")))
	f.Fuzz(func(t *testing.T, document []byte) {
		defer wantSoon(t, time.Now())
		d, err := definition.Parse(document, definition.Taken())
		if err != nil {
			mistakes, ok := errors.AsType[definition.Mistakes](err)
			if !ok || len(mistakes) == 0 || len(mistakes) > 101 {
				t.Fatalf("got %T of %d, want some mistakes", err, len(mistakes))
			}
			for _, m := range mistakes {
				if m.Problem == "" || m.Line < 0 {
					t.Errorf("got the mistake %+v", m)
				}
			}
			return
		}
		if _, err := definition.Load(document); err != nil {
			t.Errorf("Load gives %v of a document that Parse takes", err)
		}
		use(t, d)
	})
}

// use does everything with a definition that has been taken.
func use(t *testing.T, d *definition.Definition) {
	t.Helper()
	_, _ = d.RunExamples(t.Context()), d.MissingExamples()
	p := d.Provider()
	if err := provider.Check(p, definition.Taken()); err != nil {
		t.Error(err)
	}
	settings := provider.Values{}
	for _, field := range p.AccountFields {
		if settings[field.Name] = field.Default; field.Default == "" {
			settings[field.Name] = "https://api.acme.example"
		}
	}
	for _, kind := range p.Types {
		token := provider.Token{Type: kind.Name, Credential: provider.Values{}, Options: provider.Values{}}
		for _, field := range kind.Fields {
			token.Credential[field.Name] = secret
		}
		platform := newPlatform(t, said{status: 200, body: `{"a":1}`})
		account := platform.account()
		account.Settings = settings
		kind.Runbook(settings)
		kind.Connect(settings, token)
		_, _ = kind.Verify(t.Context(), account, token)
		if kind.Mint != nil {
			_, _ = kind.Mint(t.Context(), account, token)
		}
		if kind.Renew != nil {
			_, _ = kind.Renew.Call(t.Context(), account, token)
		}
		if kind.Retire != nil {
			_ = kind.Retire(t.Context(), account, token, token.Credential)
		}
		if consent := d.Consent(kind.Name); consent != nil {
			_, _ = consent.AuthorizeURL(settings, token, asked)
			_, _ = consent.Exchange(t.Context(), account, token, "code", asked)
		}
		for _, r := range platform.requests {
			if r.URL.Scheme != "https" || !slices.ContainsFunc(p.AccountFields, func(field provider.Field) bool {
				return field.Endpoint && strings.HasPrefix(settings[field.Name]+"/", "https://"+r.URL.Host+"/") || strings.HasPrefix(settings[field.Name], "https://"+r.URL.Host+"/")
			}) {
				t.Errorf("a request went to %s, which is no endpoint of %v", r.URL.Host, settings)
			}
		}
	}
}

// FuzzAnswer looks for answers that crash what reads them, prove or refuse a credential with a status that says nothing, or get a
// secret into what an operator is told.
func FuzzAnswer(f *testing.F) {
	for status, body := range map[int]string{
		200: `{"id":1,"account_id":["` + secret + `",7],"expires":1e300,"key":"x","token":"y","access_token":"z"}`, 204: "", 302: "", 400: `{"error":{"code":190}}`,
		401: `{"error":{"code":"` + secret + `"}}`, 403: `{"code":"` + secret + `"}`, 404: `{"maintenance":[]}`, 420: secret, 421: "<html>", 429: "{}", 500: `{"id":1}`, 599: "[",
	} {
		f.Add(status, []byte(body), "application/json", secret)
		f.Add(status, []byte(body), "text/html", "17")
	}
	d := parse(f, acme(f))
	types := d.Provider().Types
	tokens := map[string]provider.Token{"api_key": keyToken(), "oauth_client": clientToken(), "app": appToken(), "checked_key": {Credential: provider.Values{"key": secret}}}
	f.Fuzz(func(t *testing.T, status int, body []byte, contentType, header string) {
		defer wantSoon(t, time.Now())
		answer := said{status: status, body: string(body), headers: []string{"Content-Type", contentType, "X-Request-Id", header, "X-Wait", header, "X-Reset", header, "Retry-After", header}}
		for _, kind := range types {
			token, account := tokens[kind.Name], newPlatform(t, answer).account()
			v, err := kind.Verify(t.Context(), account, token)
			tell(t, err, v.Detail, v.Code, v.RequestID, v.Identity)
			decided := v.Outcome == provider.Accepted || v.Outcome == provider.Rejected
			if decided && (status >= 500 || status < 200 || status >= 300 && status < 400) {
				t.Errorf("HTTP %d gives %+v of %s", status, v, kind.Name)
			}
			if kind.Mint != nil {
				_, err := kind.Mint(t.Context(), account, token)
				tell(t, err)
			}
			if kind.Renew != nil {
				_, err := kind.Renew.Call(t.Context(), account, token)
				tell(t, err)
			}
			if kind.Retire != nil {
				tell(t, kind.Retire(t.Context(), account, token, token.Credential))
			}
			if consent := d.Consent(kind.Name); consent != nil {
				_, err := consent.Exchange(t.Context(), account, token, secret, asked)
				tell(t, err)
			}
		}
	})
}

// tell looks at everything that an operator would be told.
func tell(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err != nil {
		texts = append(texts, err.Error())
		_, silence := errors.AsType[*provider.Error](err)
		if _, refused := errors.AsType[*provider.Refused](err); !silence && !refused {
			t.Errorf("got %T", err)
		}
	}
	for _, text := range texts {
		if len(text) > 2000 || strings.ContainsAny(text, "\n\r\x00") {
			t.Errorf("the operator is told %q", text)
		}
	}
	noSecret(t, texts...)
}

// FuzzExpression looks for expressions that run long, or crash what evaluates them.
func FuzzExpression(f *testing.F) {
	for _, text := range []string{
		"status == 200", "body.a.exists(x, x > 1)", `text.matches("(a+)+b")`, "[1,2,3].map(x, [1,2,3].map(y, x*y)).size() > 1", `string(body) == ""`,
		`headers["x"].size() > 0 && text.contains("a")`, "1 / 0 == 1", `timestamp("2026-01-01T00:00:00Z") > timestamp(body.a)`, `duration("1h") > duration(text)`,
		`type(body) == map`, `body["a"][0]`, `double(text) > 1.0`, `body.a.all(x, body.a.all(y, body.a.all(z, x + y + z > 0)))`, `bytes(text) == b"a"`,
	} {
		f.Add(text, `{"a":[1,2,3]}`)
	}
	const template = `{"format": 1, "name": "acme", "title": "Acme", "sources": [{"title": "x", "url": "https://acme.example", "read": "2026-11-26"}],
		"account": {"endpoints": {"base_url": {"description": "x"}}},
		"token_types": {"key": {"title": "Key", "description": "x", "reset_semantics": "immediate", "fields": {"api_key": {"secret": true, "description": "x"}},
		"verify": {"request": {"url": "{+account.base_url}", "headers": {"X": "{credential.api_key}"}}, "outcomes": [{"when": EXPRESSION, "outcome": "accepted"}]},
		"runbook": {"steps": ["x"], "previous": "x"}}}}`
	f.Fuzz(func(t *testing.T, expression, body string) {
		quoted, err := json.Marshal(expression)
		if err != nil {
			return
		}
		defer wantSoon(t, time.Now())
		d, err := definition.Parse([]byte(strings.Replace(template, "EXPRESSION", string(quoted), 1)), definition.Taken())
		if err != nil {
			return
		}
		v, err := d.Provider().Type("key").Verify(t.Context(), newPlatform(t, said{status: 200, body: body}).account(), keyToken())
		tell(t, err, v.Detail, v.Code, v.RequestID, v.Identity, fmt.Sprint(v.ExpiresAt))
	})
}
