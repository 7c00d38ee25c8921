package definition

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"golang.org/x/net/http/httpguts"
)

// compiler makes what a type does of its document, and tells of mistakes.
type compiler struct {
	*list
	t *tokenType
}

// expression is nil where there is none. Where the definition was not checked before, one with a mistake is told of.
func (c *compiler) expression(place, text string, of environment, want ...*cel.Type) expression {
	if text == "" {
		return nil
	}
	if c.expressions++; c.expressions > maxExpressions {
		if c.expressions == maxExpressions+1 {
			c.add(place, "a definition has at most %d expressions, with those that come by aliases", maxExpressions)
		}
		return nil
	}
	e := of.expression(text, want)
	if c.t.definition.checked {
		return e
	}
	if _, err := e(); err != nil {
		c.add(place, "%v", err)
		return nil
	}
	return e
}

// text compiles a template outside of addresses.
func (c *compiler) text(place, text string, s scope) *template {
	t, err := parseText(text, s.knows)
	if err != nil {
		c.add(place, "%v", err)
		return &template{}
	}
	c.checkVariables(place, t, s)
	return t
}

func (c *compiler) checkVariables(place string, t *template, s scope) {
	for _, name := range t.names() {
		if !s.knows(name) {
			c.add(place, "there is no variable {%s} here; known are %s", name, s.names())
		}
	}
}

// secretIn is the first secret variable of a template; empty where it has none.
func secretIn(t *template, s scope) string {
	for _, name := range t.names() {
		if s[name] {
			return name
		}
	}
	return ""
}

// address compiles the template of an address that requests go to: it begins with an endpoint, so that no definition sends anything
// to another host. It says whose endpoint that is.
func (c *compiler) address(place, text string, s scope) (t *template, endpoint string) {
	t, err := parseAddress(text)
	if err != nil {
		c.add(place, "%v", err)
		return &template{}, ""
	}
	c.checkVariables(place, t, s)
	known := namesOf(c.t.definition.endpoints)
	if len(known) == 0 {
		c.add(place, "must begin with {+account.<endpoint>}, and account.endpoints declares none")
		return t, ""
	}
	first := part{}
	if len(t.parts) > 0 {
		first = t.parts[0]
	}
	endpoint = strings.TrimPrefix(first.variable, ofAccount)
	if !first.raw || !slices.Contains(known, endpoint) || first.variable == endpoint {
		c.add(place, "must begin with an endpoint of the account: one of {+account.%s}", strings.Join(known, "}, {+account."))
		return t, ""
	}
	if len(t.parts) > 1 && !strings.HasPrefix(t.parts[1].literal, "/") && !strings.HasPrefix(t.parts[1].literal, "?") {
		c.add(place, "after {+account.%s} must come /, ? or nothing: anything else could be another host", endpoint)
	}
	if path, _, _ := strings.Cut(t.literals(), "?"); climbs(path) {
		c.add(place, "must not have . or .. as an element of its path: it could lead away from the endpoint")
	}
	if strings.Contains(text, "#") {
		c.add(place, "must not have a fragment (#…), which is never sent")
	}
	return t, endpoint
}

// parameter is a header, or one of a query or a form.
type parameter struct {
	name  string
	value *template
}

func (c *compiler) parameters(place string, members ordered[string], s scope) []parameter {
	var parameters []parameter
	for _, m := range members {
		parameters = append(parameters, parameter{m.Name, c.text(within(place, m.Name), m.Value, s)})
	}
	return parameters
}

// headers refuses names that frame the request, and such that are none.
func (c *compiler) headers(place string, members ordered[string], s scope) []parameter {
	seen := map[string]bool{}
	for _, m := range members {
		name := textproto.CanonicalMIMEHeaderKey(m.Name)
		switch {
		case !httpguts.ValidHeaderFieldName(m.Name):
			c.add(within(place, m.Name), "%s is no name of a header", quote(m.Name))
		case slices.Contains(framing, name):
			c.add(within(place, m.Name), "the header %s cannot be set: it says how a request is carried, and the engine does that", name)
		case seen[name]:
			c.add(within(place, m.Name), "the header %s is there twice; leave one out", name)
		case !httpguts.ValidHeaderFieldValue(m.Value):
			c.add(within(place, m.Name), "the value of a header must be one line of printable characters")
		}
		seen[name] = true
	}
	return c.parameters(place, members, s)
}

// request compiles a request.
func (c *compiler) request(place string, d *requestDocument, s scope) *request {
	r := &request{t: c.t, method: d.Method, once: false}
	if r.method == "" {
		r.method = http.MethodGet
	}
	r.url, r.endpoint = c.address(within(place, "url"), d.URL, s)
	r.headers = c.headers(within(place, "headers"), d.Headers, s)
	r.query = c.parameters(within(place, "query"), d.Query, s)
	c.checkSecretInURL(place, d, r, s)
	c.authorization(place, d, r, s)
	c.body(place, d, r, s)
	for _, h := range d.Headers {
		r.asksJSON = r.asksJSON || strings.EqualFold(h.Name, "Accept") && strings.Contains(strings.ToLower(h.Value), "json")
	}
	return r
}

// checkSecretInURL keeps secrets out of addresses, which logs and proxies keep.
func (c *compiler) checkSecretInURL(place string, d *requestDocument, r *request, s scope) {
	if d.SecretInURL {
		return
	}
	const why = "{%s} is secret, and addresses end up in logs: put it into a header or the body, " +
		"or say secret_in_url: true where the platform takes it nowhere else"
	if name := secretIn(r.url, s); name != "" {
		c.add(within(place, "url"), why, name)
	}
	for _, p := range r.query {
		if name := secretIn(p.value, s); name != "" {
			c.add(within(within(place, "query"), p.name), why, name)
		}
	}
}

func (c *compiler) authorization(place string, d *requestDocument, r *request, s scope) {
	has := slices.ContainsFunc(d.Headers, func(h member[string]) bool { return strings.EqualFold(h.Name, "Authorization") })
	if d.Bearer != nil {
		r.bearer = c.text(within(place, "bearer"), *d.Bearer, s)
		if !httpguts.ValidHeaderFieldValue(*d.Bearer) {
			c.add(within(place, "bearer"), "must be one line of printable characters")
		}
	}
	if d.Basic != nil {
		r.username = c.text(within(place, "basic.username"), d.Basic.Username, s)
		r.password = c.text(within(place, "basic.password"), d.Basic.Password, s)
	}
	if d.Bearer != nil && (d.Basic != nil || has) || d.Basic != nil && has {
		c.add(place, "a request has one of bearer, basic and the header Authorization")
	}
}

func (c *compiler) body(place string, d *requestDocument, r *request, s scope) {
	kinds := 0
	if d.Form != nil {
		kinds++
		r.hasForm, r.form = true, c.parameters(within(place, "form"), d.Form, s)
	}
	if len(d.JSON) > 0 {
		kinds++
		r.json = c.jsonBody(within(place, "json"), d.JSON, s)
	}
	if d.Text != nil {
		kinds++
		r.text = c.text(within(place, "text"), *d.Text, s)
	}
	if kinds > 1 {
		c.add(place, "a request has one of form, json and text")
	}
}

// jsonBody compiles the templates in the texts of a JSON value.
func (c *compiler) jsonBody(place string, raw []byte, s scope) any {
	value, ok := parseDocumentJSON(raw)
	if !ok {
		c.add(place, "cannot be read")
	}
	var compile func(place string, value any) any
	compile = func(place string, value any) any {
		switch v := value.(type) {
		case map[string]any:
			for name, member := range v {
				v[name] = compile(within(place, name), member)
			}
		case []any:
			for i, element := range v {
				v[i] = compile(item(place, i), element)
			}
		case string:
			return c.text(place, v, s)
		}
		return value
	}
	return compile(place, value)
}

// unknown lists what is right where a name is none of the known ones.
func (c *compiler) unknown(place, what, name string, known []string) {
	if len(known) == 0 {
		c.add(place, "there is no %s %s, and none is declared", what, quote(name))
		return
	}
	c.add(place, "there is no %s %s; known are %s", what, quote(name), oneOf(known))
}
