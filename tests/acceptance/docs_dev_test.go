//go:build unix

package acceptance

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// TestDevelopmentServer starts what make dev starts, and uses it with the variables that it prints.
func TestDevelopmentServer(t *testing.T) {
	t.Parallel()
	dev := startDevelopment(t)

	// Anybody on the machine can see the arguments of its processes.
	t.Run("its root token is in no argument list", func(t *testing.T) {
		t.Parallel()
		processes, err := exec.CommandContext(t.Context(), "ps", "-A", "-ww", "-o", "args").Output()
		if err != nil {
			t.Skipf("this machine does not list processes: %v", err)
		}
		if !strings.Contains(string(processes), "vault server -dev") {
			t.Fatal("the development server is not among the processes")
		}
		token := dev.variable(t, "VAULT_TOKEN")
		for line := range strings.Lines(string(processes)) {
			if strings.Contains(line, token) {
				t.Errorf("the root token is an argument: %s", strings.ReplaceAll(line, token, "…"))
			}
		}
	})

	t.Run("it shows Google as it is since the sunset", func(t *testing.T) {
		t.Parallel()
		for name, want := range map[string]string{"acme-dev": "unverified", "acme-rw": "ok"} {
			if got := dev.vault(t, "read", "-field=health", "adtokens/tokens/"+name); got != want {
				t.Errorf("the health of %s is %q", name, got)
			}
		}
		if got := dev.vault(t, "write", "-f", "-field=outcome", "adtokens/tokens/acme-dev/verify"); got != "inconclusive" {
			t.Errorf("the developer token is %q", got)
		}
	})

	// Nothing may lead to a provider that is not simulated.
	t.Run("the README's quickstart works on it word for word", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		succeeded(t, os.Symlink(dev.commands, filepath.Join(dir, "bin"))) // what make build leaves
		for _, heading := range []string{"Quickstart", "A token that rotates by itself"} {
			section(t, "README.md", heading).run(t, dir, dev.environment)
		}
	})
}

// development is what make dev runs.
type development struct {
	// commands is the directory of the commands.
	commands string
	// environment has the variables that it tells the user to set.
	environment []string
}

var exportLine = regexp.MustCompile(`(?m)^ +(export .*)$`)

func startDevelopment(t *testing.T) *development {
	t.Helper()
	d := &development{commands: vaulttest.BuildCommands(t, "adtokens-console")}
	output := filepath.Join(t.TempDir(), "output")
	log := done(os.Create(output))(t)
	defer log.Close()
	_, port, err := net.SplitHostPort(vaulttest.FreeAddress(t))
	succeeded(t, err)
	stale := t.TempDir() // a simulator of another release, installed before
	succeeded(t, os.WriteFile(filepath.Join(stale, "adtokens-simulator"), []byte("#!/bin/sh\nexit 1\n"), 0o700))
	path := "PATH=" + stale + ":" + filepath.Dir(vaulttest.VaultCommand(t)) + ":" + os.Getenv("PATH")
	cmd := exec.Command("bash", docsRoot+"/scripts/dev.sh")
	cmd.Env = []string{path, "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "ADTOKENS_BIN=" + d.commands, "PORT=" + port}
	cmd.Stdout, cmd.Stderr = log, log
	succeeded(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { // as Ctrl-C does
		succeeded(t, cmd.Process.Signal(os.Interrupt))
		if err := <-ended; err != nil {
			t.Errorf("the development server does not end as it should: %v", err)
		}
	})
	said := func() string { return string(done(os.ReadFile(output))(t)) }
	vaulttest.Await(t, "the development server to run", func() bool {
		return strings.Contains(said(), "Ctrl-C stops everything") || len(ended) > 0
	})
	if len(ended) > 0 {
		vaulttest.Fatalf(t, "the development server has ended: %s", said())
	}
	script := ""
	for _, found := range exportLine.FindAllStringSubmatch(said(), -1) {
		script += found[1] + "\n"
	}
	shell := exec.CommandContext(t.Context(), "bash", "-c", script+"env")
	shell.Env = []string{path, "HOME=" + t.TempDir()}
	d.environment = strings.Split(strings.TrimSpace(string(done(shell.Output())(t))), "\n")
	return d
}

// variable is what the user sets a variable to.
func (d *development) variable(t *testing.T, name string) string {
	t.Helper()
	for _, pair := range d.environment {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	t.Fatalf("make dev prints no %s", name)
	return ""
}

func (d *development) vault(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), vaulttest.VaultCommand(t), args...)
	cmd.Env = d.environment
	output, err := cmd.Output()
	succeeded(t, err)
	return strings.TrimSpace(string(output))
}

// section is the part of a page below a heading.
func section(t *testing.T, path, heading string) page {
	t.Helper()
	_, text, found := strings.Cut(readDoc(t, path), fmt.Sprintf("\n## %s\n", heading))
	if !found {
		t.Fatalf("%s has no heading %q", path, heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return parsePage(path, text)
}
