//go:build unix

package acceptance

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"go.yaml.in/yaml/v3"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// refreshTTL is that of the tokens whose consumers are tested, in seconds.
const refreshTTL = 1

// slack is what a consumer may take beyond refresh_ttl on a busy machine. Without ttl and rotation_period in what it
// reads, Vault Agent would look again after minutes only.
const slack = 20 * time.Second

// machine is where a consumer runs: directories of its own take the place of those that the examples name.
type machine struct {
	*world
	etc, run, bin string
	// policy lets an app read credentials.
	policy string
}

// newMachine has the tokens acme-rw and acme-app in its world, a login for Vault Agent and the app's commands.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{world: newWorld(t)}
	for dir, path := range map[string]*string{"etc": &m.etc, "run": &m.run, "bin": &m.bin} {
		*path = filepath.Join(t.TempDir(), dir)
		succeeded(t, os.Mkdir(*path, 0o700))
	}
	m.importShared(t, refreshTTL)
	m.write(t, "config/google", m.googleFields(t))
	client := done(m.sim.OAuthClient(t.Context(), simulator.DefaultName))(t)
	m.write(t, "tokens/acme-app", fields{
		"account": "google", "type": "oauth_client", "refresh_ttl": refreshTTL,
		"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	})
	m.policy = m.Path + "-app"
	succeeded(t, m.Server.Client.Sys().PutPolicyWithContext(t.Context(), m.policy, fmt.Sprintf(`path "%s/creds/acme-*" { capabilities = ["read"] }`, m.Path)))

	m.script(t, "acme-report-reload", `echo reload >> `+m.run+`/reloads`)
	m.script(t, "acme-report", `echo "$IMPACT_FINGERPRINT" >> `+m.run+`/starts; exec sleep 600`)
	return m
}

// script makes a command of the app.
func (m *machine) script(t *testing.T, name, commands string) {
	t.Helper()
	succeeded(t, os.WriteFile(filepath.Join(m.bin, name), []byte("#!/bin/sh\n"+commands+"\n"), 0o700))
}

// credentialReads counts how often acme-rw was read.
func (w *world) credentialReads(t *testing.T) int {
	t.Helper()
	log := done(os.ReadFile(w.AuditLog))(t)
	return bytes.Count(log, []byte(w.Path+"/creds/acme-rw")) / 2 // a request and its response
}

// install puts an example in its place on this machine, and returns where that is.
func (m *machine) install(t *testing.T, example string) string {
	t.Helper()
	text := strings.NewReplacer(
		"adtokens/creds/", m.Path+"/creds/", "auth/approle", "auth/"+m.Path+"-approle",
		"/etc/vault-agent", m.etc, "/etc/consul-template", m.etc, "/run/vault-agent", m.run, "/run/acme", m.run, "/usr/local/bin", m.bin,
	).Replace(readDoc(t, "docs/consumers/"+example))
	path := filepath.Join(m.etc, example)
	succeeded(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// enroll leaves the files with which Vault Agent logs in.
func (m *machine) enroll(t *testing.T) {
	t.Helper()
	auth, logical := m.Path+"-approle", m.Client.Logical()
	succeeded(t, m.Client.Sys().EnableAuthWithOptionsWithContext(t.Context(), auth, &api.EnableAuthOptions{Type: "approle"}))
	role := "auth/" + auth + "/role/acme-report"
	done(logical.WriteWithContext(t.Context(), role, fields{"token_policies": m.policy, "token_no_default_policy": true}))(t)
	id := done(logical.ReadWithContext(t.Context(), role+"/role-id"))(t)
	secret := done(logical.WriteWithContext(t.Context(), role+"/secret-id", nil))(t)
	for file, value := range map[string]any{"role-id": id.Data["role_id"], "secret-id": secret.Data["secret_id"]} {
		succeeded(t, os.WriteFile(filepath.Join(m.etc, file), fmt.Append(nil, value), 0o600))
	}
}

// start starts a consumer, with the server's address and no token in its environment.
func (m *machine) start(t *testing.T, command string, args ...string) *vaulttest.Program {
	t.Helper()
	cmd := exec.Command(command, args...)
	cmd.Env = []string{"VAULT_ADDR=" + m.Address}
	return vaulttest.StartProgram(t, cmd)
}

// lines are those of a file in the run directory; none while there is no file.
func (m *machine) lines(file string) []string {
	content, err := os.ReadFile(filepath.Join(m.run, file))
	if err != nil {
		return nil
	}
	return strings.Fields(string(content))
}

// await waits for a condition, and shows what the consumer wrote if it ends meanwhile.
func (m *machine) await(t *testing.T, p *vaulttest.Program, what string, condition func() bool) {
	t.Helper()
	vaulttest.Await(t, what, func() bool {
		if !p.Running() {
			t.Fatalf("waiting for %s: the consumer has ended:\n%s", what, p.Output(t))
		}
		return condition()
	})
}

// rotateBoth resets acme-rw and renews acme-app, out of schedule.
func (m *machine) rotateBoth(t *testing.T) {
	t.Helper()
	consent := done(m.sim.NewConsent(t.Context(), simulator.DefaultName))(t)
	m.write(t, "tokens/acme-app/rotate", fields{"refresh_token": consent.RefreshToken})
	reset := done(m.sim.ResetReadWrite(t.Context(), "agency"))(t)
	has(t, m.write(t, "tokens/acme-rw/rotate", fields{"auth_token": reset.AuthToken}).Data, fields{"version": 2})
}

// rendered is what the templates of the examples make of credentials.
type rendered struct {
	// impact is what impact.env says, and google what google-ads.yaml says.
	impact, google string
}

// current is what the files have to hold now.
func (m *machine) current(t *testing.T) rendered {
	t.Helper()
	impact, google := m.data(t, "creds/acme-rw"), m.data(t, "creds/acme-app")
	config := fields{"use_proto_plus": true, "developer_token": "", "use_cloud_org_for_api_access": true}
	for _, field := range []string{"client_id", "client_secret", "refresh_token", "login_customer_id"} {
		config[field] = google[field]
	}
	return rendered{google: asJSON(t, config), impact: asJSON(t, fields{
		"IMPACT_URL": impact["account_url"], "IMPACT_ACCOUNT_SID": impact["account_sid"], "IMPACT_AUTH_TOKEN": impact["auth_token"],
		"IMPACT_FINGERPRINT": impact["fingerprint"],
	})}
}

// files are what the consumer has rendered; the zero value until both are there.
func (m *machine) files(t *testing.T) rendered {
	t.Helper()
	impact, impactErr := os.ReadFile(filepath.Join(m.run, "impact.env"))
	google, googleErr := os.ReadFile(filepath.Join(m.run, "google-ads.yaml"))
	if errors.Join(impactErr, googleErr) != nil {
		return rendered{}
	}
	var config fields
	if err := yaml.Unmarshal(google, &config); err != nil {
		vaulttest.Fatalf(t, "google-ads.yaml: %v", err)
	}
	return rendered{impact: asJSON(t, systemdEnvironment(string(impact))), google: asJSON(t, config)}
}

// followsARotation fails the test unless the consumer renders the files, and renders them anew in time after a rotation.
func (m *machine) followsARotation(t *testing.T, p *vaulttest.Program) {
	t.Helper()
	before := m.current(t)
	m.await(t, p, "the consumer to render its files", func() bool { return m.files(t) == before })
	m.rotateBoth(t)
	rotated, after := time.Now(), m.current(t)
	m.await(t, p, "the consumer to render its files anew", func() bool { return m.files(t) == after })
	took := time.Since(rotated)
	t.Logf("the files had the new values after %s", took.Round(10*time.Millisecond))
	if took > refreshTTL*time.Second+slack {
		t.Errorf("the files had the new values %s after the rotation", took)
	}
	// The app is told when a value is new, not each time that it was read.
	m.await(t, p, "the app to be told", func() bool { return len(m.lines("reloads")) >= 2 })
	if reloads := len(m.lines("reloads")); reloads != 2 {
		t.Errorf("the app was told to reload %d times for 2 values", reloads)
	}
	for _, file := range []string{"google-ads.yaml", "impact.env"} {
		if mode := done(os.Stat(filepath.Join(m.run, file)))(t).Mode(); mode != 0o600 {
			t.Errorf("%s has the mode %v instead of %v", file, mode, fs.FileMode(0o600))
		}
	}
}

func TestVaultAgentRendersNewValuesWithinRefreshTTL(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.enroll(t)
	m.install(t, "google-ads.yaml.ctmpl")
	m.install(t, "impact.env.ctmpl")
	agent := m.start(t, vaulttest.VaultCommand(t), "agent", "-config="+m.install(t, "agent.hcl"))
	m.followsARotation(t, agent)
}

func TestVaultAgentStartsTheAppAnewWithANewValue(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.enroll(t)
	agent := m.start(t, vaulttest.VaultCommand(t), "agent", "-config="+m.install(t, "supervisor.hcl"))
	first := m.data(t, "creds/acme-rw")["fingerprint"]
	m.await(t, agent, "the app to start", func() bool { return len(m.lines("starts")) > 0 })

	m.rotateBoth(t)
	rotated := time.Now()
	second := m.data(t, "creds/acme-rw")["fingerprint"]
	m.await(t, agent, "the app to start anew", func() bool { return len(m.lines("starts")) > 1 })
	if took := time.Since(rotated); took > refreshTTL*time.Second+slack {
		t.Errorf("the app had the new value %s after the rotation", took)
	}
	// The agent reads the same value again and again, and leaves the app alone.
	before := m.credentialReads(t)
	m.await(t, agent, "the agent to read on", func() bool { return m.credentialReads(t) > before+1 })
	if starts := m.lines("starts"); !slices.Equal(starts, []string{fmt.Sprint(first), fmt.Sprint(second)}) {
		t.Errorf("the app was started with the values %v", starts)
	}
}

// TestConsulTemplateRendersNewValuesWithinRefreshTTL builds consul-template from the module that builds Vault, which
// depends on it: that pins its version and leaves little to compile.
func TestConsulTemplateRendersNewValuesWithinRefreshTTL(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	binary := filepath.Join(m.bin, "consul-template")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags=minimal", "-ldflags=-s -w", "-o", binary, "github.com/hashicorp/consul-template")
	build.Dir, build.Env = filepath.Join(docsRoot, "scripts", "vault"), append(os.Environ(), "CGO_ENABLED=0") // as Vault's server was built
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building consul-template: %v\n%s", err, output)
	}
	token := done(m.Client.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{Policies: []string{m.policy}, NoDefaultPolicy: true}))(t)
	succeeded(t, os.WriteFile(filepath.Join(m.run, "token"), []byte(token.Auth.ClientToken), 0o600))
	m.install(t, "google-ads.yaml.ctmpl")
	m.install(t, "impact.env.ctmpl")
	m.followsARotation(t, m.start(t, binary, "-config="+m.install(t, "consul-template.hcl")))
}
