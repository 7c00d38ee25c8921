//go:build unix

package vaulttest

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// secret is a value that must not be found where it does not belong, and what to call it.
type secret struct{ kind, value string }

// knownSecrets are those of this process's tests.
var knownSecrets secrets

type secrets struct {
	mu         sync.Mutex
	values     []secret
	simulators []*Simulator
	// written memoises how each secret may be written down: pairs of a form and its name.
	written map[secret][]string
}

// minSecretLength is in bytes. Shorter values occur everywhere.
const minSecretLength = 8

// Secret announces a secret that a test hands in without the simulators having issued it, and returns it. Kind says
// what to call it.
func Secret(t testing.TB, kind, value string) string {
	t.Helper()
	if len(value) < minSecretLength {
		t.Fatalf("a secret of %d bytes cannot be looked for; it takes %d", len(value), minSecretLength)
	}
	knownSecrets.mu.Lock()
	defer knownSecrets.mu.Unlock()
	knownSecrets.values = append(knownSecrets.values, secret{kind, value})
	return value
}

func (k *secrets) watch(s *Simulator) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.simulators = append(k.simulators, s)
}

// unwatch keeps the secrets of a simulator that is about to stop.
func (k *secrets) unwatch(ctx context.Context, s *Simulator) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	issued, err := s.issued(ctx)
	k.values = append(k.values, issued...)
	k.simulators = slices.DeleteFunc(k.simulators, func(other *Simulator) bool { return other == s })
	return err
}

// forms are those of every secret known by now: pairs of what may be written and its name.
func (k *secrets) forms(ctx context.Context) ([]string, error) {
	k.mu.Lock() // for as long as simulators are asked: none of them is stopped before it has left the list
	defer k.mu.Unlock()
	values := slices.Clone(k.values)
	var errs []error
	for _, s := range k.simulators {
		issued, err := s.issued(ctx)
		values, errs = append(values, issued...), append(errs, err)
	}
	var pairs []string
	if k.written == nil {
		k.written = map[secret][]string{}
	}
	for _, s := range values {
		if _, there := k.written[s]; !there {
			k.written[s] = s.forms()
		}
		pairs = append(pairs, k.written[s]...)
	}
	return pairs, errors.Join(errs...)
}

// forms are the ways in which the value may be written down, each followed by its name. A value of several lines (PEM) is
// looked for line by line: it may be wrapped or escaped, its lines stay whole.
func (s secret) forms() []string {
	var pairs []string
	for line := range strings.SplitSeq(s.value, "\n") {
		if len(line) < minSecretLength || strings.HasPrefix(line, "-----") {
			continue
		}
		for note, form := range lineForms(line) {
			pairs = append(pairs, form, "<"+s.kind+note+">")
		}
	}
	return pairs
}

func lineForms(line string) map[string]string {
	quoted, _ := json.Marshal(line) // a string always marshals
	forms := map[string]string{
		"":               line,
		", JSON":         strings.Trim(string(quoted), `"`),
		", URL query":    url.QueryEscape(line),
		", URL path":     url.PathEscape(line),
		", hexadecimal":  hex.EncodeToString([]byte(line)),
		", base64 URL 0": base64Core(base64.RawURLEncoding, line, 0),
		", base64 URL 1": base64Core(base64.RawURLEncoding, line, 1),
		", base64 URL 2": base64Core(base64.RawURLEncoding, line, 2),
		", base64 0":     base64Core(base64.RawStdEncoding, line, 0),
		", base64 1":     base64Core(base64.RawStdEncoding, line, 1),
		", base64 2":     base64Core(base64.RawStdEncoding, line, 2),
	}
	seen := map[string]bool{}
	for _, note := range slices.Sorted(maps.Keys(forms)) {
		if seen[forms[note]] {
			delete(forms, note)
			continue
		}
		seen[forms[note]] = true
	}
	return forms
}

// base64Core is what stays of the value's base64, whatever comes after it and with offset bytes before it, as in a
// Basic authorisation header.
func base64Core(encoding *base64.Encoding, value string, offset int) string {
	encoded := encoding.EncodeToString(append(make([]byte, offset), value...))
	first := (offset*8 + 5) / 6
	return encoded[first : (offset+len(value))*8/6]
}

// Fatalf and Errorf fail a test like their namesakes of testing.TB, with every secret in the message replaced by its
// name.
func Fatalf(t testing.TB, format string, args ...any) {
	t.Helper()
	t.Fatal(Redact(t, fmt.Sprintf(format, args...)))
}

// Errorf fails the test as Fatalf does, and lets it go on.
func Errorf(t testing.TB, format string, args ...any) {
	t.Helper()
	t.Error(Redact(t, fmt.Sprintf(format, args...)))
}

// Redact replaces every secret in a text by its name. A text that stays as it is holds none.
func Redact(t testing.TB, text string) string {
	forms, err := knownSecrets.forms(context.WithoutCancel(t.Context()))
	if err != nil {
		return "the text is not shown, because the secrets in it are not known: " + err.Error()
	}
	return newFinder(forms).redact(text)
}

// findLeaks looks through everything that the processes have written. Its findings show no secret.
func findLeaks() []string {
	forms, err := knownSecrets.forms(context.Background())
	if err != nil {
		return []string{err.Error()}
	}
	f := newFinder(forms)
	var findings []string
	look := func(path string, judge func(line string) string) {
		err := eachLine(path, func(line string) {
			if finding := judge(line); finding != "" {
				findings = append(findings, path+": "+finding)
			}
		})
		if err != nil {
			findings = append(findings, err.Error())
		}
	}
	for _, log := range run.logs {
		look(log, func(line string) string { return judgeLog(f, line) })
	}
	for _, audit := range run.audits {
		look(audit, func(line string) string { return judgeAudit(f, line) })
	}
	return findings
}

// eachLine calls do for every line of a file that need not exist.
func eachLine(path string, do func(line string)) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for secrets: %w", err)
	}
	defer file.Close()
	reader := bufio.NewReader(file)
	for {
		line, err := reader.ReadString('\n')
		if line != "" {
			do(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("looking for secrets in %s: %w", path, err)
		}
	}
}

// wantedPanic is what the plugin's fail points panic with.
const wantedPanic = "panic: a test wants it at the point: "

// judgeLog says what is wrong with a line of a log; nothing is the empty string.
func judgeLog(f *finder, line string) string {
	switch clean := f.redact(line); {
	case clean != line:
		return "a secret was written: " + clean
	case strings.Contains(line, "WARNING: DATA RACE"), strings.Contains(line, "panic: ") && !strings.Contains(line, wantedPanic):
		return "the plugin is at fault, see there: " + line
	default:
		return ""
	}
}

// judgeAudit wants a line of an audit log to have no secret in it, and no string in the data of this engine's requests and
// responses but HMACs and the exempted keys.
func judgeAudit(f *finder, line string) string {
	if clean := f.redact(line); clean != line {
		return "a secret was written: " + clean
	}
	type entry struct {
		Type      string         `json:"type"`
		Path      string         `json:"path"`
		MountType string         `json:"mount_type"`
		Data      map[string]any `json:"data"`
	}
	var audited struct{ Request, Response entry }
	if err := json.Unmarshal([]byte(line), &audited); err != nil {
		// A server that is killed while it writes leaves a part of a line, and the next one goes on behind it.
		for i := 1; i < len(line); i++ {
			if line[i] == '{' && json.Valid([]byte(line[i:])) {
				return judgeAudit(f, line[i:])
			}
		}
		return "a line is no JSON"
	}
	if audited.Request.MountType != PluginName {
		return ""
	}
	if !hashed(audited.Request.Data, auditRequestKeys) || !hashed(audited.Response.Data, auditResponseKeys) {
		return fmt.Sprintf("a value is in clear, at %s: %s", audited.Request.Path, line)
	}
	return ""
}

// hashed reports whether every string in a value is an HMAC, or below an exempted key at whatever depth, as Vault exempts
// them. Vault leaves numbers and booleans as they are. OpenBao leaves times, too, which can be no secret.
func hashed(value any, exempt []string) bool {
	switch v := value.(type) {
	case string:
		_, err := time.Parse(time.RFC3339Nano, v)
		return err == nil || strings.HasPrefix(v, "hmac-sha256:")
	case []any:
		return !slices.ContainsFunc(v, func(element any) bool { return !hashed(element, exempt) })
	case map[string]any:
		for key, element := range v {
			if !slices.Contains(exempt, key) && !hashed(element, exempt) {
				return false
			}
		}
	}
	return true
}
