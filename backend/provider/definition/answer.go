package definition

import (
	"maps"
	"mime"
	"net/http"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// answer is what the platform said.
type answer struct {
	*provider.Response
	// body is the JSON of the answer, nil where it is none.
	body any
	// sent are secrets as the request had them.
	sent []string
}

// newAnswer reads the body as JSON where the answer says that it is, or where JSON was asked for. A page for people never is.
func newAnswer(r *provider.Response, asked bool, sent []string) *answer {
	a := &answer{Response: r, sent: sent}
	if (asked || saysJSON(r.Header)) && !r.IsPage() {
		a.body, _ = parseJSON(r.Body)
	}
	return a
}

// saysJSON says whether an answer is announced as JSON: application/json, or a type that ends with +json.
func saysJSON(h http.Header) bool {
	mediaType, _, _ := mime.ParseMediaType(h.Get("Content-Type")) // empty where it is none
	return mediaType == "application/json" || mediaType == "text/json" || strings.HasSuffix(mediaType, "+json")
}

// maxText is how much of an answer expressions see as text: patterns look at every character of it.
const maxText = 256 << 10

// facts are what expressions see of the answer, beside the given ones.
func (a *answer) facts(beside map[string]any) map[string]any {
	headers := map[string]string{}
	for name, values := range a.Header {
		headers[strings.ToLower(name)] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
	}
	facts := maps.Clone(beside)
	facts[varStatus], facts[varHeaders], facts[varBody] = a.Status, headers, a.body
	facts[varText] = strings.ToValidUTF8(string(a.Body[:min(len(a.Body), maxText)]), "\uFFFD")
	return facts
}

// silence explains an answer for which there is no rule and whose status says nothing about the request; nil for any other.
func (a *answer) silence() *provider.Error {
	// Headers of other names than Retry-After mean other things with each platform.
	return provider.StatusError(a.Host, a.Status, http.Header{"Retry-After": a.Header["Retry-After"]})
}

// issued are secrets that an answer of OAuth gives out, whatever the definition makes of them.
func (a *answer) issued() []string {
	var secrets []string
	body, _ := a.body.(map[string]any)
	for _, name := range []string{"access_token", fieldRefreshToken, "id_token", fieldClientSecret} {
		if secret, _ := body[name].(string); secret != "" {
			secrets = append(secrets, secret)
		}
	}
	return secrets
}

// isRedirect says that no rule may see the answer: it sends the request on to somewhere else.
func (a *answer) isRedirect() bool { return a.Status >= 300 && a.Status < 400 || a.Status < 200 }
