package definition

import (
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// abilities are what a type can do, compiled.
type abilities struct {
	verify     *request
	outcomes   []*rule
	control    *field
	identity   expression
	expiresAt  expression
	requestID  expression
	grant      *grant
	consent    *consent
	rotate     *rotate
	revoke     *revoke
	connection []connection
	steps      []conditional
	notes      []conditional
}

// rotate replaces a credential.
type rotate struct {
	request    *request
	rules      []*rule
	credential answered
}

// revoke ends an old credential.
type revoke struct {
	request *request
	rules   []*rule
}

// compileType makes the abilities of a type, and tells of mistakes.
func compileType(t *tokenType, l *list) *abilities {
	c := &compiler{l, t}
	place := within("token_types", t.name)
	s := t.scope()
	of := &abilities{}
	if t.Grant != nil {
		of.grant = c.compileGrant(within(place, "grant"), t.Grant, s)
		c.checkGrant(within(place, "grant"))
		// Its answer may be the only copy of the next refresh token, and a login may be one of a few that the platform allows.
		of.grant.request.once = of.grant.refreshToken != nil || of.grant.kind == "request"
	}
	if t.Consent != nil {
		of.consent = c.compileConsent(within(place, "consent"), t.Consent, s)
	}
	if t.Grant != nil {
		s = s.with(accessToken)
	}
	c.compileVerify(within(place, "verify"), of, s)
	if d := t.Rotate; d != nil {
		at := within(place, "rotate")
		of.rotate = &rotate{credential: c.answered(within(at, "credential"), d.Credential), rules: c.rules(within(at, "outcomes"), d.Outcomes)}
		of.rotate.request = c.requestOrNone(within(at, "request"), d.Request, s)
		of.rotate.request.once = true
	}
	if d := t.Revoke; d != nil {
		at := within(place, "revoke")
		current := s.with()
		for _, f := range t.fields {
			current[ofCurrent+f.name] = f.Secret
		}
		of.revoke = &revoke{c.requestOrNone(within(at, "request"), d.Request, current), c.rules(within(at, "outcomes"), d.Outcomes)}
	}
	of.connection = c.connections(within(place, "connection"), t.Connection, t.scope())
	of.steps = c.conditionals(within(place, "runbook.steps"), t.Runbook.Steps)
	of.notes = c.conditionals(within(place, "runbook.notes"), t.Runbook.Notes)
	c.checkSubject(within(place, "subject"))
	return of
}

// requestOrNone stands for a request that the schema has missed.
func (c *compiler) requestOrNone(place string, d *requestDocument, s scope) *request {
	if d == nil {
		return &request{t: c.t, url: &template{}}
	}
	return c.request(place, d, s)
}

func (c *compiler) compileVerify(place string, of *abilities, s scope) {
	d := c.t.Verify
	if d == nil {
		if c.t.Grant == nil {
			c.add(within("token_types", c.t.name), "verify is missing: a request that tells whether a value is genuine; "+
				"only with a grant it can be left out, and then the grant decides")
		}
		return
	}
	of.identity = c.expression(within(place, "identity"), d.Identity, ofAnswers, wantNames...)
	of.expiresAt = c.expression(within(place, "expires_at"), d.ExpiresAt, ofAnswers, wantTime...)
	of.requestID = c.expression(within(place, "request_id"), d.RequestID, ofAnswers, wantName...)
	of.outcomes = c.rules(within(place, "outcomes"), d.Outcomes)
	switch {
	case d.Request != nil:
		of.verify = c.request(within(place, "request"), d.Request, s)
		if len(d.Outcomes) == 0 {
			c.add(place, "outcomes is missing: the rules that say what an answer means")
		}
	case c.t.Grant == nil:
		c.add(place, "request is missing: only with a grant it can be left out, and then the grant decides")
	case len(d.Outcomes) > 0:
		c.add(within(place, "outcomes"), "are for a request; without one the grant decides, by grant.outcomes")
	}
	if d.Control != nil {
		c.checkControl(within(place, "control.field"), of, d.Control.Field)
	}
}

// checkControl wants a field whose wrong value can make a difference.
func (c *compiler) checkControl(place string, of *abilities, name string) {
	if of.control = lookup(c.t.fields, name); of.control == nil {
		c.unknown(place, "field", name, namesOf(c.t.fields))
		return
	}
	inRequest := of.verify != nil && of.verify.uses(ofCredential+name)
	inGrant := of.grant != nil && of.grant.request.uses(ofCredential+name) && (of.verify == nil || of.verify.uses(accessToken))
	if inGrant && c.t.rolling().Previous == "dies" {
		c.add(place, "the grant sends %s, and every grant uses up a refresh token: a wrong value could cost the right one", name)
	}
	if !inRequest && !inGrant {
		c.add(place, "no request of verify sends %s, so a wrong one makes no difference", name)
	}
}

// checkGrant wants what the type of grant needs.
func (c *compiler) checkGrant(place string) {
	d := c.t.Grant
	if d.Type == "request" && (d.AccessToken == "" || d.ExpiresIn == "") {
		c.add(place, "access_token and expires_in are missing: with the type request they say where the answer has them, "+
			"as body.access_token and body.expires_in")
	}
	r := d.RefreshToken
	rolls := r.Answer == answerSometimes || r.Answer == answerAlways
	at := within(place, "refresh_token")
	switch {
	case rolls && lookup(c.t.fields, fieldRefreshToken) == nil:
		c.add(at, "an answer with a new refresh token replaces the field refresh_token, and there is none")
	case !rolls && (r.Previous == "dies" || r.Value != "" || r.ExpiresIn != ""):
		c.add(at, "says something of a new refresh token, while answer is never: set answer to sometimes or always")
	}
	if r.KeepAlive > 0 && time.Duration(r.KeepAlive) < time.Second {
		c.add(within(at, "keep_alive"), "must be at least 1s")
	}
}

// Values of refresh_token.answer.
const (
	answerSometimes = "sometimes"
	answerAlways    = "always"
)

// rolling is what a grant's answer says of the refresh token.
func (t *tokenType) rolling() rollingDocument {
	if t.Grant == nil {
		return rollingDocument{}
	}
	return t.Grant.RefreshToken
}

// semantics is the type's, as package provider calls it.
func (t *tokenType) semantics() provider.ResetSemantics {
	return provider.ResetSemantics(t.ResetSemantics)
}
