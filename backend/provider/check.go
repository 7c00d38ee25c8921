package provider

import (
	"fmt"
	"slices"
)

// MustCheck panics where a name would hide another one: a provider's, that of a type within its provider, or that of a field
// within an account or a token; and where a type lacks what every type has. That is a mistake in the code, which would otherwise
// lose or reveal values. Taken names the fields that accounts and tokens have beside the provider's own.
func MustCheck(taken Taken, all ...*Provider) {
	known := map[string]bool{}
	for _, p := range all {
		if known[p.Name] {
			panic(fmt.Sprintf("two providers have the name %q", p.Name))
		}
		known[p.Name] = true
		if err := Check(p, taken); err != nil {
			panic(err)
		}
	}
}

// Taken are the names of fields that are no provider's. AccessToken are those of tokens of types with the ability Mint alone.
type Taken struct{ Account, Token, AccessToken []string }

// Check says what is wrong with a provider: see MustCheck.
func Check(p *Provider, taken Taken) error {
	if err := checkDistinct("the accounts of "+p.Name, taken.Account, p.AccountFields); err != nil {
		return err
	}
	for i, kind := range p.Types {
		if slices.ContainsFunc(p.Types[:i], func(other *TokenType) bool { return other.Name == kind.Name }) {
			return fmt.Errorf("two token types of %s have the name %q", p.Name, kind.Name)
		}
		whose := "the token type " + kind.Name
		names := taken.Token
		if kind.Mint != nil {
			names = slices.Concat(names, taken.AccessToken)
		}
		if err := checkDistinct(whose, names, slices.Concat(kind.Fields, kind.Options)); err != nil {
			return err
		}
		if err := checkDistinct(whose, names, slices.Concat(kind.Fields, kind.Connection)); err != nil {
			return err
		}
		if kind.Verify == nil || kind.Runbook == nil {
			return fmt.Errorf("%s of %s has no Verify or no Runbook", whose, p.Name)
		}
	}
	return nil
}

// checkDistinct refuses two fields of one name, and one whose name is taken.
func checkDistinct(whose string, taken []string, fields []Field) error {
	for i, f := range fields {
		if _, twice := Lookup(fields[:i], f.Name); twice || slices.Contains(taken, f.Name) {
			return fmt.Errorf("the field %q of %s has a name that is taken", f.Name, whose)
		}
	}
	return nil
}
