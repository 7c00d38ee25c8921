package definition

import (
	"fmt"
	"slices"
)

// Advice is what a definition may say, and hardly means.
func (d *Definition) Advice() []string {
	var advice []string
	for _, t := range d.types {
		if t.ResetSemantics != "none" && !slices.ContainsFunc(t.fields, func(f *field) bool { return f.Secret }) {
			advice = append(advice, fmt.Sprintf("no field of %s is secret, so everybody sees its values: mark what nobody may see with secret: true", t.name))
		}
	}
	return advice
}
