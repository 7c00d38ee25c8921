//go:build unix

package vaulttest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Command is a call of the vault command.
type Command struct {
	Args  []string
	Stdin string
}

// Output is what a command answered.
type Output struct {
	Stdout, Stderr string
	ExitCode       int
}

// CLI runs the vault command with the server's address and token. That the command fails is for the caller to judge.
func (s *Server) CLI(t testing.TB, c Command) Output {
	t.Helper()
	path, err := vaultCommand()
	if err != nil {
		Fatalf(t, "%v", err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, c.Args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "VAULT_ADDR=" + s.Address, "VAULT_TOKEN=" + s.Token}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.Stdin), &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		Fatalf(t, "running vault: %v", err)
	}
	return Output{Stdout: stdout.String(), Stderr: stderr.String(), ExitCode: cmd.ProcessState.ExitCode()}
}
