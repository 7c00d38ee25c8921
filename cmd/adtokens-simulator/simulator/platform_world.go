package simulator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// platform is a platform by rules and its world.
type platform struct {
	script *script
	mux    *http.ServeMux
	// shared are the values of the fields that all credentials have in common.
	shared      map[string][]*platformValue
	credentials map[string]*platformCredential
	calls       []PlatformCall
	// requests numbers the answers.
	requests int
}

// platformCredential is what a person made in the console, with everything that the platform gave for it since.
type platformCredential struct {
	name, kind, owner string
	values            map[string][]*platformValue // oldest first
	denied            bool
	windows           map[string]*window
	// grants counts what was made, by field.
	grants map[string]int
}

// platformValue is a value of a field.
type platformValue struct {
	field, text string
	// of is the value that this one belongs to, such as the id of a key.
	of   string
	made time.Time
	// end is when the value is no longer accepted, zero for never, and verdict what is said of it then: ended or expired.
	end     time.Time
	verdict string
	// redirect and challenge belong to an authorization code.
	redirect, challenge string
}

// window counts the calls of a limit until it is over.
type window struct {
	used int
	over time.Time
}

func (v *platformValue) isOver(now time.Time) bool { return !v.end.IsZero() && !now.Before(v.end) }

// endAt ends the value at a time, unless it ends before.
func (v *platformValue) endAt(at time.Time, verdict string) {
	if v.end.IsZero() || at.Before(v.end) {
		v.end, v.verdict = at, verdict
	}
}

func newPlatform(s *script) *platform {
	return &platform{script: s, shared: map[string][]*platformValue{}, credentials: map[string]*platformCredential{}}
}

// valuesOf returns the values of a field, oldest first.
func (p *platform) valuesOf(c *platformCredential, field string) []*platformValue {
	if p.script.Kinds[c.kind].Fields[field].Shared {
		return p.shared[field]
	}
	return c.values[field]
}

// newest returns the newest value of a field that is live, else the newest one, nil if there never was one.
func (p *platform) newest(c *platformCredential, field string, now time.Time) *platformValue {
	values := p.valuesOf(c, field)
	for _, value := range slices.Backward(values) {
		if !value.isOver(now) {
			return value
		}
	}
	if len(values) == 0 {
		return nil
	}
	return values[len(values)-1]
}

// add makes a value of a field. The caller holds mu.
func (s *Simulator) add(p *platform, c *platformCredential, field, of string) *platformValue {
	rules := p.script.Kinds[c.kind].Fields[field]
	text, _ := newText(rules.Shape) // the script was checked
	value := &platformValue{field: field, text: text, of: of, made: s.now()}
	if rules.Life > 0 {
		value.endAt(value.made.Add(time.Duration(rules.Life)), verdictExpired)
	}
	owner, id := c.name, c.owner
	if rules.Shared {
		p.shared[field] = append(p.shared[field], value)
		owner, id = p.script.Name, field
	} else {
		c.values[field] = append(c.values[field], value)
	}
	if rules.Secret {
		s.issue(Secret{Service(p.script.Name), field, owner, id, text})
	}
	return value
}

// makeCredential is what a person does in the console: it makes a credential of a kind.
func (s *Simulator) makeCredential(p *platform, kind, name string) (*platformCredential, error) {
	rules, err := find(p.script.Kinds, "kind of credential", kind)
	if err != nil {
		return nil, fmt.Errorf("%w: %s has %v", err, p.script.Name, slices.Sorted(maps.Keys(p.script.Kinds)))
	}
	if err := free(p.credentials, name); err != nil {
		return nil, err
	}
	owner, _ := newText(rules.Owner)
	c := &platformCredential{
		name: name, kind: kind, owner: owner,
		values: map[string][]*platformValue{}, windows: map[string]*window{}, grants: map[string]int{},
	}
	p.credentials[name] = c
	for _, field := range rules.order() {
		field, rules := field, rules.Fields[field]
		if !rules.Minted && (!rules.Shared || len(p.shared[field]) == 0) {
			s.add(p, c, field, s.ofNewest(p, c, rules.Of))
		}
	}
	return c, nil
}

// order has the fields that others belong to first.
func (k *scriptKind) order() []string {
	names := slices.Sorted(maps.Keys(k.Fields))
	slices.SortStableFunc(names, func(a, b string) int { return strings.Compare(k.Fields[a].Of, k.Fields[b].Of) })
	return slices.Concat(
		slices.DeleteFunc(slices.Clone(names), func(name string) bool { return k.Fields[name].Of != "" }),
		slices.DeleteFunc(slices.Clone(names), func(name string) bool { return k.Fields[name].Of == "" }),
	)
}

// ofNewest is the text that a new value belongs to, if its field belongs to another one.
func (s *Simulator) ofNewest(p *platform, c *platformCredential, of string) string {
	if of == "" {
		return ""
	}
	if value := p.newest(c, of, s.now()); value != nil {
		return value.text
	}
	return ""
}

// current gives the fields that the console shows, with their newest values.
func (s *Simulator) current(p *platform, c *platformCredential) map[string]string {
	out := map[string]string{}
	rules := p.script.Kinds[c.kind]
	for _, field := range rules.order() {
		value := p.newest(c, field, s.now())
		if rules.Fields[field].Minted || value == nil {
			continue
		}
		out[field] = value.text
		if of := rules.Fields[field].Of; of != "" && value.of != "" {
			out[of] = value.of
		}
	}
	return out
}

// retire ends values as a rule says.
func (s *Simulator) retire(values []*platformValue, f fate) {
	for _, value := range values {
		switch f.Previous {
		case "dies":
			value.endAt(s.now(), verdictEnded)
		case "dies_later":
			value.endAt(s.now().Add(time.Duration(f.Later)), verdictEnded)
		}
	}
}

// count counts a call against a limit. It returns how long to wait, 0 if the call may be made.
func (c *platformCredential) count(name string, limit *scriptLimit, now time.Time) time.Duration {
	if limit == nil || limit.Calls == 0 {
		return 0
	}
	w := c.windows[name]
	if w == nil || !now.Before(w.over) {
		w = &window{over: now.Add(time.Duration(limit.Every))}
		c.windows[name] = w
	}
	if w.used >= limit.Calls {
		return w.over.Sub(now)
	}
	w.used++
	return 0
}

// isLive is isLive of the ledger for a platform by rules.
func (p *platform) isLive(secret Secret, now time.Time) bool {
	live := func(values []*platformValue) bool {
		return slices.ContainsFunc(values, func(v *platformValue) bool { return sameSecret(v.text, secret.Value) && !v.isOver(now) })
	}
	if live(p.shared[secret.Kind]) {
		return true
	}
	c := p.credentials[secret.Owner]
	return c != nil && live(c.values[secret.Kind])
}
