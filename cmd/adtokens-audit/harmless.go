package main

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What this tool prints was written by others: names, reasons, errors, addresses. The rules for all of it are here, and all
// output goes through one of harmless, harmlessText, harmlessJSON and inert.

// isHarmless reports whether a character can neither steer a terminal nor change how the others are read: no control
// character, none of Unicode's formats (bidirectional, zero width, byte order mark, tags), separators of lines or
// paragraphs, private or unassigned characters. Of white space, it is the space and what looks like one.
func isHarmless(r rune) bool {
	switch {
	case r == unicode.ReplacementChar:
		return true
	case r == '\u034f', r == '\u115f', r == '\u1160', r == '\u3164', r == '\uffa0', r == '\u180e': // seen as nothing
		return false
	case '\ufe00' <= r && r <= '\ufe0f', '\U000e0100' <= r && r <= '\U000e01ef': // selectors of variations
		return false
	}
	return unicode.IsPrint(r) || unicode.Is(unicode.Zs, r)
}

// harmless replaces what is not harmless in a text that stands on a line.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if !isHarmless(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text) // Map makes U+FFFD of what is no UTF-8
}

// harmlessText keeps line breaks.
func harmlessText(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = harmless(line)
	}
	return strings.Join(lines, "\n")
}

// harmlessWriter writes a text with its line breaks, harmless.
type harmlessWriter struct {
	out io.Writer
	cut []byte // the beginning of a character
}

func (w *harmlessWriter) Write(text []byte) (int, error) {
	if len(w.cut) == 0 && !slices.ContainsFunc(text, func(c byte) bool { return (c < ' ' || c > '~') && c != '\n' }) {
		return w.out.Write(text) // most of it
	}
	all := slices.Concat(w.cut, text)
	end := len(all)
	for back := 1; back < utf8.UTFMax && back <= len(all); back++ {
		if utf8.RuneStart(all[len(all)-back]) && !utf8.FullRune(all[len(all)-back:]) {
			end = len(all) - back
		}
	}
	w.cut = slices.Clone(all[end:])
	_, err := io.WriteString(w.out, harmlessText(string(all[:end])))
	return len(text), err
}

// flush writes what is left of a character that was cut.
func (w *harmlessWriter) flush() error {
	_, err := io.WriteString(w.out, harmlessText(string(w.cut)))
	w.cut = nil
	return err
}

// formulaStarts are what spreadsheets take for the beginning of a formula, full-width and small forms included.
const formulaStarts = "=+-@＝＋－＠﹦﹢﹣﹫−|%"

// inert is harmless, and keeps a spreadsheet from taking a cell for a formula, also behind what it skips.
func inert(cell string) string {
	start := strings.TrimLeftFunc(cell, func(r rune) bool { return unicode.IsSpace(r) || !isHarmless(r) || r == unicode.ReplacementChar })
	first, _ := utf8.DecodeRuneInString(start)
	if strings.ContainsAny(cell[:len(cell)-len(start)], "\t\r\n") || (start != "" && strings.ContainsRune(formulaStarts, first)) {
		return "'" + harmless(cell)
	}
	return harmless(cell)
}

// writeJSON writes a document whose texts are harmless, also for whoever decodes them.
func writeJSON(out io.Writer, document any, indent string) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // reasons must come out as they went in
	encoder.SetIndent("", indent)
	if err := encoder.Encode(document); err != nil {
		return err
	}
	_, err := out.Write(harmlessJSON(text.Bytes()))
	return err
}

// harmlessJSON replaces what is not harmless in the strings of JSON, escaped or not. Line breaks between them stay.
func harmlessJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for inString := false; len(text) > 0; {
		r, size := utf8.DecodeRune(text)
		switch {
		case !inString:
		case r == '\\':
			if r, size = unescape(text); r == '"' || r == '\\' {
				out = append(out, text[:size]...)
				text = text[size:]
				continue
			}
			fallthrough
		default:
			if !isHarmless(r) {
				r = unicode.ReplacementChar
			}
		}
		if r == '"' {
			inString = !inString
		}
		out = utf8.AppendRune(out, r)
		text = text[size:]
	}
	return out
}

// unescape returns the character that an escape sequence stands for, and the sequence's length. A half of a surrogate pair
// is none.
func unescape(text []byte) (rune, int) {
	if len(text) < 2 || text[1] != 'u' {
		size := min(2, len(text))
		if size == 2 && (text[1] == '"' || text[1] == '\\' || text[1] == '/') {
			return rune(text[1]), size
		}
		return unicode.ReplacementChar, size
	}
	size := min(6, len(text))
	var decoded string
	if json.Unmarshal([]byte(`"`+string(text[:size])+`"`), &decoded) != nil {
		return unicode.ReplacementChar, size
	}
	r, _ := utf8.DecodeRuneInString(decoded)
	return r, size
}
