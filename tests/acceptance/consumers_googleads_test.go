//go:build unix

package acceptance

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// googleAdsKeys are the keys of the example's google-ads.yaml.
var googleAdsKeys = []string{
	"developer_token", "use_cloud_org_for_api_access", "client_id", "client_secret", "refresh_token", "login_customer_id", "use_proto_plus",
}

// googleAdsLibrary is the rule by which a version of the google-ads library for Python loads its file: validate_dict of
// google/ads/googleads/config.py.
type googleAdsLibrary struct{ required []string }

var googleAdsLibraries = map[string]googleAdsLibrary{
	"31.4.0": {required: []string{"developer_token", "use_proto_plus"}},
	"32":     {required: []string{"use_proto_plus"}},
}

// optionalGoogleAdsKeys are those that both versions know beside the required ones, as far as an OAuth client is concerned.
var optionalGoogleAdsKeys = []string{
	"developer_token", "login_customer_id", "linked_customer_id", "use_cloud_org_for_api_access", "client_id", "client_secret", "refresh_token",
}

// load says what the library has against a file; nothing is no problem.
func (l googleAdsLibrary) load(text string) (problems []string) {
	config := fields{}
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return []string{err.Error()}
	}
	for _, key := range l.required {
		if _, there := config[key]; !there {
			problems = append(problems, "the required key "+key+" is missing")
		}
	}
	for key := range config {
		if !slices.Contains(l.required, key) && !slices.Contains(optionalGoogleAdsKeys, key) {
			problems = append(problems, "the key "+key+" is unknown")
		}
	}
	for _, key := range []string{"client_id", "client_secret", "refresh_token"} { // or it looks for other identities
		if value, _ := config[key].(string); value == "" {
			problems = append(problems, key+" is no text, or empty")
		}
	}
	if id := config["login_customer_id"]; id != nil && !regexp.MustCompile(`^[0-9]{10}$`).MatchString(fmt.Sprint(id)) {
		problems = append(problems, "login_customer_id is not ten digits")
	}
	if _, boolean := config["use_proto_plus"].(bool); !boolean {
		problems = append(problems, "use_proto_plus is no boolean")
	}
	// Google refuses an empty developer-token header. The library sends what the file has, unless the project's access is used.
	token, there := config["developer_token"]
	if text, _ := token.(string); there && text == "" && config["use_cloud_org_for_api_access"] != true {
		problems = append(problems, "every request has an empty developer-token header")
	}
	return problems
}

// developerTokenLine is what the example's comment suggests to those who still send a developer token.
var developerTokenLine = regexp.MustCompile(`(?m)^ *(developer_token: \{\{ with secret .*\}\})$`)

// TestGoogleAdsPython_LoadsTheRenderedFile has the real agent render google-ads.yaml, as it is and as its comment suggests
// to those who still send a developer token, and loads it by the rule of the library's versions before and after the sunset.
func TestGoogleAdsPython_LoadsTheRenderedFile(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.enroll(t)
	example := m.install(t, "google-ads.yaml.ctmpl")
	m.install(t, "impact.env.ctmpl")
	render := func() string {
		agent := m.start(t, vaulttest.VaultCommand(t), "agent", "-config="+m.install(t, "agent.hcl"), "-exit-after-auth")
		vaulttest.Await(t, "the agent to end", func() bool { return !agent.Running() })
		return readFile(t, m.run+"/google-ads.yaml")
	}
	loads := func(text string) {
		for version, library := range googleAdsLibraries {
			if problems := library.load(text); len(problems) > 0 {
				t.Errorf("version %s: %v", version, problems)
			}
		}
	}
	loads(render())

	value := done(m.sim.DeveloperToken(t.Context()))(t)
	m.write(t, "tokens/acme-dev", fields{"account": "google", "type": "developer_token", "developer_token": value})
	text := readFile(t, example)
	suggested := developerTokenLine.FindStringSubmatch(text)
	if suggested == nil {
		t.Fatal("the example says nothing to those who still send a developer token")
	}
	changed := strings.Replace(text, "developer_token: \"\"\nuse_cloud_org_for_api_access: true\n", suggested[1]+"\n", 1)
	if changed == text {
		t.Fatal("the example has no lines to put it in the place of")
	}
	succeeded(t, os.WriteFile(example, []byte(changed), 0o600))
	succeeded(t, os.Remove(m.run+"/google-ads.yaml"))
	rendered, config := render(), fields{}
	loads(rendered)
	succeeded(t, yaml.Unmarshal([]byte(rendered), &config))
	if config["developer_token"] != value {
		t.Error("the file has another developer token")
	}
}

func TestGoogleAdsPython_Rule(t *testing.T) {
	t.Parallel()
	whole := fields{
		"developer_token": "", "use_cloud_org_for_api_access": true, "client_id": "c", "client_secret": "s", "refresh_token": "r",
		"login_customer_id": "1234567890", "use_proto_plus": true,
	}
	if keys := slices.Sorted(maps.Keys(whole)); !slices.Equal(keys, slices.Sorted(slices.Values(googleAdsKeys))) {
		t.Errorf("the keys are %v", keys)
	}
	without := func(keys ...string) fields {
		rest := maps.Clone(whole)
		maps.DeleteFunc(rest, func(key string, _ any) bool { return slices.Contains(keys, key) })
		return rest
	}
	tests := map[string]struct {
		config   fields
		old, new bool // whether the versions before and after the sunset load it
	}{
		"the example":                       {whole, true, true},
		"no key developer_token":            {without("developer_token", "use_cloud_org_for_api_access"), false, true},
		"an empty header":                   {without("use_cloud_org_for_api_access"), false, false},
		"a developer token":                 {with(without("use_cloud_org_for_api_access"), "developer_token", "abc"), true, true},
		"no use_proto_plus":                 {without("use_proto_plus"), false, false},
		"no refresh token":                  {without("refresh_token"), false, false},
		"a customer ID with dashes":         {with(without(), "login_customer_id", "123-456-7890"), false, false},
		"a customer ID that is a number":    {with(without(), "login_customer_id", 1234567890), true, true},
		"no customer ID":                    {without("login_customer_id"), true, true},
		"a client secret that is a number":  {with(without(), "client_secret", 1234), false, false},
		"a key that the library has not":    {with(without(), "developer-token", "abc"), false, false},
		"use_proto_plus that is not a bool": {with(without(), "use_proto_plus", "yes"), false, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := string(done(yaml.Marshal(tc.config))(t))
			for version, want := range map[string]bool{"31.4.0": tc.old, "32": tc.new} {
				if problems := googleAdsLibraries[version].load(text); (len(problems) == 0) != want {
					t.Errorf("version %s: %v", version, problems)
				}
			}
		})
	}
}
