package googleads_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
)

var (
	asked  = provider.ConsentRequest{State: "st", RedirectURI: "http://127.0.0.1/", Verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}
	client = provider.Token{Type: "oauth_client", Credential: provider.Values{"client_id": "7.apps.googleusercontent.com", "client_secret": "a-client-secret"}}
)

func TestConsent_AuthorizeURL(t *testing.T) {
	t.Parallel()
	c := googleads.New().Type("oauth_client").Consent
	address, err := c.AuthorizeURL(nil, client, asked)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(address)
	want := url.Values{
		"response_type": {"code"}, "client_id": {"7.apps.googleusercontent.com"}, "scope": {"https://www.googleapis.com/auth/adwords"},
		"access_type": {"offline"}, "prompt": {"consent"}, "redirect_uri": {asked.RedirectURI}, "state": {"st"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}, // RFC 7636, appendix B
	}
	if u.Query().Encode() != want.Encode() || !strings.HasPrefix(address, "https://accounts.google.com/o/oauth2/v2/auth?") {
		t.Errorf("got %s", address)
	}
}

func TestConsent_Exchange(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status  int
		body    string
		refused bool
		says    string
	}{
		"given":          {status: 200, body: `{"access_token":"at","token_type":"Bearer","refresh_token":"1//new"}`},
		"without":        {status: 200, body: `{"access_token":"at","token_type":"Bearer"}`, refused: true, says: "gives no refresh token"},
		"used":           {status: 400, body: `{"error":"invalid_grant","error_description":"the-code-of-a-person"}`, refused: true, says: "Google refuses the code"},
		"other address":  {status: 400, body: `{"error":"redirect_uri_mismatch"}`, refused: true, says: "redirect_uri"},
		"wrong client":   {status: 401, body: `{"error":"invalid_client"}`, refused: true, says: "client_secret is wrong"},
		"out of order":   {status: 503, body: ``, says: "503"},
		"a page":         {status: 200, body: `<html>`, says: "unreadable"},
		"unknown, quiet": {status: 400, body: `{"error":"the-code-of-a-person"}`, says: "does not know"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				for name, want := range map[string]string{
					"grant_type": "authorization_code", "code": "the-code-of-a-person", "code_verifier": asked.Verifier,
					"redirect_uri": asked.RedirectURI, "client_secret": "a-client-secret",
				} {
					if r.FormValue(name) != want {
						t.Errorf("%s is %q", name, r.FormValue(name))
					}
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			t.Cleanup(server.Close)
			account := provider.Account{Settings: provider.Values{"token_url": server.URL}, Client: server.Client()}
			got, err := googleads.New().Type("oauth_client").Consent.Exchange(t.Context(), account, client, "the-code-of-a-person", asked)
			if requests != 1 {
				t.Errorf("%d requests", requests)
			}
			if test.says == "" {
				if err != nil || len(got) != 1 || got["refresh_token"] != "1//new" {
					t.Errorf("got %v, error %v", got, err)
				}
				return
			}
			_, refused := errors.AsType[*provider.Refused](err)
			if err == nil || refused != test.refused || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "the-code-of-a-person") {
				t.Errorf("got %v", err)
			}
		})
	}
}
