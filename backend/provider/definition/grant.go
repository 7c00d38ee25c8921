package definition

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"cel.dev/cel-go/common/types/ref"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// grant is a call that gives an access token for a credential.
type grant struct {
	request   *request
	rules     []*rule
	tokenType string
	// kind is refresh_token, client_credentials, authorization_code or request.
	kind        string
	accessToken expression
	expiresIn   expression
	// refreshToken and refreshExpires are what an answer says of a new refresh token; nil where it never carries one.
	refreshToken   expression
	refreshExpires expression
}

// undecided is the error of a grant whose answer says nothing about the credential.
type undecided struct{ detail, code string }

func (u *undecided) Error() string { return u.detail }

// Errors of RFC 6749 section 5.2 that refuse a credential.
var refusedGrants = map[string]string{
	"invalid_grant":  "refuses the grant: it is expired or revoked, or does not belong to the client",
	"invalid_client": "refuses the client: its id or its secret is wrong",
}

// defaultLife is that of an access token whose answer does not say how long it lives.
const defaultLife = 5 * time.Minute

// grant asks for an access token. The error is a *provider.Error, or beside the answer a *provider.Refused or *undecided.
func (c *call) grant(ctx context.Context) (*judged, error) {
	of := c.t.compiled().grant
	if of.refreshToken != nil && c.token.Begin != nil {
		if err := c.token.Begin(ctx); err != nil {
			return nil, err
		}
	}
	j, err := c.ask(ctx, stepGrant, of)
	if err != nil {
		return j, err
	}
	if c.granted, err = c.receive(ctx, of, j); err != nil {
		return nil, err
	}
	c.know(accessToken, c.granted.Value)
	j.secrets = append(j.secrets, c.granted.Value)
	return j, nil
}

// ask sends a grant or an exchange, and says what its answer means.
func (c *call) ask(ctx context.Context, name string, of *grant) (*judged, error) {
	j, silence := c.do(ctx, step{name, of.request, of.rules})
	if silence != nil {
		return nil, silence
	}
	return j, c.granting(ctx, of, j)
}

// granting is nil for an answer that grants.
func (c *call) granting(ctx context.Context, of *grant, j *judged) error {
	title := c.t.definition.Title()
	if j.rule != nil {
		switch j.rule.Outcome {
		case outcomeGranted:
			return nil
		case outcomeInconclusive:
			return &undecided{cmp.Or(j.rule.Detail, c.defaultDetail(outcomeInconclusive)), j.code(ctx)}
		}
		return &provider.Refused{Detail: cmp.Or(j.rule.Detail, title+" refuses the credential"), Code: j.code(ctx)}
	}
	if j.Status < 300 {
		return nil
	}
	code := ""
	if body, ok := j.body.(map[string]any); ok && of.kind != "request" {
		code, _ = body["error"].(string)
	}
	if detail, known := refusedGrants[code]; known {
		return &provider.Refused{Detail: title + " " + detail, Code: code}
	}
	if !plainWord().MatchString(code) || repeats(code, j.secrets) {
		code = ""
	}
	return &undecided{fmt.Sprintf("%s answered HTTP %d to a grant, which says nothing about the credential", j.Host, j.Status), code}
}

// receive takes the access token out of an answer that grants. A new refresh token is kept first of all.
func (c *call) receive(ctx context.Context, of *grant, j *judged) (*provider.AccessToken, error) {
	reading, cancel := evaluation(ctx)
	defer cancel()
	if of.refreshToken != nil && c.token.Keep != nil {
		if err := c.token.Keep(ctx, of.refreshed(reading, j.facts)); err != nil {
			return nil, err
		}
	}
	value, ok := receivedValue(of.accessToken.evaluate(reading, j.facts))
	if !ok {
		return nil, j.Unreadable()
	}
	token := &provider.AccessToken{Value: value, Type: of.typeOf(j), ExpiresAt: time.Now().Add(defaultLife)}
	if life, ok := seconds(of.expiresIn.evaluate(reading, j.facts)); ok && life > 0 {
		token.ExpiresAt = time.Now().Add(boundedLife(life))
	}
	return token, nil
}

// refreshed is the new refresh token of an answer, if it has one.
func (g *grant) refreshed(ctx context.Context, facts map[string]any) provider.Refreshed {
	value, ok := receivedValue(g.refreshToken.evaluate(ctx, facts))
	if !ok {
		return provider.Refreshed{}
	}
	r := provider.Refreshed{Values: provider.Values{fieldRefreshToken: value}}
	if life, ok := seconds(g.refreshExpires.evaluate(ctx, facts)); ok && life > 0 {
		r.ExpiresAt = time.Now().Add(boundedLife(life))
	}
	return r
}

func boundedLife(life float64) time.Duration {
	return time.Duration(min(life, maxDurationSeconds) * float64(time.Second))
}

// typeOf is the scheme of the Authorization header: the definition's, the answer's, or Bearer.
func (g *grant) typeOf(j *judged) string {
	if g.tokenType != "" {
		return g.tokenType
	}
	body, _ := j.body.(map[string]any)
	said, _ := body["token_type"].(string)
	if said == "" || strings.EqualFold(said, "bearer") || !schemeName().MatchString(said) || repeats(said, j.secrets) {
		return "Bearer"
	}
	return said
}

// maxReceived is the longest value that is taken from an answer.
const maxReceived = 16 << 10

// receivedValue is a value that an answer gives to be kept: one line of printable characters without blanks.
func receivedValue(value ref.Val) (string, bool) {
	text, ok := scalarText(value)
	text = strings.TrimSpace(text)
	unfit := strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) })
	return text, ok && text != "" && len(text) <= maxReceived && !unfit
}

// mint is the Mint of the type.
func (t *tokenType) mint(ctx context.Context, a provider.Account, token provider.Token) (provider.AccessToken, error) {
	c := t.newCall(a, token)
	_, err := c.grant(ctx)
	if doubt, ok := errors.AsType[*undecided](err); ok {
		err = &provider.Error{Host: t.definition.Title(), Problem: "gave no access token: " + doubt.detail, Code: doubt.code}
	}
	if err != nil {
		return provider.AccessToken{}, err
	}
	return *c.granted, nil
}

// Names of fields that RFC 6749 has.
const (
	fieldClientID     = "client_id"
	fieldClientSecret = "client_secret"
	fieldRefreshToken = "refresh_token"
)

// compileGrant makes a grant, or the exchange of a consent whose kind is authorization_code or request.
func (c *compiler) compileGrant(place string, d *grantDocument, s scope) *grant {
	g := &grant{
		kind: d.Type, tokenType: d.TokenType, rules: c.rules(within(place, "outcomes"), d.Outcomes),
		accessToken: c.expression(within(place, "access_token"), cmp.Or(d.AccessToken, "body.access_token"), ofAnswers, wantText...),
		expiresIn:   c.expression(within(place, "expires_in"), cmp.Or(d.ExpiresIn, "body.expires_in"), ofAnswers, wantNumber...),
	}
	if d.RefreshToken.Answer == answerSometimes || d.RefreshToken.Answer == answerAlways {
		at := within(place, "refresh_token")
		g.refreshToken = c.expression(within(at, "value"), cmp.Or(d.RefreshToken.Value, "body.refresh_token"), ofAnswers, wantText...)
		g.refreshExpires = c.expression(within(at, "expires_in"), d.RefreshToken.ExpiresIn, ofAnswers, wantNumber...)
	}
	if d.Type == "request" {
		c.checkOwnGrant(place, d)
		if d.Request == nil {
			d.Request = &requestDocument{}
		}
		g.request = c.request(within(place, "request"), d.Request, s)
		return g
	}
	if d.Request != nil {
		c.add(within(place, "request"), "is for the type request")
	}
	g.request = c.request(place, c.standardRequest(place, d), s)
	g.request.asksJSON, g.request.isOAuth = true, true // RFC 6749 has all answers in JSON
	return g
}

// checkOwnGrant wants what only a request of the definition's own needs, and nothing else.
func (c *compiler) checkOwnGrant(place string, d *grantDocument) {
	if d.Request == nil {
		c.add(place, "request is missing: the type request has one of its own")
	}
	if d.URL != "" || d.Params != nil || d.Headers != nil || d.Client != "" || d.ClientID != nil || d.ClientSecret != nil {
		c.add(place, "url, client, params and headers are for the other types; with the type request they are in request")
	}
}

// standardRequest is the request of RFC 6749 for a grant.
func (c *compiler) standardRequest(place string, d *grantDocument) *requestDocument {
	variable := func(field string) string { return "{" + ofCredential + field + "}" }
	defaults := ordered[string]{{"grant_type", d.Type}}
	if d.URL == "" {
		c.add(place, "url is missing: the address of the token endpoint, such as '{+account.token_url}'")
	}
	id, secret := variable(fieldClientID), variable(fieldClientSecret)
	if d.ClientID != nil {
		id = *d.ClientID
	}
	if d.ClientSecret != nil {
		secret = *d.ClientSecret
	}
	r := &requestDocument{Method: http.MethodPost, URL: d.URL, Headers: d.Headers}
	hasSecret := d.ClientSecret != nil || lookup(c.t.fields, fieldClientSecret) != nil
	if d.Client == "basic" {
		r.Basic = &basicDocument{Username: id, Password: secret}
	} else {
		defaults = append(defaults, member[string]{fieldClientID, id})
		if hasSecret {
			defaults = append(defaults, member[string]{fieldClientSecret, secret})
		}
	}
	switch d.Type {
	case "refresh_token":
		defaults = append(defaults, member[string]{fieldRefreshToken, variable(fieldRefreshToken)})
	case "authorization_code":
		defaults = append(defaults, ordered[string]{
			{"code", "{" + consentCode + "}"}, {"redirect_uri", "{" + consentRedirect + "}"}, {"code_verifier", "{" + consentVerifier + "}"},
		}...)
	}
	for _, m := range defaults {
		if _, own := d.Params.get(m.Name); !own {
			r.Form = append(r.Form, m)
		}
	}
	r.Form = append(r.Form, d.Params...)
	if !slices.ContainsFunc(r.Headers, func(h member[string]) bool { return strings.EqualFold(h.Name, "Accept") }) {
		r.Headers = append(slices.Clip(r.Headers), member[string]{"Accept", "application/json"})
	}
	return r
}
