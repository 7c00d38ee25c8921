package definition

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// answered are the fields that an answer gives.
type answered []answeredField

type answeredField struct {
	name  string
	value expression
}

func (c *compiler) answered(place string, members ordered[string]) answered {
	var fields answered
	for _, m := range members {
		at := within(place, m.Name)
		if lookup(c.t.fields, m.Name) == nil {
			c.unknown(at, "field", m.Name, namesOf(c.t.fields))
		}
		fields = append(fields, answeredField{m.Name, c.expression(at, m.Value, ofAnswers, wantName...)})
	}
	return fields
}

// values takes the fields out of an answer. The missing one is named where there is one.
func (f answered) values(ctx context.Context, facts map[string]any) (values provider.Values, missing string) {
	ctx, cancel := evaluation(ctx)
	defer cancel()
	values = provider.Values{}
	for _, field := range f {
		value, ok := receivedValue(field.value.evaluate(ctx, facts))
		if !ok {
			return nil, field.name
		}
		values[field.name] = value
	}
	return values, ""
}

// found are the values that the answer has, for an answer that is taken for none that gives some.
func (f answered) found(ctx context.Context, facts map[string]any) []string {
	var found []string
	for _, field := range f {
		if value, ok := receivedValue(field.value.evaluate(ctx, facts)); ok {
			found = append(found, value)
		}
	}
	return found
}

// withGrant asks for an access token where a request needs one.
func (c *call) withGrant(ctx context.Context, r *request) error {
	if c.t.compiled().grant == nil || !r.uses(accessToken) {
		return nil
	}
	_, err := c.grant(ctx)
	if silence, ok := errors.AsType[*provider.Error](err); ok {
		silence.NotSent = true // what came after it was not sent
		return silence
	}
	if doubt, ok := errors.AsType[*undecided](err); ok {
		return &provider.Refused{Detail: doubt.detail, Code: doubt.code}
	}
	return err
}

// renew is the Call of the type's Renewal. An answer that says to come back later is one that nothing was done for.
func (t *tokenType) renew(ctx context.Context, a provider.Account, token provider.Token) (provider.Values, error) {
	of := t.compiled().rotate
	c := t.newCall(a, token)
	if err := c.withGrant(ctx, of.request); err != nil {
		return nil, err
	}
	j, silence := c.do(ctx, step{stepRotate, of.request, of.rules})
	if silence != nil {
		silence.NotSent = silence.NotSent || silence.Kind == provider.RateLimited
		return nil, silence
	}
	return c.replaced(ctx, of, j)
}

// replaced are the new values of an answer.
func (c *call) replaced(ctx context.Context, of *rotate, j *judged) (provider.Values, error) {
	title := c.t.definition.Title()
	switch {
	case j.rule == nil && j.Status >= 400:
		return nil, &provider.Refused{Detail: fmt.Sprintf("%s does not replace the credential: it answered HTTP %d, "+
			"for which its definition has no rule", title, j.Status)}
	case j.rule == nil:
		return nil, &provider.Error{Host: j.Host, Problem: fmt.Sprintf("answered HTTP %d, for which the definition has no rule, "+
			"so whether it has replaced the credential is not known", j.Status)}
	case j.rule.Outcome == outcomeRefused:
		j.secrets = append(j.secrets, of.credential.found(ctx, j.facts)...)
		return nil, &provider.Refused{Detail: cmp.Or(j.rule.Detail, title+" does not replace the credential"), Code: j.code(ctx)}
	}
	values, missing := of.credential.values(ctx, j.facts)
	if missing != "" {
		problem := fmt.Sprintf("says that it has replaced the credential (HTTP %d), and its answer has no usable %s", j.Status, missing)
		return nil, &provider.Error{Host: j.Host, Problem: problem}
	}
	return values, nil
}

// retire is the Retire of the type.
func (t *tokenType) retire(ctx context.Context, a provider.Account, old provider.Token, current provider.Values) error {
	of := t.compiled().revoke
	c := t.newCall(a, old)
	c.secrets = append(c.secrets, t.secretsOf(nil, current)...)
	for _, f := range t.fields {
		if value := current[f.name]; value != "" {
			c.variables[ofCurrent+f.name] = value
		}
	}
	if name := of.request.needsCurrent(c.variables); name != "" {
		return &provider.Refused{Detail: fmt.Sprintf("%s ends an old credential with the %s of the current one, and there is none", t.definition.Title(), name)}
	}
	if err := c.grantForRetiring(ctx, of.request, old, current); err != nil {
		return err
	}
	j, silence := c.do(ctx, step{stepRevoke, of.request, of.rules})
	if silence != nil {
		return silence
	}
	return c.ended(ctx, j)
}

// grantForRetiring gets the access token with the current credential, because the old one may be refused already.
func (c *call) grantForRetiring(ctx context.Context, r *request, old provider.Token, current provider.Values) error {
	if c.t.compiled().grant == nil || !r.uses(accessToken) {
		return nil
	}
	by := c
	if current != nil {
		by = c.t.newCall(c.account, provider.Token{Options: old.Options, Credential: current, Begin: old.Begin, Keep: old.Keep})
	}
	if err := by.withGrant(ctx, r); err != nil {
		return err
	}
	c.know(accessToken, by.granted.Value)
	return nil
}

// ended is nil where the answer says that the old value is refused from now on.
func (c *call) ended(ctx context.Context, j *judged) error {
	title := c.t.definition.Title()
	switch {
	case j.rule == nil:
		return &provider.Refused{Detail: fmt.Sprintf("%s does not end the old credential: it answered HTTP %d, "+
			"for which its definition has no rule", title, j.Status)}
	case j.rule.Outcome == outcomeRefused:
		return &provider.Refused{Detail: cmp.Or(j.rule.Detail, title+" does not end the old credential"), Code: j.code(ctx)}
	}
	return nil
}

// needsCurrent is the first variable of the current credential that the request needs and that has no value.
func (r *request) needsCurrent(v variables) string {
	for _, f := range r.t.fields {
		name := ofCurrent + f.name
		if _, defined := v[name]; !defined && r.uses(name) {
			return strings.TrimPrefix(name, ofCurrent)
		}
	}
	return ""
}
