//go:build unix

package acceptance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// resource is what an app reads at a platform with an access token, and the endpoint of the grants.
type resource struct {
	grant, path string
	// header gets the access token with the prefix before it.
	header, prefix string
	// second is a header of a credential's field.
	second, field string
}

// resources are those of the types that have access tokens.
var resources = map[string]resource{
	"Pinterest":             {grant: "POST /v5/oauth/token", path: "/v5/user_account", header: "Authorization", prefix: "Bearer "},
	"Criteo":                {grant: "POST /oauth2/token", path: "/2026-07/marketing-solutions/me", header: "Authorization", prefix: "Bearer "},
	"The Trade Desk, login": {grant: "POST /v3/authentication", path: "/v3/partner/acme", header: "TTD-Auth"},
	"LinkedIn":              {grant: "POST /oauth/v2/accessToken", path: "/rest/adAccounts", header: "Authorization", prefix: "Bearer "},
	"Amazon": {
		grant: "POST /auth/o2/token", path: "/v2/profiles", header: "Authorization", prefix: "Bearer ",
		second: "Amazon-Advertising-API-ClientId", field: "client_id",
	},
	"Taboola": {
		grant: "POST /backstage/oauth/token", path: "/backstage/api/1.0/users/current/account", header: "Authorization", prefix: "Bearer ",
	},
	"Snapchat": {grant: "POST /login/oauth2/access_token", path: "/v1/me", header: "Authorization", prefix: "Bearer "},
	"Reddit":   {grant: "POST /api/v1/access_token", path: "/api/v3/me", header: "Authorization", prefix: "Bearer "},
}

// call makes an app's request with an access token and returns the status.
func (w *onPlatform) call(t *testing.T, r resource, accessToken any) int {
	t.Helper()
	request := done(http.NewRequestWithContext(t.Context(), http.MethodGet, w.platform.URL+r.path, http.NoBody))(t)
	request.Header.Set(r.header, fmt.Sprint(r.prefix, accessToken))
	if r.second != "" {
		request.Header.Set(r.second, w.credential.Fields(t)[r.field])
	}
	return statusOf(t, request)
}

func statusOf(t *testing.T, request *http.Request) int {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	succeeded(t, err)
	succeeded(t, response.Body.Close())
	return response.StatusCode
}

func TestPlatforms_AccessTokensOpenTheAPI(t *testing.T) {
	t.Parallel()
	for name, r := range resources {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := imported(t, cataloguedTypes[name])
			app := w.login(t, "app", fmt.Sprintf(`path "%s/access-token/*" { capabilities = ["read"] }`, w.Path))
			first := done(app.Read(t.Context(), "access-token/app"))(t).Data
			if status := w.call(t, r, first["access_token"]); status != http.StatusOK {
				t.Errorf("the platform answers HTTP %d", status)
			}
			expires, err := time.Parse(time.RFC3339, fmt.Sprint(first["expires_at"]))
			if err != nil || time.Until(expires) < time.Minute {
				t.Errorf("expires_at is %v", first["expires_at"])
			}
			grants := w.platform.Count(t, r.grant)
			for range 3 {
				has(t, done(app.Read(t.Context(), "access-token/app"))(t).Data, fields{"access_token": first["access_token"]})
			}
			if again := w.platform.Count(t, r.grant); again != grants {
				t.Errorf("three reads of a token that is fresh made %d grants", again-grants)
			}
		})
	}
}

func TestPlatforms_MicrosoftNeedsTheDeveloperTokenBesideTheGrant(t *testing.T) {
	t.Parallel()
	w := imported(t, cataloguedTypes["Microsoft"])
	first := w.data(t, "access-token/app")
	request := done(http.NewRequestWithContext(t.Context(), http.MethodPost, w.platform.URL+"/CustomerManagement/v13/User/Query", strings.NewReader(`{}`)))(t)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("AuthenticationToken", fmt.Sprint(first["access_token"]))
	request.Header.Set("DeveloperToken", w.credential.Fields(t)["developer_token"])
	if status := statusOf(t, request); status != http.StatusOK {
		t.Errorf("Microsoft answers HTTP %d", status)
	}

	fresh := w.credential.Replace(t, "developer_token")
	has(t, w.verify(t, "app", "rejected", "refuses the developer token"), fields{"provider_code": "105"})
	has(t, w.write(t, "tokens/app/rotate", fields{"developer_token": fresh["developer_token"]}).Data, fields{"version": 2, "verification": "accepted"})
}
