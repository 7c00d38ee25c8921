package simulator

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The major versions that are live in November 2026; older ones are sunset, v22 since 7 October.
const (
	oldestAdsVersion = 23
	latestAdsVersion = 26
)

var customerIDPattern = regexp.MustCompile(`^[0-9]{10}$`)

// googleError is the error answer of every Google API.
type googleError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Status  string `json:"status"`
	Details []any  `json:"details,omitempty"`
}

// statusNames are those of google.rpc.Code.
var statusNames = map[int]string{
	http.StatusBadRequest:          "INVALID_ARGUMENT",
	http.StatusUnauthorized:        "UNAUTHENTICATED",
	http.StatusForbidden:           "PERMISSION_DENIED",
	http.StatusNotFound:            "NOT_FOUND",
	http.StatusTooManyRequests:     "RESOURCE_EXHAUSTED",
	http.StatusInternalServerError: "INTERNAL",
	http.StatusServiceUnavailable:  "UNAVAILABLE",
	http.StatusGatewayTimeout:      "DEADLINE_EXCEEDED",
}

// writeGoogleError fills in the status that belongs to the code, unless it is set.
func writeGoogleError(w http.ResponseWriter, e googleError) {
	if e.Status == "" {
		e.Status = statusNames[e.Code]
	}
	if e.Status == "" {
		e.Status = "UNKNOWN"
	}
	writeGoogleJSON(w, e.Code, map[string]googleError{"error": e})
}

// handleGoogleNotFound is what Google's front end answers for a path or method that no API has: a page, not JSON.
func handleGoogleNotFound(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = fmt.Fprint(w, "<!DOCTYPE html><html lang=en><title>Error 404 (Not Found)!!1</title>"+
		"<p><b>404.</b> <ins>That’s an error.</ins><p>The requested URL was not found on this server.</html>\n")
}

// adsFailure is one error of the Google Ads API: its HTTP status, the field of errorCode that carries it, and its code.
type adsFailure struct {
	status   int
	category string
	code     string
	message  string
}

// summaries are the outer messages of an error answer.
var summaries = map[int]string{
	http.StatusBadRequest:      "Request contains an invalid argument.",
	http.StatusUnauthorized:    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
	http.StatusForbidden:       "The caller does not have permission",
	http.StatusTooManyRequests: "Resource has been exhausted (e.g. check quota).",
}

// write answers with a GoogleAdsFailure of the version that the request speaks.
func (f adsFailure) write(w http.ResponseWriter, r *http.Request) {
	writeGoogleError(w, googleError{Code: f.status, Message: summaries[f.status], Details: []any{map[string]any{
		"@type":     "type.googleapis.com/google.ads.googleads." + r.PathValue("version") + ".errors.GoogleAdsFailure",
		"errors":    []any{map[string]any{"errorCode": map[string]string{f.category: f.code}, "message": f.message}},
		"requestId": newRequestID(w),
	}}})
}

// newRequestID makes a request id and puts it into the header that names it to support.
func newRequestID(w http.ResponseWriter) string {
	id := randomString(base64URL, 22)
	w.Header().Set("request-id", id)
	return id
}

// writeAdsStatus answers with an error that is not about the request: quota, or trouble at Google.
func writeAdsStatus(w http.ResponseWriter, r *http.Request, status int) {
	if status == http.StatusTooManyRequests {
		adsFailure{status, "quotaError", "RESOURCE_EXHAUSTED", "Too many requests. Retry later."}.write(w, r)
		return
	}
	newRequestID(w)
	writeGoogleError(w, googleError{Code: status, Message: http.StatusText(status)})
}

func (s *Simulator) handleListAccessibleCustomers(w http.ResponseWriter, r *http.Request) {
	version, ok := adsVersion(r)
	if !ok {
		handleGoogleNotFound(w, r)
		return
	}
	s.mu.Lock()
	caller, denied := s.authorize(r, scopeAdWords)
	if denied == nil {
		denied = s.projectRefusal()
	}
	var failure *adsFailure
	if denied == nil {
		failure = s.adsCheck(r, version, caller)
	}
	customer := s.google.ManagerCustomerID
	s.mu.Unlock()
	switch {
	case denied != nil: // refused in front of the API: no GoogleAdsFailure
		newRequestID(w)
		writeGoogleError(w, *denied)
	case failure != nil:
		failure.write(w, r)
	default:
		newRequestID(w)
		writeGoogleJSON(w, http.StatusOK, map[string][]string{"resourceNames": {"customers/" + customer}})
	}
}

// adsVersion reads the version from the path; no version beyond the latest exists.
func adsVersion(r *http.Request) (int, bool) {
	text, found := strings.CutPrefix(r.PathValue("version"), "v")
	version, err := strconv.Atoi(text)
	return version, found && err == nil && version >= 1 && version <= latestAdsVersion
}

// authorize returns what the request's bearer token stands for, or what Google's front end refuses it with. The caller holds mu.
func (s *Simulator) authorize(r *http.Request, scope string) (*accessToken, *googleError) {
	value, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		return nil, &googleError{Code: http.StatusUnauthorized, Message: "Request is missing required authentication credential. " +
			"Expected OAuth 2 access token, login cookie or other valid authentication credential. " +
			"See https://developers.google.com/identity/sign-in/web/devconsole-project."}
	}
	token := s.liveAccessToken(value)
	if token == nil {
		return nil, &googleError{Code: http.StatusUnauthorized, Message: summaries[http.StatusUnauthorized]}
	}
	if !slices.Contains(token.scopes, scope) {
		return nil, &googleError{
			Code: http.StatusForbidden, Message: "Request had insufficient authentication scopes.",
			Details: []any{errorInfo("ACCESS_TOKEN_SCOPE_INSUFFICIENT")},
		}
	}
	return token, nil
}

// adsCheck returns the error of an authenticated request, or nil. The caller holds mu.
func (s *Simulator) adsCheck(r *http.Request, version int, caller *accessToken) *adsFailure {
	if version < oldestAdsVersion {
		return &adsFailure{
			http.StatusBadRequest, "requestError", "UNSUPPORTED_VERSION",
			fmt.Sprintf("Version v%d is deprecated. Requests to this version will be blocked.", version),
		}
	}
	if values := r.Header.Values("login-customer-id"); len(values) > 0 && !customerIDPattern.MatchString(values[0]) {
		return &adsFailure{
			http.StatusBadRequest, "headerError", "INVALID_LOGIN_CUSTOMER_ID",
			"The login customer ID could not be validated.",
		}
	}
	if failure := adsAccessFailures[caller.adsAccess()]; failure != nil {
		return failure
	}
	if failure := s.developerTokenCheck(r.Header.Values("developer-token")); failure != nil {
		return failure
	}
	if s.google.ProjectAccess != ProjectNotApproved {
		return projectFailures[s.google.ProjectAccess]
	}
	// The specific code came with v25; older versions have only the general one.
	failure := &adsFailure{
		http.StatusForbidden, "authorizationError", "ACTION_NOT_PERMITTED",
		"The caller is not permitted to perform this action.",
	}
	if version >= 25 {
		failure.code = "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION"
		failure.message = "The Google Cloud project is not approved for use with production accounts."
	}
	return failure
}

// developerTokenCheck judges the values of the developer-token header.
func (s *Simulator) developerTokenCheck(values []string) *adsFailure {
	missing := &adsFailure{
		http.StatusBadRequest, "requestError", "DEVELOPER_TOKEN_PARAMETER_MISSING",
		"Developer token parameter missing in the request.",
	}
	switch s.google.DeveloperTokenMode {
	case DeveloperTokenIgnored:
		if len(values) > 0 && values[0] == "" {
			return missing
		}
		return nil
	case DeveloperTokenHeaderRefused:
		if len(values) == 0 {
			return nil
		}
		// Google has announced neither the code nor the text of this answer; UNKNOWN stands in for the code.
		return &adsFailure{
			http.StatusBadRequest, "requestError", "UNKNOWN",
			"The developer-token header is not supported by this API version.",
		}
	}
	if len(values) == 0 || values[0] == "" {
		return missing
	}
	if !sameSecret(values[0], s.google.DeveloperToken) {
		return &adsFailure{
			http.StatusUnauthorized, "authenticationError", "DEVELOPER_TOKEN_INVALID",
			"The developer token is not valid.",
		}
	}
	if s.google.DeveloperTokenStatus == DeveloperTokenApproved {
		return nil
	}
	return &adsFailure{
		http.StatusForbidden, "authorizationError",
		"DEVELOPER_TOKEN_" + strings.ToUpper(string(s.google.DeveloperTokenStatus)), developerTokenMessages[s.google.DeveloperTokenStatus],
	}
}

var developerTokenMessages = map[DeveloperTokenStatus]string{
	DeveloperTokenNotApproved:    "The developer token is only approved for use with test accounts.",
	DeveloperTokenProhibited:     "The developer token is not allowed with the project sent in the request.",
	DeveloperTokenNotOnAllowlist: "The developer token is not on the allowlist.",
}
