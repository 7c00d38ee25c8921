//go:build unix

package acceptance

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// consenting is a platform of the catalogue, whose definition an operator has given the consent page that the catalogue does not know.
type consenting struct {
	catalogued
	// consent is the member of the token type, on one line.
	consent string
	// exchanged is the endpoint that takes the code, as the platform's script names it.
	exchanged string
	// needs are the fields that the consent does not give.
	needs []string
	pkce  bool
}

var consentingTypes = map[string]consenting{
	"Pinterest": {
		catalogued: cataloguedTypes["Pinterest"], exchanged: "POST /v5/oauth/token", needs: []string{"client_id", "client_secret"},
		consent: `{authorize_url: '{+account.base_url}/oauth/', params: {client_id: '{credential.client_id}', scope: 'ads:read'},
      exchange: {url: '{+account.base_url}/v5/oauth/token', client: basic}, credential: {refresh_token: body.refresh_token}}`,
	},
	"Pinterest, PKCE": {
		catalogued: cataloguedTypes["Pinterest"], exchanged: "POST /v5/oauth/token", needs: []string{"client_id", "client_secret"}, pkce: true,
		consent: `{authorize_url: '{+account.base_url}/oauth/', params: {client_id: '{credential.client_id}', scope: 'ads:read'}, pkce: true,
      exchange: {url: '{+account.base_url}/v5/oauth/token', client: basic}, credential: {refresh_token: body.refresh_token}}`,
	},
	"LinkedIn": {
		catalogued: cataloguedTypes["LinkedIn"], exchanged: "POST /oauth/v2/accessToken", needs: []string{"client_id", "client_secret"},
		consent: `{authorize_url: '{+account.oauth_url}/authorization', params: {client_id: '{credential.client_id}', scope: r_ads},
      exchange: {url: '{+account.oauth_url}/accessToken', client: body}, credential: {refresh_token: body.refresh_token}}`,
	},
	"Microsoft": {
		catalogued: cataloguedTypes["Microsoft"], exchanged: "POST /{tenant}/oauth2/v2.0/token", needs: []string{"developer_token", "client_id", "client_secret"},
		consent: `{authorize_url: '{+account.login_url}/{account.tenant}/oauth2/v2.0/authorize', params: {client_id: '{credential.client_id}',
      scope: 'https://ads.microsoft.com/msads.manage offline_access'}, exchange: {url: '{+account.login_url}/{account.tenant}/oauth2/v2.0/token', client: body},
      credential: {refresh_token: body.refresh_token}}`,
	},
}

// onConsent is a world with an account of such a platform, and the token app without a value.
type onConsent struct {
	*onPlatform
	consenting
}

func newOnConsent(t *testing.T, world *world, c consenting) *onConsent {
	t.Helper()
	w := &onConsent{&onPlatform{world: world, catalogued: c.catalogued}, c}
	w.platform = w.sim.Platform(c.provider)
	w.credential = w.platform.Make(t, c.kind, "app")
	// As `adtokens-provider show` gives it, under another name.
	document := w.data(t, "providers/"+c.provider)["definition"].(string)
	document = strings.Replace(document, "name: "+c.provider, "name: with_consent", 1)
	document = strings.Replace(document, "\n    grant:\n", "\n    consent: "+c.consent+"\n    grant:\n", 1)
	w.write(t, "providers/with_consent", fields{"definition": document})
	account := c.account(w.platform.URL)
	account["provider"] = "with_consent"
	w.write(t, "config/shop", account)
	w.write(t, "tokens/app", fields{"account": "shop", "type": c.kind})
	return w
}

// client is what a person knows of the app.
func (w *onConsent) client(t *testing.T) fields {
	t.Helper()
	client := fields{}
	for _, name := range w.needs {
		client[name] = w.credential.Fields(t)[name]
	}
	return client
}

// begin begins a consent, and looks at the address that a person is to open.
func (w *onConsent) begin(t *testing.T, data fields) string {
	t.Helper()
	asked := w.write(t, "tokens/app/consent", data).Data
	address := done(url.Parse(asked["consent_url"].(string)))(t)
	query := address.Query()
	if query.Get("state") != asked["state"] || len(query.Get("state")) < 32 || (query.Get("code_challenge_method") == "S256") != w.pkce || query.Has("code_challenge") != w.pkce {
		t.Errorf("the address has the parameters %v", query)
	}
	tellsNoSecret(t, "the address of the consent", asked)
	if ends := done(time.Parse(time.RFC3339, asked["expires_at"].(string)))(t); time.Until(ends) > 10*time.Minute || time.Until(ends) < 9*time.Minute {
		t.Errorf("the consent can be answered until %s", ends)
	}
	return address.String()
}

// formPattern finds the form of a page, and buttonPattern its buttons.
var (
	formPattern   = regexp.MustCompile(`<form method="post"(?: action="([^"]*)")?>`)
	buttonPattern = regexp.MustCompile(`<button name="([^"]+)" value="([^"]+)">([^<]+)</button>`)
)

// press opens a page as a browser does, presses the button with a label, and returns where the browser is sent.
func press(t *testing.T, address, label string) string {
	t.Helper()
	browser := &http.Client{
		Jar:           done(cookiejar.New(nil))(t),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	page := done(browser.Get(address))(t) //nolint:bodyclose // closed below
	defer page.Body.Close()
	text := string(done(io.ReadAll(page.Body))(t))
	form := formPattern.FindStringSubmatch(text)
	if page.StatusCode != http.StatusOK || form == nil {
		t.Fatalf("the page answers %s without a form", page.Status)
	}
	buttons := buttonPattern.FindAllStringSubmatch(text, -1)
	i := slices.IndexFunc(buttons, func(b []string) bool { return b[3] == label })
	if i < 0 {
		t.Fatalf("the page has no button %q", label)
	}
	action := page.Request.URL
	if form[1] != "" {
		action = done(action.Parse(html.UnescapeString(form[1])))(t)
	}
	back := done(browser.PostForm(action.String(), url.Values{buttons[i][1]: {buttons[i][2]}}))(t) //nolint:bodyclose // closed below
	defer back.Body.Close()
	if back.StatusCode != http.StatusFound {
		t.Fatalf("the button gives %s", back.Status)
	}
	return back.Header.Get("Location")
}

// exchanges counts the requests to the endpoint that takes codes.
func (w *onConsent) exchanges(t *testing.T) int {
	t.Helper()
	return w.platform.Count(t, w.exchanged)
}

// refusedWithout hands in what must be refused without a word to the platform.
func (w *onConsent) refusedWithout(t *testing.T, answer fields, words ...string) {
	t.Helper()
	asked := w.exchanges(t)
	_, err := w.Write(t.Context(), "tokens/app/rotate", answer)
	refused(t, err, http.StatusBadRequest, words...)
	if sent := w.exchanges(t) - asked; sent != 0 {
		t.Errorf("%d requests were sent for an answer that is refused", sent)
	}
}

func TestConsent_OfADeclaredPlatformInTheBrowser(t *testing.T) {
	t.Parallel()
	for name, c := range consentingTypes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOnConsent(t, newWorld(t), c)
			has(t, w.data(t, "tokens/app/rotate"), fields{"consent": true})
			mentions(t, "the runbook", w.data(t, "tokens/app/rotate")["steps"].([]any)[0].(string), w.needs...)

			// Whatever the consent does not give has to be there before anybody agrees.
			for _, left := range w.needs {
				client := w.client(t)
				delete(client, left)
				_, err := w.Write(t.Context(), "tokens/app/consent", client)
				refused(t, err, http.StatusBadRequest, left+" is missing")
			}

			denied := press(t, w.begin(t, w.client(t)), "Cancel")
			w.refusedWithout(t, fields{"redirect_url": denied}, "access_denied", "tokens/app/consent")
			w.refusedWithout(t, fields{"redirect_url": denied}, "no consent of this token waits")
			has(t, w.data(t, "tokens/app"), fields{"version": 0, "health": "none"})

			older := press(t, w.begin(t, w.client(t)), "Allow")
			newest := press(t, w.begin(t, w.client(t)), "Allow")
			w.refusedWithout(t, fields{"redirect_url": older}, "newest consent")
			code := done(url.Parse(newest))(t).Query().Get("code")
			w.refusedWithout(t, fields{"code": code, "state": "made-up"}, "newest consent")
			w.refusedWithout(t, fields{"code": code}, "belong together")
			w.refusedWithout(t, fields{"redirect_url": strings.Replace(newest, "state=", "sta=", 1)}, "the whole address")

			rotated := w.write(t, "tokens/app/rotate", fields{"redirect_url": newest, "reason": "first consent"}).Data
			has(t, rotated, fields{"version": 1, "verification": "accepted"})
			has(t, w.history(t, "app")[0], fields{"source": "consent", "reason": "first consent"})
			w.refusedWithout(t, fields{"redirect_url": newest}, "no consent of this token waits")
			w.servesCreds(t, 1)
			if w.data(t, "access-token/app")["access_token"] == "" {
				t.Error("there is no access token")
			}

			// The next time the token has the client.
			again := press(t, w.begin(t, nil), "Allow")
			has(t, w.write(t, "tokens/app/rotate", fields{"redirect_url": again, "cas": 1}).Data, fields{"version": 2, "previous_version": 1, "verification": "accepted"})
			w.servesCreds(t, 2)
			has(t, w.data(t, "tokens/app"), fields{"health": "ok", "last_error": ""})
			for _, call := range w.platform.Calls(t) {
				if call.Verdict == "ended code" || call.Verdict == "wrong code" {
					t.Errorf("a code was sent that the platform answers with %q", call.Verdict)
				}
			}
			tellsNoSecret(t, "the history", w.history(t, "app"))
		})
	}
}

func TestConsent_IsAnsweredOnceHoweverManyTry(t *testing.T) {
	t.Parallel()
	w := newOnConsent(t, newWorld(t), consentingTypes["Pinterest"])
	redirect := press(t, w.begin(t, w.client(t)), "Allow")
	var (
		people    sync.WaitGroup
		mu        sync.Mutex
		succeeded int
	)
	for range 20 {
		people.Go(func() {
			if _, err := w.Write(t.Context(), "tokens/app/rotate", fields{"redirect_url": redirect}); err == nil {
				mu.Lock()
				defer mu.Unlock()
				succeeded++
			}
		})
	}
	people.Wait()
	exchanged := 0
	for _, call := range w.platform.Calls(t) {
		if call.Path == "/v5/oauth/token" {
			exchanged++
		}
	}
	if succeeded != 1 || exchanged != 2 { // the code, and the verification's refresh
		t.Errorf("%d of 20 succeeded, with %d requests to the token endpoint; want 1 with 2", succeeded, exchanged)
	}
	has(t, w.data(t, "tokens/app"), fields{"version": 1, "health": "ok"})
}

func TestConsent_SurvivesARestartAndEndsWithItsToken(t *testing.T) {
	t.Parallel()
	server := vaulttest.StartDev(t)
	w := newOnConsent(t, &world{Mount: server.Mount(t), sim: vaulttest.StartSimulator(t)}, consentingTypes["LinkedIn"])
	redirect := press(t, w.begin(t, w.client(t)), "Allow")
	server.KillPlugins(t)
	vaulttest.Await(t, "the plugin to be back", func() bool { _, err := w.Read(t.Context(), "info"); return err == nil })
	has(t, w.write(t, "tokens/app/rotate", fields{"redirect_url": redirect}).Data, fields{"version": 1})

	// A token of the same name that was made since has no part in the consent of the one before.
	orphan := press(t, w.begin(t, nil), "Allow")
	w.remove(t, "tokens/app")
	_, err := w.Write(t.Context(), "tokens/app/rotate", fields{"redirect_url": orphan})
	refused(t, err, http.StatusNotFound, "app")
	w.write(t, "tokens/app", fields{"account": "shop", "type": w.consenting.kind})
	w.refusedWithout(t, fields{"redirect_url": orphan}, "no consent of this token waits")
	w.write(t, "tokens/app/consent", w.client(t))
	w.refusedWithout(t, fields{"redirect_url": orphan}, "newest consent")

	// Nor has another token's.
	w.write(t, "tokens/other", fields{"account": "shop", "type": w.consenting.kind})
	other := press(t, w.write(t, "tokens/other/consent", w.client(t)).Data["consent_url"].(string), "Allow")
	w.refusedWithout(t, fields{"redirect_url": other}, "newest consent")
	has(t, w.write(t, "tokens/other/rotate", fields{"redirect_url": other}).Data, fields{"version": 1})
}

func TestConsent_WhileAHookIsAtWorkComesFirst(t *testing.T) {
	t.Parallel()
	w := newOnConsent(t, newWorld(t), consentingTypes["LinkedIn"])
	redirect := press(t, w.begin(t, w.client(t)), "Allow")
	w.write(t, "tokens/app/rotate", fields{"redirect_url": redirect})
	hook := startHook(t, w.world, slices.Repeat([]hookAnswer{{status: http.StatusAccepted}}, 1000)...)
	w.addHook(t, "shop", hook)
	redirect = press(t, w.begin(t, nil), "Allow")
	rotation := w.startRotation(t, "app", nil)
	w.awaitState(t, "app", "requested")
	secret := w.write(t, "tokens/app/rotate", fields{"redirect_url": redirect})
	has(t, secret.Data, fields{"version": 2, "verification": "accepted"})
	warnsAmongOthers(t, secret.Warnings, "reset hook")
	<-rotation.answer // it was superseded, whatever it says
	has(t, w.data(t, "tokens/app"), fields{"version": 2, "rotation_state": "idle", "health": "ok"})
}
