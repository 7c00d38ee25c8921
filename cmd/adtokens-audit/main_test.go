package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

var update = flag.Bool("update", false, "write the golden files anew")

const corpus = "testdata/audit.log"

// output is what a command answered.
type output struct {
	stdout, stderr string
	code           int
}

func audit(t *testing.T, stdin string, args ...string) output {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := program().Execute(t.Context(), args, cli.Streams{In: strings.NewReader(stdin), Out: &stdout, Err: &stderr})
	return output{stdout.String(), stderr.String(), code}
}

func answered(t *testing.T, args ...string) string {
	t.Helper()
	got := audit(t, "", args...)
	if got.code != cli.ExitOK {
		t.Fatalf("%q failed with %d: %s", args, got.code, got.stderr)
	}
	return got.stdout
}

func TestTheAnswersAreGolden(t *testing.T) {
	t.Parallel()
	const olga = "007bcb79-bf0b-8b71-4ec2-a17b4f2e88f9"
	for name, args := range map[string][]string{
		"exposure.txt":             {"exposure"},
		"exposure.json":            {"exposure", "-token=acme-key", "-output=json"},
		"exposure-all.csv":         {"exposure", "-all", "-output=csv"},
		"exposure-until.txt":       {"exposure", "-until=2026-10-31", "-token=acme-rw"},
		"stale.txt":                {"stale", "-window=0"},
		"stale.csv":                {"stale", "-window=0", "-output=csv"},
		"stale.json":               {"stale", "-token=acme-rw", "-window=60d", "-output=json"},
		"stale-window.txt":         {"stale", "-token=acme-rw"},
		"leaver.txt":               {"leaver", "-display-name=userpass-alice"},
		"leaver.json":              {"leaver", "-entity=" + olga, "-output=json"},
		"leaver-access-tokens.txt": {"leaver", "-display-name=token-etl"},
		"leaver-campaign.txt":      {"leaver", "-entity=" + olga, "-campaign=olga-leaves"},
		"leaver-campaign.json":     {"leaver", "-display-name=userpass-alice", "-campaign=alice-leaves", "-output=json"},
		"rotations.txt":            {"rotations"},
		"rotations.json":           {"rotations", "-token=acme-rw", "-output=json"},
		"rotations-hidden.txt":     {"rotations", "-mount=plain"},
		"incident.txt":             {"incident", "-token=acme-rw", "-since=2026-11-01"},
		"incident.json":            {"incident", "-token=acme-key", "-since=2026-11-04T00:00:00Z", "-output=json"},
		"incident-not-rotated.txt": {"incident", "-token=acme-rw", "-since=2026-10-19", "-until=2026-10-31"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := answered(t, append(args, corpus)...)
			golden := filepath.Join("testdata", "golden", name)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the answer is not that of %s (go test -update writes it anew):\n%s", golden, got)
			}
		})
	}
}

func TestTheOrderAndFormOfTheFilesDoNotMatter(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(corpus)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	dir := t.TempDir()
	older, newer := filepath.Join(dir, "older.gz"), filepath.Join(dir, "newer")
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, err = w.Write(bytes.Join(lines[:17], nil))
	if err := errors.Join(err, w.Close(), os.WriteFile(older, zipped.Bytes(), 0o600), os.WriteFile(newer, bytes.Join(lines[17:], nil), 0o600)); err != nil {
		t.Fatal(err)
	}
	want := answered(t, "exposure", "-all", corpus)
	for name, files := range map[string][]string{"in order": {older, newer}, "out of order": {newer, older}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := answered(t, append([]string{"exposure", "-all"}, files...)...); got != want {
				t.Errorf("the answer differs:\n%s", got)
			}
		})
	}
	for name, stdin := range map[string]string{"standard input": string(text), "standard input, gzipped": zipped.String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"exposure", "-all", "-"}
			if name != "standard input" {
				args = append(args, newer)
			}
			if got := audit(t, stdin, args...); name == "standard input" && got.stdout != want || got.code != cli.ExitOK {
				t.Errorf("failed with %d, or the answer differs: %s\n%s", got.code, got.stderr, got.stdout)
			}
		})
	}
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		got := answered(t, "exposure", "-all", corpus, corpus)
		if !strings.HasPrefix(got, want[:strings.Index(want, "Note:")]) || !strings.Contains(got, "Entries that were left out") {
			t.Errorf("a log that is given twice counts twice:\n%s", got)
		}
	})
}

func TestABrokenLogGivesAnIncompleteAnswerAndFails(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(corpus)
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ stdin, message, answer string }{
		"a cut gzip":     {zipped.String()[:zipped.Len()-10], "the answer is incomplete: -: reading the log: unexpected EOF", "userpass-alice"},
		"no gzip":        {"\x1f\x8b, but no gzip", "gzip: invalid header", ""},
		"no audit log":   {"a\nb\n", "none of its 2 lines is an audit entry", ""},
		"another format": {"(\xb5/\xfd\x04X\n\x00\n", "compressed by zstd, which this tool does not read; unpack it into standard input: zstd -dc |", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := audit(t, tt.stdin, "exposure", "-token=acme-dev", "-all", "-")
			if got.code != cli.ExitFailure || !strings.Contains(got.stderr, tt.message) || !strings.Contains(got.stdout, tt.answer) {
				t.Errorf("exit code %d, %q and %q", got.code, got.stdout, got.stderr)
			}
		})
	}
	cut := audit(t, string(text[:len(text)-100]), "exposure", "-")
	if cut.code != cli.ExitOK || !strings.Contains(cut.stdout, "whose last line is cut, as in one that is being written, or whose server was killed: 1.") {
		t.Errorf("a cut last line gave %d: %s", cut.code, cut.stdout)
	}
}

func TestMistakesAreExplained(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no command":            {nil, cli.ExitUsage, "name a command"},
		"unknown command":       {[]string{"expose"}, cli.ExitUsage, `no command "expose"`},
		"no log":                {[]string{"exposure"}, cli.ExitUsage, "name the audit logs"},
		"unknown flag":          {[]string{"exposure", "-x", corpus}, cli.ExitUsage, "lists the flags"},
		"flag after the files":  {[]string{"exposure", corpus, "-all"}, cli.ExitUsage, "put -all before the files"},
		"bad format":            {[]string{"exposure", "-output=yaml", corpus}, cli.ExitUsage, "table, json or csv"},
		"bad time":              {[]string{"exposure", "-since=yesterday", corpus}, cli.ExitUsage, "a date like"},
		"time to come":          {[]string{"exposure", "-since=-1h", corpus}, cli.ExitUsage, "a date like"},
		"following in CSV":      {[]string{"exposure", "-follow", "-output=csv", corpus}, cli.ExitUsage, "table or json"},
		"leaver without a name": {[]string{"leaver", corpus}, cli.ExitUsage, "either -entity or -display-name"},
		"leaver with two":       {[]string{"leaver", "-entity=a", "-display-name=b", corpus}, cli.ExitUsage, "either -entity or -display-name"},
		"incident without time": {[]string{"incident", "-token=a", corpus}, cli.ExitUsage, "-token and -since"},
		"incident of no token":  {[]string{"incident", "-since=1h", corpus}, cli.ExitUsage, "-token and -since"},
		"match without value":   {[]string{"match", corpus}, cli.ExitUsage, "feed the value"},
		"match in stdin":        {[]string{"match", "-"}, cli.ExitUsage, "standard input is for the value"},
		"report without file":   {[]string{"report", corpus}, cli.ExitUsage, "-html"},
		"missing log":           {[]string{"exposure", "testdata/missing"}, cli.ExitFailure, "no such file"},
		"report to nowhere":     {[]string{"report", "-html=testdata/missing/x.html", corpus}, cli.ExitFailure, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := audit(t, "", tt.args...)
			if got.code != tt.code || !strings.HasPrefix(got.stderr, "adtokens-audit: ") || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("exit code %d: %s", got.code, got.stderr)
			}
			if got.stdout != "" {
				t.Errorf("standard output has %q", got.stdout)
			}
		})
	}
}

func TestEverythingHasHelpWithExamples(t *testing.T) {
	t.Parallel()
	all := answered(t, "-h")
	for _, c := range commands {
		if !strings.Contains(all, "\n  "+c.name) {
			t.Errorf("the help does not list %s", c.name)
		}
		help := answered(t, c.name, "-h")
		for _, want := range []string{"Usage: adtokens-audit " + c.name, "\n  adtokens-audit " + c.name, "\n  -since"} {
			if !strings.Contains(help, want) {
				t.Errorf("the help of %s has no %q", c.name, want)
			}
		}
	}
}

func TestTheVersionIsTold(t *testing.T) {
	t.Parallel()
	for _, argument := range []string{"-version", "--version", "version"} {
		if got := answered(t, argument); got != cli.Version()+"\n" || len(got) < 2 {
			t.Errorf("%s says %q, want %q", argument, got, cli.Version())
		}
	}
}

func TestTextsOfOthersAreHarmless(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(corpus)
	if err != nil {
		t.Fatal(err)
	}
	name, reason := `<script>alert(1)</script>`, `=HYPERLINK(\"x\")\u001b[2J\n`
	log := strings.ReplaceAll(strings.ReplaceAll(string(text), "userpass-alice", name), "left the team: J. Doe", reason)

	table := audit(t, log, "rotations", "-").stdout
	if strings.ContainsRune(table, '\x1b') || !strings.Contains(table, "=HYPERLINK") {
		t.Errorf("a reason steers the terminal: %q", table)
	}
	rows, err := csv.NewReader(strings.NewReader(audit(t, log, "rotations", "-output=csv", "-").stdout)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := rows[5][8]; !strings.HasPrefix(got, "'=HYPERLINK") {
		t.Errorf("a spreadsheet takes the reason %q for a formula", got)
	}
	file := filepath.Join(t.TempDir(), "report.html")
	if got := audit(t, log, "report", "-html", file, "-"); got.code != cli.ExitOK {
		t.Fatal(got.stderr)
	}
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(page, []byte("<script")) || !bytes.Contains(page, []byte("&lt;script&gt;")) {
		t.Error("a name is part of the page's code")
	}
}

func TestTheReportStandsAlone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "report.html")
	answered(t, "report", "-html", file, corpus)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	for _, foreign := range []string{"http:", "https:", "src=", "<link", "<script", "url(", "ZgotmplZ"} {
		if strings.Contains(page, foreign) {
			t.Errorf("the page has %q", foreign)
		}
	}
	for _, want := range []string{
		"<code>acme-rw</code>", "5 stale", `<g class="row stale"><title>userpass-alice, `, `<g class="row current"><title>token-billing, `,
		"2026-11-02T14:03:00Z: version 2, handed in by userpass-olga: left the team: J. Doe", `class="mark background"`, `class="mark refused"`,
		`<circle class="dot stale wrapped"`, "version 1: first seen 2026-10-05T08:00:00Z, last seen 2026-10-20T09:00:00Z",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the page is for others to read: %v, %v", info.Mode(), err)
	}
}

func TestFollowingPrintsTheAnswerAndThenEachEvent(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(corpus)
	if err != nil {
		t.Fatal(err)
	}
	rotation := bytes.LastIndexByte(text[:bytes.Index(text, []byte("acme-rw/rotate"))], '\n') + 1
	log := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(log, text[:rotation], 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
	defer interrupt()
	stdout, in := io.Pipe()
	code := make(chan int, 1)
	go func() {
		defer in.Close()
		code <- program().Execute(ctx, []string{"incident", "-token=acme-rw", "-since=2026-11-01", "-output=json", "-follow", log}, cli.Streams{Out: in, Err: io.Discard})
	}()
	answers := json.NewDecoder(stdout)
	var answer incidentAnswer
	if err := answers.Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Readers) == 0 || len(answer.Rotations) != 0 {
		t.Errorf("at first there are %d readers and %d rotations", len(answer.Readers), len(answer.Rotations))
	}
	file, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Write(text[rotation:])
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"rotate refused", "rotate ", "read ", "read "} {
		var e event
		if err := answers.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if got := string(e.Kind) + " " + e.Error; got != want || e.Name != "acme-rw" {
			t.Errorf("%q of %s came instead of %q", got, e.Name, want)
		}
	}
	interrupt()
	if got := <-code; got != cli.ExitOK {
		t.Errorf("an interrupt gives exit code %d", got)
	}
}

func TestStandardInputIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(corpus)
	if err != nil {
		t.Fatal(err)
	}
	got := audit(t, string(text), "leaver", "-follow", "-display-name=userpass-alice", "-")
	_, events, _ := strings.Cut(got.stdout, "is right, and the time?\n")
	if want := "2026-10-07T10:00:00Z  read  acme-rw  version 1  userpass-alice  b35dba5e-dca0-6551-1e0e-afb1e61ef6b2  192.0.2.7\n" +
		"2026-10-10T10:30:00Z  read  acme-dev  version 1  userpass-alice  b35dba5e-dca0-6551-1e0e-afb1e61ef6b2  192.0.2.7\n"; got.code != cli.ExitOK || !strings.HasSuffix(got.stdout, want) {
		t.Errorf("exit code %d, and %s", got.code, events)
	}
}

func TestTimesAreGivenInManyForms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-11-20T14:00:00Z":      "2026-11-20T14:00:00Z",
		"2026-11-20T14:00:00+02:00": "2026-11-20T12:00:00Z",
		"2026-11-20":                "2026-11-20T00:00:00Z",
	} {
		var m moment
		if err := m.Set(text); err != nil || m.String() != want {
			t.Errorf("%s is %s: %v", text, &m, err)
		}
	}
	var m moment
	if err := m.Set("90m"); err != nil || time.Since(m.Time).Round(time.Minute) != 90*time.Minute {
		t.Errorf("90m is %s: %v", &m, err)
	}
}

func TestProgressIsTold(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		" 25 %  256 of 1024 MiB, 128 MiB/s":  progressLine(256<<20, 1024<<20, 2*time.Second),
		"100 %  1025 of 1024 MiB, 102 MiB/s": progressLine(1025<<20, 1024<<20, 10*time.Second),
		"300 MiB, 300 MiB/s":                 progressLine(300<<20, 0, time.Second),
	} {
		if got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
}
