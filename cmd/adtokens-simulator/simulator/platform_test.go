package simulator_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// shop is a platform by rules of a world of its own, and one credential of it, named app.
type shop struct {
	world
	url        string
	credential simulator.PlatformName
	fields     map[string]string
}

// newShop serves a script, or what is built in, and makes a credential of a kind.
func newShop(t *testing.T, platform, kind string) *shop {
	t.Helper()
	w := newWorld(t)
	if strings.Contains(platform, "\n") {
		platform = must(w.console.AddPlatform(t.Context(), platform))(t)
	}
	s := &shop{world: w, url: w.PlatformsURL + "/" + platform, credential: simulator.PlatformName{Platform: platform, Name: "app"}}
	s.fields = must(w.console.MakeCredential(t.Context(), s.credential, kind))(t)
	return s
}

// get is a request with headers.
func (s *shop) get(t *testing.T, path string, header ...string) response {
	t.Helper()
	return send(t, request{method: http.MethodGet, url: s.url + path, header: headers(header)})
}

func headers(pairs []string) map[string]string {
	out := map[string]string{}
	for pair := range slices.Chunk(pairs, 2) {
		out[pair[0]] = pair[1]
	}
	return out
}

// post sends a form.
func (s *shop) post(t *testing.T, path string, form url.Values, header ...string) response {
	t.Helper()
	return send(t, request{method: http.MethodPost, url: s.url + path, form: form, header: headers(header)})
}

func basicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// reset presses the button and keeps the fields.
func (s *shop) reset(t *testing.T, fields ...string) {
	t.Helper()
	s.fields = must(s.console.ResetCredential(t.Context(), simulator.PlatformReset{PlatformName: s.credential, Fields: fields}))(t)
}

func (s *shop) advance(t *testing.T, d time.Duration) {
	t.Helper()
	check(t, s.console.AdvanceClock(t.Context(), d))
}

// wants is a status and a part of the body.
func (r response) wants(t *testing.T, what string, status int, part string) {
	t.Helper()
	if r.status != status || !strings.Contains(string(r.body), part) {
		t.Errorf("%s: got status %d, want %d with %s", what, r.status, status, part)
	}
}

const placesScript = `
name: places
kinds:
  key:
    fields:
      id: {shape: 'K{digits 8}'}
      secret: {shape: '{alnum 20}', secret: true}
    reset: {fields: [secret], previous: dies}
endpoints:
  - {on: GET /header, kind: key, present: [{field: secret, in: header X-Key}], answers: &a {ok: {text: fine}}}
  - {on: GET /prefix, kind: key, present: [{field: secret, in: header Authorization Token}], answers: *a}
  - {on: GET /bearer, kind: key, present: [{field: secret, in: bearer}], answers: *a}
  - {on: GET /basic, kind: key, present: [{field: id, in: basic user}, {field: secret, in: basic password}], answers: *a}
  - {on: GET /query, kind: key, present: [{field: secret, in: query key}], answers: *a}
  - {on: POST /form, kind: key, present: [{field: secret, in: form key}], answers: *a}
  - {on: POST /json, kind: key, present: [{field: secret, in: json auth.key}], answers: *a}
  - {on: 'GET /path/{key}', kind: key, present: [{field: secret, in: path key}], answers: *a}
  - {on: GET /either, kind: key, present: [{field: secret, in: [bearer, query key]}], answers: *a}
answers:
  wrong: {status: 401, text: refused}
`

func TestPlatform_ReadsValuesAtTheirPlaces(t *testing.T) {
	t.Parallel()
	s := newShop(t, placesScript, "key")
	requests := map[string]func(id, secret string) request{
		"header": func(_, secret string) request {
			return request{method: "GET", url: s.url + "/header", header: map[string]string{"X-Key": secret}}
		},
		"prefix": func(_, secret string) request {
			return request{method: "GET", url: s.url + "/prefix", header: map[string]string{"Authorization": "token " + secret}}
		},
		"bearer": func(_, secret string) request {
			return request{method: "GET", url: s.url + "/bearer", header: map[string]string{"Authorization": "Bearer " + secret}}
		},
		"basic": func(id, secret string) request {
			return request{method: "GET", url: s.url + "/basic", header: map[string]string{"Authorization": basicAuth(id, secret)}}
		},
		"query": func(_, secret string) request { return request{method: "GET", url: s.url + "/query?key=" + secret} },
		"form": func(_, secret string) request {
			return request{method: "POST", url: s.url + "/form", form: url.Values{"key": {secret}}}
		},
		"JSON": func(_, secret string) request {
			return request{
				method: "POST", url: s.url + "/json", header: map[string]string{"Content-Type": "application/json"},
				json: fmt.Sprintf(`{"auth":{"key":%q}}`, secret),
			}
		},
		"path":       func(_, secret string) request { return request{method: "GET", url: s.url + "/path/" + secret} },
		"the second": func(_, secret string) request { return request{method: "GET", url: s.url + "/either?key=" + secret} },
	}
	for name, make := range requests {
		send(t, make(s.fields["id"], s.fields["secret"])).wants(t, name, 200, "fine")
		send(t, make(s.fields["id"], s.fields["secret"]+"x")).wants(t, name+", wrong", 401, "refused")
	}
	s.get(t, "/prefix", "Authorization", "Bearer "+s.fields["secret"]).wants(t, "another prefix", 401, "refused")
	s.get(t, "/bearer", "Authorization", s.fields["secret"]).wants(t, "no prefix", 401, "refused")
	s.get(t, "/basic", "Authorization", basicAuth("K12345678", s.fields["secret"])).wants(t, "another id", 401, "refused")
	s.get(t, "/nowhere").wants(t, "another path", 404, "not found")
	s.post(t, "/header", nil).wants(t, "another method", 404, "")

	other := s.credential
	other.Name = "other"
	second := must(s.console.MakeCredential(t.Context(), other, "key"))(t)
	s.get(t, "/basic", "Authorization", basicAuth(second["id"], s.fields["secret"])).wants(t, "values of two credentials", 401, "refused")
}

const verdictsScript = `
name: verdicts
headers: {X-Trace: '{request_id}'}
kinds:
  key:
    owner: '{digits 7}'
    fields: {secret: {shape: '{alnum 20}', secret: true, life: 2d}}
    reset: {fields: [secret], previous: dies}
endpoints:
  - on: GET /me
    kind: key
    present: [{field: secret, in: header X-Key}]
    answers:
      ok: {json: {id: '{owner:number}', text: 'it is {owner}', end: '{end.secret}', at: '{end_text.secret}', left: '{life.secret}', none: '{made.secret}'}}
      missing: {status: 400, xml: '<error>missing</error>'}
      wrong: {status: 401, html: '<h1>wrong</h1>'}
      ended: {status: 410, text: ended}
      expired secret: {status: 419, json: {code: expired}}
      denied: {status: 404, json: {code: denied}}
`

func TestPlatform_GivesEachVerdictItsAnswer(t *testing.T) {
	t.Parallel()
	s := newShop(t, verdictsScript, "key")
	genuine := s.get(t, "/me", "X-Key", s.fields["secret"])
	var body struct {
		ID, End, Left int64
		Text          string
		At            time.Time
		None          *string
	}
	check(t, json.Unmarshal(genuine.body, &body))
	if body.Text != "it is "+strconv.FormatInt(body.ID, 10) || body.Left != 48*3600 || body.At.Unix() != body.End || body.None != nil {
		t.Errorf("the variables are %+v", body)
	}
	if genuine.header.Get("X-Trace") != "verdicts-000001" {
		t.Errorf("the request id is %q", genuine.header.Get("X-Trace"))
	}
	s.get(t, "/me").wants(t, "nothing", 400, "<error>missing</error>")
	wrong := s.get(t, "/me", "X-Key", "x")
	wrong.wants(t, "wrong", 401, "<h1>wrong</h1>")
	if got := wrong.header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("a page is announced as %q", got)
	}
	check(t, s.console.DenyRights(t.Context(), s.credential, true))
	s.get(t, "/me", "X-Key", s.fields["secret"]).wants(t, "without the right", 404, "denied")
	s.get(t, "/me", "X-Key", "x").wants(t, "wrong and without the right", 401, "wrong")
	check(t, s.console.DenyRights(t.Context(), s.credential, false))

	old := s.fields["secret"]
	s.reset(t)
	s.get(t, "/me", "X-Key", old).wants(t, "the value before the reset", 410, "ended")
	s.get(t, "/me", "X-Key", s.fields["secret"]).wants(t, "the new value", 200, "id")
	s.advance(t, 48*time.Hour)
	s.get(t, "/me", "X-Key", s.fields["secret"]).wants(t, "after its life", 419, "expired")
	s.reset(t)
	check(t, s.console.ExpireCredential(t.Context(), simulator.PlatformFields{PlatformName: s.credential}))
	s.get(t, "/me", "X-Key", s.fields["secret"]).wants(t, "expired in the console", 419, "expired")
	s.reset(t)
	check(t, s.console.RevokeCredential(t.Context(), simulator.PlatformFields{PlatformName: s.credential, Fields: []string{"secret"}}))
	s.get(t, "/me", "X-Key", s.fields["secret"]).wants(t, "revoked in the console", 410, "ended")
}

// grantScript has a refresh token that the rule describes.
func grantScript(rule string) string {
	return `
name: grants
kinds:
  client:
    fields:
      refresh_token: {shape: 'rt{alnum 20}', secret: true}
      access_token: {shape: 'at{alnum 20}', secret: true, minted: true, life: 1h}
endpoints:
  - on: POST /token
    kind: client
    present: [{field: refresh_token, in: form refresh_token}]
    makes: [{field: access_token}, {field: refresh_token, ` + rule + `}]
    answers: {ok: {json: {access_token: '{made.access_token}', refresh_token: '{made.refresh_token}', expires_in: '{life.access_token}'}}}
  - {on: GET /me, kind: client, present: [{field: access_token, in: bearer}], answers: {ok: {text: fine}}}
answers: {wrong: {status: 400, json: {error: invalid_grant}}}
`
}

func TestPlatform_RefreshTokensRoll(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rule string
		// answers says for each of three grants whether it gave a refresh token.
		answers []bool
		// now and later say whether the first refresh token still works, at once and after an hour.
		now, later bool
	}{
		"never":                {"answer: never", []bool{false, false, false}, true, true},
		"sometimes":            {"answer: sometimes, previous: dies", []bool{false, true, false}, false, false},
		"always, lives":        {"answer: always, previous: lives", []bool{true, true, true}, true, true},
		"always, dies":         {"previous: dies", []bool{true, true, true}, false, false},
		"always, dies later":   {"previous: dies_later, later: 30m", []bool{true, true, true}, true, false},
		"sometimes, but lives": {"answer: sometimes, previous: lives", []bool{false, true, false}, true, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, grantScript(test.rule), "client")
			first := s.fields["refresh_token"]
			current := first
			for i, want := range test.answers {
				answer := s.post(t, "/token", url.Values{"refresh_token": {current}}).object(t)
				next, got := answer["refresh_token"].(string)
				if got != want {
					t.Errorf("grant %d: a refresh token: %t", i, got)
				}
				if got {
					current = next
				}
				if i == 0 {
					s.get(t, "/me", "Authorization", fmt.Sprint("Bearer ", answer["access_token"])).wants(t, "the access token", 200, "fine")
				}
			}
			status := map[bool]int{true: 200, false: 400}
			s.post(t, "/token", url.Values{"refresh_token": {first}}).wants(t, "the first token at once", status[test.now], "")
			s.advance(t, time.Hour)
			s.post(t, "/token", url.Values{"refresh_token": {first}}).wants(t, "the first token later", status[test.later], "")
			s.post(t, "/token", url.Values{"refresh_token": {current}}).wants(t, "the newest token", 200, "")
		})
	}
}

func TestPlatform_AccessTokensEnd(t *testing.T) {
	t.Parallel()
	s := newShop(t, grantScript("answer: never"), "client")
	token := s.post(t, "/token", url.Values{"refresh_token": {s.fields["refresh_token"]}}).text(t, "access_token")
	s.get(t, "/me", "Authorization", "Bearer "+token).wants(t, "fresh", 200, "fine")
	s.advance(t, time.Hour)
	s.get(t, "/me", "Authorization", "Bearer "+token).wants(t, "an hour old", 400, "invalid_grant")
}

func TestPlatform_ConsentGivesACodeOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t, "acme_ads", "oauth_client")
	const verifier, back = "a-verifier-of-at-least-forty-three-characters-long", "https://app.example/back"
	sum := sha256.Sum256([]byte(verifier))
	address := s.url + "/oauth/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {s.fields["client_id"]}, "redirect_uri": {back}, "state": {"s 1"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode()
	exchange := func(code, verifier, back string) response {
		return s.post(t, "/oauth/token", url.Values{
			"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}, "redirect_uri": {back},
		}, "Authorization", basicAuth(s.fields["client_id"], s.fields["client_secret"]))
	}
	page := must(s.console.Consent(t.Context(), address))(t)
	code := page.Query().Get("code")
	if page.Query().Get("state") != "s 1" || code == "" || page.Host != "app.example" {
		t.Fatalf("the page sends the browser to host %q with state %q", page.Host, page.Query().Get("state"))
	}
	exchange(code, "another", back).wants(t, "another verifier", 400, "invalid_grant")
	exchange(code, verifier, back+"2").wants(t, "another address", 400, "invalid_grant")
	answer := exchange(code, verifier, back)
	answer.wants(t, "the code", 200, "refresh_token")
	exchange(code, verifier, back).wants(t, "the code once more", 400, "invalid_grant")
	late := must(s.console.Consent(t.Context(), address))(t).Query().Get("code")
	s.advance(t, 11*time.Minute)
	exchange(late, verifier, back).wants(t, "a code that is too old", 400, "invalid_grant")

	check(t, s.console.DenyRights(t.Context(), s.credential, true))
	denied := must(s.console.Consent(t.Context(), address))(t).Query()
	if denied.Get("error") != "access_denied" || denied.Get("state") != "s 1" || denied.Has("code") {
		t.Errorf("a refused consent says %q", denied.Get("error"))
	}
	for what, change := range map[string]string{"client_id": "x", "redirect_uri": "nowhere", "code_challenge": "", "response_type": "token"} {
		parsed := must(url.Parse(address))(t)
		query := parsed.Query()
		query.Set(what, change)
		parsed.RawQuery = query.Encode()
		if _, err := s.console.Consent(t.Context(), parsed.String()); err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("another %s: got %v", what, err)
		}
	}
}

func TestPlatform_KeysReplaceAndEndKeys(t *testing.T) {
	t.Parallel()
	s := newShop(t, "acme_ads", "api_key")
	id, first := s.fields["key_id"], s.fields["api_key"]
	is := func(what, key string, status int) {
		t.Helper()
		s.get(t, "/v2/EMEA/me", "X-Key", key).wants(t, what, status, "")
	}
	regenerated := s.post(t, "/v2/keys/"+id+"/regenerate", nil, "Authorization", "Bearer "+first).text(t, "key")
	is("the key that was replaced", first, 401)
	is("its replacement", regenerated, 200)
	s.post(t, "/v2/keys/K00000000/regenerate", nil, "Authorization", "Bearer "+regenerated).wants(t, "another id", 401, "")

	added := s.post(t, "/v2/keys", nil, "Authorization", "Bearer "+regenerated)
	is("the key that made another one", regenerated, 200)
	is("the other one", added.text(t, "key"), 200)
	if added.text(t, "key_id") == id {
		t.Error("the second key has the id of the first one")
	}
	shown := must(s.console.Credential(t.Context(), s.credential))(t)
	if shown["api_key"] != added.text(t, "key") || shown["key_id"] != added.text(t, "key_id") {
		t.Error("the console does not show the newest key with its id")
	}
	crossed := send(t, request{
		method: "POST", url: s.url + "/v2/keys/" + id + "/regenerate", header: map[string]string{"Authorization": "Bearer " + added.text(t, "key")},
	})
	crossed.wants(t, "the id of one key with the value of another", 401, "")

	end := request{method: "DELETE", url: s.url + "/v2/keys/" + id, header: map[string]string{"Authorization": "Bearer " + added.text(t, "key")}}
	send(t, end).wants(t, "ending the first key", 204, "")
	is("the key that was ended", regenerated, 401)
	is("the key that ended it", added.text(t, "key"), 200)
	send(t, end).wants(t, "ending it once more", 404, "no such key")
	live := must(s.console.LiveValues(t.Context(), s.credential))(t)
	if len(live) != 2 {
		t.Errorf("%d values are live, want an id and its key", len(live))
	}
	ledger := must(s.console.Ledger(t.Context()))(t)
	for value, want := range map[string]bool{first: false, regenerated: false, added.text(t, "key"): true} {
		if ledger.IsLive(value) != want {
			t.Errorf("the ledger calls a key live: %t", !want)
		}
	}
}

func TestPlatform_LimitsCallsOfOneCredential(t *testing.T) {
	t.Parallel()
	s := newShop(t, "outbrain", "api_token")
	login := func() response {
		return s.get(t, "/amplify/v0.1/login", "Authorization", basicAuth(s.fields["username"], s.fields["password"]))
	}
	token := login().text(t, "OB-TOKEN-V1")
	s.get(t, "/amplify/v0.1/login", "Authorization", basicAuth(s.fields["username"], "x")).wants(t, "a wrong password", 401, "")
	login().wants(t, "the third login", 429, "")
	s.get(t, "/amplify/v0.1/marketers", "OB-TOKEN-V1", token).wants(t, "the token meanwhile", 200, "marketers")
	s.advance(t, time.Hour)
	login().wants(t, "an hour later", 200, "OB-TOKEN-V1")

	c := newShop(t, "criteo", "oauth_client")
	grant := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.fields["client_id"]}, "client_secret": {c.fields["client_secret"]}}
	for range 250 {
		c.post(t, "/oauth2/token", grant).wants(t, "below the limit", 200, "access_token")
	}
	limited := c.post(t, "/oauth2/token", grant)
	limited.wants(t, "above the limit", 429, "quota")
	reset := must(strconv.ParseInt(limited.header.Get("X-Ratelimit-Reset"), 10, 64))(t)
	if wait := time.Until(time.Unix(reset, 0)); wait < 30*time.Second || wait > time.Minute || limited.header.Get("Retry-After") != "" {
		t.Errorf("the reset is in %s", wait)
	}
}

func TestPlatform_TakesTheTimeOfItsRule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(w.console.AddPlatform(t.Context(), "name: slow\nendpoints: [{on: GET /, latency: 50ms, answers: {ok: {text: fine}}}]"))(t)
	began := time.Now()
	send(t, request{method: "GET", url: w.PlatformsURL + "/slow/"}).wants(t, "a slow answer", 200, "fine")
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("the answer took %s", took)
	}
}

func TestPlatform_FaultsHaveItsOwnForm(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status, retryAfter int
		want               int
		part, header       string
	}{
		"tiktok_ads": {429, 0, 200, `"code":40100`, ""},
		"criteo":     {429, 30, 429, "quota", "X-Ratelimit-Reset"},
		"partnerize": {429, 30, 429, "too_many", "X-Ratelimit-Retry-After"},
		"acme_ads":   {429, 30, 429, "too many", "Retry-After"},
		"tune":       {503, 30, 503, `"httpStatus":503`, "Retry-After"},
		"meta":       {500, 0, 500, `"code":1`, ""},
	}
	w := newWorld(t)
	for platform, test := range tests {
		check(t, w.console.InjectFault(t.Context(), simulator.Fault{
			Service: simulator.Service(platform), Kind: simulator.FaultStatus, Status: test.status, RetryAfter: test.retryAfter, Times: 1,
		}))
		answer := send(t, request{method: "GET", url: w.PlatformsURL + "/" + platform + "/"})
		answer.wants(t, platform, test.want, test.part)
		if test.header != "" && answer.header.Get(test.header) == "" {
			t.Errorf("%s: there is no %s", platform, test.header)
		}
	}
}

func TestPlatform_LostAnswerComesAfterTheWork(t *testing.T) {
	t.Parallel()
	s := newShop(t, "acme_ads", "api_key")
	check(t, s.console.InjectFault(t.Context(), simulator.Fault{Service: "acme_ads", Kind: simulator.FaultDropAfter, Method: "POST", Times: 1}))
	_, err := trySend(t, request{
		method: "POST", url: s.url + "/v2/keys/" + s.fields["key_id"] + "/regenerate", header: map[string]string{"Authorization": "Bearer " + s.fields["api_key"]},
	})
	if err == nil {
		t.Error("the answer was not lost")
	}
	s.get(t, "/v2/EMEA/me", "X-Key", s.fields["api_key"]).wants(t, "the value before", 401, "190")
}

func TestPlatform_RemembersCallsWithoutValues(t *testing.T) {
	t.Parallel()
	s := newShop(t, placesScript, "key")
	secret := s.fields["secret"]
	s.get(t, "/path/"+secret)
	s.get(t, "/elsewhere/"+secret)
	s.get(t, "/elsewhere")
	s.get(t, "/header", "X-Key", "x")
	calls := must(s.console.PlatformCalls(t.Context(), "places"))(t)
	var got []string
	for _, call := range calls {
		got = append(got, fmt.Sprintf("%s %s: %s %d %s", call.Method, call.Path, call.Verdict, call.Status, call.Credential))
	}
	want := []string{
		"GET /path/{key}: ok 200 app", "GET (a path with a secret): not_found 404 ", "GET /elsewhere: not_found 404 ", "GET /header: wrong secret 401 ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", strings.ReplaceAll(fmt.Sprint(got), secret, "(the secret)"))
	}
	if n := must(s.console.Ledger(t.Context()))(t).Requests["places"]["GET /path/{key}"]; n != 1 {
		t.Errorf("the ledger counts %d requests", n)
	}
}

func TestPlatform_ScriptsWithMistakesAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const kind = "kinds: {key: {fields: {secret: {shape: '{alnum 20}'}}}}\n"
	tests := map[string]struct{ script, want string }{
		"no YAML":          {"name: [", "cannot be read"},
		"an unknown key":   {"name: a\nendpoint: []", "endpoint"},
		"a key twice":      {"name: a\nname: b", "already defined"},
		"two documents":    {"name: a\n---\nname: b", "more than one document"},
		"no name":          {"title: A", "the name must be"},
		"a name of ours":   {"name: google_ads", "the name is taken"},
		"a shape":          {"name: a\nkinds: {key: {fields: {x: {shape: '{letters 3}'}}}}", "{letters 3} is none of"},
		"no shape":         {"name: a\nkinds: {key: {fields: {x: {secret: true}}}}", "no shape"},
		"an owner of none": {"name: a\nkinds: {key: {fields: {x: {shape: x, of: y}}}}", `is of "y"`},
		"a kind":           {"name: a\nendpoints: [{on: /, kind: key, answers: {ok: {}}}]", `no kind "key"`},
		"a field":          {"name: a\n" + kind + "endpoints: [{on: /, kind: key, present: [{field: x, in: bearer}], answers: {ok: {}, wrong: {}}}]", `no field "x"`},
		"a place":          {"name: a\n" + kind + "endpoints: [{on: /, kind: key, present: [{field: secret, in: cookie x}], answers: {ok: {}, wrong: {}}}]", "no place"},
		"an empty field":   {"name: a\nkinds: {key: {fields: {x: }}}", "no shape"},
		"an empty kind":    {"name: a\nkinds: {key: }\nendpoints: [{on: /, kind: key, uses_up: [x], answers: {ok: {}}}]", `no field "x"`},
		"an empty rule":    {"name: a\nendpoints: [null]", "on is missing"},
		"an empty answer":  {"name: a\nendpoints: [{on: /, answers: {ok: {}, gone: }}]", "gone is empty"},
		"no answer":        {"name: a\n" + kind + "endpoints: [{on: /, kind: key, answers: {wrong: {}}}]", "has no ok"},
		"no refusal":       {"name: a\n" + kind + "endpoints: [{on: /, kind: key, present: [{field: secret, in: bearer}], answers: {ok: {}}}]", "has no wrong"},
		"a verdict":        {"name: a\nendpoints: [{on: /, answers: {ok: {}, maybe: {}}}]", `"maybe" is none of`},
		"two bodies":       {"name: a\nendpoints: [{on: /, answers: {ok: {text: a, html: b}}}]", "one of json"},
		"a variable":       {"name: a\nendpoints: [{on: /, answers: {ok: {text: '{secret}'}}}]", "{secret} is no variable"},
		"a rule":           {"name: a\n" + kind + "endpoints: [{on: /, kind: key, makes: [{field: secret, previous: stays}], answers: {ok: {}}}]", "lives, dies or dies_later"},
		"a time":           {"name: a\n" + kind + "endpoints: [{on: /, kind: key, makes: [{field: secret, previous: dies_later}], answers: {ok: {}}}]", "needs it"},
		"a pattern":        {"name: a\nendpoints: [{on: 'GET no', answers: {ok: {}}}]", "GET no"},
		"two patterns":     {"name: a\nendpoints: [{on: 'GET /a/{x}', answers: {ok: {}}}, {on: '/{y}/b', answers: {ok: {}}}]", "conflict"},
		"a status":         {"name: a\nendpoints: [{on: /, answers: {ok: {status: 99}}}]", "99 is no status"},
	}
	for name, test := range tests {
		if _, err := w.console.AddPlatform(t.Context(), test.script); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func TestPlatform_ConsoleExplainsMistakes(t *testing.T) {
	t.Parallel()
	s := newShop(t, "tiktok_ads", "marketing_api_token")
	ctx := t.Context()
	nobody := simulator.PlatformName{Platform: "tiktok_ads", Name: "nobody"}
	second := func(_ any, err error) error { return err }
	for want, err := range map[string]error{
		`no platform "x"`:          second(s.console.PlatformCalls(ctx, "x")),
		`no credential "nobody"`:   second(s.console.Credential(ctx, nobody)),
		`no kind of credential`:    second(s.console.MakeCredential(ctx, nobody, "x")),
		`the name "app" is taken`:  second(s.console.MakeCredential(ctx, s.credential, "marketing_api_token")),
		`no field "x"`:             second(s.console.ResetCredential(ctx, simulator.PlatformReset{PlatformName: s.credential, Fields: []string{"x"}})),
		`lives, dies or dies_late`: second(s.console.ResetCredential(ctx, simulator.PlatformReset{PlatformName: s.credential, Previous: "x"})),
		`no field "y"`:             s.console.RevokeCredential(ctx, simulator.PlatformFields{PlatformName: s.credential, Fields: []string{"y"}}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
