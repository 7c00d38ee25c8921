package backend

import (
	"net/url"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// consentFields are the credential fields that a consent of the type does not give by itself.
func consentFields(kind *provider.TokenType) []provider.Field {
	if kind.Consent == nil {
		return nil
	}
	var fields []provider.Field
	for _, name := range kind.Consent.Needs() {
		if f, known := provider.Lookup(kind.Fields, name); known {
			fields = append(fields, f)
		}
	}
	return fields
}

// consentSteps are the first steps of the runbook of a token whose value a consent gives.
func consentSteps(t *token) []string {
	needs := " -f adtokens/tokens/<name>/consent"
	if t.Current == nil {
		needs = " adtokens/tokens/<name>/consent"
		for _, f := range consentFields(t.kind) {
			if needs += " " + f.Name + "=…"; f.Secret {
				needs = strings.TrimSuffix(needs, "…") + "@FILE"
			}
		}
	}
	return []string{
		"Run `vault write" + needs + "`, and open the consent_url that it answers within ten minutes, signed in as the user for whose accounts the token is. Agree.",
		"The browser is sent on to an address that may show nothing but an error. Copy it from the address bar, and hand it in: " +
			"`vault write adtokens/tokens/<name>/rotate redirect_url='…'`. The engine gets the value for it, verifies it and publishes it. " +
			"The next steps are for a value that comes another way.",
	}
}

// errorCode is what RFC 6749 lets an error be, and short.
var errorCode = provider.Pattern(`^[A-Za-z0-9_.-]{1,64}$`)

// parseRedirect reads the address that a consent sent the browser to. Nothing of it is ever repeated but the platform's error code.
func parseRedirect(address string) (*consentAnswer, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, badInput("redirect_url must be the whole address that the browser was sent to after the consent, such as http://127.0.0.1/?state=…&code=…")
	}
	query, err := url.ParseQuery(u.RawQuery)
	answer := &consentAnswer{state: query.Get("state"), code: query.Get("code")}
	if failed := query.Get("error"); failed != "" {
		answer.refusal = "an error without a readable code"
		if errorCode().MatchString(failed) {
			answer.refusal = failed
		}
	}
	if err != nil || answer.state == "" || answer.code == "" && answer.refusal == "" {
		return nil, badInput("redirect_url must be the whole address that the browser was sent to after the consent, with state and code (or error) in it; " +
			"put it in quotes, because the shell takes & for an end")
	}
	return answer, nil
}
