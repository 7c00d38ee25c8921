package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// screen is a terminal with a person in front of it.
type screen struct {
	// keyboard is the person's side, tty the program's.
	keyboard, tty *os.File
	mu            sync.Mutex
	shown         bytes.Buffer
}

// newScreen opens a pseudo-terminal and shows what is written to it.
func newScreen(t *testing.T) *screen {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no pseudo-terminals here: %v", err)
	}
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{keyboard: keyboard, tty: tty}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 1024)
		for {
			n, err := keyboard.Read(buffer)
			s.mu.Lock()
			s.shown.Write(buffer[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = tty.Close()
		_ = keyboard.Close()
		<-ended
	})
	return s
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// echoes says whether the terminal shows what is typed.
func (s *screen) echoes(t *testing.T) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// await waits until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// answer types a line once the question is there, and for a secret once the terminal does not show it.
func (s *screen) answer(t *testing.T, question, line string, isSecret bool) {
	t.Helper()
	await(t, question, func() bool { return strings.Contains(s.text(), question) && s.echoes(t) != isSecret })
	if _, err := s.keyboard.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
}

func TestTry_AsksOnATerminal(t *testing.T) {
	t.Parallel()
	server := newPlatform(t, 200, `[{"id": 1, "note": %q}]`)
	s := newScreen(t)
	var out bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- program().Execute(t.Context(), []string{"try", "awin", "api_token"}, cli.Streams{In: s.tty, Out: &out, Err: s.tty})
	}()
	s.answer(t, "base_url (Address of the Awin API) [https://api.awin.com]: ", "ftp://elsewhere", false)
	s.answer(t, "base_url must start with https://", server.URL, false)
	s.answer(t, "probe_path (Resource that the token must be able to read) [publishers]: ", "", false)
	s.answer(t, "api_token (API token of the user): ", "", true)
	s.answer(t, "api_token is needed", secret, true)
	if got := <-code; got != cli.ExitOK || !strings.Contains(out.String(), "accepted") {
		t.Errorf("exit code %d, printed %q", got, &out)
	}
	if shown := s.text(); strings.Contains(shown+out.String(), secret) || !strings.Contains(shown, server.URL) {
		t.Errorf("the terminal shows %q", shown)
	}
	if !s.echoes(t) {
		t.Error("the terminal does not show any more what is typed")
	}
}

// TestTry_InterruptedAtASecret leaves a terminal that shows what is typed.
func TestTry_InterruptedAtASecret(t *testing.T) {
	t.Parallel()
	s := newScreen(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- program().Execute(ctx, []string{"try", "awin", "api_token"}, cli.Streams{In: s.tty, Out: &out, Err: s.tty})
	}()
	s.answer(t, "base_url", "", false)
	s.answer(t, "probe_path", "", false)
	await(t, "the secret", func() bool { return strings.Contains(s.text(), "api_token (") && !s.echoes(t) })
	interrupt()
	if got := <-code; got != cli.ExitFailure || !s.echoes(t) {
		t.Errorf("exit code %d; the terminal shows what is typed: %t", got, s.echoes(t))
	}
	const told = "adtokens-provider: interrupted"
	await(t, "the end", func() bool { return strings.Contains(s.text(), told) })
	if _, err := s.keyboard.WriteString("\n"); err != nil { // for the read that is still there
		t.Fatal(err)
	}
	await(t, "the end of the read", func() bool {
		_, after, _ := strings.Cut(s.text(), told)
		return strings.Count(after, "\n") == 3 // of the error, of the key, of the read
	})
}
