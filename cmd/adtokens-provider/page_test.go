package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// update has the tests write what is made of the catalogue: go test ./cmd/adtokens-provider -update.
var update = flag.Bool("update", false, "write the pages about platforms, and the schema, as they should be")

const docs = "../../docs"

// byHand are the platforms whose page has more than their definition tells.
var byHand = []string{"impact"}

// compareFile wants a file to be what a command prints.
func compareFile(t *testing.T, path string, args ...string) {
	t.Helper()
	var out, errOut bytes.Buffer
	if code := program().Execute(t.Context(), args, cli.Streams{Out: &out, Err: &errOut}); code != cli.ExitOK {
		t.Fatalf("%q: exit code %d: %s", args, code, &errOut)
	}
	compareWith(t, path, out.Bytes())
}

// compareWith wants a file to be what it is made of.
func compareWith(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if written, err := os.ReadFile(path); err != nil || !bytes.Equal(written, want) {
		t.Errorf("%s is not what it is made of (%v): run go test ./cmd/adtokens-provider -update", path, err)
	}
}

func TestCompiled_IsThatOfTheDocuments(t *testing.T) {
	t.Parallel()
	compiled, err := catalogue.Compiled()
	if err != nil {
		t.Fatal(err)
	}
	compareWith(t, "../../backend/provider/catalogue/compiled.jsonl", compiled)
}

func TestDoc_PagesAreThoseOfTheCatalogue(t *testing.T) {
	t.Parallel()
	for _, name := range catalogue.Names() {
		if !slices.Contains(byHand, name) {
			compareFile(t, filepath.Join(docs, "platforms", name+".md"), "doc", name)
		}
	}
}

// TestDoc_PagesByHandNameEverything that a definition has.
func TestDoc_PagesByHandNameEverything(t *testing.T) {
	t.Parallel()
	for _, name := range byHand {
		page, err := os.ReadFile(filepath.Join(docs, "platforms", name+".md"))
		if err != nil {
			t.Fatal(err)
		}
		document, _ := catalogue.Document(name)
		d, err := definition.Load(document)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range d.Describe().Account {
			names = append(names, f.Name)
		}
		for _, kind := range d.Describe().Types {
			names = append(names, kind.Name)
			for _, f := range slices.Concat(kind.Fields, kind.Options) {
				names = append(names, f.Name)
			}
		}
		for _, wanted := range names {
			if !strings.Contains(string(page), wanted) {
				t.Errorf("%s.md does not say anything of %s", name, wanted)
			}
		}
	}
}

func TestSchema_IsAmongTheDocs(t *testing.T) {
	t.Parallel()
	compareFile(t, filepath.Join(docs, "provider-definition.schema.json"), "schema")
}

const exhaustive = `
format: 1
name: acme_ads
title: Acme | Ads API
sources: [{title: Acme's guide, url: 'https://docs.acme.example', read: 2026-11-26}]
verified: false
notes: ['whether | is fine is not confirmed']
account:
  endpoints:
    base_url: {default: 'https://api.acme.example', description: Address.}
    other_url: {required: true, description: Another address.}
  settings:
    region: {choices: {eu: EMEA, us: AMER}, default: eu, description: Region.}
  limits: {verifications: {burst: 3, every: 1m}}
token_types:
  key:
    title: Key
    description: A key.
    reset_semantics: overlapping
    fields:
      key_id: {pattern: 'K[0-9]+', form: K and digits, description: Name.}
      key_secret: {secret: true, description: Secret.}
      api_key: {secret: true, description: Value.}
    options: {probe_path: {pattern: '[a-z]+', form: letters, required: true, description: Resource.}}
    verify:
      request: {url: '{+account.base_url}/{+option.probe_path}', bearer: '{credential.api_key}'}
      outcomes:
        - {when: 'status == 200 && has(body.id)', outcome: accepted, detail: Acme accepts the key}
        - {when: 'status == 401', outcome: rejected, detail: Acme refuses the key}
      control: {field: api_key}
    lifetime: 30d
    connection: {base_url: '{+account.base_url}'}
    subject: [key_id]
    rotate:
      request: {method: POST, url: '{+account.base_url}/keys', bearer: '{credential.api_key}'}
      outcomes: [{when: 'status == 200', outcome: replaced}]
      credential: {api_key: body.key}
      lost_answer: person
    runbook:
      console_url: https://console.acme.example
      role: Admin
      steps: [press Reset, {when: 'account.region == "eu"', text: Press it twice.}]
      previous: works for a day
      notes: [Be careful.]
  client:
    title: OAuth client
    description: A client.
    reset_semantics: immediate
    fields:
      client_id: {description: Id.}
      client_secret: {secret: true, description: Secret.}
      refresh_token: {secret: true, description: Token.}
    grant:
      type: refresh_token
      url: '{+account.base_url}/token'
      client: basic
      refresh_token: {answer: always, previous: dies, keep_alive: 48h}
    runbook: {steps: [Agree again.], previous: Dead.}
`

func TestDoc_SaysEverything(t *testing.T) {
	t.Parallel()
	code, page, errText := execute(t, exhaustive, "doc", "-")
	if code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errText)
	}
	for _, want := range []string{
		"# Acme | Ads API", "**Some of the facts that it rests on are not confirmed**", "- Whether | is fine is not confirmed.",
		"`vault write adtokens/config/<account> provider=acme_ads other_url=…` makes an account",
		"| `region` | Region. | one of `eu`, `us`; default `eu` |", "| `other_url` | Another address. Changes only where", "verifies 3 tokens at once by itself, and one more every 60s",
		"`GET {+account.base_url}/{+option.probe_path}`; a wrong `api_key` has to be refused beside it",
		"type=key probe_path=… key_id=… key_secret=@FILE api_key=-`", "lives for at most 30 days", "where a lost answer needs a person",
		"By hand (Admin), at <https://console.acme.example>:", "1. Press Reset.\n", "1. *Where `account.region == \"eu\"`:* Press it twice.\n", "The old value: Works for a day.", "Be careful.",
		"Beside the credential apps get `base_url`. A reset hook gets `key_id`.", "**An answer that gets lost takes the new value with it**",
		"an access token is made from it", "`creds/<name>` is refused", "refreshes every 2 days at the latest", "- [Acme's guide](https://docs.acme.example), read 2026-11-26",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, "<no value>") || strings.Contains(page, "\n\n\n") || !strings.HasSuffix(page, "\n") {
		t.Errorf("the page is not well formed:\n%s", page)
	}
	if t.Failed() {
		t.Log(page)
	}
}
