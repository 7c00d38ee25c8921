//go:build unix

package chaos

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// leakStory is a life of the engine in which every secret has the occasion to get out.
type leakStory struct {
	*vaulttest.Mount
	t   *testing.T
	sim *vaulttest.Simulator
	// said are the answers that may hold no secret, by what was asked for.
	said map[string]string

	mu sync.Mutex
	// messages are what a receiver of notifications was told.
	messages []string
}

// TestNoSecretLeavesTheBarrier plays a story through every path, with wrong values, failing providers, rotations of all
// kinds, drift, a crash and deletions, and looks for every secret in what Vault has answered and in every file that it has
// written: its log at level trace, with the plugin's output, its audit log, its storage and a snapshot of that.
func TestNoSecretLeavesTheBarrier(t *testing.T) {
	t.Parallel()
	server := vaulttest.StartRaft(t)
	s := &leakStory{Mount: server.Mount(t), t: t, sim: vaulttest.StartSimulator(t), said: map[string]string{}}
	s.configure()
	s.importTokens()
	s.mistakeAndFail()
	s.rotate()
	s.readAll("after the rotations")
	s.drift()
	s.readAll("after the drift")

	dir := filepath.Dir(server.AuditLog)
	s.snapshot(filepath.Join(dir, "snapshot.tar.gz"))
	s.crash(filepath.Join(dir, "vault.log"))
	s.readAll("after the crash")
	s.deleteAll()
	server.Seal(t)

	s.mu.Lock()
	for _, message := range s.messages {
		s.note("a notification", message)
	}
	if len(s.messages) < 20 {
		t.Errorf("only %d notifications were told", len(s.messages))
	}
	s.mu.Unlock()
	files := s.keptSecrets(dir)
	if len(s.said) < 100 {
		t.Errorf("only %d answers were looked at", len(s.said))
	}
	for _, name := range []string{"vault.log", "audit.log", "data/vault.db", "data/raft/raft.db", "snapshot.tar.gz"} {
		if !slices.Contains(files, name) {
			t.Errorf("%s was not among the %d files that were looked at: %q", name, len(files), files)
		}
	}
}

// do asks Vault, and notes what it says. Path is below the mount.
func (s *leakStory) do(operation, path string, data map[string]any) (*api.Secret, error) {
	s.t.Helper()
	var secret *api.Secret
	var err error
	switch operation {
	case "read":
		secret, err = s.Read(s.t.Context(), path)
	case "list":
		secret, err = s.List(s.t.Context(), path)
	case "write":
		secret, err = s.Write(s.t.Context(), path, data)
	case "delete":
		secret, err = s.Delete(s.t.Context(), path)
	}
	if !strings.HasPrefix(path, "creds/") && !strings.HasPrefix(path, "access-token/") {
		s.note(operation+" "+path, fmt.Sprint(inJSON(s.t, secret), err))
	}
	return secret, err
}

func (s *leakStory) note(what, answer string) {
	s.said[fmt.Sprintf("answer %d, %s,", len(s.said)+1, what)] = answer
}

// succeeds asks for something that has to be done.
func (s *leakStory) succeeds(operation, path string, data map[string]any) *api.Secret {
	s.t.Helper()
	secret, err := s.do(operation, path, data)
	if err != nil {
		vaulttest.Fatalf(s.t, "%s %s: %v", operation, path, err)
	}
	return secret
}

// fails writes something that has to be refused.
func (s *leakStory) fails(path string, data map[string]any) {
	s.t.Helper()
	var refusal *api.ResponseError
	if _, err := s.do("write", path, data); !errors.As(err, &refusal) {
		vaulttest.Fatalf(s.t, "writing %s should have failed: %v", path, err)
	}
}

func inJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	must(t, err)
	return string(text)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
}

// get returns what a console shows.
func get[T any](shown T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		must(t, err)
		return shown
	}
}

// wrong is a secret that no provider has issued.
func (s *leakStory) wrong(kind string) string {
	return vaulttest.Secret(s.t, "wrong "+kind, rand.Text())
}

func (s *leakStory) configure() {
	s.t.Helper()
	key := vaulttest.Secret(s.t, "secret of the reset hook", base64.StdEncoding.EncodeToString([]byte(rand.Text()+rand.Text())))
	hook := httptest.NewServer(http.HandlerFunc(s.reset))
	s.t.Cleanup(hook.Close)
	agency := map[string]any{
		"provider": "impact", "account_type": "agency", "contact_email": "ads-api@acme.example", "base_url": s.sim.ImpactURL,
		"reset_hook_url": hook.URL, "reset_hook_secret": "whsec_" + key,
	}
	client := get(s.sim.OAuthClient(s.t.Context(), simulator.DefaultName))(s.t)
	google := map[string]any{
		"provider": "google_ads", "login_customer_id": "123-456-7890", "base_url": s.sim.GoogleURL, "token_url": s.sim.GoogleURL + "/token",
		"revoke_url": s.sim.GoogleURL + "/revoke", "iam_url": s.sim.GoogleURL,
		"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	}
	s.succeeds("write", "config/agency", agency)
	s.succeeds("write", "config/google", google)
	s.notify(hook.URL)
	s.fails("config/google", map[string]any{"client_secret": s.wrong("client secret")})
	s.fails("config/google", map[string]any{"base_url": "https://thief.example"})
	s.fails("config/agency", map[string]any{"reset_hook_secret": s.wrong("secret of the reset hook")})
	s.fails("config/other", map[string]any{"provider": "google_ads", "service_account_key": `{"private_key":"` + s.wrong("private key") + `"}`})
}

// notify has everything told: to a receiver that takes it, and to a chat that does not answer.
func (s *leakStory) notify(receiver string) {
	s.t.Helper()
	key := vaulttest.Secret(s.t, "secret of the notification", base64.StdEncoding.EncodeToString([]byte(rand.Text()+rand.Text())))
	chat := "http://127.0.0.1:1/services/" + vaulttest.Secret(s.t, "address of the chat", rand.Text())
	s.succeeds("write", "notifications/ops", map[string]any{"url": receiver + "/told", "secret": "whsec_" + key, "events": "*"})
	s.succeeds("write", "notifications/chat", map[string]any{"url": chat, "format": "slack", "events": "*"})
	for _, name := range []string{"ops", "chat"} {
		s.succeeds("write", "notifications/"+name+"/test", nil)
		s.fails("notifications/"+name, map[string]any{"secret": s.wrong("secret of the notification")})
	}
	s.fails("notifications/ops", map[string]any{"url": "https://thief.example"})
}

// reset is a company's automation, and takes what it is told.
func (s *leakStory) reset(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/told" {
		told, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.messages = append(s.messages, string(told))
		return
	}
	var event struct {
		TokenType  string `json:"token_type"`
		AccountSID string `json:"account_sid"`
	}
	err := json.NewDecoder(r.Body).Decode(&event)
	if err == nil {
		var credential map[string]string
		if credential, err = s.sim.HookReset(r.Context(), simulator.HookToken{TokenType: event.TokenType, AccountSID: event.AccountSID}); err == nil {
			err = json.NewEncoder(w).Encode(credential)
		}
	}
	if err != nil {
		http.Error(w, "the console failed", http.StatusInternalServerError)
	}
}

func impactToken(kind string, credential simulator.ImpactCredential) map[string]any {
	return map[string]any{"account": "agency", "type": kind, "account_sid": credential.AccountSID, "auth_token": credential.AuthToken, "verify_period": 0}
}

func (s *leakStory) importTokens() {
	s.t.Helper()
	ctx := s.t.Context()
	must(s.t, s.sim.SetDeveloperTokenMode(ctx, simulator.DeveloperTokenEnforced))
	legacy := get(s.sim.ImpactCredentials(ctx, "agency"))(s.t)
	scoped := get(s.sim.CreateScopedToken(ctx, simulator.ScopedTokenInput{ScopedTokenName: simulator.ScopedTokenName{Account: "agency", Name: "app"}}))(s.t)
	client := get(s.sim.CreateOAuthClient(ctx, "app"))(s.t)
	s.succeeds("write", "tokens/rw", impactToken("legacy_read_write", legacy.ReadWrite))
	s.succeeds("write", "tokens/ro", impactToken("legacy_read_only", legacy.ReadOnly))
	s.succeeds("write", "tokens/scoped", impactToken("scoped", scoped.ImpactCredential))
	s.succeeds("write", "tokens/dev", map[string]any{
		"account": "google", "type": "developer_token", "developer_token": get(s.sim.DeveloperToken(ctx))(s.t),
	})
	s.succeeds("write", "tokens/oauth", map[string]any{
		"account": "google", "type": "oauth_client", "rotation_grace_period": 1,
		"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	})
	s.succeeds("write", "tokens/key", map[string]any{
		"account": "google", "type": "service_account_key", "rotation_grace_period": 1,
		"service_account_key": string(get(s.sim.ServiceAccountKey(ctx, simulator.DefaultName))(s.t)),
	})
}

// leakTokens are the tokens of the story, one of each type, with a secret field of theirs.
var leakTokens = map[string]string{
	"rw": "auth_token", "ro": "auth_token", "scoped": "auth_token", "dev": "developer_token", "oauth": "client_secret", "key": "service_account_key",
}

// mistakeAndFail hands in what is no credential, at a provider that answers, fails, and echoes.
func (s *leakStory) mistakeAndFail() {
	s.t.Helper()
	ctx := s.t.Context()
	for name, field := range leakTokens {
		value := s.wrong(field)
		if name == "dev" {
			value = value[:22] // the form of one
		}
		for _, wrong := range []any{value, []any{value}, map[string]any{"value": value}, value + "\n" + value, strings.Repeat(value, 1000)} {
			s.fails("tokens/"+name+"/rotate", map[string]any{field: wrong})
		}
		s.fails("tokens/"+name, map[string]any{field: value})
		s.fails("tokens/"+name+"/rotate", map[string]any{field: value, "cas": 7})
		s.fails("tokens/"+name+"/rotate", map[string]any{"auth_token": value, "developer_token": value})
	}
	for _, fault := range []simulator.Fault{
		{Kind: simulator.FaultDropBefore},
		{Kind: simulator.FaultGarbage},
		{Kind: simulator.FaultHalfBody},
		{Kind: simulator.FaultOversizedBody},
		{Kind: simulator.FaultRedirect, Location: "https://thief.example"},
		{Kind: simulator.FaultStatus, Status: 429, RetryAfter: 1},
		{Kind: simulator.FaultStatus, Status: 503},
	} {
		for _, service := range []simulator.Service{simulator.Impact, simulator.GoogleToken, simulator.GoogleAds} {
			fault.Service = service
			must(s.t, s.sim.InjectFault(ctx, fault))
		}
		s.fails("tokens/rw/rotate", map[string]any{"auth_token": s.wrong("auth token")})
		s.fails("tokens/oauth/rotate", map[string]any{"client_secret": s.wrong("client secret")})
		s.fails("tokens/dev/rotate", map[string]any{"developer_token": s.wrong("developer token")[:22]})
		s.succeeds("write", "tokens/key/verify", nil)
		_, err := s.do("read", "access-token/key", nil)
		s.note("reading an access token that cannot be minted", fmt.Sprint(err))
		must(s.t, s.sim.ClearFaults(ctx))
	}
	for _, args := range [][]string{
		{"write", s.Path + "/tokens/rw/rotate", "auth_token=-"}, {"read", s.Path + "/tokens/rw"}, {"path-help", s.Path + "/tokens/rw/rotate"}, {"list", "-detailed", s.Path + "/tokens"},
	} {
		output := s.CLI(s.t, vaulttest.Command{Args: args, Stdin: s.wrong("auth token")})
		s.note("vault "+args[0], output.Stdout+output.Stderr)
	}
}

// rotate rotates in every way: by hand, unverified, by the IAM API and by the hook.
func (s *leakStory) rotate() {
	s.t.Helper()
	ctx := s.t.Context()
	s.succeeds("write", "tokens/ro/rotate", map[string]any{"auth_token": s.wrong("auth token"), "verify": false, "reason": "API down"})
	s.succeeds("write", "tokens/ro/verify", nil)
	s.succeeds("write", "tokens/ro/rotate", map[string]any{"auth_token": get(s.sim.ResetReadOnly(ctx, "agency"))(s.t).AuthToken})
	s.succeeds("write", "tokens/dev/rotate", map[string]any{"developer_token": get(s.sim.ResetDeveloperToken(ctx))(s.t)})
	s.succeeds("write", "tokens/oauth/rotate", map[string]any{
		"refresh_token": get(s.sim.NewConsent(ctx, "app"))(s.t).RefreshToken, "revoke_previous": true,
	})
	s.succeeds("write", "tokens/key/rotate", map[string]any{"reason": "monthly"})
	s.succeeds("write", "tokens/rw/rotate", nil)
	s.succeeds("write", "tokens/scoped/rotate", nil)
	s.campaign()
	for name := range leakTokens {
		vaulttest.Await(s.t, name+" to have retired what it replaces", func() bool {
			token, err := s.Read(ctx, "tokens/"+name)
			return err == nil && token.Data["rotation_state"] == "idle"
		})
	}
	s.succeeds("read", "access-token/oauth", nil)
	s.succeeds("read", "access-token/key", nil)
}

// campaign resets all tokens, those that a person has to reset aside, and has mistakes made in it.
func (s *leakStory) campaign() {
	s.t.Helper()
	current := fmt.Sprint(s.succeeds("read", "creds/rw", nil).Data["auth_token"])
	s.fails("campaigns/all", map[string]any{"reason": "it is " + current, "tokens": "*"})
	s.fails("campaigns/all", map[string]any{"reason": "all", "read_by": current})
	s.fails("campaigns/all", map[string]any{"reason": "all", "auth_token": s.wrong("auth token")})
	s.succeeds("write", "campaigns/all", map[string]any{"reason": "all", "tokens": "*"})
	vaulttest.Await(s.t, "the campaign to have done its part", func() bool {
		secret := s.succeeds("read", "campaigns/all", nil)
		progress, _ := secret.Data["progress"].(map[string]any)
		return fmt.Sprint(progress["waiting"], progress["running"]) == "0 0"
	})
	s.succeeds("list", "campaigns/", nil)
	s.succeeds("write", "campaigns/all", map[string]any{"retry": true})
}

// drift has somebody reset tokens behind Vault's back.
func (s *leakStory) drift() {
	s.t.Helper()
	ctx := s.t.Context()
	get(s.sim.ResetReadWrite(ctx, "agency"))(s.t)
	get(s.sim.ResetDeveloperToken(ctx))(s.t)
	must(s.t, s.sim.WithdrawConsent(ctx, "app"))
	for name := range leakTokens {
		s.succeeds("write", "tokens/"+name+"/verify", nil)
	}
	s.report()
}

// report has apps report values, some of which are dead, and the hook heal one while somebody hands in somebody else's.
func (s *leakStory) report() {
	s.t.Helper()
	ctx := s.t.Context()
	for name, field := range leakTokens {
		s.succeeds("write", "report/"+name, map[string]any{"version": 1, "status": 401})
		s.succeeds("write", "report/"+name, map[string]any{"fingerprint": s.wrong("fingerprint")})
		s.fails("report/"+name, map[string]any{"version": 1, field: s.wrong(field)})
		s.fails("report/"+name, map[string]any{"version": s.wrong("version")})
	}
	other := get(s.sim.CreateOAuthClient(ctx, "somebody-elses"))(s.t)
	s.fails("tokens/oauth/rotate", map[string]any{"client_id": other.ClientID, "client_secret": other.ClientSecret, "refresh_token": other.RefreshToken})
	s.succeeds("write", "tokens/rw", map[string]any{"rotate_on_rejection": true})
	vaulttest.Await(s.t, "rw to be healed", func() bool {
		token, err := s.Read(ctx, "tokens/rw")
		return err == nil && token.Data["health"] == "ok" && token.Data["rotation_state"] == "idle"
	})
}

// readAll reads what there is to read, and wants the credentials to be found where they belong.
func (s *leakStory) readAll(when string) {
	s.t.Helper()
	for _, path := range []string{"status", "info", "config/agency", "config/google", "notifications/ops", "notifications/chat"} {
		s.succeeds("read", path, nil)
	}
	for _, path := range []string{"config/", "tokens/", "notifications/"} {
		s.succeeds("list", path, nil)
	}
	for name := range leakTokens {
		for _, path := range []string{"tokens/" + name, "tokens/" + name + "/history", "tokens/" + name + "/rotate", "tokens/" + name + "/readers"} {
			s.succeeds("read", path, nil)
		}
		if found := secretsIn(s.t, inJSON(s.t, s.succeeds("read", "creds/"+name, nil))); found == "" {
			s.t.Errorf("%s: the credential in creds/%s is not recognised, so nothing can be said about other places", when, name)
		}
	}
	metrics, err := s.Client.Logical().ReadRawWithContext(s.t.Context(), s.Path+"/metrics")
	must(s.t, err)
	defer metrics.Body.Close()
	text, err := io.ReadAll(metrics.Body)
	must(s.t, err)
	s.note("read metrics", string(text))
	api, err := s.Client.Logical().ReadWithContext(s.t.Context(), "sys/internal/specs/openapi")
	must(s.t, err)
	s.note("the OpenAPI document", inJSON(s.t, api))
}

func (s *leakStory) snapshot(path string) {
	s.t.Helper()
	var snapshot bytes.Buffer
	must(s.t, s.Client.Sys().RaftSnapshotWithContext(s.t.Context(), &snapshot))
	must(s.t, os.WriteFile(path, snapshot.Bytes(), 0o600))
}

// crash has the plugin's process write down all its goroutines and end, as the Go runtime does when a handler panics. One
// of them is just handing in a credential.
func (s *leakStory) crash(log string) {
	s.t.Helper()
	ctx := s.t.Context()
	requests := func() (all int) {
		for _, count := range get(s.sim.Ledger(ctx))(s.t).Requests[simulator.Impact] {
			all += count
		}
		return all
	}
	must(s.t, s.sim.InjectFault(ctx, simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultLatency, Latency: time.Minute}))
	before := requests()
	value := s.wrong("auth token")
	answered := make(chan error)
	go func() {
		_, err := s.Write(context.WithoutCancel(ctx), "tokens/rw/rotate", map[string]any{"auth_token": value})
		answered <- err
	}()
	vaulttest.Await(s.t, "the provider to be asked", func() bool { return requests() > before })
	for _, pid := range s.PluginProcesses(s.t) {
		must(s.t, syscall.Kill(pid, syscall.SIGQUIT))
	}
	s.note("the request that the crash ended", fmt.Sprint(<-answered))
	vaulttest.Await(s.t, "the stack of the handler to be in Vault's log", func() bool {
		text, err := os.ReadFile(log)
		return err == nil && bytes.Contains(text, []byte("SIGQUIT: quit")) && bytes.Contains(text, []byte(".(*backend).handIn("))
	})
	must(s.t, s.sim.ClearFaults(ctx))
	vaulttest.Await(s.t, "the plugin to be started again", func() bool {
		_, err := s.Read(ctx, "info")
		return err == nil
	})
}

// TestAPanicTellsNoSecret has the plugin panic while it works with credentials, for a person and by itself, and looks for
// them in what Vault has answered and in every file that it has written: a Go program prints the stacks of its goroutines,
// with their arguments.
func TestAPanicTellsNoSecret(t *testing.T) {
	t.Parallel()
	server, points := vaulttest.StartRaft(t), t.TempDir()
	server.Replace(t, vaulttest.BuildPlugin(t, "adtokens-panics", "-tags", "failpoints"), "ADTOKENS_FAILPOINTS="+points)
	s := &leakStory{Mount: server.Mount(t), t: t, sim: vaulttest.StartSimulator(t), said: map[string]string{}}
	s.configure()
	s.importTokens()
	dir := filepath.Dir(server.AuditLog)
	fresh := get(s.sim.ResetReadWrite(t.Context(), "agency"))(t).AuthToken
	panics := 0
	for name, story := range map[string]struct {
		credential map[string]any
		// function is on the stack of the goroutine that panics.
		function string
	}{
		"rw":  {map[string]any{"auth_token": fresh}, ".(*backend).handIn("},
		"key": {nil, "rotation.(*Machine).Advance("},
	} {
		must(t, os.Mkdir(filepath.Join(points, name), 0o700))
		must(t, os.WriteFile(filepath.Join(points, name, "panic"), []byte("value tried"), 0o600))
		// That is an error, unless Vault has noticed the plugin's end in time to send the request to the next one.
		_, _ = s.do("write", "tokens/"+name+"/rotate", story.credential)
		panics++
		vaulttest.Await(t, "the panic in the work on "+name+" to be in Vault's log", func() bool {
			log := get(os.ReadFile(filepath.Join(dir, "vault.log")))(t)
			return bytes.Count(log, []byte("panic: a test wants it")) == panics && bytes.Contains(log, []byte(story.function))
		})
		vaulttest.Await(t, "the plugin to be started again", func() bool {
			_, err := s.Read(t.Context(), "info")
			return err == nil
		})
	}
	version := func(name string) string {
		return fmt.Sprint(get(s.Read(t.Context(), "tokens/"+name))(t).Data["version"])
	}
	if version("rw") == "1" {
		s.succeeds("write", "tokens/rw/rotate", map[string]any{"auth_token": fresh})
	}
	vaulttest.Await(t, "the key's rotation to go on", func() bool { return version("key") == "2" })
	s.readAll("after the panics")
	s.keptSecrets(dir)
}

// keptSecrets fails the test if there is a secret in an answer, or in a file below a directory, and returns the files.
func (s *leakStory) keptSecrets(dir string) (files []string) {
	s.t.Helper()
	for what, answer := range s.said {
		if found := secretsIn(s.t, answer); found != "" {
			s.t.Errorf("%s tells a secret: %s", what, found)
		}
	}
	findings, files := secretsBelow(s.t, dir)
	for _, finding := range findings {
		s.t.Error(finding)
	}
	return files
}

func (s *leakStory) deleteAll() {
	s.t.Helper()
	for name := range leakTokens {
		s.succeeds("delete", "tokens/"+name, nil)
	}
	s.succeeds("delete", "config/agency", nil)
	s.succeeds("delete", "config/google", nil)
}

// secretsIn returns the surroundings of what is recognised as a secret, without the secret; empty where there is none.
func secretsIn(t *testing.T, text string) string {
	t.Helper()
	clean := vaulttest.Redact(t, text)
	if clean == text {
		return ""
	}
	at := 0
	for at < min(len(text), len(clean)) && text[at] == clean[at] {
		at++
	}
	return fmt.Sprintf("%q", clean[max(0, at-100):min(len(clean), at+100)])
}

// secretsBelow looks for secrets in every file below a directory, unpacked where it is packed. It returns what it has
// found, and the files.
func secretsBelow(t *testing.T, dir string) (findings, files []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files = append(files, name)
		if unpacked, packErr := gunzip(content); packErr == nil {
			content = append(content, unpacked...)
		}
		if found := secretsIn(t, string(content)); found != "" {
			findings = append(findings, name+" holds a secret: "+found)
		}
		return err
	}))
	return findings, files
}

func gunzip(packed []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}

// TestPlantedSecretsAreFound shows that the search of the test above finds something where there is something to be
// found.
func TestPlantedSecretsAreFound(t *testing.T) {
	t.Parallel()
	secret := vaulttest.Secret(t, "planted secret", "planted+secret/of.the=test")
	var snapshot bytes.Buffer
	zipped := gzip.NewWriter(&snapshot)
	archive := tar.NewWriter(zipped)
	must(t, archive.WriteHeader(&tar.Header{Name: "state.bin", Size: int64(len(secret)), Mode: 0o600}))
	_, err := archive.Write([]byte(secret))
	must(t, errors.Join(err, archive.Close(), zipped.Close()))
	for name, content := range map[string]string{
		"vault.log":       "2026-11-22T09:35:00.000Z [TRACE] plugin: refused: value=" + secret + "\n",
		"crash.log":       "[DEBUG] plugin: goroutine 1 [running]:\n[DEBUG] plugin: main.f({0x1, 0x2}, " + fmt.Sprintf("%q", secret) + ")\n",
		"audit.log":       `{"type":"request","request":{"data":{"auth_token":` + inJSON(t, secret) + `}}}` + "\n",
		"basic.log":       "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("IR1:"+secret)),
		"query.log":       "GET /?" + url.Values{"token": {secret}}.Encode(),
		"data/vault.db":   "\x00\x01\xff" + strings.Repeat("\x00", 1<<20) + secret + "\x00",
		"snapshot.tar.gz": snapshot.String(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o700))
			must(t, os.WriteFile(path, []byte(content), 0o600))
			findings, files := secretsBelow(t, dir)
			if len(findings) != 1 || len(files) != 1 || !strings.HasPrefix(findings[0], name+" holds a secret") || strings.Contains(findings[0], secret) {
				t.Errorf("%d files were looked at, with the findings %q", len(files), findings)
			}
		})
	}
}
