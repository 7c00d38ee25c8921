//go:build unix

package acceptance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// operation is a world on a server of its own with integrated storage, where the engine is mounted as the documentation
// has it, and which is operated with the commands of its page on operations.
type operation struct {
	*world
	page page
}

func newOperation(t *testing.T) *operation {
	t.Helper()
	server := vaulttest.StartRaft(t)
	o := &operation{
		world: &world{Mount: &vaulttest.Mount{Server: server, Path: "adtokens", Client: server.Client}, sim: vaulttest.StartSimulator(t)},
		page:  parsePage("docs/operations.md", readDoc(t, "docs/operations.md")),
	}
	o.run(t, vaulttest.Command{Args: []string{
		"secrets", "enable", "-path=adtokens", "-plugin-version=" + backend.Version, vaulttest.PluginName,
	}})
	return o
}

// does runs a command of the page, which has it as inline code. The replacements are pairs of what is written there and
// what it is here.
func (o *operation) does(t *testing.T, command string, replacements ...string) {
	t.Helper()
	o.doesWith(t, "", command, replacements...)
}

// doesWith is does with something for the command's standard input.
func (o *operation) doesWith(t *testing.T, stdin, command string, replacements ...string) {
	t.Helper()
	if !slices.Contains(o.page.code(), command) {
		t.Errorf("%s does not have the command %s", o.page.path, command)
	}
	var args []string
	for _, word := range strings.Fields(command)[1:] {
		args = append(args, strings.NewReplacer(replacements...).Replace(word))
	}
	o.run(t, vaulttest.Command{Args: args, Stdin: stdin})
}

func (o *operation) run(t *testing.T, c vaulttest.Command) {
	t.Helper()
	output := o.CLI(t, c)
	if output.ExitCode != 0 {
		vaulttest.Fatalf(t, "vault %s: %s", strings.Join(c.Args, " "), output.Stderr)
	}
}

// otherVersion builds the plugin as another version, and returns it with the name of its file and that file's SHA-256.
func otherVersion(t *testing.T) (version, file, sum string) {
	t.Helper()
	version = "v9.0.0"
	file = vaulttest.PluginName + "-" + version
	path := vaulttest.BuildProgram(t, "cmd/"+vaulttest.PluginName, file,
		"-ldflags=-X github.com/adtokens/vault-plugin-secrets-adtokens/backend.Version="+version)
	digest := sha256.Sum256(done(os.ReadFile(path))(t))
	return version, file, hex.EncodeToString(digest[:])
}

func TestAnUpgradeLosesNeitherReadsNorTheRotationUnderWay(t *testing.T) {
	t.Parallel()
	o := newOperation(t)
	o.importLegacyTokens(t)
	notYet := slices.Repeat([]hookAnswer{{status: http.StatusAccepted}}, 1000)
	h := startHook(t, o.world, notYet...)
	o.addHook(t, "agency", h)
	o.startAndLeave(t, "rw")
	vaulttest.Await(t, "the hook to be asked", func() bool { events, _ := h.asked(); return len(events) > 0 })
	before := o.data(t, "creds/rw")

	version, file, sum := otherVersion(t)
	o.does(t, "vault plugin register -version=$version -sha256=$sha256 -command=$file secret vault-plugin-secrets-adtokens",
		"$version", version, "$sha256", sum, "$file", file)
	o.does(t, "vault secrets tune -plugin-version=$version adtokens/", "$version", version)
	has(t, o.data(t, "info"), fields{"version": backend.Version}) // nothing changes before the reload
	reader := o.startReader(t, "creds/rw")
	o.does(t, "vault plugin reload -plugin=vault-plugin-secrets-adtokens")
	has(t, o.data(t, "info"), fields{"version": version})
	failures, longest := reader.stop()
	if len(failures) > 0 {
		vaulttest.Errorf(t, "%d reads failed during the upgrade, the first with: %v", len(failures), failures[0])
	}
	t.Logf("the longest read during the upgrade took %s", longest.Round(time.Millisecond))
	has(t, o.data(t, "creds/rw"), fields{"version": 1, "fingerprint": before["fingerprint"]})

	// The new version's process goes on with the rotation of the old one's: the same request, with the same key.
	asked, _ := h.asked()
	vaulttest.Await(t, "the hook to be asked by the new version", func() bool { events, _ := h.asked(); return len(events) > len(asked) })
	h.mu.Lock()
	h.script = nil
	h.mu.Unlock()
	token := o.awaitToken(t, "rw", "have version 2", func(token fields) bool { return fmt.Sprint(token["version"]) == "2" })
	has(t, token, fields{"health": "ok", "rotation_state": "idle"})
	events, resets := h.asked()
	if len(resets) != 1 {
		t.Errorf("the hook was asked for %d resets in %d requests", len(resets), len(events))
	}

	// And back.
	o.does(t, "vault secrets tune -plugin-version=$version adtokens/", "$version", backend.Version)
	o.does(t, "vault plugin reload -plugin=vault-plugin-secrets-adtokens")
	has(t, o.data(t, "info"), fields{"version": backend.Version})
	o.Restart(t) // which starts the pinned version, not the newest one of the catalog
	has(t, o.data(t, "info"), fields{"version": backend.Version})
	has(t, o.data(t, "creds/rw"), fields{"version": 2, "fingerprint": token["fingerprint"]})
}

// startAndLeave has the engine rotate, and does not wait for the end: a reload would, and every read with it.
func (w *world) startAndLeave(t *testing.T, name string) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		if _, err := w.Write(ctx, "tokens/"+name+"/rotate", fields{"reason": "begun before"}); !errors.Is(err, context.Canceled) {
			t.Errorf("the rotation ended early: %v", err)
		}
	}()
	w.awaitState(t, name, "requested")
	leave()
	<-left
}

// reader reads a path again and again.
type reader struct {
	stopped chan struct{}
	done    chan struct{}
	// failures are the errors that there were, longest is how long a read took at most. They are for after done.
	failures []error
	longest  time.Duration
}

func (w *world) startReader(t *testing.T, path string) *reader {
	t.Helper()
	r := &reader{stopped: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for {
			select {
			case <-r.stopped:
				return
			case <-t.Context().Done():
				return
			default:
			}
			began := time.Now()
			if _, err := w.Read(t.Context(), path); err != nil {
				r.failures = append(r.failures, err)
			}
			r.longest = max(r.longest, time.Since(began))
		}
	}()
	return r
}

func (r *reader) stop() (failures []error, longest time.Duration) {
	close(r.stopped)
	<-r.done
	return r.failures, r.longest
}
