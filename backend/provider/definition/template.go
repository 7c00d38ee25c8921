package definition

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/yosida95/uritemplate/v3"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// template is text with variables, of RFC 6570: {name} and {+name}.
type template struct {
	parts []part
	// address is the same template where it stands in an address, in which {name} is percent-encoded; nil elsewhere.
	address *uritemplate.Template
}

// part is literal text, or a variable.
type part struct {
	literal, variable string
	// raw is for {+name}.
	raw bool
}

// variables are what templates get, by their full names. Those that are not there are undefined.
type variables map[string]string

var (
	braces = provider.Pattern(`\{[^{}]*\}?`)
	// meant is how braces begin that can only be meant as a variable.
	meant   = provider.Pattern(`^\{[^A-Za-z]?(account|credential|option|grant|current|consent)\.`)
	oneName = provider.Pattern(`^\{(\+?)([a-z][a-z0-9_]*\.[a-z][a-z0-9_]*)\}$`)
)

const oneVariable = "a pair of braces holds one variable and no modifier, such as {credential.api_key} or {+account.base_url}"

// parseAddress parses a template of an address, in which every brace belongs to a variable.
func parseAddress(text string) (*template, error) {
	t := &template{}
	rest := text
	for rest != "" {
		open := strings.IndexAny(rest, "{}")
		if open < 0 {
			t.parts = append(t.parts, part{literal: rest})
			break
		}
		if open > 0 {
			t.parts = append(t.parts, part{literal: rest[:open]})
		}
		rest = rest[open:]
		pair := braces().FindString(rest)
		match := oneName().FindStringSubmatch(pair)
		if match == nil || !strings.HasPrefix(rest, pair) {
			return nil, errors.New(oneVariable)
		}
		t.parts = append(t.parts, part{variable: match[2], raw: match[1] != ""})
		rest = rest[len(pair):]
	}
	var err error
	if t.address, err = uritemplate.New(text); err != nil {
		return nil, fmt.Errorf("is no template of RFC 6570: percent-encode characters that an address does not have")
	}
	return t, nil
}

// parseText parses a template outside of addresses. There a pair of braces that cannot be meant as a variable stands for itself, as
// in GraphQL. known are the names that a variable can have.
func parseText(text string, known func(name string) bool) (*template, error) {
	t := &template{}
	for text != "" {
		at := braces().FindStringIndex(text)
		if at == nil {
			break
		}
		pair := text[at[0]:at[1]]
		match := oneName().FindStringSubmatch(pair)
		bare := strings.Trim(pair, "{+}")
		switch {
		case match == nil && meant().MatchString(pair):
			return nil, fmt.Errorf("%s is no variable: %s", quote(pair), oneVariable)
		case match == nil && strings.HasSuffix(pair, "}") && known("credential."+bare):
			return nil, fmt.Errorf("%s is no variable; write {credential.%s}", quote(pair), bare)
		case match == nil && strings.HasSuffix(pair, "}") && known("account."+bare):
			return nil, fmt.Errorf("%s is no variable; write {account.%s}", quote(pair), bare)
		case match == nil:
			t.parts = append(t.parts, part{literal: text[:at[1]]})
		default:
			t.parts = append(t.parts, part{literal: text[:at[0]]}, part{variable: match[2], raw: match[1] != ""})
		}
		text = text[at[1]:]
	}
	if text != "" {
		t.parts = append(t.parts, part{literal: text})
	}
	return t, nil
}

// literals is the template with a letter in the place of each variable.
func (t *template) literals() string {
	var text strings.Builder
	for _, p := range t.parts {
		if text.WriteString(p.literal); p.variable != "" {
			text.WriteByte('x')
		}
	}
	return text.String()
}

// names are the variables of the template, each once.
func (t *template) names() []string {
	var names []string
	for _, p := range t.parts {
		if p.variable != "" && !slices.Contains(names, p.variable) {
			names = append(names, p.variable)
		}
	}
	return names
}

// undefined is the first variable without a value; empty where all have one.
func (t *template) undefined(v variables) string {
	for _, name := range t.names() {
		if _, defined := v[name]; !defined {
			return name
		}
	}
	return ""
}

// text expands the template as plain text. It says false where the only variable is undefined.
func (t *template) text(v variables) (string, bool) {
	if names := t.names(); len(names) == 1 && t.undefined(v) != "" {
		return "", false
	}
	var expanded strings.Builder
	for _, p := range t.parts {
		expanded.WriteString(p.literal)
		if p.variable != "" {
			expanded.WriteString(v[p.variable])
		}
	}
	return expanded.String(), true
}

// encoded expands the template of an address. Every variable has to have a value.
func (t *template) encoded(v variables) (string, error) {
	if name := t.undefined(v); name != "" {
		return "", errors.New(name)
	}
	values := uritemplate.Values{}
	for _, name := range t.names() {
		values.Set(name, uritemplate.String(v[name]))
	}
	return t.address.Expand(values)
}
