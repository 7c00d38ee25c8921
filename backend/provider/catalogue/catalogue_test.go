package catalogue_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

// load reads a definition of the catalogue with everything that is checked.
func load(t *testing.T, name string) *definition.Definition {
	t.Helper()
	document, ok := catalogue.Document(name)
	if !ok {
		t.Fatalf("the catalogue has no %s", name)
	}
	d, err := definition.ParseCatalogue(document, definition.Taken())
	if err != nil {
		t.Fatalf("%s.yaml:\n%v", name, err)
	}
	return d
}

func TestNames_AreThoseOfTheDocuments(t *testing.T) {
	t.Parallel()
	want := []string{
		"adjust", "amazon_ads", "appsflyer", "awin", "cj", "criteo", "everflow", "impact", "linkedin_ads", "meta", "microsoft_ads", "outbrain",
		"partnerize", "pinterest_ads", "reddit_ads", "snapchat_ads", "taboola", "the_trade_desk", "tiktok_ads", "tune",
	}
	if got := catalogue.Names(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for _, name := range catalogue.Names() {
		if got := load(t, name).Name(); got != name {
			t.Errorf("%s.yaml has the name %q", name, got)
		}
	}
}

func TestDocument_OfAnUnknownName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "google_ads", "Meta", "meta.yaml", "../catalogue/meta", "catalogue.go", "."} {
		if document, ok := catalogue.Document(name); ok || document != nil {
			t.Errorf("%q is in the catalogue", name)
		}
	}
}

func TestDefinitions_ExamplesHold(t *testing.T) {
	t.Parallel()
	for _, name := range catalogue.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := load(t, name)
			for _, mistake := range slices.Concat(d.RunExamples(t.Context()), d.MissingExamples()) {
				t.Errorf("%s.yaml: %s", name, mistake)
			}
		})
	}
}

// TestDefinitions_SayWhatIsNotConfirmed wants notes of every definition that calls itself unverified, and runbooks and sources of all.
func TestDefinitions_SayWhatIsNotConfirmed(t *testing.T) {
	t.Parallel()
	doubt := regexp.MustCompile(`(?i)not (confirmed|documented|known|among the facts)|secondary`)
	for _, name := range catalogue.Names() {
		d := load(t, name).Describe()
		if !d.Verified && !slices.ContainsFunc(d.Notes, doubt.MatchString) {
			t.Errorf("%s is not verified, and no note says what is not confirmed", name)
		}
		for _, kind := range d.Types {
			if kind.Title == "" || kind.Previous == "" || len(kind.Steps) == 0 {
				t.Errorf("%s of %s lacks a part of its runbook: %+v", kind.Name, name, kind)
			}
		}
		for _, source := range d.Sources {
			if !strings.HasPrefix(source.URL, "https://") || source.Title == "" || source.Read == "" {
				t.Errorf("%s has the source %+v", name, source)
			}
		}
	}
}

// accountAt has every address lead to the server.
func accountAt(t *testing.T, d *definition.Definition, address string) provider.Account {
	t.Helper()
	client, err := provider.NewClient(provider.ClientConfig{Timeout: time.Minute})
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	t.Cleanup(client.CloseIdleConnections)
	settings := samplesOf(t, d.Provider().AccountFields)
	for _, f := range d.Describe().Account {
		if strings.HasPrefix(settings[f.Name], "https://") {
			settings[f.Name] = address
		}
	}
	return provider.Account{Settings: settings, Client: client}
}

// TestDefinitions_OthersProveNothing: the page of a proxy or a login portal, an empty answer, a redirect and trouble of the server's
// own neither prove nor refute a token, whatever their status.
func TestDefinitions_OthersProveNothing(t *testing.T) {
	t.Parallel()
	const (
		json = "application/json"
		html = "text/html; charset=utf-8"
	)
	answers := map[string]struct {
		contentType, body string
		statuses          []int
	}{
		"page":                   {html, "<!DOCTYPE html><html><body>code 0, id 1, active true</body></html>", []int{200, 201, 400, 401, 403, 404}},
		"page announced as JSON": {json, " <html>Sign in</html>", []int{200, 400, 401, 403, 404}},
		"nothing":                {"", "", []int{200, 201, 204, 400, 403, 404}},
		"text":                   {"text/plain", "OK", []int{200, 400, 403, 404}},
		"null":                   {json, "null", []int{200, 400, 403, 404}},
		"empty object":           {json, "{}", []int{200, 400, 404}},
		"half an object":         {json, `{"id": 1, "code": 0`, []int{200, 400, 403}},
		"trouble":                {json, `{"error": {"code": 190}, "code": 40105, "active": false, "access_token": "x"}`, []int{500, 502, 503}},
		"redirect":               {json, `{"id": 1, "code": 0, "active": true}`, []int{301, 302, 307}},
	}
	for _, name := range catalogue.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := load(t, name)
			var answer atomic.Pointer[http.HandlerFunc]
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*answer.Load())(w, r) }))
			t.Cleanup(server.Close)
			account := accountAt(t, d, server.URL)
			for what, a := range answers {
				for _, status := range a.statuses {
					handler := reply(status, a.contentType, a.body)
					answer.Store(&handler)
					for _, kind := range d.Provider().Types {
						proveNothing(t, d, kind, account, what, status)
					}
				}
			}
		})
	}
}

func reply(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			_, _ = w.Write([]byte(body))
		}
	}
}

func proveNothing(t *testing.T, d *definition.Definition, kind *provider.TokenType, a provider.Account, what string, status int) {
	t.Helper()
	token := provider.Token{Options: samplesOf(t, kind.Options), Credential: samplesOf(t, kind.Fields)}
	v, _, err := d.Try(t.Context(), kind.Name, a, token)
	if err != nil {
		if _, ok := errors.AsType[*provider.Error](err); !ok {
			t.Errorf("%s, HTTP %d, %s: %v", what, status, kind.Name, err)
		}
		return
	}
	if v.Outcome != provider.Inconclusive {
		t.Errorf("%s, HTTP %d, %s: got %+v", what, status, kind.Name, v)
	}
}
