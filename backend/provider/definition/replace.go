package definition

import (
	"maps"
	"slices"
)

// Uses are what accounts and tokens use of a definition.
type Uses struct {
	// Accounts says that there are accounts of the platform.
	Accounts bool
	// Settings are the names of settings and endpoints that an account has a value for.
	Settings []string
	// Types are the token types that tokens have, with the options that some token of the type has a value for.
	Types map[string][]string
}

// CheckReplacement says why a definition cannot take the place of another one; nil where it can. What is used stays: its name, its
// place, and that it is secret. Otherwise a stored value would be lost or shown, or what anybody may write would become an address that
// secrets go to. The error is Mistakes in the new one.
func CheckReplacement(old, replacement *Definition, used Uses) error {
	l := &list{lines: replacement.lines}
	if old.Name() != replacement.Name() {
		l.add("name", "must stay %s", old.Name())
	}
	checkSettings(l, old, replacement, used)
	for _, name := range slices.Sorted(maps.Keys(used.Types)) {
		before, after := old.typeNamed(name), replacement.typeNamed(name)
		switch {
		case before == nil:
		case after == nil:
			l.add("token_types", "the type %s must stay: tokens have it", name)
		default:
			checkType(l, before, after, used.Types[name])
		}
	}
	return l.mistakes.sorted().asError()
}

// setting says whether accounts have a value for a setting: one of their own, or its default. That of an endpoint they only have where
// it was stored with them.
func (u Uses) setting(f *field) bool {
	return slices.Contains(u.Settings, f.name) || u.Accounts && f.Default != "" && !f.isEndpoint
}

func checkSettings(l *list, old, replacement *Definition, used Uses) {
	for _, before := range old.accountFields() {
		if !used.setting(before) {
			continue
		}
		section, other := "account.settings", "account.endpoints"
		if before.isEndpoint {
			section, other = other, section
		}
		after := lookup(replacement.accountFields(), before.name)
		switch {
		case after == nil:
			l.add(section, "%s must stay: accounts have a value for it", before.name)
		case after.isEndpoint != before.isEndpoint:
			l.add(within(other, before.name), "must stay in %s: accounts have a value for it, and what decides where requests go "+
				"is written under other rules", section)
		default:
			checkSecrecy(l, within(section, before.name), before, after)
			if before.Endpoint && !after.Endpoint {
				l.add(within(section, before.name), "endpoint: true must stay: accounts have a value for it")
			}
		}
	}
	for _, f := range replacement.accountFields() {
		if used.Accounts && f.Required && f.Default == "" && lookup(old.accountFields(), f.name) == nil {
			section := "account.settings"
			if f.isEndpoint {
				section = "account.endpoints"
			}
			l.add(within(within(section, f.name), "required"), "cannot be true of a new setting: the accounts that there are have no value for it")
		}
	}
}

func checkType(l *list, before, after *tokenType, options []string) {
	place := within("token_types", before.name)
	for _, f := range before.fields {
		if kept := lookup(after.fields, f.name); kept == nil {
			l.add(within(place, "fields"), "%s must stay: tokens have a value for it", f.name)
		} else {
			checkSecrecy(l, within(within(place, "fields"), f.name), f, kept)
		}
	}
	for _, f := range after.fields {
		if lookup(before.fields, f.name) == nil {
			l.add(within(within(place, "fields"), f.name), "is new, and tokens of this type have no value for it; give it to a new type")
		}
	}
	for _, name := range options {
		if lookup(before.options, name) != nil && lookup(after.options, name) == nil {
			l.add(within(place, "options"), "%s must stay: tokens have a value for it", name)
		}
	}
	for _, f := range after.options {
		if lookup(before.options, f.name) == nil && f.Required && f.Default == "" {
			at := within(within(within(place, "options"), f.name), "required")
			l.add(at, "cannot be true of a new option: the tokens that there are have no value for it")
		}
	}
}

func checkSecrecy(l *list, place string, before, after *field) {
	if before.Secret && !after.Secret {
		l.add(within(place, "secret"), "must stay true: there are values that would be shown")
	}
}
