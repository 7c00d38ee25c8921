package simulator

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
)

// ServerOptions of Start. An empty address is a free port of 127.0.0.1.
type ServerOptions struct {
	// Options of the world; GoogleURL is filled in.
	Options
	GoogleAddress, ImpactAddress, PlatformsAddress, ControlAddress string
	// TLS puts the providers, not the control API, behind a certificate of a new CA.
	TLS bool
	// Certificate says what is wrong with that certificate.
	Certificate Certificate
}

// Server is a Simulator that listens on the loopback interface.
type Server struct {
	// The base URLs, without a slash at the end. That of a platform by rules is PlatformsURL, a slash and its name.
	GoogleURL, ImpactURL, PlatformsURL, ControlURL string
	// CACert is the PEM of the CA to trust, nil without TLS.
	CACert []byte
	// Failed gets an error when a listener stops by itself.
	Failed <-chan error

	servers []*http.Server
}

// Start listens and serves until Close.
func Start(options ServerOptions) (*Server, error) {
	var listeners [4]net.Listener
	for i, address := range []string{options.GoogleAddress, options.ImpactAddress, options.PlatformsAddress, options.ControlAddress} {
		listener, err := listen(address)
		if err != nil {
			return nil, errors.Join(err, closeAll(listeners[:i]))
		}
		listeners[i] = listener
	}
	server := &Server{}
	var config *tls.Config
	scheme := "http://"
	if options.TLS {
		certificate, ca, err := NewCertificate(options.Certificate)
		if err != nil {
			return nil, errors.Join(err, closeAll(listeners[:]))
		}
		config = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		server.CACert, scheme = ca, "https://"
	}
	server.GoogleURL = scheme + listeners[0].Addr().String()
	server.ImpactURL = scheme + listeners[1].Addr().String()
	server.PlatformsURL = scheme + listeners[2].Addr().String()
	server.ControlURL = "http://" + listeners[3].Addr().String()
	options.GoogleURL = server.GoogleURL

	world := New(options.Options)
	failed := make(chan error, len(listeners))
	server.Failed = failed
	for i, handler := range []http.Handler{world.Google(), world.Impact(), world.Platforms(), world.Control()} {
		httpServer := &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 10 * time.Second,
			ErrorLog:          log.New(world.logger.StandardWriter(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}), "", 0),
		}
		if i < 3 { // the control API stays plain
			httpServer.TLSConfig = config.Clone() // ServeTLS changes it
		}
		server.servers = append(server.servers, httpServer)
		go serve(httpServer, listeners[i], failed)
	}
	return server, nil
}

// listen refuses addresses that other machines could reach: the control API hands out secrets to anybody who asks.
func listen(address string) (net.Listener, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("the address %q is not host:port: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("the address %q is not on the loopback interface: use 127.0.0.1", address)
	}
	listener, err := net.Listen("tcp", address) //nolint:noctx // nothing is waited for: the address is the machine's own
	if err != nil {
		return nil, fmt.Errorf("listening on %q: %w", address, err)
	}
	return listener, nil
}

func closeAll(listeners []net.Listener) error {
	var errs []error
	for _, listener := range listeners {
		errs = append(errs, listener.Close())
	}
	return errors.Join(errs...)
}

// serve reports to failed unless the server is closed.
func serve(server *http.Server, listener net.Listener, failed chan<- error) {
	serve := server.Serve
	if server.TLSConfig != nil {
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
		failed <- fmt.Errorf("serving %s: %w", listener.Addr(), err)
	}
}

// Client returns a client of the control API.
func (s *Server) Client() *Client { return NewClient(s.ControlURL) }

// Close stops at once and cuts requests in flight, so that an injected latency cannot hold it up.
func (s *Server) Close() error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}
