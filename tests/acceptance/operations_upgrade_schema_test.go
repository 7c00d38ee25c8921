//go:build unix

package acceptance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// schemaFixture came with the first version whose stored entries every later one has to serve.
const schemaFixture = "backend/testdata/schema-1/config.google.json"

// earliestVersion builds the plugin as it was when its storage schema was written down, from the repository's history, and
// returns it with the name of its file and that file's SHA-256. It skips the test where the history is not at hand.
func earliestVersion(t *testing.T) (version, file, sum string) {
	t.Helper()
	git := func(args ...string) []byte {
		command := exec.CommandContext(t.Context(), "git", args...)
		command.Dir = filepath.Join("..", "..")
		output, err := command.Output()
		if err != nil {
			t.Skipf("the repository's history is not at hand (git %s: %v): no upgrade from an earlier version is tried", args[0], err)
		}
		return output
	}
	if shallow := git("rev-parse", "--is-shallow-repository"); strings.TrimSpace(string(shallow)) != "false" {
		t.Skip("the clone is shallow and has no history: no upgrade from an earlier version is tried")
	}
	added := strings.Fields(string(git("log", "--diff-filter=A", "--format=%H", "--", schemaFixture)))
	if len(added) == 0 {
		t.Skipf("the history does not tell when %s was added: no upgrade from an earlier version is tried", schemaFixture)
	}
	source := t.TempDir()
	unpack := exec.CommandContext(t.Context(), "tar", "-x", "-C", source)
	unpack.Stdin = bytes.NewReader(git("archive", added[len(added)-1], "go.mod", "go.sum", "backend", "cmd/"+vaulttest.PluginName))
	if output, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("unpacking the earlier version: %v: %s", err, output)
	}
	version = "v0.0.1"
	file = vaulttest.PluginName + "-" + version
	path := filepath.Join(vaulttest.BuildCommands(t), file)
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath",
		"-ldflags=-X github.com/adtokens/vault-plugin-secrets-adtokens/backend.Version="+version, "-o", path, "./cmd/"+vaulttest.PluginName)
	build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0") // in the way of everything else
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the earlier version: %v: %s", err, output)
	}
	digest := sha256.Sum256(done(os.ReadFile(path))(t))
	return version, file, hex.EncodeToString(digest[:])
}

// TestUpgrade_FromTheFirstSchema: a mount of the earliest version that counts is upgraded to this one, keeps what it has,
// goes on with what it was doing, has what is new, and can go back.
func TestUpgrade_FromTheFirstSchema(t *testing.T) {
	t.Parallel()
	version, file, sum := earliestVersion(t)
	server := vaulttest.StartRaft(t)
	o := &operation{
		world: &world{Mount: &vaulttest.Mount{Server: server, Path: "adtokens", Client: server.Client}, sim: vaulttest.StartSimulator(t)},
		page:  parsePage("docs/operations.md", readDoc(t, "docs/operations.md")),
	}
	o.does(t, "vault plugin register -version=$version -sha256=$sha256 -command=$file secret vault-plugin-secrets-adtokens",
		"$version", version, "$sha256", sum, "$file", file)
	o.run(t, vaulttest.Command{Args: []string{"secrets", "enable", "-path=adtokens", "-plugin-version=" + version, vaulttest.PluginName}})
	has(t, o.data(t, "info"), fields{"version": version})
	h := o.useEveryType(t)
	before := o.snapshot(t)

	o.pin(t, backend.Version)
	keeps(t, o.snapshot(t), before)
	if _, warnings := o.read(t, "status"); len(warnings) > 0 {
		t.Errorf("status warns after the upgrade: %q", warnings)
	}

	// It goes on with the hook's rotation, with the same key, and ends the old service account key by the path that is new.
	h.mu.Lock()
	h.script = nil
	h.mu.Unlock()
	token := o.awaitToken(t, "rw", "have version 2", func(token fields) bool { return fmt.Sprint(token["version"]) == "2" })
	has(t, token, fields{"health": "ok", "rotation_state": "idle"})
	if _, resets := h.asked(); len(resets) != 1 {
		t.Errorf("the hook was asked for %d resets", len(resets))
	}
	retired := o.write(t, "tokens/key/retire", nil).Data
	has(t, retired, fields{"version": 1, "retired": true, "rotation_state": "idle"})
	o.hasKeys(t, o.currentKey(t))
	o.write(t, "tokens/key/rotate", fields{"reason": "the first one of the new version"})
	history := o.history(t, "key")
	has(t, history[len(history)-1], fields{"version": 3, "reason": "the first one of the new version", "source": "iam"})
	for _, name := range []string{"dev", "oauth", "rw", "ro", "scoped", "key"} {
		has(t, o.write(t, "tokens/"+name+"/verify", nil).Data, fields{"outcome": "accepted"})
	}

	// And back: what this version has written is of the same schema.
	before = o.snapshot(t)
	o.pin(t, version)
	for path, data := range o.snapshot(t) {
		if strings.HasPrefix(path, "creds/") {
			keeps(t, data, before[path])
		}
	}
}

// pin has the mount run a version, with the commands of the page.
func (o *operation) pin(t *testing.T, version string) {
	t.Helper()
	o.does(t, "vault secrets tune -plugin-version=$version adtokens/", "$version", version)
	o.does(t, "vault plugin reload -plugin=vault-plugin-secrets-adtokens")
	has(t, o.data(t, "info"), fields{"version": version})
}

// useEveryType imports a token of every type, and leaves a reset by the hook, which it returns, and the retirement of a key
// under way.
func (w *world) useEveryType(t *testing.T) *hook {
	t.Helper()
	w.importApp(t, fields{"rotation_grace_period": "1h", "custom_metadata": fields{"team": "acquisition"}})
	w.importKeyOf(t, simulator.DefaultName, "key", fields{"rotation_grace_period": "1h"})
	developerToken := done(w.sim.DeveloperToken(t.Context()))(t)
	for strings.ContainsAny(developerToken, "-_") { // the earlier version takes letters and digits alone
		developerToken = done(w.sim.ResetDeveloperToken(t.Context()))(t)
	}
	w.write(t, "tokens/dev", fields{
		"account": "google", "type": "developer_token", "developer_token": developerToken, "refresh_ttl": "10s", "lease_ttl": "1h",
	})
	w.importScopedToken(t)
	w.importLegacyTokens(t)
	reset := done(w.sim.ResetReadOnly(t.Context(), "agency"))(t)
	w.write(t, "tokens/ro/rotate", fields{"auth_token": reset.AuthToken, "reason": "Jane has left the team", "cas": 1})
	renewed := done(w.sim.NewConsent(t.Context(), appClient))(t)
	w.write(t, "tokens/oauth/rotate", fields{"refresh_token": renewed.RefreshToken})
	w.write(t, "tokens/key/rotate", fields{"reason": "yearly"})
	h := startHook(t, w, slices.Repeat([]hookAnswer{{status: http.StatusAccepted}}, 1000)...)
	w.addHook(t, "agency", h)
	w.startAndLeave(t, "rw")
	vaulttest.Await(t, "the hook to be asked", func() bool { events, _ := h.asked(); return len(events) > 0 })
	return h
}

// passing are fields that change by themselves.
var passing = []string{"ttl", "lease_id", "last_verification", "last_verified", "next_attempt", "attempts", "last_error", "next_verification"}

// keeps wants everything that was there to be there still; there may be more now.
func keeps(t *testing.T, now, before any) {
	t.Helper()
	for _, difference := range lost(now, before, "") {
		vaulttest.Errorf(t, "%s", difference)
	}
}

// lost names what is not in now as it was before.
func lost(now, before any, path string) (differences []string) {
	switch before := before.(type) {
	case fields:
		now, _ := now.(fields)
		for name, value := range before {
			if !slices.Contains(passing, name) {
				differences = append(differences, lost(now[name], value, path+"/"+name)...)
			}
		}
	case []any:
		now, _ := now.([]any)
		for i, value := range before {
			var element any
			if i < len(now) {
				element = now[i]
			}
			differences = append(differences, lost(element, value, fmt.Sprintf("%s/%d", path, i))...)
		}
	default:
		if fmt.Sprint(now) != fmt.Sprint(before) {
			return []string{fmt.Sprintf("%s was %v and is %v now", path, before, now)}
		}
	}
	return differences
}

func TestLost_NamesWhatIsNoLongerThere(t *testing.T) {
	t.Parallel()
	before := fields{"version": 1, "ttl": 60, "history": []any{fields{"reason": "import"}, fields{"reason": "leaver"}}}
	for name, tc := range map[string]struct {
		now  fields
		want []string
	}{
		"the same":       {before, nil},
		"more":           {fields{"version": 1, "new": true, "history": []any{fields{"reason": "import", "id": "x"}, fields{"reason": "leaver"}, fields{}}}, nil},
		"another value":  {with(maps.Clone(before), "version", 2), []string{"/version was 1 and is 2 now"}},
		"nothing":        {nil, []string{"/history/0/reason was import and is <nil> now", "/history/1/reason was leaver and is <nil> now", "/version was 1 and is <nil> now"}},
		"a shorter list": {with(maps.Clone(before), "history", []any{fields{"reason": "import"}}), []string{"/history/1/reason was leaver and is <nil> now"}},
		"a list in disarray": {
			with(maps.Clone(before), "history", []any{fields{"reason": "leaver"}, fields{"reason": "import"}}),
			[]string{"/history/0/reason was import and is leaver now", "/history/1/reason was leaver and is import now"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := slices.Sorted(slices.Values(lost(tc.now, before, ""))); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
