//go:build unix

package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// grants counts the requests that Google's token endpoint has got, those in flight included.
func (w *world) grants(t *testing.T) int {
	t.Helper()
	return done(w.sim.Ledger(t.Context()))(t).Requests[simulator.GoogleToken]["POST /token"]
}

// callGoogle asks Google Ads for the accessible customers with an access token, and returns the status.
func callGoogle(ctx context.Context, baseURL, accessToken string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, baseURL+"/v26/customers:listAccessibleCustomers", http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+accessToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// withGoogleTokens makes the tokens oauth and key.
func (w *world) withGoogleTokens(t *testing.T) {
	t.Helper()
	succeeded(t, w.sim.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored)) // as since 9 September 2026
	w.importApp(t, nil)
	w.importKeyOf(t, simulator.DefaultName, "key", nil)
}

func TestAnAccessTokenIsAllThatAnAppNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withGoogleTokens(t)
	app := w.login(t, "app", fmt.Sprintf(`path "%s/access-token/*" { capabilities = ["read"] }`, w.Path))
	for _, name := range []string{"oauth", "key"} {
		secret := done(app.Read(t.Context(), "access-token/"+name))(t)
		warnsNot(t, secret)
		data := secret.Data
		hasOnly(t, data, "access_token", "token_type", "expires_at", "ttl", "login_customer_id", "base_url", "api_version", "version")
		has(t, data, fields{"token_type": "Bearer", "base_url": w.sim.GoogleURL, "api_version": "v26", "login_customer_id": "1234567890", "version": 1})
		expires, err := time.Parse(time.RFC3339, fmt.Sprint(data["expires_at"]))
		if left := time.Until(expires); err != nil || left < 50*time.Minute || left > time.Hour {
			t.Errorf("expires_at is %v", data["expires_at"])
		}
		if ttl, err := number(data["ttl"]); err != nil || ttl < 1 || ttl > 60 {
			t.Errorf("the ttl is %v, beyond refresh_ttl", data["ttl"])
		}
		if status := done(callGoogle(t.Context(), w.sim.GoogleURL, fmt.Sprint(data["access_token"])))(t); status != http.StatusOK {
			t.Errorf("Google Ads answers the access token of %s with HTTP %d", name, status)
		}
		_, err = app.Read(t.Context(), "creds/"+name)
		refused(t, err, http.StatusForbidden)
	}
}

func TestReadersShareOneAccessToken(t *testing.T) {
	t.Parallel()
	const readers = 20
	w := newWorld(t)
	w.withGoogleTokens(t)
	slow := simulator.Fault{Service: simulator.GoogleToken, Kind: simulator.FaultLatency, Latency: 300 * time.Millisecond}
	succeeded(t, w.sim.InjectFault(t.Context(), slow))
	for _, name := range []string{"oauth", "key"} {
		before := w.grants(t)
		values := make([]string, readers)
		var group sync.WaitGroup
		for i := range readers {
			group.Go(func() {
				if secret, err := w.Read(t.Context(), "access-token/"+name); err == nil {
					values[i], _ = secret.Data["access_token"].(string)
				}
			})
		}
		group.Wait()
		for i, value := range values {
			if value == "" || value != values[0] {
				t.Errorf("reader %d of %s got nothing, or something else than the first", i, name)
			}
		}
		has(t, w.data(t, "access-token/"+name), fields{"access_token": values[0]})
		if asked := w.grants(t) - before; asked != 1 {
			t.Errorf("Google was asked %d times for an access token of %s", asked, name)
		}
	}
}

func TestAReaderWhoHangsUpTakesNoAccessTokenFromTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withGoogleTokens(t)
	slow := simulator.Fault{Service: simulator.GoogleToken, Kind: simulator.FaultLatency, Latency: time.Second, Times: 1}
	succeeded(t, w.sim.InjectFault(t.Context(), slow))
	before := w.grants(t)
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	gone := make(chan error, 1)
	go func() {
		_, err := w.Read(ctx, "access-token/oauth")
		gone <- err
	}()
	vaulttest.Await(t, "Google to be asked", func() bool { return w.grants(t) == before+1 })
	hangUp()
	if err := <-gone; err == nil {
		t.Fatal("the first reader got an answer")
	}
	if w.data(t, "access-token/oauth")["access_token"] == "" {
		t.Error("there is no access token")
	}
	if asked := w.grants(t) - before; asked != 1 {
		t.Errorf("Google was asked %d times", asked)
	}
}

func TestARotationEndsTheAccessTokenOfTheOldCredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withGoogleTokens(t)
	consent := done(w.sim.NewConsent(t.Context(), appClient))(t)
	for name, rotation := range map[string]fields{
		"oauth": {"refresh_token": consent.RefreshToken, "revoke_previous": true},
		"key":   nil,
	} {
		w.write(t, "tokens/"+name, fields{"rotation_grace_period": 0})
		before := w.data(t, "access-token/"+name)
		has(t, w.data(t, "access-token/"+name), fields{"access_token": before["access_token"]})
		w.write(t, "tokens/"+name+"/rotate", rotation)
		after := w.data(t, "access-token/"+name)
		has(t, after, fields{"version": 2})
		if after["access_token"] == before["access_token"] {
			t.Errorf("the access token of %s is still the one of version 1", name)
		}
		w.awaitState(t, name, "idle")
		if status := done(callGoogle(t.Context(), w.sim.GoogleURL, fmt.Sprint(after["access_token"])))(t); status != http.StatusOK {
			t.Errorf("Google Ads answers the new access token of %s with HTTP %d", name, status)
		}
		status := done(callGoogle(t.Context(), w.sim.GoogleURL, fmt.Sprint(before["access_token"])))(t)
		if dead := status == http.StatusUnauthorized; dead != (name == "oauth") { // a deleted key's access tokens live on
			t.Errorf("Google Ads answers the old access token of %s with HTTP %d", name, status)
		}
	}
}

func TestOtherTypesHaveNoAccessToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	w.importScopedToken(t)
	w.importDeveloperToken(t)
	w.write(t, "tokens/empty", fields{"account": "google", "type": "oauth_client"})
	for _, name := range []string{"rw", "ro", "scoped", "dev"} {
		_, err := w.Read(t.Context(), "access-token/"+name)
		refused(t, err, http.StatusBadRequest, "no access tokens")
	}
	_, err := w.Read(t.Context(), "access-token/empty")
	refused(t, err, http.StatusBadRequest, "no credential yet", "tokens/empty/rotate")
	_, err = w.Read(t.Context(), "access-token/nobody")
	refused(t, err, http.StatusNotFound, `"nobody"`, "does not exist")
}

func TestAnAccessTokenThatCannotBeMinted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault  *simulator.Fault
		given  func(*testing.T, *world)
		status int
		words  []string
	}{
		"Google is down":       {fault: &simulator.Fault{Kind: simulator.FaultStatus, Status: 503}, status: http.StatusBadGateway, words: []string{"HTTP 503"}},
		"Google limits us":     {fault: &simulator.Fault{Kind: simulator.FaultStatus, Status: 429, RetryAfter: 9}, status: http.StatusBadGateway, words: []string{"HTTP 429", "wait 9s"}},
		"no answer":            {fault: &simulator.Fault{Kind: simulator.FaultDropBefore}, status: http.StatusBadGateway, words: []string{"closed the connection"}},
		"no answer in time":    {fault: &simulator.Fault{Kind: simulator.FaultLatency, Latency: time.Hour}, status: http.StatusGatewayTimeout, words: []string{"did not answer in time"}},
		"garbage":              {fault: &simulator.Fault{Kind: simulator.FaultGarbage}, status: http.StatusBadGateway, words: []string{"unreadable"}},
		"the grant is revoked": {given: func(t *testing.T, w *world) { succeeded(t, w.sim.WithdrawConsent(t.Context(), appClient)) }, status: http.StatusBadRequest, words: []string{"invalid_grant"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.importApp(t, nil)
			w.write(t, "config/google", fields{"request_timeout": 1})
			if tt.given != nil {
				tt.given(t, w)
			}
			if tt.fault != nil {
				tt.fault.Service = simulator.GoogleToken
				succeeded(t, w.sim.InjectFault(t.Context(), *tt.fault))
			}
			_, err := w.Read(t.Context(), "access-token/oauth")
			refused(t, err, tt.status, append(tt.words, "access token")...)
			succeeded(t, w.sim.ClearFaults(t.Context()))
			if tt.given == nil { // what failed is not kept
				has(t, w.data(t, "access-token/oauth"), fields{"version": 1, "token_type": "Bearer"})
			}
		})
	}
}
