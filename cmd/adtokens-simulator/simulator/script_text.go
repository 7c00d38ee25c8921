package simulator

import (
	"errors"
	"fmt"
	"html"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// shapePart is a random part of a shape, such as {digits 16}.
var shapePart = regexp.MustCompile(`\{([a-z0-9]+)(?: ([0-9]+))?\}`)

var shapeAlphabets = map[string]string{
	"digits": digits, "hex": hexDigits, "lower": digits + lowerLetters, "alnum": alphanumeric, "base64url": base64URL,
}

// newText makes a random text of a shape: what stands outside of braces stays.
func newText(shape string) (string, error) {
	var errs []error
	text := shapePart.ReplaceAllStringFunc(shape, func(part string) string {
		parts := shapePart.FindStringSubmatch(part)
		n, err := strconv.Atoi(parts[2])
		switch alphabet := shapeAlphabets[parts[1]]; {
		case parts[1] == "uuid" && parts[2] == "":
			h := randomString(hexDigits, 32)
			return strings.Join([]string{h[:8], h[8:12], "4" + h[13:16], "a" + h[17:20], h[20:]}, "-")
		case alphabet == "" || err != nil || n < 1 || n > 4096:
			errs = append(errs, fmt.Errorf("%s is none of {uuid} and {%s N}", part,
				strings.Join(slices.Sorted(maps.Keys(shapeAlphabets)), " N}, {")))
		case parts[1] == "digits": // a number does not begin with 0
			return randomString(digits[1:], 1) + randomString(digits, n-1)
		default:
			return randomString(alphabet, n)
		}
		return part
	})
	return text, errors.Join(errs...)
}

// variable is one in an answer: {owner}, {made.access_token}, {owner:number}.
var variable = regexp.MustCompile(`\{([a-z_]+)(?:\.([a-z][a-z0-9_]*))?(:number)?\}`)

// The variables without a field and with one.
var (
	plainVariables = []string{"owner", "now", "request_id", "status", "wait", "reset_at"}
	fieldVariables = []string{"made", "presented", "newest", "life", "end", "end_text"}
)

func checkVariables(text string, kind *scriptKind) error {
	for _, match := range variable.FindAllStringSubmatch(text, -1) {
		name, field := match[1], match[2]
		switch {
		case field == "" && slices.Contains(plainVariables, name):
		case field != "" && slices.Contains(fieldVariables, name) && kind != nil && kind.Fields[field] != nil:
		default:
			return fmt.Errorf("%s is no variable: there are %v, and %v with a field behind it, such as {made.access_token}",
				match[0], plainVariables, fieldVariables)
		}
	}
	return nil
}

// variables are what an answer can say. The result is a string or an int64, nil where there is nothing.
type variables func(name, field string) any

// fill replaces the variables of a text; what has no value is empty.
func (v variables) fill(text string, escape func(string) string) string {
	return variable.ReplaceAllStringFunc(text, func(part string) string {
		match := variable.FindStringSubmatch(part)
		if value := v(match[1], match[2]); value != nil {
			return escape(fmt.Sprint(value))
		}
		return ""
	})
}

// plainText escapes nothing.
func plainText(text string) string { return text }

// fillJSON replaces the variables of a JSON value. What is a variable only takes its type; without a value it is left out.
func (v variables) fillJSON(in any) (out any, there bool) {
	switch in := in.(type) {
	case map[string]any:
		object := map[string]any{}
		for key, item := range in {
			if filled, ok := v.fillJSON(item); ok {
				object[key] = filled
			}
		}
		return object, true
	case []any:
		list := []any{}
		for _, item := range in {
			if filled, ok := v.fillJSON(item); ok {
				list = append(list, filled)
			}
		}
		return list, true
	case string:
		match := variable.FindStringSubmatch(in)
		if match == nil || match[0] != in {
			return v.fill(in, plainText), true
		}
		value := v(match[1], match[2])
		if text, ok := value.(string); ok && match[3] != "" {
			if number, err := strconv.ParseInt(text, 10, 64); err == nil {
				return number, true
			}
		}
		return value, value != nil
	default:
		return in, true
	}
}

// walkTexts visits the strings of a JSON value, keys aside.
func walkTexts(in any, visit func(string)) {
	switch in := in.(type) {
	case map[string]any:
		for _, item := range in {
			walkTexts(item, visit)
		}
	case []any:
		for _, item := range in {
			walkTexts(item, visit)
		}
	case string:
		visit(in)
	}
}

// markup escapes for XML and HTML.
func markup(text string) string { return html.EscapeString(text) }
