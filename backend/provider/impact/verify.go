package impact

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// VerifyAccount has nothing to try.
func (platform) VerifyAccount(context.Context, provider.Account) (*provider.Verification, error) {
	return nil, nil
}

// Verify reads one resource of the account. impact.com publishes no error codes, and what its error messages say is not
// passed on, because it could repeat what was sent: the HTTP status decides.
func (platform) Verify(ctx context.Context, a provider.Account, t provider.Token) (provider.Verification, error) {
	address := accountURL(a.Settings, t.Credential[fieldAccountSID]) + "/" + cmp.Or(t.Options[optionProbePath], defaultProbePath)
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
	return judge(response, t)
}

func judge(response *provider.Response, t provider.Token) (provider.Verification, error) {
	v := provider.Verification{Code: fmt.Sprintf("HTTP %d", response.Status)}
	switch {
	case response.Status < http.StatusMultipleChoices:
		if err := response.Decode(&struct{}{}); err != nil {
			return provider.Verification{}, err
		}
		v.Outcome, v.Detail, v.Code = provider.Accepted, "impact.com accepts the token", ""
	case response.Status == http.StatusUnauthorized:
		v.Outcome, v.Detail = provider.Rejected, "impact.com rejects the token: account_sid and auth_token are no valid pair, or not any more since a reset"
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
