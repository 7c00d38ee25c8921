//go:build unix

package acceptance

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestTheGoAppOutlivesAReset(t *testing.T) {
	t.Parallel()
	binary := vaulttest.BuildProgram(t, "docs/consumers/go-app", "go-app")

	// The token is reset in the console first, as it is in life: the app is down from then on until somebody hands the new
	// value in. Meanwhile it must neither end nor bother the provider.
	t.Run("and resumes as soon as Vault has the new value", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.importShared(t, 3600) // the ttl alone would have the app go on with the dead value for an hour
		app := w.startGoApp(t, binary, nil, "-patience=10m")
		app.says(t, "version 1: 200 OK")

		reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
		app.says(t, "version 1 is refused; waiting for another one")
		before, reads := w.impactRequests(t), w.credentialReads(t)
		vaulttest.Await(t, "the app to look for a new value", func() bool { return w.credentialReads(t) >= reads+4 })
		if after := w.impactRequests(t); after != before {
			t.Errorf("the app sent %d requests with a value that it knows to be dead", after-before)
		}
		w.write(t, "tokens/acme-rw/rotate", fields{"auth_token": reset.AuthToken, "reason": "reset in the console"})
		app.says(t, "version 2: 200 OK")
		if refused := app.Said(t, "is refused"); refused != 1 {
			t.Errorf("the app was refused %d times by one reset", refused)
		}
	})

	t.Run("whose new value takes longer than its patience", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.importShared(t, 60)
		reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
		app := w.startGoApp(t, binary, nil, "-patience=1s")
		app.says(t, "failed: the provider refuses version 1, and Vault has no other")
		w.write(t, "tokens/acme-rw/rotate", fields{"auth_token": reset.AuthToken})
		app.says(t, "version 2: 200 OK")
	})
}

// An app that reports a value that was refused is down for as long as the hook takes. One that does not is down until the engine looks by
// itself.
func TestTheGoAppsReportEndsAnOutage(t *testing.T) {
	t.Parallel()
	binary := vaulttest.BuildProgram(t, "docs/consumers/go-app", "go-app")
	const routine = 8 * time.Second
	outage := func(t *testing.T, may ...string) time.Duration {
		t.Helper()
		w := newWorld(t)
		w.importShared(t, 3600)
		w.addHook(t, "agency", startHook(t, w))
		w.write(t, "tokens/acme-rw", fields{"rotate_on_rejection": true, "verify_period": routine.Seconds()})
		app := w.startGoApp(t, binary, may)
		app.says(t, "version 1: 200 OK")
		w.write(t, "tokens/acme-rw/verify", nil) // the next one by itself is a whole period away
		began := time.Now()
		done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
		app.says(t, "version 2: 200 OK")
		return time.Since(began)
	}
	with, without := outage(t, "report"), outage(t)
	t.Logf("after a reset that nobody has announced, the app was down for %s without a report and for %s with one", without.Round(time.Millisecond), with.Round(time.Millisecond))
	if with >= without || with > routine/2 {
		t.Errorf("with a report the app was down for %s, without one for %s", with, without)
	}
}

// importShared makes the account agency and its token acme-rw.
func (w *world) importShared(t *testing.T, refreshTTL int) {
	t.Helper()
	credentials := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t)
	w.write(t, "config/agency", w.impactFields(simulator.Agency))
	w.write(t, "tokens/acme-rw", with(impactToken("legacy_read_write", credentials.ReadWrite), "refresh_ttl", refreshTTL))
}

// goApp is the example app at work.
type goApp struct{ *vaulttest.Program }

// startGoApp starts the app with a token that may read the credential, and update the paths of the token that are named.
func (w *world) startGoApp(t *testing.T, binary string, may []string, args ...string) goApp {
	t.Helper()
	policy := w.Path + "-go-app"
	rules := fmt.Sprintf(`path "%s/creds/acme-rw" { capabilities = ["read"] }`, w.Path)
	for _, path := range may {
		rules += fmt.Sprintf("\n"+`path "%s/%s/acme-rw" { capabilities = ["update"] }`, w.Path, path)
	}
	succeeded(t, w.Client.Sys().PutPolicyWithContext(t.Context(), policy, rules))
	token := done(w.Client.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{Policies: []string{policy}, NoDefaultPolicy: true}))(t)
	cmd := exec.Command(binary, append(args, "-interval=100ms", "-path="+w.Path+"/creds/acme-rw")...)
	cmd.Env = []string{"VAULT_ADDR=" + w.Address, "VAULT_TOKEN=" + token.Auth.ClientToken}
	return goApp{vaulttest.StartProgram(t, cmd)}
}

// says waits until the app has logged the words.
func (a goApp) says(t *testing.T, words string) {
	t.Helper()
	vaulttest.Await(t, fmt.Sprintf("the app to say %q", words), func() bool {
		if !a.Running() {
			t.Fatalf("the app has ended:\n%s", a.Output(t))
		}
		return a.Said(t, words) > 0
	})
}
