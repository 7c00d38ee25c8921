//go:build unix

package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// keyAccount configures a Google Ads account without an identity of its own: its keys rotate themselves.
func (w *world) keyAccount() fields {
	return fields{
		"provider": "google_ads", "contact_email": "ads-api@acme.example",
		"base_url": w.sim.GoogleURL, "token_url": w.sim.GoogleURL + "/token", "iam_url": w.sim.GoogleURL,
	}
}

// importKey makes the account google and its token key, with the policy, and returns the key's id.
func (w *world) importKey(t *testing.T, policy fields) string {
	t.Helper()
	w.write(t, "config/google", w.keyAccount())
	return w.importKeyOf(t, simulator.DefaultName, "key", policy)
}

// importKeyOf makes a token of the account google for a service account, and returns the key's id.
func (w *world) importKeyOf(t *testing.T, serviceAccount, name string, policy fields) string {
	t.Helper()
	file := done(w.sim.ServiceAccountKey(t.Context(), serviceAccount))(t)
	token := fields{"account": "google", "type": "service_account_key", "service_account_key": string(file)}
	maps.Copy(token, policy)
	w.write(t, "tokens/"+name, token)
	return keyID(t, file)
}

// keyID reads the id out of a key file.
func keyID(t *testing.T, file []byte) string {
	t.Helper()
	var key struct {
		ID string `json:"private_key_id"`
	}
	succeeded(t, json.Unmarshal(file, &key))
	return key.ID
}

// currentKey is the id of the key that apps read of the token key.
func (w *world) currentKey(t *testing.T) string {
	t.Helper()
	file, _ := w.data(t, "creds/key")["service_account_key"].(string)
	return keyID(t, []byte(file))
}

// keysThere are the ids of the service account's keys that were not deleted, oldest first.
func (w *world) keysThere(t *testing.T, serviceAccount string) []string {
	t.Helper()
	var ids []string
	for _, key := range done(w.sim.ServiceAccountKeys(t.Context(), serviceAccount))(t) {
		if key.Deleted.IsZero() {
			ids = append(ids, key.ID)
		}
	}
	return ids
}

// hasKeys fails the test unless those are all keys of the simulated service account that were not deleted.
func (w *world) hasKeys(t *testing.T, want ...string) {
	t.Helper()
	if got := w.keysThere(t, simulator.DefaultName); !slices.Equal(got, want) {
		t.Errorf("the service account has the keys %v instead of %v", got, want)
	}
}

// awaitState waits until a token's rotation_state is the given one, and returns the token.
func (w *world) awaitState(t *testing.T, name, state string) fields {
	t.Helper()
	return w.awaitToken(t, name, "be "+state, func(token fields) bool { return token["rotation_state"] == state })
}

// awaitToken waits until the token is as the condition wants, and returns it. What completes "the token to …".
func (w *world) awaitToken(t *testing.T, name, what string, condition func(token fields) bool) fields {
	t.Helper()
	var token fields
	vaulttest.Await(t, "the token to "+what, func() bool {
		token = w.data(t, "tokens/"+name)
		return condition(token)
	})
	return token
}

// reached wants a token to have the version, or a later one.
func reached(version int) func(token fields) bool {
	return func(token fields) bool {
		n, err := number(token["version"])
		return err == nil && n >= version
	}
}

// rotating is a rotation by hand that is under way.
type rotating struct {
	answer chan answer
	// hangUp ends the wait for the answer.
	hangUp context.CancelFunc
}

// startRotation has the engine rotate and does not wait for the answer.
func (w *world) startRotation(t *testing.T, name string, data fields) rotating {
	t.Helper()
	ctx, hangUp := context.WithCancel(t.Context())
	r := rotating{answer: make(chan answer, 1), hangUp: hangUp}
	go func() {
		var a answer
		a.secret, a.err = w.Write(ctx, "tokens/"+name+"/rotate", data)
		r.answer <- a
	}()
	return r
}

// succeeds waits for the answer and returns its data.
func (r rotating) succeeds(t *testing.T) fields {
	t.Helper()
	a := <-r.answer
	if a.err != nil {
		vaulttest.Fatalf(t, "the rotation failed: %v", a.err)
	}
	return a.secret.Data
}

// retiresAt reads the time out of previous_credential.
func retiresAt(t *testing.T, rotated fields) time.Time {
	t.Helper()
	text, found := strings.CutPrefix(fmt.Sprint(rotated["previous_credential"]), "retires at ")
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || !found {
		t.Fatalf("previous_credential is %v", rotated["previous_credential"])
	}
	return at
}

func TestAKeyReplacesItselfAndTheOldOneIsDeletedAfterTheGracePeriod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.importKey(t, fields{"rotation_grace_period": 2})
	has(t, w.data(t, "tokens/key/rotate"), fields{"automatic": true, "reset_semantics": "overlapping"})

	output := w.CLI(t, vaulttest.Command{Args: []string{"write", "-format=json", "-f", w.Path + "/tokens/key/rotate"}})
	if output.ExitCode != 0 {
		vaulttest.Fatalf(t, "vault write -f: %s", output.Stderr)
	}
	var rotated struct{ Data fields }
	succeeded(t, json.Unmarshal([]byte(output.Stdout), &rotated))
	has(t, rotated.Data, fields{"version": 2, "previous_version": 1, "verification": "accepted", "rotation_state": "retiring"})
	if wait := time.Until(retiresAt(t, rotated.Data)); wait > 2*time.Second {
		t.Errorf("the old key retires in %s", wait)
	}
	tellsNoSecret(t, "the answer", rotated.Data)

	current := w.currentKey(t)
	if current == old || !slices.Contains(w.keysThere(t, simulator.DefaultName), current) {
		t.Errorf("the key that apps read is %s, the old one %s", current, old)
	}
	has(t, w.data(t, "creds/key"), fields{"version": 2, "fingerprint": rotated.Data["fingerprint"]})

	token := w.awaitState(t, "key", "idle")
	has(t, token, fields{"version": 2, "health": "ok", "last_error": "", "retiring": []any{}})
	w.hasKeys(t, current)
	if done(w.sim.Ledger(t.Context()))(t).IsLive(old) {
		t.Error("the old key still works")
	}
	versions := w.history(t, "key")
	has(t, versions[0], fields{"version": 1, "source": "import", "retired_how": "retired by the engine"})
	has(t, versions[1], fields{"version": 2, "source": "iam", "verification": "accepted", "retired_at": nil, "retired_how": ""})
	isRecent(t, "retired_at", versions[0]["retired_at"])
}

func TestBothKeysWorkDuringTheGracePeriod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.importKey(t, fields{"rotation_grace_period": "1h"})
	rotated := w.write(t, "tokens/key/rotate", fields{"reason": "yearly review", "cas": 1})
	warnsNot(t, rotated)
	wait := time.Until(retiresAt(t, rotated.Data))
	if wait < 59*time.Minute || wait > time.Hour {
		t.Errorf("the old key retires in %s", wait)
	}
	current := w.currentKey(t)
	w.hasKeys(t, old, current)
	ledger := done(w.sim.Ledger(t.Context()))(t)
	if !ledger.IsLive(old) || !ledger.IsLive(current) {
		t.Error("one of the two keys does not work")
	}
	has(t, w.data(t, "tokens/key"), fields{
		"rotation_state": "retiring", "retiring": []any{fields{"version": 1, "at": retiresAt(t, rotated.Data).Format(time.RFC3339)}},
	})
	has(t, w.history(t, "key")[1], fields{"reason": "yearly review", "display_name": "token", "source": "iam"})

	// A new rotation need not wait for the old key's end.
	has(t, w.write(t, "tokens/key/rotate", nil).Data, fields{"version": 3})
	if retiring, _ := w.data(t, "tokens/key")["retiring"].([]any); len(retiring) != 2 {
		t.Errorf("%d old keys are to be retired", len(retiring))
	}
}

func TestAFreshKeyIsPublishedOnceItWorks(t *testing.T) {
	t.Parallel()
	const propagation = 3 * time.Second
	w := newWorld(t)
	old := w.importKey(t, nil)
	succeeded(t, w.sim.ConfigureIAM(t.Context(), simulator.IAMSettings{KeyPropagation: propagation}))
	rotation := w.startRotation(t, "key", nil)
	w.awaitToken(t, "key", "wait for its new key", func(token fields) bool {
		return token["rotation_state"] == "pending" && token["last_error"] != ""
	})
	has(t, w.data(t, "creds/key"), fields{"version": 1})
	if current := w.currentKey(t); current != old {
		t.Errorf("apps read the key %s, which does not work yet", current)
	}
	has(t, w.data(t, "status"), fields{"summary": fields{"total": 1, "ok": 1, "rejected": 0, "unverified": 0, "none": 0, "overdue": 0, "in_flight": 1}})

	has(t, rotation.succeeds(t), fields{"version": 2, "verification": "accepted"})
	has(t, w.data(t, "tokens/key"), fields{"last_error": "", "health": "ok"})
	keys := done(w.sim.ServiceAccountKeys(t.Context(), simulator.DefaultName))(t)
	if len(keys) != 2 {
		t.Fatalf("there are %d keys", len(keys))
	}
	published, err := time.Parse(time.RFC3339, fmt.Sprint(w.history(t, "key")[1]["created_at"]))
	succeeded(t, err)
	if published.Add(time.Second).Before(keys[1].Created.Add(propagation)) { // published is cut to its second
		t.Errorf("the key of %s was published at %s", keys[1].Created, published)
	}
}

func TestAtTheKeyLimitTheKeysAreNamed(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]simulator.KeyLimitError{
		"RESOURCE_EXHAUSTED":  simulator.KeyLimitResourceExhausted,
		"FAILED_PRECONDITION": simulator.KeyLimitFailedPrecondition,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.importKey(t, fields{"rotation_grace_period": 1})
			succeeded(t, w.sim.ConfigureIAM(t.Context(), simulator.IAMSettings{KeyLimitError: limit}))
			for range 9 {
				done(w.sim.CreateServiceAccountKey(t.Context(), simulator.DefaultName))(t)
			}
			keys := w.keysThere(t, simulator.DefaultName)
			before := w.data(t, "creds/key")

			_, err := w.Write(t.Context(), "tokens/key/rotate", nil)
			refused(t, err, http.StatusBadRequest, append(slices.Clone(keys), "nothing was changed", "10 keys", "delete one", name)...)
			w.hasKeys(t, keys...)
			has(t, w.data(t, "tokens/key"), fields{"version": 1, "rotation_state": "idle", "health": "ok"})
			after := w.data(t, "creds/key")
			delete(before, "ttl")
			has(t, after, before)

			succeeded(t, w.sim.DeleteServiceAccountKey(t.Context(), simulator.KeyName{ServiceAccount: simulator.DefaultName, ID: keys[9]}))
			has(t, w.write(t, "tokens/key/rotate", nil).Data, fields{"version": 2})
			has(t, w.awaitState(t, "key", "idle"), fields{"last_error": ""})
			w.hasKeys(t, append(slices.Clone(keys[1:9]), w.currentKey(t))...)
		})
	}
}

func TestAnOrganisationPolicyAgainstNewKeysIsExplained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.importKey(t, nil)
	succeeded(t, w.sim.ConfigureIAM(t.Context(), simulator.IAMSettings{KeyCreation: simulator.KeyCreationForbidden}))
	_, err := w.Write(t.Context(), "tokens/key/rotate", nil)
	refused(t, err, http.StatusBadRequest, "nothing was changed", "organisation policy", "iam.disableServiceAccountKeyCreation", "FAILED_PRECONDITION")
	w.hasKeys(t, old)
	has(t, w.data(t, "tokens/key"), fields{"version": 1, "rotation_state": "idle", "health": "ok"})
	has(t, w.data(t, "status"), fields{"summary": fields{"total": 1, "ok": 1, "rejected": 0, "unverified": 0, "none": 0, "overdue": 0, "in_flight": 0}})
}

func TestAKeyWithoutThePermissionIsReplacedByTheAccountsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.importKey(t, fields{"rotation_grace_period": 1})
	succeeded(t, w.sim.SetKeyAdministration(t.Context(), simulator.DefaultName, simulator.KeyAdministrationDenied))
	_, err := w.Write(t.Context(), "tokens/key/rotate", nil)
	refused(t, err, http.StatusBadRequest, "nothing was changed", "roles/iam.serviceAccountKeyAdmin", "PERMISSION_DENIED")
	w.hasKeys(t, old)

	admin := done(w.sim.CreateServiceAccount(t.Context(), "admin"))(t)
	w.write(t, "config/google", fields{"service_account_key": string(admin)})
	has(t, w.write(t, "tokens/key/rotate", nil).Data, fields{"version": 2, "verification": "accepted"})
	has(t, w.awaitState(t, "key", "idle"), fields{"last_error": "", "health": "ok"})
	w.hasKeys(t, w.currentKey(t))

	// The account's key needs the permission too.
	succeeded(t, w.sim.SetKeyAdministration(t.Context(), "admin", simulator.KeyAdministrationDenied))
	_, err = w.Write(t.Context(), "tokens/key/rotate", nil)
	refused(t, err, http.StatusBadRequest, "the account's service_account_key", "roles/iam.serviceAccountKeyAdmin")
}

func TestIAMThatIsDownWhenAskedIsAnErrorThatChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.importKey(t, nil)
	before := w.snapshot(t)
	delete(before, "tokens/key") // it shows the error
	succeeded(t, w.sim.InjectFault(t.Context(), simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultStatus, Status: 503}))
	_, err := w.Write(t.Context(), "tokens/key/rotate", nil)
	refused(t, err, http.StatusBadGateway, "nothing was changed", "HTTP 503")
	has(t, w.snapshot(t), before)
	w.hasKeys(t, old)
	succeeded(t, w.sim.ClearFaults(t.Context()))
	has(t, w.write(t, "tokens/key/rotate", nil).Data, fields{"version": 2})
}

// The rotation by hand waits for 30 seconds, and so does this test.
func TestARotationWhoseProviderIsDownGoesOnByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importKey(t, nil)
	w.write(t, "config/google", fields{"request_timeout": 60})
	for _, latency := range []time.Duration{25 * time.Second, 8 * time.Second} {
		down := simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultStatus, Method: http.MethodPost, Status: 503, Latency: latency, Times: 1}
		succeeded(t, w.sim.InjectFault(t.Context(), down))
	}
	started := time.Now()
	rotation := w.startRotation(t, "key", fields{"reason": "outage"})
	w.awaitState(t, "key", "requested")
	_, err := w.Write(t.Context(), "tokens/key/rotate", nil)
	refused(t, err, http.StatusConflict, "a rotation of this token is under way", "requested")
	has(t, w.data(t, "creds/key"), fields{"version": 1})

	a := <-rotation.answer
	succeeded(t, a.err)
	if took := time.Since(started); took < 29*time.Second || took > 50*time.Second {
		t.Errorf("the answer took %s", took)
	}
	has(t, a.secret.Data, fields{"version": 1, "rotation_state": "requested"})
	mentions(t, "the warnings", strings.Join(a.secret.Warnings, "\n"), "goes on by itself", "tokens/key", "HTTP 503")
	token := w.data(t, "tokens/key")
	has(t, token, fields{"version": 1, "rotation_state": "requested", "health": "ok"})
	mentions(t, "last_error", fmt.Sprint(token["last_error"]), "HTTP 503")
	_, err = w.Write(t.Context(), "tokens/key/rotate", nil)
	refused(t, err, http.StatusConflict, "under way", "HTTP 503")

	token = w.awaitToken(t, "key", "heal", reached(2))
	has(t, token, fields{"last_error": "", "rotation_state": "retiring", "health": "ok"})
	has(t, w.history(t, "key")[1], fields{"reason": "outage", "source": "iam"})
	if keys := w.keysThere(t, simulator.DefaultName); len(keys) != 2 {
		t.Errorf("the service account has the keys %v", keys)
	}
}

func TestAKeyWhoseAnswerWasLostIsFoundAndDeleted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		// ahead is how much Google's clock is ahead of Vault's.
		ahead time.Duration
		kind  simulator.FaultKind
	}{
		"connection dropped":      {kind: simulator.FaultDropAfter},
		"answer cut off":          {kind: simulator.FaultHalfBody},
		"answer of a broken host": {kind: simulator.FaultOversizedBody},
		"Google's clock is ahead": {kind: simulator.FaultDropAfter, ahead: 40 * time.Second},
		"Google's clock is late":  {kind: simulator.FaultDropAfter, ahead: -40 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			succeeded(t, w.sim.AdvanceClock(t.Context(), tt.ahead))
			old := w.importKey(t, nil)
			foreign := keyID(t, done(w.sim.CreateServiceAccountKey(t.Context(), simulator.DefaultName))(t))
			lost := simulator.Fault{Service: simulator.GoogleIAM, Kind: tt.kind, Method: http.MethodPost, Times: 1}
			succeeded(t, w.sim.InjectFault(t.Context(), lost))

			has(t, w.write(t, "tokens/key/rotate", nil).Data, fields{"version": 2, "verification": "accepted"})
			has(t, w.data(t, "tokens/key"), fields{"last_error": "", "version": 2})
			if versions := w.history(t, "key"); len(versions) != 2 {
				t.Errorf("the history has %d versions", len(versions))
			}
			w.hasKeys(t, old, foreign, w.currentKey(t))
			if made := done(w.sim.ServiceAccountKeys(t.Context(), simulator.DefaultName))(t); len(made) != 4 {
				t.Errorf("%d keys were made instead of 4, one of which was lost", len(made))
			}
		})
	}
}

func TestALostKeyThatTheListShowsLateIsDeletedAllTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.importKey(t, nil)
	succeeded(t, w.sim.ConfigureIAM(t.Context(), simulator.IAMSettings{KeyListLag: 3 * time.Second}))
	lost := simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultDropAfter, Method: http.MethodPost, Times: 1}
	succeeded(t, w.sim.InjectFault(t.Context(), lost))
	has(t, w.write(t, "tokens/key/rotate", nil).Data, fields{"version": 2})
	current := w.currentKey(t)
	vaulttest.Await(t, "the lost key to be deleted", func() bool { return len(w.keysThere(t, simulator.DefaultName)) == 2 })
	w.hasKeys(t, old, current)
	has(t, w.data(t, "creds/key"), fields{"version": 2})
}

func TestKeysDeletedBehindOurBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.importKey(t, fields{"rotation_grace_period": 2})
	w.write(t, "tokens/key/rotate", nil)
	current := w.currentKey(t)
	removeKey := func(id string) {
		succeeded(t, w.sim.DeleteServiceAccountKey(t.Context(), simulator.KeyName{ServiceAccount: simulator.DefaultName, ID: id}))
	}

	// That the old one is gone already is what was wanted.
	removeKey(old)
	has(t, w.awaitState(t, "key", "idle"), fields{"last_error": "", "version": 2})
	has(t, w.history(t, "key")[0], fields{"retired_how": "retired by the engine"})

	// The current one cannot replace itself any more.
	removeKey(current)
	_, err := w.Write(t.Context(), "tokens/key/rotate", nil)
	refused(t, err, http.StatusBadRequest, "nothing was changed", "the account's configuration")
	has(t, w.write(t, "tokens/key/verify", nil).Data, fields{"outcome": "rejected"})
	_, warnings := w.read(t, "creds/key")
	warns(t, warnings, "reject", "rotate")

	// A key of the account heals it.
	w.write(t, "config/google", fields{"service_account_key": string(done(w.sim.CreateServiceAccount(t.Context(), "admin"))(t))})
	has(t, w.write(t, "tokens/key/rotate", nil).Data, fields{"version": 3, "verification": "accepted"})
	has(t, w.awaitState(t, "key", "idle"), fields{"health": "ok", "last_error": ""})
	w.hasKeys(t, w.currentKey(t))
}

func TestAKeyCanBeHandedIn(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		retire bool
	}{
		"the engine retires the old one": {retire: true},
		"a person does":                  {retire: false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			old := w.importKey(t, fields{"rotation_grace_period": 1})
			file := done(w.sim.CreateServiceAccountKey(t.Context(), simulator.DefaultName))(t)
			data := fields{"service_account_key": string(file), "reason": "by hand"}
			if tt.retire {
				data["retire_previous"] = true
			}
			rotated := w.write(t, "tokens/key/rotate", data)
			has(t, rotated.Data, fields{"version": 2, "verification": "accepted"})
			has(t, w.history(t, "key")[1], fields{"source": "assisted", "reason": "by hand"})
			if !tt.retire {
				has(t, rotated.Data, fields{"previous_credential": "still accepted"})
				warns(t, rotated.Warnings, "version 1 is still accepted", "deleted")
				has(t, w.data(t, "tokens/key"), fields{"rotation_state": "idle", "retiring": []any{}})
				w.hasKeys(t, old, keyID(t, file))
				return
			}
			retiresAt(t, rotated.Data)
			warnsNot(t, rotated)
			has(t, w.awaitState(t, "key", "idle"), fields{"last_error": ""})
			w.hasKeys(t, keyID(t, file))
			has(t, w.history(t, "key")[0], fields{"retired_how": "retired by the engine"})
		})
	}
}

func TestDeletingATokenRetiresWhatIsStillToBeRetired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.importKey(t, nil)
	w.write(t, "tokens/key/rotate", nil)
	current := w.currentKey(t)

	down := simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultStatus, Status: 503}
	succeeded(t, w.sim.InjectFault(t.Context(), down))
	_, err := w.Delete(t.Context(), "tokens/key")
	refused(t, err, http.StatusBadGateway, "was not deleted", "version 1", "HTTP 503", "force=true")
	has(t, w.data(t, "tokens/key"), fields{"version": 2, "rotation_state": "retiring"})
	w.hasKeys(t, old, current)

	succeeded(t, w.sim.ClearFaults(t.Context()))
	warns(t, w.remove(t, "tokens/key").Warnings, "lives on at the provider")
	w.hasKeys(t, current)
	_, err = w.Read(t.Context(), "creds/key")
	refused(t, err, http.StatusNotFound)
}

func TestDeletingATokenByForceForgetsWhatCannotBeRetired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.importKey(t, nil)
	w.write(t, "tokens/key/rotate", nil)
	current := w.currentKey(t)
	succeeded(t, w.sim.InjectFault(t.Context(), simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultDropBefore}))
	deleted, err := w.Client.Logical().DeleteWithDataWithContext(t.Context(), w.Path+"/tokens/key", map[string][]string{"force": {"true"}})
	succeeded(t, err)
	mentions(t, "the warnings", strings.Join(deleted.Warnings, "\n"), "is forgotten now", "version 1", "lives on at the provider")
	_, err = w.Read(t.Context(), "tokens/key")
	refused(t, err, http.StatusNotFound)
	w.hasKeys(t, old, current)
}

func TestAnAutomaticRotationObeysCasAndIsAlwaysVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.importKey(t, nil)
	_, err := w.Write(t.Context(), "tokens/key/rotate", fields{"cas": 7})
	refused(t, err, http.StatusBadRequest, "cas is 7", "current version is 1", "nothing was changed")
	_, err = w.Write(t.Context(), "tokens/key/rotate", fields{"verify": false})
	refused(t, err, http.StatusBadRequest, "verify=false", "always verified")
	_, err = w.Write(t.Context(), "tokens/key/rotate", fields{"retire_previous": "perhaps"})
	refused(t, err, http.StatusBadRequest, "retire_previous")
	w.hasKeys(t, old)
	has(t, w.data(t, "tokens/key"), fields{"version": 1, "rotation_state": "idle"})
	has(t, w.write(t, "tokens/key/rotate", fields{"cas": 1}).Data, fields{"version": 2})
}
