package googleads

import (
	"slices"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// OAuth error codes that refuse a credential: RFC 6749 section 5.2, and Google's own. Any other code says nothing known
// about the credential.
const (
	oauthInvalidGrant       = "invalid_grant"
	oauthInvalidClient      = "invalid_client"
	oauthUnauthorizedClient = "unauthorized_client"
	oauthDeletedClient      = "deleted_client"
	oauthDisabledClient     = "disabled_client"
)

// subtypeInvalidRapt comes with invalid_grant where a Workspace's session control ended the user's session.
const subtypeInvalidRapt = "invalid_rapt"

// What a refused grant means to an operator, by OAuth error code.
var (
	clientRefusals = map[string]string{
		oauthInvalidGrant: "Google refuses the refresh token: it is expired or revoked; a new consent gives a new one. A refresh token dies 7 " +
			"days after its consent while the OAuth app is External and in Testing, after 6 months without use, and when the 101st of its user " +
			"and client is made",
		subtypeInvalidRapt: "Google refuses the refresh token (invalid_rapt): the session control of the user's Workspace wants a new login. " +
			"A new consent gives a refresh token that lasts about a day; a service account has no such sessions: a service_account_key is the " +
			"way out",
		oauthInvalidClient: "Google refuses the OAuth client: client_id or client_secret is wrong",
		oauthUnauthorizedClient: "Google does not let this OAuth client use the refresh token: check that client_id and refresh_token belong " +
			"together",
		oauthDeletedClient: "Google refuses the OAuth client: it was deleted in the Google Cloud console, or by Google after 6 months without " +
			"use; make a new client, and a new consent with it",
		oauthDisabledClient: "Google refuses the OAuth client: it is switched off in the Google Cloud console; switch it on there, or use " +
			"another client",
	}
	keyRefusals = map[string]string{
		oauthInvalidGrant: "Google refuses the service account key: it is unknown, expired, deleted or disabled, or the clock of the Vault " +
			"server is wrong; a key that was just created may be refused for a minute or more (up to 7 minutes were reported)",
		oauthInvalidClient:      "Google does not know the service account: check client_email in the key file",
		oauthUnauthorizedClient: "Google does not let this service account have access tokens for this API",
		oauthDeletedClient:      "Google refuses the service account: it was deleted in the Google Cloud console",
		oauthDisabledClient:     "Google refuses the service account: it is switched off in the Google Cloud console",
	}
)

// Codes of the Google Ads API (AuthenticationError, AuthorizationError, RequestError) and reasons of google.rpc's ErrorInfo
// that refuse a call for another reason than its developer token.
const (
	codeNotAdsUser          = "NOT_ADS_USER"
	codeTwoStepVerification = "TWO_STEP_VERIFICATION_NOT_ENROLLED"
	codeProjectTestOnly     = "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION"
	codeActionNotPermitted  = "ACTION_NOT_PERMITTED"
	codeUserNotPermitted    = "USER_PERMISSION_DENIED"
	codeUnsupportedVersion  = "UNSUPPORTED_VERSION"
)

// adviceTestOnly is the same for the code of v25 and newer, and for that of v24.
const adviceTestOnly = "its Google Cloud project has Test access only: ask for Explorer access on the Cloud console's Google Ads API " +
	"page (a project that was idle in the 90 days before 9 September 2026 was given Test; Basic and Standard need brand verification)"

// refusalAdvice completes "the Google Ads API does not let it in: …". None of these says that the credential is not
// genuine: they speak of the project, the user or the consent behind it.
var refusalAdvice = map[string]string{
	codeProjectTestOnly:    adviceTestOnly,
	codeActionNotPermitted: adviceTestOnly,
	codeUserNotPermitted: "its user or service account has no permission for the account: check login_customer_id and the user's access to " +
		"the manager account (Admin, then Access and security)",
	codeNotAdsUser: "its Google account or service account has access to no Google Ads account: add its address in Google Ads under Admin, " +
		"then Access and security (neither the API's version nor the customer ID is the cause)",
	codeTwoStepVerification: "the user behind the refresh token has no 2-step verification: switch it on for that user, and get a new " +
		"refresh token by a new consent",
	"PROJECT_DISABLED": "its Google Cloud project may not use the Google Ads API: check in the Google Cloud console that the project is " +
		"not disabled",
	"CLOUD_PROJECT_NOT_UNDER_ORGANIZATION": "its Google Cloud project is not under the required organisation: move it there, or use a " +
		"project that is",
	"SERVICE_ACCESS_DENIED": "its Google Cloud project has no access to this service: check the access level on the Cloud console's Google " +
		"Ads API page",
	"MISSING_TOS":       "the terms of service of the Google Ads API have to be accepted for its Google Cloud project first",
	"INCOMPLETE_SIGNUP": "the sign-up for the Google Ads API is not complete: finish it on the Cloud console's Google Ads API page",
	"SERVICE_DISABLED":  "the Google Ads API is not enabled in its Google Cloud project: enable it in the Cloud console (APIs & Services)",
	"ACCESS_TOKEN_SCOPE_INSUFFICIENT": "its consent lacks the scope " + scopeAdWords + ": a new consent with it gives a refresh token that " +
		"apps can use",
}

// advice says what to do about a refused call; empty where nothing is known of its codes.
func (a *adsAnswer) advice() string {
	if i := slices.IndexFunc(a.codes, func(code string) bool { return refusalAdvice[code] != "" }); i >= 0 {
		return refusalAdvice[a.codes[i]]
	}
	return ""
}

// refusedGrant explains the code of a refused grant. A code that is not among the refusals is a *provider.Error: to call
// the credential refused could end a working one, and to call the answer inconclusive would publish one that got no
// access token.
func refusedGrant(response *provider.Response, answer oauthAnswer, refusals map[string]string) error {
	key := answer.code
	if answer.subtype == subtypeInvalidRapt && refusals[subtypeInvalidRapt] != "" {
		key = subtypeInvalidRapt
	}
	if detail, known := refusals[key]; known {
		return &provider.Refused{Detail: detail, Code: answer.code}
	}
	return &provider.Error{
		Host: response.Host, Code: answer.code,
		Problem: "refuses to grant an access token with a code that this engine does not know, so it cannot tell whether the credential is " +
			"refused",
	}
}
