package definition_test

import (
	"os"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

// acme is a definition with everything in it.
func acme(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/acme_ads.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// with replaces a part of acme that is there once.
func with(t testing.TB, replacements ...string) string {
	t.Helper()
	text := acme(t)
	for i := 0; i < len(replacements); i += 2 {
		if n := strings.Count(text, replacements[i]); n != 1 {
			t.Fatalf("%q is there %d times", replacements[i], n)
		}
		text = strings.Replace(text, replacements[i], replacements[i+1], 1)
	}
	return text
}

func parse(t testing.TB, text string) *definition.Definition {
	t.Helper()
	d, err := definition.Parse([]byte(text), definition.Taken())
	if err != nil {
		t.Fatalf("Parse:\n%v", err)
	}
	return d
}

func TestParse_Acme(t *testing.T) {
	t.Parallel()
	d := parse(t, acme(t))
	if d.Name() != "acme_ads" || d.Title() != "Acme Ads API" || len(d.Sources()) != 1 || string(d.Document()) != acme(t) {
		t.Errorf("got %s, %s, %d sources", d.Name(), d.Title(), len(d.Sources()))
	}
}

func TestRunExamples_Acme(t *testing.T) {
	t.Parallel()
	d := parse(t, acme(t))
	if wrong := d.RunExamples(t.Context()); len(wrong) > 0 {
		t.Errorf("got:\n%v", wrong)
	}
	if missing := d.MissingExamples(); len(missing) > 0 {
		t.Errorf("got:\n%v", missing)
	}
}
