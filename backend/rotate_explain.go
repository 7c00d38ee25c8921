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
	case in.foreign(v):
		return in.refuseForeign(v)
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

// foreign says whether the value that is handed in is somebody else's than the token's, and nobody has said that this is meant.
func (in handedIn) foreign(v provider.Verification) bool {
	return !in.acceptOther && in.token.OtherIdentity(v)
}

// refuseForeign says whose the value is that is handed in, and whose the token's.
func (in handedIn) refuseForeign(v provider.Verification) error {
	lost := ""
	switch {
	case in.source == rotation.SourceConsent:
		lost = " What the consent gave is dropped; the grant lives on at the platform until somebody ends it there."
	case singleUse(in.token.kind):
		lost = " The value was used up by this: get another one first."
	}
	return badInput("this is a credential of %q, and the token's is one of %q, so nothing was changed.%s If that is meant, give accept_other_identity=true too; %s",
		v.Identity, in.token.Identity, lost, in.nextStep())
}
