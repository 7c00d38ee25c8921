package googleads

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Error codes of the Google Ads API (AuthenticationError, AuthorizationError, QuotaError).
const (
	codeTokenInvalid        = "DEVELOPER_TOKEN_INVALID"
	codeTokenNotApproved    = "DEVELOPER_TOKEN_NOT_APPROVED"
	codeTokenProhibited     = "DEVELOPER_TOKEN_PROHIBITED"
	codeTokenNotOnAllowlist = "DEVELOPER_TOKEN_NOT_ON_ALLOWLIST"
	codeResourceExhausted   = "RESOURCE_EXHAUSTED"
)

// adsCall is one listAccessibleCustomers, the cheapest call that proves a credential.
type adsCall struct {
	access *oauth2.Token
	// developerToken is not sent when empty.
	developerToken string
	// secrets are what no code or request ID may hold.
	secrets []string
}

// adsAnswer is a usable answer of the Google Ads API: 2xx, or a 4xx other than quota.
type adsAnswer struct {
	status int
	// codes are the errors of the GoogleAdsFailure; without one, the google.rpc status.
	codes     []string
	detailed  bool
	requestID string
	// customers is how many a 2xx answer lists.
	customers int
}

func (a *adsAnswer) ok() bool { return a.status < http.StatusMultipleChoices }

func (a *adsAnswer) has(code string) bool { return slices.Contains(a.codes, code) }

// code is the one to show.
func (a *adsAnswer) code() string {
	if len(a.codes) == 0 {
		return ""
	}
	return a.codes[0]
}

// bearerRefused reports whether the access token was refused rather than anything else of the request: Google's front
// end does so without a GoogleAdsFailure, the API itself with an OAUTH_TOKEN_… code.
func (a *adsAnswer) bearerRefused() bool {
	return a.status == http.StatusUnauthorized && (!a.detailed || slices.ContainsFunc(a.codes, func(code string) bool {
		return strings.HasPrefix(code, "OAUTH_")
	}))
}

// wantsDeveloperToken reports whether the call was refused for the developer token alone, which comes after the access
// token.
func (a *adsAnswer) wantsDeveloperToken() bool {
	return slices.ContainsFunc(a.codes, func(code string) bool { return strings.HasPrefix(code, "DEVELOPER_TOKEN_") })
}

// permissionDenied reports whether the caller was known and not let in.
func (a *adsAnswer) permissionDenied() bool {
	return a.status == http.StatusForbidden || a.advice() != ""
}

// listCustomers makes the call. Its error is a *provider.Error.
func listCustomers(ctx context.Context, a provider.Account, c adsCall) (*adsAnswer, error) {
	header := http.Header{"Accept": {"application/json"}, "Authorization": {"Bearer " + c.access.AccessToken}}
	if c.developerToken != "" {
		header.Set("developer-token", c.developerToken)
	}
	if id := a.Settings[fieldLoginCustomerID]; id != "" {
		header.Set("login-customer-id", id)
	}
	response, err := send(ctx, a, outgoing{
		method:  http.MethodGet,
		address: baseURL(a.Settings) + "/" + apiVersion(a.Settings) + "/customers:listAccessibleCustomers",
		header:  header,
	})
	if response == nil {
		return nil, err
	}
	answer, unreadable := parseAnswer(response, slices.Concat(c.secrets, []string{c.access.AccessToken}))
	var silence *provider.Error
	switch {
	case errors.As(err, &silence):
		silence.Code, silence.RequestID = answer.code(), answer.requestID
		return nil, silence
	case unreadable != nil:
		return nil, unreadable
	case answer.has(codeResourceExhausted):
		silence = provider.StatusError(response.Host, http.StatusTooManyRequests, response.Header)
		silence.Problem = "says that the quota is used up"
		silence.Code, silence.RequestID = codeResourceExhausted, answer.requestID
		return nil, silence
	}
	return answer, nil
}

// adsBody is the body of an answer, of an error or not.
type adsBody struct {
	ResourceNames []string `json:"resourceNames"`
	Error         struct {
		Status  string            `json:"status"`
		Details []json.RawMessage `json:"details"`
	} `json:"error"`
}

// adsDetail is a GoogleAdsFailure or google.rpc's ErrorInfo.
type adsDetail struct {
	Errors []struct {
		// ErrorCode maps the kind of error to its code, for example authenticationError to DEVELOPER_TOKEN_INVALID.
		ErrorCode map[string]string `json:"errorCode"`
	} `json:"errors"`
	RequestID string `json:"requestId"`
	Reason    string `json:"reason"`
}

// parseAnswer returns an answer even where the body is unreadable: what is known from the headers.
func parseAnswer(response *provider.Response, secrets []string) (*adsAnswer, error) {
	answer := &adsAnswer{status: response.Status, requestID: publicID(response.Header.Get("request-id"), secrets)}
	var body adsBody
	if err := decode(response, &body); err != nil {
		return answer, err
	}
	if answer.ok() {
		return answer, answer.countCustomers(response, body.ResourceNames)
	}
	var reasons []string
	for _, raw := range body.Error.Details {
		var detail adsDetail
		if json.Unmarshal(raw, &detail) != nil {
			continue // some other detail
		}
		if answer.requestID == "" {
			answer.requestID = publicID(detail.RequestID, secrets)
		}
		reasons = appendPublic(reasons, detail.Reason, secrets)
		for _, e := range detail.Errors {
			for _, kind := range slices.Sorted(maps.Keys(e.ErrorCode)) {
				answer.codes = appendPublic(answer.codes, e.ErrorCode[kind], secrets)
			}
		}
	}
	answer.detailed = len(answer.codes) > 0
	if answer.detailed {
		return answer, nil
	}
	// In front of the API, Google answers with a name of google.rpc and perhaps a reason.
	status := rpcStatus(publicID(body.Error.Status, secrets))
	if status == "" {
		return answer, response.Unreadable()
	}
	answer.codes = append(reasons, status)
	return answer, nil
}

// countCustomers tells the list of customers from the JSON of somebody else. Of an empty list little or nothing is in the
// answer, so only the request ID, which every answer of the API has, shows that it is one.
func (a *adsAnswer) countCustomers(response *provider.Response, names []string) error {
	a.customers = len(names)
	if slices.ContainsFunc(names, func(name string) bool { return !strings.HasPrefix(name, "customers/") }) {
		return response.Unreadable()
	}
	if len(names) > 0 {
		return nil
	}
	var members map[string]any
	if err := decode(response, &members); err != nil {
		return err
	}
	delete(members, "resourceNames")
	if len(members) > 0 || response.Header.Get("request-id") == "" {
		return response.Unreadable()
	}
	return nil
}

func appendPublic(codes []string, code string, secrets []string) []string {
	if code = publicID(code, secrets); code == "" {
		return codes
	}
	return append(codes, code)
}
