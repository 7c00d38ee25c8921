//go:build unix

package console

import (
	"bufio"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// auditEntry is what an audit log says of a request.
type auditEntry struct {
	Type  string
	Error string
	Auth  struct {
		DisplayName string `json:"display_name"`
	}
	Request struct {
		Path      string
		Operation string
		Headers   map[string]any
	}
}

// audited are the requests about the world's mount.
func (w *world) audited(t *testing.T) (entries []auditEntry) {
	t.Helper()
	file := done(os.Open(w.AuditLog))(t)
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e auditEntry
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Type == "response" && strings.HasPrefix(e.Request.Path, w.Path+"/") {
			entries = append(entries, e)
		}
	}
	return entries
}

// Everything that the pages do is done as the person, and the documented policy is enough for it.
func TestRights_EveryRequestIsThePersons(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importImpact(t)
	fresh := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	before := len(w.audited(t))
	v := w.visitor(t)
	v.signIn(w.person(t, "jane")).has(t, "Needs attention", "acme-rw")
	at := w.at("tokens/acme-rw")
	for _, path := range []string{at, w.at("tokens/acme-ro"), w.at("campaigns"), w.at("campaigns/new"), w.at("providers"), w.at("providers/impact"), w.at("?state=ok")} {
		got := v.get(path)
		if got.status != 200 || strings.Contains(got.text, "You may not") {
			vaulttest.Errorf(t, "%s (%d) is not for a person with the documented policy:\n%s", path, got.status, got.text)
		}
	}
	v.post(at, at+"/verify", nil).has(t, "The platform refuses it")
	v.post(at, at+"/rotate", url.Values{"auth_token": {fresh.AuthToken}, "reason": {"it was reset"}, "cas": {"1"}}).has(t, "Published. Version 2")
	v.post(w.at("campaigns/new"), w.at("campaigns/preview"), url.Values{"name": {"x"}, "reason": {"y"}, "tokens": {"acme-*"}}).has(t, "This would replace 2 tokens")

	entries := w.audited(t)[before:]
	if len(entries) < 20 {
		t.Fatalf("the audit log has %d requests", len(entries))
	}
	for _, e := range entries {
		path := strings.TrimPrefix(e.Request.Path, w.Path+"/")
		if e.Auth.DisplayName != "token-jane" {
			t.Errorf("%s of %s was done by %q", e.Request.Operation, path, e.Auth.DisplayName)
		}
		if strings.Contains(e.Error, "permission denied") {
			t.Errorf("%s of %s is not allowed by the documented policy", e.Request.Operation, path)
		}
		if first, _, _ := strings.Cut(path, "/"); slices.Contains([]string{"creds", "access-token", "config"}, first) {
			t.Errorf("the console has asked for %s", path)
		}
	}
	if got := w.data(t, "creds/acme-rw")["auth_token"]; got != fresh.AuthToken {
		t.Error("the app does not get the new value")
	}
}

// The documented policy lets nobody read a value.
func TestRights_ThePolicyReadsNoValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importImpact(t)
	joe := w.As(t, w.person(t, "joe"))
	for _, path := range []string{"creds/acme-rw", "access-token/acme-rw", "config/acme-impact"} {
		if _, err := joe.Read(t.Context(), path); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("reading %s: %v", path, err)
		}
	}
	if _, err := joe.Write(t.Context(), "tokens/acme-rw/rotate", fields{"auth_token": "x", "verify": false}); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("publishing without a check: %v", err)
	}
}

// Whoever may see less sees less, in words.
func TestRights_WithoutAny(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importImpact(t)
	made := done(w.Server.Client.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1h"}))(t)
	v := w.visitor(t)
	v.signIn(made.Auth.ClientToken).has(t, "You may not see the list of tokens")
	v.get(w.at("tokens/acme-rw")).has(t, "You may not see this")
	v.get(w.at("campaigns")).has(t, "You may not see campaigns")
	v.get(w.at("providers")).has(t, "You may not see the platforms")
}

func TestSession_EndsWithTheVaultToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.person(t, "jane")
	v := w.visitor(t)
	v.signIn(token).has(t, "Needs attention")
	if err := w.Server.Client.Auth().Token().RevokeTreeWithContext(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if got := v.get(w.at("?q=anew")); got.path != "/sign-in" {
		// what was known a moment ago may be shown for seconds
		vaulttest.Await(t, "the session to end", func() bool { return v.get(w.at("")).path == "/sign-in" })
	}
	v.get("/sign-in?why=ended").has(t, "You have been signed out")
}

// What a login gave is revoked at the sign-out, and what was pasted is not.
func TestSession_SignOutRevokesWhatALoginGave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.allowPasswords(t, "jane", "her-password-1")
	v := w.visitor(t)
	v.post("/sign-in", "/sign-in", url.Values{"username": {"jane"}, "password": {"her-password-1"}, "method": {"userpass"}, "path": {"people-" + w.Path}}).has(t, "Needs attention", "jane")
	count := func() int { // of Vault tokens of that login
		list := done(w.Server.Client.Logical().ListWithContext(t.Context(), "auth/token/accessors"))(t)
		n := 0
		for _, accessor := range list.Data["keys"].([]any) {
			if found, err := w.Server.Client.Auth().Token().LookupAccessorWithContext(t.Context(), accessor.(string)); err == nil && found.Data["path"] == "auth/people-"+w.Path+"/login/jane" {
				n++
			}
		}
		return n
	}
	if count() != 1 {
		t.Fatalf("there are %d tokens of the login", count())
	}
	v.post(w.at(""), "/sign-out", nil).has(t, "You have signed out")
	if count() != 0 {
		t.Error("the token of the login is alive")
	}
	pasted := w.person(t, "jane")
	v.signIn(pasted).has(t, "Needs attention")
	v.post(w.at(""), "/sign-out", nil)
	if _, err := w.Server.Client.Auth().Token().LookupWithContext(t.Context(), pasted); err != nil {
		t.Errorf("the pasted token is not alive: %v", err)
	}
}

// allowPasswords has Vault take a name and a password, for the console's policy.
func (w *world) allowPasswords(t *testing.T, name, password string) {
	t.Helper()
	at := "people-" + w.Path
	if err := w.Server.Client.Sys().EnableAuthWithOptionsWithContext(t.Context(), at, &api.EnableAuthOptions{Type: "userpass"}); err != nil {
		vaulttest.Fatalf(t, "enabling userpass: %v", err)
	}
	if _, err := w.Server.Client.Logical().WriteWithContext(t.Context(), "auth/"+at+"/users/"+name, fields{"password": password, "token_policies": w.policy, "token_ttl": "1h"}); err != nil {
		vaulttest.Fatalf(t, "making a user: %v", err)
	}
}

// Without -mount each person gets the mounts that they may see.
func TestMounts_AreFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importImpact(t)
	w.serve(t)
	v := w.visitor(t)
	got := v.signIn(w.person(t, "jane"))
	got.has(t, "acme-rw")
	if got.path != w.at("") {
		t.Errorf("the person is led to %s", got.path)
	}
}

func TestVault_Sealed(t *testing.T) {
	t.Parallel()
	w := newWorldOn(t, vaulttest.StartDev(t))
	v := w.visitor(t)
	v.signIn(w.person(t, "jane")).has(t, "Needs attention")
	if err := w.Server.Client.Sys().SealWithContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	vaulttest.Await(t, "the page to say that Vault is sealed", func() bool {
		got := v.get(w.at("providers"))
		return got.status == 503 && strings.Contains(got.text, "Vault is closed at the moment")
	})
	w.visitor(t).get("/sign-in").has(t, "Vault is closed at the moment")
}

// Nobody starts it by mistake where others read along.
func TestListen_BeyondLoopbackIsRefused(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(vaulttest.BuildCommands(t, "adtokens-console"), "adtokens-console")
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		p := vaulttest.StartProgram(t, command(binary, "-listen", address))
		deadline := time.Now().Add(30 * time.Second)
		for p.Running() && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		if output := p.Output(t); p.Running() || !strings.Contains(output, "add -tls-cert and -tls-key") || strings.Contains(output, `"url"`) {
			t.Errorf("%s: it says %s", address, output)
		}
	}
}
