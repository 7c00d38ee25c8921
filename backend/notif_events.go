package backend

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// eventNamespace is what the names of all events begin with. Patterns may leave it out.
const eventNamespace = "adtokens/"

// eventTest is the type of a message that is sent to try a receiver. It is no event.
const eventTest = "adtokens/test"

// defaultNotified are the events that a notification tells of unless it says otherwise: those that somebody has to act on.
var defaultNotified = []string{"rotate-fail", "verify-fail", "overdue", "expiring", "retirement-waits", "campaign-done"}

// fieldNotifyEvents has the patterns of a notification.
const fieldNotifyEvents = "events"

const (
	maxEventPatterns = 64
	maxEventPattern  = 128
)

// notifiableEvents are the names of all events, without the namespace, in their order.
func notifiableEvents() []string {
	var names []string
	for name := range maps.Keys(eventOperations) {
		names = append(names, strings.TrimPrefix(name, eventNamespace))
	}
	slices.Sort(names)
	return names
}

// eventPattern matches whole names of events, where * stands for any characters.
func eventPattern(pattern string) *regexp.Regexp {
	parts := strings.Split(pattern, "*")
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile("^(?:" + strings.Join(parts, ".*") + ")$")
}

// matchesEvent says whether one of the patterns fits the name of an event, with or without the namespace.
func matchesEvent(patterns []*regexp.Regexp, eventType string) bool {
	name := strings.TrimPrefix(eventType, eventNamespace)
	return slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool {
		return p.MatchString(name) || p.MatchString(eventNamespace+name)
	})
}

// checkEvents returns the patterns without blanks around them and without repetitions. One that fits no event is most likely a mistake,
// and would stay silent for ever.
func checkEvents(given []string) ([]string, error) {
	var patterns []string
	for _, pattern := range given {
		pattern = strings.TrimSpace(pattern)
		switch {
		case pattern == "" || slices.Contains(patterns, pattern):
			continue
		case len(patterns) == maxEventPatterns:
			return nil, badInput("%s must have at most %d names; nothing was changed", fieldNotifyEvents, maxEventPatterns)
		case len(pattern) > maxEventPattern || !matchesSomeEvent(pattern):
			return nil, badInput("%s must be names of events, where * stands for any characters, and one of those given fits none: %s. "+
				"There are %s; nothing was changed", fieldNotifyEvents, quotePattern(pattern), strings.Join(notifiableEvents(), ", "))
		}
		patterns = append(patterns, pattern)
	}
	return patterns, nil
}

func matchesSomeEvent(pattern string) bool {
	if !plainText(pattern) {
		return false // such as what is no UTF-8, which cannot be compiled either
	}
	compiled := []*regexp.Regexp{eventPattern(pattern)}
	return slices.ContainsFunc(notifiableEvents(), func(name string) bool { return matchesEvent(compiled, name) })
}

// plainPattern is what a pattern looks like that may be repeated in an error: anything else could be a secret in the wrong place.
var plainPattern = provider.Pattern(`^[a-z*/_-]{1,40}$`)

func quotePattern(pattern string) string {
	if !plainPattern().MatchString(pattern) {
		return "it is not repeated, because it could be a part of a secret"
	}
	return pattern
}
