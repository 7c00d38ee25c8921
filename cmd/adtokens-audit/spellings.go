package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
)

// spelling is one way in which a value may have been handed in or kept. Its HMAC is another one for each.
type spelling struct{ name, text string }

// spellings lists the ways to write a value that a person, a shell, an editor or the engine would use, each once. The first
// ones are the simplest.
func spellings(value string) []spelling {
	var list []spelling
	add := func(name, text string) {
		if strings.TrimSpace(text) != "" && !slices.ContainsFunc(list, func(s spelling) bool { return s.text == text }) {
			list = append(list, spelling{name, text})
		}
	}
	trimmed := strings.TrimSpace(value)
	add("as given", value)
	add("without white space around", trimmed)
	add("without its last line break", strings.TrimSuffix(strings.TrimSuffix(value, "\n"), "\r"))
	unix := strings.ReplaceAll(trimmed, "\r\n", "\n")
	for _, lines := range []struct{ name, text string }{
		{"line breaks as on Unix", unix}, {"line breaks as on Windows", strings.ReplaceAll(unix, "\n", "\r\n")},
	} {
		add(lines.name, lines.text)
		add(lines.name+", and one at the end", lines.text+"\n")
		add(lines.name+", and one at the end", lines.text+"\r\n")
	}
	for _, field := range fieldsOfTheEngine() {
		if canonical, err := field.Canonical(value); err == nil {
			add("as the engine keeps a "+field.Name, canonical)
		}
	}
	addJSON(add, unix)
	var text string
	if json.Unmarshal([]byte(unix), &text) == nil {
		add("out of its quotation marks", text)
		addJSON(add, text)
	} else if quoted, err := json.Marshal(trimmed); err == nil && len(trimmed) > 0 && trimmed[0] != '{' {
		add("in quotation marks", string(quoted))
	}
	addBase64(add, value)
	return list
}

// addBase64 adds the JSON that is in base64, or the base64 of JSON.
func addBase64(add func(name, text string), value string) {
	trimmed := strings.TrimSpace(value)
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if decoded, err := encoding.DecodeString(strings.Join(strings.Fields(trimmed), "")); err == nil && isObject(string(decoded)) {
			add("out of its base64", string(decoded))
			addJSON(add, string(decoded))
		}
	}
	if isObject(trimmed) {
		add("in base64", base64.StdEncoding.EncodeToString([]byte(value)))
		add("in base64", base64.StdEncoding.EncodeToString([]byte(trimmed)))
	}
}

// isObject reports whether a text is a JSON object.
func isObject(text string) bool {
	return strings.HasPrefix(strings.TrimSpace(text), "{") && json.Valid([]byte(text))
}

// fieldsOfTheEngine are all that can hold a credential and that the engine may keep in another form than the one that was given. Those
// of provider definitions lose nothing but the white space around.
func fieldsOfTheEngine() []provider.Field {
	var fields []provider.Field
	p := googleads.New()
	for _, t := range p.Types {
		fields = append(fields, t.Fields...)
	}
	for _, f := range p.AccountFields {
		if f.Secret {
			fields = append(fields, f)
		}
	}
	return slices.DeleteFunc(fields, func(f provider.Field) bool { return f.Endpoint })
}

// addJSON adds the ways to write a JSON object: with the members in their order or sorted, on one line or indented.
func addJSON(add func(name, text string), text string) {
	trimmed := strings.TrimSpace(text)
	if !isObject(trimmed) {
		return
	}
	for _, order := range []struct{ name, text string }{{"JSON", trimmed}, {"JSON with sorted members", sortedMembers(trimmed)}} {
		var compact bytes.Buffer
		if json.Compact(&compact, []byte(order.text)) != nil {
			continue
		}
		add(order.name+" on one line", compact.String())
		add(order.name+" on one line, with spaces", spaced(compact.String()))
		for _, indent := range []string{"  ", "    ", "\t"} {
			var pretty bytes.Buffer
			if json.Indent(&pretty, []byte(order.text), "", indent) == nil {
				add(order.name+", indented", pretty.String())
				add(order.name+", indented, and a line break at the end", pretty.String()+"\n")
			}
		}
	}
}

// sortedMembers is the same JSON with its members in the order of their names, as jq -S and many libraries write it.
func sortedMembers(text string) string {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var members map[string]any
	var sorted bytes.Buffer
	encoder := json.NewEncoder(&sorted)
	encoder.SetEscapeHTML(false)
	if decoder.Decode(&members) != nil || encoder.Encode(members) != nil {
		return text
	}
	return strings.TrimSuffix(sorted.String(), "\n")
}

// spaced puts a space behind each colon and comma between values, as Python does.
func spaced(compact string) string {
	var out strings.Builder
	inString, escaped := false, false
	for _, c := range []byte(compact) {
		out.WriteByte(c)
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case !inString && (c == ':' || c == ','):
			out.WriteByte(' ')
		}
	}
	return out.String()
}
