package backend

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

func TestShare_SaysHowLongAnAccessTokenIsHandedOut(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ life, expires, until time.Duration }{
		"an hour":             {time.Hour, time.Hour, 55 * time.Minute},
		"ten minutes":         {10 * time.Minute, 10 * time.Minute, 9 * time.Minute},
		"ten seconds":         {10 * time.Second, 10 * time.Second, 9 * time.Second},
		"less than a second":  {time.Millisecond, assumedLife, assumedLife * 9 / 10},
		"no time at all":      {0, assumedLife, assumedLife * 9 / 10},
		"ended when it began": {-time.Hour, assumedLife, assumedLife * 9 / 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shared := share(provider.AccessToken{ExpiresAt: testkit.Epoch.Add(tc.life)}, mintedFrom{}, testkit.Epoch)
			if got := shared.ExpiresAt.Sub(testkit.Epoch); got != tc.expires {
				t.Errorf("it expires after %s, want %s", got, tc.expires)
			}
			if got := shared.until.Sub(testkit.Epoch); got != tc.until {
				t.Errorf("it is handed out for %s, want %s", got, tc.until)
			}
		})
	}
	if shared := share(provider.AccessToken{}, mintedFrom{}, testkit.Epoch); !shared.ExpiresAt.Equal(testkit.Epoch.Add(assumedLife)) {
		t.Errorf("without a time it expires at %s", shared.ExpiresAt)
	}
}

// withGrants imports a key whose access tokens a server of the test grants, with that body.
func (f *fixture) withGrants(t *testing.T, body string) (grants *atomic.Int64) {
	t.Helper()
	grants = &atomic.Int64{}
	google := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		grants.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(google.Close)
	key, err := f.provider.ServiceAccountKey(t.Context(), simulator.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "config/app", map[string]any{"provider": "google_ads", "base_url": google.URL, "token_url": google.URL})
	f.write(t, "tokens/key", map[string]any{
		"account": "app", "type": "service_account_key", "service_account_key": string(key), "verify": false,
	})
	return grants
}

func TestAccessToken_WithoutALifeIsShared(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no expires_in":    `{"access_token":"an-access-token","token_type":"Bearer"}`,
		"expires_in: 0":    `{"access_token":"an-access-token","token_type":"Bearer","expires_in":0}`,
		"expires_in: null": `{"access_token":"an-access-token","token_type":"Bearer","expires_in":null}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newStillFixture(t)
			grants := f.withGrants(t, body)
			for range 5 {
				got := f.read(t, "access-token/key") // which is compared with the schema
				if got["expires_at"] != timestamp(f.now().Add(assumedLife)) || got["ttl"].(int) < 1 || got["ttl"].(int) > 270 {
					t.Errorf("it expires at %v, ttl %v", got["expires_at"], got["ttl"])
				}
			}
			if got := grants.Load(); got != 1 {
				t.Errorf("%d access tokens were minted, want 1", got)
			}
			f.clock.Advance(assumedLife)
			f.read(t, "access-token/key")
			if got := grants.Load(); got != 2 {
				t.Errorf("%d access tokens were minted after the first has ended, want 2", got)
			}
		})
	}
}

// Between the reading of the token and that of its account, both were replaced.
func TestAccessToken_NoCredentialGoesToAnAddressThatItWasNotGivenFor(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	grants := f.withGrants(t, `{"access_token":"an-access-token","token_type":"Bearer","expires_in":3600}`)
	old, a, err := f.tokenWithAccount(t.Context(), f.storage, "key")
	if err != nil {
		t.Fatal(err)
	}
	if response, err := f.handle(t, logical.DeleteOperation, "tokens/key", nil); err != nil || response.IsError() {
		t.Fatalf("deleting the token: %v, %v", response, err)
	}
	if _, err := f.accessToken(t.Context(), f.storage, a, old); err == nil {
		t.Error("an access token was minted from a credential that is gone")
	}
	if got := grants.Load(); got != 0 {
		t.Errorf("the credential was sent %d times", got)
	}
}
