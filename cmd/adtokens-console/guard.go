package main

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

// maxForm is in bytes. The largest field is a key file.
const maxForm = 256 << 10

// policy lets a page use the console's own files and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard is in front of every page: it refuses what comes from elsewhere, and says what browsers may do with an answer.
func (c *console) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, out := time.Now(), &recorder{ResponseWriter: w}
		c.setHeaders(w.Header())
		defer func() {
			if problem := recover(); problem != nil {
				c.logger.Error("a page failed", "method", r.Method, "page", r.Pattern)
				if out.status == 0 {
					c.plainProblem(out, http.StatusInternalServerError, "problem.broken")
				}
			}
			// Neither the address nor a header: a query may have the code of a consent.
			c.logger.Debug("request", "method", r.Method, "page", r.Pattern, "status", out.status, "took", time.Since(began).Round(time.Millisecond))
		}()
		if refusal := c.refusal(r); refusal != "" {
			c.logger.Warn("refused a request", "why", refusal, "from", c.clientAddress(r))
			c.plainProblem(out, http.StatusForbidden, "refused."+refusal)
			return
		}
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(out, r.Body, maxForm)
			if status, problem := c.readForm(r); problem != "" {
				c.plainProblem(out, status, "refused."+problem)
				return
			}
		}
		next.ServeHTTP(out, r)
	})
}

func (c *console) setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
	if c.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// refusal says why a request is not answered at all, as the end of a text's key.
func (c *console) refusal(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	origin := r.Header.Get("Origin")
	switch {
	case !c.secure && !isLoopback(host):
		return "host" // a name of somebody else's that leads here: DNS rebinding
	case c.proxied && r.Header.Get("X-Forwarded-Proto") == "http":
		return "clear"
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		return ""
	case origin == "null" && r.Header.Get("Sec-Fetch-Site") == "same-origin":
		return "" // with the Referrer-Policy of our pages a browser keeps the origin of their forms to itself
	case origin != "" && origin != c.origin(r):
		return "origin"
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return "origin"
	}
	return ""
}

// origin is the console's own, as the browser sees it.
func (c *console) origin(r *http.Request) string {
	if c.secure {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// readForm reads a form, and looks that it is from a page of this browser.
func (c *console) readForm(r *http.Request) (status int, problem string) {
	parse := r.ParseForm
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		parse = func() error { return r.ParseMultipartForm(maxForm) } //nolint:gosec // guard bounds the body
	}
	err := parse()
	switch _, tooLarge := errors.AsType[*http.MaxBytesError](err); {
	case tooLarge:
		return http.StatusRequestEntityTooLarge, "large"
	case err != nil:
		return http.StatusBadRequest, "form"
	case !c.sessions.isFormToken(r, r.PostFormValue("csrf")):
		return http.StatusForbidden, "csrf"
	}
	return 0, ""
}

// clientAddress is where a request is from, for the log and the count of failed sign-ins. What a proxy says counts only where there is
// one, and only what it has said itself: the last address.
func (c *console) clientAddress(r *http.Request) string {
	if forwarded := r.Header.Values("X-Forwarded-For"); c.proxied && len(forwarded) > 0 {
		all := strings.Split(forwarded[len(forwarded)-1], ",")
		if ip := net.ParseIP(strings.TrimSpace(all[len(all)-1])); ip != nil {
			return ip.String()
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// recorder knows which status was answered.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
