package backend

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// runbookWidth is how many columns a runbook's text has, so that it fits a terminal of 80. A command that is longer is kept on one
// line all the same, so that it can be copied.
const runbookWidth = 78

// readRunbook is the command that prints the runbook of a token. finishAnswer puts the mount in.
func readRunbook(name string) string {
	return "`vault read -field=runbook " + mountPlaceholder + "tokens/" + name + "/rotate`"
}

// tokenRunbook is a runbook for one token.
type tokenRunbook struct {
	provider.Runbook
	token *token
	// path is the token's, with the mount: adtokens/tokens/acme-rw.
	path string
	// source is how the engine gets a new value by itself, empty where it cannot.
	source rotation.Source
	// endsPrevious says that the engine ends a value which it has replaced itself.
	endsPrevious bool
}

// newTokenRunbook takes the platform's runbook, whose commands are for a token <name> of the mount adtokens/.
func newTokenRunbook(a *account, t *token, mount string) *tokenRunbook {
	r := &tokenRunbook{
		Runbook: t.kind.Runbook(a.call.Settings),
		token:   t, path: mount + "tokens/" + t.name, source: source(a, t),
		endsPrevious: endsReplaced(t.kind),
	}
	here := func(texts []string) []string {
		named := make([]string, len(texts))
		for i, text := range texts {
			named[i] = strings.ReplaceAll(text, "adtokens/tokens/<name>/", r.path+"/")
		}
		return named
	}
	if t.kind.Consent != nil {
		r.Steps = append(consentSteps(t), r.Steps...)
	}
	r.Steps, r.Notes = here(r.Steps), here(r.Notes)
	r.Previous = here([]string{r.Previous})[0]
	return r
}

// text is the whole runbook for a terminal: the numbered steps, what becomes of the old value, what to hand in and how, and the notes.
func (r *tokenRunbook) text() string {
	var p terminalPage
	switch {
	case r.source != "":
		r.writeAutomatic(&p)
	case r.token.Current == nil:
		p.item("", "This token has no value yet. If one is in use today, hand that in, and reset nothing. Else:")
		p.space()
	}
	p.numbered(r.Steps)
	if r.ConsoleURL != "" {
		p.section("Console")
		p.item("  ", r.ConsoleURL)
	}
	if r.Role != "" {
		p.section("Who can do it")
		p.item("  ", r.Role)
	}
	p.section("The old value")
	p.item("  ", r.Previous)
	if r.endsPrevious {
		when := "after rotation_grace_period (" + provider.DurationText(seconds(r.token.RotationGracePeriod)) + ")"
		if r.token.retireWhen() == retireAdopted {
			when = "once everybody who has read the token within reader_window (" + provider.DurationText(r.token.readerWindow()) + ") has read a newer one"
		}
		p.item("  ", "The engine ends a value that it has replaced itself, "+when+".")
	}
	if r.token.kind.ResetSemantics != provider.None {
		r.writeHandIn(&p)
	}
	if len(r.Notes) > 0 {
		p.section("Notes")
	}
	for _, note := range r.Notes {
		p.item("- ", note)
	}
	return p.String()
}

func (r *tokenRunbook) writeAutomatic(p *terminalPage) {
	from := "from the account's reset hook"
	if r.source != rotation.SourceHook {
		from = "by the provider's API"
	}
	p.numbered([]string{
		fmt.Sprintf("`vault write -f %s/rotate` has the engine get a new value %s, verify it and publish it. The command waits up to %s; "+
			"a rotation that takes longer goes on by itself.", r.path, from, provider.DurationText(rotateWait)),
		fmt.Sprintf("`vault read %s` tells how far it is (version, rotation_state), and in last_error what is in its way.", r.path),
	})
	p.section("Only where the engine cannot, a person does it")
}

// writeHandIn says which fields a person hands in, and how, without the value being seen.
func (r *tokenRunbook) writeHandIn(p *terminalPage) {
	secret := r.token.secretField()
	others, isFile := "", false
	for _, f := range r.token.kind.Fields {
		switch {
		case f.Name == secret:
			isFile = f.File
		case f.Secret:
			others += f.Name + "=@FILE "
		default:
			others += f.Name + "=… "
		}
	}
	p.section("What to hand in")
	fields, beside := fieldNames(r.token.kind.Fields), "reason=\"…\" is kept in the history."
	if r.token.Current != nil {
		others = ""
		beside = fmt.Sprintf("reason=\"…\" is kept in the history, and cas=%[1]d refuses the rotation if the version is not %[1]d any more.",
			r.token.Number())
		if len(r.token.kind.Fields) > 1 {
			fields += ". Those that you leave out keep their value."
		}
	}
	p.item("  ", fields)
	p.item("  ", "Beside that, "+beside)
	p.space()
	if isFile {
		p.item("  ", fmt.Sprintf("`%[1]s=@FILE` reads the value from a file, `%[1]s=-` from standard input.", secret))
		return
	}
	p.item("  ", fmt.Sprintf("`%s=-` reads the value from standard input, where the terminal shows what you paste. "+
		"In bash and zsh this shows nothing, and leaves nothing in the shell's history; paste the value and press Enter:", secret))
	p.space()
	p.verbatim("    (read -rs value && printf %s \"$value\" |",
		"      vault write "+r.path+"/rotate "+others+secret+"=-)")
}

// terminalPage is text in lines of at most runbookWidth columns.
type terminalPage struct{ lines []string }

func (p *terminalPage) String() string { return strings.Join(p.lines, "\n") }

func (p *terminalPage) space() { p.lines = append(p.lines, "") }

func (p *terminalPage) verbatim(lines ...string) { p.lines = append(p.lines, lines...) }

// section begins one. Its title is on a line of its own.
func (p *terminalPage) section(title string) {
	p.verbatim("", title+":")
}

func (p *terminalPage) numbered(items []string) {
	for i, text := range items {
		p.item(fmt.Sprintf("%d. ", i+1), text)
	}
}

// item writes a text whose first line begins with the lead and whose others are indented as far.
func (p *terminalPage) item(lead, text string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(lead))
	line := lead
	for i, word := range unbrokenWords(text) {
		switch {
		case i == 0:
			line += word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= runbookWidth:
			line += " " + word
		default:
			p.verbatim(line)
			line = indent + word
		}
	}
	p.verbatim(line)
}

// unbrokenWords splits a text at its spaces, but not within `commands`: a command that is broken into lines cannot be copied.
func unbrokenWords(text string) []string {
	inCommand := false
	return strings.FieldsFunc(text, func(c rune) bool {
		if c == '`' {
			inCommand = !inCommand
		}
		return c == ' ' && !inCommand
	})
}

// noCredential tells the reader of an empty token how to fill it.
func noCredential(t *token) error {
	return badInput("token %q has no credential yet; hand it in with %s; %s tells where it is", t.name, t.handInCommand(), readRunbook(t.name))
}
