package backend

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

// acmeDefinition is a platform that does not exist, with everything that a definition can have.
func acmeDefinition(t *testing.T) string {
	t.Helper()
	document, err := os.ReadFile("provider/definition/testdata/acme_ads.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

// withAcme defines Acme, whose API accepts the given keys, and makes an account of it with a token.
func withAcme(t *testing.T, live ...string) *fixture {
	t.Helper()
	f := newFixture(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if !slices.Contains(live, r.Header.Get("X-Key")) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":{"code":190}}`))
			return
		}
		_, _ = w.Write([]byte(`{"id":1,"account_id":7}`))
	}))
	t.Cleanup(api.Close)
	f.askRight(t, logical.CreateOperation, "providers/acme_ads", map[string]any{"definition": acmeDefinition(t)})
	f.askRight(t, logical.CreateOperation, "config/acme", map[string]any{
		"provider": "acme_ads", "base_url": api.URL, "app_id": "12345", "contact_email": "ads@acme.example",
	})
	f.askRight(t, logical.CreateOperation, "tokens/key", map[string]any{
		"account": "acme", "type": "api_key", "key_id": "K12345678", "api_key": live[0],
	})
	return f
}

func TestProviders_NamesThatAreTakenAreThoseOfTheEngine(t *testing.T) {
	t.Parallel()
	said, taken := definition.Taken(), takenNames()
	for name, pair := range map[string][2][]string{
		"accounts": {said.Account, ownAccountNames()}, "tokens": {said.Token, ownTokenNames()},
		"the engine, accounts": {taken.Account, said.Account}, "the engine, tokens": {taken.Token, said.Token},
		"the engine, access tokens": {taken.AccessToken, said.AccessToken},
	} {
		for _, field := range pair[1] {
			if !slices.Contains(pair[0], field) {
				t.Errorf("%s has a field %q, which definitions may use all the same", name, field)
			}
		}
	}
}

func TestProviders_EachSaysWhatItTakes(t *testing.T) {
	t.Parallel()
	f := withAcme(t, "the-acme-key-of-today")
	list, err := f.handle(t, logical.ListOperation, "providers/", nil)
	if err != nil {
		t.Fatal(err)
	}
	info := list.Data["key_info"].(map[string]any)
	for name, origin := range map[string]string{"google_ads": "engine", "impact": "catalogue", "awin": "catalogue", "acme_ads": "custom"} {
		shown, _ := info[name].(map[string]any)
		if shown["origin"] != origin || shown["title"] == "" || len(shown["token_types"].([]string)) == 0 {
			t.Errorf("%s is listed as %v, want the origin %s, a title and types", name, shown, origin)
		}
		f.wantProvider(t, name, origin)
	}
	acme := f.read(t, "providers/acme_ads")
	if acme["definition"] != acmeDefinition(t) || acme["verified"] != false || len(acme["sources"].([]any)) != 1 {
		t.Errorf("got %v, want the document as it was written", maps.Collect(maps.All(acme)))
	}
	kind := acme["token_types"].(map[string]any)["api_key"].(map[string]any)
	for ability, want := range map[string]bool{"automatic": true, "revoke": true, "access_tokens": false, "consent": false} {
		if kind[ability] != want {
			t.Errorf("%s of api_key is %v", ability, kind[ability])
		}
	}
	if _, err := f.handle(t, logical.ReadOperation, "providers/nobody", nil); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("reading one that does not exist gives %v", err)
	}
}

// wantProvider reads a provider that is to come from origin.
func (f *fixture) wantProvider(t *testing.T, name, origin string) {
	t.Helper()
	read := f.read(t, "providers/"+name)
	if _, has := read["definition"]; has == (origin == originEngine) {
		t.Errorf("%s shows a definition: %t", name, has)
	}
	for kind, data := range read["token_types"].(map[string]any) {
		if fields := data.(map[string]any)["fields"].([]string); len(fields) == 0 {
			t.Errorf("the type %s of %s has no fields", kind, name)
		}
	}
}

func TestProviders_DefinedOnTheSpotIsServed(t *testing.T) {
	t.Parallel()
	f := withAcme(t, "the-acme-key-of-today", "the-acme-key-of-tomorrow")
	creds := f.askRight(t, logical.ReadOperation, "creds/key", nil)
	if creds["api_key"] != "the-acme-key-of-today" || creds["key_id"] != "K12345678" || !strings.HasSuffix(creds["account_url"].(string), "/v2/EMEA") {
		t.Errorf("got %v", creds["account_url"])
	}
	f.askRight(t, logical.UpdateOperation, "tokens/key/rotate", map[string]any{"api_key": "the-acme-key-of-tomorrow"})
	if got := f.askRight(t, logical.ReadOperation, "creds/key", nil); got["version"] != 2 || got["api_key"] != "the-acme-key-of-tomorrow" {
		t.Errorf("version %v is served", got["version"])
	}
	response, said := f.ask(t, logical.UpdateOperation, "tokens/key/rotate", map[string]any{"api_key": "a-key-of-nobody"})
	if response == nil || !response.IsError() && !strings.Contains(said, "Acme refuses the key") {
		t.Errorf("a wrong key gives %s", said)
	}
	if _, said := f.ask(t, logical.UpdateOperation, "tokens/key/rotate", map[string]any{"api_kee": "x"}); !strings.Contains(said, "did you mean api_key") {
		t.Errorf("a misspelt field gives %s", said)
	}
}

func TestProviders_ADefinitionGivesWayOnlyWhereNothingUsesWhatItLoses(t *testing.T) {
	t.Parallel()
	f := withAcme(t, "the-acme-key-of-today")
	document := acmeDefinition(t)
	for name, tt := range map[string]struct{ from, to, says string }{
		"a used type":     {"  api_key:\n    title", "  other_key:\n    title", "api_key"},
		"a used field":    {"      key_id: {pattern: 'K[0-9]{8}', form: K and 8 digits, description: Name of the key.}\n", "", "key_id"},
		"a secret's mark": {"api_key: {secret: true, description", "api_key: {description", "secret"},
		"a used endpoint": {"    base_url: {default: https://api.acme.example, description: Address of the API.}\n", "", "base_url"},
		"a mistake":       {"reset_semantics: immediate", "reset_semantics: at once", "reset_semantics"},
		"another name":    {"name: acme_ads", "name: acme_two", "acme_two"},
	} {
		changed := strings.Replace(document, tt.from, tt.to, 1)
		if changed == document {
			t.Fatalf("%s: nothing was changed", name)
		}
		response, said := f.ask(t, logical.UpdateOperation, "providers/acme_ads", map[string]any{"definition": changed})
		if !strings.Contains(said, tt.says) || !strings.Contains(said, "nothing was changed") || response != nil && !response.IsError() {
			t.Errorf("%s: got %s", name, said)
		}
	}
	if _, said := f.ask(t, logical.DeleteOperation, "providers/acme_ads", nil); !strings.Contains(said, `used by 1 account(s), among them \"acme\"`) {
		t.Errorf("deleting it gives %s", said)
	}
	better := strings.Replace(document, "Acme accepts the key", "Acme takes the key", 1)
	f.askRight(t, logical.UpdateOperation, "providers/acme_ads", map[string]any{"definition": better})
	if got := f.askRight(t, logical.UpdateOperation, "tokens/key/verify", nil); got["detail"] != "Acme takes the key" {
		t.Errorf("the definition that was replaced still says %v", got["detail"])
	}
	f.askRight(t, logical.DeleteOperation, "tokens/key", nil)
	f.askRight(t, logical.DeleteOperation, "config/acme", nil)
	f.askRight(t, logical.DeleteOperation, "providers/acme_ads", nil)
	f.askRight(t, logical.DeleteOperation, "providers/acme_ads", nil) // it is gone already
	if _, said := f.ask(t, logical.CreateOperation, "config/acme", map[string]any{"provider": "acme_ads"}); !strings.Contains(said, "provider must be one of") {
		t.Errorf("an account of a deleted provider gives %s", said)
	}
}

// TestProviders_EveryMistakeIsToldAtOnce, the name of another path among them.
func TestProviders_EveryMistakeIsToldAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	document := strings.Replace(acmeDefinition(t), "when: 'status == 401 || body.error.code == 190'", "when: 'status = 401'", 1)
	document = strings.Replace(document, "      probe_path: {pattern", "      code: {description: x}\n      probe_path: {pattern", 1)
	response, said := f.ask(t, logical.CreateOperation, "providers/acme", map[string]any{"definition": document})
	if response == nil || !response.IsError() {
		t.Fatalf("got %s, want a refusal", said)
	}
	for _, place := range []string{"name: is ", "token_types.api_key.options.code: ", "token_types.api_key.verify.outcomes[1].when: "} {
		if !strings.Contains(said, place) {
			t.Errorf("got:\n%s\nwant %q in it", said, place)
		}
	}
}

// TestProviders_UnverifiedWithoutNotes says so in a whole sentence.
func TestProviders_UnverifiedWithoutNotes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	document := strings.Replace(acmeDefinition(t), "notes: [\"Whether a reset ends the old key at once is not documented.\"]\n", "", 1)
	response, err := f.handle(t, logical.CreateOperation, "providers/acme_ads", map[string]any{"definition": document})
	if err != nil || response == nil || len(response.Warnings) != 1 || !strings.HasSuffix(response.Warnings[0], "no notes that say which") {
		t.Errorf("got %+v, error %v", response, err)
	}
}

func TestProviders_TheEnginesOwnCannotBeChanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, says := range map[string]string{"google_ads": "belongs to the engine", "impact": "belongs to the engine's catalogue"} {
		document := strings.Replace(acmeDefinition(t), "name: acme_ads", "name: "+name, 1)
		if _, said := f.ask(t, logical.UpdateOperation, "providers/"+name, map[string]any{"definition": document}); !strings.Contains(said, says) {
			t.Errorf("writing %s gives %s", name, said)
		}
		if _, said := f.ask(t, logical.DeleteOperation, "providers/"+name, nil); !strings.Contains(said, says) {
			t.Errorf("deleting %s gives %s", name, said)
		}
	}
	for name, says := range map[string]string{"Acme": "must be lower-case", "acme-ads": "must be lower-case"} {
		if _, said := f.ask(t, logical.CreateOperation, "providers/"+name, map[string]any{"definition": acmeDefinition(t)}); !strings.Contains(said, says) {
			t.Errorf("%s: got %s", name, said)
		}
	}
	if _, said := f.ask(t, logical.CreateOperation, "providers/acme_ads", nil); !strings.Contains(said, "definition is missing") {
		t.Errorf("without a document: got %s", said)
	}
	_, said := f.ask(t, logical.CreateOperation, "providers/acme_ads", map[string]any{"definition": "acme_ads.yaml"})
	if !strings.Contains(said, "definition=@file.yaml reads a file") {
		t.Errorf("a file's name instead of what is in it: got %s", said)
	}
}

// An address that a definition brings later is unset in accounts that are there already, and one that it changes stays what it was: no
// change of a definition sends a secret to another host.
func TestProviders_AnAccountKeepsTheAddressesOfItsCreation(t *testing.T) {
	t.Parallel()
	f := withAcme(t, "the-acme-key-of-today")
	f.askRight(t, logical.CreateOperation, "config/default", map[string]any{"provider": "acme_ads", "app_id": "12345", "contact_email": "a@b.example"})
	moved := strings.NewReplacer(
		"https://api.acme.example", "https://thief.example",
		"    token_url:", "    login_url: {default: https://thief.example, description: New.}\n    token_url:",
	).Replace(acmeDefinition(t))
	f.askRight(t, logical.UpdateOperation, "providers/acme_ads", map[string]any{"definition": moved})
	for name, want := range map[string]provider.Values{
		"default": {"base_url": "https://api.acme.example", "login_url": ""},
	} {
		got := f.askRight(t, logical.ReadOperation, "config/"+name, nil)
		for field, value := range want {
			if got[field] != value {
				t.Errorf("%s of %s is %v, want %q", field, name, got[field], value)
			}
		}
	}
	f.askRight(t, logical.UpdateOperation, "config/default", map[string]any{"contact_email": "c@d.example"})
	if got := f.askRight(t, logical.ReadOperation, "config/default", nil); got["base_url"] != "https://api.acme.example" || got["login_url"] != "" {
		t.Errorf("a write of something else sets base_url to %v and login_url to %v", got["base_url"], got["login_url"])
	}
}

func TestProviders_ReplacedOnAnotherNodeIsReadAgain(t *testing.T) {
	t.Parallel()
	f := withAcme(t, "the-acme-key-of-today")
	better := strings.Replace(acmeDefinition(t), "title: Acme Ads API", "title: Acme Marketing API", 1)
	entry, err := logical.StorageEntryJSON(definitionPrefix+"acme_ads", definitionEntry{Schema: definitionSchema, Document: better})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.storage.Put(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	f.InvalidateKey(t.Context(), definitionPrefix+"acme_ads")
	if got := f.read(t, "providers/acme_ads")["title"]; got != "Acme Marketing API" {
		t.Errorf("got the title %v", got)
	}
	f.askRight(t, logical.ReadOperation, "creds/key", nil)
}
