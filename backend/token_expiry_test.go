package backend

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

func TestExpiry_PlansTheRotationBeforeTheEnd(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		ends    rotation.Ends
		before  *int
		period  time.Duration
		disable bool
		want    time.Duration // after the publication; 0 for none
		expires time.Duration
	}{
		"no end":                           {},
		"no end, a period":                 {period: 30 * day, want: 30 * day},
		"default":                          {ends: rotation.Ends{Told: testkit.Epoch.Add(60 * day)}, want: 53 * day, expires: 60 * day},
		"at most half of the life":         {ends: rotation.Ends{Told: testkit.Epoch.Add(4 * day)}, want: 2 * day, expires: 4 * day},
		"own":                              {ends: rotation.Ends{Told: testkit.Epoch.Add(60 * day)}, before: new(86400), want: 59 * day, expires: 60 * day},
		"at the end":                       {ends: rotation.Ends{Told: testkit.Epoch.Add(60 * day)}, before: new(0), want: 60 * day, expires: 60 * day},
		"the earlier end counts":           {ends: rotation.Ends{Told: testkit.Epoch.Add(60 * day), Lifetime: testkit.Epoch.Add(40 * day)}, want: 33 * day, expires: 40 * day},
		"a lifetime alone":                 {ends: rotation.Ends{Lifetime: testkit.Epoch.Add(40 * day)}, want: 33 * day, expires: 40 * day},
		"the period comes first":           {ends: rotation.Ends{Told: testkit.Epoch.Add(60 * day)}, period: 10 * day, want: 10 * day, expires: 60 * day},
		"the end comes before the period":  {ends: rotation.Ends{Told: testkit.Epoch.Add(60 * day)}, period: 90 * day, want: 53 * day, expires: 60 * day},
		"nothing is planned, but told":     {ends: rotation.Ends{Told: testkit.Epoch.Add(60 * day)}, disable: true, expires: 60 * day},
		"told at its publication, in past": {ends: rotation.Ends{Told: testkit.Epoch.Add(-day)}, want: -day, expires: -day},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := &token{tokenEntry: tokenEntry{RefreshTTL: 60, RotationPeriod: test.period, DisableAutomatedRotation: test.disable, RotateBeforeExpiry: test.before}}
			token.Current = &rotation.Version{Number: 1, PublishedAt: testkit.Epoch}
			if test.ends != (rotation.Ends{}) {
				token.Current.Ends = &test.ends
			}
			token.planRotation()
			after := func(at time.Time) time.Duration {
				if at.IsZero() {
					return 0
				}
				return at.Sub(testkit.Epoch)
			}
			if got := after(token.nextRotation); got != test.want {
				t.Errorf("next rotation after %s, want %s", got, test.want)
			}
			if got := after(token.expires); got != test.expires {
				t.Errorf("expires after %s, want %s", got, test.expires)
			}
		})
	}
}

func TestExpiry_TTLNeverOutlivesTheValue(t *testing.T) {
	t.Parallel()
	token := &token{tokenEntry: tokenEntry{RefreshTTL: 60}}
	token.Current = &rotation.Version{Number: 1, PublishedAt: testkit.Epoch, Ends: &rotation.Ends{Told: testkit.Epoch.Add(time.Hour)}}
	token.planRotation()
	for left, want := range map[time.Duration]int{2 * time.Hour: 60, time.Hour: 60, 20 * time.Second: 20, 0: 60, -time.Hour: 60} {
		if got := token.ttl(token.expires.Add(-left)); got != want {
			t.Errorf("%s before the end ttl is %d, want %d", left, got, want)
		}
	}
}

func TestExpiry_IsTakenFromRefreshesAndToldOnce(t *testing.T) {
	t.Parallel()
	l := &listener{}
	f, p := newFixture(t, func(c *logical.BackendConfig) { c.EventsSender = l }), newRollingPlatform(t)
	p.expiresIn = 60 * 24 * 3600
	f.rolling(t, p, "dies", "")
	end := f.stored(t, "app").expires
	if left := time.Until(end); left > 60*24*time.Hour || left < 60*24*time.Hour-time.Minute {
		t.Fatalf("expires in %s, want 60 days", left)
	}
	got := f.read(t, "tokens/app")
	wantFields(t, "tokens/", got, map[string]any{"rotate_before_expiry": defaultBeforeExpiry, "next_vault_rotation": timestamp(end.Add(-7 * 24 * time.Hour))})
	for what, shown := range map[string]map[string]any{
		"tokens/": got, "rotate": f.read(t, "tokens/app/rotate"), "history": f.read(t, "tokens/app/history")["versions"].([]any)[0].(map[string]any),
		"status": f.read(t, "status")["tokens"].(map[string]any)["app"].(map[string]any),
	} {
		wantFields(t, what, shown, map[string]any{"expires_at": timestamp(end)})
	}
	if text := f.metricsText(t); !strings.Contains(text, `adtokens_token_expiry_timestamp_seconds{token="app",type="oauth_client"}`) {
		t.Error("there is no metric of the end")
	}
	told := func() int { return l.count(eventExpiring) }
	work := func() {
		if err := f.rotateGivingWay(t.Context(), schedule.Job{Token: "app", Account: "rolling", Kind: schedule.Rotate}); err != nil {
			t.Fatal(err)
		}
	}
	work()
	if told() != 0 {
		t.Error("it is told too early")
	}
	f.clock.Advance(end.Add(-7 * 24 * time.Hour).Add(time.Minute).Sub(f.clock.Now()))
	work()
	work()
	if got := f.read(t, "tokens/app"); told() != 1 || got["overdue"] != true {
		t.Errorf("told %d times, overdue %v; want once, and overdue", told(), got["overdue"])
	}
	f.read(t, "access-token/app")
	if later := f.stored(t, "app").Current.Ends; later == nil || !f.stored(t, "app").Current.ExpiringReported {
		t.Error("a refresh makes another version")
	}
}

func TestExpiry_EndsARetirementEarlier(t *testing.T) {
	t.Parallel()
	r := &rotation.Record{}
	r.RetireAfter(rotation.Version{Number: 1, Ends: &rotation.Ends{Told: testkit.Epoch}}, testkit.Epoch.Add(time.Hour))
	r.RetireAfter(rotation.Version{Number: 2, Ends: &rotation.Ends{Told: testkit.Epoch.Add(2 * time.Hour)}}, testkit.Epoch.Add(time.Hour))
	if !r.Retiring[0].At.Equal(testkit.Epoch) || !r.Retiring[0].NextAttempt.Equal(testkit.Epoch) || !r.Retiring[1].At.Equal(testkit.Epoch.Add(time.Hour)) {
		t.Errorf("got %+v", r.Retiring)
	}
}

func (f *fixture) metricsText(t *testing.T) string {
	t.Helper()
	response, err := f.HandleRequest(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: "metrics", Storage: f.storage})
	if err != nil {
		t.Fatal(err)
	}
	return string(response.Data[logical.HTTPRawBody].([]byte))
}

func TestExpiry_IsTakenFromANewKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withGoogle(t)
	key, err := f.provider.CreateServiceAccount(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "tokens/key", map[string]any{"account": "google", "type": "service_account_key", "service_account_key": string(key), "rotation_grace_period": "24h"})
	if got := f.read(t, "creds/key"); got["expires_at"] != nil {
		t.Errorf("a key without a known end expires at %v", got["expires_at"])
	}
	if err := f.provider.ConfigureIAM(t.Context(), simulator.IAMSettings{KeyLife: 8 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	for version := 2; version <= 3; version++ {
		if got := f.write(t, "tokens/key/rotate", nil); got.Data["version"] != version {
			t.Fatalf("got %v", got.Data)
		}
	}
	got := f.stored(t, "key")
	life := got.expires.Sub(got.Current.PublishedAt)
	if life < 7*time.Hour || life > 8*time.Hour+time.Minute || got.nextRotation.Sub(got.Current.PublishedAt) != life/2 {
		t.Errorf("it lives for %s, and is rotated after %s", life, got.nextRotation.Sub(got.Current.PublishedAt))
	}
	if at := f.read(t, "creds/key")["expires_at"]; at != timestamp(got.expires) {
		t.Errorf("creds/ shows %v", at)
	}
	// Version 2 ends by itself before its grace period is over.
	if at := got.Retiring[len(got.Retiring)-1].At.Sub(testkit.Epoch); at > 9*time.Hour {
		t.Errorf("version 2 retires after %s, want its own end", at)
	}
}

func TestExpiry_IsAPlanOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withGoogle(t)
	f.write(t, "tokens/key", map[string]any{"account": "google", "type": "service_account_key", "service_account_key": f.serviceAccount(t, "app")})
	warned := func() bool {
		response, err := f.handle(t, logical.UpdateOperation, "tokens/key", map[string]any{"disable_automated_rotation": false})
		must(t, err)
		return response != nil && strings.Contains(strings.Join(response.Warnings, " "), "can rotate this token by itself and does not")
	}
	if !warned() {
		t.Error("nobody is warned that a key without an end is never rotated")
	}
	must(t, f.provider.ConfigureIAM(t.Context(), simulator.IAMSettings{KeyLife: 8 * time.Hour}))
	f.write(t, "tokens/key/rotate", nil)
	if warned() {
		t.Error("a key that is rotated before its end is said not to be")
	}
}
