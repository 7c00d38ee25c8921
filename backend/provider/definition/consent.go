package definition

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Consent is that of a token type; nil where it has none.
func (d *Definition) Consent(tokenType string) *provider.Consent {
	t := d.typeNamed(tokenType)
	if t == nil {
		return nil
	}
	return t.consents()
}

// consents is the Consent of the type.
func (t *tokenType) consents() *provider.Consent {
	if t.Consent == nil {
		return nil
	}
	c := &consentOf{t: t, pkce: t.Consent.PKCE}
	return &provider.Consent{PKCE: c.pkce, Needs: c.needs, Gives: c.gives, AuthorizeURL: c.authorizeURL, Exchange: c.exchange}
}

// consentOf is a type's way to a consent.
type consentOf struct {
	t    *tokenType
	pkce bool
}

// consent is the compiled form.
type consent struct {
	// address is where the person goes. It is an address of its own, or begins with that of an endpoint.
	address    *template
	params     []parameter
	exchange   *grant
	credential answered
}

// needs are the fields that the answer does not give: a credential has all of its fields.
func (c *consentOf) needs() []string {
	var needs []string
	for _, f := range c.t.fields {
		if given := func(a answeredField) bool { return a.name == f.name }; !slices.ContainsFunc(c.t.compiled().consent.credential, given) {
			needs = append(needs, f.name)
		}
	}
	return needs
}

func (c *consentOf) gives() []string {
	var names []string
	for _, a := range c.t.compiled().consent.credential {
		names = append(names, a.name)
	}
	return names
}

func (c *consentOf) authorizeURL(settings provider.Values, token provider.Token, asked provider.ConsentRequest) (string, error) {
	of := c.t.compiled().consent
	v := c.t.variablesOf(settings, token)
	text, err := of.address.encoded(v)
	if err != nil {
		return "", fmt.Errorf("the address of the consent needs %s, which has no value", of.address.undefined(v))
	}
	address, err := url.Parse(text)
	if err != nil || address.Host == "" {
		return "", errors.New("the address of the consent is none")
	}
	query := address.Query()
	query.Set("response_type", "code")
	for _, p := range of.params {
		value, defined := p.value.text(v)
		if missing := p.value.undefined(v); !defined && strings.HasPrefix(missing, ofCredential) {
			return "", fmt.Errorf("the consent needs %s, which has no value; give it", strings.TrimPrefix(missing, ofCredential))
		}
		if defined {
			query.Set(p.name, value)
		}
	}
	query.Set("redirect_uri", asked.RedirectURI)
	query.Set("state", asked.State)
	if c.pkce {
		hash := sha256.Sum256([]byte(asked.Verifier))
		query.Set("code_challenge", base64.RawURLEncoding.EncodeToString(hash[:]))
		query.Set("code_challenge_method", "S256")
	}
	address.RawQuery = query.Encode()
	return address.String(), nil
}

// exchange sends the code once: the request is never repeated.
func (c *consentOf) exchange(ctx context.Context, a provider.Account, token provider.Token, code string, asked provider.ConsentRequest) (provider.Values, error) {
	of := c.t.compiled().consent
	call := c.t.newCall(a, token)
	call.know(consentCode, code)
	call.variables[consentRedirect] = asked.RedirectURI
	if c.pkce {
		call.know(consentVerifier, asked.Verifier)
	}
	j, err := call.ask(ctx, stepExchange, of.exchange)
	if doubt, ok := errors.AsType[*undecided](err); ok {
		return nil, &provider.Refused{Detail: c.t.definition.Title() + " does not exchange the code: " + doubt.detail, Code: doubt.code}
	}
	if err != nil {
		return nil, err
	}
	return of.received(ctx, j)
}

// received are the fields of an answer.
func (c *consent) received(ctx context.Context, j *judged) (provider.Values, error) {
	values, missing := c.credential.values(ctx, j.facts)
	if missing != "" {
		problem := fmt.Sprintf("has taken the code (HTTP %d), and its answer has no usable %s", j.Status, missing)
		return nil, &provider.Error{Host: j.Host, Problem: problem}
	}
	return values, nil
}

// ofEngine are parameters that the engine sets itself.
var ofEngine = []string{"state", "redirect_uri", "code_challenge", "code_challenge_method"}

func (c *compiler) compileConsent(place string, d *consentDocument, s scope) *consent {
	of := &consent{credential: c.answered(within(place, "credential"), d.Credential)}
	of.address = c.authorizeURL(within(place, "authorize_url"), d.AuthorizeURL, s)
	of.params = c.parameters(within(place, "params"), d.Params, s)
	for _, p := range of.params {
		c.checkPublic(within(within(place, "params"), p.name), p.value, s)
		if slices.Contains(ofEngine, p.name) {
			c.add(within(within(place, "params"), p.name), "the engine sets %s itself: leave it out", p.name)
		}
	}
	exchange := d.Exchange
	if exchange.Type == "" {
		exchange.Type = "authorization_code"
	}
	codes := s.with(consentCode, consentVerifier)
	codes[consentRedirect] = false
	of.exchange = c.compileGrant(within(place, "exchange"), &exchange, codes)
	of.exchange.request.once = true
	return of
}

// authorizeURL compiles the address that a person opens: one without variables, or below an endpoint.
func (c *compiler) authorizeURL(place, text string, s scope) *template {
	if strings.HasPrefix(text, "{") {
		t, _ := c.address(place, text, s)
		c.checkPublic(place, t, s)
		return t
	}
	t, err := parseAddress(text)
	if err != nil || len(t.names()) > 0 || !isWebAddress(text) {
		c.add(place, "must be an address that begins with https:// and has no variables, or begin with an endpoint of the account; variables go into params")
		return &template{}
	}
	return t
}

func isWebAddress(text string) bool {
	address, err := url.Parse(text)
	return err == nil && address.Scheme == "https" && address.Host != "" && address.User == nil && address.Fragment == ""
}

// checkPublic wants a template without secrets.
func (c *compiler) checkPublic(place string, t *template, s scope) {
	if name := secretIn(t, s); name != "" {
		c.add(place, "{%s} is secret, and a person's browser opens this address: leave it out", name)
	}
}
