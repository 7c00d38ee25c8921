package simulator

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// scriptConsent is the page on which a person allows an app what it asks for: here everybody does, at once.
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

// builtInScripts returns the text of every script that is built in, by file.
func builtInScripts() map[string][]byte {
	entries, err := platformFiles.ReadDir("platforms")
	if err != nil {
		panic(err) // they are compiled in
	}
	texts := map[string][]byte{}
	for _, entry := range entries {
		if texts[entry.Name()], err = platformFiles.ReadFile(path.Join("platforms", entry.Name())); err != nil {
			panic(err)
		}
	}
	return texts
}

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

var scriptName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// check returns all mistakes.
func (s *script) check() error {
	var errs []error
	if !scriptName.MatchString(s.Name) {
		errs = append(errs, errors.New("the name must be of lower-case letters, digits and underscores"))
	}
	if slices.Contains(ownServices, Service(s.Name)) {
		errs = append(errs, errors.New("the name is taken"))
	}
	for name, kind := range s.Kinds {
		errs = append(errs, inside("kinds."+name, kind.check()))
	}
	for i, endpoint := range s.Endpoints {
		errs = append(errs, inside(fmt.Sprintf("endpoints[%d] (%s)", i, endpoint.On), s.checkEndpoint(endpoint)))
	}
	errs = append(errs, inside("answers", s.checkAnswers(nil, s.Answers)))
	return errors.Join(errs...)
}

// inside says where a mistake is.
func inside(where string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", where, err)
}

func (k *scriptKind) check() error {
	var errs []error
	for name, field := range k.Fields {
		if field.Shape == "" {
			errs = append(errs, fmt.Errorf("the field %s has no shape", name))
		}
		if _, err := newText(field.Shape); err != nil {
			errs = append(errs, fmt.Errorf("the field %s: %w", name, err))
		}
		if field.Of != "" && (k.Fields[field.Of] == nil || k.Fields[field.Of].Of != "") {
			errs = append(errs, fmt.Errorf("the field %s is of %q, which is no field that stands for itself", name, field.Of))
		}
	}
	if _, err := newText(k.Owner); err != nil {
		errs = append(errs, fmt.Errorf("owner: %w", err))
	}
	errs = append(errs, inside("reset", k.Reset.check()), k.checkFields(k.Reset.Fields...))
	return errors.Join(errs...)
}

func (k *scriptKind) checkFields(names ...string) error {
	for _, name := range names {
		if name != "" && k.Fields[name] == nil {
			return fmt.Errorf("there is no field %q", name)
		}
	}
	return nil
}

func (f fate) check() error {
	if !slices.Contains([]string{"", "lives", "dies", "dies_later"}, f.Previous) {
		return fmt.Errorf("previous is lives, dies or dies_later, not %q", f.Previous)
	}
	if (f.Previous == "dies_later") != (f.Later > 0) {
		return errors.New("later goes with dies_later, and dies_later needs it")
	}
	return nil
}

func (s *script) checkEndpoint(e *scriptEndpoint) error {
	kind := s.Kinds[e.Kind]
	switch {
	case e.On == "":
		return errors.New("on is missing")
	case kind == nil && (e.Kind != "" || len(e.Present) > 0):
		return fmt.Errorf("there is no kind %q", e.Kind)
	case kind == nil:
		kind = &scriptKind{}
	}
	var errs []error
	for _, present := range e.Present {
		errs = append(errs, kind.checkFields(present.Field, present.Or))
		if present.Field == "" || len(present.In) == 0 {
			errs = append(errs, errors.New("present needs a field and where it stands"))
		}
	}
	for _, made := range e.Makes {
		errs = append(errs, kind.checkFields(made.Field), inside("makes", made.check()))
		if !slices.Contains([]string{"", "always", "sometimes", "never"}, made.Answer) {
			errs = append(errs, fmt.Errorf("answer is always, sometimes or never, not %q", made.Answer))
		}
	}
	errs = append(errs, kind.checkFields(e.UsesUp...))
	if e.Consent != nil {
		errs = append(errs, kind.checkFields(e.Consent.Code))
	} else if e.Answers["ok"] == nil {
		errs = append(errs, errors.New("answers has no ok"))
	}
	if e.Proof != nil {
		errs = append(errs, kind.checkFields(e.Proof.Code))
	}
	if e.Ends != nil {
		errs = append(errs, kind.checkFields(e.Ends.Field))
	}
	if len(e.Present) > 0 && e.Answers["wrong"] == nil && s.Answers["wrong"] == nil {
		errs = append(errs, errors.New("answers has no wrong"))
	}
	errs = append(errs, inside("answers", s.checkAnswers(kind, e.Answers)))
	return errors.Join(errs...)
}

// checkAnswers is about those of an endpoint, or, without a kind, about those that serve all of them.
func (s *script) checkAnswers(kind *scriptKind, answers map[string]*scriptAnswer) error {
	var errs []error
	for key, answer := range answers {
		verdict, field, _ := strings.Cut(key, " ")
		known := verdicts
		if kind == nil {
			known = slices.Concat(verdicts, []string{answerBadRequest, answerNotFound, answerError})
		}
		if !slices.Contains(known, verdict) {
			errs = append(errs, fmt.Errorf("%q is none of %v", verdict, known))
		}
		if kind != nil {
			errs = append(errs, kind.checkFields(field))
		}
		errs = append(errs, inside(key, answer.check(s, kind)))
	}
	return errors.Join(errs...)
}

func (a *scriptAnswer) check(s *script, kind *scriptKind) error {
	bodies := 0
	for _, there := range []bool{a.JSON != nil, a.XML != "", a.HTML != "", a.Text != ""} {
		if there {
			bodies++
		}
	}
	if bodies > 1 {
		return errors.New("an answer has one of json, xml, html and text")
	}
	if a.Status != 0 && (a.Status < 200 || a.Status > 599) {
		return fmt.Errorf("%d is no status", a.Status)
	}
	texts := []string{a.XML, a.HTML, a.Text}
	for _, text := range a.Headers {
		texts = append(texts, text)
	}
	for _, text := range s.Headers {
		texts = append(texts, text)
	}
	walkTexts(a.JSON, func(text string) { texts = append(texts, text) })
	var errs []error
	for _, text := range texts {
		errs = append(errs, checkVariables(text, kind))
	}
	return errors.Join(errs...)
}
