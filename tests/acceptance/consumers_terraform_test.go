//go:build unix

package acceptance

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// TestTerraform_DefinesTokensOnAnEmptyMount does what Terraform and its Vault provider do with the example: nothing may be in
// the way of the first plan, the apply, and the plan after it.
func TestTerraform_DefinesTokensOnAnEmptyMount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := parseTerraform(t, "terraform.tf", readDoc(t, "docs/consumers/terraform.tf"))
	for _, run := range []string{"the first run", "the second run"} {
		for _, problem := range c.run(engineMount{t, w}) {
			t.Errorf("%s: %s", run, problem)
		}
		if len(c.written) != 2 {
			t.Errorf("%s defines %v", run, c.written)
		}
		if version := c.outputs["acme_rw_version"]; version != "0" {
			t.Errorf("%s: the output is %q", run, version)
		}
	}
	tellsNoSecret(t, "what goes into the state", c.state)
}

// TestTerraform_UsesAValueThatWasHandedIn runs the second example before the first value and after it.
func TestTerraform_UsesAValueThatWasHandedIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	definition := parseTerraform(t, "terraform.tf", readDoc(t, "docs/consumers/terraform.tf"))
	app := parseTerraform(t, "terraform-app.tf", readDoc(t, "docs/consumers/terraform-app.tf"))
	if problems := definition.run(engineMount{t, w}); len(problems) > 0 {
		t.Fatal(problems)
	}
	if problems := app.run(engineMount{t, w}); len(problems) != 1 || !strings.Contains(problems[0], "/rotate") {
		t.Errorf("without a value: %v", problems)
	}

	w.write(t, "config/acme-impact", fields{"base_url": w.sim.ImpactURL, "ca_cert": w.sim.CACert})
	credentials := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t).ReadWrite
	w.write(t, "tokens/acme-rw/rotate", fields{"account_sid": credentials.AccountSID, "auth_token": credentials.AuthToken})
	if problems := app.run(engineMount{t, w}); len(problems) > 0 {
		t.Error(problems)
	}
	used := app.locals["acme_rw"]
	used, marks := used.UnmarkDeep()
	if _, ephemeral := marks[ephemeralMark]; !ephemeral {
		t.Error("the value would be kept")
	}
	if token := used.GetAttr("auth_token").AsString(); token != credentials.AuthToken {
		t.Error("the example does not get the value")
	}
	version, _ := app.locals["acme_rw_version"].Unmark()
	if version.Equals(cty.NumberIntVal(1)).False() {
		t.Errorf("the version is %v", version)
	}
	tellsNoSecret(t, "what goes into the state", app.state)
}

// vaultMount is where a configuration is carried out. Paths are below the mount.
type vaultMount interface {
	read(path string) (fields, error)
	write(path string, data fields) error
}

// engineMount is a mount of the engine.
type engineMount struct {
	t *testing.T
	w *world
}

func (m engineMount) read(path string) (fields, error) {
	secret, err := m.w.Read(m.t.Context(), path)
	if err != nil {
		return nil, err
	}
	if secret == nil {
		return nil, errors.New("there is nothing at " + path)
	}
	return secret.Data, nil
}

func (m engineMount) write(path string, data fields) error {
	_, err := m.w.Write(m.t.Context(), path, data)
	return err
}

// Marks of values, as Terraform has them: a sensitive one is not shown, an ephemeral one not kept.
const (
	sensitiveMark = "sensitive"
	ephemeralMark = "ephemeral"
)

// terraform is a configuration, and what its last run has made of it.
type terraform struct {
	body *hclsyntax.Body

	problems []string
	// written are the paths that were written, state what is kept in clear, outputs what is shown or at hand.
	written []string
	state   fields
	outputs map[string]string
	locals  map[string]cty.Value
	// values are those of data sources and ephemeral resources.
	values map[string]map[string]cty.Value
}

func parseTerraform(t *testing.T, name, text string) *terraform {
	t.Helper()
	file, problems := hclsyntax.ParseConfig([]byte(text), name, hcl.InitialPos)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	return &terraform{body: file.Body.(*hclsyntax.Body)}
}

// run does what terraform apply does, and returns what it would stop at or complain of. The rules are those of Terraform 1.11 to
// 1.15, OpenTofu 1.12 and version 5.9 of the Vault provider.
func (c *terraform) run(m vaultMount) []string {
	c.problems, c.written, c.state, c.outputs, c.locals = nil, nil, fields{}, map[string]string{}, map[string]cty.Value{}
	c.values = map[string]map[string]cty.Value{"data": {}, "ephemeral": {}}
	for _, block := range c.body.Blocks {
		if !slices.Contains([]string{"terraform", "locals", "resource", "data", "ephemeral", "output"}, block.Type) {
			c.report("what a block %s does is not known here", block.Type)
		}
	}
	// Ephemeral resources are read when a plan is made, before anything is written.
	c.readAll(m, "ephemeral")
	for _, endpoint := range c.blocks("resource", "vault_generic_endpoint") {
		c.apply(m, endpoint)
	}
	c.readAll(m, "data")
	for _, block := range c.blocks("locals", "") {
		for name := range block.Body.Attributes {
			if value, ok := c.evaluate(block, name); ok {
				c.locals[name] = value
			}
		}
	}
	for _, output := range c.blocks("output", "") {
		c.output(output)
	}
	return c.problems
}

func (c *terraform) report(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// blocks returns the blocks of a type, those with the first label if there is one.
func (c *terraform) blocks(kind, label string) []*hclsyntax.Block {
	var blocks []*hclsyntax.Block
	for _, block := range c.body.Blocks {
		if block.Type == kind && (label == "" || block.Labels[0] == label) {
			blocks = append(blocks, block)
		}
	}
	return blocks
}

// readAll reads the data sources or the ephemeral resources. All that the provider reads is sensitive.
func (c *terraform) readAll(m vaultMount, kind string) {
	for _, block := range c.blocks(kind, "vault_generic_secret") {
		c.takes(block, "path")
		data, err := m.read(c.path(block))
		if err != nil {
			c.report("%s %v: %v", kind, block.Labels, err)
			continue
		}
		values := map[string]cty.Value{}
		for field, value := range data {
			values[field] = cty.StringVal(providerText(value))
		}
		read := cty.MapVal(values).Mark(sensitiveMark)
		if kind == "ephemeral" {
			read = read.Mark(ephemeralMark)
		} else {
			c.state[strings.Join(block.Labels, ".")] = data
		}
		c.values[kind][block.Labels[1]] = cty.ObjectVal(map[string]cty.Value{"data": read})
	}
}

// providerText is how the provider makes a text of what is read: of anything else its JSON.
func providerText(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	text, _ := json.Marshal(value) // it came from JSON
	return string(text)
}

// apply writes an endpoint and reads it back: the next plan has a difference wherever a field reads otherwise than it was written.
func (c *terraform) apply(m vaultMount, endpoint *hclsyntax.Block) {
	c.takes(endpoint, "path", "ignore_absent_fields", "data_json")
	path := c.path(endpoint)
	text, ok := c.evaluate(endpoint, "data_json")
	if !ok {
		return
	}
	text, marks := text.UnmarkDeep()
	if _, ephemeral := marks[ephemeralMark]; ephemeral {
		c.report("%s: data_json would keep an ephemeral value", path)
		return
	}
	written := fields{}
	if err := json.Unmarshal([]byte(text.AsString()), &written); err != nil {
		c.report("%s: %v", path, err)
		return
	}
	c.state[path] = written
	if err := m.write(path, written); err != nil {
		c.report("%s: %v", path, err)
		return
	}
	c.written = append(c.written, path)
	read, err := m.read(path)
	if err != nil {
		c.report("%s: %v", path, err)
		return
	}
	for field, value := range written {
		if got := read[field]; providerText(got) != providerText(value) {
			c.report("%s: every plan would have a difference: %s is %s, and was written as %s", path, field, providerText(got), providerText(value))
		}
	}
	if ignores, ok := c.evaluate(endpoint, "ignore_absent_fields"); (!ok || ignores.False()) && len(read) > len(written) {
		c.report("%s: every plan would have a difference: reading returns more than was written", path)
	}
}

// output shows a value, unless it is sensitive: then it has to say so.
func (c *terraform) output(block *hclsyntax.Block) {
	c.takes(block, "value", "sensitive", "description")
	value, ok := c.evaluate(block, "value")
	if !ok {
		return
	}
	value, marks := value.UnmarkDeep()
	if _, ephemeral := marks[ephemeralMark]; ephemeral {
		c.report("the output %s would keep an ephemeral value", block.Labels[0])
	}
	if _, sensitive := marks[sensitiveMark]; sensitive {
		if said, ok := c.evaluate(block, "sensitive"); !ok || said.False() {
			c.report("the output %s refers to sensitive values, and is not sensitive itself", block.Labels[0])
		}
	}
	c.outputs[block.Labels[0]] = value.AsString()
}

// path evaluates a path, which has to be below the mount of the examples.
func (c *terraform) path(block *hclsyntax.Block) string {
	value, ok := c.evaluate(block, "path")
	if !ok {
		c.report("%v has no path", block.Labels)
		return ""
	}
	path, below := strings.CutPrefix(value.AsString(), "adtokens/")
	if !below {
		c.report("the path %s is not below the mount", value.AsString())
	}
	return path
}

// takes reports arguments that the block does not take, and a depends_on that names no block.
func (c *terraform) takes(block *hclsyntax.Block, arguments ...string) {
	for name, argument := range block.Body.Attributes {
		switch {
		case name == "depends_on":
			for _, traversal := range argument.Expr.Variables() {
				kind, label := traversal.RootName(), traversal[1].(hcl.TraverseAttr).Name
				if !slices.ContainsFunc(c.blocks("resource", kind), func(other *hclsyntax.Block) bool { return other.Labels[1] == label }) {
					c.report("%v depends on %s.%s, which is not there", block.Labels, kind, label)
				}
			}
		case !slices.Contains(arguments, name):
			c.report("%v takes no argument %s", block.Labels, name)
		}
	}
}

// evaluate reports what is wrong with an argument that is there.
func (c *terraform) evaluate(block *hclsyntax.Block, argument string) (cty.Value, bool) {
	attribute := block.Body.Attributes[argument]
	if attribute == nil {
		return cty.NilVal, false
	}
	variables := map[string]cty.Value{"local": cty.ObjectVal(c.locals)}
	for kind, values := range c.values {
		variables[kind] = cty.ObjectVal(map[string]cty.Value{"vault_generic_secret": cty.ObjectVal(values)})
	}
	value, problems := attribute.Expr.Value(&hcl.EvalContext{Variables: variables, Functions: map[string]function.Function{
		"jsonencode": stdlib.JSONEncodeFunc, "tonumber": stdlib.MakeToFunc(cty.Number),
	}})
	if problems.HasErrors() {
		if len(c.problems) == 0 { // else it is what could not be read
			c.report("%v: %v", block.Labels, problems)
		}
		return cty.NilVal, false
	}
	return value, true
}

// keptMount is a mount that returns what was written, and the given fields beside it.
type keptMount struct{ entries map[string]fields }

func (m keptMount) read(path string) (fields, error) {
	if entry, there := m.entries[path]; there {
		return entry, nil
	}
	return nil, errors.New("there is nothing at " + path)
}

func (m keptMount) write(path string, data fields) error {
	entry := fields{"version": 0}
	for field, value := range data {
		if text, ok := value.(string); ok && strings.HasSuffix(text, "s") && strings.Trim(text, "0123456789") == "s" {
			value = json.Number(strings.TrimSuffix(text, "s")) // as Vault reads a duration back
		}
		entry[field] = value
	}
	m.entries[path] = entry
	return nil
}

// TestTerraform_Rules pins the rules by which the examples are judged.
func TestTerraform_Rules(t *testing.T) {
	t.Parallel()
	const token = `
resource "vault_generic_endpoint" "a" {
  path                 = "adtokens/tokens/a"
  ignore_absent_fields = true
  data_json            = jsonencode({ type = "scoped", refresh_ttl = 60 })
}
data "vault_generic_secret" "a" {
  depends_on = [vault_generic_endpoint.a]
  path       = "adtokens/tokens/a"
}
`
	tests := map[string]struct{ text, problem string }{
		"a definition": {token, ""},
		"a sensitive output": {
			token + `output "v" {
  value     = data.vault_generic_secret.a.data["version"]
  sensitive = true
}`, "",
		},
		"an output that does not say that it is sensitive": {
			token + `output "v" { value = data.vault_generic_secret.a.data["version"] }`, "is not sensitive itself",
		},
		"a part of an output": {
			token + `output "v" { value = "version ${data.vault_generic_secret.a.data["version"]}" }`, "is not sensitive itself",
		},
		"an ephemeral resource beside its definition": {
			token + `ephemeral "vault_generic_secret" "a" { path = "adtokens/tokens/a" }`, "there is nothing at tokens/a",
		},
		"an ephemeral resource that is there": {
			`ephemeral "vault_generic_secret" "b" { path = "adtokens/creds/b" }
locals { token = ephemeral.vault_generic_secret.b.data["auth_token"] }`, "",
		},
		"an ephemeral value that is kept": {
			`ephemeral "vault_generic_secret" "b" { path = "adtokens/creds/b" }
resource "vault_generic_endpoint" "a" {
  path                 = "adtokens/tokens/a"
  ignore_absent_fields = true
  data_json            = jsonencode({ auth_token = ephemeral.vault_generic_secret.b.data["auth_token"] })
}`, "would keep an ephemeral value",
		},
		"an ephemeral value as an output": {
			`ephemeral "vault_generic_secret" "b" { path = "adtokens/creds/b" }
output "v" {
  value     = ephemeral.vault_generic_secret.b.data["auth_token"]
  sensitive = true
}`, "would keep an ephemeral value",
		},
		"a duration with a unit":                 {strings.Replace(token, "= 60", `= "60s"`, 1), "every plan would have a difference: refresh_ttl"},
		"more fields than were written":          {strings.Replace(token, "= true", "= false", 1), "reading returns more"},
		"a dependency that is not there":         {strings.Replace(token, "[vault_generic_endpoint.a]", "[vault_generic_endpoint.b]", 1), "which is not there"},
		"an argument that the provider does not": {strings.Replace(token, "ignore_absent_fields", "ignore_absent", 1), "takes no argument"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := keptMount{map[string]fields{"creds/b": {"auth_token": "value"}}}
			problems := parseTerraform(t, name, tc.text).run(m)
			if all := strings.Join(problems, "\n"); tc.problem == "" && all != "" || !strings.Contains(all, tc.problem) {
				t.Errorf("the problems are: %s", all)
			}
		})
	}
}
