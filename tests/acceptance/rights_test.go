//go:build unix

package acceptance

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// rightsWorld has service accounts of which keyadmin alone may manage keys, and an account gadm that acts as keyadmin.
func rightsWorld(t *testing.T, settings fields, serviceAccounts ...string) (w *world, files map[string][]byte) {
	t.Helper()
	w, files = newWorld(t), map[string][]byte{}
	account := w.keyAccount()
	account["service_account_key"] = string(done(w.sim.CreateServiceAccount(t.Context(), "keyadmin"))(t))
	maps.Copy(account, settings)
	w.write(t, "config/gadm", account)
	for _, name := range serviceAccounts {
		files[name] = done(w.sim.CreateServiceAccount(t.Context(), name))(t)
		succeeded(t, w.sim.SetKeyAdministration(t.Context(), name, simulator.KeyAdministrationDenied))
	}
	return w, files
}

// importKeyFile makes a token of gadm.
func (w *world) importKeyFile(t *testing.T, name string, file []byte, policy fields) {
	t.Helper()
	token := fields{"account": "gadm", "type": "service_account_key", "service_account_key": string(file)}
	maps.Copy(token, policy)
	w.write(t, "tokens/"+name, token)
}

// edited is a key file with other members.
func edited(t *testing.T, file []byte, changes fields) []byte {
	t.Helper()
	var members fields
	succeeded(t, json.Unmarshal(file, &members))
	for name, value := range changes {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	text, err := json.Marshal(members)
	succeeded(t, err)
	return text
}

// reversed is a key file with its members in the opposite order, and white space.
func reversed(t *testing.T, file []byte) []byte {
	t.Helper()
	var members map[string]json.RawMessage
	succeeded(t, json.Unmarshal(file, &members))
	names := slices.Sorted(maps.Keys(members))
	slices.Reverse(names)
	var text bytes.Buffer
	for i, name := range names {
		fmt.Fprintf(&text, "%s\n    %q : %s", []string{"{", ","}[min(i, 1)], name, members[name])
	}
	text.WriteString("\n}\n")
	return text.Bytes()
}

// ownPrivateKey is an RSA key that the provider does not know.
func ownPrivateKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	succeeded(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	succeeded(t, err)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return vaulttest.Secret(t, "private key of an attacker", text)
}

// evilTokenEndpoint grants everybody an access token of the key file's service account, as an attacker's would.
func evilTokenEndpoint(t *testing.T, w *world, file []byte) string {
	t.Helper()
	w.importKeyFile(t, "attackers-own", file, nil)
	access := fmt.Sprint(w.data(t, "access-token/attackers-own")["access_token"])
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(out).Encode(fields{"access_token": access, "token_type": "Bearer", "expires_in": 3600}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/token"
}

// Without a token_url of the account a key file says itself where it is proven.
func TestRights_AKeyFileThatProvesItselfBorrowsNone(t *testing.T) {
	t.Parallel()
	w, files := rightsWorld(t, fields{"token_url": ""}, "victim", "mallory", "app")
	evil := evilTokenEndpoint(t, w, files["mallory"])
	forged := edited(t, files["victim"], fields{
		"private_key_id": strings.Repeat("0", 40), "private_key": ownPrivateKey(t), "token_uri": evil,
	})
	before := w.keysThere(t, "victim")
	for name, handIn := range map[string]func(){
		"at a rotation": func() {
			w.importKeyFile(t, "app", files["app"], fields{"rotation_grace_period": "1h"})
			_, _ = w.Write(t.Context(), "tokens/app/rotate", fields{"service_account_key": string(forged), "accept_other_identity": true}) // may be refused
		},
		"at an import": func() {
			_, _ = w.Write(t.Context(), "tokens/forged", fields{ // may be refused
				"account": "gadm", "type": "service_account_key", "service_account_key": string(forged),
			})
		},
	} {
		handIn()
		for _, token := range []string{"app", "forged"} {
			if _, err := w.Read(t.Context(), "tokens/"+token); err != nil {
				continue
			}
			_, _ = w.Write(t.Context(), "tokens/"+token+"/verify", nil)
			_, _ = w.Write(t.Context(), "tokens/"+token+"/rotate", nil) // is refused, where the forged key is current
		}
		if got := w.keysThere(t, "victim"); !slices.Equal(got, before) {
			t.Errorf("%s: the victim has the keys %v instead of %v", name, got, before)
		}
	}
	_, err := w.Write(t.Context(), "tokens/app/rotate", nil)
	if err == nil {
		t.Error("a rotation of a key that proved itself was done")
	}
}

func TestRights_AValueThatWasNeverProvenIsRetiredByItsOwnRight(t *testing.T) {
	t.Parallel()
	// Each publishes the value after the forged one.
	tests := map[string]func(t *testing.T, w *world, mallory []byte){
		"at the next hand-in": func(t *testing.T, w *world, mallory []byte) {
			_, err := w.Write(t.Context(), "tokens/app/rotate", fields{"service_account_key": string(mallory), "retire_previous": true})
			refused(t, err, http.StatusBadRequest, "version 2 was never proven", "verify", "delete key")
		},
		"at the token's end": func(t *testing.T, w *world, mallory []byte) {
			w.write(t, "tokens/app/rotate", fields{"service_account_key": string(mallory), "accept_other_identity": true})
			w.remove(t, "tokens/app")
		},
		"at a rotation by the engine": func(t *testing.T, w *world, mallory []byte) {
			_, err := w.Write(t.Context(), "tokens/app/rotate", nil)
			refused(t, err, http.StatusBadRequest, "nothing was changed")
		},
	}
	for name, handIn := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, files := rightsWorld(t, nil, "victim", "mallory", "app")
			w.importKeyFile(t, "app", files["app"], fields{"rotation_grace_period": 1})
			forged := edited(t, files["victim"], fields{"private_key": ownPrivateKey(t)})
			_, err := w.Write(t.Context(), "tokens/app/rotate", fields{"service_account_key": string(forged)})
			refused(t, err, http.StatusBadRequest)
			w.write(t, "tokens/app/rotate", fields{"service_account_key": string(forged), "verify": false})
			handIn(t, w, files["mallory"])
			// What the engine retires by right goes on meanwhile.
			w.importKeyFile(t, "other", done(w.sim.CreateServiceAccount(t.Context(), "other"))(t), fields{"rotation_grace_period": 1})
			w.write(t, "tokens/other/rotate", nil)
			w.awaitState(t, "other", "idle")
			if got := w.keysThere(t, "victim"); !slices.Equal(got, []string{keyID(t, files["victim"])}) {
				t.Errorf("the victim has the keys %v", got)
			}
		})
	}
}

// A proven key that may not manage keys is retired with the account's rights, also behind one of another owner.
func TestRights_AProvenValueIsRetiredWithTheAccounts(t *testing.T) {
	t.Parallel()
	w, files := rightsWorld(t, nil, "old", "new")
	w.importKeyFile(t, "app", files["old"], fields{"rotation_grace_period": 1})
	w.write(t, "tokens/app/rotate", fields{"service_account_key": string(files["new"]), "retire_previous": true, "accept_other_identity": true})
	has(t, w.awaitState(t, "app", "idle"), fields{"last_error": "", "version": 2})
	if old, now := w.keysThere(t, "old"), w.keysThere(t, "new"); len(old) != 0 || len(now) != 1 {
		t.Errorf("the old service account has the keys %v, the new one %v", old, now)
	}
}

func TestSearch_LeavesTheKeysOfAnotherServiceAccountAlone(t *testing.T) {
	t.Parallel()
	for name, account := range map[string]string{"the account may act": "gadm", "nobody may act": "plain"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, files := rightsWorld(t, nil, "news")
			w.write(t, "config/plain", w.keyAccount())
			old := done(w.sim.CreateServiceAccount(t.Context(), "olds"))(t)
			w.write(t, "tokens/srch", fields{"account": account, "type": "service_account_key", "service_account_key": string(old)})
			lost := simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultDropAfter, Method: http.MethodPost, Times: 1}
			down := simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultStatus, Status: 503, Method: http.MethodGet, Skip: 1}
			succeeded(t, w.sim.InjectFault(t.Context(), lost))
			succeeded(t, w.sim.InjectFault(t.Context(), down))
			w.startRotation(t, "srch", nil)
			w.awaitToken(t, "srch", "have a problem", func(token fields) bool { return token["last_error"] != "" })

			second := done(w.sim.CreateServiceAccountKey(t.Context(), "news"))(t)
			w.write(t, "tokens/srch/rotate", fields{"service_account_key": string(files["news"]), "reason": "moved to a new service account", "accept_other_identity": true})
			succeeded(t, w.sim.ClearFaults(t.Context()))
			token := w.awaitState(t, "srch", "idle")
			if got, want := w.keysThere(t, "news"), []string{keyID(t, files["news"]), keyID(t, second)}; !slices.Equal(got, want) {
				t.Errorf("the new service account has the keys %v instead of %v", got, want)
			}
			made := done(w.sim.ServiceAccountKeys(t.Context(), "olds"))(t)
			if len(made) != 2 {
				t.Fatalf("the old service account has had %d keys instead of 2", len(made))
			}
			cleanups := asJSON(t, w.data(t, "tokens/srch/history")["cleanups"])
			if account == "plain" {
				mentions(t, "the last error", fmt.Sprint(token["last_error"]), "olds@", "nothing was deleted", "made between")
				return
			}
			if there := w.keysThere(t, "olds"); !slices.Equal(there, []string{keyID(t, old)}) {
				t.Errorf("the old service account has the keys %v", there)
			}
			mentions(t, "the history", cleanups, made[1].ID, "olds@", "deleted_at")
		})
	}
}

// Two tokens of one service account rotate in the same second, and one of the requests fails.
func TestHolders_AKeyOfAnotherTokenIsNoOrphan(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]simulator.Fault{
		"no key was made":     {Kind: simulator.FaultStatus, Status: 503},
		"its answer was lost": {Kind: simulator.FaultDropAfter},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, files := rightsWorld(t, nil, "s")
			second := done(w.sim.CreateServiceAccountKey(t.Context(), "s"))(t)
			w.importKeyFile(t, "ta", files["s"], nil)
			w.importKeyFile(t, "tb", second, nil)
			kind.Service, kind.Method, kind.Times = simulator.GoogleIAM, http.MethodPost, 1
			succeeded(t, w.sim.InjectFault(t.Context(), kind))
			first := w.startRotation(t, "ta", nil)
			w.awaitToken(t, "ta", "have a problem", func(token fields) bool { return token["last_error"] != "" || token["version"] != json.Number("1") })
			has(t, w.write(t, "tokens/tb/rotate", nil).Data, fields{"version": 2})
			has(t, first.succeeds(t), fields{"version": 2})
			for _, token := range []string{"ta", "tb"} {
				has(t, w.write(t, "tokens/"+token+"/verify", nil).Data, fields{"outcome": "accepted", "version": 2})
			}
		})
	}
}

func TestHolders_TwoOfOneKeyDoNotEndIt(t *testing.T) {
	t.Parallel()
	w, files := rightsWorld(t, nil, "s")
	w.importKeyFile(t, "ta", files["s"], fields{"rotation_grace_period": 1})
	warnsAmongOthers(t, w.write(t, "tokens/tb", fields{
		"account": "gadm", "type": "service_account_key", "service_account_key": string(reversed(t, files["s"])), "rotation_grace_period": 1,
	}).Warnings, "the same value is held by", `token "ta"`)

	has(t, w.write(t, "tokens/ta/rotate", nil).Data, fields{"version": 2})
	token := w.awaitToken(t, "ta", "wait for tb", func(token fields) bool { return token["last_error"] != "" })
	mentions(t, "the last error", fmt.Sprint(token["last_error"]), "version 1 is not retired", `token "tb"`)
	has(t, w.write(t, "tokens/tb/verify", nil).Data, fields{"outcome": "accepted"})

	// Once nobody lives on it, it is retired.
	has(t, w.write(t, "tokens/tb/rotate", nil).Data, fields{"version": 2})
	for _, name := range []string{"ta", "tb"} {
		has(t, w.awaitState(t, name, "idle"), fields{"last_error": ""})
		has(t, w.history(t, name)[0], fields{"retired_how": "retired by the engine"})
		has(t, w.write(t, "tokens/"+name+"/verify", nil).Data, fields{"outcome": "accepted"})
	}
	if there := w.keysThere(t, "s"); len(there) != 2 {
		t.Errorf("the service account has the keys %v", there)
	}
}

func TestHolders_AnAccountLivesOnItsIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := done(w.sim.CreateServiceAccount(t.Context(), "s"))(t)
	account := w.keyAccount()
	account["service_account_key"] = string(file)
	w.write(t, "config/gadm", account)
	warnsAmongOthers(t, w.write(t, "tokens/ta", fields{
		"account": "gadm", "type": "service_account_key", "service_account_key": string(reversed(t, file)), "rotation_grace_period": 1,
	}).Warnings, "the same value is held by", `account "gadm"`)
	w.write(t, "tokens/ta/rotate", nil)
	token := w.awaitToken(t, "ta", "wait for the account", func(token fields) bool { return token["last_error"] != "" })
	mentions(t, "the last error", fmt.Sprint(token["last_error"]), "version 1 is not retired", `account "gadm"`)

	// A token that goes leaves the account what it lives on.
	mentions(t, "the warnings", strings.Join(w.remove(t, "tokens/ta").Warnings, "\n"), `account "gadm" lives on the same value`)
	if there := w.keysThere(t, "s"); !slices.Contains(there, keyID(t, file)) {
		t.Errorf("the account's key is gone: %v", there)
	}

	// The other way round, the account's write says so.
	other := done(w.sim.CreateServiceAccountKey(t.Context(), "s"))(t)
	w.importKeyFile(t, "tb", other, nil)
	mentions(t, "the warnings", strings.Join(w.write(t, "config/gadm", fields{"service_account_key": string(other)}).Warnings, "\n"), `token "tb"`)
}

func TestIdentity_TheSameKeyInAnotherSpellingIsTheSameValue(t *testing.T) {
	t.Parallel()
	for name, spell := range map[string]func(*testing.T, []byte) []byte{
		"members in another order": reversed,
		"another token_uri": func(t *testing.T, file []byte) []byte {
			return edited(t, file, fields{"token_uri": "https://oauth2.googleapis.com/token"})
		},
		"no token_uri": func(t *testing.T, file []byte) []byte { return edited(t, file, fields{"token_uri": nil}) },
		"a new member": func(t *testing.T, file []byte) []byte { return edited(t, file, fields{"universe_domain": "example"}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, files := rightsWorld(t, nil, "s")
			w.importKeyFile(t, "t", files["s"], fields{"rotation_grace_period": 1})
			for _, retire := range []bool{true, false} {
				_, err := w.Write(t.Context(), "tokens/t/rotate", fields{"service_account_key": string(spell(t, files["s"])), "retire_previous": retire})
				refused(t, err, http.StatusBadRequest, "the current credential already", "nothing was changed")
			}
			has(t, w.data(t, "tokens/t"), fields{"version": 1, "rotation_state": "idle"})
			has(t, w.write(t, "tokens/t/verify", nil).Data, fields{"outcome": "accepted"})
		})
	}
}

// A private part that was damaged on the way is repaired by the right one of the same key, which is not ended by that.
func TestIdentity_ADamagedKeyIsReplacedByItself(t *testing.T) {
	t.Parallel()
	w, files := rightsWorld(t, nil, "s")
	damaged := edited(t, files["s"], fields{"private_key": ownPrivateKey(t)})
	w.importKeyFile(t, "t", damaged, fields{"rotation_grace_period": 1, "verify": false})
	_, err := w.Write(t.Context(), "tokens/t/rotate", fields{"service_account_key": string(files["s"]), "retire_previous": true})
	refused(t, err, http.StatusBadRequest, "the end of both", "retire_previous")
	has(t, w.write(t, "tokens/t/rotate", fields{"service_account_key": string(files["s"])}).Data, fields{"version": 2, "verification": "accepted"})
	has(t, w.data(t, "tokens/t"), fields{"rotation_state": "idle", "health": "ok"})
}

func TestHolders_TwoTokensOfOneConsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := w.importApp(t, fields{"rotation_grace_period": 1})
	second := fields{
		"account": "google", "type": "oauth_client", "rotation_grace_period": 1,
		"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	}
	warnsAmongOthers(t, w.write(t, "tokens/second", second).Warnings, "the same value is held by", `token "oauth"`)
	renewed := done(w.sim.NewConsent(t.Context(), appClient))(t)
	rotated := w.write(t, "tokens/oauth/rotate", fields{"refresh_token": renewed.RefreshToken, "revoke_previous": true})
	mentions(t, "the warnings", strings.Join(rotated.Warnings, "\n"), "may end others of the same user and client")
	token := w.awaitToken(t, "oauth", "wait for second", func(token fields) bool { return token["last_error"] != "" })
	mentions(t, "the last error", fmt.Sprint(token["last_error"]), `token "second"`)
	has(t, w.write(t, "tokens/second/verify", nil).Data, fields{"outcome": "accepted"})
	w.remove(t, "tokens/second")
	has(t, w.awaitState(t, "oauth", "idle"), fields{"last_error": "", "health": "ok"})
	if done(w.sim.Ledger(t.Context()))(t).IsLive(client.RefreshToken) {
		t.Error("the old refresh token was never revoked")
	}
}

func TestRevocation_ThatEndsTheNewValueRaisesTheAlarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importApp(t, fields{"rotation_grace_period": 1})
	renewed := done(w.sim.NewConsent(t.Context(), appClient))(t)
	w.write(t, "tokens/oauth/rotate", fields{"refresh_token": renewed.RefreshToken, "revoke_previous": true})
	succeeded(t, w.sim.WithdrawConsent(t.Context(), appClient)) // of the user, for all grants of the client
	token := w.awaitState(t, "oauth", "idle")
	has(t, token, fields{"health": "rejected"})
	mentions(t, "the last error", fmt.Sprint(token["last_error"]), "version 2 has stopped to work with the end of version 1")
	_, warnings := w.read(t, "creds/oauth")
	if len(warnings) == 0 {
		t.Error("creds/ does not warn")
	}
}

func TestRetiring_HasABound(t *testing.T) {
	t.Parallel()
	w, files := rightsWorld(t, nil, "s")
	w.importKeyFile(t, "t", files["s"], fields{"rotation_grace_period": "1h"})
	var last []byte
	for i := range 10 {
		succeeded(t, w.sim.DeleteServiceAccountKey(t.Context(), simulator.KeyName{ServiceAccount: "s", ID: w.keysThere(t, "s")[0]}))
		last = done(w.sim.CreateServiceAccountKey(t.Context(), "s"))(t)
		has(t, w.write(t, "tokens/t/rotate", fields{"service_account_key": string(last), "retire_previous": true}).Data, fields{"version": i + 2})
	}
	next := done(w.sim.CreateServiceAccountKey(t.Context(), "s"))(t)
	_, err := w.Write(t.Context(), "tokens/t/rotate", fields{"service_account_key": string(next), "retire_previous": true})
	refused(t, err, http.StatusBadRequest, "10 old values", "version 1", "version 10")
	_, err = w.Write(t.Context(), "tokens/t/rotate", nil)
	refused(t, err, http.StatusBadRequest, "10 old values")
	has(t, w.write(t, "tokens/t/rotate", fields{"service_account_key": string(next)}).Data, fields{"version": 12})
}

// An answer that may have been lost leaves a key that no list shows yet.
func TestDelete_NamesAKeyThatMayStillAppear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importKey(t, nil)
	down := simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultStatus, Status: 503, Method: http.MethodPost, Times: 1}
	succeeded(t, w.sim.InjectFault(t.Context(), down))
	has(t, w.write(t, "tokens/key/rotate", nil).Data, fields{"version": 2})
	_, err := w.Delete(t.Context(), "tokens/key")
	refused(t, err, http.StatusBadGateway, "was not deleted", "a key of", "may have been made", "force=true")
}
