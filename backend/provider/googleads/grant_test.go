package googleads_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
)

func mint(ctx context.Context, t *testing.T, a provider.Account, token provider.Token) (provider.AccessToken, error) {
	t.Helper()
	got, err := googleads.New().Type(token.Type).Mint(ctx, a, token)
	if err != nil {
		wantNoSecret(t, err.Error())
		if got != (provider.AccessToken{}) {
			t.Errorf("got an access token beside the error %v", err)
		}
	}
	return got, err
}

func revoke(t *testing.T, a provider.Account, token provider.Token) error {
	t.Helper()
	err := googleads.New().Type(token.Type).Retire(t.Context(), a, token, nil)
	if err != nil {
		wantNoSecret(t, err.Error())
	}
	return err
}

func wantRefused(t *testing.T, err error, code, detail string) {
	t.Helper()
	if refused, ok := errors.AsType[*provider.Refused](err); !ok || refused.Code != code || !strings.Contains(refused.Detail, detail) {
		t.Errorf("got error %v, want a *provider.Refused with code %q and %q", err, code, detail)
	}
}

func wantSilence(t *testing.T, err error, kind provider.Kind, says string) {
	t.Helper()
	if silence, ok := errors.AsType[*provider.Error](err); !ok || silence.Kind != kind || !strings.Contains(err.Error(), says) {
		t.Errorf("got error %v, want a *provider.Error of kind %d with %q", err, kind, says)
	}
}

func TestAccessTokenIsMintedWithOneCall(t *testing.T) {
	t.Parallel()
	for _, token := range []provider.Token{oauthClientToken, keyToken(t)} {
		t.Run(token.Type, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t)
			before := time.Now()
			got, err := mint(t.Context(), t, google.account(t), token)
			if err != nil {
				t.Fatalf("AccessToken: %v", err)
			}
			life := 3599 * time.Second
			if got.Value != accessToken || got.Type != "Bearer" || got.ExpiresAt.Before(before.Add(life)) || got.ExpiresAt.After(time.Now().Add(life)) {
				t.Errorf("got type %q, life %s; want the token that was granted, Bearer, %s", got.Type, got.ExpiresAt.Sub(before), life)
			}
			google.wantCalls(t, tokenCall)
		})
	}
}

func TestAccessTokenGrants(t *testing.T) {
	t.Parallel()
	answerWith := func(members string) http.HandlerFunc {
		return reply(http.StatusOK, `{"access_token":"`+accessToken+`"`+members+`}`)
	}
	const unreadable = "unreadable answer (HTTP 200)"
	tests := map[string]struct {
		token   http.HandlerFunc
		problem string // empty for a grant without a known life
	}{
		"no life":                {token: answerWith(`,"token_type":"bearer"`)},
		"no type":                {token: answerWith("")},
		"other type":             {token: answerWith(`,"token_type":"mac"`), problem: unreadable},
		"no access token":        {token: reply(200, `{"expires_in":3599,"token_type":"Bearer"}`), problem: unreadable},
		"unprintable token":      {token: reply(200, `{"access_token":"a\nb","token_type":"Bearer"}`), problem: unreadable},
		"error within a success": {token: oauthError(200, "invalid_grant"), problem: unreadable},
		"error that is none":     {token: reply(401, `{"error":{"code":401,"status":"UNAUTHENTICATED"}}`), problem: "unreadable answer (HTTP 401)"},
		"internal failure":       {token: oauthError(400, "internal_failure"), problem: "a problem of its own (internal_failure)"},
		"server error":           {token: oauthError(400, "server_error"), problem: "a problem of its own (server_error)"},
		"announced as a page":    {token: reply(200, `{"access_token":"`+accessToken+`","token_type":"Bearer"}`, "Content-Type", "text/html"), problem: unreadable},
		"not announced":          {token: reply(200, `{"access_token":"`+accessToken+`","token_type":"Bearer"}`, "Content-Type", ""), problem: unreadable},
		"a form":                 {token: reply(200, "access_token="+accessToken, "Content-Type", "application/x-www-form-urlencoded"), problem: unreadable},
		"refusal, announced so":  {token: reply(400, `{"error":"invalid_grant"}`, "Content-Type", "text/html"), problem: "unreadable answer (HTTP 400)"},
		"unknown refusal":        {token: oauthError(403, "access_denied"), problem: "cannot tell whether the credential is refused (access_denied)"},
		"unprintable refusal":    {token: oauthError(400, "bad <b>code</b>"), problem: "cannot tell whether the credential is refused"},
		"life of no time":        {token: answerWith(`,"expires_in":0`)},
		"life of less":           {token: answerWith(`,"expires_in":-3600`)},
		"unavailable":            {token: oauthError(400, "temporarily_unavailable"), problem: "a problem of its own (temporarily_unavailable)"},
	}
	for name, tc := range tests {
		for _, token := range []provider.Token{oauthClientToken, keyToken(t)} {
			t.Run(name+"/"+token.Type, func(t *testing.T) {
				t.Parallel()
				google := newGoogle(t)
				google.token = tc.token
				got, err := mint(t.Context(), t, google.account(t), token)
				if tc.problem != "" {
					wantSilence(t, err, provider.Unavailable, tc.problem)
					return
				}
				if err != nil || got.Value != accessToken || got.Type != "Bearer" || !got.ExpiresAt.IsZero() {
					t.Errorf("got type %q, expiry %s, error %v; want a Bearer token without an expiry", got.Type, got.ExpiresAt, err)
				}
			})
		}
	}
}

func TestAccessToken_LifeIsNeverLongerThanGooglesLongest(t *testing.T) {
	t.Parallel()
	for _, token := range []provider.Token{oauthClientToken, keyToken(t)} {
		t.Run(token.Type, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t)
			google.token = reply(http.StatusOK, `{"access_token":"`+accessToken+`","token_type":"Bearer","expires_in":315360000}`)
			got, err := mint(t.Context(), t, google.account(t), token)
			if err != nil {
				t.Fatalf("AccessToken: %v", err)
			}
			if latest := time.Now().Add(12 * time.Hour); got.ExpiresAt.IsZero() || got.ExpiresAt.After(latest) {
				t.Errorf("got the expiry %s, want one before %s", got.ExpiresAt, latest)
			}
		})
	}
}

func TestAccessToken_SessionControlIsTold(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	google.token = reply(400, `{"error":"invalid_grant","error_description":"reauth related error (invalid_rapt)","error_subtype":"invalid_rapt"}`)
	_, err := mint(t.Context(), t, google.account(t), oauthClientToken)
	wantRefused(t, err, "invalid_grant", "session control")
	wantRefused(t, err, "invalid_grant", "a service_account_key is the way out")
}

func TestAccessTokenRefused(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	google.token = oauthError(400, "invalid_grant")
	_, err := mint(t.Context(), t, google.account(t), oauthClientToken)
	wantRefused(t, err, "invalid_grant", "expired or revoked")
	_, err = mint(t.Context(), t, google.account(t), keyToken(t))
	wantRefused(t, err, "invalid_grant", "service account key")
}

func TestAccessTokenWithoutACredentialThatCouldMintOne(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		token  provider.Token
		detail string
	}{
		"empty credential":  {token: provider.Token{Type: "oauth_client"}, detail: "incomplete"},
		"key file of junk":  {token: provider.Token{Type: "service_account_key", Credential: provider.Values{"service_account_key": privateKeyPEM()}}, detail: "service_account_key must be the JSON key file"},
		"no such key at it": {token: provider.Token{Type: "service_account_key", Credential: provider.Values{}}, detail: "incomplete"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t)
			_, err := mint(t.Context(), t, google.account(t, withIdentity...), tc.token)
			wantRefused(t, err, "", tc.detail)
			google.wantCalls(t)
		})
	}
}

func TestAccessTokenObeysItsContext(t *testing.T) {
	t.Parallel()
	for _, token := range []provider.Token{oauthClientToken, keyToken(t)} {
		t.Run(token.Type, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			google.token = func(_ http.ResponseWriter, r *http.Request) {
				cancel()
				<-r.Context().Done()
			}
			_, err := mint(ctx, t, google.account(t), token)
			wantSilence(t, err, provider.Unavailable, "the request was cancelled")
		})
	}
}

// TestAssertion reads the JWT that a service account key signs. Google wants iat not in its future: the clock here may
// be a little fast.
func TestAssertion(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	before := time.Now()
	key := provider.Token{Type: "service_account_key", Credential: provider.Values{
		// A key file can name an audience of its own, which the address in use beats.
		"service_account_key": keyFile(t, map[string]any{"audience": "https://other.example.com"}),
	}}
	if _, err := mint(t.Context(), t, google.account(t), key); err != nil {
		t.Fatalf("AccessToken: %v", err)
	}
	form := google.calls[0].form
	if got := form.Get("grant_type"); got != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		t.Errorf("got grant_type %q", got)
	}
	parts := strings.Split(form.Get("assertion"), ".")
	if len(parts) != 3 {
		t.Fatalf("got an assertion of %d parts, want 3", len(parts))
	}
	wantSignature(t, parts)
	var claims struct {
		Iss, Scope, Aud, Sub string
		Iat, Exp             int64
	}
	decodePart(t, parts[1], &claims)
	if claims.Iss != clientEmail || claims.Aud != google.URL+"/token" || claims.Scope != "https://www.googleapis.com/auth/adwords" || claims.Sub != "" {
		t.Errorf("got claims %+v", claims)
	}
	if iat := time.Unix(claims.Iat, 0); iat.After(time.Now().Add(-9*time.Second)) || iat.Before(before.Add(-12*time.Second)) {
		t.Errorf("got iat %s from now, want about 10 s back", time.Until(iat))
	}
	if life := claims.Exp - claims.Iat; life <= 0 || life > 3600 {
		t.Errorf("got a life of %d s, want at most an hour", life)
	}
}

func wantSignature(t *testing.T, parts []string) {
	t.Helper()
	var header struct{ Alg, Kid string }
	decodePart(t, parts[0], &header)
	if header.Alg != "RS256" || header.Kid != privateKeyID {
		t.Errorf("got header %+v, want RS256 and the key's ID", header)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatalf("decoding the signature: %v", err)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&privateKey().PublicKey, crypto.SHA256, digest[:], signature); err != nil {
		t.Errorf("the signature is not the key's: %v", err)
	}
}

func decodePart(t *testing.T, part string, into any) {
	t.Helper()
	decoded, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatalf("decoding %q: %v", part, err)
	}
	if err := json.Unmarshal(decoded, into); err != nil {
		t.Fatalf("decoding %s: %v", decoded, err)
	}
}

func TestServiceAccountKeyNamesItsTokenEndpoint(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	account := google.account(t)
	delete(account.Settings, "token_url")
	key := provider.Token{Type: "service_account_key", Credential: provider.Values{
		"service_account_key": keyFile(t, map[string]any{"token_uri": google.URL + "/token/"}),
	}}
	if _, err := mint(t.Context(), t, account, key); err != nil {
		t.Fatalf("AccessToken: %v", err)
	}
	google.wantCalls(t, tokenCall)
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	if err := revoke(t, google.account(t), oauthClientToken); err != nil {
		t.Fatalf("Revoke: %v", err)
	}
	google.wantCalls(t, "POST /revoke")
	got := google.calls[0]
	if got.form.Get("token") != refreshToken || len(got.form) != 1 || got.header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Error("the request is not a form with the refresh token alone")
	}
}

func TestRevokeTellsWhatGoogleSays(t *testing.T) {
	t.Parallel()
	silence := func(kind provider.Kind, says string) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			t.Helper()
			wantSilence(t, err, kind, says)
		}
	}
	tests := map[string]struct {
		handler http.HandlerFunc
		want    func(*testing.T, error)
	}{
		"gone already": {oauthError(400, "invalid_token"), func(t *testing.T, err error) {
			t.Helper()
			if err != nil {
				t.Errorf("got error %v, want none: it is revoked", err)
			}
		}},
		"refused": {oauthError(400, "invalid_request"), func(t *testing.T, err error) {
			t.Helper()
			wantRefused(t, err, "invalid_request", "refuses to revoke")
		}},
		"refused, with the token for a code": {reply(400, `{"error":"`+clientSecret+`"}`), func(t *testing.T, err error) {
			t.Helper()
			wantRefused(t, err, "", "refuses to revoke")
		}},
		"nothing said":                  {reply(200, ""), silence(provider.Unavailable, "unreadable answer (HTTP 200)")},
		"JSON of a proxy":               {reply(200, `{"message":"ok"}`), silence(provider.Unavailable, "unreadable answer (HTTP 200)")},
		"announced as a page":           {reply(200, "{}", "Content-Type", "text/html"), silence(provider.Unavailable, "unreadable answer (HTTP 200)")},
		"refusal of a proxy":            {reply(400, `{"error":"invalid_token"}`, "Content-Type", "text/plain"), silence(provider.Unavailable, "unreadable answer (HTTP 400)")},
		"page of a proxy that says yes": {reply(200, "<html>"), silence(provider.Unavailable, "unreadable answer (HTTP 200)")},

		"page":        {reply(404, "<html>"), silence(provider.Unavailable, "unreadable answer (HTTP 404)")},
		"rate limit":  {reply(429, "", "Retry-After", "5"), silence(provider.RateLimited, "asks to wait 5s")},
		"server down": {reply(503, ""), silence(provider.Unavailable, "HTTP 503")},
		"redirect":    {reply(307, "", "Location", "https://thief.example.com"), silence(provider.Unavailable, "redirect")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			google := newGoogle(t)
			google.revoke = tc.handler
			tc.want(t, revoke(t, google.account(t), oauthClientToken))
		})
	}
}

func TestRevokeWithoutARefreshToken(t *testing.T) {
	t.Parallel()
	google := newGoogle(t)
	token := provider.Token{Type: "oauth_client", Credential: provider.Values{"client_secret": clientSecret}}
	wantRefused(t, revoke(t, google.account(t, withIdentity...), token), "", "Only the refresh token")
	google.wantCalls(t)
}

func TestAbilities(t *testing.T) {
	t.Parallel()
	want := map[string][3]bool{ // mint, retire, keys
		"developer_token": {}, "oauth_client": {true, true, false}, "service_account_key": {true, false, true},
		"impersonated_service_account": {true, false, false},
	}
	for _, kind := range googleads.New().Types {
		if got := [3]bool{kind.Mint != nil, kind.Retire != nil, kind.Keys != nil}; got != want[kind.Name] {
			t.Errorf("%s: got %v, want %v", kind.Name, got, want[kind.Name])
		}
	}
}
