package definition

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// field is an endpoint, a setting, a field of a credential, or an option.
type field struct {
	*fieldDocument
	name       string
	isEndpoint bool
	pattern    *matcher
	refusals   []refusal
}

type refusal struct {
	*matcher
	problem string
}

func newField(m member[*fieldDocument], isEndpoint bool) *field {
	f := &field{fieldDocument: m.Value, name: m.Name, isEndpoint: isEndpoint}
	if m.Value.Pattern != "" {
		f.pattern = newMatcher(m.Value.Pattern)
	}
	for _, r := range m.Value.Refuse {
		f.refusals = append(f.refusals, refusal{newMatcher(r.Pattern), r.Problem})
	}
	return f
}

// newFields keeps the document's order.
func newFields(members ordered[*fieldDocument], areEndpoints bool) []*field {
	fields := make([]*field, len(members))
	for i, m := range members {
		fields[i] = newField(m, areEndpoints)
	}
	return fields
}

// provided is the field as the engine knows it.
func (f *field) provided() provider.Field {
	return provider.Field{
		Name: f.name, Description: f.Description, Secret: f.Secret, Default: f.Default,
		Endpoint: f.isEndpoint || f.Endpoint, Check: f.check,
	}
}

// check is the Check of the field.
func (f *field) check(value string) (string, error) {
	if f.isEndpoint {
		address, err := provider.EndpointURL(value)
		if err != nil {
			return "", err
		}
		if u, err := url.Parse(address); err != nil || climbs(u.Path) {
			return "", errors.New("must have no . and .. as an element of its path: servers take those away")
		}
		value = address
	}
	if problem := f.refusal(value); problem != "" {
		return "", errors.New(problem)
	}
	switch {
	case f.isEndpoint:
	case len(f.Choices.names) > 0:
		if !slices.Contains(f.Choices.names, value) {
			return "", errors.New("must be one of " + oneOf(f.Choices.names))
		}
	case f.pattern != nil:
		if !f.pattern.matches(value) {
			return "", errors.New("must be " + f.form())
		}
		fallthrough
	default:
		if err := f.checkLine(value); err != nil {
			return "", err
		}
	}
	return value, nil
}

// refusal completes "<name> …" for a value that is a known mistake; empty for any other.
func (f *field) refusal(value string) string {
	for _, r := range f.refusals {
		if r.matches(value) {
			return r.problem
		}
	}
	return ""
}

// form completes "must be …".
func (f *field) form() string {
	if f.Form != "" {
		return f.Form
	}
	return "a value that matches " + f.Pattern
}

// checkLine wants one line of printable characters, of a secret one without blanks. That holds whatever the pattern takes: values go
// into headers.
func (f *field) checkLine(value string) error {
	switch {
	case strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("must be one line of printable characters")
	case f.Secret && f.pattern == nil && strings.ContainsFunc(value, unicode.IsSpace):
		return errors.New("must be one line without blanks")
	}
	return nil
}

// want completes "<name> is missing; give …".
func (f *field) want() string {
	switch {
	case f.isEndpoint:
		return "an address such as https://api.example.com"
	case len(f.Choices.names) > 0:
		return "one of " + oneOf(f.Choices.names)
	case f.Form != "":
		return f.Form
	default:
		return "a value: " + f.Description
	}
}

// expanded is what a template gets for a value, and whether it gets one.
func (f *field) expanded(value string) (string, bool) {
	if value == "" && !f.isEndpoint {
		value = f.Default
	}
	if f.Choices.values != nil && value != "" {
		mapped, known := f.Choices.values[value]
		return mapped, known
	}
	return value, value != ""
}

// lookup finds a field by its name; nil where there is none.
func lookup(fields []*field, name string) *field {
	for _, f := range fields {
		if f.name == name {
			return f
		}
	}
	return nil
}

func namesOf(fields []*field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}
