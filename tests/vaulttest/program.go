//go:build unix

package vaulttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Program is a process beside the servers, such as one that consumes the engine's credentials.
type Program struct {
	process *process
}

// StartProgram starts a command for this test alone. What it writes is looked through for secrets, as a server's log is.
func StartProgram(t testing.TB, cmd *exec.Cmd) *Program {
	t.Helper()
	dir, err := newDir(filepath.Base(cmd.Path))
	if err != nil {
		Fatalf(t, "%v", err)
	}
	log := filepath.Join(dir, "output.log")
	watchForLeaks([]string{log}, nil)
	p, err := start(cmd, log)
	if err != nil {
		Fatalf(t, "%v", err)
	}
	t.Cleanup(p.stop)
	return &Program{process: p}
}

// BuildProgram builds a main package, named by its directory below this module's, and returns the binary's path. That is in the
// plugin directory of every server, under the name.
func BuildProgram(t testing.TB, dir, name string, flags ...string) string {
	t.Helper()
	path, err := compile(dir, name, flags...)
	if err != nil {
		Fatalf(t, "%v", err)
	}
	return path
}

// Running reports whether the program has not ended.
func (p *Program) Running() bool { return p.process.running() }

// Output is what the program has written so far, without secrets.
func (p *Program) Output(t testing.TB) string {
	t.Helper()
	return Redact(t, p.written(t))
}

// Said counts how often the program has written some words.
func (p *Program) Said(t testing.TB, words string) int {
	t.Helper()
	return strings.Count(p.written(t), words)
}

func (p *Program) written(t testing.TB) string {
	t.Helper()
	written, err := os.ReadFile(p.process.log)
	if err != nil {
		Fatalf(t, "reading what %s wrote: %v", p.process.cmd.Path, err)
	}
	return string(written)
}
