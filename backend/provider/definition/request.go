package definition

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// request is one that a definition describes.
type request struct {
	t      *tokenType
	method string
	url    *template
	// endpoint is the account's setting that the address begins with.
	endpoint           string
	headers            []parameter
	query              []parameter
	bearer             *template
	username, password *template
	form               []parameter
	hasForm            bool
	// json is a JSON value whose texts are templates.
	json any
	text *template
	// asksJSON says that the definition asks for an answer in JSON.
	asksJSON bool
	// isOAuth has user and password encoded as RFC 6749 section 2.3.1 wants it.
	isOAuth bool
	// once keeps net/http from sending the request again by itself.
	once bool
}

// uses says whether a template of the request has the variable.
func (r *request) uses(name string) bool {
	found := false
	look := func(t *template) {
		for _, p := range t.partsOrNone() {
			found = found || p.variable == name
		}
	}
	for _, t := range []*template{r.url, r.bearer, r.username, r.password, r.text} {
		look(t)
	}
	for _, list := range [][]parameter{r.headers, r.query, r.form} {
		for _, p := range list {
			look(p.value)
		}
	}
	walkJSON(r.json, look)
	return found
}

func (t *template) partsOrNone() []part {
	if t == nil {
		return nil
	}
	return t.parts
}

// walkJSON visits the templates of a JSON body.
func walkJSON(value any, visit func(*template)) {
	switch v := value.(type) {
	case map[string]any:
		for _, member := range v {
			walkJSON(member, visit)
		}
	case []any:
		for _, element := range v {
			walkJSON(element, visit)
		}
	case *template:
		visit(v)
	}
}

// notCalled explains a request that was not made.
func (r *request) notCalled(problem string) *provider.Error {
	return &provider.Error{Kind: provider.NotAsked, Host: r.t.definition.Title(), Problem: "was not called: " + problem, NotSent: true}
}

// build makes the HTTP request.
func (r *request) build(ctx context.Context, v variables) (*http.Request, *provider.Error) {
	address, failed := r.address(v)
	if failed != nil {
		return nil, failed
	}
	body, contentType := r.body(v)
	built, err := http.NewRequestWithContext(ctx, r.method, address.String(), body)
	if err != nil {
		return nil, r.notCalled("its address is none")
	}
	if contentType != "" {
		built.Header.Set("Content-Type", contentType)
	}
	for _, h := range r.headers {
		if value, defined := h.value.text(v); defined {
			built.Header.Set(h.name, value)
		}
	}
	if r.username != nil {
		username, _ := r.username.text(v)
		password, _ := r.password.text(v)
		if r.isOAuth {
			username, password = url.QueryEscape(username), url.QueryEscape(password)
		}
		built.SetBasicAuth(username, password)
	}
	if r.bearer != nil {
		if token, defined := r.bearer.text(v); defined {
			built.Header.Set("Authorization", "Bearer "+token)
		}
	}
	if r.once {
		sendOnce(built)
	}
	return built, nil
}

// sendOnce has net/http not send the request again by itself, as it does over a connection that turns out to be closed, for methods
// without effects and where it can have the body again. Over a connection that was not used before it never does.
func sendOnce(r *http.Request) {
	r.GetBody = nil
	if r.Method == http.MethodGet {
		r.Body = io.NopCloser(strings.NewReader("")) // a body that cannot be had again; none is sent
	}
}

// address expands the address and looks that it still is one of the endpoint.
func (r *request) address(v variables) (*url.URL, *provider.Error) {
	endpoint, set := v[ofAccount+r.endpoint]
	if !set {
		return nil, r.notCalled(fmt.Sprintf("%s of the account has no value; write the account with it, together with its secrets", r.endpoint))
	}
	text, err := r.url.encoded(v)
	if err != nil {
		if name := r.url.undefined(v); name != "" {
			return nil, r.notCalled(fmt.Sprintf("its address needs %s, which has no value here", name))
		}
		return nil, r.notCalled("its address cannot be built")
	}
	base, baseErr := url.Parse(endpoint)
	if baseErr != nil {
		return nil, r.notCalled("a configured address is no URL")
	}
	address, err := url.Parse(text)
	if err != nil || !isBelow(base, address) {
		return nil, r.notCalled("a value would lead its address away from " + r.endpoint)
	}
	if len(r.query) > 0 {
		values := url.Values{}
		for _, p := range r.query {
			if value, defined := p.value.text(v); defined {
				values.Set(p.name, value)
			}
		}
		address.RawQuery = strings.Trim(address.RawQuery+"&"+values.Encode(), "&")
	}
	return address, nil
}

// isBelow says whether an address is one of the endpoint, at its host and below its path.
func isBelow(base, address *url.URL) bool {
	if address.Scheme != base.Scheme || address.Host != base.Host || address.Host == "" || address.User != nil || address.Fragment != "" {
		return false
	}
	if climbs(address.Path) {
		return false
	}
	prefix := strings.TrimRight(base.Path, "/")
	return address.Path == prefix || strings.HasPrefix(address.Path, prefix+"/")
}

// climbs says whether a path could leave its place, also for a server that decodes it once more, or that knows path parameters (..;a).
func climbs(path string) bool {
	for range 3 {
		for element := range strings.SplitSeq(path, "/") {
			element, _, _ = strings.Cut(element, ";")
			if element == "." || element == ".." || strings.Contains(element, "\\") {
				return true
			}
		}
		decoded, err := url.PathUnescape(path)
		if err != nil || decoded == path {
			break
		}
		path = decoded
	}
	return false
}

func (r *request) body(v variables) (body io.Reader, contentType string) {
	switch {
	case r.hasForm:
		values := url.Values{}
		for _, p := range r.form {
			if value, defined := p.value.text(v); defined {
				values.Set(p.name, value)
			}
		}
		return strings.NewReader(values.Encode()), "application/x-www-form-urlencoded"
	case r.json != nil:
		expanded, _ := expandJSON(r.json, v)
		encoded, err := json.Marshal(expanded)
		if err != nil {
			encoded = nil // what was read as JSON can be written as such
		}
		return bytes.NewReader(encoded), "application/json"
	case r.text != nil:
		text, _ := r.text.text(v)
		return strings.NewReader(text), "text/plain; charset=utf-8"
	default:
		return http.NoBody, ""
	}
}

// expandJSON says false for a text whose only variable is undefined. Members and elements that are one are left out.
func expandJSON(value any, v variables) (any, bool) {
	switch typed := value.(type) {
	case map[string]any:
		expanded := map[string]any{}
		for name, member := range typed {
			if value, defined := expandJSON(member, v); defined {
				expanded[name] = value
			}
		}
		return expanded, true
	case []any:
		expanded := []any{}
		for _, element := range typed {
			if value, defined := expandJSON(element, v); defined {
				expanded = append(expanded, value)
			}
		}
		return expanded, true
	case *template:
		return typed.text(v)
	default:
		return value, true
	}
}

// send sends a request. Beside an answer that has been read there is an error only where its status says that it is no answer.
func (r *request) send(ctx context.Context, client *http.Client, v variables) (*answer, *provider.Error) {
	connected, traced := false, false
	built, failed := r.build(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { traced = true },
		GotConn: func(httptrace.GotConnInfo) { connected = true },
	}), v)
	if failed != nil {
		return nil, failed
	}
	if r.once {
		// An idle connection can be closed by the other side at any time, and then nobody knows what became of a request.
		client.CloseIdleConnections()
	}
	response, err := provider.Do(client, built)
	if response != nil {
		return newAnswer(response, r.asksJSON, encodings(built.Header.Get("Authorization"))), nil
	}
	silence, ok := errors.AsType[*provider.Error](err)
	if !ok {
		silence = provider.TransportError(built.URL.Host, err)
	}
	silence.NotSent = traced && !connected
	return nil, silence
}
