package definition_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// surroundings is a definition that parts of one are put into.
const surroundings = `
format: 1
name: acme_ads
title: Acme Ads API
sources: [{title: x, url: https://acme.example, read: "2026-11-26"}]
account:
  endpoints: {base_url: {description: x}, token_url: {description: x}}
  settings: {region: {description: x}, app_id: {description: x}, tag: {description: x}}
token_types:
  key:
    title: Key
    description: x
    reset_semantics: immediate
    fields: {key_id: {description: x}, api_key: {secret: true, description: x}, client_id: {description: x}, client_secret: {secret: true, description: x}, refresh_token: {secret: true, description: x}}
    options: {probe_path: {description: x}}
    verify:
      request: {url: '{+account.base_url}'}
      outcomes: [{when: status == 200, outcome: accepted}]
    runbook: {steps: [x], previous: x}
`

// TestDocs_EveryBlockIsADefinitionOrAPartOfOne: the page of the format.
func TestDocs_EveryBlockIsADefinitionOrAPartOfOne(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/provider-definitions.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 10 {
		t.Fatalf("got %d blocks", len(blocks))
	}
	for _, block := range blocks {
		text := block[1]
		if !strings.HasPrefix(text, "format:") {
			text = surrounded(t, text)
		}
		d, err := definition.Parse([]byte(text), definition.Taken())
		if err != nil {
			t.Errorf("%s\nis wrong:\n%v", block[1], err)
			continue
		}
		if wrong := d.RunExamples(t.Context()); len(wrong) > 0 {
			t.Errorf("%s\nhas examples that are wrong:\n%v", block[1], wrong)
		}
	}
}

// surrounded puts a part at its place.
func surrounded(t *testing.T, part string) string {
	t.Helper()
	var whole, members map[string]any
	for text, into := range map[string]*map[string]any{surroundings: &whole, part: &members} {
		if err := yaml.Unmarshal([]byte(text), into); err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
	}
	kind := whole["token_types"].(map[string]any)["key"].(map[string]any)
	for name, value := range members {
		if name == "account" {
			whole[name] = value
			continue
		}
		kind[name] = value
	}
	text, err := yaml.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDocs_TellEveryName: the page has every name of the schema.
func TestDocs_TellEveryName(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/provider-definitions.md")
	if err != nil {
		t.Fatal(err)
	}
	var schema any
	if err := yaml.Unmarshal(definition.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	var names []string
	var walk func(value any)
	walk = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok {
				for name := range properties {
					names = append(names, name)
				}
			}
			for _, member := range v {
				walk(member)
			}
		case []any:
			for _, element := range v {
				walk(element)
			}
		}
	}
	walk(schema)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).Match(page) {
			t.Errorf("the page does not tell of %s", name)
		}
	}
}
