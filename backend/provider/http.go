package provider

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-cleanhttp"
)

// maxResponseSize bounds what is read of an answer. A list of 10,000 accessible customers has about 260 KiB.
const maxResponseSize = 1 << 20

// ClientConfig says how an account's HTTP client behaves.
type ClientConfig struct {
	// CACert is PEM; empty means the system's roots.
	CACert string
	// Timeout bounds one request from connecting to the last byte of the answer.
	Timeout time.Duration
	// UserAgent is the name and the version of the program that asks, such as "name/v1.2.3". Every request says it, before
	// what a client library says of itself, and so does a connection to a proxy; empty leaves requests as they are.
	UserAgent string
}

// NewClient returns a client that is safe to send credentials with: TLS 1.2 or newer, a deadline, bounded answers,
// and no redirect is ever followed.
func NewClient(config ClientConfig) (*http.Client, error) {
	transport := cleanhttp.DefaultPooledTransport()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	transport.MaxResponseHeaderBytes = maxResponseSize
	transport.OnProxyConnectResponse = refuseProxyAnswer
	if config.UserAgent != "" {
		transport.ProxyConnectHeader = http.Header{userAgent: {config.UserAgent}}
	}
	if config.CACert != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(config.CACert)) {
			return nil, errors.New("must hold at least one PEM encoded certificate")
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &http.Client{
		Transport:     boundedTransport{transport, config.UserAgent},
		Timeout:       config.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// userAgent is the header that names the program behind a request.
const userAgent = "User-Agent"

// boundedTransport ends an answer beyond maxResponseSize with an *http.MaxBytesError: here rather than in Do, because client libraries
// read the answers that they ask for.
type boundedTransport struct {
	*http.Transport
	// userAgent goes with every request, unless it is empty.
	userAgent string
}

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.Transport.RoundTrip(t.named(r))
	if err != nil {
		return nil, t.nameProxy(r, err)
	}
	response.Body = http.MaxBytesReader(nil, response.Body, maxResponseSize)
	return response, nil
}

// named returns the request with the program's name before that of the client library that made it, if one did: RFC 9110
// section 10.1.5 wants the most significant name first. The caller's request stays as it is.
func (t boundedTransport) named(r *http.Request) *http.Request {
	if t.userAgent == "" {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Set(userAgent, strings.TrimSpace(t.userAgent+" "+r.Header.Get(userAgent)))
	return r
}

// Response is a platform's answer: 2xx, or a 4xx that speaks about the request.
type Response struct {
	Host   string
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request and reads the answer. Whatever is no useful answer (network, timeout, redirect, oversized body,
// 429, 5xx) is an *Error. For 429 and 5xx the answer is returned too, so that the platform's own code can be told.
func Do(client *http.Client, request *http.Request) (*Response, error) {
	raw, err := client.Do(request)
	if err != nil {
		return nil, TransportError(request.URL.Host, err)
	}
	defer raw.Body.Close()
	body, err := io.ReadAll(raw.Body)
	if err != nil {
		return nil, TransportError(request.URL.Host, err)
	}
	response := &Response{Host: request.URL.Host, Status: raw.StatusCode, Header: raw.Header, Body: body}
	if unusable := StatusError(request.URL.Host, raw.StatusCode, raw.Header); unusable != nil {
		return response, unusable
	}
	return response, nil
}

// Decode reads the body, which must be one JSON object, into v. Anything else, such as the HTML page of a proxy, is an
// *Error, whatever the status: it does not come from the platform's API.
func (r *Response) Decode(v any) error {
	if !bytes.HasPrefix(bytes.TrimSpace(r.Body), []byte("{")) || json.Unmarshal(r.Body, v) != nil {
		return r.Unreadable()
	}
	return nil
}

// IsJSON says whether the answer is announced as JSON: Content-Type application/json, whatever its parameters. The pages
// of proxies, load balancers and login portals are announced as something else, whatever their status. Platforms whose
// API answers in JSON want this of every answer that they believe, be it an acceptance or a refusal.
func (r *Response) IsJSON() bool {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return mediaType == "application/json" && (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter))
}

// IsPage says whether the answer is for people to look at: announced as HTML, or beginning as markup does.
func (r *Response) IsPage() bool {
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // empty where it is none
	return mediaType == "text/html" || mediaType == "application/xhtml+xml" || bytes.HasPrefix(bytes.TrimSpace(r.Body), []byte("<"))
}

// Members returns the members of an answer that is announced as JSON and is one JSON object. Unlike Decode into a struct
// it tells names apart by their case. Any other answer is an *Error.
func (r *Response) Members() (map[string]json.RawMessage, error) {
	if !r.IsJSON() {
		return nil, r.Unreadable()
	}
	var members map[string]json.RawMessage
	if err := r.Decode(&members); err != nil {
		return nil, err
	}
	return members, nil
}

// Unreadable is the error for an answer that is none of the platform's API.
func (r *Response) Unreadable() *Error {
	return &Error{Host: r.Host, Problem: fmt.Sprintf("gave an unreadable answer (HTTP %d), which is none of this API; check the address", r.Status)}
}

// TransportError explains why no answer came, without the request's address, which an *url.Error would repeat. Where the
// request went by way of a proxy, the proxy is named.
func TransportError(host string, err error) *Error {
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		err = urlErr.Err
	}
	proxy, ok := errors.AsType[*proxyError](err)
	if !ok {
		return withoutAnswer(host, err)
	}
	return proxy.explain(host)
}

// withoutAnswer explains an error of a request, or of a connection to a proxy.
func withoutAnswer(host string, err error) *Error {
	var (
		netErr  net.Error
		certErr *tls.CertificateVerificationError
		badCert x509.CertificateInvalidError
		opErr   *net.OpError
		tooLong *http.MaxBytesError
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return &Error{Kind: Timeout, Host: host, Problem: "did not answer in time"}
	case errors.Is(err, context.Canceled):
		return &Error{Host: host, Problem: "was not waited for: the request was cancelled"}
	case errors.As(err, &tooLong):
		return &Error{Host: host, Problem: fmt.Sprintf("answered with more than %d bytes, which is no answer of this API; check the address", tooLong.Limit)}
	case errors.Is(err, http.ErrSchemeMismatch):
		return &Error{Host: host, Problem: "speaks plain HTTP where the address says https://"}
	case errors.As(err, &badCert) && badCert.Reason == x509.Expired:
		return &Error{Host: host, Problem: "has a TLS certificate that is not valid now: it has expired, or the clock of the Vault server is wrong"}
	case errors.As(err, &certErr):
		return &Error{Host: host, Problem: "has a TLS certificate that is not trusted; if a private CA signed it, set the account's CA certificate for this address"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &Error{Host: host, Problem: "closed the connection before its answer was complete"}
	case errors.Is(err, errProxyAddress):
		return &Error{Host: host, Problem: "was not called: HTTPS_PROXY of Vault's environment is no address of a proxy, such as http://proxy.example.com:3128"}
	case errors.As(err, &opErr):
		return &Error{Host: host, Problem: "could not be reached: " + opErr.Err.Error()}
	default: // such as a malformed answer, where the error's text may quote what was read
		return &Error{Host: host, Problem: "gave an answer that is no valid HTTP"}
	}
}

// StatusError explains a status that says nothing about the request itself; nil for every other status.
func StatusError(host string, status int, header http.Header) *Error {
	switch {
	case status == http.StatusTooManyRequests:
		return &Error{Kind: RateLimited, Host: host, Problem: "limits the rate of requests (HTTP 429)", RetryAfter: RetryAfter(header)}
	case status == http.StatusRequestTimeout:
		return &Error{Kind: Timeout, Host: host, Problem: "did not get the whole request in time (HTTP 408)"}
	case status >= 500:
		return &Error{Host: host, Problem: fmt.Sprintf("has a problem of its own (HTTP %d)", status), RetryAfter: RetryAfter(header)}
	case status < 200:
		return &Error{Host: host, Problem: fmt.Sprintf("answered HTTP %d, which is no answer to a request; check the address", status)}
	case status >= 300 && status < 400:
		return &Error{Host: host, Problem: fmt.Sprintf("answered with a redirect (HTTP %d); credentials are never sent on, so set the final address", status)}
	default:
		return nil
	}
}

// maxRetryAfter keeps a platform from putting a retry off for ever.
const maxRetryAfter = 24 * time.Hour

// RetryAfter reads how long to wait, at most a day, from the standard Retry-After, in seconds or as a date, or from
// impact.com's X-RateLimit-Reset, in seconds. It is zero where neither says so.
func RetryAfter(header http.Header) time.Duration {
	for _, name := range []string{"Retry-After", "X-RateLimit-Reset"} {
		value := strings.TrimSpace(header.Get(name))
		seconds, err := strconv.Atoi(value)
		if date, noDate := http.ParseTime(value); err != nil && noDate == nil {
			seconds, err = int(math.Ceil(time.Until(date).Seconds())), nil
		}
		if err == nil && seconds > 0 {
			return time.Duration(min(seconds, int(maxRetryAfter.Seconds()))) * time.Second
		}
	}
	return 0
}
