package googleads

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// scopeAdWords is the one scope of the Google Ads API.
const scopeAdWords = "https://www.googleapis.com/auth/adwords"

// OAuth error codes that do not speak of the credential: RFC 6749 section 4.1.2.1, RFC 6750 section 3.1, and Google's
// internal_failure.
const (
	oauthInvalidToken           = "invalid_token"
	oauthServerError            = "server_error"
	oauthTemporarilyUnavailable = "temporarily_unavailable"
	oauthInternalFailure        = "internal_failure"
)

// maxAccessTokenLife is the longest that Google lets an access token live; it is an hour unless somebody asked for more.
const maxAccessTokenLife = 12 * time.Hour

// hasIdentity reports whether the values, account settings or a credential, hold what access tokens are minted from.
func hasIdentity(values provider.Values) bool {
	return values[fieldRefreshToken] != "" || values[fieldServiceAccountKey] != "" || values[fieldExternalAccount] != "" || values[fieldHostIdentity] != ""
}

// mint makes an access token for the Google Ads API; Google's live for about an hour.
func mint(ctx context.Context, a provider.Account, t provider.Token) (provider.AccessToken, error) {
	token, err := grant(ctx, a, grantRequest{identity: t.Credential, scope: scopeAdWords})
	if err != nil {
		return provider.AccessToken{}, err
	}
	return provider.AccessToken{Value: token.AccessToken, Type: token.Type(), ExpiresAt: expiry(token, time.Now())}, nil
}

// expiry is when an access token ends; zero where the answer names no time, or none that lies ahead. A life that no
// access token of Google's has is cut.
func expiry(token *oauth2.Token, now time.Time) time.Time {
	if latest := now.Add(maxAccessTokenLife); token.Expiry.After(latest) {
		return latest
	}
	if !token.Expiry.After(now) {
		return time.Time{}
	}
	return token.Expiry
}

// revoke ends the grant of an oauth_client's refresh token.
func revoke(ctx context.Context, a provider.Account, t provider.Token, _ provider.Values) error {
	refreshToken := t.Credential[fieldRefreshToken]
	if refreshToken == "" {
		return &provider.Refused{Detail: "Only the refresh token of an oauth_client can be revoked, and this one has none"}
	}
	response, err := send(ctx, a, outgoing{
		method:  http.MethodPost,
		address: RevokeURL(a.Settings),
		header:  http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		body:    url.Values{"token": {refreshToken}}.Encode(),
	})
	if err != nil {
		return err
	}
	if response.Status < http.StatusBadRequest {
		// A page, or nothing, is a proxy's: the grant still stands.
		return decodeDone(response)
	}
	answer, err := parseOAuthError(response, a.Settings, t.Credential)
	if err != nil || answer.code == oauthInvalidToken { // already revoked or expired: what was wanted
		return err
	}
	return &provider.Refused{Detail: "Google refuses to revoke the refresh token", Code: answer.code}
}

// grantRequest is the access token to ask for.
type grantRequest struct {
	// identity is part of an account's settings or of a token's credential.
	identity provider.Values
	// scope is asked for with a key; a refresh token has the scopes of its consent.
	scope string
}

// grant mints an access token. The error is a *provider.Refused or a *provider.Error; nothing of the oauth2 library's
// own errors is passed on, because they carry the body of the answer.
func grant(ctx context.Context, a provider.Account, g grantRequest) (*oauth2.Token, error) {
	switch {
	case g.identity[fieldExternalAccount] != "":
		return grantFederated(ctx, a, g)
	case g.identity[fieldHostIdentity] != "":
		return grantByHost(ctx, a, g.scope)
	}
	e := &exchange{ctx: ctx, client: a.Client}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: e})
	refusals := clientRefusals
	var source oauth2.TokenSource
	if g.identity[fieldServiceAccountKey] != "" {
		config, err := keyConfig(a.Settings, g)
		if err != nil {
			return nil, err
		}
		source, refusals = config.TokenSource(ctx), keyRefusals
	} else {
		source = clientSource(ctx, a.Settings, g.identity)
	}
	token, err := source.Token()
	return e.granted(a, g.identity, refusals, token, err)
}

// granted is what the oauth2 library has made of the answer, if Google grants anything. Secrets may not be repeated.
func (e *exchange) granted(a provider.Account, secrets provider.Values, refusals map[string]string, token *oauth2.Token, err error) (*oauth2.Token, error) {
	switch {
	case e.err != nil:
		return nil, e.err
	case e.response == nil:
		return nil, &provider.Refused{Detail: "The credential is incomplete, so no access token can be asked for"}
	case e.response.Status >= http.StatusBadRequest:
		answer, err := parseOAuthError(e.response, a.Settings, secrets)
		if err != nil {
			return nil, err
		}
		return nil, refusedGrant(e.response, answer, refusals)
	case err != nil || !announcesJSON(e.response) || !usableToken(token):
		return nil, e.response.Unreadable()
	}
	return token, nil
}

func clientSource(ctx context.Context, settings, identity provider.Values) oauth2.TokenSource {
	config := oauth2.Config{
		ClientID:     identity[fieldClientID],
		ClientSecret: identity[fieldClientSecret],
		// Left to find out by itself, the library would try a refused client twice.
		Endpoint: oauth2.Endpoint{TokenURL: TokenURL(settings, ""), AuthStyle: oauth2.AuthStyleInParams},
	}
	return config.TokenSource(ctx, &oauth2.Token{RefreshToken: identity[fieldRefreshToken]})
}

// keyConfig signs JWTs whose aud is the address they are sent to, and whose iat the library sets 10 seconds back, for
// clocks that are a little fast.
func keyConfig(settings provider.Values, g grantRequest) (*jwt.Config, error) {
	key, err := parseKeyFile(g.identity[fieldServiceAccountKey])
	if err != nil {
		return nil, &provider.Refused{Detail: fieldServiceAccountKey + " " + err.Error()}
	}
	return &jwt.Config{
		Email:        key.ClientEmail,
		PrivateKey:   []byte(key.PrivateKey),
		PrivateKeyID: key.PrivateKeyID,
		Scopes:       []string{g.scope},
		TokenURL:     TokenURL(settings, key.TokenURI),
	}, nil
}

func usableToken(token *oauth2.Token) bool {
	_, err := provider.Opaque(token.AccessToken)
	return err == nil && token.AccessToken != "" && token.Type() == "Bearer"
}

// exchange carries the oauth2 library's request through provider.Do, so that a grant keeps the rules of every other
// call, and keeps the answer. It also gives the request its context, which the jwt package forgets.
type exchange struct {
	ctx      context.Context
	client   *http.Client
	response *provider.Response
	err      error
	// once keeps net/http from sending the request again by itself, as it does over a connection that turns out to be closed.
	once bool
}

func (e *exchange) RoundTrip(request *http.Request) (*http.Response, error) {
	if e.once {
		request.GetBody = nil
		e.client.CloseIdleConnections()
	}
	if e.response, e.err = provider.Do(e.client, request.WithContext(e.ctx)); e.err != nil {
		return nil, e.err
	}
	return &http.Response{
		StatusCode: e.response.Status,
		Header:     e.response.Header,
		Body:       io.NopCloser(bytes.NewReader(e.response.Body)),
		Request:    request,
	}, nil
}

// oauthAnswer is an OAuth error. Code is empty where the answer's may not be shown.
type oauthAnswer struct{ code, subtype string }

// parseOAuthError reads a 4xx answer. An answer that is no OAuth error, or that speaks of trouble at the server, is a
// *provider.Error.
func parseOAuthError(response *provider.Response, secrets ...provider.Values) (oauthAnswer, error) {
	var body struct {
		Error   string `json:"error"`
		Subtype string `json:"error_subtype"`
	}
	if err := decode(response, &body); err != nil {
		return oauthAnswer{}, err
	}
	switch body.Error {
	case "":
		return oauthAnswer{}, response.Unreadable()
	case oauthServerError, oauthTemporarilyUnavailable, oauthInternalFailure:
		return oauthAnswer{}, &provider.Error{Host: response.Host, Problem: "has a problem of its own", Code: body.Error}
	}
	return oauthAnswer{code: publicID(body.Error, secretsOf(secrets...)), subtype: body.Subtype}, nil
}

// outgoing is a request of this package's own.
type outgoing struct {
	method, address string
	header          http.Header
	body            string
}

func send(ctx context.Context, a provider.Account, o outgoing) (*provider.Response, error) {
	request, err := http.NewRequestWithContext(ctx, o.method, o.address, strings.NewReader(o.body))
	if err != nil {
		return nil, &provider.Error{Host: "Google", Problem: "cannot be called: a configured address is no URL"}
	}
	request.Header = o.header
	return provider.Do(a.Client, request)
}

var publicIDPattern = provider.Pattern(`^[A-Za-z0-9_.:-]{1,128}$`)

// minEchoLength is how much of a secret an identifier must repeat to count as an echo of it.
const minEchoLength = 8

// publicID returns an error code or request ID that came over the network if it may be shown: nothing but a plain
// identifier without a part of a secret.
func publicID(id string, secrets []string) string {
	if !publicIDPattern().MatchString(id) || slices.ContainsFunc(secrets, func(secret string) bool { return echoes(id, secret) }) {
		return ""
	}
	return id
}

// echoes reports whether an identifier repeats a secret, or minEchoLength bytes of it.
func echoes(id, secret string) bool {
	length := min(minEchoLength, len(secret))
	for end := length; end <= len(id); end++ {
		if strings.Contains(secret, id[end-length:end]) {
			return true
		}
	}
	return false
}

// secretsOf lists the secrets in account settings and credentials.
func secretsOf(values ...provider.Values) []string {
	var secrets []string
	for _, v := range values {
		for _, name := range []string{fieldDeveloperToken, fieldClientSecret, fieldRefreshToken, fieldServiceAccountKey} {
			if v[name] != "" {
				secrets = append(secrets, v[name])
			}
		}
	}
	return secrets
}
