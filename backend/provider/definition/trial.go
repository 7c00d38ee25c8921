package definition

import (
	"context"
	"fmt"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Trial is what a verification did, for somebody who writes a definition. It holds no value.
type Trial struct {
	Steps []Step
}

// Step is one request.
type Step struct {
	// Name is grant, verify or control.
	Name string
	// Host is where the request went, Status the answer's. Both are empty without an answer.
	Host   string
	Status int
	// Rule is the place of the rule that fits, and When its expression. Both are empty where none does.
	Rule, When string
	Duration   time.Duration
	// Error says why there is no answer.
	Error string
}

func (t *Trial) note(s Step) {
	if t != nil {
		t.Steps = append(t.Steps, s)
	}
}

// Try is the Verify of a token type that also tells what was done. The error is a *provider.Error, or says that there is no such type.
func (d *Definition) Try(
	ctx context.Context, tokenType string, a provider.Account, token provider.Token,
) (provider.Verification, Trial, error) {
	t := d.typeNamed(tokenType)
	if t == nil {
		return provider.Verification{}, Trial{}, fmt.Errorf("%s has no token type %q", d.Title(), tokenType)
	}
	var trial Trial
	v, err := t.prove(ctx, a, token, &trial)
	return v, trial, err
}
