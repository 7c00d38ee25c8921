//go:build unix

package vaulttest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// Bare is a server as its operator finds it who is about to install the plugin.
type Bare struct {
	// PluginDirectory is where it takes plugins from.
	PluginDirectory string
	// Environment is added to the process's own, as NAME=value; plugins inherit it.
	Environment []string
}

// StartBare starts a dev server for this test alone, on which nothing is registered. It has a file audit device.
func StartBare(t testing.TB, b Bare) *Server {
	t.Helper()
	s, err := startBare(t.Context(), b)
	if err != nil {
		Fatalf(t, "%v", err)
	}
	t.Cleanup(func() { s.process.stop() })
	return s
}

func startBare(ctx context.Context, b Bare) (*Server, error) {
	vault, err := vaultCommand()
	if err != nil {
		return nil, err
	}
	dir, err := newDir("vault")
	if err != nil {
		return nil, err
	}
	port, _, err := freePorts()
	if err != nil {
		return nil, err
	}
	s := &Server{Address: "http://127.0.0.1:" + port, Token: rand.Text(), AuditLog: filepath.Join(dir, "audit.log"), dir: dir, kind: kind{storage: inMemory}}
	watchForLeaks([]string{s.logFile()}, []string{s.AuditLog})
	if err := os.WriteFile(s.configFile(), fmt.Appendf(nil, "plugin_directory = %q\ndisable_mlock = true\n", b.PluginDirectory), 0o600); err != nil {
		return nil, fmt.Errorf("writing Vault's configuration: %w", err)
	}
	cmd := exec.Command(vault, "server", "-config="+s.configFile(), "-log-level=trace", "-dev", "-dev-no-store-token",
		"-dev-listen-address="+strings.TrimPrefix(s.Address, "http://"))
	cmd.Env = append(slices.Clone(b.Environment), rootTokenVariable+s.Token)
	if s.process, err = start(cmd, s.logFile()); err != nil {
		return nil, err
	}
	if s.Client, err = s.newClient(s.Token); err != nil {
		return nil, err
	}
	if err := await("Vault to answer", func() bool { return s.answers() || !s.process.running() }); err != nil {
		return nil, err
	}
	if !s.process.running() {
		return nil, s.whyItEnded()
	}
	if err := s.Client.Sys().EnableAuditWithOptionsWithContext(ctx, "file", &api.EnableAuditOptions{
		Type: "file", Options: map[string]string{"file_path": s.AuditLog},
	}); err != nil {
		return nil, fmt.Errorf("enabling the audit device: %w", err)
	}
	return s, nil
}

// VaultCommand is the path of the vault command that the servers run.
func VaultCommand(t testing.TB) string {
	t.Helper()
	path, err := vaultCommand()
	if err != nil {
		Fatalf(t, "%v", err)
	}
	return path
}

// BuildCommands builds the plugin, the simulators' command and further commands of this module, and returns the directory
// that holds them.
func BuildCommands(t testing.TB, further ...string) string {
	t.Helper()
	_, pluginErr := plugin()
	simulator, simulatorErr := simulatorBinary()
	errs := []error{pluginErr, simulatorErr}
	for _, command := range further {
		_, err := build(command)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		Fatalf(t, "%v", err)
	}
	return filepath.Dir(simulator)
}
