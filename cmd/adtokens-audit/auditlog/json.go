package auditlog

import (
	"bytes"
	"encoding/json"
)

// The functions here read a JSON object of which few fields matter, several times faster than encoding/json: the others
// are skipped, and only the structure around them is checked. An object that encoding/json takes is read alike.

// eachField calls do for every field of an object, with the key and the value as they are written. It returns false if
// the text is no object.
func eachField(text []byte, do func(key, value []byte)) bool {
	at := skipSpace(text, 0)
	if byteAt(text, at) != '{' {
		return false
	}
	if at = skipSpace(text, at+1); byteAt(text, at) == '}' {
		return skipSpace(text, at+1) == len(text)
	}
	for {
		key := endOfString(text, at)
		colon := skipSpace(text, key)
		if key < 0 || byteAt(text, colon) != ':' {
			return false
		}
		value := skipSpace(text, colon+1)
		end := endOfValue(text, value)
		if end < 0 {
			return false
		}
		do(text[at+1:key-1], text[value:end])
		switch at = skipSpace(text, end); byteAt(text, at) {
		case ',':
			at = skipSpace(text, at+1)
		case '}':
			return skipSpace(text, at+1) == len(text)
		default:
			return false
		}
	}
}

// byteAt returns 0 where there is nothing.
func byteAt(text []byte, at int) byte {
	if at < 0 || at >= len(text) {
		return 0
	}
	return text[at]
}

func skipSpace(text []byte, at int) int {
	for {
		switch byteAt(text, at) {
		case ' ', '\t', '\r', '\n':
			at++
		default:
			return at
		}
	}
}

// endOfString returns where the string ends that begins at a place, -1 if none does.
func endOfString(text []byte, at int) int {
	if byteAt(text, at) != '"' {
		return -1
	}
	for start, end := at+1, at+1; ; end++ {
		quote := bytes.IndexByte(text[end:], '"')
		if quote < 0 {
			return -1
		}
		end += quote
		escapes := end - start - len(bytes.TrimRight(text[start:end], `\`))
		if escapes%2 == 0 {
			return end + 1
		}
	}
}

// endOfValue returns where the value ends that begins at a place, -1 if none does.
func endOfValue(text []byte, at int) int {
	switch byteAt(text, at) {
	case '"':
		return endOfString(text, at)
	case '{', '[':
		return endOfNested(text, at)
	}
	for end := at; ; end++ {
		switch byteAt(text, end) {
		case ',', ']', '}', ' ', '\t', '\r', '\n', 0:
			if end == at {
				return -1
			}
			return end
		}
	}
}

func endOfNested(text []byte, at int) int {
	for depth := 0; at >= 0 && at < len(text); {
		switch text[at] {
		case '"':
			at = endOfString(text, at)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
		}
		at++
	}
	return -1
}

// asText returns a string, or a number as it is written; empty for anything else.
func asText(value []byte) string {
	switch c := value[0]; {
	case c == '-' || '0' <= c && c <= '9':
		return string(value)
	case c != '"':
		return ""
	case bytes.IndexByte(value, '\\') < 0:
		return string(value[1 : len(value)-1])
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}
