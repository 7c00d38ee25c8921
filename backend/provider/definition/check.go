package definition

import (
	"slices"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// check finds what the schema cannot: names that are taken, patterns, defaults, and all that has to be compiled.
func (d *Definition) check(l *list, taken provider.Taken) {
	d.checkNames(l, taken)
	budget := maxPatternTotal
	place := "account.endpoints"
	for _, f := range d.endpoints {
		checkField(l, within(place, f.name), f, &budget)
	}
	place = "account.settings"
	for _, f := range d.settings {
		checkField(l, within(place, f.name), f, &budget)
	}
	limits := d.Account.Limits.Verifications
	if limits.Burst > 0 && time.Duration(limits.Every) < time.Second {
		l.add("account.limits.verifications.every", "must be at least 1s")
	}
	for _, t := range d.types {
		t.check(l, &budget)
	}
}

// check compiles the type, and keeps what it has compiled.
func (t *tokenType) check(l *list, budget *int) {
	place := within("token_types", t.name)
	for _, f := range t.fields {
		checkField(l, within(within(place, "fields"), f.name), f, budget)
		if f.Secret && t.ResetSemantics == "none" {
			l.add(within(within(place, "fields"), f.name), "is secret, and reset_semantics none is for types without a secret")
		}
	}
	for _, f := range t.options {
		checkField(l, within(within(place, "options"), f.name), f, budget)
	}
	if t.ResetSemantics == "none" && (t.Rotate != nil || t.Revoke != nil) {
		l.add(place, "reset_semantics none is for types with nothing to replace: leave out rotate and revoke")
	}
	if *budget < 0 {
		return // patterns that are too large are not compiled
	}
	compiled := compileType(t, l)
	t.compiled = func() *abilities { return compiled }
	t.checkExamples(l)
}

func (d *Definition) checkNames(l *list, taken provider.Taken) {
	ofAccount := map[string]string{}
	for place, fields := range map[string][]*field{"account.endpoints": d.endpoints, "account.settings": d.settings} {
		for _, f := range fields {
			checkTaken(l, within(place, f.name), f.name, taken.Account)
		}
	}
	for _, f := range d.accountFields() {
		checkDistinct(l, "account.settings", f.name, "an endpoint", ofAccount, "settings")
	}
	for _, t := range d.types {
		place := within("token_types", t.name)
		checkName(l, place, t.name)
		ofToken, beside := map[string]string{}, map[string]string{}
		names := taken.Token
		if t.Grant != nil {
			names = slices.Concat(names, taken.AccessToken)
		}
		for _, f := range t.fields {
			checkTaken(l, within(within(place, "fields"), f.name), f.name, names)
			ofToken[f.name], beside[f.name] = "fields", "fields"
		}
		for _, f := range t.options {
			checkTaken(l, within(within(place, "options"), f.name), f.name, names)
			checkDistinct(l, within(place, "options"), f.name, "a field of the credential", ofToken, "options")
		}
		for _, m := range t.Connection {
			checkTaken(l, within(within(place, "connection"), m.Name), m.Name, names)
			checkDistinct(l, within(place, "connection"), m.Name, "a field of the credential", beside, "connection")
		}
	}
}

var nameForm = provider.Pattern(`^[a-z][a-z0-9_]{0,62}$`)

// IsName says whether a definition, or anything in it, can be called so.
func IsName(text string) bool { return nameForm().MatchString(text) }

func checkName(l *list, place, name string) {
	if !IsName(name) {
		l.add(place, "a name has lower-case letters, digits and _, begins with a letter, and has at most 63 characters")
	}
}

// checkTaken wants a name that the engine does not use itself.
func checkTaken(l *list, place, name string, taken []string) {
	checkName(l, place, name)
	if slices.Contains(taken, name) {
		l.add(place, "the name %s is taken by the engine's own paths; choose another one", name)
	}
}

// checkDistinct tells of a name that is there already, and keeps it.
func checkDistinct(l *list, place, name, what string, seen map[string]string, kind string) {
	if seen[name] != "" {
		l.add(within(place, name), "the name %s is that of %s too; choose another one", name, what)
	}
	seen[name] = kind
}

// maxChoice is how long a choice may be.
const maxChoice = 200

// checkField looks at patterns, choices and the default. What patterns compile to is taken off the budget.
func checkField(l *list, place string, f *field, budget *int) {
	checkPatterns(l, place, f, budget)
	for _, name := range f.Choices.names {
		if f.checkLine(name) != nil || name == "" || len(name) > maxChoice {
			l.add(within(place, "choices"), "a choice is one line of 1 to %d printable characters", maxChoice)
		}
	}
	if f.Pattern != "" && len(f.Choices.names) > 0 {
		l.add(place, "give one of pattern and choices")
	}
	if f.Secret && (f.Default != "" || len(f.Choices.names) > 0) {
		l.add(place, "is secret, so it has neither a default nor choices: a definition is no secret")
	}
	if f.Secret && f.Endpoint {
		l.add(place, "is secret, so it cannot be a part of addresses")
	}
	if f.Default != "" && *budget >= 0 {
		checkDefault(l, within(place, "default"), f)
	}
}

func checkDefault(l *list, place string, f *field) {
	if canonical, err := f.check(f.Default); err != nil {
		l.add(place, "is no value of the field: it %v", err)
	} else if canonical != f.Default {
		l.add(place, "must be written as it is used: %s", canonical)
	}
}

func checkPatterns(l *list, place string, f *field, budget *int) {
	check := func(at, pattern string) {
		size, err := checkPattern(pattern)
		if *budget -= size; err != nil {
			l.add(at, "%v", err)
		} else if *budget < 0 && *budget+size >= 0 {
			l.add(at, "all patterns together are too large: they compile to more than %d instructions", maxPatternTotal)
		}
	}
	if f.Pattern != "" {
		check(within(place, "pattern"), f.Pattern)
	}
	for i, r := range f.Refuse {
		check(within(item(within(place, "refuse"), i), "pattern"), r.Pattern)
	}
}
