//go:build unix

package acceptance

import (
	"fmt"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// lastVerification returns the outcome and time of a token's last verification.
func lastVerification(token fields) (outcome, at string) {
	verification, _ := token["last_verification"].(fields)
	return fmt.Sprint(verification["outcome"]), fmt.Sprint(verification["at"])
}

func TestAChangeBehindVaultsBackIsNoticedWithoutBeingAskedFor(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		token  string
		change func(*testing.T, *world)
	}{
		"legacy token reset": {token: "rw", change: func(t *testing.T, w *world) { done(w.sim.ResetReadWrite(t.Context(), "agency"))(t) }},
		"scoped token deleted": {token: "scoped", change: func(t *testing.T, w *world) {
			succeeded(t, w.sim.DeleteScopedToken(t.Context(), simulator.ScopedTokenName{Account: "agency", Name: "app"}))
		}},
		"developer token reset": {token: "dev", change: func(t *testing.T, w *world) { done(w.sim.ResetDeveloperToken(t.Context()))(t) }},
		"consent withdrawn":     {token: "oauth", change: func(t *testing.T, w *world) { succeeded(t, w.sim.WithdrawConsent(t.Context(), appClient)) }},
		"key deleted": {token: "key", change: func(t *testing.T, w *world) {
			key := simulator.KeyName{ServiceAccount: simulator.DefaultName, ID: w.currentKey(t)}
			succeeded(t, w.sim.DeleteServiceAccountKey(t.Context(), key))
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.importLegacyTokens(t)
			w.importScopedToken(t)
			w.importApp(t, nil)
			w.importDeveloperToken(t)
			w.importKeyOf(t, simulator.DefaultName, "key", nil)
			tt.change(t, w)
			_, warnings := w.read(t, "creds/"+tt.token)
			if len(warnings) > 0 {
				t.Errorf("nobody can know of the change yet: %q", warnings)
			}

			w.write(t, "tokens/"+tt.token, fields{"verify_period": 1})
			token := w.awaitToken(t, tt.token, "be found rejected", func(token fields) bool { return token["health"] == "rejected" })
			has(t, token, fields{"version": 1, "rotation_state": "idle"})
			_, warnings = w.read(t, "creds/"+tt.token)
			warns(t, warnings, "rejects this credential", "rotate")
			status := w.data(t, "status")
			has(t, status, fields{"summary": fields{"total": 6, "ok": 5, "rejected": 1, "unverified": 0, "none": 0, "overdue": 0, "in_flight": 0}})
			tokens, _ := status["tokens"].(fields)
			shown, _ := tokens[tt.token].(fields)
			has(t, shown, fields{"health": "rejected"})
		})
	}
}

func TestTheRoutineCheckFollowsARotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	w.write(t, "tokens/rw", fields{"verify_period": 1})
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	w.awaitToken(t, "rw", "be found rejected", func(token fields) bool { return token["health"] == "rejected" })
	w.write(t, "tokens/rw/rotate", fields{"auth_token": reset.AuthToken})
	_, rotatedAt := lastVerification(w.data(t, "tokens/rw"))
	token := w.awaitToken(t, "rw", "be verified again", func(token fields) bool {
		_, at := lastVerification(token)
		return at > rotatedAt
	})
	has(t, token, fields{"health": "ok", "version": 2})
	_, warnings := w.read(t, "creds/rw")
	if len(warnings) > 0 {
		t.Errorf("there should be no warning: %q", warnings)
	}
}

func TestAProviderThatIsDownIsNoAlarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	succeeded(t, w.sim.InjectFault(t.Context(), simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultStatus, Status: 503}))
	w.write(t, "tokens/rw", fields{"verify_period": 1})
	token := w.awaitToken(t, "rw", "be checked in vain", func(token fields) bool {
		outcome, _ := lastVerification(token)
		return outcome == "inconclusive"
	})
	has(t, token, fields{"health": "ok"})
	_, warnings := w.read(t, "creds/rw")
	if len(warnings) > 0 {
		t.Errorf("there should be no warning: %q", warnings)
	}
	has(t, w.data(t, "status"), fields{"summary": fields{"total": 2, "ok": 2, "rejected": 0, "unverified": 0, "none": 0, "overdue": 0, "in_flight": 0}})
	succeeded(t, w.sim.ClearFaults(t.Context()))
	w.awaitToken(t, "rw", "be checked with success", func(token fields) bool {
		outcome, _ := lastVerification(token)
		return outcome == "accepted"
	})
}

func TestVerifyPeriodZeroAsksTheProviderNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	w.write(t, "tokens/ro", fields{"verify_period": 0})
	w.write(t, "tokens/rw", fields{"verify_period": 1})
	before := w.data(t, "tokens/ro")["last_verification"]
	checks, last := 0, ""
	w.awaitToken(t, "rw", "be checked three times", func(token fields) bool {
		if _, at := lastVerification(token); at > last {
			checks, last = checks+1, at
		}
		return checks > 3 // the first is the import's
	})
	has(t, w.data(t, "tokens/ro"), fields{"last_verification": before, "health": "ok", "verify_period": 0})
}
