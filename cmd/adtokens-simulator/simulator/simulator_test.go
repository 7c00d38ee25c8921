package simulator_test

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-cleanhttp"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// world is a running simulator and the client of its consoles.
type world struct {
	*simulator.Server
	console *simulator.Client
}

func newWorld(t *testing.T) world {
	t.Helper()
	// A clock that stands still makes every waiting time exact; AdvanceClock moves it.
	start := time.Now().Truncate(time.Second)
	return startWorld(t, simulator.ServerOptions{Options: simulator.Options{Now: func() time.Time { return start }}})
}

func startWorld(t *testing.T, options simulator.ServerOptions) world {
	t.Helper()
	server, err := simulator.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return world{server, server.Client()}
}

// must unwraps the result of a console action.
func must[T any](result T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// request is an HTTP request with a form, JSON or no body.
type request struct {
	method, url string
	header      map[string]string
	form        url.Values
	json        string
}

// response is an answer that was read to its end.
type response struct {
	status int
	header http.Header
	body   []byte
}

func send(t *testing.T, r request) response {
	t.Helper()
	answer, err := trySend(t, r)
	check(t, err)
	return answer
}

// trySend never follows a redirect.
func trySend(t *testing.T, r request) (response, error) {
	t.Helper()
	httpRequest, err := http.NewRequestWithContext(t.Context(), r.method, r.url, strings.NewReader(r.json+r.form.Encode()))
	check(t, err)
	if r.form != nil {
		httpRequest.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for key, value := range r.header {
		httpRequest.Header.Set(key, value)
	}
	client := cleanhttp.DefaultClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	httpResponse, err := client.Do(httpRequest)
	if err != nil {
		return response{}, err
	}
	defer httpResponse.Body.Close()
	content, err := io.ReadAll(httpResponse.Body)
	return response{httpResponse.StatusCode, httpResponse.Header, content}, err
}

// object decodes a JSON object.
func (r response) object(t *testing.T) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal(r.body, &object); err != nil {
		t.Fatalf("status %d with a body that is no JSON object: %v", r.status, err)
	}
	return object
}

// text returns a field that must be a string.
func (r response) text(t *testing.T, field string) string {
	t.Helper()
	text, ok := r.object(t)[field].(string)
	if !ok {
		t.Fatalf("status %d without %s", r.status, field)
	}
	return text
}

func merged(base, change map[string]string) map[string]string {
	out := maps.Clone(base)
	maps.Copy(out, change)
	return out
}

func TestLedgerKnowsLiveAndIssuedSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	developerToken := must(w.console.DeveloperToken(ctx))(t)
	readWrite := must(w.console.ImpactCredentials(ctx, "agency"))(t).ReadWrite
	oauth := must(w.console.OAuthClient(ctx, simulator.DefaultName))(t)
	accessToken := w.refreshGrant(t, oauth)
	keyFile := must(w.console.ServiceAccountKey(ctx, simulator.DefaultName))(t)
	privateKey := decodeKey(t, keyFile).PrivateKey

	secrets := map[string]string{
		"developer token": developerToken,
		"auth token":      readWrite.AuthToken,
		"client secret":   oauth.ClientSecret,
		"refresh token":   oauth.RefreshToken,
		"access token":    accessToken,
		"private key":     privateKey,
		"key id":          decodeKey(t, keyFile).PrivateKeyID,
	}
	ledger := must(w.console.Ledger(ctx))(t)
	for kind, secret := range secrets {
		if !ledger.IsLive(secret) {
			t.Errorf("the %s is not live", kind)
		}
	}
	if ledger.IsLive("something else") {
		t.Error("an unknown value is live")
	}

	must(w.console.ResetDeveloperToken(ctx))(t)
	must(w.console.ResetReadWrite(ctx, "agency"))(t)
	w.revoke(t, oauth.RefreshToken)
	after := must(w.console.Ledger(ctx))(t)
	for _, kind := range []string{"developer token", "auth token", "refresh token", "access token"} {
		if after.IsLive(secrets[kind]) {
			t.Errorf("the %s is live after its end", kind)
		}
	}
	if len(after.Issued) != len(ledger.Issued)+2 {
		t.Errorf("issued %d secrets, then %d: a reset must add one and lose none", len(ledger.Issued), len(after.Issued))
	}
}

func TestLedgerFindsLeaks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	keyFile := must(w.console.ServiceAccountKey(ctx, simulator.DefaultName))(t)
	developerToken := must(w.console.DeveloperToken(ctx))(t)
	ledger := must(w.console.Ledger(ctx))(t)

	block, _ := pem.Decode([]byte(decodeKey(t, keyFile).PrivateKey))
	tests := map[string]struct {
		text []byte
		want string
	}{
		"a value in a sentence":     {[]byte("bad token " + developerToken + "!"), "developer_token of manager"},
		"a key file":                {keyFile, "private_key of default"},
		"a PEM block":               {pem.EncodeToMemory(block), "private_key of default"},
		"nothing":                   {[]byte("all quiet"), ""},
		"the identifier of a key":   {[]byte(decodeKey(t, keyFile).PrivateKeyID), ""},
		"the first part of a token": {[]byte(developerToken[:10]), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leaks := ledger.Leaks(test.text)
			if test.want == "" && len(leaks) > 0 {
				t.Errorf("found %q", leaks)
			}
			if test.want != "" && (len(leaks) != 1 || !strings.HasPrefix(leaks[0], test.want)) {
				t.Errorf("found %q, want %q", leaks, test.want)
			}
		})
	}
}

func TestLedgerCountsRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	send(t, request{method: "POST", url: w.GoogleURL + "/token", form: url.Values{}})
	send(t, request{method: "POST", url: w.GoogleURL + "/token", form: url.Values{}})
	send(t, request{method: "GET", url: w.ImpactURL + "/Agencies/IRx/CompanyInformation"})
	ledger := must(w.console.Ledger(t.Context()))(t)
	requests := ledger.Requests
	if n := requests[simulator.GoogleToken]["POST /token"]; n != 2 {
		t.Errorf("counted %d token requests, want 2", n)
	}
	if n := requests[simulator.Impact]["/Agencies/{sid}/{resource...}"]; n != 1 {
		t.Errorf("counted %d impact requests, want 1", n)
	}
	want := map[simulator.Service]map[string]int{
		simulator.GoogleToken: {"Go-http-client/1.1": 2}, simulator.Impact: {"Go-http-client/1.1": 1},
	}
	if !reflect.DeepEqual(ledger.UserAgents, want) {
		t.Errorf("the ledger has the user agents %v, want %v", ledger.UserAgents, want)
	}
}

func TestServerListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{
		"every interface": "0.0.0.0:0",
		"no host":         ":0",
		"another machine": "192.0.2.1:0",
		"a name":          "example.com:0",
		"no port":         "127.0.0.1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, err := simulator.Start(simulator.ServerOptions{ControlAddress: address})
			if err == nil {
				check(t, server.Close())
				t.Fatalf("listens on %s", address)
			}
		})
	}
}

func TestConsoleExplainsMistakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	_, unknownClient := w.console.OAuthClient(ctx, "nobody")
	_, takenName := w.console.CreateServiceAccount(ctx, simulator.DefaultName)
	_, enabledTwice := w.console.EnableLegacyTokens(ctx, "agency")
	_, notEnabled := w.console.ResetReadOnly(ctx, "brand")
	tests := map[string]struct {
		err  error
		want string
	}{
		"unknown client":  {unknownClient, `there is no OAuth client "nobody"`},
		"taken name":      {takenName, `the name "default" is taken`},
		"enabled twice":   {enabledTwice, `enabled already`},
		"not enabled":     {notEnabled, `not enabled`},
		"unknown mode":    {w.console.SetDeveloperTokenMode(ctx, "strict"), `"strict" is none of [enforced ignored header_refused]`},
		"unknown kind":    {w.console.CreateImpactAccount(ctx, "x", "shop"), `"shop" is no kind of account`},
		"unknown version": {w.console.UpgradeAPIVersion(ctx, "agency", 4), `API versions 1 to 3, not 4`},
		"older version":   {w.console.UpgradeAPIVersion(ctx, "agency", 1), `already has API version 2`},
		"unknown service": {w.console.InjectFault(ctx, simulator.Fault{Service: "x", Kind: simulator.FaultGarbage}), `unknown service "x"`},
		"unknown fault":   {w.console.InjectFault(ctx, simulator.Fault{Service: simulator.Impact, Kind: "x"}), `unknown kind of fault "x"`},
		"fault status":    {w.console.InjectFault(ctx, simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultStatus}), `from 400 to 599`},
		"fault redirect":  {w.console.InjectFault(ctx, simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultRedirect}), `absolute URL`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
				t.Errorf("got %v, want %q", test.err, test.want)
			}
		})
	}
}

func TestConsoleRefusesUnknownFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	answer := send(t, request{method: "POST", url: w.ControlURL + "/google/show-oauth-client", json: `{"client":"default"}`})
	if answer.status != http.StatusBadRequest {
		t.Errorf("got status %d", answer.status)
	}
}

func TestStateShowsBothProviders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var state struct {
		Google struct {
			DeveloperToken string `json:"developer_token"`
		} `json:"google"`
		Impact struct {
			Accounts map[string]any `json:"accounts"`
		} `json:"impact"`
	}
	check(t, json.Unmarshal(must(w.console.State(t.Context()))(t), &state))
	if state.Google.DeveloperToken != must(w.console.DeveloperToken(t.Context()))(t) {
		t.Error("the state has another developer token than the console shows")
	}
	if len(state.Impact.Accounts) != 3 {
		t.Errorf("the state has %d impact.com accounts, want 3", len(state.Impact.Accounts))
	}
}
