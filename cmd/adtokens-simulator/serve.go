package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// ready is the line that tells others where the simulator listens.
type ready struct {
	Google string `json:"google"`
	Impact string `json:"impact"`
	// Platforms is what the platforms by rules have before their names: the base URL of acme_ads is Platforms/acme_ads.
	Platforms string `json:"platforms"`
	Control   string `json:"control"`
	// CACert is the path of the PEM file to trust, empty without TLS.
	CACert string `json:"ca_cert"`
}

// serve serves until ctx ends.
func serve(ctx context.Context, args []string, s cli.Streams) (err error) {
	var options simulator.ServerOptions
	var readyFile string
	flags := cli.Flags("adtokens-simulator serve", "Usage: adtokens-simulator serve [flags]\n\nFlags:\n")
	flags.StringVar(&options.GoogleAddress, "google", "127.0.0.1:0", "loopback `address` of Google; port 0 takes a free one")
	flags.StringVar(&options.ImpactAddress, "impact", "127.0.0.1:0", "loopback `address` of impact.com")
	flags.StringVar(&options.PlatformsAddress, "platforms", "127.0.0.1:0", "loopback `address` of the platforms by rules")
	flags.StringVar(&options.ControlAddress, "control", "127.0.0.1:0", "loopback `address` of the control API")
	flags.BoolVar(&options.TLS, "tls", false, "serve the providers over https, with a certificate of a new CA")
	flags.StringVar(&readyFile, "ready-file", "", "`path` of a file to write the ready line to as well")
	if err := cli.Parse(flags, args, s); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return cli.Usagef("serve takes no argument %q", flags.Arg(0))
	}
	options.Logger = hclog.New(&hclog.LoggerOptions{Name: "adtokens-simulator", Output: s.Err, Level: hclog.Info})

	server, err := simulator.Start(options)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := server.Close(); err == nil {
			err = closeErr
		}
	}()
	line := ready{Google: server.GoogleURL, Impact: server.ImpactURL, Platforms: server.PlatformsURL, Control: server.ControlURL}
	if options.TLS {
		directory, err := os.MkdirTemp("", "adtokens-simulator-")
		if err != nil {
			return fmt.Errorf("making a directory for the CA certificate: %w", err)
		}
		defer os.RemoveAll(directory)
		line.CACert = filepath.Join(directory, "ca.pem")
		if err := os.WriteFile(line.CACert, server.CACert, 0o600); err != nil {
			return fmt.Errorf("writing the CA certificate: %w", err)
		}
	}
	if err := announce(line, readyFile, s); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-server.Failed:
		return err
	}
}

// announce writes the ready line to standard output and, complete or not at all, to the file.
func announce(line ready, path string, s cli.Streams) error {
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("encoding the ready line: %w", err)
	}
	text = append(text, '\n')
	if path != "" {
		partial := path + ".partial"
		if err := os.WriteFile(partial, text, 0o600); err != nil {
			return fmt.Errorf("writing the ready file: %w", err)
		}
		if err := os.Rename(partial, path); err != nil {
			return fmt.Errorf("writing the ready file: %w", err)
		}
	}
	_, err = s.Out.Write(text)
	return err
}
