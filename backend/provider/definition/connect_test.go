package definition_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

func TestProvider_SaysWhatTheDocumentSays(t *testing.T) {
	t.Parallel()
	p := parse(t, acme(t)).Provider()
	if p.Name != "acme_ads" || p.Title != "Acme Ads API" || !p.Unverified || len(p.Notes) != 1 || p.Limits.Verifications != (provider.Rate{Burst: 20, Every: time.Minute}) {
		t.Errorf("got %+v", p)
	}
	fields := map[string]string{}
	for _, f := range p.AccountFields {
		fields[f.Name] = strings.Join([]string{f.Default, map[bool]string{true: "endpoint"}[f.Endpoint], map[bool]string{true: "secret"}[f.Secret]}, "|")
	}
	want := map[string]string{
		"base_url": "https://api.acme.example|endpoint|", "token_url": "https://login.acme.example/oauth/token|endpoint|", "region": "eu||", "app_id": "||",
		"partner_key": "||secret", "tag": "||",
	}
	if !maps.Equal(fields, want) {
		t.Errorf("got %v, want %v", fields, want)
	}
	if err := provider.Check(p, definition.Taken()); err != nil {
		t.Error(err)
	}
}

func TestProvider_TypesHaveTheAbilitiesOfTheDocument(t *testing.T) {
	t.Parallel()
	p := parse(t, acme(t)).Provider()
	key := p.Type("api_key")
	if key.Lifetime != 365*24*time.Hour || key.ResetSemantics != provider.Immediate || !slices.Equal(key.Subject, []string{"key_id", "app_id"}) {
		t.Errorf("got %+v", key)
	}
	if key.Mint != nil || key.Renew == nil || key.Retire == nil || key.Refresh != nil || key.EndPrevious != "" {
		t.Errorf("got %+v", key)
	}
	if client := p.Type("oauth_client"); client.Mint == nil || client.Renew != nil || client.Retire != nil {
		t.Errorf("got %+v", client)
	}
}

func TestCheckOptions_WantsWhatIsRequired(t *testing.T) {
	t.Parallel()
	text := with(t, "probe_path: {pattern: '[0-9A-Za-z/_-]+', default: me,", "probe_path: {pattern: '[0-9A-Za-z/_-]+', required: true, form: a path,")
	kind := parse(t, text).Provider().Type("api_key")
	if err := kind.CheckOptions(nil); err == nil || err.Error() != "probe_path is missing; give a path" {
		t.Errorf("got %v", err)
	}
	if err := kind.CheckOptions(provider.Values{"probe_path": "x"}); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestConnect_IsCheap(t *testing.T) {
	kind := parse(t, acme(t)).Provider().Type("api_key")
	settings, token := provider.Values{"base_url": "https://x.example", "region": "us", "tag": "x"}, keyToken()
	if n := testing.AllocsPerRun(100, func() { kind.Connect(settings, token) }); n > 8 {
		t.Errorf("it takes %v allocations", n)
	}
}

func TestCheckAccount_WantsWhatIsRequired(t *testing.T) {
	t.Parallel()
	p := parse(t, acme(t)).Provider()
	if err := p.CheckAccount(provider.Values{"base_url": "x"}); err == nil || err.Error() != "app_id is missing; give a number of 5 to 25 digits" {
		t.Errorf("got %v", err)
	}
	if err := p.CheckAccount(provider.Values{"app_id": "12345"}); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestField_Check(t *testing.T) {
	t.Parallel()
	p := parse(t, with(t, "base_url: {default", "base_url: {refuse: [{pattern: 'https://console\\..*', problem: is the console}], default")).Provider()
	fields := append(p.AccountFields, p.Type("api_key").Fields...)
	tests := map[string]struct{ field, value, want, wrong string }{
		"an address":         {"base_url", " https://x.example/a/ ", "https://x.example/a", ""},
		"plain http":         {"base_url", "http://x.example", "", "base_url must start with https://"},
		"a refused one":      {"base_url", "https://console.acme.example/", "", "base_url is the console"},
		"a choice":           {"region", "us", "us", ""},
		"no choice":          {"region", "AMER", "", "region must be one of eu, us"},
		"a pattern":          {"app_id", "12345", "12345", ""},
		"more than it":       {"app_id", "12345x", "", "app_id must be a number of 5 to 25 digits"},
		"one of its lines":   {"app_id", "12345\n12345", "", "app_id must be a number"},
		"a secret":           {"api_key", "a$b;'c", "a$b;'c", ""},
		"a secret with tabs": {"api_key", "a\tb", "", "api_key must be one line of printable characters"},
		"words":              {"tag", "two words", "two words", ""},
	}
	for name, tc := range tests {
		field, _ := provider.Lookup(fields, tc.field)
		got, err := field.Canonical(tc.value)
		if got != tc.want || (err == nil) != (tc.wrong == "") || err != nil && !strings.HasPrefix(err.Error(), tc.wrong) {
			t.Errorf("%s: got %q, error %v", name, got, err)
		}
	}
}

func TestConnect_LeavesOutWhatHasNoValue(t *testing.T) {
	t.Parallel()
	connect := kind(t, "api_key").Connect
	got := connect(provider.Values{"base_url": "https://x.example", "region": "us"}, keyToken())
	if want := (provider.Values{"account_url": "https://x.example/v2/AMER", "key": "key K12345678"}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got = connect(provider.Values{"tag": "x"}, keyToken())
	if want := (provider.Values{"tag": "x", "key": "key K12345678"}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRunbook(t *testing.T) {
	t.Parallel()
	got := kind(t, "api_key").Runbook(provider.Values{"region": "us"})
	want := []string{
		"Have a terminal with Vault access ready: from the reset until the apps read the new value, their requests fail.",
		"Sign in to the console.", "Press Reset beside the key.",
		"Hand the new value in at once: `vault write adtokens/tokens/<name>/rotate api_key=-`, paste it, press Enter and then Ctrl-D. key_id keeps its value unless it is handed in too.",
	}
	if !slices.Equal(got.Steps, want) || got.Role != "Account admin" || got.ConsoleURL != "https://console.acme.example/keys" || len(got.Notes) != 1 {
		t.Errorf("got %+v", got)
	}
	if notes := kind(t, "api_key").Runbook(nil).Notes; len(notes) != 0 {
		t.Errorf("got the notes %q of another region", notes)
	}
	got = kind(t, "oauth_client").Runbook(nil)
	want = []string{
		"Give a new consent.",
		"Hand the new value in: `vault write adtokens/tokens/<name>/rotate refresh_token=-`, paste it, press Enter and then Ctrl-D. " +
			"Where client_id has changed too: `vault write adtokens/tokens/<name>/rotate client_id=… refresh_token=-`.",
	}
	if !slices.Equal(got.Steps, want) {
		t.Errorf("got %q", got.Steps)
	}
}
