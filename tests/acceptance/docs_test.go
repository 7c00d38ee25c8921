//go:build unix

package acceptance

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// docsPatience bounds the commands of one page.
const docsPatience = 2 * time.Minute

// TestDocsCommands does what the documentation says, word for word, on a real Vault server: the pages in order, those of
// the story first, each in a shell of its own. The names of the providers lead to the simulators, so that no command has to
// be altered.
//
// sh blocks are run; those that hold nothing but make commands are left to CI, which runs make itself. A text or json
// block is what the sh block before it prints. What the reader does beside that stands in HTML comments above a block:
//
//	<!-- by-hand: COMMAND -->  what is done in the browser; what the command prints is typed into the block
//	<!-- file: NAME -->        the block is saved as NAME, as the text says
//	<!-- refused -->           the block's command has to fail
//	<!-- needs: TOOL... -->    the block is run only where these tools are
func TestDocsCommands(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux can the plugin be told by its environment to trust the simulated internet")
	}
	sim, hook, receiver := vaulttest.StartSimulator(t), vaulttest.FreeAddress(t), vaulttest.FreeAddress(t)
	succeeded(t, sim.SetTokenURI(t.Context(), "https://oauth2.googleapis.com/token")) // as Google's key files have it
	plugins, dir := realTempDir(t), t.TempDir()
	server := vaulttest.StartBare(t, vaulttest.Bare{PluginDirectory: plugins, Environment: startInternet(t, map[string]string{
		"api.impact.com":           sim.ImpactURL,
		"googleads.googleapis.com": sim.GoogleURL,
		"iam.googleapis.com":       sim.GoogleURL,
		"oauth2.googleapis.com":    sim.GoogleURL,
		"automation.acme.example":  "http://" + hook,
		"hooks.acme.example":       "http://" + receiver,
	})})
	commands := vaulttest.BuildCommands(t, "adtokens-audit", "adtokens-hook", "adtokens-provider")
	succeeded(t, os.Symlink(commands, filepath.Join(dir, "bin"))) // what make build leaves
	environment := []string{
		"PATH=" + commands + ":" + filepath.Dir(vaulttest.VaultCommand(t)) + ":" + os.Getenv("PATH"), "HOME=" + dir,
		"VAULT_ADDR=" + server.Address, "VAULT_TOKEN=" + server.Token, "PLUGIN_DIR=" + plugins, "AUDIT_LOG=" + server.AuditLog,
		"ADTOKENS_SIMULATOR_CONTROL=" + sim.ControlURL, "HOOK=" + hook, "RECEIVER=" + receiver, // for what is done by hand
		"ACME_URL=" + sim.Platform("acme_ads").URL,
	}
	for _, p := range readPages(t) { // they build on each other
		p.run(t, dir, environment)
	}
}

// realTempDir has no symbolic link in it, which Vault refuses in a plugin directory.
func realTempDir(t *testing.T) string {
	t.Helper()
	return done(filepath.EvalSymlinks(t.TempDir()))(t)
}

// run runs the page's commands and compares what they print with what the page shows.
func (p page) run(t *testing.T, dir string, environment []string) {
	t.Helper()
	results := t.TempDir()
	script := filepath.Join(results, "script")
	succeeded(t, os.WriteFile(script, []byte(p.script(results)), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), docsPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", script)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, environment, time.Second
	if output, err := cmd.CombinedOutput(); err != nil {
		line := strings.TrimSpace(string(done(os.ReadFile(filepath.Join(results, "line")))(t)))
		printed, _ := os.ReadFile(filepath.Join(results, line)) // there is none if it was not run
		vaulttest.Fatalf(t, "%s:%s: %v\n%s%s", p.path, line, err, printed, output)
	}
	for i, b := range p.blocks {
		if b.isOutput() && p.blocks[i-1].isRunnable() {
			printed := string(done(os.ReadFile(filepath.Join(results, strconv.Itoa(p.blocks[i-1].line))))(t))
			if !matches(shape(b.text), shape(printed)) {
				vaulttest.Errorf(t, "%s:%d does not show what the command prints, which is:\n%s", p.path, b.line, printed)
			}
		}
	}
}

// script is the page's files and commands as one program. What a block prints goes to a file that is named by its line.
func (p page) script(results string) string {
	script := "set -euo pipefail\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\nresults='" + results + "'\n"
	for _, b := range p.blocks {
		if file, ok := b.directives["file"]; ok {
			script += fmt.Sprintf("cat > %s <<'END OF FILE'\n%sEND OF FILE\n", file, b.text)
			continue
		}
		if !b.isCommands() || !b.isRunnable() {
			continue
		}
		script += fmt.Sprintf("echo %d > $results/line\n{ %s\n} > $results/typed\n", b.line, cmp.Or(b.directives["by-hand"], ":"))
		group := fmt.Sprintf("{\n%s} < $results/typed > $results/%d 2>&1", b.text, b.line)
		if _, refused := b.directives["refused"]; refused {
			group = "if " + group + "; then echo 'this should have been refused'; exit 1; fi"
		}
		script += group + "\n"
	}
	return script
}

// isCommands reports whether the block is run.
func (b block) isCommands() bool { return b.language == "sh" && !b.isMake() }

// isRunnable reports whether the tools that the block needs are there.
func (b block) isRunnable() bool {
	for tool := range strings.FieldsSeq(b.directives["needs"]) {
		if _, err := exec.LookPath(tool); err != nil {
			return false
		}
	}
	return true
}

func (b block) isOutput() bool {
	_, file := b.directives["file"]
	return (b.language == "text" || b.language == "json") && !file
}

var makeCommand = regexp.MustCompile(`^make( [a-z-]+)*( +#.*)?$`)

// isMake reports whether the block holds nothing but make commands.
func (b block) isMake() bool {
	for line := range strings.Lines(b.text) {
		if !makeCommand.MatchString(strings.TrimSuffix(line, "\n")) {
			return false
		}
	}
	return b.language == "sh"
}

var (
	// volatile is what differs from run to run: times, and the short form of an accessor.
	volatile = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z|#[0-9a-f]{8}`)
	// word is long enough for a value, an identifier or a digest. Shorter ones, numbers too, have to be right.
	word   = regexp.MustCompile(`[A-Za-z0-9_-]{16,}`)
	spaces = regexp.MustCompile(`[ \t]+`)
)

// shape is an output's lines without what differs from run to run.
func shape(output string) []string {
	output = volatile.ReplaceAllString(output, "#")
	output = word.ReplaceAllStringFunc(output, func(found string) string {
		if found == strings.ToLower(found) && !strings.ContainsAny(found, "0123456789") {
			return found // such as the name of a field
		}
		return "#"
	})
	var lines []string
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(spaces.ReplaceAllString(line, " ")); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// matches reports whether the lines are those that are shown, where … stands for any lines.
func matches(shown, printed []string) bool {
	switch {
	case len(shown) == 0:
		return len(printed) == 0
	case shown[0] == "…":
		return matches(shown[1:], printed) || len(printed) > 0 && matches(shown, printed[1:])
	default:
		return len(printed) > 0 && shown[0] == printed[0] && matches(shown[1:], printed[1:])
	}
}

func TestDocsShapes(t *testing.T) {
	t.Parallel()
	const printed = "Key          Value\n---          -----\nauth_token   W8siBg5fPj4nPI0PpMXYSuXE5BkYcfuW\nchecked_at   2026-11-22T01:48:48Z\nversion      2\n"
	tests := map[string]struct {
		shown string
		want  bool
	}{
		"other values":      {"Key Value\n--- -----\nauth_token   IRq8mWJybvoQ1020978kbj7am8zzM2\nchecked_at 2027-01-01T00:00:00Z\nversion 2\n", true},
		"another number":    {strings.Replace(printed, "2\n", "3\n", 1), false},
		"a key too many":    {printed + "ttl 60\n", false},
		"a key is missing":  {strings.Replace(printed, "version      2\n", "", 1), false},
		"a part":            {"Key Value\n…\nversion 2\n", true},
		"a part that is no": {"Key Value\n…\nhealth ok\n", false},
		"nothing":           {"", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := matches(shape(tc.shown), shape(printed)); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// TestDocsBlocks lets no block stand that nothing checks.
func TestDocsBlocks(t *testing.T) {
	t.Parallel()
	for _, p := range readPages(t) {
		for i, b := range p.blocks {
			file, isFile := b.directives["file"]
			switch {
			case isFile:
				if !slices.ContainsFunc(p.blocks[i+1:], func(later block) bool { return later.isCommands() && strings.Contains(later.text, file) }) {
					t.Errorf("%s:%d: no command uses the file %s", p.path, b.line, file)
				}
			case b.isOutput():
				if i == 0 || !p.blocks[i-1].isCommands() {
					t.Errorf("%s:%d: no command prints this", p.path, b.line)
				}
				if b.language == "json" && !json.Valid([]byte(b.text)) {
					t.Errorf("%s:%d is no JSON", p.path, b.line)
				}
			case b.language == "mermaid": // TestDocsDiagrams
			case b.language == "yaml" && filepath.Base(p.path) == "provider-definitions.md": // tests of backend/provider/definition
			case b.language != "sh":
				t.Errorf("%s:%d: nothing checks a block of the language %q", p.path, b.line, b.language)
			}
		}
	}
}

func TestDocsMakeTargets(t *testing.T) {
	t.Parallel()
	for _, p := range readPages(t) {
		lines := p.code()
		for _, b := range p.blocks {
			if b.isMake() {
				lines = append(lines, strings.Split(strings.TrimSpace(b.text), "\n")...)
			}
		}
		for _, line := range lines {
			if !makeCommand.MatchString(line) {
				continue
			}
			command, _, _ := strings.Cut(line, "#")
			make := exec.CommandContext(t.Context(), "make", append(strings.Fields(command)[1:], "--dry-run")...)
			make.Dir, make.Env = docsRoot, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
			if output, err := make.CombinedOutput(); err != nil {
				t.Errorf("%s says %q: %v: %s", p.path, command, err, output)
			}
		}
	}
}

func TestDocsLinks(t *testing.T) {
	t.Parallel()
	anchors := map[string][]string{}
	for _, p := range readPages(t) {
		anchors[p.path] = p.anchors()
	}
	for _, p := range readPages(t) {
		for _, found := range link.FindAllStringSubmatch(inlineCode.ReplaceAllString(p.prose, ""), -1) {
			target, err := url.Parse(found[1])
			switch {
			case err != nil, target.Scheme != "" && (target.Scheme != "https" || target.Host == ""):
				t.Errorf("%s: %s is no address", p.path, found[1])
				continue
			case target.Scheme != "":
				continue
			}
			file := p.path
			if target.Path != "" {
				file = filepath.Join(filepath.Dir(p.path), target.Path)
			}
			if _, err := os.Stat(filepath.Join(docsRoot, file)); err != nil {
				t.Errorf("%s links to %s: %v", p.path, found[1], err)
			}
			if target.Fragment != "" && !slices.Contains(anchors[file], target.Fragment) {
				t.Errorf("%s links to %s, which is no heading of %s", p.path, found[1], file)
			}
		}
	}
}

// TestDocsDiagrams keeps the states that are drawn those of the code.
func TestDocsDiagrams(t *testing.T) {
	t.Parallel()
	machine := done(parser.ParseFile(token.NewFileSet(), docsRoot+"/backend/rotation/state.go", nil, parser.ParseComments))(t)
	var drawn string
	for _, declaration := range machine.Decls {
		if g, ok := declaration.(*ast.GenDecl); ok && g.Tok == token.TYPE && g.Specs[0].(*ast.TypeSpec).Name.Name == "State" {
			drawn = g.Doc.Text()
		}
	}
	_, drawn, _ = strings.Cut(drawn, "\tstateDiagram-v2\n")
	drawn, _, _ = strings.Cut(drawn, "\n\n")
	want := "stateDiagram-v2\n" + strings.ReplaceAll(drawn, "\n\t", "\n")[1:] + "\n"
	diagrams := 0
	for _, p := range readPages(t) {
		for _, b := range p.blocks {
			if b.language == "mermaid" && strings.HasPrefix(b.text, "stateDiagram") {
				if diagrams++; b.text != want {
					t.Errorf("%s:%d differs from the doc comment of rotation.State, which is:\n%s", p.path, b.line, want)
				}
			}
		}
	}
	if diagrams == 0 {
		t.Error("no page draws the states of a rotation")
	}
}

// TestDocsMessages wants every message that the page on trouble explains, its headings, to be one of the engine's. In a
// heading, … stands for what differs.
func TestDocsMessages(t *testing.T) {
	t.Parallel()
	known := engineStrings(t)
	p := parsePage("docs/troubleshooting.md", readDoc(t, "docs/troubleshooting.md"))
	checked := 0
	for _, found := range heading.FindAllStringSubmatch(p.prose, -1) {
		for _, message := range inlineCode.FindAllString(found[1], -1) {
			checked++
			parts := strings.Split(strings.Trim(message, "`"), "…")
			if !slices.ContainsFunc(known, func(s string) bool { return containsInOrder(s, parts) }) {
				t.Errorf("%s: the engine never says %s", p.path, message)
			}
		}
	}
	if checked == 0 {
		t.Errorf("%s explains no message", p.path)
	}
}

func containsInOrder(s string, parts []string) bool {
	for _, part := range parts {
		_, rest, there := strings.Cut(s, part)
		if !there {
			return false
		}
		s = rest
	}
	return true
}

// engineStrings are the string literals of the engine, with what is put together by + as one, and the texts of the catalogue.
func engineStrings(t *testing.T) []string {
	t.Helper()
	var all []string
	succeeded(t, filepath.WalkDir(docsRoot+"/backend", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			s := literal(e)
			if s != "" {
				all = append(all, s)
			}
			return s == ""
		})
		return nil
	}))
	return append(all, catalogueTexts(t)...)
}

// literal is what is known of a string expression; what is not known is left out.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); e.Kind == token.STRING && err == nil {
			return s
		}
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return literal(e.X) + literal(e.Y)
		}
	}
	return ""
}

// TestDocsEvents wants every type of event to be explained.
func TestDocsEvents(t *testing.T) {
	t.Parallel()
	code := parsePage("docs/operations.md", readDoc(t, "docs/operations.md")).code()
	event, events := regexp.MustCompile(`^adtokens/[a-z-]+$`), 0
	for _, s := range engineStrings(t) {
		if event.MatchString(s) {
			if events++; !slices.Contains(code, s) {
				t.Errorf("docs/operations.md does not explain the event %s", s)
			}
		}
	}
	if events == 0 {
		t.Error("the engine has no events")
	}
}

// limitRow is a line of a table: what, how much, and the constant's package and name.
var limitRow = regexp.MustCompile("(?m)^\\|[^|]+\\| ([0-9a-z]+) \\| `([a-z]+)\\.([A-Za-z]+)` \\|$")

// TestDocsLimits keeps the waits and limits that are written down those of the code.
func TestDocsLimits(t *testing.T) {
	t.Parallel()
	known := map[string]map[string]string{
		"backend": constants(t, "backend"), "rotation": constants(t, "backend/rotation"), "schedule": constants(t, "backend/schedule"),
		"readers": constants(t, "backend/readers"),
	}
	rows := limitRow.FindAllStringSubmatch(readDoc(t, "docs/rotation.md"), -1)
	if len(rows) < 2 {
		t.Fatal("docs/rotation.md has no table of limits")
	}
	for _, row := range rows {
		want := row[1]
		if d, err := time.ParseDuration(want); err == nil {
			want = strconv.FormatInt(int64(d), 10)
		}
		if got := known[row[2]][row[3]]; got != want {
			t.Errorf("docs/rotation.md says that %s.%s is %s, which the code has as %q", row[2], row[3], row[1], got)
		}
	}
}

// constants are the values of a package's numeric constants and variables, durations in nanoseconds.
func constants(t *testing.T, dir string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, path := range done(filepath.Glob(filepath.Join(docsRoot, dir, "*.go")))(t) {
		file := done(parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution))(t)
		for _, declaration := range file.Decls {
			general, ok := declaration.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range general.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && len(v.Values) == 1 {
					values[v.Names[0].Name] = numeric(v.Values[0]).ExactString()
				}
			}
		}
	}
	return values
}

// numeric is the value of a numeric expression with durations in it; unknown where it has other names in it.
func numeric(e ast.Expr) constant.Value {
	units := map[string]time.Duration{"Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}
	switch e := e.(type) {
	case *ast.BasicLit:
		return constant.MakeFromLiteral(e.Value, e.Kind, 0)
	case *ast.SelectorExpr:
		if unit, ok := units[e.Sel.Name]; ok {
			return constant.MakeInt64(int64(unit))
		}
	case *ast.BinaryExpr:
		if e.Op == token.MUL {
			return constant.BinaryOp(numeric(e.X), token.MUL, numeric(e.Y))
		}
	case *ast.CallExpr: // rate.Every
		if len(e.Args) == 1 {
			return numeric(e.Args[0])
		}
	}
	return constant.MakeUnknown()
}

// TestDocsReference wants the reference to name every path of the engine, and every field of accounts and tokens.
func TestDocsReference(t *testing.T) {
	t.Parallel()
	m := vaulttest.Shared(t).Mount(t)
	help := done(m.Client.HelpWithContext(t.Context(), m.Path))(t)
	var document struct {
		Paths      map[string]fields
		Components struct {
			Schemas map[string]struct{ Properties fields }
		}
	}
	succeeded(t, json.Unmarshal([]byte(asJSON(t, help.OpenAPI)), &document))
	code := parsePage("docs/reference.md", readDoc(t, "docs/reference.md")).code()
	for path := range document.Paths {
		path = strings.NewReplacer("{", "<", "}", ">").Replace(strings.TrimPrefix(path, "/"))
		if !slices.Contains(code, path) {
			t.Errorf("the reference does not name the path %s", path)
		}
	}
	for _, schema := range []string{"AdTokensConfigureAccountRequest", "AdTokensWriteTokenRequest", "AdTokensRotateRequest"} {
		properties := document.Components.Schemas[schema].Properties
		if len(properties) == 0 {
			t.Errorf("there is no schema %s", schema)
		}
		for field := range properties {
			if !slices.ContainsFunc(code, func(piece string) bool { return slices.Contains(strings.FieldsFunc(piece, isNoName), field) }) {
				t.Errorf("the reference does not name the field %s of %s", field, schema)
			}
		}
	}
}

// isNoName reports whether the character cannot be part of a field's name.
func isNoName(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz_0123456789", r) }
