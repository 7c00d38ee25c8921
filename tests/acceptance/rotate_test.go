//go:build unix

package acceptance

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestTheRunbookFitsTheTokenAndItsAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(t, "config/google", w.googleFields(t))
	for _, kind := range []simulator.AccountKind{simulator.Agency, simulator.Brand, simulator.Partner} {
		w.write(t, "config/"+string(kind), w.impactFields(kind))
	}
	pair := []string{"account_sid", "auth_token"}
	tests := map[string]struct {
		account, kind string
		console       string
		semantics     string
		fields        []string
		steps, notes  []string
		previous      string
	}{
		"developer token": {
			account: "google", kind: "developer_token", console: "ads.google.com/aw/apicenter", semantics: "immediate", fields: []string{"developer_token"},
			steps: []string{"123-456-7890", "API center", "Reset token", "developer_token=-"},
			notes: []string{"9 September 2026", "API contact email", "inconclusive"}, previous: "Invalid from the moment of the reset",
		},
		"read/write token of an agency": {
			account: "agency", kind: "legacy_read_write", console: "app.impact.com", semantics: "immediate", fields: pair,
			steps: []string{"Platform REST Web Services", "Legacy Account Tokens", "Reset (Read/Write)", "API Credentials", "auth_token=-"},
			notes: []string{"independent", "leaves the Read-Only token alone", "Enable Legacy Tokens"}, previous: "Invalid from the moment of the reset",
		},
		"read-only token of an agency": {
			account: "agency", kind: "legacy_read_only", console: "app.impact.com", semantics: "immediate", fields: pair,
			steps: []string{"Platform REST Web Services", "Reset (Read-Only)"},
			notes: []string{"independent", "leaves the Read/Write token alone"}, previous: "Invalid from the moment of the reset",
		},
		"read/write token of a brand": {
			account: "brand", kind: "legacy_read_write", console: "app.impact.com", semantics: "immediate", fields: pair,
			steps: []string{"user profile", "Technical", "auth_token=-"}, notes: []string{"independent", "brand"}, previous: "Invalid",
		},
		"read-only token of a partner": {
			account: "partner", kind: "legacy_read_only", console: "app.impact.com", semantics: "immediate", fields: pair,
			steps: []string{"user profile", "Technical", "auth_token=-"}, notes: []string{"independent", "partner"}, previous: "Invalid",
		},
		"scoped token": {
			account: "agency", kind: "scoped", console: "app.impact.com", semantics: "overlapping", fields: pair,
			steps: []string{"Duplicate", "Reset", "account_sid"}, notes: []string{"Disable", "403"}, previous: "until it is disabled or deleted",
		},
		"OAuth client": {
			account: "google", kind: "oauth_client", console: "console.cloud.google.com", semantics: "overlapping",
			fields: []string{"client_id", "client_secret", "refresh_token"},
			steps:  []string{"add a second secret", "new consent", "client_secret=-", "refresh_token=-"}, notes: []string{"disable the old one", "100 refresh tokens"},
			previous: "until it is disabled",
		},
		"service account key": {
			account: "google", kind: "service_account_key", console: "console.cloud.google.com", semantics: "overlapping",
			fields: []string{"service_account_key"},
			steps:  []string{"second key", "service_account_key=-"}, notes: []string{"at most 10 keys", "constraints/iam.disableServiceAccountKeyCreation"},
			previous: "Works until it is deleted",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := strings.NewReplacer(" ", "-", "/", "-").Replace(name)
			w.write(t, "tokens/"+token, fields{"account": tt.account, "type": tt.kind})
			runbook := w.data(t, "tokens/"+token+"/rotate")
			hasOnly(t, runbook, "runbook", "console_url", "role", "consent", "expires_at", "steps", "reset_semantics", "previous_credential", "fields", "automatic", "notes")
			// Not even a key rotates by itself before there is one.
			has(t, runbook, fields{"reset_semantics": tt.semantics, "fields": tt.fields, "automatic": false})
			mentions(t, "console_url", fmt.Sprint(runbook["console_url"]), "https://", tt.console)
			mentions(t, "previous_credential", fmt.Sprint(runbook["previous_credential"]), tt.previous)
			mentions(t, "steps", fmt.Sprint(runbook["steps"]), append(tt.steps, "tokens/"+token+"/rotate")...)
			mentions(t, "notes", fmt.Sprint(runbook["notes"]), tt.notes...)
			if steps, _ := runbook["steps"].([]any); len(steps) < 3 {
				t.Errorf("there are %d steps", len(steps))
			}
		})
	}
}

// TestRunbook_OfTheCommandLine does what the runbook says, as a person reads it.
func TestRunbook_OfTheCommandLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	w.write(t, "config/google", w.keyAccount())
	w.importKeyOf(t, simulator.DefaultName, "robot", nil)
	runbook := func(token string) string {
		output := w.CLI(t, vaulttest.Command{Args: []string{"read", "-field=runbook", w.Path + "/tokens/" + token + "/rotate"}})
		if output.ExitCode != 0 {
			vaulttest.Fatalf(t, "vault read -field=runbook: %s", output.Stderr)
		}
		for line := range strings.Lines(output.Stdout) {
			if width := utf8.RuneCountInString(line); width > 100 {
				t.Errorf("a line of the runbook has %d columns: %s", width, line)
			}
		}
		return output.Stdout
	}

	byHand := runbook("rw")
	mentions(t, "the runbook", byHand, "https://app.impact.com", "Invalid from the moment of the reset", "`auth_token=-`", "cas=1", "- ")
	for i, step := range []string{"Have a terminal", "Sign in", "On the Legacy", "Open the card", "Hand the new value in"} {
		mentions(t, "the runbook", "\n"+byHand, fmt.Sprintf("\n%d. %s", i+1, step))
	}
	fresh := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	_, command, found := strings.Cut(byHand, "    (read -rs value")
	command, _, _ = strings.Cut(command, "\n\n")
	if !found {
		vaulttest.Fatalf(t, "the runbook does not say how to hand the value in unseen:\n%s", byHand)
	}
	shell := exec.CommandContext(t.Context(), "bash", "-c", "(read -rs value"+command)
	shell.Stdin = strings.NewReader(fresh.AuthToken + "\n")
	shell.Env = []string{
		"PATH=" + filepath.Dir(vaulttest.VaultCommand(t)) + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "VAULT_ADDR=" + w.Address, "VAULT_TOKEN=" + w.Token,
	}
	if output, err := shell.CombinedOutput(); err != nil || strings.Contains(string(output), fresh.AuthToken) {
		vaulttest.Fatalf(t, "handing the value in as the runbook says ends with %v, or shows the value: %s", err, output)
	}
	has(t, w.data(t, "creds/rw"), fields{"version": 2, "auth_token": fresh.AuthToken})

	byItself := runbook("robot")
	if !strings.HasPrefix(byItself, "1. `vault write -f "+w.Path+"/tokens/robot/rotate`") {
		t.Errorf("the runbook of a key does not begin with its rotation:\n%s", byItself)
	}
}

func TestAnAssistedRotationPublishesTheNewValueAndFindsTheOldOneDead(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		// reset presses the button in the console, and returns what to hand in.
		reset func(*testing.T, *world) fields
		token string
		other string
	}{
		"developer token": {
			reset: func(t *testing.T, w *world) fields {
				return fields{"developer_token": done(w.sim.ResetDeveloperToken(t.Context()))(t)}
			},
			token: "dev", other: "rw",
		},
		"read/write token": {
			reset: func(t *testing.T, w *world) fields {
				return fields{"auth_token": done(w.sim.ResetReadWrite(t.Context(), "agency"))(t).AuthToken}
			},
			token: "rw", other: "ro",
		},
		"read-only token": {
			reset: func(t *testing.T, w *world) fields {
				return fields{"auth_token": done(w.sim.ResetReadOnly(t.Context(), "agency"))(t).AuthToken}
			},
			token: "ro", other: "rw",
		},
		"scoped token": {
			reset: func(t *testing.T, w *world) fields {
				token := done(w.sim.ResetScopedToken(t.Context(), simulator.ScopedTokenName{Account: "agency", Name: "app"}))(t)
				return fields{"auth_token": token.AuthToken}
			},
			token: "scoped", other: "rw",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.importDeveloperToken(t)
			w.importLegacyTokens(t)
			w.importScopedToken(t)
			before, untouched := w.data(t, "creds/"+tt.token), asJSON(t, w.data(t, "creds/"+tt.other))
			value := tt.reset(t, w)
			data := fields{"reason": "  believed compromised ", "cas": 1}
			for field, secret := range value {
				data[field] = fmt.Sprintf("\t%s \n", secret) // as pasted
			}
			secret := w.write(t, "tokens/"+tt.token+"/rotate", data)
			warnsNot(t, secret)
			hasOnly(t, secret.Data, "version", "previous_version", "verification", "verification_detail", "previous_credential", "fingerprint")
			has(t, secret.Data, fields{"version": 2, "previous_version": 1, "verification": "accepted", "previous_credential": "rejected by provider"})
			tellsNoSecret(t, "the answer", secret.Data)

			after := w.data(t, "creds/"+tt.token)
			has(t, after, value)
			has(t, after, fields{"version": 2, "fingerprint": secret.Data["fingerprint"]})
			if after["fingerprint"] == before["fingerprint"] {
				t.Error("both versions have the same fingerprint")
			}
			if after["account_sid"] != before["account_sid"] {
				t.Error("the account_sid that was not handed in changed")
			}
			has(t, w.data(t, "tokens/"+tt.token), fields{"version": 2, "health": "ok", "last_error": ""})
			if now := asJSON(t, w.data(t, "creds/"+tt.other)); now != untouched {
				vaulttest.Errorf(t, "the other token changed from %s to %s", untouched, now)
			}

			versions := w.history(t, tt.token)
			has(t, versions[0], fields{"version": 1, "retired_how": "rejected by provider"})
			isRecent(t, "retired_at", versions[0]["retired_at"])
			has(t, versions[1], fields{"version": 2, "source": "assisted", "reason": "believed compromised", "verification": "accepted", "retired_at": nil, "retired_how": ""})
		})
	}
}

func TestTheCLITakesTheNewValueFromStandardInputAndFromAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	output := w.CLI(t, vaulttest.Command{
		Args:  []string{"write", w.Path + "/tokens/rw/rotate", "auth_token=-", "reason=from standard input"},
		Stdin: reset.AuthToken + "\n",
	})
	if output.ExitCode != 0 {
		vaulttest.Fatalf(t, "vault write: %s", output.Stderr)
	}
	mentions(t, "the answer", strings.Join(strings.Fields(output.Stdout), " "), "version 2", "verification accepted", "previous_credential rejected by provider")
	tellsNoSecret(t, "the answer", output.Stdout+output.Stderr)
	has(t, w.data(t, "creds/rw"), fields{"version": 2, "auth_token": reset.AuthToken})

	reset = done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	file := filepath.Join(t.TempDir(), "auth-token")
	succeeded(t, os.WriteFile(file, []byte(reset.AuthToken+"\n"), 0o600))
	output = w.CLI(t, vaulttest.Command{Args: []string{"write", "-format=json", w.Path + "/tokens/rw/rotate", "auth_token=@" + file}})
	if output.ExitCode != 0 {
		vaulttest.Fatalf(t, "vault write: %s", output.Stderr)
	}
	has(t, w.data(t, "creds/rw"), fields{"version": 3, "auth_token": reset.AuthToken})
}

func TestAValueThatTheProviderRefusesIsNotPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importDeveloperToken(t)
	credentials := w.importLegacyTokens(t)
	tests := map[string]struct {
		path  string
		data  fields
		words []string
	}{
		"a wrong developer token": {
			path: "tokens/dev", data: fields{"developer_token": vaulttest.Secret(t, "wrong developer token", "wrongDeveloperToken022")},
			words: []string{"DEVELOPER_TOKEN_INVALID", "request id"},
		},
		"a wrong auth token": {path: "tokens/rw", data: fields{"auth_token": vaulttest.Secret(t, "wrong auth token", "wrongAuthTokenAtARotation")}, words: []string{"HTTP 401"}},
		"the other token's":  {path: "tokens/rw", data: fields{"auth_token": credentials.ReadOnly.AuthToken}, words: []string{"HTTP 401"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := w.snapshot(t)
			_, err := w.Write(t.Context(), tt.path+"/rotate", tt.data)
			refused(t, err, http.StatusBadRequest, append(tt.words, "the provider refuses this credential", "nothing was changed")...)
			w.unchanged(t, before)
		})
	}
}

// snapshot is what users can see of every account and token, apart from what passes with time.
func (w *world) snapshot(t *testing.T) fields {
	t.Helper()
	seen := fields{}
	for _, name := range w.keys(t, "config") {
		path := fmt.Sprintf("config/%s", name)
		seen[path] = w.data(t, path)
	}
	for _, name := range w.keys(t, "tokens") {
		for _, path := range []string{"tokens/%s", "tokens/%s/history", "creds/%s"} {
			path = fmt.Sprintf(path, name)
			secret, err := w.Read(t.Context(), path)
			if err != nil { // the creds of an empty token
				seen[path] = err.Error()
				continue
			}
			delete(secret.Data, "ttl")
			seen[path] = secret.Data
		}
	}
	return seen
}

func (w *world) unchanged(t *testing.T, before fields) {
	t.Helper()
	after := w.snapshot(t)
	if len(after) != len(before) {
		t.Errorf("there were %d paths and now are %d", len(before), len(after))
	}
	has(t, after, before)
}

func TestTheCurrentValueIsNoNewOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credentials := w.importLegacyTokens(t)
	before := w.snapshot(t)
	for name, data := range map[string]fields{
		"the token":  {"auth_token": credentials.ReadWrite.AuthToken},
		"both parts": {"auth_token": credentials.ReadWrite.AuthToken, "account_sid": credentials.ReadWrite.AccountSID},
		"one part":   {"account_sid": credentials.ReadWrite.AccountSID},
		"unverified": {"auth_token": credentials.ReadWrite.AuthToken, "verify": false},
	} {
		_, err := w.Write(t.Context(), "tokens/rw/rotate", data)
		refused(t, err, http.StatusBadRequest, "current credential already", "version 1")
		if t.Failed() {
			t.Fatalf("handing in %s", name)
		}
	}
	w.unchanged(t, before)
}

func TestARotationWithoutACredentialSaysWhatToHandIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importDeveloperToken(t)
	w.importLegacyTokens(t)
	_, err := w.Write(t.Context(), "tokens/dev/rotate", nil)
	refused(t, err, http.StatusBadRequest, "ads.google.com/aw/apicenter", "tokens/dev/rotate developer_token=-")
	_, err = w.Write(t.Context(), "tokens/rw/rotate", nil)
	refused(t, err, http.StatusBadRequest, "app.impact.com", "tokens/rw/rotate auth_token=-")
	output := w.CLI(t, vaulttest.Command{Args: []string{"write", "-f", w.Path + "/tokens/rw/rotate"}})
	if output.ExitCode == 0 {
		t.Error("vault write -f succeeds")
	}
	mentions(t, "the CLI", output.Stderr, "Code: 400", "auth_token=-")
}

func TestCasRefusesARotationOfAnotherVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	before := w.snapshot(t)
	for _, cas := range []int{0, 2, 7} {
		_, err := w.Write(t.Context(), "tokens/rw/rotate", fields{"auth_token": reset.AuthToken, "cas": cas})
		refused(t, err, http.StatusBadRequest, fmt.Sprintf("cas is %d", cas), "current version is 1", "nothing was changed")
	}
	w.unchanged(t, before)
	request := fields{"auth_token": reset.AuthToken, "cas": 1}
	has(t, w.write(t, "tokens/rw/rotate", request).Data, fields{"version": 2})
	// The same again, as after an answer that was lost.
	_, err := w.Write(t.Context(), "tokens/rw/rotate", request)
	refused(t, err, http.StatusBadRequest, "current credential already (version 2)")
}

// What docs/rotation.md says of a token that is deleted and made anew: cas counts the versions of the one that has the name now, and
// its fingerprint tells the two apart.
func TestRotate_CasCountsTheTokenThatHasTheNameNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.importLegacyTokens(t).ReadWrite
	imported := w.data(t, "tokens/rw")["fingerprint"]
	second := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	has(t, w.write(t, "tokens/rw/rotate", fields{"auth_token": second.AuthToken, "cas": 1}).Data, fields{"version": 2})
	rotated := w.data(t, "tokens/rw")["fingerprint"]
	w.remove(t, "tokens/rw")

	// Nobody's version is current.
	third := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	_, err := w.Write(t.Context(), "tokens/rw/rotate", fields{"auth_token": third.AuthToken, "cas": 2})
	refused(t, err, http.StatusNotFound)

	w.write(t, "tokens/rw", impactToken("legacy_read_write", third))
	has(t, w.data(t, "tokens/rw"), fields{"version": 1})
	if anew := w.data(t, "tokens/rw")["fingerprint"]; anew == imported || anew == rotated {
		vaulttest.Errorf(t, "the token made anew has the fingerprint %v of the one before", anew)
	}
	before := w.snapshot(t)
	_, err = w.Write(t.Context(), "tokens/rw/rotate", fields{"auth_token": second.AuthToken, "cas": 2})
	refused(t, err, http.StatusBadRequest, "cas is 2", "current version is 1", "nothing was changed")
	// A number that both tokens have had does not tell them apart; a value that has died meanwhile is refused all the same.
	for _, dead := range []string{first.AuthToken, second.AuthToken} {
		_, err = w.Write(t.Context(), "tokens/rw/rotate", fields{"auth_token": dead, "cas": 1})
		refused(t, err, http.StatusBadRequest, "refuses this credential")
	}
	w.unchanged(t, before)

	fourth := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	has(t, w.write(t, "tokens/rw/rotate", fields{"auth_token": fourth.AuthToken, "cas": 1}).Data, fields{"version": 2, "previous_version": 1})
	versions, _ := w.data(t, "tokens/rw/history")["versions"].([]any)
	if len(versions) != 2 {
		vaulttest.Errorf(t, "the history has %d versions, want those of the token made anew alone: 2", len(versions))
	}
}

func TestVerifyFalsePublishesUnverifiedAndSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	succeeded(t, w.sim.InjectFault(t.Context(), simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultStatus, Status: 500}))
	asked := done(w.sim.Ledger(t.Context()))(t).Requests[simulator.Impact]

	secret := w.write(t, "tokens/rw/rotate", fields{"auth_token": reset.AuthToken, "verify": false, "reason": "impact.com is down"})
	has(t, secret.Data, fields{"version": 2, "verification": "skipped", "previous_credential": "not checked"})
	mentions(t, "verification_detail", fmt.Sprint(secret.Data["verification_detail"]), "verify=false")
	warns(t, secret.Warnings, "unverified", "tokens/rw/verify")
	has(t, w.data(t, "creds/rw"), fields{"version": 2, "auth_token": reset.AuthToken})
	has(t, w.data(t, "tokens/rw"), fields{"health": "unverified", "last_verification": nil})
	has(t, w.history(t, "rw")[1], fields{"verification": "skipped", "reason": "impact.com is down"})
	if after := done(w.sim.Ledger(t.Context()))(t).Requests[simulator.Impact]; asJSON(t, after) != asJSON(t, asked) {
		t.Errorf("impact.com was asked: %v, then %v", asked, after)
	}

	succeeded(t, w.sim.ClearFaults(t.Context()))
	has(t, w.write(t, "tokens/rw/verify", nil).Data, fields{"outcome": "accepted", "version": 2})
	has(t, w.data(t, "tokens/rw"), fields{"health": "ok"})
}

func TestARotationWhoseProviderGivesNoUsefulAnswerChangesNothing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault  simulator.Fault
		status int
		words  []string
	}{
		"does not answer in time": {simulator.Fault{Kind: simulator.FaultLatency, Latency: time.Minute}, http.StatusGatewayTimeout, []string{"did not answer in time"}},
		"drops the connection":    {simulator.Fault{Kind: simulator.FaultDropBefore}, http.StatusBadGateway, []string{"closed the connection"}},
		"drops half an answer":    {simulator.Fault{Kind: simulator.FaultHalfBody}, http.StatusBadGateway, []string{"closed the connection"}},
		"has trouble":             {simulator.Fault{Kind: simulator.FaultStatus, Status: 500}, http.StatusBadGateway, []string{"HTTP 500"}},
		"limits the rate":         {simulator.Fault{Kind: simulator.FaultStatus, Status: 429, RetryAfter: 90}, http.StatusBadGateway, []string{"HTTP 429", "wait 1m30s"}},
		"redirects":               {simulator.Fault{Kind: simulator.FaultRedirect, Location: "https://login.example.com/"}, http.StatusBadGateway, []string{"redirect", "credentials are never sent on"}},
		"answers garbage":         {simulator.Fault{Kind: simulator.FaultGarbage}, http.StatusBadGateway, []string{"unreadable"}},
		"answers without an end":  {simulator.Fault{Kind: simulator.FaultOversizedBody}, http.StatusBadGateway, []string{"bytes"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, target := range []struct {
				token   string
				service simulator.Service
			}{{"rw", simulator.Impact}, {"dev", simulator.GoogleAds}} {
				t.Run(target.token, func(t *testing.T) {
					t.Parallel()
					w := newWorld(t)
					w.importDeveloperToken(t)
					w.importLegacyTokens(t)
					timeout := 60 // so that a slow machine gets the whole answer
					if tt.status == http.StatusGatewayTimeout {
						timeout = 1
					}
					w.write(t, "config/agency", fields{"request_timeout": timeout})
					w.write(t, "config/google", fields{"request_timeout": timeout})
					data := fields{"auth_token": done(w.sim.ResetReadWrite(t.Context(), "agency"))(t).AuthToken}
					if target.token == "dev" {
						data = fields{"developer_token": done(w.sim.ResetDeveloperToken(t.Context()))(t)}
					}
					before := w.snapshot(t)
					fault := tt.fault
					fault.Service = target.service
					succeeded(t, w.sim.InjectFault(t.Context(), fault))
					_, err := w.Write(t.Context(), "tokens/"+target.token+"/rotate", data)
					refused(t, err, tt.status, append(tt.words, "nothing was changed", "verify=false")...)
					w.unchanged(t, before)

					succeeded(t, w.sim.ClearFaults(t.Context()))
					has(t, w.write(t, "tokens/"+target.token+"/rotate", data).Data, fields{"version": 2, "verification": "accepted"})
				})
			}
		})
	}
}

func TestWhatBecameOfThePreviousValueIsSaid(t *testing.T) {
	t.Parallel()
	second := func(t *testing.T, w *world) fields {
		token := done(w.sim.DuplicateScopedToken(t.Context(), simulator.ScopedTokenName{Account: "agency", Name: "app"}, "second"))(t)
		return fields{"account_sid": token.AccountSID, "auth_token": token.AuthToken}
	}
	tests := map[string]struct {
		token    string
		replace  func(*testing.T, *world) fields
		previous string
		words    []string
	}{
		"a second scoped token lives beside the first": {
			token: "scoped", replace: second, previous: "still accepted", words: []string{"version 1 is still accepted", "disabled or deleted in the console"},
		},
		"the provider limits the rate": {
			token: "scoped", previous: "not checked", words: []string{"version 1", "could not be checked", "HTTP 429", "wait"},
			replace: func(t *testing.T, w *world) fields {
				data := second(t, w)
				succeeded(t, w.sim.SetImpactRateLimit(t.Context(), w.impactRequests(t)+1)) // one more, for the new value
				return data
			},
		},
		"Google cannot tell since the sunset": {
			token: "dev", previous: "not checked", words: []string{"9 September 2026"},
			replace: func(t *testing.T, w *world) fields {
				succeeded(t, w.sim.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored))
				return fields{"developer_token": done(w.sim.ResetDeveloperToken(t.Context()))(t)}
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.importDeveloperToken(t)
			w.importScopedToken(t)
			secret := w.write(t, "tokens/"+tt.token+"/rotate", tt.replace(t, w))
			has(t, secret.Data, fields{"version": 2, "previous_credential": tt.previous})
			mentions(t, "the warnings", strings.Join(secret.Warnings, "\n"), tt.words...)
			has(t, w.history(t, tt.token)[0], fields{"retired_at": nil, "retired_how": ""})
		})
	}
}

func TestAnInconclusiveVerificationPublishesWithAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importDeveloperToken(t)
	succeeded(t, w.sim.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored))
	value := done(w.sim.ResetDeveloperToken(t.Context()))(t)
	secret := w.write(t, "tokens/dev/rotate", fields{"developer_token": value})
	has(t, secret.Data, fields{"version": 2, "verification": "inconclusive"})
	mentions(t, "verification_detail", fmt.Sprint(secret.Data["verification_detail"]), "proves nothing", "retired developer tokens on 9 September 2026")
	if !strings.Contains(strings.Join(secret.Warnings, "\n"), "proves nothing") {
		vaulttest.Errorf(t, "no warning says that the answer proves nothing: %q", secret.Warnings)
	}
	has(t, w.data(t, "creds/dev"), fields{"version": 2, "developer_token": value})
	has(t, w.data(t, "tokens/dev"), fields{"health": "unverified"})
	has(t, w.history(t, "dev")[1], fields{"verification": "inconclusive"})
}
