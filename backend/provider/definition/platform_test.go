package definition_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// sent is a request that the platform got.
type sent struct {
	*http.Request
	body string
}

// platform answers requests in turn; the last answer is repeated.
type platform struct {
	t       testing.TB
	answers []said

	mu       sync.Mutex
	requests []sent
}

// said is an answer, or the error of one that did not come.
type said struct {
	status  int
	body    string
	headers []string
	err     error
}

// RoundTrip is part of http.RoundTripper.
func (p *platform) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	p.requests = append(p.requests, sent{r, string(body)})
	answer := p.answers[min(len(p.requests), len(p.answers))-1]
	if answer.err != nil {
		return nil, answer.err
	}
	header := http.Header{}
	if strings.HasPrefix(strings.TrimSpace(answer.body), "{") {
		header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(answer.headers); i += 2 {
		header.Set(answer.headers[i], answer.headers[i+1])
	}
	return &http.Response{StatusCode: answer.status, Header: header, Body: io.NopCloser(bytes.NewReader([]byte(answer.body))), Request: r}, nil
}

func newPlatform(t testing.TB, answers ...said) *platform {
	return &platform{t: t, answers: answers}
}

// account calls the platform.
func (p *platform) account(settings ...string) provider.Account {
	values := provider.Values{"base_url": "https://api.acme.example", "token_url": "https://login.acme.example/oauth/token", "app_id": "12345"}
	for i := 0; i+1 < len(settings); i += 2 {
		if values[settings[i]] = settings[i+1]; settings[i+1] == "" {
			delete(values, settings[i])
		}
	}
	return provider.Account{Settings: values, Client: &http.Client{
		Transport: p, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// secret is in every credential. No text may have twelve characters of it.
const secret = "s3cr3t-value-of-the-key"

func keyToken(options ...string) provider.Token {
	token := provider.Token{Type: "api_key", Credential: provider.Values{"key_id": "K12345678", "api_key": secret}, Options: provider.Values{}}
	for i := 0; i+1 < len(options); i += 2 {
		token.Options[options[i]] = options[i+1]
	}
	return token
}

func clientToken() provider.Token {
	return provider.Token{Type: "oauth_client", Credential: provider.Values{"client_id": "client 7", "client_secret": secret, "refresh_token": secret + "-refresh"}}
}

func appToken() provider.Token {
	return provider.Token{Type: "app", Credential: provider.Values{"user": "jane", "password": secret}}
}

// kind is a token type of acme.
func kind(t testing.TB, name string) *provider.TokenType {
	t.Helper()
	kind := parse(t, acme(t)).Provider().Type(name)
	if kind == nil {
		t.Fatalf("there is no type %s", name)
	}
	return kind
}

// noSecret wants texts without a part of the secret.
func noSecret(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for end := 12; end <= len(text); end++ {
			if strings.Contains(secret+"\x00"+secret+"-refresh", text[end-12:end]) {
				t.Errorf("%q holds a part of the secret", text)
				break
			}
		}
	}
}

// verify wants a *provider.Error or an outcome, and no secret in either.
func verify(t testing.TB, kind *provider.TokenType, a provider.Account, token provider.Token) (provider.Verification, *provider.Error) {
	t.Helper()
	v, err := kind.Verify(t.Context(), a, token)
	noSecret(t, v.Detail, v.Code, v.RequestID, v.Identity)
	if err == nil {
		return v, nil
	}
	noSecret(t, err.Error())
	silence, ok := errors.AsType[*provider.Error](err)
	if !ok || v != (provider.Verification{}) {
		t.Fatalf("got %+v and error %v, want a *provider.Error alone", v, err)
	}
	return v, silence
}
