package simulator

import (
	"crypto/sha256"
	"encoding/base64"
	"math"
	"net/http"
	"slices"
	"time"
)

// act does what an endpoint does for a genuine request. The caller holds mu.
func (s *Simulator) act(p *platform, e *scriptEndpoint, a *arrival, f *finding) {
	if e.Proof != nil && !e.Proof.holds(a, f.presented[e.Proof.Code]) {
		f.is(verdictWrong, e.Proof.Code)
		return
	}
	if e.Ends != nil && !s.end(p, e.Ends, a, f) {
		f.is(verdictGone, "")
	}
	for _, field := range e.UsesUp {
		if value := f.presented[field]; value != nil {
			value.endAt(s.now(), verdictEnded)
		}
	}
	for _, rule := range e.Makes {
		s.makeValue(p, rule, f)
	}
}

// holds reports whether the request comes from whoever asked for the code.
func (p *scriptProof) holds(a *arrival, code *platformValue) bool {
	if code == nil || (p.Redirect.kind != "" && p.Redirect.read(a) != code.redirect) {
		return false
	}
	if code.challenge == "" {
		return true
	}
	sum := sha256.Sum256([]byte(p.Verifier.read(a)))
	return sameSecret(base64.RawURLEncoding.EncodeToString(sum[:]), code.challenge)
}

// makeValue makes a new value, and lets those before it live or die. Where the request shows a value of the field, only that is
// affected.
func (s *Simulator) makeValue(p *platform, rule scriptMake, f *finding) {
	c := f.credential
	if c == nil || rule.Answer == "never" {
		return
	}
	c.grants[rule.Field]++
	if rule.Answer == "sometimes" && c.grants[rule.Field]%2 == 1 {
		return
	}
	previous := slices.Clone(p.valuesOf(c, rule.Field))
	if shown := f.presented[rule.Field]; shown != nil {
		previous = []*platformValue{shown}
	}
	of := p.script.Kinds[c.kind].Fields[rule.Field].Of
	belongs := s.ofNewest(p, c, of)
	switch {
	case f.made[of] != nil:
		belongs = f.made[of].text
	case f.presented[of] != nil:
		belongs = f.presented[of].text
	}
	s.retire(previous, rule.fate)
	f.made[rule.Field] = s.add(p, c, rule.Field, belongs)
}

// end ends what the request names. It reports whether there was something to end.
func (s *Simulator) end(p *platform, rule *scriptEnd, a *arrival, f *finding) bool {
	if f.credential == nil {
		return false
	}
	named := withText(p.valuesOf(f.credential, rule.Field), rule.In.read(a))
	if named == nil || named.isOver(s.now()) {
		return false
	}
	named.endAt(s.now(), verdictEnded)
	for name, field := range p.script.Kinds[f.credential.kind].Fields {
		if field.Of != rule.Field {
			continue
		}
		for _, value := range p.valuesOf(f.credential, name) {
			if value.of == named.text {
				value.endAt(s.now(), verdictEnded)
			}
		}
	}
	return true
}

// variables are what the answer to a finding can say. The caller holds mu.
func (s *Simulator) variables(p *platform, f *finding, status int) variables {
	now := s.now()
	value := func(name, field string) *platformValue {
		switch {
		case name == "made":
			return f.made[field]
		case name == "presented":
			return f.presented[field]
		case f.made[field] != nil:
			return f.made[field]
		case f.presented[field] != nil && name != "newest":
			return f.presented[field]
		case f.credential != nil:
			return p.newest(f.credential, field, now)
		}
		return nil
	}
	return func(name, field string) any {
		if field == "" {
			return s.plainVariable(p, f, name, status)
		}
		v := value(name, field)
		switch {
		case v == nil:
			return nil
		case name == "made" || name == "presented" || name == "newest":
			return v.text
		case v.end.IsZero():
			return nil
		case name == "life":
			return int64(math.Round(v.end.Sub(now).Seconds())) // the moments since the value was made do not count
		case name == "end":
			return v.end.Unix()
		default:
			return v.end.UTC().Format(time.RFC3339)
		}
	}
}

func (s *Simulator) plainVariable(p *platform, f *finding, name string, status int) any {
	// A wait is rounded up: who comes back after it has to be served.
	wait := time.Duration(math.Ceil(f.wait.Seconds())) * time.Second
	switch name {
	case "owner":
		if f.credential == nil || f.credential.owner == "" {
			return nil
		}
		return f.credential.owner
	case "now":
		return s.now().Unix()
	case "request_id":
		return requestID(p.script.Name, p.requests)
	case "wait":
		return int64(wait / time.Second)
	case "reset_at":
		return s.now().Add(wait).Unix()
	default:
		if status == 0 {
			status = http.StatusOK
		}
		return int64(status)
	}
}
