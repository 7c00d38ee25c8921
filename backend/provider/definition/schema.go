package definition

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

//go:embed schema.json
var schemaJSON []byte

// Schema is the JSON Schema of definitions.
func Schema() []byte { return bytes.Clone(schemaJSON) }

// schema is the JSON Schema, ready to check with, and as it is written.
type schema struct {
	*jsonschema.Schema
	written any
}

var loadSchema = sync.OnceValue(func() *schema {
	written, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaJSON))
	if err != nil {
		panic(fmt.Sprintf("the schema is no JSON: %v", err))
	}
	compiler := jsonschema.NewCompiler()
	const address = "urn:vault-plugin-secrets-adtokens:definition:1"
	if err := compiler.AddResource(address, written); err != nil {
		panic(fmt.Sprintf("the schema cannot be added: %v", err))
	}
	return &schema{compiler.MustCompile(address), written}
})

// checkSchema compares a document with the schema.
func checkSchema(l *list, document []byte) {
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		l.add("", "the document cannot be read")
		return
	}
	s := loadSchema()
	if failed, ok := errors.AsType[*jsonschema.ValidationError](s.Validate(instance)); ok {
		s.explain(l, failed, instance)
	}
}

// explain tells of the innermost causes.
func (s *schema) explain(l *list, e *jsonschema.ValidationError, instance any) {
	if _, ok := e.ErrorKind.(*kind.PropertyNames); ok {
		return // checkName finds it; the library gives another place here
	}
	if len(e.Causes) > 0 {
		for _, cause := range e.Causes {
			s.explain(l, cause, instance)
		}
		return
	}
	where, value := placeOf(instance, e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		known := slices.Sorted(s.properties(e.SchemaURL))
		for _, name := range k.Properties {
			l.add(within(where, name), "there is no such thing here; known are %s", oneOf(known))
		}
	case *kind.Required:
		for _, name := range k.Missing {
			l.add(where, "%s is missing%s", name, s.describe(e.SchemaURL, name))
		}
	default:
		l.add(where, "%s", s.sentence(e, value))
	}
}

// sentence says what is right where a value breaks one rule.
func (s *schema) sentence(e *jsonschema.ValidationError, value any) string {
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		return wrongType(k, value)
	case *kind.Enum:
		allowed := make([]string, len(k.Want))
		for i, want := range k.Want {
			allowed[i] = fmt.Sprint(want)
		}
		return "must be one of " + oneOf(allowed)
	case *kind.Const:
		return fmt.Sprintf("must be %v", k.Want)
	case *kind.Pattern:
		return s.comment([]*jsonschema.ValidationError{e})
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters, this has %d", k.Want, k.Got)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d elements, this has %d", k.Want, k.Got)
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d members, this has %d", k.Want, k.Got)
	case *kind.MinLength, *kind.MinItems, *kind.MinProperties:
		return "must not be empty"
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + k.Want.RatString()
	default:
		return "is not as the schema wants it"
	}
}

func wrongType(k *kind.Type, value any) string {
	if slices.Contains(k.Want, "string") && (k.Got == "number" || k.Got == "boolean" || k.Got == "integer") {
		return fmt.Sprintf("must be a text; put %v into quotes", value)
	}
	if slices.Equal(k.Want, []string{"string"}) && k.Got == "object" {
		return "must be a text; one that begins with { needs quotes"
	}
	return "must be " + typesText(k.Want)
}

func typesText(types []string) string {
	names := map[string]string{
		"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
		"object": "a mapping", "array": "a list",
	}
	texts := make([]string, len(types))
	for i, t := range types {
		texts[i] = names[t]
	}
	return strings.Join(texts, " or ")
}

// comment is what the schema says of the rule that is broken.
func (s *schema) comment(causes []*jsonschema.ValidationError) string {
	for _, cause := range causes {
		if text, ok := s.find(cause.SchemaURL)["$comment"].(string); ok {
			return text
		}
		if text := s.comment(cause.Causes); text != "" {
			return text
		}
	}
	return ""
}

// properties are the names that a part of the schema knows.
func (s *schema) properties(url string) func(func(string) bool) {
	known, _ := s.find(url)["properties"].(map[string]any)
	return func(yield func(string) bool) {
		for name := range known {
			if !yield(name) {
				return
			}
		}
	}
}

// describe says what a member is for.
func (s *schema) describe(url, name string) string {
	properties, _ := s.find(url)["properties"].(map[string]any)
	property, _ := properties[name].(map[string]any)
	if text, ok := property["description"].(string); ok {
		return ": " + text
	}
	return ""
}

// find resolves the JSON pointer of a part of the schema.
func (s *schema) find(url string) map[string]any {
	_, pointer, _ := strings.Cut(url, "#")
	part := s.written
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if token == "" {
			continue
		}
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		members, _ := part.(map[string]any)
		part = members[token]
	}
	found, _ := part.(map[string]any)
	return found
}

// placeOf names the place of a location within a document, and returns what is there.
func placeOf(instance any, location []string) (name string, value any) {
	for _, token := range location {
		switch v := instance.(type) {
		case []any:
			index, err := strconv.Atoi(token)
			if err != nil || index >= len(v) {
				return name, nil
			}
			name, instance = item(name, index), v[index]
		case map[string]any:
			name, instance = within(name, token), v[token]
		}
	}
	if number, ok := instance.(json.Number); ok {
		return name, number.String()
	}
	return name, instance
}
