package definition_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

// mistakesOf parses a document that has some.
func mistakesOf(t testing.TB, text string) definition.Mistakes {
	t.Helper()
	d, err := definition.Parse([]byte(text), definition.Taken())
	mistakes, ok := errors.AsType[definition.Mistakes](err)
	if !ok || d != nil {
		t.Fatalf("got %v, want mistakes", err)
	}
	return mistakes
}

// wantMistake wants one at the place that says so.
func wantMistake(t testing.TB, text, place, says string) {
	t.Helper()
	mistakes := mistakesOf(t, text)
	for _, m := range mistakes {
		if m.Place == place && strings.Contains(m.Problem, says) {
			return
		}
	}
	t.Errorf("got:\n%v\nwant one at %q with %q", mistakes, place, says)
}

// bomb has an alias in an alias, so that a short document becomes a large one.
func bomb(levels int) string {
	var text strings.Builder
	text.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < levels; i++ {
		fmt.Fprintf(&text, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	return text.String()
}

// longPlaces has many values below long names, so that their places need much memory.
func longPlaces() string {
	var text strings.Builder
	for i := range 30 {
		text.WriteString(strings.Repeat(" ", i) + strings.Repeat("n", 199) + ":\n")
	}
	return text.String() + strings.Repeat(" ", 30) + "[" + strings.Repeat("x, ", 9000) + "x]\n"
}

func TestParse_WhatIsNoSuchDocument(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, place, says string }{
		"nothing":                 {"", "", "the document is empty"},
		"a comment":               {"# nothing\n", "", "the document is empty"},
		"no mapping":              {"hello", "", "must be a mapping"},
		"no YAML":                 {"format: [1\nname: x", "", "this is no YAML"},
		"a tab":                   {"format: 1\n\tname: x", "", "indent with spaces"},
		"not UTF-8":               {"format: 1\nname: \xff\xfe", "", "UTF-8"},
		"too large":               {"# " + strings.Repeat("x", 64<<10), "", "at most 64 KiB"},
		"two documents":           {"format: 1\n---\nformat: 1\n", "", "one document"},
		"a name twice":            {"format: 1\nname: a\nname: b\n", "name", "there twice"},
		"a name twice, below":     {"account:\n  settings:\n    a: {}\n    a: {}\n", "account.settings.a", "there twice"},
		"a name twice in JSON":    {`{"format": 1, "format": 1}`, "format", "there twice"},
		"an unknown name":         {"formt: 1\n", "formt", "known are account, format"},
		"a merge":                 {"a: &a {x: 1}\nb: {<<: *a}\n", "b", "<< is not taken"},
		"an anchor in itself":     {"a: &a [*a]\n", "a[0][0]", "within its own anchor"},
		"a bomb of aliases":       {bomb(12), "", "too large or too deep"},
		"a long name":             {strings.Repeat("n", 201) + ": x\n", "", "at most 200 bytes"},
		"long places":             {longPlaces(), "", "too large or too deep"},
		"too deep":                {strings.Repeat("[", 500) + strings.Repeat("]", 500), "", "too large or too deep"},
		"a mapping as a name":     {"? {a: b}\n: c\n", "", "a name must be a text"},
		"a binary":                {"name: !!binary aGk=\n", "name", "a value must be a text"},
		"a type of its own":       {"name: !thing x\n", "name", "a value must be a text"},
		"another format":          {"format: 2\n", "format", "must be 1"},
		"a number for a text":     {"name: 5\n", "name", "put 5 into quotes"},
		"a truth value as a text": {"title: true\n", "title", "put true into quotes"},
		"a list for a mapping":    {"account: []\n", "account", "must be a mapping"},
		"a name in capitals":      {"name: Acme\n", "name", "lower-case letters"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mistakes := mistakesOf(t, tc.text)
			for _, m := range mistakes {
				if strings.Contains(m.Problem, tc.says) && (tc.place == "" || m.Place == tc.place) {
					return
				}
			}
			t.Errorf("got:\n%v\nwant one at %q with %q", mistakes, tc.place, tc.says)
		})
	}
}

func TestParse_BombIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	began := time.Now()
	_ = mistakesOf(t, bomb(60))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestParse_TellsEveryMistakeWithItsLine(t *testing.T) {
	t.Parallel()
	text := with(t, "format: 1", "format: 7", "status == 401 || body.error.code == 190", "status == 401 ||", "subject: [key_id, app_id]", "subject: [key_id, api_key]")
	lines := strings.Split(text, "\n")
	got := mistakesOf(t, text)
	want := []struct{ place, line, says string }{
		{"format", "format: 7", "must be 1"},
		{"token_types.api_key.verify.outcomes[1].when", "status == 401 ||'", "is no CEL expression"},
		{"token_types.api_key.subject[1]", "subject: [key_id, api_key]", "api_key is secret"},
	}
	if len(got) != len(want) {
		t.Fatalf("got:\n%v\nwant %d mistakes", got, len(want))
	}
	for i, w := range want {
		if got[i].Place != w.place || !strings.Contains(got[i].Problem, w.says) || !strings.Contains(lines[got[i].Line-1], w.line) {
			t.Errorf("got %v, want %s with %q in the line with %q", got[i], w.place, w.says, w.line)
		}
		if !strings.HasPrefix(got[i].String(), fmt.Sprintf("line %d: %s: ", got[i].Line, w.place)) {
			t.Errorf("got %q, want the line and the place first", got[i].String())
		}
	}
	if n := strings.Count(got.Error(), "\n"); n != len(want)-1 {
		t.Errorf("got %d lines, want one for each mistake", n+1)
	}
}

func TestParse_TakesJSONAndAliases(t *testing.T) {
	t.Parallel()
	const document = `{"format": 1, "name": "acme", "title": "Acme", "sources": [{"title": "x", "url": "https://acme.example", "read": "2026-11-26"}],
		"account": {"endpoints": {"base_url": {"description": "x"}}},
		"token_types": {"key": {"title": "Key", "description": "x", "reset_semantics": "immediate", "fields": {"z": {"description": "x"}, "a": {"secret": true, "description": "x"}},
		"verify": {"request": {"url": "{+account.base_url}", "headers": {"X": "{credential.a}"}}, "outcomes": [{"when": "status == 200", "outcome": "accepted"}]},
		"runbook": {"steps": ["x"], "previous": "x"}}}}`
	d := parse(t, document)
	if fields := d.Provider().Types[0].Fields; len(fields) != 2 || fields[0].Name != "z" || fields[1].Name != "a" {
		t.Errorf("got the fields %+v, want them in the document's order", fields)
	}
	const aliased = `
format: 1
name: acme
title: Acme
sources: [{title: x, url: https://acme.example, read: 2026-11-26}]
account: {endpoints: {base_url: {description: x}}}
token_types:
  one: &type
    title: One
    description: x
    reset_semantics: immediate
    fields: {a: {secret: true, description: x}}
    verify: {request: {url: '{+account.base_url}', headers: {X: '{credential.a}'}}, outcomes: [{when: status == 200, outcome: accepted}]}
    runbook: {steps: [x], previous: x}
  two: *type
`
	if types := parse(t, aliased).Provider().Types; len(types) != 2 || types[1].Title != "One" {
		t.Errorf("got %d types", len(types))
	}
}
