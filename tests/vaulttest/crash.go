//go:build unix

package vaulttest

import (
	"errors"
	"syscall"
	"testing"
)

// KillPlugins kills the server's plugin processes, as a crash does. The next request to a mount starts another one.
func (s *Server) KillPlugins(t testing.TB) {
	t.Helper()
	for _, pid := range s.PluginProcesses(t) {
		// It may have ended by itself.
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			Fatalf(t, "killing the plugin: %v", err)
		}
		Await(t, "the plugin to be gone", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
	}
}

// Crash kills the server's process together with its plugins, as a power cut does, starts another one on the same data
// and unseals it. It is for servers of StartRaft.
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	s.Kill(t)
	s.Start(t)
}

// Kill is the first half of Crash, and Start the second.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGKILL)
	<-s.process.exited
}

// Start starts a server that was killed, and unseals it.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.launch(); err != nil {
		Fatalf(t, "starting Vault again: %v", err)
	}
	s.Unseal(t)
}
