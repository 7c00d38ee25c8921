package definition

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Steps of a type, as examples name them. control is the request with a wrong value.
const (
	stepVerify   = "verify"
	stepControl  = "control"
	stepGrant    = "grant"
	stepRotate   = "rotate"
	stepRevoke   = "revoke"
	stepExchange = "exchange"
)

// verify is the Verify of the type.
func (t *tokenType) verify(ctx context.Context, a provider.Account, token provider.Token) (provider.Verification, error) {
	return t.prove(ctx, a, token, nil)
}

// prove asks the platform about a credential. The error is a *provider.Error, or that of token.Keep.
func (t *tokenType) prove(ctx context.Context, a provider.Account, token provider.Token, trial *Trial) (provider.Verification, error) {
	if problem := t.optionProblem(token.Options); problem != "" {
		return provider.Verification{Outcome: provider.Inconclusive, Detail: t.definition.Title() + " was not asked, because " + problem}, nil
	}
	c := t.newCall(a, token)
	c.trial = trial
	v, err := c.verify(ctx, stepVerify)
	if err != nil {
		return provider.Verification{}, err
	}
	if of := t.compiled(); v.Outcome == provider.Accepted && of.control != nil {
		v = c.compare(ctx, v, of.control)
	}
	return v, nil
}

// optionProblem says which option keeps the platform from being asked; empty where none does.
func (t *tokenType) optionProblem(options provider.Values) string {
	for _, f := range t.options {
		value := options[f.name]
		if value == "" && f.Default == "" && f.Required {
			return fmt.Sprintf("%s of the token is missing; give %s", f.name, f.want())
		}
		if problem := f.refusal(value); value != "" && problem != "" {
			return fmt.Sprintf("%s of the token %s", f.name, problem)
		}
	}
	return ""
}

// verify asks once, after a grant where the request needs one. Without a request the grant decides.
func (c *call) verify(ctx context.Context, name string) (provider.Verification, error) {
	of := c.t.compiled()
	if c.granted == nil && of.grant != nil && (of.verify == nil || of.verify.uses(accessToken)) {
		v, err := c.verifyGrant(ctx)
		if err != nil || v.Outcome != provider.Accepted || of.verify == nil {
			return v, err
		}
	}
	if of.verify == nil {
		problem := "was not called: nothing says how to verify this type"
		return provider.Verification{}, &provider.Error{Host: c.t.definition.Title(), Problem: problem, NotSent: true}
	}
	j, silence := c.do(ctx, step{name, of.verify, of.outcomes})
	if silence != nil {
		return provider.Verification{}, silence
	}
	return c.verification(ctx, j), nil
}

// verification is what an answer says about the credential.
func (c *call) verification(ctx context.Context, j *judged) provider.Verification {
	ctx, cancel := evaluation(ctx)
	defer cancel()
	v := provider.Verification{Outcome: provider.Inconclusive, RequestID: j.reported, Code: j.code(ctx)}
	if j.rule == nil {
		v.Detail = fmt.Sprintf("%s answered HTTP %d, which says nothing about the credential", j.Host, j.Status)
		return v
	}
	v.Outcome, v.Detail, v.Caveat = provider.Outcome(j.rule.Outcome), cmp.Or(j.rule.Detail, c.defaultDetail(j.rule.Outcome)), j.rule.Caveat
	switch v.Outcome {
	case provider.Accepted:
		c.describe(ctx, &v, j)
	case provider.Rejected:
		v.Detail += j.rule.hintFor(ctx, j.facts, c.token.Credential)
	}
	return v
}

// describe adds what an accepted credential's answer tells of it.
func (c *call) describe(ctx context.Context, v *provider.Verification, j *judged) {
	of := c.t.compiled()
	v.Identity = identityOf(of.identity.evaluate(ctx, j.facts), j.secrets)
	v.ExpiresAt = moment(of.expiresAt.evaluate(ctx, j.facts))
}

func (c *call) defaultDetail(outcome string) string {
	title := c.t.definition.Title()
	switch provider.Outcome(outcome) {
	case provider.Accepted:
		return title + " accepts the credential"
	case provider.Rejected:
		return title + " refuses the credential"
	default:
		return title + " answered, and its answer says nothing about the credential"
	}
}

// verifyGrant asks for an access token, and says what the answer means for the credential.
func (c *call) verifyGrant(ctx context.Context) (provider.Verification, error) {
	j, err := c.grant(ctx)
	if refusal, ok := errors.AsType[*undecided](err); ok {
		return provider.Verification{Outcome: provider.Inconclusive, Detail: refusal.detail, Code: refusal.code, RequestID: j.reported}, nil
	}
	if refusal, ok := errors.AsType[*provider.Refused](err); ok {
		return provider.Verification{Outcome: provider.Rejected, Detail: refusal.Detail, Code: refusal.Code, RequestID: j.reported}, nil
	}
	if err != nil {
		return provider.Verification{}, err
	}
	v := provider.Verification{Outcome: provider.Accepted, Detail: c.t.definition.Title() + " grants access tokens for the credential"}
	if c.t.compiled().verify == nil {
		v.RequestID = j.reported
		c.describe(ctx, &v, j)
	}
	return v, nil
}
