package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// standardInput stands for it where a file is named.
const standardInput = "-"

// maxRead is more than the longest definition has, so that a longer one is told from it.
const maxRead = 1 << 20

// readDocument reads a file, or standard input.
func readDocument(file string, s cli.Streams) ([]byte, error) {
	if file == standardInput {
		return io.ReadAll(io.LimitReader(s.In, maxRead))
	}
	f, err := os.Open(file) //nolint:gosec // the user names the file
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxRead))
}

// loadDefinition reads a definition from a file. What is no file may be the name of one of the catalogue.
func loadDefinition(file string, s cli.Streams) (*definition.Definition, error) {
	document, err := readDocument(file, s)
	if errors.Is(err, fs.ErrNotExist) {
		if document, ok := catalogue.Document(file); ok {
			return definition.ParseCatalogue(document, definition.Taken())
		}
		return nil, fmt.Errorf("%w; \"adtokens-provider list\" names what the catalogue has", err)
	}
	if err != nil {
		return nil, err
	}
	d, err := parse(document)
	if mistakes, ok := errors.AsType[definition.Mistakes](err); ok {
		return nil, fmt.Errorf("%s has %s; \"adtokens-provider check %s\" tells which", file, countOf(len(mistakes), "mistake"), file)
	}
	return d, err
}

// parse takes a document of the catalogue for what it is, wherever it was read from, so that it can be tried as it is.
func parse(document []byte) (*definition.Definition, error) {
	for _, name := range catalogue.Names() {
		if own, _ := catalogue.Document(name); string(own) == string(document) {
			return definition.ParseCatalogue(document, definition.Taken())
		}
	}
	return definition.Parse(document, definition.Taken())
}

const listUsage = `Usage: adtokens-provider list

Lists the definitions that are built into the engine: name, token types, title. Those with a * rest on facts of which some are
not confirmed; their notes say which.
`

func list(_ context.Context, args []string, s cli.Streams) error {
	flags := cli.Flags("adtokens-provider list", listUsage)
	if err := cli.Parse(flags, args, s); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return cli.Usagef("list takes no argument")
	}
	unverified := false
	table := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	for _, name := range catalogue.Names() {
		document, _ := catalogue.Document(name)
		d, err := definition.Load(document)
		if err != nil {
			return fmt.Errorf("the catalogue's %s: %w", name, err)
		}
		p := d.Provider()
		types, mark := make([]string, len(p.Types)), ""
		for i, kind := range p.Types {
			types[i] = kind.Name
		}
		if p.Unverified {
			mark, unverified = " *", true
		}
		fmt.Fprintf(table, "%s\t%s\t%s%s\n", name, strings.Join(types, ", "), p.Title, mark)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if unverified { // beside the table, so that scripts get the table alone
		fmt.Fprintln(s.Err, "* not all facts are confirmed: the notes say which, see \"adtokens-provider show NAME\"")
	}
	return nil
}

const showUsage = `Usage: adtokens-provider show NAME

Prints a definition of the catalogue as it was written. To make one of your own of it, change its name, then the rest.
`

func show(_ context.Context, args []string, s cli.Streams) error {
	flags := cli.Flags("adtokens-provider show", showUsage)
	if err := cli.Parse(flags, args, s); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return cli.Usagef("name one definition of the catalogue; \"adtokens-provider list\" names them all")
	}
	name := flags.Arg(0)
	document, ok := catalogue.Document(name)
	if !ok {
		if near := cli.Near(name, catalogue.Names()); len(near) > 0 {
			return fmt.Errorf("the catalogue has no %q; did you mean %s? \"adtokens-provider list\" names what it has", name, strings.Join(near, " or "))
		}
		return fmt.Errorf("the catalogue has no %q; \"adtokens-provider list\" names what it has", name)
	}
	_, err := s.Out.Write(document)
	return err
}

const schemaUsage = `Usage: adtokens-provider schema

Prints the JSON Schema of definitions. An editor that knows it completes names and marks mistakes while you write:

  # yaml-language-server: $schema=provider-definition.schema.json

is the first line of a document for editors that use the YAML language server. "check" finds what no schema can.
`

func printSchema(_ context.Context, args []string, s cli.Streams) error {
	flags := cli.Flags("adtokens-provider schema", schemaUsage)
	if err := cli.Parse(flags, args, s); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return cli.Usagef("schema takes no argument")
	}
	_, err := s.Out.Write(definition.Schema())
	return err
}

// countOf writes a number of things.
func countOf(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

// printable leaves out what would act on a terminal: errors quote documents, which may be somebody else's.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
