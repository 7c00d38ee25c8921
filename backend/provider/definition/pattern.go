package definition

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"sync"
)

// Bounds of what the patterns of a document compile to, in instructions. A short pattern can become a large program: (a{1000}b{1000}…).
const (
	maxPatternSize  = 20_000
	maxPatternTotal = 200_000
)

// patternSize is about how many instructions a pattern compiles to.
func patternSize(re *syntax.Regexp) int {
	size := 1
	for _, sub := range re.Sub {
		size += patternSize(sub)
	}
	switch re.Op {
	case syntax.OpRepeat:
		size *= max(re.Max, re.Min, 1)
	case syntax.OpLiteral:
		size += len(re.Rune)
	case syntax.OpCharClass:
		size += len(re.Rune) / 2
	}
	return min(size, maxPatternTotal+1)
}

// checkPattern says what is wrong with a pattern, and how large it is.
func checkPattern(pattern string) (size int, err error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, fmt.Errorf("is no RE2 pattern: %w", err)
	}
	size = patternSize(parsed)
	if size > maxPatternSize {
		return size, fmt.Errorf("is too large: repetitions such as {1000} multiply, and it compiles to over %d instructions", maxPatternSize)
	}
	return size, nil
}

// matcher matches whole values. It compiles its pattern at the first use.
type matcher struct {
	compile func() *regexp.Regexp
}

// newMatcher wants a pattern that checkPattern has taken; any other matches nothing.
func newMatcher(pattern string) *matcher {
	return &matcher{sync.OnceValue(func() *regexp.Regexp {
		re, err := regexp.Compile(`^(?:` + pattern + `)$`)
		if err != nil {
			return nil
		}
		return re
	})}
}

func (m *matcher) matches(value string) bool {
	re := m.compile()
	return re != nil && re.MatchString(value)
}
