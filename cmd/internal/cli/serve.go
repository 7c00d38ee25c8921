package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
)

// Endpoint is where a command serves HTTP.
type Endpoint struct {
	// Listen is host:port.
	Listen string
	// CertFile and KeyFile are PEM files; without them there is no TLS.
	CertFile, KeyFile string
	// IsSecure says that other machines may reach the address, because of TLS here or in front of it. Otherwise any address but loopback is
	// refused, with Refusal as the reason.
	IsSecure bool
	Refusal  string
	// Path is what follows host and port in the address that is printed.
	Path string
}

// Start listens, prints the address as JSON and serves. The channel gets the error that ends the serving.
func (e Endpoint) Start(ctx context.Context, server *http.Server, s Streams) (<-chan error, error) {
	scheme, serve := "http", server.Serve
	if e.CertFile != "" {
		certificate, err := tls.LoadX509KeyPair(e.CertFile, e.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("loading the certificate: %w", err)
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		scheme, serve = "https", func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", e.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("another program listens on %s already: end it, or give another address", e.Listen)
	case err != nil:
		return nil, fmt.Errorf("listening: %w", err)
	}
	// A name such as localhost may stand for anything.
	address, isTCP := listener.Addr().(*net.TCPAddr)
	if !e.IsSecure && (!isTCP || !address.IP.IsLoopback()) {
		return nil, errors.Join(Usagef("%s", e.Refusal), listener.Close())
	}
	failed := make(chan error, 1)
	go func() { failed <- serve(listener) }()
	return failed, json.NewEncoder(s.Out).Encode(map[string]string{"url": scheme + "://" + listener.Addr().String() + e.Path})
}
