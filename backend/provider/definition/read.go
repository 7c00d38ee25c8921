package definition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Bounds of a document.
const (
	maxDocument = 64 << 10
	// maxExpanded bounds what the aliases of a document make of it, in bytes of JSON.
	maxExpanded = 256 << 10
	maxValues   = 20_000
	maxDepth    = 40
	// maxName is how long a name may be, maxPlaces how long the places of all values together.
	maxName   = 200
	maxPlaces = 4 << 20
)

// written is a document as JSON, whose mappings keep their order, with the line of each place.
type written struct {
	json  []byte
	lines map[string]int
}

// read parses one YAML document, of which JSON is a part.
func read(text []byte) (*written, Mistakes) {
	if len(text) > maxDocument {
		return nil, Mistakes{{Problem: fmt.Sprintf("the document must have at most %d KiB, this one has %d bytes", maxDocument>>10, len(text))}}
	}
	if !utf8.Valid(text) {
		return nil, Mistakes{{Problem: "the document must be UTF-8"}}
	}
	if json.Valid(text) {
		text = jsonEscapes().ReplaceAllFunc(text, unescape)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root, second yaml.Node
	if err := decode(decoder, &root); err != nil {
		return nil, Mistakes{yamlMistake(err)}
	}
	if err := decode(decoder, &second); !errors.Is(err, io.EOF) {
		return nil, Mistakes{{Line: second.Line, Problem: "a definition is one document: leave out everything from the second one on"}}
	}
	w := &writer{list: list{lines: map[string]int{}}}
	w.value(root.Content[0], place{})
	if len(w.mistakes) > 0 {
		return nil, w.mistakes.sorted()
	}
	return &written{json: w.out.Bytes(), lines: w.lines}, nil
}

// jsonEscapes finds the escapes of JSON, among them the two that YAML does not have: a slash, and a character in two halves.
var jsonEscapes = provider.Pattern(`\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\.`)

// unescape writes what YAML cannot read as the character itself.
func unescape(escape []byte) []byte {
	if len(escape) == 2 && escape[1] != '/' {
		return escape
	}
	var character string
	if json.Unmarshal(slices.Concat([]byte{'"'}, escape, []byte{'"'}), &character) != nil {
		return escape
	}
	return []byte(character)
}

// decode turns a panic of the parser, if there is one, into an error.
func decode(d *yaml.Decoder, node *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("yaml: the document cannot be read")
		}
	}()
	if err := d.Decode(node); err != nil {
		return err
	}
	if len(node.Content) == 0 {
		return errors.New("yaml: the document is empty")
	}
	return nil
}

// yamlMistake takes the line out of an error of the parser: "yaml: line 3: did not find expected key".
func yamlMistake(err error) Mistake {
	if errors.Is(err, io.EOF) {
		return Mistake{Problem: "the document is empty; `adtokens-provider show NAME` prints one to start from"}
	}
	problem := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, found := strings.CutPrefix(problem, "line "); found {
		if number, text, found := strings.Cut(rest, ": "); found {
			if line, err := strconv.Atoi(number); err == nil {
				return Mistake{Line: line, Problem: "this is no YAML: " + text + yamlAdvice}
			}
		}
	}
	return Mistake{Problem: "this is no YAML: " + problem + yamlAdvice}
}

// yamlAdvice is what most such mistakes come from. The parser's line is sometimes that before the mistake.
const yamlAdvice = "; indent with spaces, and put a text into quotes that begins with { or [, or has a colon and a blank (look at the lines around too)"

// place is where a node is.
type place struct {
	name  string
	depth int
	// line is that of the alias through which the node was reached; zero where it was not.
	line int
	// open are the anchors around the node.
	open []*yaml.Node
}

func (p place) down(name string) place {
	p.name, p.depth = name, p.depth+1
	return p
}

// writer turns nodes into JSON.
type writer struct {
	list
	out    bytes.Buffer
	values int
	// places is the length of all places so far.
	places int
	full   bool
}

// value writes a node. Once there is a mistake of size nothing more is written.
func (w *writer) value(n *yaml.Node, p place) {
	w.values, w.places = w.values+1, w.places+len(p.name)
	if w.full || w.values > maxValues || w.out.Len() > maxExpanded || w.places > maxPlaces || p.depth > maxDepth {
		if !w.full {
			w.full = true
			w.note(n, p, fmt.Sprintf("the document is too large or too deep: with its aliases it must have at most "+
				"%d KiB, %d values and %d levels", maxExpanded>>10, maxValues, maxDepth))
		}
		return
	}
	if _, known := w.lines[p.name]; !known {
		w.lines[p.name] = n.Line
		if p.line > 0 {
			w.lines[p.name] = p.line
		}
	}
	switch n.Kind {
	case yaml.MappingNode:
		w.mapping(n, p)
	case yaml.SequenceNode:
		w.out.WriteByte('[')
		for i, element := range n.Content {
			if i > 0 {
				w.out.WriteByte(',')
			}
			w.value(element, p.down(item(p.name, i)))
		}
		w.out.WriteByte(']')
	case yaml.AliasNode:
		w.alias(n, p)
	case yaml.ScalarNode:
		w.scalar(n, p)
	default:
		w.note(n, p, "this value cannot be read")
	}
}

func (w *writer) note(n *yaml.Node, p place, problem string) {
	w.mistakes = append(w.mistakes, Mistake{Place: p.name, Line: n.Line, Problem: problem})
}

func (w *writer) alias(n *yaml.Node, p place) {
	if slices.Contains(p.open, n.Alias) {
		w.note(n, p, "the alias *"+n.Value+" is within its own anchor")
		return
	}
	p.open = append(slices.Clip(p.open), n.Alias)
	if p.line == 0 {
		p.line = n.Line
	}
	p.depth++
	w.value(n.Alias, p)
}

func (w *writer) mapping(n *yaml.Node, p place) {
	w.out.WriteByte('{')
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!null":
			w.note(key, p, "a name must be a text")
			continue
		case key.Tag == "!!merge":
			w.note(key, p, "<< is not taken; an alias can stand for a whole value: fields: *fields")
			continue
		case len(key.Value) > maxName:
			w.note(key, p, fmt.Sprintf("the name %s is too long: it must have at most %d bytes", quote(key.Value), maxName))
			continue
		case seen[key.Value]:
			w.note(key, p.down(within(p.name, key.Value)), "this name is there twice; leave one out")
			continue
		}
		if len(seen) > 0 {
			w.out.WriteByte(',')
		}
		seen[key.Value] = true
		w.text(key.Value)
		w.out.WriteByte(':')
		w.value(n.Content[i+1], p.down(within(p.name, key.Value)))
	}
	w.out.WriteByte('}')
}

func (w *writer) text(text string) {
	encoded, _ := json.Marshal(text) // a string always has a form
	w.out.Write(encoded)
}

// scalar writes a text, a number, a truth value or null. What YAML takes for a day stays the text that it is.
func (w *writer) scalar(n *yaml.Node, p place) {
	switch n.ShortTag() {
	case "!!null":
		w.out.WriteString("null")
	case "!!bool":
		fmt.Fprint(&w.out, strings.EqualFold(n.Value, "true"))
	case "!!int", "!!float":
		if !json.Valid([]byte(n.Value)) {
			w.number(n, p)
			return
		}
		w.out.WriteString(n.Value)
	case "!!str", "!!timestamp":
		w.text(n.Value)
	default:
		w.note(n, p, "a value must be a text, a number, true, false, a list or a mapping")
	}
}

// number writes one that JSON writes in another way, such as 0x1f or +5.
func (w *writer) number(n *yaml.Node, p place) {
	if whole, ok := new(big.Int).SetString(strings.TrimPrefix(n.Value, "+"), 0); ok && len(n.Value) <= 100 {
		w.out.WriteString(whole.String())
		return
	}
	var float float64
	if n.Decode(&float) == nil {
		if encoded, err := json.Marshal(float); err == nil {
			w.out.Write(encoded)
			return
		}
	}
	w.note(n, p, "this number cannot be read; put it into quotes if it is a text")
}
