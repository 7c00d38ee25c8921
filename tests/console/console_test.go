//go:build unix

// Package console tests adtokens-console as its users meet it: the built binary beside a real Vault server, in a real browser, with the
// policy of docs/console.md.
package console

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestMain(m *testing.M) {
	code := vaulttest.Main(m)
	closeBrowser()
	os.Exit(code)
}

type fields = map[string]any

// world is what one test has for itself: a mount, the providers, and a console.
type world struct {
	*vaulttest.Mount
	sim     *vaulttest.Simulator
	policy  string
	url     string
	console *vaulttest.Program
}

// newWorld starts a console for a mount of its own, on a server that the tests share.
func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, vaulttest.Shared(t))
}

func newWorldOn(t *testing.T, server *vaulttest.Server) *world {
	t.Helper()
	w := &world{Mount: server.Mount(t), sim: vaulttest.StartSimulator(t)}
	w.policy = "console-" + w.Path
	if err := w.Server.Client.Sys().PutPolicyWithContext(t.Context(), w.policy, documentedPolicy(t, w.Path)); err != nil {
		vaulttest.Fatalf(t, "writing the policy: %v", err)
	}
	w.serve(t, "-mount", w.Path)
	return w
}

var policyBlock = regexp.MustCompile("(?s)<!-- file: console.hcl -->\n```hcl\n(.*?)```")

// documentedPolicy is the policy of docs/console.md, for a mount.
func documentedPolicy(t *testing.T, mount string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/console.md")
	if err != nil {
		t.Fatal(err)
	}
	found := policyBlock.FindSubmatch(text)
	if found == nil {
		t.Fatal("docs/console.md has no policy")
	}
	return strings.ReplaceAll(string(found[1]), `"adtokens/`, `"`+mount+`/`)
}

// serve starts the console, which must not use the token of its environment.
func (w *world) serve(t *testing.T, flags ...string) {
	t.Helper()
	binary := filepath.Join(vaulttest.BuildCommands(t, "adtokens-console"), "adtokens-console")
	cmd := exec.Command(binary, append([]string{"-vault-addr", w.Address, "-listen", "127.0.0.1:0"}, flags...)...)
	cmd.Env = []string{"VAULT_TOKEN=" + w.Token}
	w.console = vaulttest.StartProgram(t, cmd)
	vaulttest.Await(t, "the console to listen", func() bool { return strings.Contains(w.console.Output(t), `"url"`) || !w.console.Running() })
	for line := range strings.Lines(w.console.Output(t)) {
		var ready struct{ URL string }
		if json.Unmarshal([]byte(line), &ready) == nil && ready.URL != "" {
			w.url = ready.URL
		}
	}
	if w.url == "" {
		vaulttest.Fatalf(t, "the console does not say where it listens: %s", w.console.Output(t))
	}
}

// person is a Vault token of somebody with the console's policy.
func (w *world) person(t *testing.T, name string) string {
	t.Helper()
	made, err := w.Server.Client.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{
		Policies: []string{w.policy}, DisplayName: name, TTL: "1h",
	})
	if err != nil {
		vaulttest.Fatalf(t, "making a token: %v", err)
	}
	return vaulttest.Secret(t, "Vault token of "+name, made.Auth.ClientToken)
}

// write fails the test if the request fails.
func (w *world) write(t *testing.T, path string, data fields) *api.Secret {
	t.Helper()
	secret, err := w.Write(t.Context(), path, data)
	if err != nil {
		vaulttest.Fatalf(t, "writing %s: %v", path, err)
	}
	return secret
}

func (w *world) data(t *testing.T, path string) fields {
	t.Helper()
	secret, err := w.Read(t.Context(), path)
	if err != nil {
		vaulttest.Fatalf(t, "reading %s: %v", path, err)
	}
	return secret.Data
}

// importImpact makes the account acme-impact, and imports its legacy tokens as acme-rw and acme-ro.
func (w *world) importImpact(t *testing.T) simulator.LegacyCredentials {
	t.Helper()
	credentials := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t)
	w.write(t, "config/acme-impact", fields{
		"provider": "impact", "account_type": "agency", "base_url": w.sim.ImpactURL, "contact_email": "ads-api@acme.example",
	})
	for name, token := range map[string]struct {
		kind       string
		credential simulator.ImpactCredential
	}{"acme-rw": {"legacy_read_write", credentials.ReadWrite}, "acme-ro": {"legacy_read_only", credentials.ReadOnly}} {
		w.write(t, "tokens/"+name, fields{
			"account": "acme-impact", "type": token.kind, "account_sid": token.credential.AccountSID, "auth_token": token.credential.AuthToken,
		})
	}
	return credentials
}

// importGoogle makes the account acme-google, and returns its OAuth client.
func (w *world) importGoogle(t *testing.T) simulator.OAuthCredential {
	t.Helper()
	client := done(w.sim.OAuthClient(t.Context(), simulator.DefaultName))(t)
	w.write(t, "config/acme-google", fields{
		"provider": "google_ads", "contact_email": "ads-api@acme.example", "login_customer_id": "123-456-7890", "base_url": w.sim.GoogleURL,
		"token_url": w.sim.GoogleURL + "/token", "iam_url": w.sim.GoogleURL, "client_id": client.ClientID, "client_secret": client.ClientSecret,
		"refresh_token": client.RefreshToken,
	})
	return client
}

// done returns the result of an action in a console, or fails the test.
func done[T any](result T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			vaulttest.Fatalf(t, "%v", err)
		}
		return result
	}
}

// visitor speaks HTTP with the console as a browser does, for what needs no real one.
type visitor struct {
	t      *testing.T
	url    string
	client *http.Client
}

func (w *world) visitor(t *testing.T) *visitor {
	t.Helper()
	jar := done(cookiejar.New(nil))(t)
	return &visitor{t: t, url: w.url, client: &http.Client{Jar: jar}}
}

// answer is what a visitor got, after all redirects.
type answer struct {
	status int
	path   string
	text   string
	header http.Header
}

func (v *visitor) do(r *http.Request) answer {
	v.t.Helper()
	response := done(v.client.Do(r))(v.t) //nolint:bodyclose // closed below
	defer response.Body.Close()
	text := done(io.ReadAll(response.Body))(v.t)
	return answer{response.StatusCode, response.Request.URL.EscapedPath(), string(text), response.Header}
}

func (v *visitor) get(path string) answer {
	v.t.Helper()
	return v.do(done(http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.url+path, nil))(v.t))
}

var csrfInput = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// post sends a form of the page at from.
func (v *visitor) post(from, path string, form url.Values) answer {
	v.t.Helper()
	found := csrfInput.FindStringSubmatch(v.get(from).text)
	if found == nil {
		vaulttest.Fatalf(v.t, "%s has no form", from)
	}
	sent := url.Values{"csrf": {found[1]}}
	maps.Copy(sent, form)
	r := done(http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.url+path, strings.NewReader(sent.Encode())))(v.t)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", v.url)
	return v.do(r)
}

func (v *visitor) signIn(token string) answer {
	v.t.Helper()
	return v.post("/sign-in", "/sign-in", url.Values{"token": {token}})
}

func (p answer) has(t *testing.T, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(p.text, w) {
			vaulttest.Errorf(t, "%s (%d) does not have %q:\n%s", p.path, p.status, w, p.text)
		}
	}
}

// at is the address of a page of the world's mount, below the console's.
func (w *world) at(format string, args ...any) string {
	return "/m/" + w.Path + "/" + fmt.Sprintf(format, args...)
}
