package definition_test

import (
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

var asked = definition.Asked{State: "st", RedirectURI: "http://127.0.0.1/", Verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}

func TestConsent_AuthorizeURL(t *testing.T) {
	t.Parallel()
	d := parse(t, acme(t))
	if d.Consent("api_key") != nil || d.Consent("nothing") != nil {
		t.Error("got a consent of a type that has none")
	}
	c := d.Consent("oauth_client")
	if !c.PKCE || !slices.Equal(c.Needs(), []string{"client_id", "client_secret"}) || !slices.Equal(c.Gives(), []string{"refresh_token"}) {
		t.Errorf("got %v, %q, %q", c.PKCE, c.Needs(), c.Gives())
	}
	address, err := c.AuthorizeURL(nil, clientToken(), asked)
	if err != nil {
		t.Fatal(err)
	}
	noSecret(t, address)
	u, _ := url.Parse(address)
	want := url.Values{
		"response_type": {"code"}, "client_id": {"client 7"}, "scope": {"ads.read"}, "redirect_uri": {asked.RedirectURI}, "state": {"st"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}, // RFC 7636, appendix B
	}
	if got := u.Query(); got.Encode() != want.Encode() || !strings.HasPrefix(address, "https://login.acme.example/oauth/authorize?") {
		t.Errorf("got %s", address)
	}
	if _, err := c.AuthorizeURL(nil, provider.Token{}, asked); err == nil || !strings.Contains(err.Error(), "needs client_id") {
		t.Errorf("got %v", err)
	}
}

func TestConsent_Exchange(t *testing.T) {
	t.Parallel()
	c := parse(t, acme(t)).Consent("oauth_client")
	p := newPlatform(t, said{status: 200, body: `{"access_token":"at","refresh_token":"new"}`})
	values, err := c.Exchange(t.Context(), p.account(), clientToken(), "the-code-of-a-person", asked)
	if err != nil || len(values) != 1 || values["refresh_token"] != "new" {
		t.Errorf("got %v, error %v", values, err)
	}
	wantForm(t, p.requests[0], map[string]string{
		"grant_type": "authorization_code", "code": "the-code-of-a-person", "redirect_uri": asked.RedirectURI, "code_verifier": asked.Verifier,
	})
	tests := map[string]struct {
		answer  said
		refused bool
		says    string
	}{
		"refused":        {said{status: 400, body: `{"error":"invalid_grant"}`}, true, "refuses the grant"},
		"undecided":      {said{status: 400, body: `{"error":"the-code-of-a-person"}`}, true, "does not exchange the code"},
		"without values": {said{status: 200, body: `{}`}, false, "has no usable refresh_token"},
		"dropped":        {said{err: io.EOF}, false, "closed the connection"},
		"500":            {said{status: 500}, false, "HTTP 500"},
	}
	for name, tc := range tests {
		_, err := c.Exchange(t.Context(), newPlatform(t, tc.answer).account(), clientToken(), "the-code-of-a-person", asked)
		if _, refused := errors.AsType[*provider.Refused](err); err == nil || refused != tc.refused || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "of-a-person") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestConsent_OwnExchange: a platform with JSON and names of its own.
func TestConsent_OwnExchange(t *testing.T) {
	t.Parallel()
	text := with(t, "exchange: {url: '{+account.token_url}', client: basic}",
		"exchange: {type: request, request: {method: POST, url: '{+account.base_url}/access', json: {app: '{credential.client_id}', auth_code: '{consent.code}'}}, outcomes: [{when: 'body.code != 0', outcome: rejected, detail: Acme refuses the code}, {when: 'body.code == 0', outcome: granted}]}",
		"credential: {refresh_token: body.refresh_token}\n    verify", "credential: {refresh_token: body.data.token}\n    verify")
	text = strings.Replace(text, `answer: {status: 200, body: {access_token: at, refresh_token: rt}}`, `answer: {status: 200, body: {code: 0, data: {token: rt}}}`, 1)
	d := parse(t, text)
	if wrong := d.RunExamples(t.Context()); len(wrong) > 0 {
		t.Error(wrong)
	}
	c := d.Consent("oauth_client")
	p := newPlatform(t, said{status: 200, body: `{"code":0,"data":{"token":"new"}}`})
	values, err := c.Exchange(t.Context(), p.account(), clientToken(), "c-1", asked)
	if err != nil || values["refresh_token"] != "new" || p.requests[0].body != `{"app":"client 7","auth_code":"c-1"}` {
		t.Errorf("got %v, error %v, sent %s", values, err, p.requests[0].body)
	}
	_, err = c.Exchange(t.Context(), newPlatform(t, said{status: 200, body: `{"code":40110}`}).account(), clientToken(), "c-1", asked)
	if refused, ok := errors.AsType[*provider.Refused](err); !ok || refused.Detail != "Acme refuses the code" {
		t.Errorf("got %v", err)
	}
}
