package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// How long the steps of a request may take. An answer may have to wait for a platform, by way of Vault.
const (
	headerTimeout   = 10 * time.Second
	bodyTimeout     = 30 * time.Second
	answerTimeout   = writeTimeout + 30*time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 10 * time.Second
)

// serve serves until ctx ends, and then revokes the Vault tokens that sign-ins got.
func serve(ctx context.Context, o options, c *console, s cli.Streams) error {
	server := &http.Server{
		Handler:           c.routes(), //nolint:contextcheck // requests have contexts of their own
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       log.New(c.logger.StandardWriter(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}), "", 0),
	}
	endpoint := cli.Endpoint{
		Listen: o.listen, CertFile: o.certFile, KeyFile: o.keyFile, IsSecure: o.isSecure(), Refusal: "without TLS only loopback addresses are served",
	}
	failed, err := endpoint.Start(ctx, server, s)
	if err != nil {
		return err
	}
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	for {
		select {
		case err := <-failed:
			return err
		case <-sweep.C:
			c.sweep(ctx)
		case <-ctx.Done():
			c.logger.Info("stopping")
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
			defer cancel()
			err := server.Shutdown(last)
			c.endAll(last)
			return err
		}
	}
}

// isLoopback says whether a host name or address is this machine's own.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func isLoopbackURL(address string) bool {
	u, err := url.Parse(address)
	return err == nil && isLoopback(u.Hostname())
}
