package backend

import (
	"errors"
	"fmt"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// explainTrial is nil where the value may be published.
func (b *backend) explainTrial(in handedIn, candidate *rotation.Candidate, v provider.Verification, err error) error {
	var silence *provider.Error
	switch {
	case errors.As(err, &silence) && in.source == rotation.SourceImport:
		return fmt.Errorf("nothing was changed, because the credential could not be verified: %w. Try again; "+
			"or create the token without a credential, and hand the value in once the provider answers", err)
	case errors.As(err, &silence):
		return fmt.Errorf("nothing was changed, because the credential could not be verified: %w. Try again; "+
			"or, if the old value is dead and apps are down, publish it unverified with verify=false", err)
	case err != nil:
		return err
	case v.Outcome == provider.Rejected:
		return badInput("the provider refuses this credential, so nothing was changed: %s%s%s. %s",
			explain(v), in.kept(), b.looksLike(in, *candidate), in.nextStep())
	}
	return nil
}

// kept says which fields were tried with the value that the token has, because the request left them out.
func (in handedIn) kept() string {
	var names []string
	for _, f := range in.token.kind.Fields {
		if in.given[f.Name] == "" {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; it was tried with the " + strings.Join(names, " and the ") + " that the token had, because the request has none"
}

// nextStep is what to type after a refusal.
func (in handedIn) nextStep() string {
	if in.source == rotation.SourceImport {
		return "Copy the value again, and repeat the write; the token does not exist yet"
	}
	return readRunbook(in.token.name) + " tells where the right value is"
}
