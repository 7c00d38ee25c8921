//go:build unix

package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// installPatience bounds the installation of a library from its registry.
const installPatience = 2 * time.Minute

// TestConsumers_GoogleAuthLibrary runs Google's library for Node.js, as it is published, on key files that the engine has
// published. The library takes its token endpoint from no setting: it asks and addresses oauth2.googleapis.com, though the
// token_uri of these files is the simulator's. So its way leads through a proxy (HTTPS_PROXY), behind which the simulators answer for Google's names
// with a certificate that NODE_EXTRA_CA_CERTS has Node.js trust; neither the library nor the app is told of them.
func TestConsumers_GoogleAuthLibrary(t *testing.T) {
	t.Parallel()
	app := installNodeApp(t, "google-auth-library")
	w := newWorld(t)
	succeeded(t, w.sim.SetDeveloperTokenMode(t.Context(), simulator.DeveloperTokenIgnored))
	app.live(startInternet(t, map[string]string{"oauth2.googleapis.com": w.sim.GoogleURL, "googleads.googleapis.com": w.sim.GoogleURL}))
	w.importKey(t, fields{"rotation_grace_period": "1h"})
	before := w.keyFile(t, "key")
	app.lists(t, before)

	w.write(t, "tokens/key/rotate", nil)
	after := w.keyFile(t, "key")
	app.lists(t, after)
	app.lists(t, before) // until its grace period is over
	w.write(t, "tokens/key/retire", nil)
	app.lists(t, after)
	if output, err := app.run(t, before); err == nil || !strings.Contains(output, "invalid_grant") {
		vaulttest.Errorf(t, "with the key that was retired, the app says %s, error %v; want Google's refusal", output, err)
	}

	asked := done(w.sim.Ledger(t.Context()))(t).UserAgents[simulator.GoogleToken]
	if !slices.ContainsFunc(slices.Collect(maps.Keys(asked)), func(name string) bool { return strings.Contains(name, "google-api-nodejs-client/10.9.1") }) {
		t.Errorf("the token endpoint was asked by %v, and not by the library", asked)
	}
}

// keyFile writes a token's key into a file and returns its path.
func (w *world) keyFile(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.json")
	succeeded(t, os.WriteFile(path, []byte(w.data(t, "creds/"+name)["service_account_key"].(string)), 0o600))
	return path
}

// nodeApp is a program of testdata with the libraries that its lockfile pins.
type nodeApp struct {
	dir         string
	environment []string
}

// npmsOwnFaults are errors of npm that speak of the files of this repository, or of what came in place of a library.
var npmsOwnFaults = regexp.MustCompile(`npm (error|ERR!) code (EUSAGE|EINTEGRITY|EJSONPARSE)`)

// installNodeApp skips the test where there is no Node.js, or its registry is out of reach.
func installNodeApp(t *testing.T, name string) *nodeApp {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("there is no %s on PATH: %s is not tried", program, name)
		}
	}
	app := &nodeApp{dir: t.TempDir()}
	succeeded(t, os.CopyFS(app.dir, os.DirFS(filepath.Join("testdata", name))))
	ctx, cancel := context.WithTimeout(t.Context(), installPatience)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
	install.Dir = app.dir
	switch output, err := install.CombinedOutput(); {
	case err == nil:
	case npmsOwnFaults.Match(output):
		t.Fatalf("npm cannot install what the lockfile has: %s", output)
	default:
		t.Skipf("npm cannot install %s, which is not tried (%v): %s", name, err, output)
	}
	return app
}

// live has the app live in an internet of startInternet.
func (a *nodeApp) live(environment []string) {
	a.environment = append(os.Environ(), environment...)
	for _, variable := range environment {
		if file, ok := strings.CutPrefix(variable, "SSL_CERT_FILE="); ok {
			a.environment = append(a.environment, "NODE_EXTRA_CA_CERTS="+file)
		}
	}
	a.environment = append(a.environment, "NO_PROXY=", "no_proxy=", "https_proxy=") // those of the machine do not count
}

// run returns what the app prints.
func (a *nodeApp) run(t *testing.T, keyFile string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "list-customers.mjs", keyFile)
	cmd.Dir, cmd.Env = a.dir, a.environment
	output, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
		vaulttest.Errorf(t, "the app fails: %s", exit.Stderr)
	}
	return string(output), err
}

// lists wants the app to be served with the key.
func (a *nodeApp) lists(t *testing.T, keyFile string) {
	t.Helper()
	output, err := a.run(t, keyFile)
	var answer struct {
		ResourceNames []string `json:"resourceNames"`
	}
	if err != nil || json.Unmarshal([]byte(output), &answer) != nil || len(answer.ResourceNames) == 0 {
		vaulttest.Errorf(t, "the app says %s, error %v; want the customers", output, err)
	}
}
