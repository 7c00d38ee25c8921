//go:build unix

package acceptance

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"go.yaml.in/yaml/v3"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// hostileValues run a command or get lost where a file is read by other rules than those by which it was written.
var hostileValues = map[string]string{
	"a command":                  `$(touch${IFS}pwned)`,
	"a command in backquotes":    "`touch${IFS}pwned`",
	"double quotes":              `";touch pwned;"`,
	"single quotes":              `';touch pwned;'`,
	"both quotes":                `'";touch pwned;"'`,
	"a backslash":                `\$(touch pwned)`,
	"two backslashes":            `\\$(touch pwned)`,
	"backslashes before quotes":  `\";touch pwned;\"`,
	"a backslash last":           `touch pwned\`,
	"a backslash and quote last": `touch pwned\"`,
	"variables":                  `$HOME ${PATH} $$ $1 $@`,
	"an operator":                `x;touch pwned`,
	"more operators":             `x&touch pwned|touch pwned>pwned`,
	"words":                      `x touch pwned`,
	"a comment":                  `#touch pwned`,
	"another comment":            `;touch pwned`,
	"white space around":         "  \tx\t  ",
	"patterns":                   `~ * ? [a-z] {a,b} ! !! ^`,
	"percent signs":              `%h %% %s %n`,
	"escapes":                    `\n\t\x41\u0041\0`,
	"no ASCII":                   `ключ — 🔑`,
	"a template":                 `{{ key "x" }}{{`,
	"YAML":                       `x: [&a *a !!b] # c`,
	"JSON":                       `{"auth_token": null}`,
	"nothing":                    ``,
}

// hostileLines hold line breaks, which take quotes.
var hostileLines = map[string]string{
	"a line":                 "x\ntouch pwned",
	"a variable":             "x\nLD_PRELOAD=/tmp/pwned.so",
	"a line between quotes":  "\"\ntouch pwned\n\"",
	"carriage returns":       "x\r\nLD_PRELOAD=/tmp/pwned.so\r",
	"a continued line":       "x\\\nLD_PRELOAD=/tmp/pwned.so",
	"a line break and blank": "x\n ",
}

// hostileWorld keeps values in KV, which takes what the engine would refuse, and has the real agent render the examples'
// templates with them.
type hostileWorld struct {
	server     *vaulttest.Server
	mount, dir string
	config     strings.Builder
}

func newHostileWorld(t *testing.T) *hostileWorld {
	t.Helper()
	h := &hostileWorld{server: vaulttest.Shared(t), dir: t.TempDir()}
	h.mount = "hostile-" + strings.ToLower(regexp.MustCompile("[^A-Za-z]+").ReplaceAllString(t.Name(), "-"))
	succeeded(t, h.server.Client.Sys().MountWithContext(t.Context(), h.mount, &api.MountInput{Type: "kv"}))
	token := h.write(t, "token", h.server.Token)
	h.config.WriteString("template_config {\n  exit_on_retry_failure = true\n}\n")
	fmt.Fprintf(&h.config, "auto_auth {\n  method \"token_file\" {\n    config = { token_file_path = %q }\n  }\n}\n", token)
	return h
}

// write writes a file, and returns its path.
func (h *hostileWorld) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(h.dir, name)
	succeeded(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// keep makes a credential that has the value in every field, and returns its path.
func (h *hostileWorld) keep(t *testing.T, name, value string) string {
	t.Helper()
	path, credential := h.mount+"/"+strings.ReplaceAll(name, " ", "-"), fields{"version": 7}
	for _, field := range []string{
		"account_url", "account_sid", "auth_token", "fingerprint", "client_id", "client_secret", "refresh_token", "login_customer_id",
	} {
		credential[field] = value
	}
	done(h.server.Client.Logical().WriteWithContext(t.Context(), path, credential))(t)
	return path
}

var (
	credentialPath = regexp.MustCompile(`adtokens/creds/[a-z-]+`)
	inlineTemplate = regexp.MustCompile(`(?s)contents\s+= (<<EOT\n.*?\nEOT\n)`)
)

// render adds a template of the examples, or that of the page on apps, with a credential's path in place of its own. It returns where the agent
// will write the file.
func (h *hostileWorld) render(t *testing.T, example, credential string) string {
	t.Helper()
	destination := filepath.Join(h.dir, strings.ReplaceAll(credential, "/", "_")+"_"+example)
	content := ""
	if example == "apps.md" {
		for _, b := range parsePage(example, readDoc(t, "docs/"+example)).blocks {
			if found := inlineTemplate.FindStringSubmatch(b.text); found != nil && b.directives["file"] == "agent.hcl" {
				content = "contents = " + credentialPath.ReplaceAllString(found[1], credential)
			}
		}
	} else {
		text := credentialPath.ReplaceAllString(readDoc(t, "docs/consumers/"+example), credential)
		content = fmt.Sprintf("source = %q", h.write(t, filepath.Base(destination)+".ctmpl", text))
	}
	if content == "" {
		t.Fatalf("%s has no template", example)
	}
	fmt.Fprintf(&h.config, "template {\n  destination = %q\n  %s\n}\n", destination, content)
	return destination
}

// runAgent renders everything, and ends.
func (h *hostileWorld) runAgent(t *testing.T) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), docsPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, vaulttest.VaultCommand(t), "agent", "-exit-after-auth", "-config="+h.write(t, "agent.hcl", h.config.String()))
	cmd.Dir, cmd.Env = h.dir, []string{"VAULT_ADDR=" + h.server.Address, "HOME=" + h.dir}
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// environmentReaders read an environment file as programs do: by themselves, or by their rule.
var environmentReaders = map[string]func(t *testing.T, path string) map[string]string{
	"sh":      func(t *testing.T, path string) map[string]string { return shellEnvironment(t, "sh", path) },
	"bash":    func(t *testing.T, path string) map[string]string { return shellEnvironment(t, "bash", path) },
	"systemd": func(t *testing.T, path string) map[string]string { return systemdEnvironment(readFile(t, path)) },
	"docker":  func(t *testing.T, path string) map[string]string { return dockerEnvironment(readFile(t, path)) },
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	return string(done(os.ReadFile(path))(t))
}

// shellEnvironment is what a shell exports to a program after it has read the file.
func shellEnvironment(t *testing.T, shell, path string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), shell, "-c", `set -eua; . "$FILE"; exec env -0`)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "FILE=" + path}
	output, err := cmd.Output()
	if err != nil {
		t.Errorf("%s does not read %s: %v", shell, path, err)
	}
	if made := done(os.ReadDir(dir))(t); len(made) > 0 {
		t.Errorf("%s ran what was in %s", shell, path)
	}
	environment := map[string]string{}
	for variable := range strings.SplitSeq(string(output), "\x00") {
		if name, value, there := strings.Cut(variable, "="); there {
			environment[name] = value
		}
	}
	for _, own := range []string{"PATH", "FILE", "PWD", "OLDPWD", "SHLVL", "_"} {
		delete(environment, own)
	}
	return environment
}

// systemdEnvironment is what EnvironmentFile= makes of a text, by the rule of systemd 252 and later (systemd.exec(5)): a
// backslash is literal between single quotes; between double quotes it takes its meaning from four characters; elsewhere it
// is taken from any other.
func systemdEnvironment(text string) map[string]string {
	environment := map[string]string{}
	for text != "" {
		line, _, _ := strings.Cut(text, "\n")
		if trimmed := strings.TrimLeft(line, " \t\r"); trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';' || !strings.Contains(line, "=") {
			text = strings.TrimPrefix(strings.TrimPrefix(text, line), "\n")
			continue
		}
		name, rest, _ := strings.Cut(text, "=")
		environment[strings.TrimSpace(name)], text = systemdValue(rest)
	}
	return environment
}

var (
	singleQuoted = regexp.MustCompile(`^'([^']*)'`)
	doubleQuoted = regexp.MustCompile(`(?s)^"((?:[^"\\]|\\.)*)"`)
	unquoted     = regexp.MustCompile(`(?s)^(?:[^\\\n]|\\.)*`)
	escaped      = regexp.MustCompile(`(?s)\\.`)
)

// systemdValue reads a value and the end of its line, and returns it with the text behind.
func systemdValue(text string) (value, rest string) {
	for {
		text = strings.TrimLeft(text, " \t\r")
		if found := singleQuoted.FindStringSubmatch(text); found != nil {
			value, text = value+found[1], text[len(found[0]):]
		} else if found := doubleQuoted.FindStringSubmatch(text); found != nil {
			value, text = value+unescape(found[1], "\"\\`$"), text[len(found[0]):]
		} else {
			break
		}
	}
	plain := unquoted.FindString(text)
	return value + unescape(strings.TrimRight(plain, " \t\r"), ""), strings.TrimPrefix(text[len(plain):], "\n")
}

// unescape takes the backslash from the given characters, or from all of them if there are none, and a line break with it.
func unescape(text, characters string) string {
	return escaped.ReplaceAllStringFunc(text, func(found string) string {
		switch c := found[1:]; {
		case c == "\n":
			return ""
		case characters == "", strings.Contains(characters, c):
			return c
		default:
			return found
		}
	})
}

// dockerEnvironment is what docker run --env-file makes of a text, by the rule of its version 28 (cli/compose and opts/envfile.go): a
// line is a variable, and everything behind = its value.
func dockerEnvironment(text string) map[string]string {
	environment := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line = strings.TrimLeft(line, " \t"); line == "" || line[0] == '#' {
			continue
		}
		if name, value, there := strings.Cut(line, "="); there {
			environment[name] = value
		}
	}
	return environment
}

// TestConsumers_RenderedValuesArriveIntact renders every template of the examples with values that attack whoever reads the
// file, and reads it with the real program or by its rule: nothing runs, no variable is added, no character is lost.
func TestConsumers_RenderedValuesArriveIntact(t *testing.T) {
	t.Parallel()
	h := newHostileWorld(t)
	all := maps.Clone(hostileValues)
	maps.Copy(all, hostileLines)
	type file struct{ example, value, path string }
	var files []file
	for name, value := range all {
		credential := h.keep(t, name, value)
		examples := []string{"impact.env.ctmpl", "google-ads.yaml.ctmpl", "apps.md"}
		if _, lines := hostileLines[name]; !lines {
			examples = append(examples, "impact.docker.env.ctmpl")
		}
		for _, example := range examples {
			files = append(files, file{example, value, h.render(t, example, credential)})
		}
	}
	if output, err := h.runAgent(t); err != nil {
		vaulttest.Fatalf(t, "the agent: %v: %s", err, output)
	}
	readBy := map[string][]string{
		"impact.env.ctmpl": {"sh", "bash", "systemd"}, "apps.md": {"sh", "bash", "systemd"}, "impact.docker.env.ctmpl": {"docker"},
	}
	variables := map[string][]string{
		"impact.env.ctmpl":        {"IMPACT_ACCOUNT_SID", "IMPACT_AUTH_TOKEN", "IMPACT_FINGERPRINT", "IMPACT_URL"},
		"impact.docker.env.ctmpl": {"IMPACT_ACCOUNT_SID", "IMPACT_AUTH_TOKEN", "IMPACT_FINGERPRINT", "IMPACT_URL"},
		"apps.md":                 {"IMPACT_ACCOUNT_SID", "IMPACT_AUTH_TOKEN", "IMPACT_URL"},
	}
	for _, f := range files {
		if f.example == "google-ads.yaml.ctmpl" {
			holdsInYAML(t, f.path, f.value)
		}
		for _, reader := range readBy[f.example] {
			got := environmentReaders[reader](t, f.path)
			if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, variables[f.example]) {
				t.Errorf("%s, with the value %q: %s has the variables %v", f.example, f.value, reader, names)
			}
			for name, value := range got {
				if value != f.value {
					t.Errorf("%s, with the value %q: %s has %s=%q", f.example, f.value, reader, name, value)
				}
			}
		}
	}
}

// holdsInYAML fails the test unless each field of google-ads.yaml is a string with the value.
func holdsInYAML(t *testing.T, path, value string) {
	t.Helper()
	var config fields
	if err := yaml.Unmarshal([]byte(readFile(t, path)), &config); err != nil {
		t.Errorf("with the value %q, google-ads.yaml is no YAML: %v", value, err)
	}
	for _, field := range []string{"client_id", "client_secret", "refresh_token", "login_customer_id"} {
		if config[field] != value {
			t.Errorf("google-ads.yaml has %q for %s instead of %q", config[field], field, value)
		}
	}
	if len(config) != len(googleAdsKeys) {
		t.Errorf("with the value %q, google-ads.yaml has the keys %v", value, slices.Sorted(maps.Keys(config)))
	}
}

// TestConsumers_DockerEnvironmentFileTakesNoLineBreak wants the agent to write nothing rather than a file in which a value is
// a variable of its own.
func TestConsumers_DockerEnvironmentFileTakesNoLineBreak(t *testing.T) {
	t.Parallel()
	for name, value := range hostileLines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHostileWorld(t)
			path := h.render(t, "impact.docker.env.ctmpl", h.keep(t, name, value))
			output, err := h.runAgent(t)
			if err == nil || !strings.Contains(output, "a value has a line break") {
				t.Errorf("the agent ends with %v: %s", err, output)
			}
			if _, err := os.Stat(path); err == nil {
				t.Errorf("the agent has written %q", readFile(t, path))
			}
		})
	}
}

// TestConsumers_EnvironmentRules pins the readers above by what their manuals say.
func TestConsumers_EnvironmentRules(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text            string
		systemd, docker map[string]string
	}{
		"plain":                   {"A=b c \n", map[string]string{"A": "b c"}, map[string]string{"A": "b c "}},
		"comments":                {"# A=b\nC=d\n", map[string]string{"C": "d"}, map[string]string{"C": "d"}},
		"single quotes":           {`A='b\"c'`, map[string]string{"A": `b\"c`}, map[string]string{"A": `'b\"c'`}},
		"double quotes":           {`A="b\"\$\x"`, map[string]string{"A": `b"$\x`}, map[string]string{"A": `"b\"\$\x"`}},
		"quotes within":           {`A=b'c'\d`, map[string]string{"A": `b'c'd`}, map[string]string{"A": `b'c'\d`}},
		"quotes side by side":     {`A='b'"'"'c'`, map[string]string{"A": `b'c`}, map[string]string{"A": `'b'"'"'c'`}},
		"lines in quotes":         {"A=\"b\nC=d\"\nE=f", map[string]string{"A": "b\nC=d", "E": "f"}, map[string]string{"A": `"b`, "C": `d"`, "E": "f"}},
		"a continued line":        {"A=b\\\nc", map[string]string{"A": "bc"}, map[string]string{"A": `b\`}},
		"white space that counts": {`A="b "  `, map[string]string{"A": "b "}, map[string]string{"A": `"b "  `}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := systemdEnvironment(tc.text); !maps.Equal(got, tc.systemd) {
				t.Errorf("systemd would have %q", got)
			}
			if got := dockerEnvironment(tc.text); !maps.Equal(got, tc.docker) {
				t.Errorf("docker would have %q", got)
			}
		})
	}
}
