package definition_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func wantForm(t *testing.T, r sent, want map[string]string) {
	t.Helper()
	got, err := url.ParseQuery(r.body)
	if err != nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Method != http.MethodPost {
		t.Errorf("got %s %q of type %q", r.Method, r.body, r.Header.Get("Content-Type"))
	}
	if len(got) != len(want) {
		t.Errorf("got the form %v, want %v", got, want)
	}
	for name, value := range want {
		if got.Get(name) != value {
			t.Errorf("got %s=%q, want %q", name, got.Get(name), value)
		}
	}
}

func TestMint_RefreshToken(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, said{status: 200, body: `{"access_token":"` + secret + `-at","token_type":"bearer","expires_in":3600}`})
	token, err := kind(t, "oauth_client").Mint(t.Context(), p.account(), clientToken())
	if err != nil || token.Value != secret+"-at" || token.Type != "Bearer" {
		t.Fatalf("got %+v, error %v", token, err)
	}
	if life := time.Until(token.ExpiresAt); life < 59*time.Minute || life > time.Hour {
		t.Errorf("it lives %v, want an hour", life)
	}
	r := p.requests[0]
	wantForm(t, r, map[string]string{"grant_type": "refresh_token", "refresh_token": secret + "-refresh", "scope": "ads.read"})
	if user, password, ok := r.BasicAuth(); !ok || user != "client+7" || password != secret || r.URL.String() != "https://login.acme.example/oauth/token" || r.Header.Get("Accept") != "application/json" {
		t.Errorf("got %s with %q, %v", r.URL, user, r.Header)
	}
}

func TestMint_ClientInTheBody(t *testing.T) {
	t.Parallel()
	kind := parse(t, with(t, "      client: basic\n      params: {scope: ads.read}\n      refresh", "      params: {client_id: 'id-{credential.client_id}'}\n      refresh")).Provider().Type("oauth_client")
	p := newPlatform(t, said{status: 200, body: `{"access_token":"at"}`})
	token, err := kind.Mint(t.Context(), p.account(), clientToken())
	if err != nil {
		t.Fatal(err)
	}
	if life := time.Until(token.ExpiresAt); life < 4*time.Minute || life > 5*time.Minute {
		t.Errorf("it lives %v, want five minutes", life)
	}
	wantForm(t, p.requests[0], map[string]string{"grant_type": "refresh_token", "refresh_token": secret + "-refresh", "client_id": "id-client 7", "client_secret": secret})
}

func TestMint_OwnRequest(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, said{status: 200, body: `{"token":"abc"}`})
	token, err := kind(t, "app").Mint(t.Context(), p.account(), appToken())
	if err != nil || token.Value != "abc" || token.Type != "ACME-TOKEN" || time.Until(token.ExpiresAt) < 6*24*time.Hour {
		t.Errorf("got %+v, error %v", token, err)
	}
	const want = `{"days":7,"password":"` + secret + `","query":"{ me { id } }","user":"jane"}`
	if r := p.requests[0]; r.body != want || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %s of type %q, want %s", r.body, r.Header.Get("Content-Type"), want)
	}
}

func TestMint_Failures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer said
		// refused is the detail of a *provider.Refused; failed the text of a *provider.Error.
		refused, failed string
		outcome         provider.Outcome
		code            string
	}{
		"invalid_grant":        {said{status: 400, body: `{"error":"invalid_grant","error_description":"` + secret + `"}`}, "refuses the grant", "", provider.Rejected, "invalid_grant"},
		"invalid_client":       {said{status: 401, body: `{"error":"invalid_client"}`}, "refuses the client", "", provider.Rejected, "invalid_client"},
		"invalid_scope":        {said{status: 400, body: `{"error":"invalid_scope"}`}, "", "says nothing about the credential", provider.Inconclusive, "invalid_scope"},
		"a secret as a code":   {said{status: 400, body: `{"error":"` + secret + `"}`}, "", "says nothing about the credential", provider.Inconclusive, ""},
		"a page":               {said{status: 403, body: `<html>`}, "", "says nothing about the credential", provider.Inconclusive, ""},
		"a page that says 200": {said{status: 200, body: `<html>`}, "", "unreadable answer (HTTP 200)", "", ""},
		"no token":             {said{status: 200, body: `{}`}, "", "unreadable answer", "", ""},
		"a token of two lines": {said{status: 200, body: `{"access_token":"a\nb"}`}, "", "unreadable answer", "", ""},
		"a token that is none": {said{status: 200, body: `{"access_token":{"a":1}}`}, "", "unreadable answer", "", ""},
		"429":                  {said{status: 429}, "", "HTTP 429", "", ""},
		"500":                  {said{status: 500, body: `{"error":"invalid_grant"}`}, "", "HTTP 500", "", ""},
		"a redirect":           {said{status: 302, body: `{"error":"invalid_grant"}`}, "", "HTTP 302", "", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := kind(t, "oauth_client").Mint(t.Context(), newPlatform(t, tc.answer).account(), clientToken())
			if err == nil {
				t.Fatal("got no error")
			}
			noSecret(t, err.Error())
			refused, _ := errors.AsType[*provider.Refused](err)
			if (refused != nil) != (tc.refused != "") || !strings.Contains(err.Error(), tc.refused+tc.failed) {
				t.Errorf("got %v, want %q", err, tc.refused+tc.failed)
			}
			v, silence := verify(t, kind(t, "oauth_client"), newPlatform(t, tc.answer).account(), clientToken())
			if (silence != nil) != (tc.outcome == "") || v.Outcome != tc.outcome || v.Code != tc.code {
				t.Errorf("got %+v, error %v; want %q with the code %q", v, silence, tc.outcome, tc.code)
			}
		})
	}
}

// TestVerify_GrantFirst: the access token of the grant goes to the API, and is a secret of its own.
func TestVerify_GrantFirst(t *testing.T) {
	t.Parallel()
	const accessToken = "a-token-of-the-grant"
	p := newPlatform(t, said{status: 200, body: `{"access_token":"` + accessToken + `","refresh_token":"next"}`}, said{status: 200, body: `{"accounts":["` + accessToken + `"]}`})
	v, err := verify(t, kind(t, "oauth_client"), p.account(), clientToken())
	if err != nil || v.Outcome != provider.Accepted || v.Identity != "" {
		t.Errorf("got %+v, error %v; want accepted, without the token as the identity", v, err)
	}
	if len(p.requests) != 2 || p.requests[1].Header.Get("Authorization") != "Bearer "+accessToken {
		t.Errorf("got %d requests", len(p.requests))
	}
}

// TestVerify_KeepsTheNewRefreshTokenFirst: before the access token is used.
func TestVerify_KeepsTheNewRefreshTokenFirst(t *testing.T) {
	t.Parallel()
	answers := []said{{status: 200, body: `{"access_token":"at","refresh_token":"next","refresh_expires_in":60}`}, {status: 200, body: `{"accounts":[1]}`}}
	p := newPlatform(t, answers...)
	token := clientToken()
	var kept provider.Refreshed
	token.Keep = func(_ context.Context, r provider.Refreshed) error {
		if kept = r; len(p.requests) != 1 {
			t.Errorf("it is kept after %d requests, want 1", len(p.requests))
		}
		return nil
	}
	oauth := kind(t, "oauth_client")
	if v, err := verify(t, oauth, p.account(), token); err != nil || v.Identity != "1" || kept.Values["refresh_token"] != "next" || len(kept.Values) != 1 || time.Until(kept.ExpiresAt) > time.Minute || kept.ExpiresAt.IsZero() {
		t.Errorf("got %+v, error %v, kept %+v", v, err, kept)
	}
	if oauth.Refresh == nil || !oauth.Refresh.PreviousDies || oauth.Refresh.KeepAlive != 30*24*time.Hour {
		t.Errorf("got %+v", oauth.Refresh)
	}

	p = newPlatform(t, answers...)
	full := errors.New("storage is full")
	token.Keep = func(context.Context, provider.Refreshed) error { return full }
	if _, err := oauth.Verify(t.Context(), p.account(), token); !errors.Is(err, full) || len(p.requests) != 1 {
		t.Errorf("got %v after %d requests, want the error of Keep after one", err, len(p.requests))
	}
	if _, err := oauth.Mint(t.Context(), newPlatform(t, answers...).account(), token); !errors.Is(err, full) {
		t.Errorf("got %v, want the error of Keep", err)
	}
}

// TestVerify_WithoutARequestTheGrantDecides.
func TestVerify_WithoutARequestTheGrantDecides(t *testing.T) {
	t.Parallel()
	v, err := verify(t, kind(t, "app"), newPlatform(t, said{status: 200, body: `{"token":"abc"}`}).account(), appToken())
	if err != nil || v.Outcome != provider.Accepted || !strings.Contains(v.Detail, "grants access tokens") {
		t.Errorf("got %+v, error %v", v, err)
	}
	v, err = verify(t, kind(t, "app"), newPlatform(t, said{status: 401}).account(), appToken())
	if err != nil || v.Outcome != provider.Rejected || v.Detail != "Acme refuses the login" {
		t.Errorf("got %+v, error %v", v, err)
	}
}
