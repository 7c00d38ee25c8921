package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

const secret = "s3cr3t-value-of-a-token"

// values is the input of a try.
type values map[string]map[string]string

func (v values) json(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// newPlatform answers every request in the same way, and repeats in the answer what was sent, as no real server should.
func newPlatform(t *testing.T, status int, body string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Repeated", r.Header.Get("Authorization"))
		w.WriteHeader(status)
		fmt.Fprintf(w, body, r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	return server
}

func TestTry_Outcomes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		body   string
		code   int
		says   []string
	}{
		"accepted": {
			200, `[{"id": 1, "note": %q}]`, cli.ExitOK,
			[]string{`outcome +accepted`, `detail +Awin accepts the token`, `verify +HTTP 200 from 127\.0\.0\.1:\d+ in \d+\S*s, token_types\.api_token\.verify\.outcomes\[0\]: status == 200`},
		},
		"caveat": {
			403, `{"error": %q}`, cli.ExitOK, []string{`outcome +accepted`, `detail +the token is genuine, but`, `code +HTTP 403`},
		},
		"rejected": {
			401, `{"error": %q}`, cli.ExitFailure, []string{`outcome +rejected`, `code +HTTP 401`, `outcomes\[1\]: status == 401`},
		},
		"no rule": {
			404, `{"error": %q}`, cli.ExitFailure, []string{`outcome +inconclusive`, `verify +HTTP 404 .*, by no rule of the definition`},
		},
		"throttled": {
			429, `{"error": %q}`, cli.ExitFailure, []string{`outcome +no useful answer`, `HTTP 429`},
		},
		"trouble": {
			503, `{"error": %q}`, cli.ExitFailure, []string{`outcome +no useful answer`, `HTTP 503`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newPlatform(t, tt.status, tt.body)
			in := values{"account": {"base_url": server.URL}, "credential": {"api_token": secret + "\n"}}.json(t)
			code, out, errText := execute(t, in, "try", "awin", "api_token")
			if code != tt.code || (code == cli.ExitOK) != (errText == "") || code != cli.ExitOK && errText != "adtokens-provider: the token was not accepted\n" {
				t.Errorf("exit code %d, printed %q", code, errText)
			}
			for _, want := range tt.says {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("it does not print %q:\n%s", want, out)
				}
			}
			if strings.Contains(out+errText, secret) {
				t.Errorf("it prints the value:\n%s%s", out, errText)
			}
		})
	}
}

func TestTry_NobodyThere(t *testing.T) {
	t.Parallel()
	server := newPlatform(t, 200, "")
	server.Close()
	in := values{"account": {"base_url": server.URL}, "credential": {"api_token": secret}}.json(t)
	code, out, _ := execute(t, in, "try", "awin", "api_token")
	if code != cli.ExitFailure || !regexp.MustCompile(`outcome +no useful answer\ndetail +127\.0\.0\.1:\d+ could not be reached`).MatchString(out) {
		t.Errorf("exit code %d, printed %q", code, out)
	}
}

// TestTry_WholeWay goes from a definition of one's own to a grant, a verification and a control probe.
func TestTry_WholeWay(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /acme/oauth2/v2.0/token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.FormValue("client_secret") != secret || r.FormValue("refresh_token") != "refresh-"+secret {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error": "invalid_grant"}`)
			return
		}
		fmt.Fprint(w, `{"access_token": "minted", "expires_in": 3600, "refresh_token": "next"}`)
	})
	mux.HandleFunc("POST /CustomerManagement/v13/User/Query", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("AuthenticationToken") != "minted" || r.Header.Get("DeveloperToken") != "BBD37VB98" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"Errors": [{"Code": 105, "ErrorCode": "InvalidCredentials"}]}`)
			return
		}
		fmt.Fprint(w, `{"User": {"Id": 1}}`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	in := values{
		"account":    {"login_url": server.URL, "customer_management_url": server.URL, "tenant": "acme"},
		"credential": {"developer_token": "BBD37VB98", "client_id": "id", "client_secret": secret, "refresh_token": "refresh-" + secret},
	}
	file := writeFile(t, renamed(t, "microsoft_ads"))
	code, out, errText := execute(t, in.json(t), "try", file, "oauth_client")
	if code != cli.ExitOK || !regexp.MustCompile(`(?s)outcome +accepted.*\ngrant +HTTP 200.*, by the rules of OAuth\nverify +HTTP 200.*\ncontrol +HTTP 400`).MatchString(out) {
		t.Errorf("exit code %d, printed %q, %q", code, out, errText)
	}
	in["credential"]["refresh_token"] = "another"
	code, out, errText = execute(t, in.json(t), "try", file, "oauth_client")
	if code != cli.ExitFailure || !strings.Contains(out, "rejected") || strings.Contains(out, "verify") {
		t.Errorf("a wrong refresh token: exit code %d, printed %q, %q", code, out, errText)
	}
}

func TestTry_InputThatIsWrong(t *testing.T) {
	t.Parallel()
	server := newPlatform(t, 200, `[{"id": %q}]`)
	at := `"account": {"base_url": "` + server.URL + `"}`
	for name, tt := range map[string]struct{ in, says string }{
		"nothing":           {"", "standard input must be one JSON object"},
		"no JSON":           {"api_token=" + secret, "standard input must be one JSON object"},
		"empty":             {"{}", "standard input must be one JSON object"},
		"a number":          {`{"credential": {"api_token": 12345678901234567890}}`, "texts in quotes"},
		"two objects":       {`{"credential": {"api_token": "` + secret + `"}} {}`, "standard input must be one JSON object"},
		"unknown part":      {`{"credentials": {"api_token": "` + secret + `"}}`, "standard input must be one JSON object"},
		"misspelt field":    {`{` + at + `, "credential": {"api_tokn": "` + secret + `"}}`, `there is no "api_tokn" in credential; did you mean api_token?`},
		"unknown field":     {`{` + at + `, "credential": {"x": "` + secret + `"}}`, `there is no "x" in credential, which takes api_token`},
		"unknown setting":   {`{"account": {"region": "eu"}, "credential": {"api_token": "` + secret + `"}}`, `there is no "region" in account, which takes base_url`},
		"no credential":     {`{` + at + `}`, "api_token is missing in credential"},
		"empty credential":  {`{` + at + `, "credential": {"api_token": " "}}`, "api_token is missing in credential"},
		"wrong form":        {`{` + at + `, "credential": {"api_token": "` + secret + ` x"}}`, "api_token must be"},
		"wrong option":      {`{` + at + `, "options": {"probe_path": "x"}, "credential": {"api_token": "` + secret + `"}}`, "probe_path must be one of publishers, accounts"},
		"http to elsewhere": {`{"account": {"base_url": "http://api.awin.com"}, "credential": {"api_token": "` + secret + `"}}`, "base_url must start with https://"},
	} {
		code, out, errText := execute(t, tt.in, "try", "awin", "api_token")
		if code != cli.ExitFailure || out != "" || !strings.Contains(errText, tt.says) || strings.Contains(errText, secret) {
			t.Errorf("%s: exit code %d, printed %q, %q; want %q", name, code, out, errText, tt.says)
		}
	}
}

func TestTry_SettingThatIsNeeded(t *testing.T) {
	t.Parallel()
	in := values{"credential": {"application_key": "key", "user_api_key": secret}}.json(t)
	if code, _, errText := execute(t, in, "try", "partnerize", "api_key"); code != cli.ExitFailure || !strings.Contains(errText, "base_url is missing") {
		t.Errorf("exit code %d, printed %q", code, errText)
	}
}

// TestTry_RefreshTokenThatWorksOnce is not used up without being asked for.
func TestTry_RefreshTokenThatWorksOnce(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token": "minted", "refresh_token": "next", "username": "acme"}`)
	}))
	t.Cleanup(server.Close)
	in := values{
		"account": {"base_url": server.URL}, "credential": {"client_id": "1", "client_secret": secret, "refresh_token": secret},
	}.json(t)
	code, _, errText := execute(t, in, "try", "pinterest_ads", "oauth_client")
	if code != cli.ExitFailure || !strings.Contains(errText, "-use-up") || requests.Load() != 0 {
		t.Errorf("exit code %d after %d requests, printed %q", code, requests.Load(), errText)
	}
	code, out, errText := execute(t, in, "try", "-use-up", "pinterest_ads", "oauth_client")
	if code != cli.ExitOK || requests.Load() != 2 {
		t.Errorf("with -use-up: exit code %d after %d requests, printed %q, %q", code, requests.Load(), out, errText)
	}
}

func TestTry_CACertificate(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `[]`)
	}))
	t.Cleanup(server.Close)
	in := values{"account": {"base_url": server.URL}, "credential": {"api_token": secret}}.json(t)
	if code, out, _ := execute(t, in, "try", "awin", "api_token"); code != cli.ExitFailure || !strings.Contains(out, "not trusted") {
		t.Errorf("without the certificate: exit code %d, printed %q", code, out)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errText := execute(t, in, "try", "-ca-cert", file, "awin", "api_token"); code != cli.ExitOK {
		t.Errorf("with the certificate: exit code %d, printed %q, %q", code, out, errText)
	}
	if code, _, errText := execute(t, in, "try", "-ca-cert", writeFile(t, "no certificate"), "awin", "api_token"); code != cli.ExitFailure || !strings.Contains(errText, "PEM") {
		t.Errorf("with a file that has none: exit code %d, printed %q", code, errText)
	}
}

func TestTry_DefinitionThatIsWrong(t *testing.T) {
	t.Parallel()
	file := writeFile(t, strings.ReplaceAll(renamed(t, "awin"), "status == ", "status = "))
	code, _, errText := execute(t, "", "try", file, "api_token")
	if code != cli.ExitFailure || !strings.Contains(errText, `"adtokens-provider check `+file+`" tells which`) {
		t.Errorf("exit code %d, printed %q", code, errText)
	}
}
