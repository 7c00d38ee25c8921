//go:build unix

package acceptance

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// TestVerify_SaysWhatTheProviderTellsOfAToken has a row for each answer of a provider that means something else.
func TestVerify_SaysWhatTheProviderTellsOfAToken(t *testing.T) {
	t.Parallel()
	google := func(mode simulator.DeveloperTokenMode, status simulator.DeveloperTokenStatus) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			succeeded(t, w.sim.SetDeveloperTokenMode(t.Context(), mode))
			succeeded(t, w.sim.SetDeveloperTokenStatus(t.Context(), status))
		}
	}
	resetDeveloperToken := func(t *testing.T, w *world) { done(w.sim.ResetDeveloperToken(t.Context()))(t) }
	resetReadWrite := func(t *testing.T, w *world) { done(w.sim.ResetReadWrite(t.Context(), "agency"))(t) }
	impact := func(fault simulator.Fault) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			fault.Service = simulator.Impact
			succeeded(t, w.sim.InjectFault(t.Context(), fault))
		}
	}
	tests := map[string]struct {
		token string
		// given is what happens between the import and the verification; nil for nothing.
		given           func(*testing.T, *world)
		outcome, health string
		detail          []string
		code            string
	}{
		"developer token, enforced": {
			token: "dev", given: google(simulator.DeveloperTokenEnforced, simulator.DeveloperTokenApproved),
			outcome: "accepted", health: "ok", detail: []string{"accepts the developer token", "rejects a wrong one"},
		},
		"developer token, reset behind our back": {
			token: "dev", given: resetDeveloperToken,
			outcome: "rejected", health: "rejected", detail: []string{"rejects the developer token", "reset"}, code: "DEVELOPER_TOKEN_INVALID",
		},
		"developer token, ignored since the sunset": {
			token: "dev", given: google(simulator.DeveloperTokenIgnored, simulator.DeveloperTokenApproved),
			outcome: "inconclusive", health: "unverified", detail: []string{"proves nothing", "retired developer tokens on 9 September 2026", "ignores the developer-token header"},
		},
		"developer token, reset since the sunset": {
			token: "dev", given: func(t *testing.T, w *world) {
				resetDeveloperToken(t, w)
				succeeded(t, w.sim.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored))
			},
			outcome: "inconclusive", health: "unverified", detail: []string{"proves nothing"},
		},
		"developer token, header refused": {
			token: "dev", given: google(simulator.DeveloperTokenHeaderRefused, simulator.DeveloperTokenApproved),
			outcome: "rejected", health: "rejected", detail: []string{"refuses the developer-token header", "apps must stop sending it"}, code: "UNKNOWN",
		},
		"developer token, not approved": {
			token: "dev", given: google(simulator.DeveloperTokenEnforced, simulator.DeveloperTokenNotApproved),
			outcome: "accepted", health: "ok", detail: []string{"genuine", "test-only access"}, code: "DEVELOPER_TOKEN_NOT_APPROVED",
		},
		"developer token, prohibited": {
			token: "dev", given: google(simulator.DeveloperTokenEnforced, simulator.DeveloperTokenProhibited),
			outcome: "rejected", health: "rejected", detail: []string{"Google Cloud project"}, code: "DEVELOPER_TOKEN_PROHIBITED",
		},
		"developer token, not on the allowlist": {
			token: "dev", given: google(simulator.DeveloperTokenEnforced, simulator.DeveloperTokenNotOnAllowlist),
			outcome: "rejected", health: "rejected", detail: []string{"allowlist"}, code: "DEVELOPER_TOKEN_NOT_ON_ALLOWLIST",
		},
		"developer token, project without access": {
			token: "dev", given: func(t *testing.T, w *world) {
				succeeded(t, w.sim.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored))
				succeeded(t, w.sim.SetProjectAccess(t.Context(), simulator.ProjectNotApproved))
			},
			outcome: "inconclusive", health: "unverified", detail: []string{"project", "says nothing about the developer token"}, code: "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION",
		},

		"legacy token": {token: "rw", outcome: "accepted", health: "ok"},
		"legacy token, reset behind our back": {
			token: "rw", given: resetReadWrite, outcome: "rejected", health: "rejected", detail: []string{"rejects the token", "reset"},
		},
		"legacy token, the other one reset": {token: "ro", given: resetReadWrite, outcome: "accepted", health: "ok"},
		"legacy token, a 403": {
			token: "rw", given: impact(simulator.Fault{Kind: simulator.FaultStatus, Status: 403}),
			outcome: "inconclusive", health: "unverified", detail: []string{"says nothing about the token"},
		},
		"scoped token, disabled": {
			token: "scoped", given: func(t *testing.T, w *world) { succeeded(t, w.sim.DisableScopedToken(t.Context(), appToken)) },
			outcome: "accepted", health: "ok", detail: []string{"genuine, but disabled or without this endpoint's scope", "probe_path"},
		},
		"scoped token, disabled, with a probe_path": {
			token: "scoped", given: func(t *testing.T, w *world) {
				w.write(t, "tokens/scoped", fields{"probe_path": "CompanyInformation"})
				succeeded(t, w.sim.DisableScopedToken(t.Context(), appToken))
			},
			outcome: "rejected", health: "rejected", detail: []string{"probe_path"},
		},
		"scoped token, deleted": {
			token: "scoped", given: func(t *testing.T, w *world) { succeeded(t, w.sim.DeleteScopedToken(t.Context(), appToken)) },
			outcome: "rejected", health: "rejected",
		},

		// Network trouble is no alarm: the health stays as it was.
		"the rate is limited": {
			token: "rw", given: impact(simulator.Fault{Kind: simulator.FaultStatus, Status: 429, RetryAfter: 125}),
			outcome: "inconclusive", health: "ok", detail: []string{"HTTP 429", "wait 2m5s"},
		},
		"trouble at their side": {
			token: "rw", given: impact(simulator.Fault{Kind: simulator.FaultStatus, Status: 502}),
			outcome: "inconclusive", health: "ok", detail: []string{"HTTP 502"},
		},
		"no answer in time": {
			token: "rw", given: impact(simulator.Fault{Kind: simulator.FaultLatency, Latency: time.Minute}),
			outcome: "inconclusive", health: "ok", detail: []string{"did not answer in time"},
		},
		"connection dropped": {
			token: "rw", given: impact(simulator.Fault{Kind: simulator.FaultDropBefore}),
			outcome: "inconclusive", health: "ok", detail: []string{"closed the connection"},
		},
		"not the API": {
			token: "rw", given: impact(simulator.Fault{Kind: simulator.FaultGarbage}),
			outcome: "inconclusive", health: "ok", detail: []string{"unreadable"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if tt.token == "dev" {
				w.importDeveloperToken(t)
			} else {
				w.importLegacyTokens(t)
				w.importScopedToken(t)
				w.write(t, "config/agency", fields{"request_timeout": 1})
			}
			if tt.given != nil {
				tt.given(t, w)
			}
			found := w.verify(t, tt.token, tt.outcome, tt.detail...)
			if tt.token == "dev" {
				has(t, found, fields{"provider_code": tt.code})
				if found["request_id"] == "" {
					t.Error("there is no request_id")
				}
			}
			has(t, w.data(t, "tokens/"+tt.token), fields{"health": tt.health})
		})
	}
}

// verify asks for a verification of version 1 and fails the test unless it has the outcome, and each of the words in its
// detail, in the answer and in what is kept of it.
func (w *world) verify(t *testing.T, name, outcome string, words ...string) fields {
	t.Helper()
	secret := w.write(t, "tokens/"+name+"/verify", nil)
	if outcome == "rejected" {
		warns(t, secret.Warnings, "vault read -field=runbook "+w.Path+"/tokens/"+name+"/rotate")
	} else {
		warnsNot(t, secret)
	}
	found := secret.Data
	hasOnly(t, found, "outcome", "detail", "provider_code", "request_id", "checked_at", "version")
	has(t, found, fields{"outcome": outcome, "version": 1})
	mentions(t, "the detail", fmt.Sprint(found["detail"]), words...)
	isRecent(t, "checked_at", found["checked_at"])
	tellsNoSecret(t, "the verification", found)
	has(t, w.data(t, "tokens/"+name), fields{
		"last_verification": fields{"at": found["checked_at"], "outcome": outcome, "detail": found["detail"]}, "version": 1,
	})
	return found
}

func TestADeveloperTokenWithoutAnOAuthIdentityCannotBeVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(t, "config/google", fields{"provider": "google_ads", "base_url": w.sim.GoogleURL})
	secret := w.write(t, "tokens/dev", fields{"account": "google", "type": "developer_token", "developer_token": done(w.sim.DeveloperToken(t.Context()))(t)})
	has(t, secret.Data, fields{"verification": "inconclusive"})
	warns(t, secret.Warnings, "no OAuth identity", "refresh_token", "service_account_key")
	w.verify(t, "dev", "inconclusive", "no OAuth identity")
}

func TestADeveloperTokenIsVerifiedByAServiceAccountToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := done(w.sim.ServiceAccountKey(t.Context(), simulator.DefaultName))(t)
	w.write(t, "config/google", fields{"provider": "google_ads", "base_url": w.sim.GoogleURL, "token_url": w.sim.GoogleURL + "/token", "service_account_key": string(key)})
	w.write(t, "tokens/dev", fields{"account": "google", "type": "developer_token", "developer_token": done(w.sim.DeveloperToken(t.Context()))(t)})
	w.verify(t, "dev", "accepted")
	done(w.sim.ResetDeveloperToken(t.Context()))(t)
	w.verify(t, "dev", "rejected")
}

// appToken is the one that importScopedToken makes.
var appToken = simulator.ScopedTokenName{Account: "agency", Name: "app"}

func TestAResetBehindVaultsBackIsShownEverywhereUntilTheRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	_, warnings := w.read(t, "creds/rw")
	if len(warnings) != 0 {
		vaulttest.Errorf(t, "nobody can know of the reset yet: %q", warnings)
	}
	w.verify(t, "rw", "rejected")

	creds, warnings := w.read(t, "creds/rw")
	has(t, creds, fields{"version": 1})
	warns(t, warnings, "reject", "rotate")
	w.verify(t, "ro", "accepted")
	has(t, w.data(t, "status"), fields{
		"summary": fields{"total": 2, "ok": 1, "rejected": 1, "unverified": 0, "none": 0, "overdue": 0, "in_flight": 0},
	})
	list, err := w.List(t.Context(), "tokens")
	succeeded(t, err)
	info, _ := list.Data["key_info"].(fields)
	has(t, info, fields{"rw": fields{
		"account": "agency", "type": "legacy_read_write", "version": 1, "health": "rejected", "overdue": false, "next_vault_rotation": nil,
	}})

	// Silence takes no alarm back.
	succeeded(t, w.sim.InjectFault(t.Context(), simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultDropBefore}))
	w.verify(t, "rw", "inconclusive")
	has(t, w.data(t, "tokens/rw"), fields{"health": "rejected"})
	succeeded(t, w.sim.ClearFaults(t.Context()))

	w.write(t, "tokens/rw/rotate", fields{"auth_token": reset.AuthToken})
	has(t, w.data(t, "tokens/rw"), fields{"health": "ok"})
	_, warnings = w.read(t, "creds/rw")
	if len(warnings) != 0 {
		vaulttest.Errorf(t, "the warning outlives the rotation: %q", warnings)
	}
	has(t, w.data(t, "status"), fields{
		"summary": fields{"total": 2, "ok": 2, "rejected": 0, "unverified": 0, "none": 0, "overdue": 0, "in_flight": 0},
	})
}

func TestVerifyTakesNoValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	_, err := w.Read(t.Context(), "tokens/rw/verify")
	refused(t, err, http.StatusMethodNotAllowed)
}
