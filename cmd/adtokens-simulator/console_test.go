package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// result is what a run of the command left behind.
type result struct {
	code        int
	out, errors string
}

func runCommand(t *testing.T, args ...string) result {
	t.Helper()
	var out, errors bytes.Buffer
	code := program.Execute(t.Context(), args, cli.Streams{Out: &out, Err: &errors})
	return result{code, out.String(), errors.String()}
}

// newConsole starts a simulator and returns a function that runs console actions on it.
func newConsole(t *testing.T) func(t *testing.T, line string) result {
	t.Helper()
	server, err := simulator.Start(simulator.ServerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return func(t *testing.T, line string) result {
		t.Helper()
		return runCommand(t, append([]string{"console", "-control", server.ControlURL}, strings.Fields(line)...)...)
	}
}

func TestConsoleActions(t *testing.T) {
	t.Parallel()
	const (
		nothing        = `^$`
		developerToken = `^[0-9A-Za-z][-_0-9A-Za-z]{21}\n$`
		authToken      = `^[0-9A-Za-z]{32}\n$`
		acmeKey        = `^acme_[0-9A-Za-z]{40}\n$`
		accountSID     = `^IR[0-9A-Za-z]{32}\n$`
		object         = `^\{\n(.*\n)+\}\n$`
	)
	tests := map[string]struct {
		before string // an action that the tested one builds on
		want   string
	}{
		"google reset-developer-token":                                      {"", developerToken},
		"google show-developer-token":                                       {"", developerToken},
		"google developer-token-mode ignored":                               {"", nothing},
		"google developer-token-status not_approved":                        {"", nothing},
		"google project-access not_approved":                                {"", nothing},
		"google create-oauth-client app":                                    {"", object},
		"google show-oauth-client -field client_id":                         {"", `^[0-9]{12}-[0-9a-z]{32}\.apps\.googleusercontent\.com\n$`},
		"google show-oauth-client -field client_secret":                     {"", `^GOCSPX-[-_0-9A-Za-z]{28}\n$`},
		"google show-oauth-client -field refresh_token":                     {"", `^1//0[-_0-9A-Za-z]{99}\n$`},
		"google create-service-account robot":                               {"", `"client_email": "robot@`},
		"google show-service-account-key":                                   {"", `"type": "service_account"`},
		"google add-client-secret -field client_secret":                     {"", `^GOCSPX-[-_0-9A-Za-z]{28}\n$`},
		"google new-consent -client app -field refresh_token":               {"google create-oauth-client app", `^1//0[-_0-9A-Za-z]{99}\n$`},
		"google withdraw-consent":                                           {"", nothing},
		"google project-access api_disabled":                                {"", nothing},
		"google ads-access no_two_step":                                     {"", nothing},
		"google ads-access none -client default":                            {"", nothing},
		"google ads-access none -service-account default":                   {"", nothing},
		"google oauth-client-state session_ended -client default":           {"", nothing},
		"google revocation consent":                                         {"", nothing},
		"google publishing-status testing":                                  {"", nothing},
		"google token-uri https://oauth2.googleapis.com/token":              {"", nothing},
		"google expires-in omitted":                                         {"", nothing},
		"google configure-iam -key-life 8h -key-creation forbidden_managed": {"", nothing},
		"google list-service-account-keys":                                  {"google show-service-account-key", `"created": "`},
		"google create-service-account-key -service-account default":        {"", `"client_email": "default@`},
		"google key-administration denied":                                  {"", nothing},
		"google show-iam-settings":                                          {"google configure-iam -propagation 2s", `"key_propagation": 2000000000`},
		"google configure-iam -propagation 2s -deletion-delay 1s -list-lag 1s -limit-error failed_precondition -key-creation forbidden": {"", nothing},
		"hook reset oauth_client -field refresh_token":                        {"", `^1//0[-_0-9A-Za-z]{99}\n$`},
		"impact create-account shop brand":                                    {"", nothing},
		"impact enable-legacy-tokens -account brand":                          {"", nothing},
		"impact show-credentials":                                             {"", object},
		"impact show-credentials -token read-only -field account_sid":         {"", accountSID},
		"impact show-credentials -field auth_token -account agency":           {"", authToken},
		"impact reset-read-write":                                             {"", authToken},
		"impact reset-read-only -account agency":                              {"", authToken},
		"impact upgrade-api-version 3":                                        {"", nothing},
		"impact rate-limit 5":                                                 {"", nothing},
		"impact create-scoped-token a -scopes CompanyInformation":             {"", object},
		"impact create-scoped-token -account partner -field auth_token a":     {"", authToken},
		"impact show-scoped-token a -field account_sid":                       {"impact create-scoped-token a", accountSID},
		"impact duplicate-scoped-token a b -field auth_token":                 {"impact create-scoped-token a", authToken},
		"impact reset-scoped-token a":                                         {"impact create-scoped-token a", authToken},
		"impact upgrade-scoped-token a 3":                                     {"impact create-scoped-token a -api-version 1", nothing},
		"impact disable-scoped-token a":                                       {"impact create-scoped-token a", nothing},
		"impact delete-scoped-token a":                                        {"impact create-scoped-token a", nothing},
		"platform list":                                                       {"", `"name": "tiktok_ads"`},
		"platform add simulator/platforms/acme_ads.yaml":                      {"", `^acme_ads\n$`},
		"platform make acme_ads api_key app -field key_id":                    {"", `^K[0-9]{8}\n$`},
		"platform make tiktok_ads marketing_api_token app":                    {"", object},
		"platform show acme_ads app -field api_key":                           {"platform make acme_ads api_key app", acmeKey},
		"platform reset acme_ads app -field api_key":                          {"platform make acme_ads api_key app", acmeKey},
		"platform reset acme_ads app -fields key_id,api_key -previous lives":  {"platform make acme_ads api_key app", object},
		"platform revoke acme_ads app":                                        {"platform make acme_ads api_key app", nothing},
		"platform revoke acme_ads app -fields api_key":                        {"platform make acme_ads api_key app", nothing},
		"platform expire acme_ads app -fields api_key":                        {"platform make acme_ads api_key app", nothing},
		"platform rights acme_ads app denied":                                 {"platform make acme_ads api_key app", nothing},
		"platform live acme_ads app":                                          {"platform make acme_ads api_key app", `"field": "api_key"`},
		"platform calls acme_ads":                                             {"", `^\[\]\n$`},
		"fault inject acme_ads drop_after -method POST -path /keys/ -times 1": {"", nothing},
		"fault inject impact status -status 429 -retry-after 3 -times 1":      {"", nothing},
		"fault inject google_ads latency -latency 2s":                         {"", nothing},
		"fault inject google_token redirect -location https://example.com/":   {"", nothing},
		"fault clear":       {"", nothing},
		"clock advance 90m": {"", nothing},
		"ledger":            {"", object},
		"state":             {"", object},
	}
	covered := map[string]bool{}
	for line, test := range tests {
		action, _, err := findCommand(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		covered[action.path] = true
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			console := newConsole(t)
			if test.before != "" {
				if got := console(t, test.before); got.code != cli.ExitOK {
					t.Fatalf("%s: %s", test.before, got.errors)
				}
			}
			got := console(t, line)
			if got.code != cli.ExitOK || got.errors != "" {
				t.Fatalf("exit code %d: %s", got.code, got.errors)
			}
			if !regexp.MustCompile(test.want).MatchString(got.out) {
				t.Errorf("printed %d bytes that do not match %s", len(got.out), test.want)
			}
		})
	}
	for _, path := range []string{ // TestConsoleActionsOnOneSecretOrKey
		"google disable-client-secret", "google delete-client-secret",
		"google disable-service-account-key", "google enable-service-account-key", "google delete-service-account-key",
		"platform consent", // TestConsoleAllowsWhatAConsentPageAsksFor
	} {
		covered[path] = true
	}
	for _, action := range commands() {
		if !covered[action.path] {
			t.Errorf("no test runs %q", action.path)
		}
	}
}

// TestConsoleActionsOnOneSecretOrKey runs the actions whose argument comes from another one.
func TestConsoleActionsOnOneSecretOrKey(t *testing.T) {
	t.Parallel()
	console := newConsole(t)
	run := func(line string) string {
		t.Helper()
		got := console(t, line)
		if got.code != cli.ExitOK {
			t.Fatal(got.errors)
		}
		return strings.TrimSpace(got.out)
	}
	secret := run("google show-oauth-client -field client_secret")
	run("google add-client-secret")
	run("google disable-client-secret " + secret)
	run("google delete-client-secret " + secret)
	if run("google show-oauth-client -field client_secret") == secret {
		t.Error("the deleted secret is still shown")
	}

	var key struct {
		ID string `json:"private_key_id"`
	}
	if err := json.Unmarshal([]byte(run("google show-service-account-key")), &key); err != nil {
		t.Fatal(err)
	}
	run("google disable-service-account-key " + key.ID)
	if !strings.Contains(run("google list-service-account-keys"), `"disabled": true`) {
		t.Error("the key is not disabled")
	}
	run("google enable-service-account-key " + key.ID)
	if strings.Contains(run("google list-service-account-keys"), `"disabled": true`) {
		t.Error("the key is not enabled")
	}
	run("google delete-service-account-key " + key.ID)
	if !strings.Contains(run("google list-service-account-keys"), `"deleted": "`) {
		t.Error("the key is not deleted")
	}
}

func TestConfigureIAMLeavesOtherSettings(t *testing.T) {
	t.Parallel()
	console := newConsole(t)
	console(t, "google configure-iam -propagation 2s -key-creation forbidden")
	console(t, "google configure-iam -list-lag 1s")
	shown := console(t, "google show-iam-settings").out
	for _, want := range []string{`"key_propagation": 2000000000`, `"key_list_lag": 1000000000`, `"key_creation": "forbidden"`} {
		if !strings.Contains(shown, want) {
			t.Errorf("%s is missing in %s", want, shown)
		}
	}
}

func TestConsolePrintsTheNewValue(t *testing.T) {
	t.Parallel()
	console := newConsole(t)
	reset := console(t, "impact reset-read-write")
	shown := console(t, "impact show-credentials -token read-write -field auth_token")
	if reset.out != shown.out {
		t.Error("the reset printed another value than the console shows afterwards")
	}
}

func TestKeyFileIsPrintedAsItIs(t *testing.T) {
	t.Parallel()
	var key struct {
		PrivateKey string `json:"private_key"`
	}
	if err := json.Unmarshal([]byte(newConsole(t)(t, "google show-service-account-key").out), &key); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(key.PrivateKey, "-----BEGIN PRIVATE KEY-----\n") {
		t.Error("the key file has no private key")
	}
}

func TestMistakesAreExplained(t *testing.T) {
	t.Parallel()
	console := newConsole(t)
	for line, test := range map[string]struct {
		code int
		want string
	}{
		"google":                                              {cli.ExitUsage, `no console action "google"`},
		"google drop-everything":                              {cli.ExitUsage, `no console action "google drop-everything"`},
		"google developer-token-mode":                         {cli.ExitUsage, "type console google developer-token-mode MODE"},
		"google show-oauth-client -x":                         {cli.ExitUsage, "flag provided but not defined: -x"},
		"google show-oauth-client -field x":                   {cli.ExitUsage, `no field "x"`},
		"google show-oauth-client -client x":                  {cli.ExitFailure, `there is no OAuth client "x"`},
		"google token-uri nowhere":                            {cli.ExitFailure, "is no address"},
		"google revocation everything":                        {cli.ExitFailure, `"everything" is none of [token consent]`},
		"google ads-access none -client a -service-account b": {cli.ExitFailure, "either an OAuth client or a service account"},
		"impact upgrade-api-version x":                        {cli.ExitUsage, `"x" is not a whole number`},
		"impact show-credentials -token x":                    {cli.ExitUsage, `not "x"`},
		"clock advance tomorrow":                              {cli.ExitUsage, "invalid duration"},
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			got := console(t, line)
			if got.code != test.code || !strings.Contains(got.errors, test.want) || got.out != "" {
				t.Errorf("exit code %d, %q; want %d, %q", got.code, got.errors, test.code, test.want)
			}
		})
	}
}

func TestCommandLineMistakes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no command":          {nil, cli.ExitUsage, "name a command"},
		"unknown command":     {[]string{"run"}, cli.ExitUsage, `no command "run"`},
		"serve elsewhere":     {[]string{"serve", "-google", "0.0.0.0:0"}, cli.ExitFailure, "not on the loopback interface"},
		"serve with argument": {[]string{"serve", "now"}, cli.ExitUsage, `no argument "now"`},
		"no control URL":      {[]string{"console", "-control", "", "state"}, cli.ExitUsage, "say where the simulator is"},
		"nobody listens":      {[]string{"console", "-control", "http://127.0.0.1:1", "state"}, cli.ExitFailure, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := runCommand(t, test.args...)
			if got.code != test.code || !strings.Contains(got.errors, test.want) {
				t.Errorf("exit code %d, %q; want %d, %q", got.code, got.errors, test.code, test.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	lines := []string{"-h", "serve -h", "console -h"}
	for _, command := range commands() {
		lines = append(lines, "console "+command.path+" -h")
	}
	for _, line := range lines {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			got := runCommand(t, strings.Fields(line)...)
			if got.code != cli.ExitOK || !strings.HasPrefix(got.out, "Usage") || got.errors != "" {
				t.Errorf("exit code %d, printed %q and %q", got.code, got.out, got.errors)
			}
		})
	}
}
