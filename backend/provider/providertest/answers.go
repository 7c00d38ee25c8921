package providertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// reply is what comes of a request.
type reply struct {
	status      int
	contentType string
	body        string
	header      http.Header
	// err comes in place of an answer, breaks in the middle of its body.
	err, breaks error
}

// transport answers all requests alike, but for the first, where there is a text that grants an access token.
type transport struct {
	reply
	granted string
	// secret is repeated by the answer. A platform can do that only where the request has it.
	secret string

	mu       sync.Mutex
	requests int
}

// RoundTrip is part of http.RoundTripper.
func (tr *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var sent []byte
	if r.Body != nil {
		sent, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	answer := tr.reply
	if tr.requests++; tr.requests == 1 && tr.granted != "" {
		answer = reply{status: http.StatusOK, contentType: "application/json", body: tr.granted}
	}
	if answer.err != nil {
		return nil, answer.err
	}
	if tr.secret != "" && !carries(r, string(sent), tr.secret) {
		answer = reply{status: answer.status}
	}
	header := answer.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if answer.contentType != "" {
		header.Set("Content-Type", answer.contentType)
	}
	body := io.Reader(strings.NewReader(answer.body))
	if answer.breaks != nil {
		body = io.MultiReader(body, broken{answer.breaks})
	}
	return &http.Response{StatusCode: answer.status, Header: header, Body: io.NopCloser(body), Request: r}, nil
}

// carries says whether a request has a secret in its address, a header or its body, also in an encoded form.
func carries(r *http.Request, body, secret string) bool {
	username, password, _ := r.BasicAuth()
	texts := []string{r.URL.String(), fmt.Sprint(r.Header), body, username, password}
	for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
		if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, form) }) {
			return true
		}
	}
	return false
}

// broken is a body that ends with an error.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

const (
	asJSON = "application/json"
	asHTML = "text/html; charset=utf-8"
	page   = "<!DOCTYPE html><html><body>Sign in to the proxy</body></html>"
)

// silences say nothing whatever the platform is.
func silences() map[string]reply {
	const object = `{"id":1,"code":0,"error":"invalid_grant"}`
	all := map[string]reply{
		"no route":          {err: &net.OpError{Op: "dial", Err: errors.New("no route to host")}},
		"dropped":           {err: io.ErrUnexpectedEOF},
		"timeout":           {err: context.DeadlineExceeded},
		"no HTTP":           {err: errors.New("malformed HTTP response")},
		"half an answer":    {status: 200, contentType: asJSON, body: `{"id":1`, breaks: io.ErrUnexpectedEOF},
		"half a refusal":    {status: 401, contentType: asJSON, body: `{"error":`, breaks: io.ErrUnexpectedEOF},
		"too large":         {status: 200, contentType: asJSON, body: strings.Repeat(" ", 1<<16), breaks: errors.New("more than is read")},
		"throttled":         {status: 429, contentType: asJSON, body: object, header: http.Header{"Retry-After": {"7"}}},
		"throttled, a page": {status: 429, contentType: asHTML, body: page},
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		elsewhere := http.Header{"Location": {"https://login.example.com/"}}
		all[fmt.Sprintf("redirect %d", status)] = reply{status: status, contentType: asJSON, body: object, header: elsewhere}
	}
	for _, status := range []int{500, 502, 503, 504, 520, 599} {
		all[fmt.Sprintf("HTTP %d", status)] = reply{status: status, contentType: asJSON, body: object}
		all[fmt.Sprintf("HTTP %d, a page", status)] = reply{status: status, contentType: asHTML, body: page}
	}
	return all
}

// foreign are answers of somebody in between, by name, with their status.
func foreign() map[string]reply {
	all := map[string]reply{}
	for _, status := range []int{200, 401, 403, 404, 407} {
		all[fmt.Sprintf("page, HTTP %d", status)] = reply{status: status, contentType: asHTML, body: page}
		all[fmt.Sprintf("page without a type, HTTP %d", status)] = reply{status: status, body: page}
		all[fmt.Sprintf("page announced as JSON, HTTP %d", status)] = reply{status: status, contentType: asJSON, body: page}
	}
	return all
}

// cut are answers without their end, or with nothing.
func cut() map[string]reply {
	all := map[string]reply{}
	for _, status := range []int{200, 204, 400, 401, 403, 404} {
		all[fmt.Sprintf("nothing, HTTP %d", status)] = reply{status: status}
		all[fmt.Sprintf("nothing announced as JSON, HTTP %d", status)] = reply{status: status, contentType: asJSON}
		all[fmt.Sprintf("half of JSON, HTTP %d", status)] = reply{status: status, contentType: asJSON, body: `{"id":1,"error":{"code":`}
	}
	return all
}

// noUsefulAnswer wants that what is no useful answer neither accepts nor rejects, and does nothing.
func (s suite) noUsefulAnswer(t *testing.T) {
	for name, answer := range silences() {
		s.wantSilence(t, name, answer)
	}
	for name, answer := range foreign() {
		s.wantNoDecision(t, name, answer)
	}
	for name, answer := range cut() {
		if !slices.Contains(s.ByStatus, answer.status) {
			s.wantNoDecision(t, name, answer)
		}
	}
}

// eachWay runs a test with the answer to every request, and where there is a grant with the answer to what follows it.
func (s suite) eachWay(answer reply, run func(*transport)) {
	run(&transport{reply: answer})
	if s.kind.Mint != nil {
		run(&transport{reply: answer, granted: s.Granted})
	}
}

func (s suite) wantSilence(t *testing.T, name string, answer reply) {
	t.Helper()
	s.eachWay(answer, func(over *transport) {
		v, err := s.kind.Verify(t.Context(), s.account(over), s.Token)
		if over.granted != "" && over.requests == 1 {
			return // the grant decides
		}
		if _, ok := errors.AsType[*provider.Error](err); !ok && v.Outcome != provider.Inconclusive {
			t.Errorf("%s: Verify gives %+v, error %v; want a *provider.Error", name, v, err)
		}
	})
	if s.kind.Mint != nil {
		if token, err := s.kind.Mint(t.Context(), s.account(&transport{reply: answer}), s.Token); !isSilence(err) || token.Value != "" {
			t.Errorf("%s: Mint gives %v; want a *provider.Error", name, err)
		}
	}
	if s.kind.Renew != nil {
		if values, err := s.kind.Renew.Call(t.Context(), s.account(&transport{reply: answer}), s.Token); !isSilence(err) || values != nil {
			t.Errorf("%s: Renew gives %v; want a *provider.Error", name, err)
		}
	}
	if s.kind.Retire != nil {
		if err := s.kind.Retire(t.Context(), s.account(&transport{reply: answer}), s.Token, s.Token.Credential); !isSilence(err) {
			t.Errorf("%s: Retire gives %v; want a *provider.Error", name, err)
		}
	}
}

func isSilence(err error) bool {
	_, ok := errors.AsType[*provider.Error](err)
	return ok
}

func (s suite) wantNoDecision(t *testing.T, name string, answer reply) {
	t.Helper()
	s.eachWay(answer, func(over *transport) {
		v, err := s.kind.Verify(t.Context(), s.account(over), s.Token)
		if over.granted != "" && over.requests == 1 {
			return
		}
		if !isSilence(err) && v.Outcome != provider.Inconclusive {
			t.Errorf("%s: Verify gives %+v, error %v; want neither accepted nor rejected", name, v, err)
		}
	})
	if s.kind.Mint != nil {
		if token, err := s.kind.Mint(t.Context(), s.account(&transport{reply: answer}), s.Token); err == nil {
			t.Errorf("%s: Mint gives the token %q", name, token.Value)
		}
	}
	if s.kind.Renew != nil {
		if values, err := s.kind.Renew.Call(t.Context(), s.account(&transport{reply: answer}), s.Token); err == nil {
			t.Errorf("%s: Renew gives %d values", name, len(values))
		}
	}
}

// noSecretInTexts has the platform repeat every secret everywhere.
func (s suite) noSecretInTexts(t *testing.T) {
	for _, secret := range s.secrets() {
		for _, status := range []int{200, 400, 401, 403, 404, 409, 429, 500, 302} {
			for name, answer := range echoes(secret, status) {
				s.eachWay(answer, func(over *transport) {
					over.secret = secret
					v, err := s.kind.Verify(t.Context(), s.account(over), s.Token)
					s.wantNoSecret(t, fmt.Sprintf("Verify of %s, HTTP %d", name, status), fmt.Sprintf("%+v %v", v, err))
				})
				s.wantNoSecretOfOthers(t, name, secret, answer)
			}
		}
	}
}

// wantNoSecretOfOthers looks at the errors of what a type can do beside Verify.
func (s suite) wantNoSecretOfOthers(t *testing.T, name, secret string, answer reply) {
	t.Helper()
	account := func() provider.Account { return s.account(&transport{reply: answer, secret: secret}) }
	what := fmt.Sprintf("%s, HTTP %d", name, answer.status)
	if s.kind.Mint != nil {
		_, err := s.kind.Mint(t.Context(), account(), s.Token)
		s.wantNoSecret(t, "Mint of "+what, fmt.Sprint(err))
	}
	if s.kind.Renew != nil {
		_, err := s.kind.Renew.Call(t.Context(), account(), s.Token)
		s.wantNoSecret(t, "Renew of "+what, fmt.Sprint(err))
	}
	if s.kind.Retire != nil {
		s.wantNoSecret(t, "Retire of "+what, fmt.Sprint(s.kind.Retire(t.Context(), account(), s.Token, s.Token.Credential)))
	}
}

// echoes are answers that have a secret wherever platforms put codes, identities and messages.
func echoes(secret string, status int) map[string]reply {
	header := http.Header{}
	for _, name := range []string{"X-Request-Id", "Request-Id", "X-Ratelimit-Reset", "Retry-After", "Location", "X-Error"} {
		header.Set(name, secret)
	}
	object := map[string]any{}
	for _, name := range []string{
		"id", "code", "error", "error_description", "error_code", "error_subtype", "message", "Message", "Status", "status", "name",
		"CompanyName", "account_id", "user", "data",
		"access_token", "token_type", "request_id", "requestId", "key", "errors",
	} {
		object[name] = secret
	}
	nested := map[string]any{"error": object, "data": object, "response": object, "errors": []any{object}, "Message": secret}
	nested["Status"] = "ERROR"
	all := map[string]reply{"text": {status: status, contentType: "text/plain", body: secret, header: header}}
	for name, value := range map[string]any{"flat": object, "nested": nested, "list": []any{object}} {
		if body, err := json.Marshal(value); err == nil {
			all[name] = reply{status: status, contentType: asJSON, body: string(body), header: header}
		}
	}
	return all
}
