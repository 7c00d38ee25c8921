package auditlog

import (
	"bytes"
	"slices"
)

var (
	// requestEnd ends the entry of a request, which its response's entry repeats, and responseEnd that one: `type` is the last
	// field that Vault writes. Entries of another field order are told apart by their fields.
	requestEnd  = []byte(`"type":"request"}`)
	responseEnd = []byte(`"type":"response"}`)
	// entryStarts are how entries begin.
	entryStarts = [][]byte{[]byte(`{"auth":`), []byte(`{"error":`), []byte(`{"request":`), []byte(`{"time":`), []byte(`{"type":`), []byte(`{"forwarded_from":`)}
	// glued is where one object ends and the next one begins, of the values that are found in audit entries.
	glued = []byte(`"}{"`)
)

// sift returns the audit entry that a line consists of, without the prefix that the device or syslog may have put before
// it. The verdict is Found for the entry of a response, which the caller looks into, and Other for one of a request. Of
// entries as Vault writes them, only the ends are looked at.
func sift(line []byte) ([]byte, Verdict) {
	text := object(line)
	if startsLikeEntry(text) {
		switch {
		case bytes.HasSuffix(text, responseEnd):
			return text, Found
		case bytes.HasSuffix(text, requestEnd):
			if bytes.Contains(text, glued) {
				return nil, Broken
			}
			return text, Other
		}
	}
	if isFields(text) {
		if entry, verdict := siftFields(text); verdict != Broken || !isServerLine(line) {
			return entry, verdict
		}
		return nil, Foreign
	}
	if whole := afterTorn(text); whole != nil {
		return whole, kindOf(whole)
	}
	switch {
	case isServerLine(line):
		return nil, Foreign
	case startsLikeEntry(text):
		return nil, Cut
	default:
		return nil, Broken
	}
}

// siftFields tells whether an object is an audit entry.
func siftFields(text []byte) ([]byte, Verdict) {
	switch v := kindOf(text); {
	case v != Broken:
		return text, v
	case isServerObject(text):
		return nil, Foreign
	default:
		return nil, Broken
	}
}

// kindOf returns Found for a response, Other for a request and Broken for what is no audit entry.
func kindOf(text []byte) Verdict {
	var kind, at string
	request, response := false, false
	eachField(text, func(key, value []byte) {
		switch string(key) {
		case "type":
			kind = asText(value)
		case "time":
			at = asText(value)
		case "request":
			request = value[0] == '{'
		case "response":
			response = value[0] == '{'
		}
	})
	switch {
	case at == "" || !request && !response:
		return Broken
	case kind == "response":
		return Found
	case kind == "request":
		return Other
	default:
		return Broken
	}
}

func isFields(text []byte) bool { return len(text) > 0 && eachField(text, func(_, _ []byte) {}) }

// object returns the text from the first brace on, without white space at its end; nil if that brace is part of something
// whose beginning is missing.
func object(line []byte) []byte {
	start := bytes.IndexByte(line, '{')
	if start < 0 || bytes.HasSuffix(line[:start], []byte(`":`)) {
		return nil
	}
	return bytes.TrimRight(line[start:], " \t\r\n")
}

func startsLikeEntry(text []byte) bool {
	return slices.ContainsFunc(entryStarts, func(start []byte) bool { return bytes.HasPrefix(text, start) })
}

// afterTorn returns the whole entry that a line ends with, if something else comes before it: what a killed server had
// written of another entry, or a prefix with a brace. It returns nil if there is none, or if what comes before it is a
// whole entry too, which must not be lost.
func afterTorn(text []byte) []byte {
	if len(text) == 0 || text[len(text)-1] != '}' {
		return nil
	}
	for _, start := range entryStarts {
		at := len(text)
		for range maxStarts {
			if at = bytes.LastIndex(text[:at], start); at <= 0 {
				break
			}
			if !isFields(text[at:]) || kindOf(text[at:]) == Broken {
				continue // it is within an entry
			}
			if bytes.HasSuffix(bytes.TrimRight(text[:at], " \t"), []byte("}")) && isEntry(text[:at]) {
				return nil
			}
			return text[at:]
		}
	}
	return nil
}

// maxStarts is how many beginnings of an entry are looked at in a line.
const maxStarts = 16

// isEntry reports whether a text ends with a whole entry.
func isEntry(text []byte) bool {
	text = bytes.TrimRight(text, " \t")
	return isFields(text) && kindOf(text) != Broken || afterTorn(text) != nil
}

var levels = [][]byte{[]byte("[TRACE]"), []byte("[DEBUG]"), []byte("[INFO]"), []byte("[WARN]"), []byte("[ERROR]")}

// isServerLine recognises the log of a Vault server that writes its audit entries to standard output too: a time and a
// level, or what it says when it starts.
func isServerLine(line []byte) bool {
	line = bytes.TrimRight(line, " \t\r\n")
	switch {
	case len(line) == 0, bytes.HasPrefix(line, []byte("==> ")):
		return true
	case bytes.ContainsAny(line, "{}"):
		_, after, _ := bytes.Cut(line, []byte(" "))
		return slices.ContainsFunc(levels, func(level []byte) bool { return bytes.HasPrefix(after, level) })
	case bytes.HasPrefix(line, []byte("      ")):
		return bytes.IndexByte(line, ':') > 0 // Version: 1.21.1
	}
	return slices.ContainsFunc(levels, func(level []byte) bool { return bytes.Contains(line[:min(len(line), 80)], level) })
}

// isServerObject recognises the same log, written as JSON.
func isServerObject(text []byte) bool {
	level, message := false, false
	eachField(text, func(key, _ []byte) {
		level = level || string(key) == "@level"
		message = message || string(key) == "@message"
	})
	return level && message
}
