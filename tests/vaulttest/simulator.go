//go:build unix

package vaulttest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// Simulator is a process that plays the providers, with a world of its own.
type Simulator struct {
	*simulator.Client
	// The providers' base URLs, without a slash at the end. See Platform for the platforms by rules.
	GoogleURL, ImpactURL string
	// ControlURL is for the console command.
	ControlURL string
	// CACert is the PEM of the CA to trust; empty unless started by StartTLSSimulator.
	CACert string

	platformsURL string
}

// StartSimulator starts the providers on plain HTTP, for this test alone.
func StartSimulator(t testing.TB) *Simulator {
	t.Helper()
	return startSimulator(t)
}

// StartTLSSimulator starts the providers on HTTPS with a certificate of a private CA, for this test alone.
func StartTLSSimulator(t testing.TB) *Simulator {
	t.Helper()
	return startSimulator(t, "-tls")
}

// ready is the line in which the command says where it listens.
type ready struct {
	Google    string `json:"google"`
	Impact    string `json:"impact"`
	Platforms string `json:"platforms"`
	Control   string `json:"control"`
	CACert    string `json:"ca_cert"`
}

func startSimulator(t testing.TB, flags ...string) *Simulator {
	t.Helper()
	binary, err := simulatorBinary()
	if err != nil {
		Fatalf(t, "%v", err)
	}
	dir, err := newDir("simulator")
	if err != nil {
		Fatalf(t, "%v", err)
	}
	log, readyFile := filepath.Join(dir, "simulator.log"), filepath.Join(dir, "ready")
	watchForLeaks([]string{log}, nil)
	p, err := start(exec.Command(binary, append([]string{"serve", "-ready-file", readyFile}, flags...)...), log)
	if err != nil {
		Fatalf(t, "%v", err)
	}
	t.Cleanup(p.stop)

	var content []byte
	Await(t, "the simulator to listen", func() bool {
		content, err = os.ReadFile(readyFile)
		return err == nil || !p.running()
	})
	var line ready
	if err := json.Unmarshal(content, &line); err != nil {
		Fatalf(t, "the simulator did not say where it listens (see %s): %v", log, err)
	}
	s := &Simulator{
		Client: simulator.NewClient(line.Control), GoogleURL: line.Google, ImpactURL: line.Impact, ControlURL: line.Control, platformsURL: line.Platforms,
	}
	if line.CACert != "" {
		pem, err := os.ReadFile(line.CACert)
		if err != nil {
			Fatalf(t, "reading the simulator's CA certificate: %v", err)
		}
		s.CACert = string(pem)
	}
	knownSecrets.watch(s)
	t.Cleanup(func() { // runs before the process is stopped
		if err := knownSecrets.unwatch(context.WithoutCancel(t.Context()), s); err != nil {
			Errorf(t, "the simulator's secrets cannot be looked for: %v", err)
		}
	})
	return s
}

// issued lists the secrets that the simulator has issued so far.
func (s *Simulator) issued(ctx context.Context) ([]secret, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ledger, err := s.Ledger(ctx)
	if err != nil {
		return nil, err
	}
	secrets := make([]secret, len(ledger.Issued))
	for i, issued := range ledger.Issued {
		secrets[i] = secret{kind: fmt.Sprintf("%s of %s", issued.Kind, issued.Owner), value: issued.Value}
	}
	return secrets, nil
}
