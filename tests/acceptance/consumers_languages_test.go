//go:build unix

package acceptance

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// TestConsumers_AppsInOtherLanguagesOutliveAReset runs the examples in Python and Node where these are installed. The Go example has
// TestTheGoAppOutlivesAReset.
func TestConsumers_AppsInOtherLanguagesOutliveAReset(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		// interpreter prints where its executable is: what is on PATH may be a script that needs the user's home.
		interpreter []string
		program     string
	}{
		"Python": {[]string{"python3", "-c", "import sys; print(sys.executable)"}, "python-app/app.py"},
		"Node":   {[]string{"node", "-e", "console.log(process.execPath)"}, "node-app/app.mjs"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			interpreter, err := exec.CommandContext(t.Context(), tc.interpreter[0], tc.interpreter[1:]...).Output()
			if err != nil {
				t.Skipf("%s does not run here: %v", tc.interpreter[0], err)
			}
			program := done(filepath.Abs(filepath.Join(docsRoot, "docs/consumers", tc.program)))(t)
			w := newWorld(t)
			w.importShared(t, 3600) // the ttl alone would have the app go on with the dead value for an hour
			start := func(patience string) goApp {
				return w.startScript(t, strings.TrimSpace(string(interpreter)), program, patience)
			}
			app := start("600") // longer than the test takes on a slow machine
			app.says(t, "version 1: 200")

			reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
			app.says(t, "version 1 is refused; waiting for another one")
			before, reads := w.impactRequests(t), w.credentialReads(t)
			vaulttest.Await(t, "the app to look for a new value", func() bool { return w.credentialReads(t) >= reads+3 })
			if after := w.impactRequests(t); after != before {
				t.Errorf("the app sent %d requests with a value that it knows to be dead", after-before)
			}
			w.write(t, "tokens/acme-rw/rotate", fields{"auth_token": reset.AuthToken, "reason": "reset in the console"})
			app.says(t, "version 2: 200")
			if refused := app.Said(t, "is refused"); refused != 1 {
				t.Errorf("the app was refused %d times by one reset", refused)
			}

			app = start("1")
			app.says(t, "version 2: 200")
			again := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
			app.says(t, "version 2 is refused; waiting for another one")
			app.says(t, "failed: the provider refuses version 2, and Vault has no other")
			w.write(t, "tokens/acme-rw/rotate", fields{"auth_token": again.AuthToken})
			app.says(t, "version 3: 200")
		})
	}
}

// startScript starts an example with a token that may read the credential, and nothing else. Patience is how many seconds it waits for
// another value after a refusal.
func (w *world) startScript(t *testing.T, interpreter, program, patience string) goApp {
	t.Helper()
	policy := w.Path + "-" + filepath.Base(program)
	rule := fmt.Sprintf(`path "%s/creds/acme-rw" { capabilities = ["read"] }`, w.Path)
	succeeded(t, w.Client.Sys().PutPolicyWithContext(t.Context(), policy, rule))
	request := &api.TokenCreateRequest{Policies: []string{policy}, NoDefaultPolicy: true}
	token := done(w.Client.Auth().Token().CreateWithContext(t.Context(), request))(t)
	cmd := exec.Command(interpreter, program, "--interval=0.1", "--patience="+patience, "--path="+w.Path+"/creds/acme-rw")
	cmd.Env = []string{"VAULT_ADDR=" + w.Address, "VAULT_TOKEN=" + token.Auth.ClientToken}
	return goApp{vaulttest.StartProgram(t, cmd)}
}
