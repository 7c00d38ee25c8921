package backend

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// readRunbookAt reads a token's runbook through a mount at the given path.
func (f *fixture) readRunbookAt(t *testing.T, mount, name string) map[string]any {
	t.Helper()
	path := "tokens/" + name + "/rotate"
	response, err := testkit.Handle(t, f, &logical.Request{
		Operation: logical.ReadOperation, Path: path, Storage: f.storage, MountPoint: mount,
	})
	if err != nil || response.IsError() {
		t.Fatalf("reading %s gives %v, error %v", path, response, err)
	}
	return response.Data
}

// inWords is the text as it is whatever its lines are.
func inWords(text string) string { return strings.Join(strings.Fields(text), " ") }

// wantRunbook compares the text with the other fields: everything is in it, in order, and it fits a terminal.
func wantRunbook(t *testing.T, got map[string]any) string {
	t.Helper()
	text := got["runbook"].(string)
	words, at := inWords(text), 0
	want := func(what, part string) {
		t.Helper()
		found := strings.Index(words[at:], inWords(part))
		if found < 0 {
			t.Errorf("the runbook has no %s %q where it belongs:\n%s", what, part, text)
			return
		}
		at += found
	}
	for i, step := range got["steps"].([]string) {
		want("step", fmt.Sprintf("%d. %s", i+1, step))
	}
	want("address of the console", got["console_url"].(string))
	want("word about the old value", got["previous_credential"].(string))
	for _, field := range got["fields"].([]string) {
		if !strings.Contains(words[at:], field) {
			t.Errorf("the runbook does not name the field %s:\n%s", field, text)
		}
	}
	for _, note := range got["notes"].([]string) {
		want("note", "- "+note)
	}
	for line := range strings.SplitSeq(text, "\n") {
		aCommand := strings.Contains(line, "vault write")
		if width := utf8.RuneCountInString(line); width > runbookWidth && !aCommand && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("a line of the runbook has %d columns: %s", width, line)
		}
		if strings.TrimRight(line, " ") != line || strings.Count(line, "`")%2 != 0 {
			t.Errorf("a line of the runbook ends in a space, or in the middle of a command: %s", line)
		}
	}
	if strings.Contains(text, "<name>") || strings.Contains(text, "<mount>") {
		t.Errorf("the runbook leaves to its reader which token it is about:\n%s", text)
	}
	return text
}

func TestRunbook_IsTheWholeAnswerAsTextForATerminal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.withGoogle(t)
	for _, kind := range []string{"scoped", "legacy_read_only"} {
		f.write(t, "tokens/"+kind, map[string]any{"account": "acme", "type": kind})
	}
	for _, kind := range []string{"developer_token", "oauth_client", "service_account_key"} {
		f.write(t, "tokens/"+kind, map[string]any{"account": "google", "type": kind})
	}
	for name, tt := range map[string]struct{ has, hasNot []string }{
		"acme-rw": {has: []string{"cas=1", "(read -rs value", "vault write team-a/ads/tokens/acme-rw/rotate auth_token=-)", "keep their value"}},
		"scoped": {
			has:    []string{"This token has no value yet", "rotate account_sid=… auth_token=-)"},
			hasNot: []string{"cas=", "Those that you leave out"},
		},
		"legacy_read_only":    {has: []string{"Reset (Read-Only)"}},
		"developer_token":     {has: []string{"ads.google.com/aw/apicenter", "rotate developer_token=-)"}},
		"oauth_client":        {has: []string{"rotate client_id=… client_secret=@FILE refresh_token=-)"}},
		"service_account_key": {has: []string{"`service_account_key=@FILE`"}, hasNot: []string{"read -rs"}},
	} {
		text := wantRunbook(t, f.readRunbookAt(t, "team-a/ads/", name))
		if !containsAll(text, append(tt.has, "`vault write team-a/ads/tokens/"+name+"/rotate ")) {
			t.Errorf("the runbook of %s lacks one of %q:\n%s", name, tt.has, text)
		}
		for _, foreign := range append(tt.hasNot, "vault write -f", "adtokens/") {
			if strings.Contains(text, foreign) {
				t.Errorf("the runbook of %s says %q:\n%s", name, foreign, text)
			}
		}
		if name == "acme-rw" && !strings.HasPrefix(text, "1. ") {
			t.Errorf("the runbook does not begin with the first step:\n%s", text)
		}
	}
}

func TestRunbook_HasNoTitleWithoutNotes(t *testing.T) {
	t.Parallel()
	entry := &token{name: "key", kind: &provider.TokenType{Fields: []provider.Field{{Name: "api_key", Secret: true}}}}
	r := &tokenRunbook{Runbook: provider.Runbook{Steps: []string{"Press Reset."}, Previous: "Dead."}, token: entry, path: "ads/tokens/key"}
	if text := r.text(); strings.Contains(text, "Notes:") {
		t.Errorf("got %s", text)
	}
	r.Notes = []string{"The key is shown once."}
	if text := r.text(); !strings.HasSuffix(text, "Notes:\n- The key is shown once.") {
		t.Errorf("got %s", text)
	}
}

func TestRunbook_BeginsWithTheEnginesOwnRotation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.withGoogle(t)
	key, err := f.provider.ServiceAccountKey(t.Context(), simulator.DefaultName)
	must(t, err)
	f.write(t, "tokens/acme-robot", map[string]any{
		"account": "google", "type": "service_account_key", "service_account_key": string(key), "rotation_grace_period": "90m",
	})
	f.withStubHook(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for name, has := range map[string][]string{
		"acme-robot": {"by the provider's API", "rotation_grace_period (1h30m)"},
		"acme-rw":    {"from the account's reset hook"},
	} {
		got := f.readRunbookAt(t, "ads/", name)
		text := wantRunbook(t, got)
		if !strings.HasPrefix(text, "1. `vault write -f ads/tokens/"+name+"/rotate` ") || got["automatic"] != true || !containsAll(inWords(text), has) {
			t.Errorf("the runbook of %s, automatic %v, does not begin with what the engine does, or lacks one of %q:\n%s", name, got["automatic"], has, text)
		}
	}
}

func TestUnbrokenWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                         {},
		"one  two":                 {"one", "two"},
		"run `vault read x`, then": {"run", "`vault read x`,", "then"},
		"`a b` (`c d`)":            {"`a b`", "(`c d`)"},
	} {
		if got := unbrokenWords(text); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%q is split into %q, want %q", text, got, want)
		}
	}
}

func TestPaths_SayTheirDefaults(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	said := map[string]string{}
	saysOne := regexp.MustCompile(`\. Default: (.+)\.$`)
	for _, path := range f.Paths {
		for name, schema := range path.Fields {
			if schema.Default == nil {
				continue
			}
			said[name] = ""
			if found := saysOne.FindStringSubmatch(schema.Description); found != nil && strings.Count(schema.Description, "Default:") == 1 {
				said[name] = found[1]
			} else {
				t.Errorf("%s of %s does not say its default %v, or not once: %s", name, path.Pattern, schema.Default, schema.Description)
			}
		}
	}
	for name, want := range map[string]string{
		"refresh_ttl": "60s", "verify_period": "24h", "rotation_grace_period": "24h", "lease_ttl": "0", "rotation_period": "0",
		"request_timeout": "10s", "reset_hook_timeout": "2m", "verify_connection": "true", "verify": "true", "force": "false",
		"disable_automated_rotation": "false",
	} {
		if said[name] != want {
			t.Errorf("the default of %s is said to be %q, want %q", name, said[name], want)
		}
	}
	for _, p := range f.builtIn {
		for _, field := range p.AccountFields {
			schema := f.Route("config/acme").Fields[field.Name]
			if field.Default != "" && !strings.Contains(schema.Description, "Default: "+field.Default+".") {
				t.Errorf("%s of %s does not say its default: %s", field.Name, p.Name, schema.Description)
			}
		}
	}
}
