//go:build unix

package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2/jwt"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// app calls Google Ads with the key that it read, and reads again after each ttl, as Vault Agent does for it.
type app struct {
	w *world
	// calls and versions are what it has done; failures are the calls that Google refused and the reads that failed.
	calls    int
	failures []string
	versions map[string]bool
}

func (a *app) run(ctx context.Context, name string) {
	a.versions = map[string]bool{}
	for ctx.Err() == nil {
		secret, err := a.w.Read(ctx, "creds/"+name)
		if err != nil {
			if ctx.Err() == nil {
				a.failures = append(a.failures, "reading: "+err.Error())
			}
			return
		}
		ttl, err := number(secret.Data["ttl"])
		if err != nil {
			a.failures = append(a.failures, "no ttl")
			return
		}
		version := fmt.Sprint(secret.Data["version"])
		a.versions[version] = true
		for until := time.Now().Add(time.Duration(ttl) * time.Second); time.Now().Before(until) && ctx.Err() == nil; {
			status, err := a.call(ctx, fmt.Sprint(secret.Data["service_account_key"]))
			if ctx.Err() != nil {
				return
			}
			if a.calls++; err != nil || status != http.StatusOK {
				a.failures = append(a.failures, fmt.Sprintf("call %d with version %s: HTTP %d, failed: %t", a.calls, version, status, err != nil))
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond): // the app's own pace
			}
		}
	}
}

// call gets an access token with the key file, and asks for the accessible customers.
func (a *app) call(ctx context.Context, file string) (int, error) {
	var key struct {
		Email        string `json:"client_email"`
		PrivateKey   string `json:"private_key"`
		PrivateKeyID string `json:"private_key_id"`
		TokenURI     string `json:"token_uri"`
	}
	if err := json.Unmarshal([]byte(file), &key); err != nil {
		return 0, err
	}
	config := jwt.Config{
		Email: key.Email, PrivateKey: []byte(key.PrivateKey), PrivateKeyID: key.PrivateKeyID, TokenURL: key.TokenURI,
		Scopes: []string{"https://www.googleapis.com/auth/adwords"},
	}
	access, err := config.TokenSource(ctx).Token()
	if err != nil {
		return 0, err
	}
	return callGoogle(ctx, a.w.sim.GoogleURL, access.AccessToken)
}

func TestAKeyRotatesByItselfAndNoAppMissesACall(t *testing.T) {
	t.Parallel()
	const (
		period    = 3 * time.Second
		rotations = 3
	)
	w := newWorld(t)
	succeeded(t, w.sim.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored))
	w.importKey(t, fields{"rotation_period": int(period.Seconds()), "rotation_grace_period": 8, "refresh_ttl": 1})
	succeeded(t, w.sim.ConfigureIAM(t.Context(), simulator.IAMSettings{KeyPropagation: 300 * time.Millisecond}))

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	apps := [2]app{{w: w}, {w: w}}
	var running sync.WaitGroup
	for i := range apps {
		running.Go(func() { apps[i].run(ctx, "key") })
	}
	w.awaitToken(t, "key", "rotate again and again", reached(1+rotations))
	vaulttest.Await(t, "the first key to be retired", func() bool { return w.history(t, "key")[0]["retired_at"] != nil })
	stop()
	running.Wait()

	for i, app := range apps {
		if len(app.failures) > 0 {
			vaulttest.Errorf(t, "app %d missed calls: %q", i, app.failures)
		}
		if app.calls < 20 || len(app.versions) < rotations {
			t.Errorf("app %d made %d calls with the versions %v, so it shows nothing", i, app.calls, app.versions)
		}
	}
	keys := done(w.sim.ServiceAccountKeys(t.Context(), simulator.DefaultName))(t)
	for i, version := range w.history(t, "key")[:rotations] {
		published, err := time.Parse(time.RFC3339, fmt.Sprint(version["created_at"]))
		succeeded(t, err)
		if after := keys[i+1].Created.Sub(published); after < period {
			t.Errorf("the key after version %d was made %s after its publication: that is early", i+1, after)
		}
	}
	has(t, w.history(t, "key")[1], fields{"source": "iam", "reason": "scheduled", "display_name": "", "entity_id": ""})
}

func TestAHookRotatesOnSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	h := startHook(t, w)
	w.write(t, "tokens/rw", fields{"rotation_period": 1})
	w.awaitToken(t, "rw", "be overdue without a hook", func(token fields) bool { return token["overdue"] == true })
	w.addHook(t, "agency", h) // late work begins at once
	token := w.awaitToken(t, "rw", "rotate", reached(3))
	has(t, token, fields{"last_error": "", "health": "ok"})
	has(t, w.history(t, "rw")[1], fields{"source": "hook", "reason": "scheduled", "retired_at": nil})
	events, _ := h.asked()
	has(t, events[0], fields{"reason": "scheduled", "token": "rw"})
	has(t, w.data(t, "tokens/ro"), fields{"version": 1})
}

func TestAFailedScheduledRotationIsTriedAgainLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	succeeded(t, w.sim.ConfigureIAM(t.Context(), simulator.IAMSettings{KeyCreation: simulator.KeyCreationForbidden}))
	w.importKey(t, fields{"rotation_period": 1})
	token := w.awaitToken(t, "key", "fail to rotate", func(token fields) bool { return token["last_error"] != "" })
	has(t, token, fields{"version": 1, "overdue": true, "rotation_state": "idle", "health": "ok"})
	mentions(t, "last_error", fmt.Sprint(token["last_error"]), "organisation policy")
	status := w.data(t, "status")
	has(t, status, fields{"summary": fields{"total": 1, "ok": 1, "rejected": 0, "unverified": 0, "none": 0, "overdue": 1, "in_flight": 0}})
	tokens, _ := status["tokens"].(fields)
	shown, _ := tokens["key"].(fields)
	has(t, shown, fields{"last_error": token["last_error"], "overdue": true})

	// A person need not wait for that.
	succeeded(t, w.sim.ConfigureIAM(t.Context(), simulator.IAMSettings{}))
	has(t, w.write(t, "tokens/key/rotate", nil).Data, fields{"version": 2})
}

func TestNothingRotatesThatThePolicyDoesNotWantRotated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(t, "config/google", w.keyAccount())
	soon := fields{"rotation_period": 2, "rotation_grace_period": 1}
	for name, change := range map[string]fields{
		"disabled":   {"disable_automated_rotation": true},
		"lengthened": {"rotation_period": "1h"},
		"unplanned":  {"rotation_period": 0},
		"replanned":  {"rotation_schedule": "0 0 1 1 *"},
		"control":    {},
	} {
		done(w.sim.CreateServiceAccount(t.Context(), name))(t)
		w.importKeyOf(t, name, name, soon)
		w.write(t, "tokens/"+name, change)
	}
	w.awaitToken(t, "control", "rotate twice", reached(3))
	for name, want := range map[string]fields{
		"disabled":   {"next_vault_rotation": nil, "disable_automated_rotation": true, "rotation_period": 2},
		"lengthened": {"rotation_period": 3600},
		"unplanned":  {"next_vault_rotation": nil, "rotation_period": 0},
		"replanned":  {"rotation_period": 0, "rotation_schedule": "0 0 1 1 *"},
	} {
		token := w.data(t, "tokens/"+name)
		has(t, token, want)
		has(t, token, fields{"version": 1, "overdue": false, "rotation_state": "idle", "last_error": ""})
		if keys := w.keysThere(t, name); len(keys) != 1 {
			t.Errorf("the service account %s has the keys %v", name, keys)
		}
	}
	// What was disabled rotates by hand, and by itself once it is enabled.
	has(t, w.write(t, "tokens/disabled/rotate", nil).Data, fields{"version": 2})
	w.write(t, "tokens/disabled", fields{"disable_automated_rotation": false})
	w.awaitToken(t, "disabled", "rotate by itself", reached(3))
}

func TestOverdueToken_HasRefreshTTLForItsTTL(t *testing.T) {
	t.Parallel()
	const period = 3
	w := newWorld(t)
	w.importLegacyTokens(t)
	w.write(t, "tokens/rw", fields{"rotation_period": period})
	planned := w.data(t, "tokens/rw")["next_vault_rotation"]
	const refresh = 60 // the default
	ttl, over := period, false
	// A time that has passed bounds nothing, so that a late person costs nobody reads.
	countDown := func() {
		creds := w.data(t, "creds/rw")
		has(t, creds, fields{"version": 1, "rotation_period": period})
		now, err := number(creds["ttl"])
		succeeded(t, err)
		if over = over || now == refresh; over {
			if now != refresh {
				t.Errorf("the ttl of an overdue token is %d", now)
			}
			return
		}
		if now > ttl || now < 1 {
			t.Errorf("the ttl goes from %d to %d", ttl, now)
		}
		ttl = now
	}
	w.awaitToken(t, "rw", "be overdue", func(token fields) bool {
		countDown()
		has(t, token, fields{"version": 1, "next_vault_rotation": planned})
		return token["overdue"] == true
	})
	countDown()
	if !over {
		t.Errorf("the ttl of an overdue token is %d", ttl)
	}
	_, warnings := w.read(t, "tokens/rw")
	warns(t, warnings, "overdue since "+fmt.Sprint(planned), "tokens/rw/rotate")
	_, warnings = w.read(t, "creds/rw") // the app can do nothing about it
	if len(warnings) > 0 {
		t.Errorf("there should be no warning: %q", warnings)
	}
	status := w.data(t, "status")
	has(t, status, fields{"summary": fields{"total": 2, "ok": 2, "rejected": 0, "unverified": 0, "none": 0, "overdue": 1, "in_flight": 0}})
	tokens, _ := status["tokens"].(fields)
	shown, _ := tokens["rw"].(fields)
	has(t, shown, fields{"overdue": true, "next_vault_rotation": planned, "rotation_state": "idle"})

	w.write(t, "tokens/rw", fields{"rotation_period": "1h"})
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	w.write(t, "tokens/rw/rotate", fields{"auth_token": reset.AuthToken})
	has(t, w.data(t, "tokens/rw"), fields{"overdue": false, "version": 2})
	has(t, w.data(t, "creds/rw"), fields{"ttl": 60})
}

func TestFormsOfARotationSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	for name, data := range map[string]fields{
		"five fields":     {"rotation_schedule": "0 3 * * SAT"},
		"steps and lists": {"rotation_schedule": "*/15 1,3-5 * JAN-MAR 1"},
		"with a window":   {"rotation_schedule": "0 3 1 * *", "rotation_window": "2h"},
		"a period of 1 s": {"rotation_period": 1},
		"a duration":      {"rotation_period": "720h"},
	} {
		w.write(t, "tokens/ro", data)
		if w.data(t, "tokens/ro")["next_vault_rotation"] == nil {
			t.Errorf("%s: nothing is planned", name)
		}
	}
	w.write(t, "tokens/rw", fields{"rotation_schedule": "0 3 * * SAT", "rotation_window": "2h"})
	before := w.data(t, "tokens/rw")
	for name, tt := range map[string]struct {
		data  fields
		words []string
	}{
		"prose":                    {fields{"rotation_schedule": "every Saturday"}, []string{"rotation_schedule", "five fields", `"0 3 * * SAT"`}},
		"six fields":               {fields{"rotation_schedule": "0 0 3 * * SAT"}, []string{"rotation_schedule", "five fields"}},
		"a descriptor":             {fields{"rotation_schedule": "@daily"}, []string{"rotation_schedule", "five fields"}},
		"a time zone":              {fields{"rotation_schedule": "TZ=Asia/Kathmandu 0 3 * * SAT"}, []string{"rotation_schedule", "five fields"}},
		"a time zone alone":        {fields{"rotation_schedule": "TZ=UTC"}, []string{"rotation_schedule", "five fields"}},
		"minute 61":                {fields{"rotation_schedule": "61 3 * * *"}, []string{"rotation_schedule", "five fields"}},
		"period and schedule":      {fields{"rotation_schedule": "0 3 * * *", "rotation_period": 60}, []string{"rotation_schedule", "rotation_period", "only one"}},
		"a window of minutes":      {fields{"rotation_schedule": "0 3 * * *", "rotation_window": "30m"}, []string{"rotation_window", "3600"}},
		"a window with a period":   {fields{"rotation_period": 60, "rotation_window": "2h"}, []string{"rotation_window"}},
		"a window without a plan":  {fields{"rotation_window": "2h"}, []string{"rotation_window", "rotation_schedule"}},
		"a negative period":        {fields{"rotation_period": -5}, []string{"rotation_period"}},
		"a switch that is neither": {fields{"disable_automated_rotation": "perhaps"}, []string{"disable_automated_rotation", "true or false"}},
	} {
		_, err := w.Write(t.Context(), "tokens/rw", tt.data)
		refused(t, err, http.StatusBadRequest, tt.words...)
		if has(t, w.data(t, "tokens/rw"), before); t.Failed() {
			t.Fatalf("the form is %s", name)
		}
	}
}

func TestAPeriodAndAScheduleTakeEachOthersPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	w.write(t, "tokens/rw", fields{"rotation_period": "24h"})
	has(t, w.data(t, "creds/rw"), fields{"rotation_period": 86400})
	w.write(t, "tokens/rw", fields{"rotation_schedule": "0 3 1 * *", "rotation_window": "1h"})
	token := w.data(t, "tokens/rw")
	has(t, token, fields{"rotation_period": 0, "rotation_schedule": "0 3 1 * *", "rotation_window": 3600, "overdue": false})
	next, err := time.Parse(time.RFC3339, fmt.Sprint(token["next_vault_rotation"]))
	if err != nil || next.Day() != 1 || next.Hour() != 3 || next.Minute() != 0 || next.Before(time.Now()) || next.Location() != time.UTC {
		t.Errorf("the next rotation is at %v", token["next_vault_rotation"])
	}
	creds := w.data(t, "creds/rw")
	has(t, creds, fields{"rotation_period": 60}) // the refresh_ttl, as a schedule has none
	if _, there := creds["rotation_schedule"]; there {
		t.Error("creds show the schedule, which keeps the Vault Secrets Operator from reading again in time")
	}
	w.write(t, "tokens/rw", fields{"rotation_period": "48h"})
	has(t, w.data(t, "tokens/rw"), fields{"rotation_period": 172800, "rotation_schedule": "", "rotation_window": 0})
	w.write(t, "tokens/rw", fields{"rotation_period": 0})
	has(t, w.data(t, "tokens/rw"), fields{"rotation_period": 0, "rotation_schedule": "", "next_vault_rotation": nil})
}
