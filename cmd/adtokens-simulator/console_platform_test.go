package main

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// TestConsoleAllowsWhatAConsentPageAsksFor takes the page's address from the ready line of a served simulator.
func TestConsoleAllowsWhatAConsentPageAsksFor(t *testing.T) {
	t.Parallel()
	command := startCommand(t)
	console := func(line string) result {
		t.Helper()
		return runCommand(t, append([]string{"console", "-control", command.Control}, strings.Fields(line)...)...)
	}
	id := strings.TrimSpace(console("platform make linkedin_ads oauth_client app -field client_id").out)
	page := command.Platforms + "/linkedin_ads/oauth/v2/authorization?" + url.Values{
		"response_type": {"code"}, "client_id": {id}, "state": {"abc"}, "redirect_uri": {"https://app.example/back"},
	}.Encode()
	got := console("platform consent " + page)
	back, err := url.Parse(strings.TrimSpace(got.out))
	if err != nil || back.Host != "app.example" || back.Query().Get("state") != "abc" || back.Query().Get("code") == "" {
		t.Errorf("exit code %d: %s; the browser is sent to %q", got.code, got.errors, back)
	}
	if got := console("platform consent " + command.Platforms + "/linkedin_ads/"); got.code != cli.ExitFailure || !strings.Contains(got.errors, "404") {
		t.Errorf("exit code %d: %s", got.code, got.errors)
	}
	var calls []struct{ Verdict string }
	if err := json.Unmarshal([]byte(console("platform calls linkedin_ads").out), &calls); err != nil || len(calls) != 3 { // the page, its form, and the mistake
		t.Errorf("%d calls are remembered: %v", len(calls), err)
	}
}

func TestPlatformMistakesAreExplained(t *testing.T) {
	t.Parallel()
	console := newConsole(t)
	for line, want := range map[string]string{
		"platform make x y z":                  `there is no platform "x"; there are [acme_ads`,
		"platform make acme_ads y z":           `there is no kind of credential "y": acme_ads has [api_key oauth_client]`,
		"platform show acme_ads z":             `there is no credential "z" of acme_ads; there are []`,
		"platform rights acme_ads z sometimes": `rights are granted or denied, not "sometimes"`,
		"platform add console_test.go":         "the script cannot be read",
		"platform add nowhere.yaml":            "reading the script",
	} {
		if got := console(t, line); got.code == cli.ExitOK || !strings.Contains(got.errors, want) {
			t.Errorf("%s: exit code %d, %q", line, got.code, got.errors)
		}
	}
}
