package simulator

import (
	"net/http"
	"slices"
	"time"
)

// AdsAccess says what Google Ads thinks of the user behind an OAuth client's refresh tokens, or of a service account.
type AdsAccess string

// The kinds of access.
const (
	AdsAccessGranted AdsAccess = "granted"
	// AdsAccessNone is a user or service account that was added to no Google Ads account.
	AdsAccessNone AdsAccess = "none"
	// AdsAccessNoTwoStep is a user without 2-step verification: access tokens are granted, and every call fails.
	AdsAccessNoTwoStep AdsAccess = "no_two_step"
)

// OAuthClientState says what the token endpoint thinks of an OAuth client.
type OAuthClientState string

// The states.
const (
	OAuthClientActive   OAuthClientState = "active"
	OAuthClientDisabled OAuthClientState = "disabled"
	OAuthClientDeleted  OAuthClientState = "deleted"
	// OAuthClientSessionEnded is a client whose users' Workspace has a session control that wants a new login.
	OAuthClientSessionEnded OAuthClientState = "session_ended"
)

// RevocationScope says what the revocation of a refresh token ends. Reports say both; it is not settled.
type RevocationScope string

// The scopes.
const (
	// RevocationOfToken ends the one refresh token.
	RevocationOfToken RevocationScope = "token"
	// RevocationOfConsent ends all refresh tokens of the same user and client, since a consent is the user's.
	RevocationOfConsent RevocationScope = "consent"
)

// PublishingStatus is that of the OAuth apps' consent screen, which is External.
type PublishingStatus string

// The statuses.
const (
	PublishingInProduction PublishingStatus = "production"
	// PublishingTesting lets refresh tokens of the consents given meanwhile die after a week.
	PublishingTesting PublishingStatus = "testing"
)

// ExpiresIn says whether the token endpoint names the life of an access token.
type ExpiresIn string

// The ways.
const (
	ExpiresInTold    ExpiresIn = "told"
	ExpiresInOmitted ExpiresIn = "omitted"
)

// How long refresh tokens live.
const (
	testingRefreshTokenLife = 7 * 24 * time.Hour
	unusedRefreshTokenLife  = 6 // months
)

// refreshToken is one consent.
type refreshToken struct {
	Value string `json:"value"`
	// Made and Used are when the consent was given, and when an access token was last granted for it.
	Made time.Time `json:"made"`
	Used time.Time `json:"used"`
	// Testing marks a consent that was given while the app was in testing.
	Testing bool `json:"testing,omitempty"`
}

func (r *refreshToken) alive(now time.Time) bool {
	if r.Testing && !now.Before(r.Made.Add(testingRefreshTokenLife)) {
		return false
	}
	return now.Before(r.Used.AddDate(0, unusedRefreshTokenLife, 0))
}

// refreshToken returns nil where the client has no such live token.
func (c *oauthClient) refreshToken(value string, now time.Time) *refreshToken {
	i := slices.IndexFunc(c.RefreshTokens, func(token *refreshToken) bool { return sameSecret(token.Value, value) })
	if i < 0 || !c.RefreshTokens[i].alive(now) {
		return nil
	}
	return c.RefreshTokens[i]
}

// stateRefusal is how the token endpoint refuses a client whatever else is right; nil for an active one.
func (c *oauthClient) stateRefusal() *oauthError {
	switch c.State {
	case OAuthClientDisabled:
		return &oauthError{status: http.StatusUnauthorized, Code: "disabled_client", Description: "The OAuth client was disabled."}
	case OAuthClientDeleted:
		return &oauthError{status: http.StatusUnauthorized, Code: "deleted_client", Description: "The OAuth client was deleted."}
	case OAuthClientSessionEnded:
		return &oauthError{
			status: http.StatusBadRequest, Code: "invalid_grant", Subtype: "invalid_rapt",
			Description: "reauth related error (invalid_rapt)",
		}
	default:
		return nil
	}
}

// adsAccess is that of the user or service account behind an access token.
func (t *accessToken) adsAccess() AdsAccess {
	if t.client != nil {
		return t.client.AdsAccess
	}
	return t.serviceAccount.AdsAccess
}

// adsAccessFailures are the answers to those who are not let in.
var adsAccessFailures = map[AdsAccess]*adsFailure{
	AdsAccessNone: {
		http.StatusUnauthorized, "authenticationError", "NOT_ADS_USER",
		"The Google account that generated the OAuth access tokens is not associated with any Ads accounts.",
	},
	AdsAccessNoTwoStep: {
		http.StatusUnauthorized, "authenticationError", "TWO_STEP_VERIFICATION_NOT_ENROLLED",
		"An account administrator changed this account's authentication settings. To access this Google Ads account, enable 2-Step Verification.",
	},
}

// projectFailures are the answers to projects that may not use the API. ProjectNotApproved and ProjectAPIDisabled have
// answers of their own.
var projectFailures = map[ProjectAccess]*adsFailure{
	ProjectDisabled: {
		http.StatusForbidden, "authorizationError", "PROJECT_DISABLED",
		"The Google Cloud project sent in the request does not have permission to access the api.",
	},
	ProjectNotUnderOrganization: {
		http.StatusForbidden, "authorizationError", "CLOUD_PROJECT_NOT_UNDER_ORGANIZATION",
		"The Google Cloud project is not under the required organization.",
	},
	ProjectServiceDenied: {
		http.StatusForbidden, "authorizationError", "SERVICE_ACCESS_DENIED",
		"The developer specified does not have access to the service.",
	},
	ProjectNoTerms: {
		http.StatusForbidden, "authorizationError", "MISSING_TOS",
		"The developer must sign the terms of service.",
	},
	ProjectIncompleteSignup: {
		http.StatusForbidden, "authorizationError", "INCOMPLETE_SIGNUP", "Signup not complete.",
	},
}

// errorInfo is google.rpc's reason for a refusal in front of an API.
func errorInfo(reason string) map[string]any {
	return map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
}

// projectRefusal is what stands in front of the API for a project that did not enable it; nil for others.
func (s *Simulator) projectRefusal() *googleError {
	if s.google.ProjectAccess != ProjectAPIDisabled {
		return nil
	}
	return &googleError{
		Code:    http.StatusForbidden,
		Message: "Google Ads API has not been used in project " + googleProject + " before or it is disabled.",
		Details: []any{errorInfo("SERVICE_DISABLED")},
	}
}
