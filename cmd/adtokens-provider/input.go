package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// input is what a token is tried with.
type input struct {
	Account    provider.Values `json:"account"`
	Options    provider.Values `json:"options"`
	Credential provider.Values `json:"credential"`
}

// part is one mapping of the input.
type part struct {
	name   string
	fields []provider.Field
	values provider.Values
	// needed says that every field has to be given.
	needed bool
}

func (in *input) parts(p *provider.Provider, kind *provider.TokenType) []part {
	return []part{
		{"account", p.AccountFields, in.Account, false},
		{"options", kind.Options, in.Options, false},
		{"credential", kind.Fields, in.Credential, true},
	}
}

// readInput asks on a terminal, and reads JSON from anything else.
func readInput(ctx context.Context, s cli.Streams, p *provider.Provider, kind *provider.TokenType) (*input, error) {
	in := &input{}
	if file, ok := s.In.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		in.fill()
		if err := in.ask(ctx, &terminal{fd: int(file.Fd()), out: s.Err, lines: bufio.NewReader(file)}, p, kind); err != nil {
			return nil, err
		}
	} else if err := in.decode(s.In); err != nil {
		return nil, err
	}
	return in, in.check(p, kind)
}

// fill makes the mappings that are missing.
func (in *input) fill() {
	for _, values := range []*provider.Values{&in.Account, &in.Options, &in.Credential} {
		if *values == nil {
			*values = provider.Values{}
		}
	}
}

// maxInput is far above what credentials have.
const maxInput = 1 << 20

// decode reads JSON. Its error says nothing of what was read, which is secret.
func (in *input) decode(from io.Reader) error {
	decoder := json.NewDecoder(io.LimitReader(from, maxInput))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(in)
	if err == nil {
		_, err = decoder.Token()
	}
	if !errors.Is(err, io.EOF) || in.Account == nil && in.Options == nil && in.Credential == nil {
		return errors.New(`standard input must be one JSON object such as {"account": {}, "options": {}, "credential": {"api_key": "…"}}, ` +
			"whose values are texts in quotes")
	}
	in.fill()
	return nil
}

// check brings the values into their canonical form and wants those that are needed.
func (in *input) check(p *provider.Provider, kind *provider.TokenType) error {
	for _, of := range in.parts(p, kind) {
		if err := of.check(); err != nil {
			return err
		}
	}
	for _, f := range p.AccountFields { // the engine stores these with an account
		if f.Endpoint && in.Account[f.Name] == "" && f.Default != "" {
			in.Account[f.Name] = f.Default
		}
	}
	if p.CheckAccount == nil {
		return nil
	}
	return p.CheckAccount(in.Account)
}

func (p part) check() error {
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		field, ok := provider.Lookup(p.fields, name)
		if !ok {
			return p.unknown(name)
		}
		canonical, err := field.Canonical(p.values[name])
		if err != nil {
			return err
		}
		if p.values[name] = canonical; canonical == "" {
			delete(p.values, name)
		}
	}
	for _, f := range p.fields {
		if p.needed && p.values[f.Name] == "" {
			return fmt.Errorf("%s is missing in %s: %s", f.Name, p.name, f.Description)
		}
	}
	return nil
}

func (p part) unknown(name string) error {
	names := provider.Names(p.fields)
	if len(names) == 0 {
		return fmt.Errorf("there is no %q in %s, which takes nothing", name, p.name)
	}
	if near := cli.Near(name, names); len(near) > 0 {
		return fmt.Errorf("there is no %q in %s; did you mean %s?", name, p.name, strings.Join(near, " or "))
	}
	return fmt.Errorf("there is no %q in %s, which takes %s", name, p.name, strings.Join(names, ", "))
}

// asker asks a person for one value.
type asker interface {
	ask(ctx context.Context, question string, secret bool) (string, error)
	// tell says why the value is asked for again.
	tell(problem string)
}

// ask asks for every value in turn. What has a default, or is no part of the credential, may be left empty.
func (in *input) ask(ctx context.Context, person asker, p *provider.Provider, kind *provider.TokenType) error {
	for _, of := range in.parts(p, kind) {
		for _, f := range of.fields {
			value, err := of.askFor(ctx, person, f)
			if err != nil {
				return err
			}
			if value != "" {
				of.values[f.Name] = value
			}
		}
	}
	return nil
}

// askFor asks until the value has the field's form.
func (p part) askFor(ctx context.Context, person asker, f provider.Field) (string, error) {
	question := f.Name + " (" + strings.TrimSuffix(f.Description, ".") + ")"
	if f.Default != "" {
		question += " [" + f.Default + "]"
	}
	for {
		given, err := person.ask(ctx, question+": ", f.Secret)
		if err != nil {
			return "", err
		}
		value, err := f.Canonical(given)
		switch {
		case err != nil:
			person.tell(err.Error())
		case value == "" && p.needed:
			person.tell(f.Name + " is needed")
		default:
			return value, nil
		}
	}
}

// terminal asks on one.
type terminal struct {
	fd    int
	lines *bufio.Reader
	out   io.Writer
}

func (t *terminal) tell(problem string) { fmt.Fprintln(t.out, printable(problem)) }

// ask gives up when ctx ends, and leaves the terminal as it was: one that does not show what is typed would be of no use.
func (t *terminal) ask(ctx context.Context, question string, secret bool) (string, error) {
	state, err := term.GetState(t.fd)
	if err != nil {
		return "", fmt.Errorf("the terminal cannot be used: %w", err)
	}
	fmt.Fprint(t.out, printable(question))
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := t.read(secret)
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		if errors.Is(a.err, io.EOF) {
			return "", errors.New("the input has ended before everything was answered")
		}
		return a.text, a.err
	case <-ctx.Done():
		_ = term.Restore(t.fd, state)
		fmt.Fprintln(t.out)
		return "", errors.New("interrupted")
	}
}

func (t *terminal) read(secret bool) (string, error) {
	if !secret {
		line, err := t.lines.ReadString('\n')
		if line != "" {
			err = nil // the last line may have no end
		}
		return line, err
	}
	text, err := term.ReadPassword(t.fd)
	fmt.Fprintln(t.out)
	return string(text), err
}
