package impact

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// verify reads one resource of the account. impact.com publishes no error codes, and what its error messages say is not
// passed on, because it could repeat what was sent: of an answer that has the API's form, the HTTP status decides.
func verify(ctx context.Context, a provider.Account, t provider.Token) (provider.Verification, error) {
	path := probePath(t)
	if isExport(path) {
		return provider.Verification{Outcome: provider.Inconclusive, Detail: "impact.com was not asked, because " +
			"probe_path of the token is of " + exports + ": set it to another resource, such as Campaigns"}, nil
	}
	address := accountURL(a.Settings, t.Credential[fieldAccountSID]) + "/" + path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return provider.Verification{}, &provider.Error{Host: "impact.com", Problem: "cannot be called: a configured address is no URL"}
	}
	request.SetBasicAuth(t.Credential[fieldAccountSID], t.Credential[fieldAuthToken])
	request.Header.Set("Accept", "application/json") // the default is XML
	if version := a.Settings[fieldAPIVersion]; version != "" {
		request.Header.Set("IR-Version", version)
	}
	response, err := provider.Do(a.Client, request)
	if err != nil {
		return provider.Verification{}, err
	}
	members, err := membersOf(response)
	if err != nil {
		return provider.Verification{}, err
	}
	return judge(response, members, t)
}

func probePath(t provider.Token) string {
	return cmp.Or(t.Options[optionProbePath], defaultProbePath)
}

// membersOf reads an answer of the API. A page, or the JSON of a proxy or of another service, says nothing about the token,
// whatever its status. Nor does the API's own XML: that it answers an error so is not said, and its root can be anybody's.
func membersOf(response *provider.Response) (map[string]json.RawMessage, error) {
	members, err := response.Members()
	if err != nil && bytes.Contains(response.Body, []byte("<ImpactRadiusResponse")) {
		return nil, &provider.Error{Host: response.Host, Problem: fmt.Sprintf("gave an unreadable answer (HTTP %d): "+
			"impact.com's XML, although JSON was asked for; see whether a proxy drops the Accept header", response.Status)}
	}
	return members, err
}

// failed says whether the body is the API's error: {"Status":"ERROR","Message":"…","Errors":[…]}.
func failed(members map[string]json.RawMessage) bool {
	var status, message string
	return json.Unmarshal(members["Status"], &status) == nil && status == "ERROR" && json.Unmarshal(members["Message"], &message) == nil
}

// shows says whether the body of a success is that of the resource. CompanyInformation tells the company's name. The form of
// what a probe_path names is not known here: it has something in it, and is nobody's error.
func shows(members map[string]json.RawMessage, path string) bool {
	if path == defaultProbePath {
		var name string
		return json.Unmarshal(members["CompanyName"], &name) == nil && name != "" && !failed(members)
	}
	for _, name := range []string{"Errors", "errors", "Error", "error"} {
		if _, ok := members[name]; ok {
			return false
		}
	}
	return len(members) > 0 && !failed(members)
}

func judge(response *provider.Response, members map[string]json.RawMessage, t provider.Token) (provider.Verification, error) {
	success := response.Status < http.StatusMultipleChoices
	if success && !shows(members, probePath(t)) || !success && !failed(members) {
		return provider.Verification{}, response.Unreadable()
	}
	v := provider.Verification{Code: fmt.Sprintf("HTTP %d", response.Status)}
	switch {
	case success:
		v.Outcome, v.Detail, v.Code = provider.Accepted, "impact.com accepts the token", ""
	case response.Status == http.StatusUnauthorized:
		v.Outcome = provider.Rejected
		v.Detail = "impact.com rejects the token: account_sid and auth_token are no valid pair, or not any more since a reset" +
			mixUp(t.Credential)
	case response.Status == http.StatusForbidden:
		v.Outcome, v.Detail, v.Caveat = judgeForbidden(t)
	default:
		v.Outcome = provider.Inconclusive
		v.Detail = "impact.com does not find what was asked for or does not understand the request, so it says nothing about the token: " +
			"check account_type and api_version of the account, and account_sid and probe_path of the token"
	}
	return v, nil
}

// judgeForbidden explains a 403: impact.com authenticates a scoped token before it looks at its state and scopes.
func judgeForbidden(t provider.Token) (outcome provider.Outcome, detail string, caveat bool) {
	switch {
	case t.Type != typeScoped:
		return provider.Inconclusive, "impact.com refuses the call although a legacy token has no scopes, so it says nothing about the token: " +
			"check account_type and that the account may use the API", false
	case t.Options[optionProbePath] != "":
		return provider.Rejected, "The token is genuine, but disabled or without the scope for its probe_path: enable it or give it the scope in the impact.com console", false
	default:
		return provider.Accepted, "The token is genuine, but disabled or without this endpoint's scope; set probe_path to a resource that it must be able to read " +
			"for an answer that tells", true
	}
}
