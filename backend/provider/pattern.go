package provider

import (
	"regexp"
	"sync"
)

// Pattern is a regular expression that is compiled at its first use. One with a bounded repetition takes up to a millisecond for that, which
// every start of the plugin would pay for. A mistake in it is a mistake in the code, and panics.
func Pattern(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
