package simulator

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Service is a part of a provider that is counted, and made to fail, on its own.
type Service string

// The services.
const (
	GoogleToken Service = "google_token" // token and revocation endpoints
	GoogleAds   Service = "google_ads"
	GoogleIAM   Service = "google_iam"
	Impact      Service = "impact"
	ResetHook   Service = "reset_hook" // see Hook, which has its faults from Break
)

// ownServices are those that are code. A platform by rules is a service of its name.
var ownServices = []Service{GoogleToken, GoogleAds, GoogleIAM, Impact, ResetHook}

// FaultKind says how a request fails.
type FaultKind string

// The kinds of fault.
const (
	FaultLatency          FaultKind = "latency"            // the right answer, after Latency; nothing is done for who hangs up before
	FaultLateAnswer       FaultKind = "late_answer"        // the work is done at once, and its answer held back for Latency
	FaultDrip             FaultKind = "drip"               // the right answer byte by byte, one every Latency, followed by white space without an end
	FaultReset            FaultKind = "reset"              // connection reset (TCP RST), nothing done; with HTTP/2 the request's stream
	FaultDropBefore       FaultKind = "drop_before"        // connection closed, nothing done
	FaultDropAfter        FaultKind = "drop_after"         // connection closed after the work was done
	FaultRedirect         FaultKind = "redirect"           // 307 to Location, which asks for the same method and body there
	FaultGarbage          FaultKind = "garbage"            // 200 with a body that is not JSON, though it says so
	FaultHalfBody         FaultKind = "half_body"          // the right answer, cut in the middle
	FaultOversizedBody    FaultKind = "oversized_body"     // the right answer, followed by 16 MiB of white space
	FaultStatus           FaultKind = "status"             // the provider's error answer with Status
	FaultWrongContentType FaultKind = "wrong_content_type" // the right answer, announced as text/html
)

// Fault makes requests to a service fail.
//
// Go's HTTP client repeats a GET by itself when a connection that it reused is closed before the answer begins: a
// drop_before with Times 1 may go unnoticed on such a connection, as it would in life.
type Fault struct {
	Service Service   `json:"service"`
	Kind    FaultKind `json:"kind"`
	// Method is the HTTP method of the requests that meet the fault; empty means all.
	Method string `json:"method,omitempty"`
	// Path is a part of the URL path of the requests that meet the fault; empty means any.
	Path string `json:"path,omitempty"`
	// Skip is the number of such requests that pass before the first one that meets the fault.
	Skip int `json:"skip,omitempty"`
	// Times is the number of requests that meet the fault; 0 means all until ClearFaults.
	Times int `json:"times,omitempty"`
	// Latency is how long the answer is held back, or for FaultDrip each byte of it; it goes with every kind.
	Latency time.Duration `json:"latency,omitempty"`
	// Status is the HTTP status of FaultStatus, 400 to 599.
	Status int `json:"status,omitempty"`
	// RetryAfter is the wait that a 429 or 503 names, in seconds; 0 means it names none.
	RetryAfter int `json:"retry_after,omitempty"`
	// Location is the absolute URL of FaultRedirect.
	Location string `json:"location,omitempty"`

	// respond gives Status where the service is a platform by rules.
	respond http.HandlerFunc
}

const oversize = 16 << 20

// isServed leaves the reset hook out, which is a server of its own.
func (s Service) isServed(platforms map[string]*platform) bool {
	return platforms[string(s)] != nil || (s != ResetHook && slices.Contains(ownServices, s))
}

// validate takes the services that there are beside the own ones.
func (f *Fault) validate(platforms map[string]*platform) error {
	if !f.Service.isServed(platforms) {
		return fmt.Errorf("unknown service %q: use google_token, google_ads, google_iam, impact or a platform's name", f.Service)
	}
	if f.Skip < 0 || f.Times < 0 || f.Latency < 0 || f.RetryAfter < 0 {
		return fmt.Errorf("skip, times, latency and wait must not be negative")
	}
	switch f.Kind {
	case FaultReset, FaultDropBefore, FaultDropAfter, FaultGarbage, FaultHalfBody, FaultOversizedBody, FaultWrongContentType:
	case FaultLatency, FaultLateAnswer, FaultDrip:
		if f.Latency == 0 {
			return fmt.Errorf("the fault %s needs a duration", f.Kind)
		}
	case FaultStatus:
		if f.Status < 400 || f.Status > 599 {
			return fmt.Errorf("the fault status needs an HTTP status from 400 to 599, not %d", f.Status)
		}
	case FaultRedirect:
		if target, err := url.Parse(f.Location); err != nil || !target.IsAbs() {
			return fmt.Errorf("the fault redirect needs an absolute URL to redirect to")
		}
	default:
		return fmt.Errorf("unknown kind of fault %q", f.Kind)
	}
	return nil
}

// serve counts the request, then answers it, or fails as the first fault of the service says.
func (s *Simulator) serve(service Service, answer http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := s.arrive(service, r)
		if fault == nil {
			s.logger.Info("request", "service", service, "endpoint", r.Pattern)
			answer(w, r)
			return
		}
		s.logger.Info("request meets a fault", "service", service, "endpoint", r.Pattern, "fault", fault.Kind)
		fault.meet(w, r, answer)
	})
}

// meet fails the request, once the time has come.
func (f *Fault) meet(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if f.Kind == FaultLateAnswer || f.Kind == FaultDrip || wait(r.Context(), f.Latency) {
		f.answer(w, r, next)
	}
}

// arrive counts a request and returns a copy of the fault that it meets, if any.
func (s *Simulator) arrive(service Service, r *http.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests[service] == nil {
		s.requests[service], s.userAgents[service] = map[string]int{}, map[string]int{}
	}
	s.requests[service][r.Pattern]++
	s.userAgents[service][r.UserAgent()]++

	i := slices.IndexFunc(s.faults, func(f *Fault) bool {
		return f.Service == service && (f.Method == "" || f.Method == r.Method) && strings.Contains(r.URL.Path, f.Path)
	})
	if i < 0 {
		return nil
	}
	fault := *s.faults[i]
	if p := s.platforms[string(service)]; p != nil {
		fault.respond = func(w http.ResponseWriter, r *http.Request) { s.answerFault(p, &fault, w, r) }
	}
	switch {
	case fault.Skip > 0:
		s.faults[i].Skip--
		return nil
	case fault.Times == 0:
	case fault.Times == 1:
		s.faults = slices.Delete(s.faults, i, i+1)
	default:
		s.faults[i].Times--
	}
	return &fault
}

// wait reports whether d passed before the client went away.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *Fault) answer(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	switch f.Kind {
	case FaultLatency:
		next(w, r)
	case FaultReset:
		reset(w)
	case FaultDropBefore:
		panic(http.ErrAbortHandler)
	case FaultRedirect:
		http.Redirect(w, r, f.Location, http.StatusTemporaryRedirect)
	case FaultGarbage:
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		_, _ = w.Write([]byte("\x00\xff{not json"))
	case FaultStatus:
		f.answerStatus(w, r)
	default:
		f.spoil(w, r, next)
	}
}

// spoil lets the provider do its work and then damages the answer.
func (f *Fault) spoil(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	answer := recorder{header: w.Header(), status: http.StatusOK}
	next(&answer, r)
	body := answer.body.Bytes()
	switch f.Kind {
	case FaultDropAfter:
		panic(http.ErrAbortHandler)
	case FaultLateAnswer:
		if !wait(r.Context(), f.Latency) {
			panic(http.ErrAbortHandler)
		}
	case FaultWrongContentType:
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	case FaultOversizedBody:
		body = append(body, bytes.Repeat([]byte(" "), oversize)...)
	case FaultHalfBody:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		body = body[:len(body)/2]
	}
	w.WriteHeader(answer.status)
	if f.Kind == FaultDrip {
		f.drip(w, r, body)
		return
	}
	_, _ = w.Write(body)
	if f.Kind == FaultHalfBody {
		_ = http.NewResponseController(w).Flush() // the half must be on its way before the connection closes
		panic(http.ErrAbortHandler)
	}
}

// drip goes on until the client has had enough.
func (f *Fault) drip(w http.ResponseWriter, r *http.Request, body []byte) {
	connection := http.NewResponseController(w)
	for i := 0; ; i++ {
		drop := []byte(" ")
		if i < len(body) {
			drop = body[i : i+1]
		}
		_, _ = w.Write(drop)
		if connection.Flush() != nil || !wait(r.Context(), f.Latency) {
			return
		}
	}
}

// reset closes the connection without waiting for what was sent to arrive, so that the client gets a RST. Where the
// connection has other requests as well, with HTTP/2, it ends only this one.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if secured, ok := connection.(*tls.Conn); ok {
		connection = secured.NetConn()
	}
	if plain, ok := connection.(*net.TCPConn); ok {
		_ = plain.SetLinger(0)
	}
	_ = connection.Close() // there is nobody to tell
}

// answerStatus gives f.Status in the provider's own form. Google documents no codes for the token endpoint's own troubles
// and no Retry-After; internal_failure and the header are what clients meet in practice.
func (f *Fault) answerStatus(w http.ResponseWriter, r *http.Request) {
	if f.respond != nil {
		f.respond(w, r)
		return
	}
	if f.RetryAfter > 0 && f.Service != Impact {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	switch f.Service {
	case GoogleToken:
		writeOAuthError(w, oauthError{status: f.Status, Code: "internal_failure", Description: http.StatusText(f.Status)})
	case GoogleAds:
		writeAdsStatus(w, r, f.Status)
	case GoogleIAM:
		writeGoogleError(w, googleError{Code: f.Status, Message: http.StatusText(f.Status)})
	case Impact:
		if f.Status == http.StatusTooManyRequests && f.RetryAfter > 0 {
			writeRateLimit(w, rateLimit{limit: defaultRateLimit, reset: f.RetryAfter})
		}
		writeImpactError(w, r, f.Status, http.StatusText(f.Status))
	case ResetHook:
		http.Error(w, http.StatusText(f.Status), f.Status)
	}
}

// recorder keeps an answer back; its headers go straight to the real one.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
