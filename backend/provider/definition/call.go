package definition

import (
	"context"
	"slices"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// call is one use of a type's ability.
type call struct {
	t         *tokenType
	account   provider.Account
	token     provider.Token
	variables variables
	// facts are what expressions see beside the answer.
	facts   map[string]any
	secrets []string
	// granted is what a grant gave; nil before it.
	granted *provider.AccessToken
	// trial keeps what was done; nil where nobody wants to know.
	trial *Trial
}

func (t *tokenType) newCall(a provider.Account, token provider.Token) *call {
	return &call{
		t: t, account: a, token: token,
		variables: t.variablesOf(a.Settings, token),
		facts:     t.factsOf(a.Settings, token.Options),
		secrets:   t.secretsOf(a.Settings, token.Credential),
	}
}

// know adds a secret.
func (c *call) know(name, secret string) {
	c.variables[name] = secret
	if secret != "" {
		c.secrets = append(c.secrets, secret)
	}
}

// step is a request of a call with the rules for its answer.
type step struct {
	// name is what the document calls it: verify, grant, rotate, revoke, exchange; or control.
	name    string
	request *request
	rules   []*rule
}

// judged is an answer with the first rule that fits; rule is nil where none does.
type judged struct {
	*answer
	rule  *rule
	facts map[string]any
	// secrets are those that the answer may not repeat.
	secrets []string
	// reported is the platform's request id.
	reported string
}

// do sends the step's request and finds the rule for the answer. The error is of an answer that says nothing.
func (c *call) do(ctx context.Context, s step) (*judged, *provider.Error) {
	began := time.Now()
	a, silence := s.request.send(ctx, c.account.Client, c.variables)
	if silence != nil {
		c.trial.note(Step{Name: s.name, Duration: time.Since(began), Error: silence.Error()})
		return nil, silence
	}
	j, silence := c.judge(ctx, s, a)
	done := Step{Name: s.name, Host: a.Host, Status: a.Status, Duration: time.Since(began)}
	if j.rule != nil {
		done.Rule, done.When = j.rule.place, j.rule.When
	}
	c.trial.note(done)
	return j, silence
}

// maxEvaluation bounds how long all expressions about one answer may take.
const maxEvaluation = 10 * time.Second

// evaluation is the context of the expressions about an answer that has arrived. Nobody interrupts them: a rule that is not
// evaluated does not match, and the answer would mean something else, or what is in it would be lost.
func evaluation(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), maxEvaluation)
}

// judge finds the rule for an answer. Where it says that the answer is none, or where there is none and the status says so, that is the
// error, with what the platform calls it.
func (c *call) judge(ctx context.Context, s step, a *answer) (*judged, *provider.Error) {
	ctx, cancel := evaluation(ctx)
	defer cancel()
	j := &judged{answer: a, facts: a.facts(c.facts), secrets: slices.Concat(c.secrets, a.sent, a.issued())}
	of := c.t.compiled()
	proves := s.name == stepVerify || s.name == stepControl || s.name == stepGrant && of.verify == nil
	if of.requestID != nil && proves {
		j.reported = plain(of.requestID.evaluate(ctx, j.facts), j.secrets)
	}
	j.rule = match(ctx, s.rules, a, j.facts)
	silence := a.silence()
	if j.rule != nil {
		if silence = j.rule.silence(ctx, a, j.facts); silence != nil {
			silence.Code = j.rule.codeFor(ctx, j.facts, j.secrets)
		}
	}
	if ctx.Err() != nil {
		j.rule, silence = nil, &provider.Error{Host: a.Host, Problem: "gave an answer that the rules of its definition take too long for"}
	}
	if silence != nil {
		silence.RequestID = j.reported
	}
	return j, silence
}

// code is the platform's own, where the rule says how to find it and it may be shown.
func (j *judged) code(ctx context.Context) string {
	if j.rule == nil {
		return ""
	}
	return j.rule.codeFor(ctx, j.facts, j.secrets)
}
