package simulator

import (
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// The OAuth scopes that the world knows.
const (
	scopeAdWords       = "https://www.googleapis.com/auth/adwords"
	scopeCloudPlatform = "https://www.googleapis.com/auth/cloud-platform"
)

const (
	accessTokenLife = 3600 * time.Second
	// clockSkew is how far a client's clock may be off. Google documents none; it asks for a "reasonable timeframe".
	clockSkew = 5 * time.Minute
)

// googleAudience is what Google's libraries for Node.js address their assertions to, whatever token_uri a key file names.
const googleAudience = "https://oauth2.googleapis.com/token"

// accessToken is what a bearer token stands for.
type accessToken struct {
	scopes  []string
	expires time.Time
	// client and refreshToken are where the token came from; client is nil for a service account's token.
	client       *oauthClient
	refreshToken string
	// serviceAccount is nil for a client's token.
	serviceAccount *serviceAccount
}

// oauthError is an error answer as RFC 6749 section 5.2 has it.
type oauthError struct {
	status      int
	Code        string `json:"error"`
	Description string `json:"error_description"`
	Subtype     string `json:"error_subtype,omitempty"`
}

func invalidRequest(description string) *oauthError {
	return &oauthError{status: http.StatusBadRequest, Code: "invalid_request", Description: description}
}

func invalidGrant(description string) *oauthError {
	return &oauthError{status: http.StatusBadRequest, Code: "invalid_grant", Description: description}
}

func writeOAuthError(w http.ResponseWriter, e oauthError) {
	writeGoogleJSON(w, e.status, e)
}

func writeGoogleJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(body) // the client went away
}

// grantResponse is the answer of the token endpoint.
type grantResponse struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in,omitempty"`
	Scope       string `json:"scope,omitempty"`
	TokenType   string `json:"token_type"`
	// RefreshToken is that of a new consent.
	RefreshToken string `json:"refresh_token,omitempty"`
}

func (s *Simulator) handleToken(w http.ResponseWriter, r *http.Request) {
	if failure := parseForm(w, r); failure != nil {
		writeOAuthError(w, *failure)
		return
	}
	s.mu.Lock()
	response, failure := s.grant(r)
	s.mu.Unlock()
	if failure != nil {
		writeOAuthError(w, *failure)
		return
	}
	w.Header().Set("Cache-Control", "no-cache, no-store, max-age=0, must-revalidate")
	writeGoogleJSON(w, http.StatusOK, response)
}

// parseForm reads the body, which RFC 6749 wants form-encoded.
func parseForm(w http.ResponseWriter, r *http.Request) *oauthError {
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType != "application/x-www-form-urlencoded" {
		return invalidRequest("The request body must be form-encoded.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		return invalidRequest("The request body cannot be parsed.")
	}
	return nil
}

func (s *Simulator) grant(r *http.Request) (*grantResponse, *oauthError) {
	switch grantType := r.PostForm.Get("grant_type"); grantType {
	case "refresh_token":
		return s.grantRefresh(r)
	case "authorization_code":
		return s.grantCode(r)
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		return s.grantAssertion(r.PostForm.Get("assertion"))
	default:
		return nil, &oauthError{status: http.StatusBadRequest, Code: "unsupported_grant_type", Description: "Invalid grant_type: " + grantType}
	}
}

// grantRefresh takes the client's credentials from the body or from Basic authentication, as Google does.
func (s *Simulator) grantRefresh(r *http.Request) (*grantResponse, *oauthError) {
	clientID, secret, basic := r.BasicAuth()
	if !basic {
		clientID, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	token := r.PostForm.Get("refresh_token")
	if clientID == "" {
		return nil, invalidRequest("Could not determine client ID from request.")
	}
	client := s.clientByID(clientID)
	if client == nil {
		return nil, &oauthError{status: http.StatusUnauthorized, Code: "invalid_client", Description: "The OAuth client was not found."}
	}
	if refusal := client.stateRefusal(); refusal != nil {
		return nil, refusal
	}
	if !client.acceptsSecret(secret) {
		return nil, &oauthError{status: http.StatusUnauthorized, Code: "invalid_client", Description: "The provided client secret is invalid."}
	}
	if token == "" {
		return nil, invalidRequest("Missing required parameter: refresh_token")
	}
	consent := client.refreshToken(token, s.now())
	if consent == nil {
		return nil, invalidGrant("Token has been expired or revoked.")
	}
	consent.Used = s.now()
	response := s.newAccessToken(accessToken{scopes: []string{scopeAdWords}, client: client, refreshToken: token})
	response.Scope = scopeAdWords
	return response, nil
}

// assertionClaims are those of a service account's assertion (RFC 7523, and Google's scope).
type assertionClaims struct {
	jwt.Claims
	Scope string `json:"scope"`
}

func (s *Simulator) grantAssertion(assertion string) (*grantResponse, *oauthError) {
	if assertion == "" {
		return nil, invalidRequest("Missing required parameter: assertion")
	}
	token, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, invalidGrant("Bad Request")
	}
	var unverified assertionClaims
	if err := token.UnsafeClaimsWithoutVerification(&unverified); err != nil {
		return nil, invalidGrant("Bad Request")
	}
	account := s.accountByEmail(unverified.Issuer)
	if account == nil {
		return nil, invalidGrant("Invalid grant: account not found")
	}
	claims, ok := s.verify(account, token)
	if !ok {
		return nil, invalidGrant("Invalid JWT Signature.")
	}
	if failure := s.checkClaims(claims); failure != nil {
		return nil, failure
	}
	return s.newAccessToken(accessToken{scopes: strings.Fields(claims.Scope), serviceAccount: account}), nil
}

// verify checks the signature against the key that the header names, or against all of them.
func (s *Simulator) verify(account *serviceAccount, token *jwt.JSONWebToken) (assertionClaims, bool) {
	keyID := token.Headers[0].KeyID
	for _, key := range account.Keys {
		if keyID != "" && keyID != key.ID || !s.isUsable(key) {
			continue
		}
		var claims assertionClaims
		if token.Claims(key.public, &claims) == nil {
			return claims, true
		}
	}
	return assertionClaims{}, false
}

func (s *Simulator) checkClaims(claims assertionClaims) *oauthError {
	if !slices.ContainsFunc([]string{s.tokenURL(), s.google.TokenURI, googleAudience}, claims.Audience.Contains) {
		return invalidGrant("Invalid JWT: Failed audience check.")
	}
	now := s.now()
	if claims.IssuedAt == nil || claims.Expiry == nil ||
		claims.IssuedAt.Time().After(now.Add(clockSkew)) ||
		claims.Expiry.Time().Before(now.Add(-clockSkew)) ||
		claims.Expiry.Time().Sub(claims.IssuedAt.Time()) > time.Hour {
		return invalidGrant("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. " +
			"Check your iat and exp values in the JWT claim.")
	}
	if claims.Subject != "" && claims.Subject != claims.Issuer {
		return &oauthError{status: http.StatusUnauthorized, Code: "unauthorized_client", Description: "Client is unauthorized to retrieve access tokens " +
			"using this method, or client not authorized for any of the scopes requested."}
	}
	scopes := strings.Fields(claims.Scope)
	if len(scopes) == 0 {
		return &oauthError{status: http.StatusBadRequest, Code: "invalid_scope", Description: "Empty or missing scope not allowed."}
	}
	for _, scope := range scopes {
		if scope != scopeAdWords && scope != scopeCloudPlatform {
			return &oauthError{status: http.StatusBadRequest, Code: "invalid_scope", Description: "Invalid OAuth scope or ID token audience provided."}
		}
	}
	return nil
}

// newAccessToken issues an access token; expires is set here.
func (s *Simulator) newAccessToken(token accessToken) *grantResponse {
	value := "ya29." + randomString(base64URL, 180)
	token.expires = s.now().Add(accessTokenLife)
	s.accessTokens[value] = &token
	owner := ""
	if token.client != nil {
		owner = token.client.Name
	} else {
		owner = token.serviceAccount.Name
	}
	s.issue(Secret{GoogleToken, kindAccessToken, owner, "", value})
	response := &grantResponse{AccessToken: value, TokenType: "Bearer"}
	if s.google.ExpiresIn == ExpiresInTold {
		// Google rounds the life down by the time that the answer takes.
		response.ExpiresIn = int(accessTokenLife.Seconds()) - 1
	}
	return response
}

// liveAccessToken returns nil for an unknown, expired or revoked token. The caller holds mu.
func (s *Simulator) liveAccessToken(value string) *accessToken {
	token := s.accessTokens[value]
	if token == nil || !s.now().Before(token.expires) {
		return nil
	}
	if token.client != nil && token.client.refreshToken(token.refreshToken, s.now()) == nil {
		return nil
	}
	return token
}

// handleRevoke takes a refresh token, or an access token, which takes its refresh token with it.
func (s *Simulator) handleRevoke(w http.ResponseWriter, r *http.Request) {
	if failure := parseForm(w, r); failure != nil {
		writeOAuthError(w, *failure)
		return
	}
	value := r.Form.Get("token") // Google takes it from the query as well
	if value == "" {
		writeOAuthError(w, *invalidRequest("Missing required parameter: token"))
		return
	}
	s.mu.Lock()
	revoked := s.revoke(value)
	s.mu.Unlock()
	if !revoked {
		writeOAuthError(w, oauthError{status: http.StatusBadRequest, Code: "invalid_token", Description: "Token expired or revoked"})
		return
	}
	writeGoogleJSON(w, http.StatusOK, struct{}{})
}

// revoke reports whether the value was a live token.
func (s *Simulator) revoke(value string) bool {
	if token := s.liveAccessToken(value); token != nil {
		delete(s.accessTokens, value)
		if token.client != nil {
			s.dropRefreshToken(token.client, token.refreshToken)
		}
		return true
	}
	for _, client := range s.google.OAuthClients {
		if client.refreshToken(value, s.now()) != nil {
			s.dropRefreshToken(client, value)
			return true
		}
	}
	return false
}

// dropRefreshToken ends a refresh token, and with it the others of the client where a revocation ends the consent: all
// of a client's consents here are of one user.
func (s *Simulator) dropRefreshToken(client *oauthClient, value string) {
	client.RefreshTokens = slices.DeleteFunc(client.RefreshTokens, func(token *refreshToken) bool {
		return s.google.Revocation == RevocationOfConsent || token.Value == value
	})
}
