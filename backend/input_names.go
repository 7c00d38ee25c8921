package backend

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// maxUnknown bounds how many unknown fields a message names.
const maxUnknown = 5

// inputs are the fields that a write or deletion takes.
type inputs struct {
	// names are those of all of them, in their order, but for the name in the path.
	names []string
	// explained are those that are not taken, and whose handler says why: what the path declares for other types and providers, too.
	explained []string
	// own are those that the token's type or the account's provider has.
	own []provider.Field
}

func (in inputs) isSecret(name string) bool {
	return slices.ContainsFunc(in.own, func(f provider.Field) bool { return f.Name == name && f.Secret })
}

// noFieldOf says which fields are unknown, and what was most likely meant.
func (in inputs) noFieldOf(what string, unknown []string) string {
	var named []string
	unnamed := 0
	for _, name := range unknown {
		near := nearest(name, in.names)
		switch {
		case len(named) == maxUnknown || near == "" && !plainWord().MatchString(name):
			unnamed++
		case near == "":
			named = append(named, name)
		case in.isSecret(near):
			named = append(named, fmt.Sprintf("%s (did you mean %s=-?)", name, near))
		default:
			named = append(named, fmt.Sprintf("%s (did you mean %s?)", name, near))
		}
	}
	switch {
	case len(named) == 0:
		return "a field that " + what + " does not have was given; its name is not repeated, because it could be a part of a secret"
	case len(unknown) == 1:
		return named[0] + " is no field of " + what
	case unnamed > 0:
		named = append(named, fmt.Sprintf("%d more", unnamed))
	}
	return strings.Join(named, ", ") + " are no fields of " + what
}

// plainWord is what a field's name looks like that may be repeated: a secret in its place, such as the beginning of one that ends in
// "=", has digits, capitals or more letters in a row.
var plainWord = provider.Pattern(`^[a-z]{1,12}(?:[_-][a-z]{1,12}){0,3}$`)

// otherWords are what people call some fields, without the characters that join words.
var otherWords = map[string]string{
	"checkandset": "cas", "comment": "reason", "message": "reason", "why": "reason",
	"metadata": "custom_metadata", "schedule": "rotation_schedule", "cron": "rotation_schedule", "period": "rotation_period",
	"ttl": "refresh_ttl", "email": "contact_email", "graceperiod": "rotation_grace_period",
}

// nearest is the known field that was most likely meant; empty where none is near.
func nearest(given string, known []string) string {
	if len(given) > 64 {
		return ""
	}
	bare := letters(given)
	if other := otherWords[bare]; slices.Contains(known, other) {
		return other
	}
	best, least := "", math.MaxInt
	for _, name := range known {
		target := letters(name)
		distance := editDistance(bare, target)
		if distance <= len(target)/4 && distance < least {
			best, least = name, distance
		}
	}
	if best == "" && len(bare) >= minPart {
		best = onlyWithPart(bare, known)
	}
	return best
}

// minPart is how many letters a part of a field's name needs to stand for it.
const minPart = 3

// onlyWithPart is the only known field that begins or ends with the given word, such as auth_token for token.
func onlyWithPart(word string, known []string) string {
	found := ""
	for _, name := range known {
		target := letters(name)
		if !strings.HasPrefix(target, word) && !strings.HasSuffix(target, word) {
			continue
		}
		if found != "" {
			return ""
		}
		found = name
	}
	return found
}

// letters drops case and what joins words: auth-token, authToken and AUTH_TOKEN are one.
func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// editDistance counts the letters that were left out, added, changed or swapped with their neighbours.
func editDistance(from, to string) int {
	a, b := []rune(from), []rune(to)
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range a {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range b {
			changed := last[j]
			if a[i] != b[j] {
				changed++
			}
			row[j+1] = min(changed, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
