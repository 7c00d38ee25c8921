//go:build unix

// Package vaulttest runs tests against the real thing: a Vault server process with the engine's plugin registered and
// mounted as an operator does it, the vault command, and the provider simulators in processes of their own.
//
// A package that uses it hands its tests to Main:
//
//	func TestMain(m *testing.M) { os.Exit(vaulttest.Main(m)) }
//
// Every test gets a mount (Server.Mount) and a simulated world (StartSimulator) of its own, so tests run in parallel on
// the one server that Shared starts; StartDev, StartRaft and StartCluster start further ones. Everything that was started
// is stopped, also when the test binary is interrupted or, on Linux, killed.
//
// After the tests, Main looks for secrets: whatever the simulators issued and whatever was announced with Secret must
// not be in any server's log, plugin output, audit log or simulator output, and audit logs must hold nothing but HMACs
// and the keys that the mount exempts. A race that the plugin's own race detector found fails the run too.
//
// The vault command is the one on PATH, else bin/vault of the module. It needs a Unix.
package vaulttest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds everything that is waited for: far beyond what any of it takes on a busy machine.
const patience = 2 * time.Minute

// run is what the tests of this process share.
var run struct {
	// dir holds the binaries and a directory per server; empty before Main.
	dir string

	mu        sync.Mutex
	processes []*process
	// logs and audits are the files to look for secrets in.
	logs, audits []string
}

// Main runs the tests and returns the exit code.
func Main(m *testing.M) int {
	if err := makeDir(); err != nil {
		fmt.Fprintln(os.Stderr, "vaulttest:", err)
		return 1
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		stopAll()
		_ = os.RemoveAll(run.dir) // it is below the system's directory for what may be removed
		os.Exit(1)
	}()

	// Tests wait for other processes and for time to pass more than they compute. The flag -parallel still decides.
	if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))); err != nil {
		fmt.Fprintln(os.Stderr, "vaulttest:", err)
		return 1
	}
	code := m.Run()
	stopAll()
	findings := findLeaks()
	for _, finding := range findings {
		fmt.Fprintln(os.Stderr, "vaulttest:", finding)
	}
	if code == 0 && len(findings) == 0 {
		_ = os.RemoveAll(run.dir)
		return 0
	}
	_ = os.RemoveAll(filepath.Join(run.dir, binDir)) // large, and not what one looks at
	fmt.Fprintln(os.Stderr, "vaulttest: the logs are in", run.dir)
	return max(code, 1)
}

func makeDir() error {
	dir, err := os.MkdirTemp("", "vaulttest-")
	if err != nil {
		return fmt.Errorf("making a directory for the servers: %w", err)
	}
	// Vault refuses a plugin directory behind a symbolic link, which some systems' directory for temporary files is.
	if run.dir, err = filepath.EvalSymlinks(dir); err != nil {
		return fmt.Errorf("resolving %s: %w", dir, err)
	}
	return nil
}

// newDir makes a directory for one server or simulator.
func newDir(kind string) (string, error) {
	if run.dir == "" {
		return "", errors.New("call vaulttest.Main from the package's TestMain")
	}
	dir, err := os.MkdirTemp(run.dir, kind+"-")
	if err != nil {
		return "", fmt.Errorf("making a directory for a %s: %w", kind, err)
	}
	return dir, nil
}

func watchForLeaks(logs, audits []string) {
	run.mu.Lock()
	defer run.mu.Unlock()
	run.logs = append(run.logs, logs...)
	run.audits = append(run.audits, audits...)
}

// stopAll stops what still runs, the last one first.
func stopAll() {
	run.mu.Lock()
	processes := slices.Clone(run.processes)
	run.mu.Unlock()
	for _, p := range slices.Backward(processes) {
		p.stop()
	}
}

// Await waits until the condition holds, and fails the test if it takes too long. What completes "waiting for …".
func Await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	if err := await(what, condition); err != nil {
		Fatalf(t, "%v", err)
	}
}

func await(what string, condition func() bool) error {
	return Poll(patience, func() error {
		if condition() {
			return nil
		}
		return fmt.Errorf("waiting for %s took more than %s", what, patience)
	})
}

// Poll looks until there is no problem, or until its patience is over, and returns the last problem. The longer it takes, the less often it
// looks, a fifth of the time later at most: most who look ask a server, which costs everybody.
func Poll(patience time.Duration, problem func() error) error {
	const first, most = 10 * time.Millisecond, time.Second
	deadline, pause := time.Now().Add(patience), first
	for {
		err := problem()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
		pause = min(pause*5/4, most)
	}
}
