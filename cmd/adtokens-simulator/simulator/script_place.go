package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// place is where in a request something stands: "bearer", "basic user", "basic password", "header NAME" or "header NAME PREFIX",
// "query NAME", "form NAME", "json a.b" or "path NAME", which is a wildcard of the endpoint's pattern.
type place struct{ kind, name, prefix string }

// UnmarshalText is for YAML.
func (p *place) UnmarshalText(text []byte) error {
	words := strings.Fields(string(text))
	*p = place{}
	switch {
	case len(words) == 1 && words[0] == "bearer":
		*p = place{"header", "Authorization", "Bearer"}
	case len(words) == 3 && words[0] == "header":
		*p = place{"header", words[1], words[2]}
	case len(words) == 2 && words[0] == "basic" && (words[1] == "user" || words[1] == "password"):
		*p = place{"basic", words[1], ""}
	case len(words) == 2 && slices.Contains([]string{"header", "query", "form", "json", "path"}, words[0]):
		*p = place{words[0], words[1], ""}
	default:
		return fmt.Errorf("%q is no place in a request: use bearer, basic user, basic password, header NAME [PREFIX], query NAME, "+
			"form NAME, json NAME.NAME or path NAME", text)
	}
	return nil
}

// places are looked at in their order. In YAML one may stand by itself.
type places []place

// UnmarshalYAML takes a string or a list of them.
func (p *places) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*p = make(places, 1)
		return node.Decode(&(*p)[0])
	}
	return node.Decode((*[]place)(p))
}

// read returns the first text that is there.
func (p places) read(a *arrival) string {
	for _, place := range p {
		if text := place.read(a); text != "" {
			return text
		}
	}
	return ""
}

// arrival is a request whose body has been read.
type arrival struct {
	*http.Request
	query, form url.Values
	json        any
}

const longestRequest = 1 << 20

// readArrival reads a form or JSON where the request says that its body is one.
func readArrival(w http.ResponseWriter, r *http.Request) (*arrival, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, longestRequest))
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	a := &arrival{Request: r, query: r.URL.Query()}
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // without one nothing is read
	switch mediaType {
	case "application/x-www-form-urlencoded":
		if a.form, err = url.ParseQuery(string(body)); err != nil {
			return nil, errors.New("the body is no form")
		}
	case "application/json":
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.UseNumber()
		if err := decoder.Decode(&a.json); err != nil {
			return nil, errors.New("the body is no JSON")
		}
	}
	return a, nil
}

func (p place) read(a *arrival) string {
	switch p.kind {
	case "basic":
		user, password, _ := a.BasicAuth()
		if p.name == "user" {
			return user
		}
		return password
	case "header":
		return p.readHeader(a.Header.Get(p.name))
	case "query":
		return a.query.Get(p.name)
	case "form":
		return a.form.Get(p.name)
	case "path":
		return a.PathValue(p.name)
	default:
		return jsonText(a.json, p.name)
	}
}

// readHeader leaves the prefix and one blank out; without them there is no value.
func (p place) readHeader(text string) string {
	if p.prefix == "" {
		return text
	}
	first, rest, _ := strings.Cut(text, " ")
	if !strings.EqualFold(first, p.prefix) {
		return ""
	}
	return rest
}

// jsonText returns the string, number or truth value at a path of object keys.
func jsonText(in any, keys string) string {
	for key := range strings.SplitSeq(keys, ".") {
		object, ok := in.(map[string]any)
		if !ok {
			return ""
		}
		in = object[key]
	}
	switch in := in.(type) {
	case string:
		return in
	case json.Number, bool:
		return fmt.Sprint(in)
	default:
		return ""
	}
}
