package simulator

import (
	"maps"
	"slices"
	"time"
)

// What is found of a request. A rule has an answer for each, also for a field: "wrong client_secret".
const (
	verdictOK        = "ok"
	verdictMissing   = "missing"
	verdictWrong     = "wrong"   // never issued, or of another credential
	verdictEnded     = "ended"   // reset, revoked or used up
	verdictExpired   = "expired" // its life is over
	verdictDenied    = "denied"  // genuine, without the right; only at endpoints that have an answer for it
	verdictThrottled = "throttled"
	verdictGone      = "gone" // what is to end has ended; ok where there is no answer for it
)

var verdicts = []string{
	verdictOK, verdictMissing, verdictWrong, verdictEnded, verdictExpired, verdictDenied, verdictThrottled, verdictGone,
}

// Answers of a whole platform that belong to no verdict.
const (
	answerBadRequest = "bad_request" // no endpoint of the path wants such a request
	answerNotFound   = "not_found"
	answerError      = "error" // an injected fault's status
)

// finding is what the rules make of a request.
type finding struct {
	verdict string
	// field is what the verdict is about, empty where it is about no field.
	field      string
	credential *platformCredential
	presented  map[string]*platformValue
	made       map[string]*platformValue
	wait       time.Duration
}

func (f *finding) is(verdict, field string) { f.verdict, f.field = verdict, field }

// judge finds out whose request it is, and whether it is genuine. The caller holds mu.
func (s *Simulator) judge(p *platform, e *scriptEndpoint, a *arrival) *finding {
	f := &finding{verdict: verdictOK, presented: map[string]*platformValue{}, made: map[string]*platformValue{}}
	for _, present := range e.Present {
		s.judgeValue(p, e, f, present, present.In.read(a))
		if f.verdict != verdictOK {
			break
		}
	}
	if f.credential == nil {
		if f.verdict == verdictOK && len(e.Present) > 0 { // nothing but what everybody shares
			f.credential = p.first(e.Kind)
		}
		return f
	}
	if wait := max(f.credential.count("", p.script.Limit, s.now()), f.credential.count(e.On, e.Limit, s.now())); wait > 0 {
		f.is(verdictThrottled, "")
		f.wait = wait
		return f
	}
	if f.verdict == verdictOK {
		s.judgePairs(p, f)
	}
	if f.verdict == verdictOK && f.credential.denied && e.Answers[verdictDenied] != nil {
		f.is(verdictDenied, "")
	}
	return f
}

// first returns the credential of a kind that stands for all of them where only shared fields are shown, nil if there is none.
func (p *platform) first(kind string) *platformCredential {
	for _, name := range slices.Sorted(maps.Keys(p.credentials)) {
		if p.credentials[name].kind == kind {
			return p.credentials[name]
		}
	}
	return nil
}

func (s *Simulator) judgeValue(p *platform, e *scriptEndpoint, f *finding, present scriptPresent, text string) {
	if text == "" {
		f.is(verdictMissing, present.Field)
		return
	}
	c, value := p.findValue(e.Kind, f.credential, present, text)
	if value == nil {
		f.is(verdictWrong, present.Field)
		return
	}
	f.presented[present.Field] = value
	f.presented[value.field] = value
	if c != nil {
		f.credential = c
	}
	if value.isOver(s.now()) {
		f.is(value.verdict, present.Field)
	}
}

// findValue finds what is presented among the values that there ever were, and whose it is: nobody's where all share it.
func (p *platform) findValue(kind string, of *platformCredential, present scriptPresent, text string) (*platformCredential, *platformValue) {
	for _, field := range []string{present.Field, present.Or} {
		rules := p.script.Kinds[kind].Fields[field]
		if rules == nil {
			continue
		}
		if rules.Shared {
			if value := withText(p.shared[field], text); value != nil {
				return nil, value
			}
			continue
		}
		for _, c := range p.credentials {
			if c.kind != kind || (of != nil && c != of) {
				continue
			}
			if value := withText(c.values[field], text); value != nil {
				return c, value
			}
		}
	}
	return nil, nil
}

func withText(values []*platformValue, text string) *platformValue {
	i := slices.IndexFunc(values, func(v *platformValue) bool { return sameSecret(v.text, text) })
	if i < 0 {
		return nil
	}
	return values[i]
}

// judgePairs refuses a value that belongs to another one than the one beside it.
func (s *Simulator) judgePairs(p *platform, f *finding) {
	fields := p.script.Kinds[f.credential.kind].Fields
	for name, value := range f.presented {
		beside := f.presented[fields[name].Of]
		if beside != nil && value.of != "" && value.of != beside.text {
			f.is(verdictWrong, name)
		}
	}
}

// answerFor returns the answer to a finding: the most particular one that there is.
func (p *platform) answerFor(e *scriptEndpoint, f *finding) *scriptAnswer {
	keys := []string{f.verdict + " " + f.field, f.verdict}
	switch f.verdict {
	case verdictEnded, verdictExpired, verdictMissing:
		keys = append(keys, verdictWrong+" "+f.field, verdictWrong)
	case verdictGone:
		keys = append(keys, verdictOK)
	}
	for _, answers := range []map[string]*scriptAnswer{e.Answers, p.script.Answers} {
		for _, key := range keys {
			if answer := answers[key]; answer != nil {
				return answer
			}
		}
	}
	return defaultAnswers[f.verdict]
}

// defaultAnswers serve where a script has nothing to say.
var defaultAnswers = map[string]*scriptAnswer{
	verdictThrottled: {
		Status: 429, Headers: map[string]string{"Retry-After": "{wait}"}, JSON: map[string]any{"error": "too many requests"},
	},
	answerBadRequest: {Status: 400, JSON: map[string]any{"error": "bad request"}},
	answerNotFound:   {Status: 404, JSON: map[string]any{"error": "not found"}},
	answerError:      {JSON: map[string]any{"error": "status {status}"}},
}
