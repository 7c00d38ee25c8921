package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// execute runs the program.
func execute(t *testing.T, in string, args ...string) (code int, out, errText string) {
	t.Helper()
	var outBuffer, errBuffer bytes.Buffer
	code = program().Execute(t.Context(), args, cli.Streams{In: strings.NewReader(in), Out: &outBuffer, Err: &errBuffer})
	return code, outBuffer.String(), errBuffer.String()
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "acme_ads.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommands_HaveHelp(t *testing.T) {
	t.Parallel()
	for _, c := range program().Commands {
		code, out, errText := execute(t, "", c.Name, "-h")
		if code != cli.ExitOK || !strings.HasPrefix(out, "Usage: adtokens-provider "+c.Name) || errText != "" {
			t.Errorf("%s -h: exit code %d, printed %q, %q", c.Name, code, out, errText)
		}
	}
}

func TestCommands_WrongUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"", "chek", "check", "check -fast", "try", "try awin", "try awin api_token more", "try awin no_such_type", "try -timeout 0s awin api_token",
		"doc", "doc awin meta", "list awin", "show", "show awin meta", "schema awin",
	} {
		if code, out, errText := execute(t, "", strings.Fields(args)...); code != cli.ExitUsage || out != "" || !strings.HasPrefix(errText, "adtokens-provider: wrong usage: ") {
			t.Errorf("%q: exit code %d, printed %q, %q", args, code, out, errText)
		}
	}
}

func TestList_NamesTheCatalogue(t *testing.T) {
	t.Parallel()
	code, out, _ := execute(t, "", "list")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != cli.ExitOK || len(lines) != len(catalogue.Names()) {
		t.Fatalf("exit code %d, printed %q", code, out)
	}
	for i, name := range catalogue.Names() {
		if strings.Fields(lines[i])[0] != name {
			t.Errorf("line %d is %q, want it to begin with %s", i+1, lines[i], name)
		}
	}
	if !strings.Contains(out, "legacy_read_write, legacy_read_only, scoped  impact.com API\n") || !strings.Contains(out, "TUNE network API *\n") {
		t.Errorf("it does not tell types, titles and what is not confirmed:\n%s", out)
	}
}

func TestShow_PrintsADocumentThatCheckTakes(t *testing.T) {
	t.Parallel()
	for _, name := range catalogue.Names() {
		code, out, errText := execute(t, "", "show", name)
		document, _ := catalogue.Document(name)
		if code != cli.ExitOK || out != string(document) {
			t.Fatalf("show %s: exit code %d: %s", name, code, errText)
		}
		if code, out, errText = execute(t, out, "check", "-"); code != cli.ExitOK || out != "-: nothing is wrong\n" {
			t.Errorf("check of %s: exit code %d, printed %q, %q", name, code, out, errText)
		}
	}
	if code, _, errText := execute(t, "", "show", "metta"); code != cli.ExitFailure || !strings.Contains(errText, "did you mean meta") {
		t.Errorf("a misspelt name: exit code %d, %q", code, errText)
	}
	if code, _, errText := execute(t, "", "show", "google_ads"); code != cli.ExitFailure || !strings.Contains(errText, `"adtokens-provider list"`) {
		t.Errorf("a name that is not there: exit code %d, %q", code, errText)
	}
}

func TestSchema_PrintsTheSchema(t *testing.T) {
	t.Parallel()
	if code, out, _ := execute(t, "", "schema"); code != cli.ExitOK || out != string(definition.Schema()) {
		t.Errorf("exit code %d, printed %d bytes", code, len(out))
	}
}

// renamed is a definition of the catalogue with another name, as somebody begins one.
func renamed(t *testing.T, name string) string {
	t.Helper()
	document, _ := catalogue.Document(name)
	return strings.Replace(string(document), "name: "+name, "name: acme_ads", 1)
}

func TestCheck_FindsEveryMistakeWithItsLine(t *testing.T) {
	t.Parallel()
	good := renamed(t, "awin")
	lineOf := func(text, of string) string {
		before, _, found := strings.Cut(text, of)
		if !found {
			t.Fatalf("there is no %q", of)
		}
		return fmt.Sprintf(":%d: ", strings.Count(before, "\n")+1)
	}
	for name, tt := range map[string]struct{ old, replacement, says string }{
		"no YAML":            {"token_types:", "token_types: [", "this is no YAML"},
		"unknown member":     {"reset_semantics:", "reset_semantic:", "token_types.api_token"},
		"wrong word":         {"reset_semantics: immediate", "reset_semantics: sometimes", "immediate, overlapping, none"},
		"another host":       {"'{+account.base_url}/{option.probe_path}'", "'https://thief.example.com/'", "must begin with"},
		"unknown variable":   {"bearer: '{credential.api_token}'", "bearer: '{credential.api_tokn}'", "api_token"},
		"secret in the URL":  {"/{option.probe_path}'", "/{credential.api_token}'", "secret_in_url"},
		"no expression":      {"'status == 401", "'status = 401", "CEL"},
		"wrong expectation":  {"answer: {status: 401, body: {error: invalid_token}}, expect: {outcome: rejected}", "answer: {status: 401, body: {error: invalid_token}}, expect: {outcome: accepted}", "examples["},
		"no rejected answer": {"      - {step: verify, answer: {status: 401, body: {error: invalid_token}}, expect: {outcome: rejected}}\n", "", "rejected"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := strings.Replace(good, tt.old, tt.replacement, 1)
			if bad == good {
				t.Fatalf("there is no %q", tt.old)
			}
			file := writeFile(t, bad)
			code, out, errText := execute(t, "", "check", file)
			if code != cli.ExitFailure || !strings.Contains(out, tt.says) || !strings.HasPrefix(errText, "adtokens-provider: found ") {
				t.Errorf("exit code %d, printed %q, %q; want %q", code, out, errText, tt.says)
			}
			if tt.replacement != "" && !strings.Contains(tt.replacement, "[") && !strings.Contains(out, file+lineOf(bad, tt.replacement)) {
				t.Errorf("it does not name the line%sof %q: %q", lineOf(bad, tt.replacement), tt.replacement, out)
			}
		})
	}
}

func TestCheck_TellsWhatIsHardlyMeant(t *testing.T) {
	t.Parallel()
	document, _ := catalogue.Document("awin")
	code, out, _ := execute(t, strings.Replace(string(document), "secret: true, ", "", 1), "check", "-")
	if code != cli.ExitOK {
		t.Errorf("exit code %d", code)
	}
	for _, says := range []string{"-: nothing is wrong\n", "no field of api_token is secret", "the engine has awin itself: give this another name"} {
		if !strings.Contains(out, says) {
			t.Errorf("printed %q, want %q", out, says)
		}
	}
}

func TestCheck_SeveralFiles(t *testing.T) {
	t.Parallel()
	good, bad := writeFile(t, renamed(t, "awin")), writeFile(t, strings.ReplaceAll(renamed(t, "cj"), "status == ", "status = "))
	code, out, errText := execute(t, "", "check", good, bad)
	if code != cli.ExitFailure || !strings.Contains(out, good+": nothing is wrong\n") || !strings.Contains(out, bad+":") || !strings.HasSuffix(errText, " in 1 file of 2\n") {
		t.Errorf("exit code %d, printed %q, %q", code, out, errText)
	}
	if code, _, errText := execute(t, "", "check", good+".no"); code != cli.ExitFailure || !strings.Contains(errText, "no such file") {
		t.Errorf("a file that is not there: exit code %d, %q", code, errText)
	}
}

func TestCheck_PrintsNothingThatActsOnATerminal(t *testing.T) {
	t.Parallel()
	code, out, _ := execute(t, strings.Replace(renamed(t, "awin"), "reset_semantics: ", "\"\\e[31mx\": ", 1), "check", "-")
	if code != cli.ExitFailure || strings.ContainsRune(out, '\x1b') {
		t.Errorf("exit code %d, printed %q", code, out)
	}
}

func TestCheck_DocumentOfTheSizeOfADisk(t *testing.T) {
	t.Parallel()
	code, out, _ := execute(t, strings.Repeat("#", 4<<20), "check", "-")
	if code != cli.ExitFailure || !strings.Contains(out, "64 KiB") {
		t.Errorf("exit code %d, printed %q", code, out)
	}
}
