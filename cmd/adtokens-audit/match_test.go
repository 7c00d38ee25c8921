package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// leaked stands for the first value of acme-rw, of which the corpus has the HMAC.
const (
	leaked = "the-leaked-value"
	// inTheLog stands for a Vault token that has made requests in the corpus.
	inTheLog   = "a-token-in-the-log"
	leakedHash = "hmac-sha256:f43b60ad42b111baa9e7b50b6de9fb253494381854bd13e510f06778c2fdf6c6"
)

// startVault plays sys/audit-hash/file, and is the Vault of the environment.
func startVault(t *testing.T, hashes map[string]string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := []string{"adtokens-audit/" + cli.Version()}; !slices.Equal(r.Header.Values("User-Agent"), want) {
			t.Errorf("Vault is asked by %q, want %q", r.Header.Values("User-Agent"), want)
		}
		var body struct{ Input string }
		switch err := json.NewDecoder(r.Body).Decode(&body); {
		case err != nil:
			t.Error(err)
		case r.Header.Get("X-Vault-Token") != "good" && r.Header.Get("X-Vault-Token") != inTheLog:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"errors":["permission denied"]}`)
		case r.URL.Path != "/v1/sys/audit-hash/file":
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"errors":["unknown audit backend"]}`)
		case body.Input == leaked:
			fmt.Fprintf(w, `{"data":{"hash":%q}}`, leakedHash)
		case body.Input == inTheLog:
			fmt.Fprint(w, `{"data":{"hash":"hmac-sha256:ff8e9ceb756f4ed3a151ea779a205dfda6d717343a8b989667584bd589dbec63"}}`)
		case hashes[body.Input] != "":
			fmt.Fprintf(w, `{"data":{"hash":%q}}`, hashes[body.Input])
		default:
			fmt.Fprintf(w, `{"data":{"hash":"hmac-sha256:%x"}}`, sha256.Sum256([]byte(body.Input)))
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "good")
	t.Setenv("VAULT_MAX_RETRIES", "0")
}

func TestAValueIsFoundWithoutBeingShown(t *testing.T) {
	startVault(t, nil)
	for name, value := range map[string]string{"bare": leaked, "with a line break": leaked + "\n"} {
		t.Run(name, func(t *testing.T) {
			got := audit(t, value, "match", "-output=json", corpus)
			if got.code != cli.ExitOK {
				t.Fatal(got.stderr)
			}
			var answer matchAnswer
			if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, s := range answer.Sightings {
				found = append(found, fmt.Sprintf("%s %s %s %d", s.Path, s.Field, s.DisplayName, s.Count))
			}
			if want := []string{
				"adtokens/creds/acme-rw response.data.auth_token token-billing 2",
				"adtokens/creds/acme-rw response.data.auth_token approle 1",
				"adtokens/creds/acme-rw response.data.auth_token userpass-alice 1",
				"adtokens/creds/acme-rw response.data.auth_token token 1",
				"sys/wrapping/unwrap response.data.auth_token  1",
				"sys/wrapping/unwrap response.data.auth_token approle 1",
			}; !slices.Equal(found, want) {
				t.Errorf("found\n%s", strings.Join(found, "\n"))
			}
			if strings.Contains(got.stdout+got.stderr, leaked) {
				t.Error("the value is shown")
			}
		})
	}
	table := audit(t, leaked, "match", "-until=2026-10-06", corpus)
	if table.code != cli.ExitOK || !strings.Contains(table.stdout, "token-billing") || strings.Contains(table.stdout, "approle") {
		t.Errorf("exit code %d: %s", table.code, table.stdout)
	}
	nothing := audit(t, "another value", "match", corpus)
	if nothing.code != cli.ExitFailure || !strings.Contains(nothing.stderr, `nothing shows that the audit device "file" wrote them`) || !strings.Contains(nothing.stdout, "Not known") {
		t.Errorf("exit code %d: %s%s", nothing.code, nothing.stdout, nothing.stderr)
	}
	t.Setenv("VAULT_TOKEN", inTheLog)
	nothing = audit(t, "another value", "match", corpus)
	if nothing.code != cli.ExitOK || !strings.Contains(nothing.stdout, "in no request or answer") {
		t.Errorf("exit code %d: %s", nothing.code, nothing.stdout)
	}
}

func TestVaultsRefusalsAreExplained(t *testing.T) {
	for name, tt := range map[string]struct {
		token, device, want string
	}{
		"no token":       {"", "file", "VAULT_TOKEN is not set"},
		"denied":         {"bad", "file", `path "sys/audit-hash/file" { capabilities = ["update"] }`},
		"unknown device": {"good", "socket", "`vault audit list` tells which there are"},
	} {
		t.Run(name, func(t *testing.T) {
			startVault(t, nil)
			t.Setenv("VAULT_TOKEN", tt.token)
			got := audit(t, leaked, "match", "-device", tt.device, corpus)
			if got.code != cli.ExitFailure || !strings.Contains(got.stderr, tt.want) || strings.Contains(got.stderr, leaked) {
				t.Errorf("exit code %d: %s", got.code, got.stderr)
			}
		})
	}
}

// keyFileOf is a key file as the Google Cloud console writes it.
func keyFileOf(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	if err != nil {
		t.Fatal(err)
	}
	return `{
  "type": "service_account",
  "project_id": "acme",
  "private_key_id": "0123456789abcdef",
  "private_key": ` + string(private) + `,
  "client_email": "ads@acme.iam.gserviceaccount.com",
  "token_uri": "https://oauth2.googleapis.com/token",
  "universe_domain": "a<b>&c"
}
`
}

func TestMatch_FindsEverySpelling(t *testing.T) {
	const tokenValue = "AbCdEf0123456789AbCd"
	key := keyFileOf(t)
	compactKey := func() string {
		var out bytes.Buffer
		if err := json.Compact(&out, []byte(key)); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}()
	sorted := sortedMembers(key)
	for name, tt := range map[string]struct{ given, inLog, spelling string }{
		"a token as it is":                      {tokenValue, tokenValue, "as given"},
		"a token, given with a line break":      {tokenValue + "\n", tokenValue, "without white space around"},
		"a token, handed in with a line break":  {tokenValue, tokenValue + "\n", "line breaks as on Unix, and one at the end"},
		"a token, handed in from Windows":       {tokenValue, tokenValue + "\r\n", "line breaks as on Unix, and one at the end"},
		"a token, given with spaces":            {"  " + tokenValue + " \r\n", "  " + tokenValue + " \r\n", "as given"},
		"a token, given as JSON":                {`"` + tokenValue + `"`, tokenValue, "out of its quotation marks"},
		"a key file, kept by the engine":        {key, compactKey, "as the engine keeps a service_account_key"},
		"a key file, handed in as it is":        {key, key, "as given"},
		"a key file, handed in without its end": {key, strings.TrimSpace(key), "without white space around"},
		"a key file with CRLF, kept":            {strings.ReplaceAll(key, "\n", "\r\n"), compactKey, "as the engine keeps a service_account_key"},
		"a key file, handed in with CRLF":       {key, strings.ReplaceAll(key, "\n", "\r\n"), "line breaks as on Windows, and one at the end"},
		"a compact key, handed in as it was":    {compactKey, key, "JSON, indented, and a line break at the end"},
		"a compact key, handed in, no end":      {compactKey, strings.TrimSpace(key), "JSON, indented"},
		"a key file, sorted by a tool":          {key, sorted, "JSON with sorted members on one line"},
		"a sorted key file with spaces":         {sorted, spaced(sorted), "JSON on one line, with spaces"},
		"a key file in base64":                  {base64.StdEncoding.EncodeToString([]byte(key)), compactKey, "as the engine keeps a service_account_key"},
		"a key file, handed in in base64":       {key, base64.StdEncoding.EncodeToString([]byte(key)), "in base64"},
	} {
		t.Run(name, func(t *testing.T) {
			startVault(t, map[string]string{tt.inLog: leakedHash})
			for where, log := range map[string]string{"hashed": corpus, "in clear": filepath.Join(t.TempDir(), "raw.log")} {
				want := tt.spelling
				if where == "in clear" {
					want += ", in clear"
					clear, err := json.Marshal(tt.inLog)
					if err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(log, []byte(strings.ReplaceAll(readCorpus(t), `"`+leakedHash+`"`, string(clear))), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				got := audit(t, tt.given, "match", "-output=json", log)
				var answer matchAnswer
				if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || got.code != cli.ExitOK {
					t.Fatalf("%s: exit code %d: %s", where, got.code, got.stderr)
				}
				if len(answer.Sightings) != 6 || answer.Sightings[0].Spelling != want {
					t.Errorf("%s: %d sightings, of which the first is %+v", where, len(answer.Sightings), answer.Sightings)
				}
				if strings.Contains(got.stdout+got.stderr, tokenValue) || strings.Contains(got.stdout, "PRIVATE KEY") {
					t.Error("the value is shown")
				}
			}
		})
	}
}
