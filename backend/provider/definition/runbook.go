package definition

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// conditional is a text that holds where its expression says so; one without holds always.
type conditional struct {
	when        expression
	conditioned bool
	text        string
}

func (c *compiler) conditionals(place string, texts []textDocument) []conditional {
	all := make([]conditional, len(texts))
	for i, d := range texts {
		when := c.expression(within(item(place, i), "when"), d.When, ofAccounts, wantBool...)
		all[i] = conditional{when, d.When != "", d.Text}
	}
	return all
}

// that are the texts that hold for an account.
func that(all []conditional, facts map[string]any) []string {
	var texts []string
	for _, c := range all {
		if !c.conditioned || c.when.holds(context.Background(), facts) {
			texts = append(texts, c.text)
		}
	}
	return texts
}

const beReady = "Have a terminal with Vault access ready: from the reset until the apps read the new value, their requests fail."

// runbook is the Runbook of the type: the document's steps between those that are the same everywhere.
func (t *tokenType) runbook(settings provider.Values) provider.Runbook {
	of := t.compiled()
	facts := t.factsOf(settings, nil)
	steps := that(of.steps, facts)
	if t.semantics() == provider.Immediate {
		steps = slices.Insert(steps, 0, beReady)
	}
	if handIn := t.handIn(); handIn != "" {
		steps = append(steps, handIn)
	}
	d := t.Runbook
	return provider.Runbook{ConsoleURL: d.ConsoleURL, Role: d.Role, Steps: steps, Previous: d.Previous, Notes: that(of.notes, facts)}
}

// handIn is the last step; empty where the type has no secret to hand in.
func (t *tokenType) handIn() string {
	var secret string
	var others, identifiers []string
	for _, f := range t.fields {
		if f.Secret {
			secret = f.name
		}
	}
	if secret == "" {
		return ""
	}
	for _, f := range t.fields {
		if f.name == secret {
			continue
		}
		others = append(others, f.name)
		if !f.Secret {
			identifiers = append(identifiers, f.name)
		}
	}
	const write = "`vault write adtokens/tokens/<name>/rotate "
	const paste = "paste it, press Enter and then Ctrl-D."
	if t.semantics() == provider.Overlapping {
		text := "Hand the new value in: " + write + secret + "=-`, " + paste
		if len(identifiers) > 0 {
			text += fmt.Sprintf(" Where %s changed too: %s%s=… %s=-`.", has(identifiers), write, strings.Join(identifiers, "=… "), secret)
		}
		return text
	}
	text := "Hand the new value in at once: " + write + secret + "=-`, " + paste
	switch len(others) {
	case 0:
	case 1:
		text += " " + others[0] + " keeps its value unless it is handed in too."
	default:
		text += " " + strings.Join(others, ", ") + " keep their values unless they are handed in too."
	}
	return text
}

func has(names []string) string {
	if len(names) == 1 {
		return names[0] + " has"
	}
	return strings.Join(names, ", ") + " have"
}
