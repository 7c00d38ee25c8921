//go:build unix

package acceptance

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// hook is a company's automation: it resets tokens at the simulated console, once for each idempotency key.
type hook struct {
	t       *testing.T
	console *vaulttest.Simulator
	server  *httptest.Server
	// caCert is the PEM of the server's certificate, empty for plain HTTP.
	caCert   string
	secret   string
	verifier *standardwebhooks.Webhook

	mu sync.Mutex
	// script are the next answers, in order. When it is used up the hook gives the credential.
	script []hookAnswer
	// requests are the events that came with a valid signature.
	requests []fields
	// resets are the credentials by idempotency key.
	resets map[string]map[string]string
}

// hookAnswer is what the hook does instead of giving the credential: an HTTP status, a body that goes with it, or
//
//	hang   no answer at all, though the reset is done
//	abort  the connection closed, though the reset is done
type hookAnswer struct {
	status int
	body   string
}

const (
	hang  = -1
	abort = -2
)

func startHook(t *testing.T, w *world, script ...hookAnswer) *hook {
	t.Helper()
	h := newHook(t, w, script...)
	h.server = httptest.NewServer(h)
	t.Cleanup(h.server.Close)
	return h
}

func startTLSHook(t *testing.T, w *world) *hook {
	t.Helper()
	h := newHook(t, w)
	h.server = httptest.NewTLSServer(h)
	t.Cleanup(h.server.Close)
	h.caCert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw}))
	return h
}

func newHook(t *testing.T, w *world, script ...hookAnswer) *hook {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	secret := vaulttest.Secret(t, "reset hook's secret", base64.StdEncoding.EncodeToString(key))
	return &hook{
		t: t, console: w.sim, secret: "whsec_" + secret, script: script, resets: map[string]map[string]string{},
		verifier: done(standardwebhooks.NewWebhook(secret))(t),
	}
}

// fields configure the hook in an account.
func (h *hook) fields() fields {
	return fields{"reset_hook_url": h.server.URL + "/reset", "reset_hook_secret": h.secret, "reset_hook_ca_cert": h.caCert}
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || h.verifier.Verify(body, r.Header) != nil {
		http.Error(w, "not signed with the secret", http.StatusUnauthorized)
		return
	}
	var event fields
	if err := json.Unmarshal(body, &event); err != nil {
		http.Error(w, "no event", http.StatusBadRequest)
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if id := r.Header.Get("webhook-id"); key == "" || key != id || key != event["idempotency_key"] {
		h.t.Errorf("the idempotency keys %q, %q and %v differ", key, id, event["idempotency_key"])
	}
	answer, credential, err := h.perform(r, key, event)
	switch {
	case err != nil:
		http.Error(w, "the console failed", http.StatusInternalServerError)
	case answer.status == hang:
		<-r.Context().Done()
	case answer.status == abort:
		panic(http.ErrAbortHandler)
	case answer.status != 0:
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Location", h.server.URL)
		http.Error(w, answer.body, answer.status)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(credential) // whoever asked went away
	}
}

// perform remembers the event and has the console reset the token, unless that was done for the key already, or the
// answer is going to be that the hook will not do it.
func (h *hook) perform(r *http.Request, key string, event fields) (hookAnswer, map[string]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, event)
	var answer hookAnswer
	if len(h.script) > 0 {
		answer, h.script = h.script[0], h.script[1:]
	}
	refuses := answer.status >= 400 && answer.status < 500 && answer.status != http.StatusConflict
	if h.resets[key] == nil && !refuses {
		text := func(field string) string { s, _ := event[field].(string); return s }
		credential, err := h.console.HookReset(r.Context(), simulator.HookToken{
			TokenType: text("token_type"), AccountSID: text("account_sid"), LoginCustomerID: text("login_customer_id"),
		})
		if err != nil {
			return answer, nil, err
		}
		h.resets[key] = credential
	}
	return answer, h.resets[key], nil
}

// asked returns the events so far, and the credentials of the resets by idempotency key.
func (h *hook) asked() ([]fields, map[string]map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.requests), maps.Clone(h.resets)
}

// resetOnce fails the test unless the hook was asked so many times for one and the same reset, which it returns.
func (h *hook) resetOnce(t *testing.T, requests int) map[string]string {
	t.Helper()
	events, resets := h.asked()
	if len(events) != requests || len(resets) != 1 {
		t.Fatalf("the hook was asked %d times and made %d resets", len(events), len(resets))
	}
	key, _ := events[0]["idempotency_key"].(string)
	return resets[key]
}

// managerID is the id of the manager account in the simulated world.
func (w *world) managerID(t *testing.T) string {
	t.Helper()
	var state struct {
		Google struct {
			ID string `json:"manager_customer_id"`
		} `json:"google"`
	}
	succeeded(t, json.Unmarshal(done(w.sim.State(t.Context()))(t), &state))
	return state.Google.ID
}

// addHook gives an account a hook, after the account has tokens.
func (w *world) addHook(t *testing.T, account string, h *hook) {
	t.Helper()
	data := h.fields()
	if account == "google" { // an address changes only together with the account's secrets
		google := w.googleFields(t)
		for _, secret := range []string{"client_secret", "refresh_token"} {
			data[secret] = google[secret]
		}
		data["login_customer_id"] = w.managerID(t)
	}
	w.write(t, "config/"+account, data)
}

func TestAHookReplacesWhatOnlyAConsoleCanReset(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		account, token, previous string
		// warned says that the previous value lives on, which a person has to know.
		warned bool
	}{
		"legacy_read_write": {account: "agency", token: "rw", previous: "rejected by provider"},
		"legacy_read_only":  {account: "agency", token: "ro", previous: "rejected by provider"},
		"scoped":            {account: "agency", token: "scoped", previous: "rejected by provider"},
		"developer_token":   {account: "google", token: "dev", previous: "rejected by provider"},
		"oauth_client":      {account: "google", token: "oauth", previous: "still accepted", warned: true},
	}
	for kind, tt := range tests {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.importLegacyTokens(t)
			w.importScopedToken(t)
			w.importOAuthClient(t, done(w.sim.OAuthClient(t.Context(), simulator.DefaultName))(t), nil)
			w.importDeveloperToken(t)
			before := w.data(t, "creds/"+tt.token)
			_, err := w.Write(t.Context(), "tokens/"+tt.token+"/rotate", nil)
			refused(t, err, http.StatusBadRequest, "a person has to reset", "tokens/"+tt.token+"/rotate")

			h := startHook(t, w)
			w.addHook(t, tt.account, h)
			has(t, w.data(t, "tokens/"+tt.token+"/rotate"), fields{"automatic": true})
			rotated := w.write(t, "tokens/"+tt.token+"/rotate", fields{"reason": "monthly", "cas": 1})
			has(t, rotated.Data, fields{
				"version": 2, "previous_version": 1, "verification": "accepted", "previous_credential": tt.previous, "rotation_state": "idle",
			})
			tellsNoSecret(t, "the answer", rotated.Data)
			if tt.warned {
				warns(t, rotated.Warnings, "version 1 is still accepted")
			} else {
				warnsNot(t, rotated)
			}

			creds := w.data(t, "creds/"+tt.token)
			for field, value := range h.resetOnce(t, 1) {
				has(t, creds, fields{field: value})
			}
			has(t, creds, fields{"version": 2, "fingerprint": rotated.Data["fingerprint"]})
			has(t, w.data(t, "tokens/"+tt.token), fields{"health": "ok", "last_error": "", "rotation_state": "idle"})
			versions := w.history(t, tt.token)
			has(t, versions[1], fields{"source": "hook", "reason": "monthly", "display_name": "token", "verification": "accepted"})
			if !tt.warned {
				has(t, versions[0], fields{"retired_how": "rejected by provider"})
			}

			events, _ := h.asked()
			want := fields{
				"type": "reset", "token": tt.token, "token_type": kind, "account": tt.account, "reason": "monthly",
				"idempotency_key": events[0]["idempotency_key"],
			}
			if tt.account == "google" {
				want["provider"], want["login_customer_id"] = "google_ads", w.managerID(t)
			} else {
				want["provider"], want["account_sid"] = "impact", before["account_sid"]
			}
			if asJSON(t, events[0]) != asJSON(t, want) {
				t.Errorf("the event is %s instead of %s", asJSON(t, events[0]), asJSON(t, want))
			}
		})
	}
}

func TestAHookIsNotAskedForAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importKey(t, nil)
	h := startHook(t, w)
	w.write(t, "config/google", h.fields())
	has(t, w.write(t, "tokens/key/rotate", nil).Data, fields{"version": 2})
	has(t, w.history(t, "key")[1], fields{"source": "iam"})
	if events, _ := h.asked(); len(events) > 0 {
		t.Errorf("the hook was asked: %v", events)
	}
}

func TestAHookIsAskedWithTheSameKeyUntilItGivesTheCredential(t *testing.T) {
	t.Parallel()
	for name, script := range map[string][]hookAnswer{
		"it is at work":            {{status: http.StatusAccepted}, {status: http.StatusAccepted}},
		"it is at work on the key": {{status: http.StatusConflict}},
		"it fails":                 {{status: http.StatusInternalServerError}, {status: http.StatusServiceUnavailable}},
		"its answer is lost":       {{status: abort}},
		"it is busy":               {{status: http.StatusTooManyRequests}},
		"a proxy redirects":        {{status: http.StatusTemporaryRedirect}},
		"its answer is garbage":    {{status: http.StatusOK, body: "<html>"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.importLegacyTokens(t)
			h := startHook(t, w, script...)
			w.addHook(t, "agency", h)
			has(t, w.write(t, "tokens/rw/rotate", nil).Data, fields{"version": 2, "previous_credential": "rejected by provider"})
			reset := h.resetOnce(t, len(script)+1)
			has(t, w.data(t, "creds/rw"), fields{"version": 2, "auth_token": reset["auth_token"]})
			has(t, w.data(t, "tokens/rw"), fields{"last_error": "", "rotation_state": "idle"})
		})
	}
}

func TestAHookThatWillNotDoItEndsTheRotation(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer hookAnswer
		words  []string
	}{
		"it refuses":         {answer: hookAnswer{status: http.StatusUnprocessableEntity}, words: []string{"refuses the reset", "HTTP 422"}},
		"it knows no token":  {answer: hookAnswer{status: http.StatusNotFound}, words: []string{"refuses the reset", "HTTP 404"}},
		"it knows not us":    {answer: hookAnswer{status: http.StatusForbidden}, words: []string{"refuses the request", "reset_hook_secret", "HTTP 403"}},
		"it gives no token":  {answer: hookAnswer{status: http.StatusOK, body: `{"account_sid":"IRq8mWJybvoQ1020978kbj7am8zzM2dBL1"}`}, words: []string{"auth_token must be there", "hand it in"}},
		"it gives no string": {answer: hookAnswer{status: http.StatusOK, body: `{"account_sid":["x"],"auth_token":{"a":1}}`}, words: []string{"auth_token must be there", "hand it in"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.importLegacyTokens(t)
			h := startHook(t, w, tt.answer)
			w.addHook(t, "agency", h)
			_, err := w.Write(t.Context(), "tokens/rw/rotate", nil)
			refused(t, err, http.StatusBadRequest, append(tt.words, "nothing was changed")...)
			token := w.data(t, "tokens/rw")
			has(t, token, fields{"version": 1, "rotation_state": "idle"})
			mentions(t, "last_error", fmt.Sprint(token["last_error"]), tt.words...)
			tellsNoSecret(t, "the token", token)

			// Another rotation is another reset, with another key.
			has(t, w.write(t, "tokens/rw/rotate", nil).Data, fields{"version": 2})
			events, _ := h.asked()
			if len(events) != 2 || events[0]["idempotency_key"] == events[1]["idempotency_key"] {
				t.Errorf("the hook was asked with %v", events)
			}
			has(t, w.data(t, "tokens/rw"), fields{"last_error": ""})
		})
	}
}

func TestAHookWithAnotherSecretRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	h := startHook(t, w)
	w.addHook(t, "agency", h)
	other := newHook(t, w)
	w.write(t, "config/agency", fields{"reset_hook_secret": other.secret})
	_, err := w.Write(t.Context(), "tokens/rw/rotate", nil)
	refused(t, err, http.StatusBadRequest, "nothing was changed", "reset_hook_secret", "HTTP 401")
	if events, resets := h.asked(); len(events) > 0 || len(resets) > 0 {
		t.Error("the hook took a request that was signed with another secret")
	}
}

func TestAHooksValueThatTheProviderRejectsWaitsUntilItIsValid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credentials := w.importLegacyTokens(t)
	h := startHook(t, w)
	w.addHook(t, "agency", h)
	rejecting := simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultStatus, Status: http.StatusUnauthorized}
	succeeded(t, w.sim.InjectFault(t.Context(), rejecting))
	rotation := w.startRotation(t, "rw", nil)
	token := w.awaitToken(t, "rw", "have a value that is rejected", func(token fields) bool {
		return token["rotation_state"] == "pending" && token["last_error"] != ""
	})
	mentions(t, "last_error", fmt.Sprint(token["last_error"]), "the provider rejects the new value")
	tellsNoSecret(t, "the token", token)
	has(t, w.data(t, "creds/rw"), fields{"version": 1, "auth_token": credentials.ReadWrite.AuthToken})
	status := w.data(t, "status")
	has(t, status, fields{"summary": fields{"total": 2, "ok": 2, "rejected": 0, "unverified": 0, "none": 0, "overdue": 0, "in_flight": 1}})
	tokens, _ := status["tokens"].(fields)
	shown, _ := tokens["rw"].(fields)
	has(t, shown, fields{"rotation_state": "pending", "last_error": token["last_error"]})

	succeeded(t, w.sim.ClearFaults(t.Context()))
	has(t, rotation.succeeds(t), fields{"version": 2, "verification": "accepted"})
	has(t, w.data(t, "creds/rw"), fields{"version": 2, "auth_token": h.resetOnce(t, 1)["auth_token"]})
	has(t, w.data(t, "tokens/rw"), fields{"rotation_state": "idle", "last_error": ""})
}

func TestAHooksRejectedValueGivesWayToTheNextRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credentials := w.importLegacyTokens(t)
	wrong := vaulttest.Secret(t, "wrong auth token of a hook", "wrongAuthTokenOfAHook")
	h := startHook(t, w, hookAnswer{status: http.StatusOK, body: fmt.Sprintf(`{"account_sid":%q,"auth_token":%q}`, credentials.ReadWrite.AccountSID, wrong)})
	w.addHook(t, "agency", h)
	first := w.startRotation(t, "rw", nil)
	w.awaitToken(t, "rw", "have a value that is rejected", func(token fields) bool {
		return token["rotation_state"] == "pending" && token["last_error"] != ""
	})
	has(t, w.write(t, "tokens/rw/rotate", fields{"reason": "again"}).Data, fields{"version": 2, "verification": "accepted"})
	events, resets := h.asked()
	if len(events) != 2 || len(resets) != 2 {
		t.Fatalf("the hook was asked %d times and made %d resets", len(events), len(resets))
	}
	second, _ := events[1]["idempotency_key"].(string)
	has(t, w.data(t, "creds/rw"), fields{"version": 2, "auth_token": resets[second]["auth_token"]})
	if versions := w.history(t, "rw"); len(versions) != 2 {
		t.Errorf("the history has %d versions", len(versions))
	}
	refused(t, (<-first.answer).err, http.StatusConflict, "another rotation")
}

func TestAPersonHandsTheValueInWhileTheHookFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	h := startHook(t, w, slices.Repeat([]hookAnswer{{status: http.StatusServiceUnavailable}}, 100)...)
	w.addHook(t, "agency", h)
	rotation := w.startRotation(t, "rw", nil)
	w.awaitToken(t, "rw", "fail to rotate", func(token fields) bool {
		return token["rotation_state"] == "requested" && token["last_error"] != ""
	})
	_, err := w.Write(t.Context(), "tokens/rw/rotate", nil)
	refused(t, err, http.StatusConflict, "under way", "HTTP 503")

	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	has(t, w.write(t, "tokens/rw/rotate", fields{"auth_token": reset.AuthToken}).Data, fields{"version": 2, "verification": "accepted"})
	has(t, w.data(t, "tokens/rw"), fields{"version": 2, "rotation_state": "idle", "last_error": "", "health": "ok"})
	has(t, w.data(t, "creds/rw"), fields{"auth_token": reset.AuthToken})
	has(t, w.history(t, "rw")[1], fields{"source": "assisted"})
	refused(t, (<-rotation.answer).err, http.StatusConflict, "handed in version 2", "ended this rotation")
}

func TestAHookOverTLSIsTrustedByItsOwnCA(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	h := startTLSHook(t, w)
	trusted := h.fields()
	untrusted := h.fields()
	untrusted["reset_hook_ca_cert"] = ""
	w.write(t, "config/agency", untrusted)
	rotation := w.startRotation(t, "rw", nil)
	token := w.awaitToken(t, "rw", "fail to rotate", func(token fields) bool { return token["last_error"] != "" })
	has(t, token, fields{"rotation_state": "requested"})
	mentions(t, "last_error", fmt.Sprint(token["last_error"]), "TLS certificate that is not trusted")

	w.write(t, "config/agency", trusted) // the rotation heals by itself
	has(t, rotation.succeeds(t), fields{"version": 2, "previous_credential": "rejected by provider"})
	has(t, w.data(t, "creds/rw"), fields{"auth_token": h.resetOnce(t, 1)["auth_token"]})
}

// startReferenceHook starts cmd/adtokens-hook, built, and returns its address.
func (w *world) startReferenceHook(t *testing.T, cmd *exec.Cmd, secret string) string {
	t.Helper()
	cmd.Args = append(cmd.Args, "-state", t.TempDir(), "-control", w.sim.ControlURL)
	cmd.Env = []string{"ADTOKENS_HOOK_SECRET=" + secret}
	program := vaulttest.StartProgram(t, cmd)
	var listening struct {
		URL string `json:"url"`
	}
	vaulttest.Await(t, "the hook to listen", func() bool {
		line, _, written := strings.Cut(program.Output(t), "\n")
		return written && json.Unmarshal([]byte(line), &listening) == nil
	})
	return listening.URL
}

// authTokens counts the values that impact.com has issued.
func (w *world) authTokens(t *testing.T) int {
	t.Helper()
	issued := 0
	for _, secret := range done(w.sim.Ledger(t.Context()))(t).Issued {
		if secret.Kind == "auth_token" {
			issued++
		}
	}
	return issued
}

func TestTheReferenceHookResetsALegacyToken(t *testing.T) {
	t.Parallel()
	binary := vaulttest.BuildProgram(t, "cmd/adtokens-hook", "adtokens-hook")
	for name, flags := range map[string][]string{
		"at once": nil, "while Vault asks again": {"-async", "-retry-after=1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			old := w.importLegacyTokens(t)
			secret := newHook(t, w).secret
			url := w.startReferenceHook(t, exec.Command(binary, flags...), secret)
			w.write(t, "config/agency", fields{"reset_hook_url": url, "reset_hook_secret": secret})
			issued := w.authTokens(t)

			w.vault(t, "write", "-f", w.Path+"/tokens/rw/rotate")
			now := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t)
			has(t, w.data(t, "creds/rw"), fields{"version": 2, "auth_token": now.ReadWrite.AuthToken})
			has(t, w.history(t, "rw")[0], fields{"retired_how": "rejected by provider"})
			if now.ReadOnly != old.ReadOnly {
				t.Error("the read-only token was reset as well")
			}
			if resets := w.authTokens(t) - issued; resets != 1 {
				t.Errorf("there were %d resets", resets)
			}
		})
	}
}
