package simulator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// PlatformInfo is a platform by rules.
type PlatformInfo struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// Kinds are the kinds of credential that its console makes, with the fields that a person copies from there.
	Kinds map[string][]string `json:"kinds"`
	// Endpoints are the patterns of its requests, as http.ServeMux has them.
	Endpoints []string `json:"endpoints"`
}

// PlatformName says which credential of which platform an action is about.
type PlatformName struct {
	Platform string `json:"platform"`
	Name     string `json:"name"`
}

// PlatformFields are some fields of a credential; none are all that the action is about.
type PlatformFields struct {
	PlatformName
	Fields []string `json:"fields,omitempty"`
}

// PlatformReset presses the button that gives new values.
type PlatformReset struct {
	PlatformName
	// Fields are those that get one, by default what the platform's button is for.
	Fields []string `json:"fields,omitempty"`
	// Previous is what becomes of the values before: lives or dies, by default as the platform has it.
	Previous string `json:"previous,omitempty"`
}

// LiveValue is a value that a platform accepts now.
type LiveValue struct {
	Field string    `json:"field"`
	Value string    `json:"value"`
	Of    string    `json:"of,omitempty"`
	Made  time.Time `json:"made"`
	// Ends is when it ends, nil for never.
	Ends *time.Time `json:"ends,omitempty"`
}

type platformText struct {
	Script string `json:"script"`
}

type platformMake struct {
	PlatformName
	Kind string `json:"kind"`
}

type platformRights struct {
	PlatformName
	Denied bool `json:"denied"`
}

func (s *Simulator) routePlatforms(mux *http.ServeMux) {
	mux.Handle("POST /platform/list", action(s, s.controlPlatformList))
	mux.Handle("POST /platform/add", action(s, s.controlPlatformAdd))
	mux.Handle("POST /platform/make", action(s, s.controlPlatformMake))
	mux.Handle("POST /platform/show", action(s, s.controlPlatformShow))
	mux.Handle("POST /platform/reset", action(s, s.controlPlatformReset))
	mux.Handle("POST /platform/revoke", action(s, s.controlPlatformRevoke))
	mux.Handle("POST /platform/expire", action(s, s.controlPlatformExpire))
	mux.Handle("POST /platform/rights", action(s, s.controlPlatformRights))
	mux.Handle("POST /platform/live", action(s, s.controlPlatformLive))
	mux.Handle("POST /platform/calls", action(s, s.controlPlatformCalls))
}

func (s *Simulator) controlPlatformList(none) ([]PlatformInfo, error) {
	var out []PlatformInfo
	for _, name := range slices.Sorted(maps.Keys(s.platforms)) {
		rules := s.platforms[name].script
		info := PlatformInfo{Name: name, Title: rules.Title, Kinds: map[string][]string{}}
		for kind, k := range rules.Kinds {
			for _, field := range k.order() {
				if !k.Fields[field].Minted {
					info.Kinds[kind] = append(info.Kinds[kind], field)
				}
			}
		}
		for _, e := range rules.Endpoints {
			if !slices.Contains(info.Endpoints, e.On) {
				info.Endpoints = append(info.Endpoints, e.On)
			}
		}
		out = append(out, info)
	}
	return out, nil
}

// controlPlatformAdd serves a script from now on. A platform of that name begins anew.
func (s *Simulator) controlPlatformAdd(in platformText) (name, error) {
	rules, err := readScript([]byte(in.Script))
	if err != nil {
		return name{}, err
	}
	return name{rules.Name}, s.addPlatform(rules)
}

func (s *Simulator) findPlatform(name string) (*platform, error) {
	p, err := find(s.platforms, "platform", name)
	if err != nil {
		return nil, fmt.Errorf("%w; there are %v", err, slices.Sorted(maps.Keys(s.platforms)))
	}
	return p, nil
}

func (s *Simulator) findCredential(in PlatformName) (*platform, *platformCredential, error) {
	p, err := s.findPlatform(in.Platform)
	if err != nil {
		return nil, nil, err
	}
	c, err := find(p.credentials, "credential", in.Name)
	if err != nil {
		return nil, nil, fmt.Errorf("%w of %s; there are %v", err, in.Platform, slices.Sorted(maps.Keys(p.credentials)))
	}
	return p, c, nil
}

func (s *Simulator) controlPlatformMake(in platformMake) (map[string]string, error) {
	p, err := s.findPlatform(in.Platform)
	if err != nil {
		return nil, err
	}
	c, err := s.makeCredential(p, in.Kind, in.Name)
	if err != nil {
		return nil, err
	}
	return s.current(p, c), nil
}

func (s *Simulator) controlPlatformShow(in PlatformName) (map[string]string, error) {
	p, c, err := s.findCredential(in)
	if err != nil {
		return nil, err
	}
	return s.current(p, c), nil
}

func (s *Simulator) controlPlatformReset(in PlatformReset) (map[string]string, error) {
	p, c, err := s.findCredential(in.PlatformName)
	if err != nil {
		return nil, err
	}
	rules := p.script.Kinds[c.kind]
	button := rules.Reset
	if len(in.Fields) > 0 {
		button.Fields = in.Fields
	}
	if in.Previous != "" {
		button.fate = fate{Previous: in.Previous}
	}
	if len(button.Fields) == 0 {
		return nil, fmt.Errorf("nothing can be reset in a credential of kind %s: name fields", c.kind)
	}
	if err := button.check(); err != nil {
		return nil, err
	}
	if err := rules.checkFields(button.Fields...); err != nil {
		return nil, err
	}
	made := map[string]string{}
	for _, field := range rules.order() {
		if !slices.Contains(button.Fields, field) {
			continue
		}
		of := rules.Fields[field].Of
		belongs := made[of]
		if belongs == "" {
			belongs = s.ofNewest(p, c, of)
		}
		s.retire(p.valuesOf(c, field), button.fate)
		made[field] = s.add(p, c, field, belongs).text
	}
	return s.current(p, c), nil
}

// controlPlatformRevoke ends all values of the fields; without fields, of all but those that others share.
func (s *Simulator) controlPlatformRevoke(in PlatformFields) (none, error) {
	return s.endAll(in, verdictEnded)
}

// controlPlatformExpire has the values come to the end of their life.
func (s *Simulator) controlPlatformExpire(in PlatformFields) (none, error) {
	return s.endAll(in, verdictExpired)
}

func (s *Simulator) endAll(in PlatformFields, verdict string) (none, error) {
	p, c, err := s.findCredential(in.PlatformName)
	if err != nil {
		return none{}, err
	}
	rules := p.script.Kinds[c.kind]
	if err := rules.checkFields(in.Fields...); err != nil {
		return none{}, err
	}
	for name, field := range rules.Fields {
		if (len(in.Fields) == 0 && !field.Shared && field.Secret) || slices.Contains(in.Fields, name) {
			for _, value := range p.valuesOf(c, name) {
				value.endAt(s.now(), verdict)
			}
		}
	}
	return none{}, nil
}

func (s *Simulator) controlPlatformRights(in platformRights) (none, error) {
	_, c, err := s.findCredential(in.PlatformName)
	if err != nil {
		return none{}, err
	}
	c.denied = in.Denied
	return none{}, nil
}

func (s *Simulator) controlPlatformLive(in PlatformName) ([]LiveValue, error) {
	p, c, err := s.findCredential(in)
	if err != nil {
		return nil, err
	}
	live := []LiveValue{}
	for _, field := range p.script.Kinds[c.kind].order() {
		for _, value := range p.valuesOf(c, field) {
			if value.isOver(s.now()) {
				continue
			}
			out := LiveValue{Field: field, Value: value.text, Of: value.of, Made: value.made}
			if !value.end.IsZero() {
				out.Ends = &value.end
			}
			live = append(live, out)
		}
	}
	return live, nil
}

func (s *Simulator) controlPlatformCalls(in name) ([]PlatformCall, error) {
	p, err := s.findPlatform(in.Name)
	if err != nil {
		return nil, err
	}
	return append([]PlatformCall{}, p.calls...), nil
}
