package simulator_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/iam/v1"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// refresh asks for an access token and returns the status, the OAuth error and its subtype.
func (w world) refresh(t *testing.T, c simulator.OAuthCredential) (status int, code, subtype string) {
	t.Helper()
	answer := send(t, request{method: "POST", url: w.GoogleURL + "/token", form: refreshForm(c)})
	var body struct {
		Error   string `json:"error"`
		Subtype string `json:"error_subtype"`
	}
	check(t, json.Unmarshal(answer.body, &body))
	return answer.status, body.Error, body.Subtype
}

func TestOAuthClientStates(t *testing.T) {
	t.Parallel()
	tests := map[simulator.OAuthClientState]struct {
		status        int
		code, subtype string
	}{
		simulator.OAuthClientActive:       {200, "", ""},
		simulator.OAuthClientDisabled:     {401, "disabled_client", ""},
		simulator.OAuthClientDeleted:      {401, "deleted_client", ""},
		simulator.OAuthClientSessionEnded: {400, "invalid_grant", "invalid_rapt"},
	}
	for state, test := range tests {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			check(t, w.console.SetOAuthClientState(t.Context(), simulator.DefaultName, state))
			status, code, subtype := w.refresh(t, must(w.console.OAuthClient(t.Context(), simulator.DefaultName))(t))
			if status != test.status || code != test.code || subtype != test.subtype {
				t.Errorf("got %d %s %s, want %d %s %s", status, code, subtype, test.status, test.code, test.subtype)
			}
		})
	}
}

func TestRefreshTokensDie(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tests := map[string]struct {
		status simulator.PublishingStatus
		// wait and use happen in turn; the token is used after each wait.
		waits []time.Duration
		alive bool
	}{
		"in testing, within a week":  {simulator.PublishingTesting, []time.Duration{6 * day}, true},
		"in testing, after a week":   {simulator.PublishingTesting, []time.Duration{6 * day, day}, false},
		"in production, used":        {simulator.PublishingInProduction, []time.Duration{150 * day, 150 * day, 150 * day}, true},
		"in production, not used":    {simulator.PublishingInProduction, []time.Duration{184 * day}, false},
		"in production, long unused": {simulator.PublishingInProduction, []time.Duration{30 * day, 184 * day}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			check(t, w.console.SetPublishingStatus(t.Context(), test.status))
			credential := must(w.console.NewConsent(t.Context(), simulator.DefaultName))(t)
			var status int
			var code string
			for _, wait := range test.waits {
				check(t, w.console.AdvanceClock(t.Context(), wait))
				status, code, _ = w.refresh(t, credential)
			}
			if alive := status == 200; alive != test.alive || !alive && code != "invalid_grant" {
				t.Errorf("got %d %s, want the token alive: %t", status, code, test.alive)
			}
			if live := must(w.console.Ledger(t.Context()))(t).IsLive(credential.RefreshToken); live != test.alive {
				t.Errorf("the ledger says that the token is live: %t", live)
			}
		})
	}
}

func TestRevocationScopes(t *testing.T) {
	t.Parallel()
	for scope, sibling := range map[simulator.RevocationScope]int{simulator.RevocationOfToken: 200, simulator.RevocationOfConsent: 400} {
		t.Run(string(scope), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			check(t, w.console.SetRevocation(t.Context(), scope))
			first := must(w.console.OAuthClient(t.Context(), simulator.DefaultName))(t)
			second := must(w.console.NewConsent(t.Context(), simulator.DefaultName))(t)
			other := must(w.console.CreateOAuthClient(t.Context(), "other"))(t)
			w.revoke(t, first.RefreshToken)
			for name, want := range map[string]struct {
				credential simulator.OAuthCredential
				status     int
			}{
				"the revoked one": {first, 400}, "its sibling": {second, sibling}, "another client's": {other, 200},
			} {
				if status, _, _ := w.refresh(t, want.credential); status != want.status {
					t.Errorf("%s: got status %d, want %d", name, status, want.status)
				}
			}
		})
	}
}

func TestKeyFilesCanNameAnotherTokenEndpoint(t *testing.T) {
	t.Parallel()
	const address = "https://www.googleapis.com/oauth2/v4/token" // as old key files have it
	w := newWorld(t)
	check(t, w.console.SetTokenURI(t.Context(), address))
	key := decodeKey(t, must(w.console.ServiceAccountKey(t.Context(), simulator.DefaultName))(t))
	a := goodAssertion(t, key)
	if a.Audience = []string{address}; w.grantAssertion(t, a.sign(t)).status != 200 {
		t.Error("an assertion for the address that the key file names is refused")
	}
}

func TestExpiresInCanBeLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check(t, w.console.SetExpiresIn(t.Context(), simulator.ExpiresInOmitted))
	credential := must(w.console.OAuthClient(t.Context(), simulator.DefaultName))(t)
	answer := send(t, request{method: "POST", url: w.GoogleURL + "/token", form: refreshForm(credential)})
	if answer.status != 200 || strings.Contains(string(answer.body), "expires_in") {
		t.Errorf("got status %d, with a life: %t", answer.status, strings.Contains(string(answer.body), "expires_in"))
	}
}

func TestWhoIsNotLetIntoGoogleAds(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		prepare func(context.Context, *simulator.Client) error
		http    int
		code    string
	}{
		"no access": {func(ctx context.Context, c *simulator.Client) error {
			return c.SetClientAdsAccess(ctx, simulator.DefaultName, simulator.AdsAccessNone)
		}, 401, "NOT_ADS_USER"},
		"no 2-step verification": {func(ctx context.Context, c *simulator.Client) error {
			return c.SetClientAdsAccess(ctx, simulator.DefaultName, simulator.AdsAccessNoTwoStep)
		}, 401, "TWO_STEP_VERIFICATION_NOT_ENROLLED"},
		"another identity has none": {func(ctx context.Context, c *simulator.Client) error {
			return c.SetServiceAccountAdsAccess(ctx, simulator.DefaultName, simulator.AdsAccessNone)
		}, 200, ""},
	}
	for access, code := range map[simulator.ProjectAccess]string{
		simulator.ProjectDisabled: "PROJECT_DISABLED", simulator.ProjectNotUnderOrganization: "CLOUD_PROJECT_NOT_UNDER_ORGANIZATION",
		simulator.ProjectServiceDenied: "SERVICE_ACCESS_DENIED", simulator.ProjectNoTerms: "MISSING_TOS",
		simulator.ProjectIncompleteSignup: "INCOMPLETE_SIGNUP",
	} {
		tests["project "+string(access)] = struct {
			prepare func(context.Context, *simulator.Client) error
			http    int
			code    string
		}{func(ctx context.Context, c *simulator.Client) error { return c.SetProjectAccess(ctx, access) }, 403, code}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			header := w.authorized(t)
			check(t, test.prepare(t.Context(), w.console))
			answer := send(t, request{method: "GET", url: w.customersURL("v26"), header: header})
			if answer.status != test.http {
				t.Fatalf("got status %d, want %d", answer.status, test.http)
			}
			if test.code == "" {
				return
			}
			if _, _, code := adsError(t, answer); code != test.code {
				t.Errorf("got %s, want %s", code, test.code)
			}
		})
	}
}

func TestProjectThatDidNotEnableTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	header := w.authorized(t)
	check(t, w.console.SetProjectAccess(t.Context(), simulator.ProjectAPIDisabled))
	answer := send(t, request{method: "GET", url: w.customersURL("v26"), header: header})
	if answer.status != 403 || !strings.Contains(string(answer.body), `"SERVICE_DISABLED"`) {
		t.Errorf("got status %d, want 403 with the reason", answer.status)
	}
}

func TestManagedPolicyForbidsKeys(t *testing.T) {
	t.Parallel()
	r := newRobot(t)
	r.configure(t, simulator.IAMSettings{KeyCreation: simulator.KeyCreationForbiddenManaged})
	_, err := r.keys.Create(r.name, &iam.CreateServiceAccountKeyRequest{}).Context(t.Context()).Do()
	status, name, body := refusal(t, err)
	if status != 400 || name != "FAILED_PRECONDITION" || !strings.Contains(body, "CUSTOM_ORG_POLICY_VIOLATION") ||
		!strings.Contains(body, "Operation denied by org policy: [") {
		t.Errorf("got %d %s", status, name)
	}
}

func TestKeysThatEnd(t *testing.T) {
	t.Parallel()
	r := newRobot(t)
	r.configure(t, simulator.IAMSettings{KeyLife: 8 * time.Hour})
	made, file := r.create(t)
	if made.ValidBeforeTime == "9999-12-31T23:59:59Z" {
		t.Errorf("the key ends at %s", made.ValidBeforeTime)
	}
	live := func() bool {
		t.Helper()
		keys := must(r.console.ServiceAccountKeys(t.Context(), simulator.DefaultName))(t)
		return must(r.console.Ledger(t.Context()))(t).IsLive(decodeKey(t, file).PrivateKey) && !keys[len(keys)-1].Expires.IsZero()
	}
	if !live() {
		t.Error("the key does not live")
	}
	check(t, r.console.AdvanceClock(t.Context(), 8*time.Hour))
	if live() {
		t.Error("the key outlives its end")
	}
}
