package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

const checkUsage = `Usage: adtokens-provider check FILE...

Reads definitions and prints every mistake with its line: what the schema does not allow, templates and expressions that do not
fit, and examples whose outcome is another one. Every token type has to have examples: of verify (or of the grant, where nothing
else verifies) an accepted and a rejected one, of every other step at least one. - is standard input.

Nothing is sent anywhere.
`

func check(ctx context.Context, args []string, s cli.Streams) error {
	flags := cli.Flags("adtokens-provider check", checkUsage)
	if err := cli.Parse(flags, args, s); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return cli.Usagef("name the files to check, or - for standard input")
	}
	failed, found := 0, 0
	for _, file := range flags.Args() {
		document, err := readDocument(file, s)
		if err != nil {
			return err
		}
		mistakes := mistakesOf(ctx, document)
		if len(mistakes) == 0 {
			fmt.Fprintf(s.Out, "%s: nothing is wrong\n", printable(file))
			continue
		}
		failed, found = failed+1, found+len(mistakes)
		for _, m := range mistakes {
			fmt.Fprintln(s.Out, printable(file+located(m)))
		}
	}
	if failed > 0 {
		return fmt.Errorf("found %s in %s of %d", countOf(found, "mistake"), countOf(failed, "file"), flags.NArg())
	}
	return nil
}

// mistakesOf finds what is wrong with a document, the outcomes of its examples and those that are missing included.
func mistakesOf(ctx context.Context, document []byte) definition.Mistakes {
	d, err := parse(document)
	if mistakes, ok := errors.AsType[definition.Mistakes](err); ok {
		return mistakes
	}
	if err != nil {
		return definition.Mistakes{{Problem: err.Error()}}
	}
	return append(d.RunExamples(ctx), d.MissingExamples()...)
}

// located writes a mistake behind the name of its file, as compilers do.
func located(m definition.Mistake) string {
	text := ": "
	if m.Line > 0 {
		text = fmt.Sprintf(":%d: ", m.Line)
	}
	if m.Place != "" {
		text += m.Place + ": "
	}
	return text + m.Problem
}
