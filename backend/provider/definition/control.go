package definition

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// compare asks again with a wrong value of the field. What is accepted like a wrong value is not proven.
func (c *call) compare(ctx context.Context, v provider.Verification, control *field) provider.Verification {
	title, name := c.t.definition.Title(), control.name
	doubt := func(format string, args ...any) provider.Verification {
		return provider.Verification{Outcome: provider.Inconclusive, Detail: fmt.Sprintf(format, args...), Code: v.Code, RequestID: v.RequestID}
	}
	wrong, found := wrongValue(control, c.token.Credential[name])
	if !found {
		return doubt("%s accepts the credential, but there is no wrong value of the same shape as %s to compare it with", title, name)
	}
	other := c.token
	other.Credential = maps.Clone(other.Credential)
	other.Credential[name] = wrong
	other.Begin, other.Keep = nil, nil // whatever comes back, it is nobody's
	probe := c.t.newCall(c.account, other)
	probe.trial = c.trial
	probe.secrets = append(probe.secrets, c.secrets...)
	if of := c.t.compiled(); c.granted != nil && !of.grant.request.uses(ofCredential+name) {
		probe.granted = c.granted
		probe.know(accessToken, c.granted.Value)
	}
	answer, err := probe.verify(ctx, stepControl)
	switch {
	case err != nil:
		return doubt("%s accepts the credential, but does not answer usefully about a wrong %s, so that proves nothing: %s", title, name, err)
	case answer.Outcome == provider.Accepted:
		return doubt("%s accepts a wrong %s as well, so it does not check it: its answer says nothing about the credential", title, name)
	case answer.Outcome != provider.Rejected:
		return doubt("%s accepts the credential, but its answer about a wrong %s cannot tell, so that proves nothing", title, name)
	}
	return v
}

// alphabets are the characters that take each other's place in a value of the same shape.
var alphabets = []struct{ first, last rune }{{'0', '9'}, {'a', 'z'}, {'A', 'Z'}}

// maxChanged bounds how many characters of a long value are changed; they are its last.
const maxChanged = 64

// wrongValue is another value of the same shape that the field takes too. It says false where there is none.
func wrongValue(f *field, value string) (string, bool) {
	wrong, changed := []rune(value), false
	for i := len(wrong) - 1; i >= max(0, len(wrong)-maxChanged); i-- {
		before := wrong[i]
		for range 4 {
			if wrong[i] = replaced(before); wrong[i] == before {
				break
			}
			if _, err := f.check(string(wrong)); err == nil {
				changed = true
				break
			}
			wrong[i] = before
		}
	}
	return string(wrong), changed
}

// replaced is another character of the same alphabet; the same where there is none.
func replaced(r rune) rune {
	for _, a := range alphabets {
		if r < a.first || r > a.last {
			continue
		}
		return a.first + (r-a.first+1+rand.N(a.last-a.first))%(a.last-a.first+1) //nolint:gosec // a wrong value is no secret
	}
	return r
}
