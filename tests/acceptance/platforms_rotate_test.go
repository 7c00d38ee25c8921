//go:build unix

package acceptance

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestPlatforms_OutbrainsTokenIsReplacedByALogin(t *testing.T) {
	t.Parallel()
	w := imported(t, cataloguedTypes["Outbrain"])
	old := w.credential.Fields(t)["ob_token_v1"]
	const login = "GET /amplify/v0.1/login"
	if n := w.platform.Count(t, login); n != 0 {
		t.Errorf("the import and its verification made %d logins", n)
	}
	has(t, w.write(t, "tokens/app/rotate", nil).Data, fields{"version": 2, "verification": "accepted"})
	fresh := w.data(t, "creds/app")["ob_token_v1"]
	if fresh == old || fresh != w.credential.Fields(t)["ob_token_v1"] {
		t.Error("creds/ does not have the token of the login")
	}
	if !w.credential.IsLive(t, "ob_token_v1", old) {
		t.Error("the token before is dead, though another login leaves it alive")
	}
	has(t, w.history(t, "app")[1], fields{"source": "api"})

	// There are two logins an hour. The third one is put off, and the current token stays.
	w.write(t, "tokens/app/rotate", nil)
	before := w.data(t, "creds/app")
	_, err := w.Write(t.Context(), "tokens/app/rotate", nil)
	refused(t, err, http.StatusBadGateway, "limits the rate")
	has(t, w.data(t, "creds/app"), fields{"ob_token_v1": before["ob_token_v1"], "version": 3})
	if n := w.platform.Count(t, login); n != 3 {
		t.Errorf("three rotations made %d logins", n)
	}
}

func TestPlatforms_OutbrainsLostLoginIsRepeated(t *testing.T) {
	t.Parallel()
	w := imported(t, cataloguedTypes["Outbrain"])
	w.platform.Fail(t, simulator.Fault{Kind: simulator.FaultDropAfter, Path: "/login", Times: 1})
	_, _ = w.Write(t.Context(), "tokens/app/rotate", nil) // with the lost answer, or without
	token := w.awaitToken(t, "app", "reach version 2", reached(2))
	has(t, token, fields{"health": "ok"})
	has(t, w.data(t, "creds/app"), fields{"ob_token_v1": w.credential.Fields(t)["ob_token_v1"]})
}

func TestPlatforms_TUNEsKeyReplacesItself(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"TUNE, network", "TUNE, affiliate"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := imported(t, cataloguedTypes[name])
			old := w.credential.Fields(t)[w.replaced]
			rotated := w.write(t, "tokens/app/rotate", fields{"reason": "quarterly"}).Data
			has(t, rotated, fields{"version": 2, "verification": "accepted", "previous_credential": "rejected by provider"})
			has(t, w.data(t, "creds/app"), fields{w.replaced: w.credential.Fields(t)[w.replaced]})
			if w.credential.IsLive(t, w.replaced, old) {
				t.Error("the key before is alive")
			}

			w.credential.Deny(t, true)
			before := w.snapshot(t)
			_, err := w.Write(t.Context(), "tokens/app/rotate", nil)
			refused(t, err, http.StatusBadRequest, "does not let the key replace itself")
			has(t, w.data(t, "creds/app"), fields{w.replaced: before["creds/app"].(fields)[w.replaced], "version": 2})
		})
	}
}

// TestPlatforms_TUNEsLostKeyIsAPersonsBusiness loses the only copy of the new key. The engine cannot have it, and must not pretend.
func TestPlatforms_TUNEsLostKeyIsAPersonsBusiness(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]simulator.Fault{
		"the connection ends":   {Kind: simulator.FaultDropAfter},
		"half an answer":        {Kind: simulator.FaultHalfBody},
		"a page instead of it":  {Kind: simulator.FaultWrongContentType},
		"garbage instead of it": {Kind: simulator.FaultGarbage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := imported(t, cataloguedTypes["TUNE, network"])
			fault.Method, fault.Times = http.MethodPost, 1
			w.platform.Fail(t, fault)
			_, err := w.Write(t.Context(), "tokens/app/rotate", nil)
			if err == nil {
				t.Fatal("the rotation is said to have succeeded")
			}
			refusedWith(t, err, "tokens/app/rotate")
			if n := w.platform.Count(t, "/Apiv3/json"); n < 2 {
				t.Errorf("the platform got %d requests", n)
			}
			asked := posts(t, w)
			has(t, w.data(t, "creds/app"), fields{"version": 1})
			if fault.Kind != simulator.FaultGarbage { // which TUNE answers without having acted
				has(t, w.write(t, "tokens/app/verify", nil).Data, fields{"outcome": "rejected"})
				has(t, w.data(t, "tokens/app"), fields{"health": "rejected"})
			}
			if again := posts(t, w); again != asked {
				t.Errorf("the key was regenerated %d times more", again-asked)
			}

			// A person takes the key from the console.
			fresh := w.credential.Fields(t)["network_token"]
			if fault.Kind == simulator.FaultGarbage {
				fresh = w.credential.Reset(t)["network_token"]
			}
			rotated := w.write(t, "tokens/app/rotate", fields{"network_token": fresh, "reason": "from the console"}).Data
			has(t, rotated, fields{"version": 2, "verification": "accepted"})
			has(t, w.data(t, "creds/app"), fields{"network_token": fresh})
			has(t, w.data(t, "tokens/app"), fields{"health": "ok", "rotation_state": "idle"})
		})
	}
}

// posts counts the calls that regenerate a key, those that met a fault aside.
func posts(t *testing.T, w *onPlatform) int {
	t.Helper()
	n := 0
	for _, call := range w.platform.Calls(t) {
		if call.Method == http.MethodPost {
			n++
		}
	}
	return n
}

// refusedWith wants an error of any status with each of the words.
func refusedWith(t *testing.T, err error, words ...string) {
	t.Helper()
	mentions(t, "the message", err.Error(), words...)
}

// acmeDefinition is the document that the demo uses.
func acmeDefinition(t *testing.T) string {
	t.Helper()
	return string(done(os.ReadFile(filepath.Join(docsRoot, "scripts", "acme_ads.yaml")))(t))
}

// newAcme defines the platform on the spot, and configures an account.
func newAcme(t *testing.T, definition string) *onPlatform {
	t.Helper()
	w := &onPlatform{world: newWorld(t), catalogued: catalogued{provider: "acme_ads", kind: "api_key", replaced: "api_key"}}
	w.platform = w.sim.Platform("acme_ads")
	w.credential = w.platform.Make(t, "api_key", "app")
	w.write(t, "providers/acme_ads", fields{"definition": definition})
	w.write(t, "config/shop", fields{"provider": "acme_ads", "base_url": w.platform.URL, "region": "us"})
	return w
}

func TestPlatforms_APlatformIsDefinedOnTheSpot(t *testing.T) {
	t.Parallel()
	w := newAcme(t, acmeDefinition(t))
	has(t, w.data(t, "providers/acme_ads"), fields{"origin": "custom", "title": "Acme Ads API"})
	has(t, w.write(t, "tokens/app", w.token(t, nil)).Data, fields{"verification": "accepted"})
	issued := w.credential.Fields(t)
	has(t, w.data(t, "creds/app"), fields{
		"key_id": issued["key_id"], "api_key": issued["api_key"], "account_url": w.platform.URL + "/v2/AMER", "version": 1,
	})

	fresh := w.credential.Reset(t)
	has(t, w.verify(t, "app", "rejected", "Acme refuses the key"), fields{"provider_code": "190"})
	has(t, w.write(t, "tokens/app/rotate", fields{"api_key": fresh["api_key"]}).Data, fields{
		"version": 2, "verification": "accepted", "previous_credential": "rejected by provider",
	})
	has(t, w.write(t, "tokens/app/rotate", nil).Data, fields{"version": 3, "verification": "accepted", "previous_credential": "rejected by provider"})
	has(t, w.data(t, "creds/app"), fields{"key_id": issued["key_id"], "api_key": w.credential.Fields(t)["api_key"]})

	// A key of somebody else's account is no successor.
	other := w.platform.Make(t, "api_key", "other").Fields(t)
	_, err := w.Write(t.Context(), "tokens/app/rotate", fields{"key_id": other["key_id"], "api_key": other["api_key"]})
	refused(t, err, http.StatusBadRequest, "account")
	has(t, w.data(t, "tokens/app"), fields{"version": 3})
}

// overlapping is a definition of the same platform that adds a key, and ends the one before after the grace period.
const overlapping = `
format: 1
name: acme_ads
title: Acme Ads API
sources: [{title: Acme API guide, url: https://docs.acme.example/auth, read: 2026-11-26}]
account:
  endpoints: {base_url: {default: https://api.acme.example, description: Address of the API.}}
  settings: {region: {choices: {eu: EMEA, us: AMER}, default: eu, description: Region.}}
token_types:
  api_key:
    title: API key
    description: A key of the account.
    reset_semantics: overlapping
    fields:
      key_id: {pattern: 'K[0-9]{8}', form: K and 8 digits, description: Name of the key.}
      api_key: {secret: true, description: The key.}
    verify:
      request: {url: '{+account.base_url}/v2/{account.region}/me', headers: {X-Key: '{credential.api_key}'}}
      outcomes:
        - {when: status == 200, outcome: accepted, detail: Acme accepts the key}
        - {when: status == 401, outcome: rejected, detail: Acme refuses the key}
      identity: body.account_id
    rotate:
      request: {method: POST, url: '{+account.base_url}/v2/keys', bearer: '{credential.api_key}'}
      outcomes:
        - {when: status == 201, outcome: replaced}
        - {when: status == 403, outcome: refused, detail: the key may not make others}
      credential: {key_id: body.key_id, api_key: body.key}
      lost_answer: repeat
    revoke:
      request: {method: DELETE, url: '{+account.base_url}/v2/keys/{credential.key_id}', bearer: '{current.api_key}'}
      outcomes:
        - {when: 'status in [200, 204, 404]', outcome: done}
        - {when: status == 403, outcome: refused, detail: the key may not end others}
    runbook: {steps: [Make a key.], previous: Works until it is ended.}
`

func TestPlatforms_AnOldValueIsRevokedAfterTheGracePeriod(t *testing.T) {
	t.Parallel()
	w := newAcme(t, overlapping)
	w.write(t, "tokens/app", w.token(t, fields{"rotation_grace_period": 2}))
	old := w.credential.Fields(t)
	has(t, w.write(t, "tokens/app/rotate", nil).Data, fields{"version": 2, "verification": "accepted"})
	if !w.credential.IsLive(t, "api_key", old["api_key"]) {
		t.Error("the old key is dead before the end of its grace period")
	}
	fresh := w.credential.Fields(t)
	has(t, w.data(t, "creds/app"), fields{"key_id": fresh["key_id"], "api_key": fresh["api_key"]})
	vaulttest.Await(t, "the old key to be revoked", func() bool { return !w.credential.IsLive(t, "api_key", old["api_key"]) })
	vaulttest.Await(t, "the history to say so", func() bool { return w.history(t, "app")[0]["retired_how"] == "retired by the engine" })
	if !w.credential.IsLive(t, "api_key", fresh["api_key"]) {
		t.Error("the new key is dead")
	}
	has(t, w.write(t, "tokens/app/verify", nil).Data, fields{"outcome": "accepted", "version": 2})
}

func TestPlatforms_ARefusedRevocationIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	w := newAcme(t, overlapping)
	w.write(t, "tokens/app", w.token(t, fields{"rotation_grace_period": 1}))
	old := w.credential.Fields(t)
	w.platform.Fail(t, simulator.Fault{Kind: simulator.FaultStatus, Status: http.StatusForbidden, Method: http.MethodDelete})
	w.write(t, "tokens/app/rotate", nil)
	vaulttest.Await(t, "the revocation to be refused", func() bool { return w.platform.Count(t, "DELETE /v2/keys/{key_id}") > 0 })
	vaulttest.Await(t, "somebody to be told", func() bool {
		_, warnings := w.read(t, "tokens/app")
		return len(warnings) > 0
	})
	w.platform.Recover(t)
	vaulttest.Await(t, "the old key to be revoked", func() bool { return !w.credential.IsLive(t, "api_key", old["api_key"]) })
}
