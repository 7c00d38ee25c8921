package auditlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Open returns the lines of a log as Vault wrote them. The file may be compressed (see Plain), and the entries may be
// wrapped by what has carried them: docker's and Kubernetes' logs, log shippers, exports of log stores, one JSON array. The
// first entry tells: a log that begins as Vault writes it is read as it is.
func Open(file io.Reader) (io.Reader, error) {
	text, err := Plain(file)
	if err != nil {
		return nil, err
	}
	buffered, ok := text.(*bufio.Reader)
	if !ok {
		buffered = bufio.NewReaderSize(text, sniffed)
	}
	switch formOf(buffered) {
	case formLines:
		return &unwrapper{in: buffered}, nil
	case formDocument:
		return &unwrapper{in: buffered, document: true}, nil
	default:
		return buffered, nil
	}
}

// form is how the entries of a log are laid out.
type form int

const (
	formUnknown  form = iota
	formPlain         // each on a line, as Vault writes it
	formLines         // each on a line, or on several, with something around
	formDocument      // JSON that does not go by lines
)

// formOf looks at the first lines up to one that tells.
func formOf(in *bufio.Reader) form {
	for length := 1; length <= sniffed; {
		head, err := in.Peek(length)
		head, _ = in.Peek(max(len(head), in.Buffered()))
		for line := range bytes.Lines(head) {
			if whole := line[len(line)-1] == '\n'; !whole && err == nil && len(head) < sniffed {
				break
			}
			if f := formOfLine(line); f != formUnknown {
				return f
			}
		}
		if err != nil {
			break
		}
		length = len(head) + 1
	}
	return formPlain
}

func formOfLine(line []byte) form {
	trimmed := bytes.TrimSpace(line)
	if len(trimmed) == 0 {
		return formUnknown
	}
	if trimmed[0] == '[' {
		if next := bytes.TrimLeft(trimmed[1:], " \t"); len(next) == 0 || bytes.IndexByte([]byte(`{["`), next[0]) >= 0 || string(next) == "]" {
			return formDocument
		}
	}
	if _, _, ok := cutCRI(trimmed); ok {
		return formLines
	}
	text := object(trimmed)
	switch {
	case text == nil, isServerLine(trimmed):
		return formUnknown
	case afterTorn(text) != nil:
		return formPlain
	case bytes.Contains(text, glued) && !isFields(text):
		return formDocument
	case isFields(text):
		return formOfObject(text)
	case startsLikeEntry(text):
		return formPlain // cut, or longer than what is looked at
	case trimmed[0] == '{' && text[len(text)-1] != '}':
		return formDocument
	}
	return formUnknown
}

func formOfObject(text []byte) form {
	switch _, verdict := siftFields(text); verdict {
	case Found, Other:
		return formPlain
	case Foreign:
		return formUnknown
	case Broken, Cut:
	}
	return formLines
}

// cutCRI cuts the prefix of a line of a container's log: time, stream, and P for a part of a line or F for its end.
func cutCRI(line []byte) (key string, text []byte, ok bool) {
	parts := bytes.SplitN(line, []byte(" "), 4)
	if len(parts) < 3 || string(parts[1]) != "stdout" && string(parts[1]) != "stderr" {
		return "", nil, false
	}
	tag, _, _ := strings.Cut(string(parts[2]), ":")
	if tag != "P" && tag != "F" || len(parts[0]) < len("2006-01-02T15:04:05Z") {
		return "", nil, false
	}
	if len(parts) == 4 {
		text = parts[3]
	}
	return string(parts[1]) + " " + tag, text, true
}

const (
	// maxDocument is the length of the longest JSON value that is read as one, in bytes.
	maxDocument = 256 << 20
	// maxDepth is how deep in JSON an entry is looked for.
	maxDepth = 32
	// maxPieces is how many lines may be incomplete at a time.
	maxPieces = 1 << 10
)

// unwrapper reads the entries out of what is around them, and writes each on a line.
type unwrapper struct {
	in       *bufio.Reader
	document bool
	out      []byte // not read yet
	err      error
	// pieces are the beginnings of lines that were cut, by their source.
	pieces map[string][]byte
	// open is how many arrays the text is in: those that hold entries.
	open int
}

func (u *unwrapper) Read(buffer []byte) (int, error) {
	for len(u.out) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		u.out = u.out[:0:0]
		if u.document {
			u.err = u.nextValue()
		} else {
			u.err = u.nextLine()
		}
		if u.err != nil {
			u.flush()
		}
	}
	n := copy(buffer, u.out)
	u.out = u.out[n:]
	return n, nil
}

// write writes a line.
func (u *unwrapper) write(line []byte) {
	for part := range bytes.SplitSeq(line, []byte("\n")) {
		if len(part) > 0 {
			u.out = append(append(u.out, part...), '\n')
		}
	}
}

// flush writes what is left of lines that were cut.
func (u *unwrapper) flush() {
	for _, piece := range u.pieces {
		u.write(piece)
	}
	u.pieces = nil
}

func (u *unwrapper) nextLine() error {
	line, err := u.readLine()
	trimmed := bytes.TrimSpace(line)
	if len(trimmed) == 0 {
		return err
	}
	if key, text, ok := cutCRI(bytes.TrimRight(line, "\r\n")); ok {
		stream, tag, _ := strings.Cut(key, " ")
		u.piece(stream, text, tag == "F")
		return err
	}
	if text := object(trimmed); isFields(text) {
		u.object(text, line)
	} else {
		u.write(line)
	}
	return err
}

// readLine reads a line, of which no more than one byte beyond MaxLine is kept.
func (u *unwrapper) readLine() ([]byte, error) {
	var line []byte
	for {
		part, err := u.in.ReadSlice('\n')
		if len(line) <= MaxLine {
			line = append(line, part...)
			line = line[:min(len(line), MaxLine+1)]
		}
		if err != bufio.ErrBufferFull { //nolint:errorlint // ReadSlice returns it bare
			return line, err
		}
	}
}

// nextValue reads one value of a document, and writes the entries in it.
func (u *unwrapper) nextValue() error {
	c, err := u.in.ReadByte()
	switch {
	case err == io.EOF && u.open > 0:
		return fmt.Errorf("the JSON array is cut: %w", io.ErrUnexpectedEOF)
	case err != nil:
		return err
	case bytes.IndexByte([]byte(" \t\r\n,"), c) >= 0:
		return nil
	case c == ']' && u.open > 0:
		u.open--
		return nil
	case c == '[' && u.open == 0 && u.beginsArray():
		u.open++
		return nil
	}
	if err := u.in.UnreadByte(); err != nil {
		return err
	}
	isValue := c == '{' || u.open > 0 && (c == '[' || c == '"')
	return u.element(isValue, c == '{')
}

// element reads an element of the document: a value, or a line of text.
func (u *unwrapper) element(isValue, isObject bool) error {
	if !isValue {
		line, err := u.readLine()
		u.write(line)
		return err
	}
	value, err := u.readValue()
	switch {
	case err != nil:
		return err
	case isObject:
		u.object(value, value)
	default:
		u.found(u.search(value, 0), value)
	}
	return nil
}

// beginsArray tells an array from a line of text with a bracket.
func (u *unwrapper) beginsArray() bool {
	for length := 1; length < sniffed; length++ {
		head, err := u.in.Peek(length)
		if err != nil {
			return true // an empty rest is told as a cut array
		}
		if c := head[length-1]; bytes.IndexByte([]byte(" \t\r\n"), c) < 0 {
			return bytes.IndexByte([]byte(`{["]`), c) >= 0
		}
	}
	return false
}

// readValue reads an object, an array or a string.
func (u *unwrapper) readValue() ([]byte, error) {
	var value []byte
	for scan := (nesting{}); ; {
		c, err := u.in.ReadByte()
		if err != nil {
			u.write(bytes.ReplaceAll(value, []byte("\n"), []byte(" ")))
			if err == io.EOF { //nolint:errorlint // readers return it bare
				err = fmt.Errorf("the JSON is cut: %w", io.ErrUnexpectedEOF)
			}
			return nil, err
		}
		if value = append(value, c); len(value) > maxDocument {
			return nil, fmt.Errorf("it has a JSON value of more than %d MiB; write its entries one a line", maxDocument>>20)
		}
		if scan.ends(c) {
			return value, nil
		}
	}
}

// nesting is where in a JSON value a byte is.
type nesting struct {
	depth             int
	inString, escaped bool
}

// ends takes the next byte, and reports whether the value ends with it.
func (n *nesting) ends(c byte) bool {
	switch {
	case n.escaped:
		n.escaped = false
	case n.inString && c == '\\':
		n.escaped = true
	case c == '"':
		n.inString = !n.inString
	case n.inString:
	case c == '{' || c == '[':
		n.depth++
	case c == '}' || c == ']':
		n.depth--
	}
	return n.depth <= 0 && !n.inString && !n.escaped
}

// object writes the entries that an object consists of or holds; else the text that it wraps, or the line as it is.
func (u *unwrapper) object(text, line []byte) {
	switch _, verdict := siftFields(text); verdict {
	case Found, Other:
		u.write(compact(text))
		return
	case Foreign:
		u.write(compact(text))
		return
	case Broken, Cut:
	}
	if entries := u.search(text, 0); len(entries) > 0 {
		if len(u.pieces) > 0 {
			u.giveUp(sourceOf(text))
		}
		u.found(entries, nil)
		return
	}
	message, ok := messageOf(text)
	if !ok {
		u.write(compact(line))
		return
	}
	u.piece(sourceOf(text), []byte(message), strings.HasSuffix(message, "\n"))
}

func (u *unwrapper) found(entries [][]byte, otherwise []byte) {
	for _, entry := range entries {
		u.write(entry)
	}
	if len(entries) == 0 {
		u.write(compact(otherwise))
	}
}

// compact puts JSON on a line.
func compact(text []byte) []byte {
	if bytes.IndexByte(text, '\n') < 0 {
		return text
	}
	var out bytes.Buffer
	if json.Compact(&out, text) != nil {
		return bytes.ReplaceAll(text, []byte("\n"), []byte(" "))
	}
	return out.Bytes()
}

// search returns the audit entries in a value, whatever the names of the fields that hold them. Of an object, the first
// field that has some counts: shippers keep a copy of the original beside what they have made of it.
func (u *unwrapper) search(value []byte, depth int) [][]byte {
	if depth > maxDepth || len(value) == 0 {
		return nil
	}
	switch value[0] {
	case '{':
		if kindOf(value) != Broken {
			return [][]byte{compact(value)}
		}
		var found [][]byte
		eachField(value, func(_, inner []byte) {
			if len(found) == 0 {
				found = u.search(inner, depth+1)
			}
		})
		return found
	case '[':
		var found [][]byte
		var elements []json.RawMessage
		if json.Unmarshal(value, &elements) == nil {
			for _, element := range elements {
				found = append(found, u.search(element, depth+1)...)
			}
		}
		return found
	case '"':
		return u.searchText(asText(value), depth)
	}
	return nil
}

// searchText returns the entries in a text that is JSON, or several lines of it.
func (u *unwrapper) searchText(text string, depth int) [][]byte {
	if !strings.Contains(text, "{") {
		return nil
	}
	var found [][]byte
	for line := range strings.Lines(text) {
		inner := object([]byte(line))
		if !isFields(inner) {
			if inner = afterTorn(inner); inner == nil {
				continue
			}
		}
		found = append(found, u.search(inner, depth+1)...)
	}
	if len(found) == 0 && strings.Contains(text, "\n") && isFields(object([]byte(text))) {
		found = u.search(object([]byte(text)), depth+1)
	}
	return found
}

// messageFields are what shippers call the text that they carry.
var messageFields = []string{"log", "message", "msg", "MESSAGE", "event", "line", "text", "textPayload", "_raw", "raw", "body", "content", "data"}

// messageOf returns the text that an object wraps.
func messageOf(text []byte) (message string, ok bool) {
	best := len(messageFields)
	eachField(text, func(key, value []byte) {
		if i := slices.Index(messageFields, string(key)); i >= 0 && i < best && value[0] == '"' {
			best, message, ok = i, asText(value), true
		}
	})
	return message, ok
}

// sourceFields tell the sources of pieces apart.
var sourceFields = []string{
	"container_id", "container_name", "source", "stream", "partial_id", "host", "hostname", "logStream", "CONTAINER_ID", "CONTAINER_PARTIAL_ID",
}

func sourceOf(text []byte) string {
	var source strings.Builder
	eachField(text, func(key, value []byte) {
		if slices.Contains(sourceFields, string(key)) {
			source.WriteString(string(key) + "=" + string(value) + ";")
		}
	})
	return source.String()
}

// piece puts together lines that a container runtime has cut. Whole is set for the end of a line; without it, the piece may
// be one too.
func (u *unwrapper) piece(source string, text []byte, whole bool) {
	text = bytes.TrimRight(text, "\r\n")
	if startsLikeEntry(object(text)) && bytes.IndexByte(text, '{') < maxPrefix || isServerLine(text) {
		u.giveUp(source)
	}
	before, pending := u.pieces[source]
	joined := slices.Concat(before, text)
	if _, verdict := sift(joined); !whole && verdict == Cut && len(joined) <= MaxLine && (pending || len(u.pieces) < maxPieces) {
		if u.pieces == nil {
			u.pieces = map[string][]byte{}
		}
		u.pieces[source] = joined
		return
	}
	delete(u.pieces, source)
	if entries := u.searchText(string(joined), 0); len(entries) > 0 {
		u.found(entries, nil)
		return
	}
	u.write(joined)
}

// giveUp writes the beginning of a line whose end never came.
func (u *unwrapper) giveUp(source string) {
	if before, pending := u.pieces[source]; pending {
		u.write(before)
		delete(u.pieces, source)
	}
}

// maxPrefix is how far in a line an entry begins, at most.
const maxPrefix = 256
