package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Mistake is something wrong with a document.
type Mistake struct {
	// Place is where, such as token_types.api_key.verify.outcomes[1].when; empty for the document as a whole.
	Place string
	// Line counts from 1; zero where it is not known.
	Line int
	// Problem says what is wrong and what is right. It may quote the document.
	Problem string
}

func (m Mistake) String() string {
	var text strings.Builder
	if m.Line > 0 {
		fmt.Fprintf(&text, "line %d: ", m.Line)
	}
	if m.Place != "" {
		text.WriteString(m.Place + ": ")
	}
	return text.String() + m.Problem
}

// Mistakes are all that is wrong with a document, in its order.
type Mistakes []Mistake

// maxMistakes bounds what is told at once.
const maxMistakes = 100

// Error has one line for each mistake.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, mistake := range m {
		lines[i] = mistake.String()
	}
	return strings.Join(lines, "\n")
}

// asError keeps a nil of this type out of an error.
func (m Mistakes) asError() error {
	if len(m) == 0 {
		return nil
	}
	return m
}

// sorted puts the mistakes into the document's order, each once.
func (m Mistakes) sorted() Mistakes {
	slices.SortStableFunc(m, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Place, b.Place))
	})
	m = slices.Compact(m)
	if more := len(m) - maxMistakes; more > 0 {
		m = append(m[:maxMistakes:maxMistakes], Mistake{Problem: fmt.Sprintf("and %d more mistakes", more)})
	}
	return m
}

// list collects mistakes, and knows the lines of places.
type list struct {
	mistakes Mistakes
	lines    map[string]int
	// expressions counts those that have been compiled.
	expressions int
}

// add tells of a mistake. The line is that of the place, or of the nearest one around it that is in the document.
func (l *list) add(place, format string, args ...any) {
	l.mistakes = append(l.mistakes, Mistake{Place: place, Line: l.line(place), Problem: fmt.Sprintf(format, args...)})
}

func (l *list) line(place string) int {
	for {
		if line, known := l.lines[place]; known || place == "" {
			return line
		}
		place = place[:max(strings.LastIndexAny(place, ".["), 0)]
	}
}

// within names a member of a place.
func within(place, member string) string {
	if place == "" {
		return member
	}
	return place + "." + member
}

// item names an element of a place.
func item(place string, index int) string { return fmt.Sprintf("%s[%d]", place, index) }

// quote shows a part of the document in a mistake.
func quote(text string) string {
	const longest = 80
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

// oneOf lists what is right.
func oneOf(names []string) string { return strings.Join(names, ", ") }
