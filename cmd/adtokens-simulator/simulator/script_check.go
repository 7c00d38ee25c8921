package simulator

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

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
		if kind == nil {
			kind = &scriptKind{}
		}
		s.Kinds[name] = kind
		errs = append(errs, inside("kinds."+name, kind.check()))
	}
	for i, endpoint := range s.Endpoints {
		if endpoint == nil {
			endpoint = &scriptEndpoint{}
		}
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
		if field == nil || field.Shape == "" {
			errs = append(errs, fmt.Errorf("the field %s has no shape", name))
			continue
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
	if e.Consent == nil && e.Answers["ok"] == nil {
		errs = append(errs, errors.New("answers has no ok"))
	}
	if len(e.Present) > 0 && e.Answers["wrong"] == nil && s.Answers["wrong"] == nil {
		errs = append(errs, errors.New("answers has no wrong"))
	}
	errs = append(errs, e.checkRules(kind), inside("answers", s.checkAnswers(kind, e.Answers)))
	return errors.Join(errs...)
}

// checkRules is about what is presented, and what is done then.
func (e *scriptEndpoint) checkRules(kind *scriptKind) error {
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
	}
	if e.Proof != nil {
		errs = append(errs, kind.checkFields(e.Proof.Code))
	}
	if e.Ends != nil {
		errs = append(errs, kind.checkFields(e.Ends.Field))
	}
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
		if answer == nil {
			errs = append(errs, fmt.Errorf("%s is empty: write {} for an answer without a body", key))
			continue
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
