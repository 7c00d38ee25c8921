//go:build unix

package vaulttest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend"
)

const (
	// PluginName is the name of the plugin in Vault's catalog, and the type of its mounts.
	PluginName       = "vault-plugin-secrets-adtokens"
	simulatorCommand = "adtokens-simulator"
	// binDir is where commands are built, below run.dir; it is the plugin directory of every server.
	binDir = "bin"
)

// moduleRoot is the directory of go.mod.
var moduleRoot = sync.OnceValues(func() (string, error) {
	output, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("asking Go for the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(output))), nil
})

// vaultCommand is the path of the vault command.
var vaultCommand = sync.OnceValues(func() (string, error) {
	if path, err := exec.LookPath("vault"); err == nil {
		return path, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	path, err := exec.LookPath(filepath.Join(root, "bin", "vault"))
	if err != nil {
		return "", errors.New("there is no vault command on PATH and none in bin/: run `make vault`, which builds it")
	}
	return path, nil
})

// Plugin is what an operator needs to register a build of the plugin.
type Plugin struct{ command, sha256, version string }

// raceVariable, if set, has the servers' own plugin built with the race detector although the test binary is not.
const raceVariable = "ADTOKENS_TEST_RACE"

var plugin = sync.OnceValues(func() (Plugin, error) {
	if !raceEnabled && os.Getenv(raceVariable) != "" {
		return buildPlugin(PluginName, "-race")
	}
	return buildPlugin(PluginName)
})

// BuildPlugin builds the plugin with other flags than the servers' own, under a name of its own.
func BuildPlugin(t testing.TB, name string, flags ...string) Plugin {
	t.Helper()
	built, err := buildPlugin(name, flags...)
	if err == nil {
		err = readEngine() // with flags there may be files in it that the test binary does not hold
	}
	if err != nil {
		Fatalf(t, "%v", err)
	}
	return built
}

func buildPlugin(name string, flags ...string) (Plugin, error) {
	if raceEnabled {
		flags = append(flags, "-race")
	}
	path, err := compile(filepath.Join("cmd", PluginName), name, flags...)
	if err != nil {
		return Plugin{}, err
	}
	sum, err := checksum(path)
	if err != nil {
		return Plugin{}, err
	}
	version, err := exec.Command(path, "-version").Output()
	if err != nil {
		return Plugin{}, fmt.Errorf("asking the plugin for its version: %w", err)
	}
	built := Plugin{command: name, sha256: sum, version: strings.TrimSpace(string(version))}
	// The test binary holds the engine for this comparison, so that `go test` runs anew when the engine has changed.
	if built.version != backend.Version {
		return Plugin{}, fmt.Errorf("the plugin says that it is %s, its source says %s", built.version, backend.Version)
	}
	return built, nil
}

// checksum is what Vault's catalog wants to know of a plugin.
func checksum(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading a plugin for its checksum: %w", err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}

var simulatorBinary = sync.OnceValues(func() (string, error) { return build(simulatorCommand) })

// build builds a command of this module into binDir and returns its path.
func build(command string, flags ...string) (string, error) {
	return compile(filepath.Join("cmd", command), command, flags...)
}

// compile builds a main package, named by its directory below this module's, into binDir and returns the binary's path.
func compile(dir, name string, flags ...string) (string, error) {
	if run.dir == "" {
		return "", errors.New("call vaulttest.Main from the package's TestMain")
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, dir)
	if err := read(source); err != nil {
		return "", err
	}
	path := filepath.Join(run.dir, binDir, name)
	// Without what only a debugger needs, and where the race detector does not need C, in the way of `make build`.
	args := []string{"build", "-ldflags=-s -w"}
	env, kept := os.Environ(), filepath.Join(root, "bin", "tests", name)
	if slices.Contains(flags, "-race") {
		kept += "-race"
	} else {
		args, env = append(args, "-trimpath"), append(env, "CGO_ENABLED=0")
	}
	cmd := exec.Command("go", slices.Concat(args, flags, []string{"-o", kept, "."})...)
	cmd.Dir, cmd.Env = source, env // the directory may be a module of its own
	unlock, err := lockBuilds(filepath.Dir(kept))
	if err != nil {
		return "", err
	}
	defer unlock()
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, output)
	}
	return path, install(kept, path)
}

// lockBuilds waits until no other test binary builds into the directory, where everything that was built is kept: Go leaves alone what is up
// to date, which linking takes longer than.
func lockBuilds(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making a directory for what is built: %w", err)
	}
	fd, err := syscall.Open(dir, syscall.O_RDONLY, 0) // not by os.Open, which `go test` would take for something that tests depend on
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	syscall.CloseOnExec(fd)
	if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", dir, err), syscall.Close(fd))
	}
	return func() { _ = syscall.Close(fd) }, nil // that unlocks it
}

// install has a binary under another path too. Go replaces a file that it builds anew, so what was installed stays as it is.
func install(built, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making a directory for binaries: %w", err)
	}
	_ = os.Remove(path) // an earlier build
	if os.Link(built, path) == nil {
		return nil
	}
	binary, err := os.ReadFile(built) // it is in another file system
	if err == nil {
		err = os.WriteFile(path, binary, 0o755)
	}
	if err != nil {
		return fmt.Errorf("copying %s: %w", built, err)
	}
	return nil
}

func readEngine() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	return read(filepath.Join(root, "backend"))
}

// read reads the Go files of a directory for no other reason than that `go test` sees it, and runs the tests anew when
// one of them has changed.
func read(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return fmt.Errorf("listing %s: %w", dir, err)
	}
	if len(files) == 0 {
		return fmt.Errorf("there is no Go file in %s: %w", dir, fs.ErrNotExist)
	}
	for _, file := range files {
		if _, err := os.ReadFile(file); err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
	}
	return nil
}
