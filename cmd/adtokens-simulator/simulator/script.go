package simulator

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
)

// script describes an ad platform by rules: what its console makes, and which endpoint answers what. See platforms/README.md.
type script struct {
	Name  string `yaml:"name"`
	Title string `yaml:"title"`
	// Headers are those of every answer.
	Headers map[string]string      `yaml:"headers"`
	Kinds   map[string]*scriptKind `yaml:"kinds"`
	// Limit is that of all calls with one credential.
	Limit     *scriptLimit      `yaml:"limit"`
	Endpoints []*scriptEndpoint `yaml:"endpoints"`
	// Answers serve the endpoints that have none of their own for a verdict.
	Answers map[string]*scriptAnswer `yaml:"answers"`
}

// scriptKind is a kind of credential that the console makes.
type scriptKind struct {
	// Owner is the shape of the account's or user's id, which a credential keeps for ever.
	Owner  string                  `yaml:"owner"`
	Fields map[string]*scriptField `yaml:"fields"`
	Reset  scriptReset             `yaml:"reset"`
}

// scriptField is a field of a credential, or something that the platform gives for it.
type scriptField struct {
	Shape  string `yaml:"shape"`
	Secret bool   `yaml:"secret"`
	// Shared is true for what all credentials of the platform have in common, such as an app's id and secret.
	Shared bool `yaml:"shared"`
	// Minted is true for what only an endpoint gives, such as an access token or an authorization code.
	Minted bool `yaml:"minted"`
	// Of names the field whose value a value of this field belongs to, such as the id of a key.
	Of string `yaml:"of"`
	// Life is how long a value is accepted; 0 is for ever.
	Life scriptDuration `yaml:"life"`
}

// scriptReset is what the console's button does.
type scriptReset struct {
	Fields []string `yaml:"fields"`
	fate   `yaml:",inline"`
}

// fate says what becomes of the values that a new one follows.
type fate struct {
	// Previous is lives, dies or dies_later.
	Previous string         `yaml:"previous"`
	Later    scriptDuration `yaml:"later"`
}

// scriptLimit is a number of calls in a window, which begins with the first of them.
type scriptLimit struct {
	Calls int            `yaml:"calls"`
	Every scriptDuration `yaml:"every"`
}

// scriptEndpoint is one rule: which request it is about, how the request is judged, what is done and what is answered.
type scriptEndpoint struct {
	// On is a pattern of http.ServeMux. Of several endpoints with the same one whose When holds, the first answers whose kind of
	// credential the request shows.
	On string `yaml:"on"`
	// When gives the values (RE2, in full) that the request must have at places of it.
	When    map[place]pattern `yaml:"when"`
	Kind    string            `yaml:"kind"`
	Present []scriptPresent   `yaml:"present"`
	Limit   *scriptLimit      `yaml:"limit"`
	Latency scriptDuration    `yaml:"latency"`
	Consent *scriptConsent    `yaml:"consent"`
	Proof   *scriptProof      `yaml:"proof"`
	Makes   []scriptMake      `yaml:"makes"`
	UsesUp  []string          `yaml:"uses_up"`
	Ends    *scriptEnd        `yaml:"ends"`
	// Answers by verdict: ok, missing, wrong, ended, expired, denied, throttled, gone; each, or each but ok, also with a field behind it.
	Answers map[string]*scriptAnswer `yaml:"answers"`
}

// scriptPresent says where a request shows a value. The request is genuine if all values are, and of one credential.
type scriptPresent struct {
	Field string `yaml:"field"`
	// Or is a second field whose values are as good.
	Or string `yaml:"or"`
	In places `yaml:"in"`
}

// scriptConsent is the page on which a person allows an app what it asks for, or does not: an endpoint that is read, whose form comes back
// to the same address.
type scriptConsent struct {
	// Code is the field that holds authorization codes, and CodeParam the parameter in which one is handed over, code when empty.
	Code      string `yaml:"code"`
	CodeParam string `yaml:"code_param"`
	// PKCE refuses requests without a challenge.
	PKCE bool `yaml:"pkce"`
}

// scriptProof has an endpoint check what belongs to an authorization code.
type scriptProof struct {
	Code     string `yaml:"code"`
	Verifier place  `yaml:"verifier"`
	Redirect place  `yaml:"redirect"`
}

// scriptMake gives a new value.
type scriptMake struct {
	Field string `yaml:"field"`
	// Answer is always, sometimes (every second time, the second first) or never.
	Answer string `yaml:"answer"`
	fate   `yaml:",inline"`
}

// scriptEnd ends the values that the request names, and those that belong to them.
type scriptEnd struct {
	Field string `yaml:"field"`
	In    place  `yaml:"in"`
}

// scriptAnswer is an answer with {variables}: of JSON, XML, HTML and text it has at most one.
type scriptAnswer struct {
	Status  int               `yaml:"status"`
	Headers map[string]string `yaml:"headers"`
	JSON    any               `yaml:"json"`
	XML     string            `yaml:"xml"`
	HTML    string            `yaml:"html"`
	Text    string            `yaml:"text"`
}

// scriptDuration is a duration that may be given in days.
type scriptDuration time.Duration

// UnmarshalText is for YAML.
func (d *scriptDuration) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.Atoi(days)
		*d = scriptDuration(time.Duration(n) * 24 * time.Hour)
		return err
	}
	parsed, err := time.ParseDuration(string(text))
	*d = scriptDuration(parsed)
	return err
}

// pattern matches a whole value.
type pattern struct{ *regexp.Regexp }

// UnmarshalText is for YAML.
func (p *pattern) UnmarshalText(text []byte) (err error) {
	p.Regexp, err = regexp.Compile(`^(?:` + string(text) + `)$`)
	return err
}

// The scripts that are built in.
//
//go:embed platforms/*.yaml
var platformFiles embed.FS

// builtInScripts returns the scripts that are built in. They are read once: nothing changes a script.
var builtInScripts = sync.OnceValue(func() []*script {
	entries, err := platformFiles.ReadDir("platforms")
	if err != nil {
		panic(err) // they are compiled in
	}
	scripts := make([]*script, len(entries))
	for i, entry := range entries {
		text, err := platformFiles.ReadFile(path.Join("platforms", entry.Name()))
		if err == nil {
			scripts[i], err = readScript(text)
		}
		if err != nil {
			panic(fmt.Sprintf("%s: %v", entry.Name(), err))
		}
	}
	return scripts
})

// readScript reads a script and checks it.
func readScript(text []byte) (*script, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var s script
	if err := decoder.Decode(&s); err != nil {
		return nil, fmt.Errorf("the script cannot be read: %w", err)
	}
	if err := decoder.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the script has more than one document")
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("the script of %q: %w", s.Name, err)
	}
	return &s, nil
}
