package definition

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// outcomesOf are the words for what an answer can mean, by step.
var outcomesOf = map[string][]string{
	stepVerify:   {outcomeAccepted, outcomeRejected, outcomeInconclusive, outcomeThrottled, outcomeUnavailable},
	stepGrant:    {outcomeGranted, outcomeRejected, outcomeInconclusive, outcomeThrottled, outcomeUnavailable},
	stepExchange: {outcomeGranted, outcomeRejected, outcomeInconclusive, outcomeThrottled, outcomeUnavailable},
	stepRotate:   {outcomeReplaced, outcomeRefused, outcomeThrottled, outcomeUnavailable},
	stepRevoke:   {outcomeDone, outcomeRefused, outcomeThrottled, outcomeUnavailable},
}

// stepNames are those that the type has, in order.
func (t *tokenType) stepNames() []string {
	var names []string
	if t.Verify != nil && t.Verify.Request != nil {
		names = append(names, stepVerify)
	}
	has := map[string]bool{stepGrant: t.Grant != nil, stepRotate: t.Rotate != nil, stepRevoke: t.Revoke != nil, stepExchange: t.Consent != nil}
	for _, name := range []string{stepGrant, stepRotate, stepRevoke, stepExchange} {
		if has[name] {
			names = append(names, name)
		}
	}
	return names
}

// checkExamples looks at what examples name.
func (t *tokenType) checkExamples(l *list) {
	known := t.stepNames()
	for i, e := range t.Examples {
		place := item(within(within("token_types", t.name), "examples"), i)
		if !slices.Contains(known, e.Step) {
			if outcomesOf[e.Step] != nil { // other steps are the schema's to refuse
				l.add(within(place, "step"), "the type has no %s with a request; it has %s", e.Step, oneOf(known))
			}
			continue
		}
		if words := outcomesOf[e.Step]; !slices.Contains(words, e.Expect.Outcome) {
			l.add(within(place, "expect.outcome"), "must be one of %s for the step %s", oneOf(words), e.Step)
		}
		if e.Control != nil && (t.Verify == nil || t.Verify.Control == nil) {
			l.add(within(place, "control"), "the type has no verify.control")
		}
		for _, given := range []struct {
			name   string
			values values
			fields []*field
		}{{"account", e.Account, t.definition.accountFields()}, {"options", e.Options, t.options}, {"credential", e.Credential, t.fields}} {
			for _, name := range slices.Sorted(maps.Keys(given.values)) {
				if lookup(given.fields, name) == nil {
					l.add(within(within(place, given.name), name), "there is no such name; known are %s", oneOf(namesOf(given.fields)))
				}
			}
		}
	}
}

// MissingExamples tells what a definition should have examples of: of verify one accepted and one rejected answer, of each other step
// one.
func (d *Definition) MissingExamples() Mistakes {
	l := &list{lines: d.lines}
	for _, t := range d.types {
		place := within(within("token_types", t.name), "examples")
		for _, step := range t.stepNames() {
			wanted := []string{""}
			if step == stepVerify {
				wanted = []string{outcomeAccepted, outcomeRejected}
			}
			for _, outcome := range wanted {
				if !slices.ContainsFunc(t.Examples, func(e exampleDocument) bool {
					return e.Step == step && (outcome == "" || e.Expect.Outcome == outcome)
				}) {
					l.add(place, "an example of the step %s is missing%s", step, map[bool]string{true: " that is " + outcome}[outcome != ""])
				}
			}
		}
	}
	return l.mistakes.sorted()
}

// RunExamples tells which examples the rules do not take as they should.
func (d *Definition) RunExamples(ctx context.Context) Mistakes {
	l := &list{lines: d.lines}
	for _, t := range d.types {
		for i := range t.Examples {
			place := item(within(within("token_types", t.name), "examples"), i)
			got := t.example(ctx, &t.Examples[i])
			got.compare(l, within(place, "expect"), &t.Examples[i].Expect)
		}
	}
	return l.mistakes.sorted()
}

// result is what became of an example.
type result struct {
	outcome string
	provider.Verification
	wait        time.Duration
	accessToken string
	credential  provider.Values
}

// example runs the rules of a step on an answer.
func (t *tokenType) example(ctx context.Context, e *exampleDocument) result {
	of := t.compiled()
	c := t.newCall(
		provider.Account{Settings: madeUp(t.definition.needed(), e.Account)},
		provider.Token{Options: e.Options, Credential: madeUp(t.fields, e.Credential)},
	)
	switch {
	case e.Step == stepVerify && of.verify != nil:
		return c.exampleOfVerify(ctx, of, e)
	case e.Step == stepGrant && of.grant != nil:
		return c.exampleOfGrant(ctx, of.grant, e)
	case e.Step == stepExchange && of.consent != nil:
		return c.exampleOfExchange(ctx, of.consent, e)
	case e.Step == stepRotate && of.rotate != nil:
		j, silence := c.judge(ctx, step{stepRotate, of.rotate.request, of.rotate.rules}, e.Answer.answer(of.rotate.request))
		if silence != nil {
			return failed(silence)
		}
		values, err := c.replaced(ctx, of.rotate, j)
		return ended(err, result{outcome: outcomeReplaced, credential: values})
	case e.Step == stepRevoke && of.revoke != nil:
		j, silence := c.judge(ctx, step{stepRevoke, of.revoke.request, of.revoke.rules}, e.Answer.answer(of.revoke.request))
		if silence != nil {
			return failed(silence)
		}
		return ended(c.ended(ctx, j), result{outcome: outcomeDone})
	}
	return result{}
}

func (c *call) exampleOfVerify(ctx context.Context, of *abilities, e *exampleDocument) result {
	verified := func(d *answerDocument) result {
		j, silence := c.judge(ctx, step{stepVerify, of.verify, of.outcomes}, d.answer(of.verify))
		if silence != nil {
			return failed(silence)
		}
		v := c.verification(ctx, j)
		return result{outcome: string(v.Outcome), Verification: v}
	}
	got := verified(&e.Answer)
	if got.outcome == outcomeAccepted && e.Control != nil && verified(e.Control).outcome != outcomeRejected {
		got.outcome = outcomeInconclusive
	}
	return got
}

func (c *call) exampleOfGrant(ctx context.Context, of *grant, e *exampleDocument) result {
	j, silence := c.judge(ctx, step{stepGrant, of.request, of.rules}, e.Answer.answer(of.request))
	if silence != nil {
		return failed(silence)
	}
	if err := c.granting(ctx, of, j); err != nil {
		return failed(err)
	}
	token, err := c.receive(ctx, of, j)
	if err != nil {
		return failed(err)
	}
	return result{
		outcome: outcomeGranted, accessToken: token.Value, credential: of.refreshed(ctx, j.facts).Values,
		Verification: provider.Verification{ExpiresAt: token.ExpiresAt},
	}
}

func (c *call) exampleOfExchange(ctx context.Context, of *consent, e *exampleDocument) result {
	j, silence := c.judge(ctx, step{stepExchange, of.exchange.request, of.exchange.rules}, e.Answer.answer(of.exchange.request))
	if silence != nil {
		return failed(silence)
	}
	if err := c.granting(ctx, of.exchange, j); err != nil {
		return failed(err)
	}
	values, err := of.received(ctx, j)
	return ended(err, result{outcome: outcomeGranted, credential: values})
}

// failed is the result of an error of a grant, or of an answer that says nothing.
func failed(err error) result {
	if silence, ok := errors.AsType[*provider.Error](err); ok {
		outcome := outcomeUnavailable
		if silence.Kind == provider.RateLimited {
			outcome = outcomeThrottled
		}
		return result{outcome: outcome, wait: silence.RetryAfter, Verification: provider.Verification{
			Detail: silence.Problem, Code: silence.Code, RequestID: silence.RequestID,
		}}
	}
	if doubt, ok := errors.AsType[*undecided](err); ok {
		return result{outcome: outcomeInconclusive, Verification: provider.Verification{Detail: doubt.detail, Code: doubt.code}}
	}
	r := result{outcome: outcomeRejected}
	if refusal, ok := errors.AsType[*provider.Refused](err); ok {
		r.Detail, r.Code = refusal.Detail, refusal.Code
	}
	return r
}

// ended is the result of a rotation or a revocation: the good one without an error.
func ended(err error, good result) result {
	if err == nil {
		return good
	}
	r := failed(err)
	if r.outcome == outcomeRejected {
		r.outcome = outcomeRefused
	}
	return r
}

// answer is what the document says that the platform says.
func (d *answerDocument) answer(r *request) *answer {
	response := &provider.Response{Host: "api.example.com", Status: d.Status, Header: http.Header{}}
	if d.Body != nil {
		response.Header.Set("Content-Type", "application/json")
		response.Body = d.Body
	}
	if d.Text != nil {
		response.Body = []byte(*d.Text)
	}
	for name, value := range d.Headers {
		response.Header.Set(name, value)
	}
	return newAnswer(response, r.asksJSON, nil)
}

// needed are the settings without which an account cannot be called.
func (d *Definition) needed() []*field {
	return slices.DeleteFunc(d.accountFields(), func(f *field) bool { return !f.isEndpoint && !f.Required })
}

// madeUp adds values for what an example leaves out.
func madeUp(fields []*field, given values) provider.Values {
	made := provider.Values{}
	maps.Copy(made, given)
	for _, f := range fields {
		switch {
		case given[f.name] != "":
		case f.isEndpoint:
			made[f.name] = "https://api.example.com"
		case len(f.Choices.names) > 0 && f.Default == "":
			made[f.name] = f.Choices.names[0]
		case f.Default == "":
			hash := sha256.Sum256([]byte(f.name)) // nothing that an answer of an example could repeat
			made[f.name] = hex.EncodeToString(hash[:])
		}
	}
	return made
}
