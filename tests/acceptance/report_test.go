//go:build unix

package acceptance

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// reporter is an app that may read acme's credentials and report that they are refused, and nothing else.
func (w *world) reporter(t *testing.T) person {
	t.Helper()
	return w.login(t, "reporter", fmt.Sprintf(`
		path "%[1]s/creds/*" { capabilities = ["read"] }
		path "%[1]s/access-token/*" { capabilities = ["read"] }
		path "%[1]s/report/*" { capabilities = ["update"] }`, w.Path))
}

func TestReport_AnAppLearnsWhatBecameOfItsValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	w.write(t, "tokens/empty", fields{"account": "agency", "type": "scoped"})
	app := w.reporter(t)
	held := w.data(t, "creds/rw")
	report := func(path string, data fields) fields {
		t.Helper()
		answer := done(app.Write(t.Context(), path, data))(t).Data
		tellsNoSecret(t, "the answer", answer)
		return answer
	}
	accepted := report("report/rw", fields{"version": held["version"], "status": 403})
	has(t, accepted, fields{"outcome": "accepted", "current_version": 1, "rotation_state": "idle"})
	isRecent(t, "checked_at", accepted["checked_at"])
	hasOnly(t, accepted, "outcome", "detail", "current_version", "checked_at", "rotation_state")

	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	w.write(t, "tokens/rw/rotate", fields{"auth_token": reset.AuthToken})
	before := w.impactRequests(t)
	for _, data := range []fields{{"version": 1}, {"fingerprint": held["fingerprint"], "status": 401}, {"fingerprint": "of-nobody"}} {
		has(t, report("report/rw", data), fields{"outcome": "outdated", "current_version": 2, "checked_at": nil, "rotation_state": "idle"})
	}
	if asked := w.impactRequests(t) - before; asked != 0 {
		t.Errorf("reports of an old value asked the provider %d times", asked)
	}
	done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	rejected := done(app.Write(t.Context(), "report/rw", fields{"version": 2}))(t)
	has(t, rejected.Data, fields{"outcome": "rejected", "current_version": 2})
	warns(t, rejected.Warnings, "tokens/rw/rotate")
	has(t, w.data(t, "tokens/rw"), fields{"health": "rejected"})

	_, err := app.Write(t.Context(), "report/nobody", fields{"version": 1})
	refused(t, err, http.StatusNotFound, "does not exist")
	_, err = app.Write(t.Context(), "report/empty", fields{"version": 1})
	refused(t, err, http.StatusBadRequest, "has no credential")
	for _, data := range []fields{nil, {"status": 401}, {"version": 1, "fingerprint": "x"}, {"version": 3}, {"version": 0}, {"version": 1, "status": 600}, {"version": 1, "auth_token": "x"}} {
		_, err = app.Write(t.Context(), "report/rw", data)
		refused(t, err, http.StatusBadRequest)
	}
	_, err = app.Read(t.Context(), "tokens/rw")
	refused(t, err, http.StatusForbidden)
}

func TestReport_FiveHundredAtOnceAreOneCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	before := w.impactRequests(t)
	var all sync.WaitGroup
	for range 500 {
		all.Go(func() {
			if secret, err := w.Write(t.Context(), "report/rw", fields{"version": 1}); err != nil || secret.Data["outcome"] != "rejected" {
				vaulttest.Errorf(t, "a report is answered with %v, error %v", secret, err)
			}
		})
	}
	all.Wait()
	if asked := w.impactRequests(t) - before; asked != 1 {
		t.Errorf("500 reports asked the provider %d times, want once", asked)
	}
}

func TestHealing_AReportedValueIsReplacedByTheHook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	warned := w.write(t, "tokens/rw", fields{"rotate_on_rejection": true})
	warns(t, warned.Warnings, "rotate_on_rejection does nothing until")
	h := startHook(t, w)
	w.addHook(t, "agency", h)
	app := w.reporter(t)
	for version := 1; version <= 3; version++ {
		done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
		answer := done(app.Write(t.Context(), "report/rw", fields{"version": version, "status": 401}))(t).Data
		has(t, answer, fields{"outcome": "rejected"})
		if answer["rotation_state"] == "idle" && asJSON(t, answer["current_version"]) == fmt.Sprint(version) {
			t.Errorf("the report is not told of the rotation: %v", answer)
		}
		w.awaitToken(t, "rw", "the next version", func(token fields) bool { return asJSON(t, token["version"]) == fmt.Sprint(version+1) })
	}
	has(t, w.history(t, "rw")[3], fields{"source": "hook", "reason": "rejected by the provider", "entity_id": "", "verification": "accepted"})
	done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	w.write(t, "tokens/rw/verify", nil)
	w.awaitToken(t, "rw", "that it waits for a person", func(token fields) bool {
		return strings.Contains(fmt.Sprint(token["last_error"]), "this waits for a person")
	})
	if _, resets := h.asked(); len(resets) != 3 {
		t.Errorf("the hook made %d resets, want three", len(resets))
	}
	_, warnings := w.read(t, "status")
	warns(t, warnings, "rw: the provider rejects version 4", "waits for a person")
	// By hand it goes on.
	has(t, w.write(t, "tokens/rw/rotate", nil).Data, fields{"version": 5})
}

func TestIdentity_SomebodyElsesValueTakesAPersonsWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(t, "config/google", w.googleFields(t))
	mine := done(w.sim.OAuthClient(t.Context(), simulator.DefaultName))(t)
	other := done(w.sim.CreateOAuthClient(t.Context(), "somebody-elses"))(t)
	w.importOAuthClient(t, mine, nil)
	has(t, w.data(t, "tokens/oauth"), fields{"identity": mine.ClientID})
	before := w.snapshot(t)
	data := fields{"client_id": other.ClientID, "client_secret": other.ClientSecret, "refresh_token": other.RefreshToken}
	w.refuses(t, "tokens/oauth/rotate", data, mine.ClientID, other.ClientID, "accept_other_identity=true", "nothing was changed")
	w.unchanged(t, before)

	w.write(t, "tokens/oauth/rotate", with(data, "verify", false))
	has(t, w.data(t, "tokens/oauth"), fields{"version": 2, "identity": mine.ClientID})
	w.write(t, "tokens/oauth/verify", nil)
	token, warnings := w.read(t, "tokens/oauth")
	has(t, token, fields{"version": 2, "identity": other.ClientID})
	warns(t, warnings, mine.ClientID, other.ClientID)
	_, warnings = w.read(t, "status")
	warns(t, warnings, mine.ClientID, other.ClientID)
	has(t, w.history(t, "oauth")[1], fields{"identity": other.ClientID, "identity_changed": true})

	back := fields{"client_id": mine.ClientID, "client_secret": mine.ClientSecret, "refresh_token": mine.RefreshToken, "accept_other_identity": true}
	warnsAmongOthers(t, w.write(t, "tokens/oauth/rotate", back).Warnings, mine.ClientID, "somebody else's")
	has(t, w.history(t, "oauth")[2], fields{"identity": mine.ClientID, "identity_changed": true})
	if _, warnings = w.read(t, "status"); len(warnings) > 0 {
		t.Errorf("status still warns: %q", warnings)
	}
}
