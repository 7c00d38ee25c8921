//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// asCommand has the test binary be the command.
const asCommand = "ADTOKENS_AUDIT_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// manyTokens is a log of so many tokens, each read by several and rotated.
func manyTokens(tokens int) string {
	var log strings.Builder
	for i := range tokens {
		for version := 1; version <= 2; version++ {
			rotation := rotationTo(fmt.Sprintf("%02d 09:00", version), version, fmt.Sprintf("%08x%d", i, version))
			rotation.path = fmt.Sprintf("adtokens/tokens/token-%d/rotate", i)
			log.WriteString(rotation.String())
			for reader := range 3 {
				l := readOf(fmt.Sprintf("%02d 10:%02d", version, reader), fmt.Sprint("app-", reader), version, fmt.Sprintf("%08x%d", i, version))
				l.path = fmt.Sprintf("adtokens/creds/token-%d", i)
				log.WriteString(l.String())
			}
		}
	}
	return log.String()
}

// writeReport makes a report of a log, and returns the page.
func writeReport(tb testing.TB, log string) []byte {
	tb.Helper()
	var stderr bytes.Buffer
	file := filepath.Join(tb.TempDir(), "report.html")
	if code := program().Execute(tb.Context(), []string{"report", "-html", file, "-"}, cli.Streams{In: strings.NewReader(log), Out: io.Discard, Err: &stderr}); code != cli.ExitOK {
		tb.Fatalf("exit code %d: %s", code, stderr.String())
	}
	page, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return page
}

func TestReport_HasASectionForEachToken(t *testing.T) {
	t.Parallel()
	const tokens = 200
	if sections := bytes.Count(writeReport(t, manyTokens(tokens)), []byte("<section>")); sections != tokens {
		t.Errorf("the page has %d sections, want %d", sections, tokens)
	}
}

// BenchmarkReport shows that a token takes the same time whatever the number of others. It took minutes for 6,000 of them when each token's
// panel looked at all tokens.
func BenchmarkReport(b *testing.B) {
	for _, tokens := range []int{1000, 6000} {
		b.Run(fmt.Sprint(tokens), func(b *testing.B) {
			log := manyTokens(tokens)
			for b.Loop() {
				writeReport(b, log)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*tokens), "µs/token")
		})
	}
}

func TestReport_ReplacesWhatHasItsName(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(dir, file string) error{
		"nothing": func(_, _ string) error { return nil },
		"a file for others": func(_, file string) error {
			return errors.Join(os.WriteFile(file, []byte("old"), 0o600), os.Chmod(file, 0o666))
		},
		"a file for nobody": func(_, file string) error { return os.WriteFile(file, []byte("old"), 0o400) },
		"a link":            func(dir, file string) error { return os.Symlink(filepath.Join(dir, "victim"), file) },
		"a link to a link": func(dir, file string) error {
			return errors.Join(os.Symlink("victim", filepath.Join(dir, "link")), os.Symlink("link", file))
		},
		"a link to nothing":      func(dir, file string) error { return os.Symlink(filepath.Join(dir, "missing"), file) },
		"another name of a file": func(dir, file string) error { return os.Link(filepath.Join(dir, "victim"), file) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file, victim := filepath.Join(dir, "report.html"), filepath.Join(dir, "victim")
			if err := errors.Join(os.WriteFile(victim, []byte("precious"), 0o644), prepare(dir, file)); err != nil {
				t.Fatal(err)
			}
			answered(t, "report", "-html", file, corpus)
			info, err := os.Lstat(file)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("the report's mode is %s: %v", info.Mode(), err)
			}
			if content, err := os.ReadFile(victim); string(content) != "precious" || err != nil {
				t.Errorf("another file was written: %q, %v", content, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "missing")); err == nil {
				t.Error("a file was made through a link")
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
				t.Errorf("left are %q", left)
			}
		})
	}
	for _, special := range []string{os.DevNull, t.TempDir()} {
		got := audit(t, "", "report", "-html", special, corpus)
		if got.code != cli.ExitUsage || !strings.Contains(got.stderr, special) {
			t.Errorf("%s: exit code %d: %s", special, got.code, got.stderr)
		}
	}
}

func TestRendering_EndsWhenItIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	file := filepath.Join(t.TempDir(), "report.html")
	report := &htmlReport{query: query{mount: "adtokens"}, file: file}
	found, consumer := report.begin(nil)
	if _, err := auditlog.Read(ctx, strings.NewReader(manyTokens(100)), consumer); err != nil {
		t.Fatal(err)
	}
	cancel()
	if p := report.page(ctx, found); len(p.Panels) > 0 {
		t.Errorf("%d tokens were drawn", len(p.Panels))
	}
	if err := report.write(ctx, found); err == nil {
		t.Error("the report was written")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("there is a report")
	}
	if rows := report.rotationRows(ctx, found.Tally, time.Time{}); len(rows) > 0 {
		t.Errorf("%d rotations were listed", len(rows))
	}
}

func TestCommands_EndOnSIGTERM(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe, log := filepath.Join(dir, "pipe"), filepath.Join(dir, "audit.log")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(log, []byte(manyTokens(2000)), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		// silent is whether nobody reads what the command prints.
		silent bool
	}{
		"waiting for a pipe":         {[]string{"exposure", pipe}, false},
		"waiting for standard input": {[]string{"rotations", "-"}, false},
		"waiting for a value":        {[]string{"match", log}, false},
		"printing to nobody":         {[]string{"exposure", "-all", log}, true},
		"printing JSON to nobody":    {[]string{"exposure", "-all", "-output=json", log}, true},
		"a report of a pipe":         {[]string{"report", "-html", filepath.Join(dir, "x.html"), pipe}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], tt.args...)
			cmd.Env = append(os.Environ(), asCommand+"=1")
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if tt.silent { // until it prints, and no further
				if _, err := io.ReadFull(stdout, make([]byte, 10)); err != nil {
					t.Fatal(err)
				}
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			signals := time.NewTicker(50 * time.Millisecond) // the first ones may come before it listens
			defer signals.Stop()
			deadline := time.After(30 * time.Second)
			for {
				select {
				case err := <-ended:
					if _, ok := errors.AsType[*exec.ExitError](err); !ok {
						t.Errorf("it ended with %v", err)
					}
					return
				case <-signals.C:
					_ = cmd.Process.Signal(syscall.SIGTERM)
				case <-deadline:
					_ = cmd.Process.Kill()
					t.Fatal("it does not end")
				}
			}
		})
	}
}
