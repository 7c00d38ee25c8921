package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// PlatformCall is a request that a platform by rules has answered. It holds no value.
type PlatformCall struct {
	Method string `json:"method"`
	// Path is the path of the endpoint, or that of the request where there is no such endpoint.
	Path string `json:"path"`
	// Verdict is what was found, with the field that it is about: "ok", "wrong client_secret".
	Verdict string `json:"verdict"`
	// Credential names whose request it was, empty where that is not known.
	Credential string    `json:"credential,omitempty"`
	Status     int       `json:"status"`
	At         time.Time `json:"at"`
}

// keptCalls is how many calls a platform remembers.
const keptCalls = 1000

// Platforms answers for the platforms by rules, each below a path of its name.
func (s *Simulator) Platforms() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		s.mu.Lock()
		p := s.platforms[name]
		s.mu.Unlock()
		if p == nil {
			http.Error(w, "there is no such platform", http.StatusNotFound)
			return
		}
		http.StripPrefix("/"+name, p.mux).ServeHTTP(w, r)
	})
}

// addPlatform starts to serve a script; a platform of the same name, with all its credentials, is gone. The caller holds mu, or is New.
func (s *Simulator) addPlatform(rules *script) (err error) {
	defer func() {
		if reason := recover(); reason != nil { // http.ServeMux panics over a pattern
			err = fmt.Errorf("the script of %q: %v", rules.Name, reason)
		}
	}()
	p := newPlatform(rules)
	p.mux = http.NewServeMux()
	service := Service(rules.Name)
	done := map[string]bool{}
	for _, e := range rules.Endpoints {
		if done[e.On] {
			continue
		}
		done[e.On] = true
		same := slices.DeleteFunc(slices.Clone(rules.Endpoints), func(other *scriptEndpoint) bool { return other.On != e.On })
		on := e.On
		if strings.HasSuffix(on, "/") {
			on += "{$}" // the path itself, not what is below it
		}
		answer := s.serve(service, func(w http.ResponseWriter, r *http.Request) { s.answerPlatform(p, same, w, r) })
		p.mux.Handle(on, answer)
		if path, reads := strings.CutPrefix(on, http.MethodGet+" "); reads && slices.ContainsFunc(same, isConsentPage) {
			p.mux.Handle(http.MethodPost+" "+path, answer) // the page's form
		}
	}
	if !done["/"] {
		p.mux.Handle("/", s.serve(service, func(w http.ResponseWriter, r *http.Request) { s.answerNotFound(p, w, r) }))
	}
	s.platforms[rules.Name] = p
	return nil
}

// answerPlatform answers a request to one of the endpoints with the same pattern.
func (s *Simulator) answerPlatform(p *platform, endpoints []*scriptEndpoint, w http.ResponseWriter, r *http.Request) {
	a, err := readArrival(w, r)
	if err == nil {
		endpoints = slices.DeleteFunc(slices.Clone(endpoints), func(e *scriptEndpoint) bool { return !e.wants(a) })
	}
	if err != nil || len(endpoints) == 0 {
		s.answerPlain(p, answerBadRequest, w, r)
		return
	}
	e := s.choose(p, endpoints, a)
	if e.Latency > 0 && !wait(r.Context(), time.Duration(e.Latency)) {
		return
	}
	s.mu.Lock()
	f := s.judge(p, e, a)
	if f.verdict == verdictOK {
		s.act(p, e, a, f)
	}
	var out writtenAnswer
	if e.Consent != nil && f.verdict == verdictOK {
		out = s.answerConsent(p, e, a, f)
	} else {
		out = s.write(p, p.answerFor(e, f), f)
	}
	s.remember(p, r, f, out.status)
	s.mu.Unlock()
	out.send(w)
}

// wants reports whether the request is one for the endpoint.
func (e *scriptEndpoint) wants(a *arrival) bool {
	for place, pattern := range e.When {
		if !pattern.MatchString(place.read(a)) {
			return false
		}
	}
	return true
}

// choose returns the first endpoint whose kind of credential the request shows, else the first one.
func (s *Simulator) choose(p *platform, endpoints []*scriptEndpoint, a *arrival) *scriptEndpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range endpoints {
		if len(e.Present) == 0 {
			continue
		}
		if _, value := p.findValue(e.Kind, nil, e.Present[0], e.Present[0].In.read(a)); value != nil {
			return e
		}
	}
	return endpoints[0]
}

func (s *Simulator) answerNotFound(p *platform, w http.ResponseWriter, r *http.Request) {
	s.answerPlain(p, answerNotFound, w, r)
}

// answerPlain gives an answer of the whole platform.
func (s *Simulator) answerPlain(p *platform, key string, w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	f := &finding{verdict: key}
	out := s.write(p, p.plainAnswer(key), f)
	s.remember(p, r, f, out.status)
	s.mu.Unlock()
	out.send(w)
}

func (p *platform) plainAnswer(key string) *scriptAnswer {
	if answer := p.script.Answers[key]; answer != nil {
		return answer
	}
	return defaultAnswers[key]
}

// answerFault gives an injected status in the platform's own form: where it throttles with a status of its own, with that.
func (s *Simulator) answerFault(p *platform, fault *Fault, w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	key, f := answerError, &finding{verdict: answerError, wait: time.Duration(fault.RetryAfter) * time.Second}
	if fault.Status == http.StatusTooManyRequests {
		key = verdictThrottled
	}
	answer := *p.plainAnswer(key)
	if answer.Status == 0 {
		answer.Status = fault.Status
	}
	if key == answerError && fault.RetryAfter > 0 {
		answer.Headers = map[string]string{"Retry-After": "{wait}"}
	}
	if key == verdictThrottled && fault.RetryAfter == 0 {
		answer.Headers = nil
	}
	out := s.write(p, &answer, f)
	s.remember(p, r, f, out.status)
	s.mu.Unlock()
	out.send(w)
}

// writtenAnswer is an answer without variables.
type writtenAnswer struct {
	status int
	header map[string]string
	body   []byte
}

// write fills an answer in. The caller holds mu.
func (s *Simulator) write(p *platform, answer *scriptAnswer, f *finding) writtenAnswer {
	p.requests++
	fill := s.variables(p, f, answer.Status)
	out := writtenAnswer{status: answer.Status, header: map[string]string{}}
	if out.status == 0 {
		out.status = http.StatusOK
	}
	switch {
	case answer.XML != "":
		out.header["Content-Type"], out.body = "text/xml; charset=utf-8", []byte(fill.fill(answer.XML, markup))
	case answer.HTML != "":
		out.header["Content-Type"], out.body = "text/html; charset=utf-8", []byte(fill.fill(answer.HTML, markup))
	case answer.JSON != nil:
		filled, _ := fill.fillJSON(answer.JSON)
		out.header["Content-Type"] = "application/json; charset=utf-8"
		out.body, _ = json.Marshal(filled) // what YAML reads, with strings for keys
	default:
		out.header["Content-Type"], out.body = "text/plain; charset=utf-8", []byte(fill.fill(answer.Text, plainText))
	}
	for _, headers := range []map[string]string{p.script.Headers, answer.Headers} {
		for name, text := range headers {
			out.header[name] = fill.fill(text, plainText)
		}
	}
	return out
}

func (a writtenAnswer) send(w http.ResponseWriter) {
	for name, text := range a.header {
		w.Header().Set(name, text)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client went away
}

// remember notes a call. The caller holds mu.
func (s *Simulator) remember(p *platform, r *http.Request, f *finding, status int) {
	_, path, found := strings.Cut(r.Pattern, " ")
	if !found {
		path = r.Pattern
	}
	if path == "/" {
		path = s.withoutSecrets(r.URL.Path)
	}
	call := PlatformCall{
		Method: r.Method, Path: strings.TrimSuffix(path, "{$}"), Verdict: strings.TrimSpace(f.verdict + " " + f.field), Status: status, At: s.now(),
	}
	if f.credential != nil {
		call.Credential = f.credential.name
	}
	p.calls = append(p.calls, call)
	p.calls = p.calls[max(0, len(p.calls)-keptCalls):]
}

// withoutSecrets replaces a text that holds what was issued.
func (s *Simulator) withoutSecrets(text string) string {
	if slices.ContainsFunc(s.issued, func(secret Secret) bool { return strings.Contains(text, secret.needle()) }) {
		return "(a path with a secret)"
	}
	return text
}

// requestID looks like one, and tells a person which request it was.
func requestID(platform string, n int) string { return fmt.Sprintf("%s-%06d", platform, n) }

// loadPlatforms starts to serve what is built in.
func (s *Simulator) loadPlatforms() {
	for _, rules := range builtInScripts() {
		if err := s.addPlatform(rules); err != nil {
			panic(err) // they are compiled in
		}
	}
}
