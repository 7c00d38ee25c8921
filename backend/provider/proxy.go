package provider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// proxyError is an error of a request that went by way of an HTTP proxy.
type proxyError struct {
	// host is the proxy's, without the user and the password that its address may hold.
	host string
	err  error
}

func (e *proxyError) Error() string { return e.err.Error() }
func (e *proxyError) Unwrap() error { return e.err }

// proxyRefusal is a proxy's answer that is no connection to the target.
type proxyRefusal struct {
	target string
	status int
}

func (r *proxyRefusal) Error() string {
	return fmt.Sprintf("the proxy refused to connect to %s (HTTP %d)", r.target, r.status)
}

// advice says what to do about the refusal.
func (r *proxyRefusal) advice() string {
	switch {
	case r.status == http.StatusProxyAuthRequired:
		return "HTTPS_PROXY of Vault's environment has to hold a user and a password that the proxy takes"
	case r.status >= http.StatusInternalServerError:
		return "the proxy itself does not reach it, and the proxy's log says why"
	default:
		return "have the proxy let it pass, or name it in NO_PROXY of Vault's environment where it can be reached without the proxy"
	}
}

// errProxyAddress stands for the error of an HTTPS_PROXY that is no address, which would repeat it with its password.
var errProxyAddress = errors.New("the proxy's address is none")

// refuseProxyAnswer keeps the status of a proxy that does not connect, because net/http would keep only the text that the
// proxy gave with it.
func refuseProxyAnswer(_ context.Context, _ *url.URL, request *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyRefusal{target: request.Host, status: response.StatusCode}
}

// nameProxy adds the proxy that the request went to, if any, to its error.
func (t boundedTransport) nameProxy(r *http.Request, err error) error {
	if t.Proxy == nil {
		return err
	}
	address, addressErr := t.Proxy(r)
	switch {
	case addressErr != nil:
		return errProxyAddress
	case address == nil:
		return err
	}
	return &proxyError{host: address.Host, err: err}
}

// explain says what became of a request to host.
func (e *proxyError) explain(host string) *Error {
	if refusal, ok := errors.AsType[*proxyRefusal](e.err); ok {
		return &Error{Host: host, Problem: fmt.Sprintf("could not be reached: the proxy %s refused to connect to %s (HTTP %s); %s",
			e.host, refusal.target, statusLine(refusal.status), refusal.advice())}
	}
	if opErr, ok := errors.AsType[*net.OpError](e.err); ok && opErr.Op == "proxyconnect" {
		problem := withoutAnswer(e.host, opErr.Err)
		problem.Host, problem.Problem = host, "could not be reached: the proxy "+e.host+" "+problem.Problem
		return problem
	}
	problem := withoutAnswer(host, e.err)
	if errors.Is(e.err, context.Canceled) {
		return problem
	}
	problem.Problem += ", by way of the proxy " + e.host
	return problem
}

// statusLine is a status with its standard name, where it has one.
func statusLine(status int) string {
	if name := http.StatusText(status); name != "" {
		return fmt.Sprintf("%d %s", status, name)
	}
	return fmt.Sprint(status)
}
