package main

import (
	"context"
	_ "embed"
	"io"
	"strings"
	"text/template"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

const docUsage = `Usage: adtokens-provider doc FILE

Prints the page about a platform as Markdown: its token types, what to type, the runbooks, what is not confirmed, and the sources.
FILE is a definition, or the name of one of the catalogue.
`

func printPage(_ context.Context, args []string, s cli.Streams) error {
	flags := cli.Flags("adtokens-provider doc", docUsage)
	if err := cli.Parse(flags, args, s); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return cli.Usagef("name one definition")
	}
	d, err := loadDefinition(flags.Arg(0), s)
	if err != nil {
		return err
	}
	return writePage(s.Out, d)
}

//go:embed page.md.tmpl
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"code": code, "cell": cell, "sentence": sentence, "duration": provider.DurationText, "days": days, "field": fieldNotes,
	"account": accountCommand, "token": tokenCommand, "replaced": replaced, "proven": proven, "list": codeList,
	"handIn": handInCommand,
}).Parse(pageText))

// writePage writes the page about a platform.
func writePage(out io.Writer, d *definition.Definition) error {
	var page strings.Builder
	if err := pageTemplate.Execute(&page, d.Describe()); err != nil {
		return err
	}
	_, err := io.WriteString(out, page.String())
	return err
}

// code marks a text as inline code.
func code(text string) string {
	fence := "`"
	if strings.Contains(text, fence) {
		fence = "``"
	}
	return fence + text + fence
}

func codeList(names []string) string {
	marked := make([]string, len(names))
	for i, name := range names {
		marked[i] = code(name)
	}
	return strings.Join(marked, ", ")
}

// cell makes a text fit for a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// sentence begins with a capital letter and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "?") {
		text += "."
	}
	return text
}

// days writes whole days as people do.
func days(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "1 day"
	case d > 0 && d%day == 0:
		return countOf(int(d/day), "day")
	default:
		return provider.DurationText(d)
	}
}

// fieldNotes is what is to know of a field beside its description.
func fieldNotes(f definition.FieldDescription) string {
	var notes []string
	if f.Secret {
		notes = append(notes, "secret")
	}
	if f.Required {
		notes = append(notes, "required")
	}
	if len(f.Choices) > 0 {
		notes = append(notes, "one of "+codeList(f.Choices))
	}
	if f.Form != "" {
		notes = append(notes, f.Form)
	}
	if f.Default != "" {
		notes = append(notes, "default "+code(f.Default))
	}
	return strings.Join(notes, "; ")
}

// accountCommand makes an account with what it has to have.
func accountCommand(d definition.Description) string {
	var command strings.Builder
	command.WriteString("vault write adtokens/config/<account> provider=" + d.Name)
	for _, f := range d.Account {
		if f.Required && f.Default == "" {
			command.WriteString(" " + f.Name + "=…")
		}
	}
	return command.String()
}

// tokenCommand imports a value. The last secret comes from standard input, others from files.
func tokenCommand(t definition.TypeDescription) string {
	last := lastSecret(t)
	var command strings.Builder
	command.WriteString("vault write adtokens/tokens/<name> account=<account> type=" + t.Name)
	for _, f := range t.Options {
		if f.Required && f.Default == "" {
			command.WriteString(" " + f.Name + "=…")
		}
	}
	for _, f := range t.Fields {
		switch {
		case f.Name == last:
			command.WriteString(" " + f.Name + "=-")
		case f.Secret:
			command.WriteString(" " + f.Name + "=@FILE")
		default:
			command.WriteString(" " + f.Name + "=…")
		}
	}
	return command.String()
}

// handInCommand hands a new value in. Fields that are left out keep their value.
func handInCommand(t definition.TypeDescription) string {
	return "vault write adtokens/tokens/<name>/rotate " + lastSecret(t) + "=-"
}

func lastSecret(t definition.TypeDescription) string {
	last := ""
	for _, f := range t.Fields {
		if f.Secret {
			last = f.Name
		}
	}
	return last
}

// replaced says who can replace a value.
func replaced(t definition.TypeDescription) string {
	switch {
	case t.Rotates && t.RepeatsLost:
		return "the engine, by the platform's API; a person, or a reset hook"
	case t.Rotates:
		return "the engine, by the platform's API, where a lost answer needs a person; a person, or a reset hook"
	case t.Consents:
		return "a person, by a new consent (`consent`), or a reset hook"
	default:
		return "a person, or a reset hook"
	}
}

// proven says how a value is proven.
func proven(t definition.TypeDescription) string {
	text := code(t.Verify)
	if t.Verify == "" {
		text = "an access token is made from it"
	} else if t.Grant != "" {
		text += " with an access token that is made from it"
	}
	if t.Control != "" {
		text += "; a wrong " + code(t.Control) + " has to be refused beside it"
	}
	return text
}
