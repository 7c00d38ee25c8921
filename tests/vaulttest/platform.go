//go:build unix

package vaulttest

import (
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// Platform is a platform by rules of a simulated world.
type Platform struct {
	// Name is that of the script, and of the provider in the engine's catalogue where it has one.
	Name string
	// URL is what the platform's hosts have been replaced with, without a slash at the end.
	URL string

	sim *Simulator
}

// Credential is a credential of a simulated platform.
type Credential struct {
	platform *Platform
	name     simulator.PlatformName
}

// Platform returns a platform whose script is built in.
func (s *Simulator) Platform(name string) *Platform {
	return &Platform{Name: name, URL: s.platformsURL + "/" + name, sim: s}
}

// AddPlatform serves a script, in YAML, and returns the platform. See cmd/adtokens-simulator/simulator/platforms/README.md.
func (s *Simulator) AddPlatform(t testing.TB, script string) *Platform {
	t.Helper()
	name, err := s.Client.AddPlatform(t.Context(), script)
	if err != nil {
		Fatalf(t, "adding a platform: %v", err)
	}
	return s.Platform(name)
}

// Make makes a credential of a kind, with a name of the console's own.
func (p *Platform) Make(t testing.TB, kind, name string) *Credential {
	t.Helper()
	c := &Credential{platform: p, name: simulator.PlatformName{Platform: p.Name, Name: name}}
	if _, err := p.sim.MakeCredential(t.Context(), c.name, kind); err != nil {
		Fatalf(t, "making a credential of %s: %v", p.Name, err)
	}
	return c
}

// Calls returns the last calls that the platform has answered.
func (p *Platform) Calls(t testing.TB) []simulator.PlatformCall {
	t.Helper()
	calls, err := p.sim.PlatformCalls(t.Context(), p.Name)
	if err != nil {
		Fatalf(t, "reading the calls of %s: %v", p.Name, err)
	}
	return calls
}

// Count counts the requests to an endpoint, named by the pattern of the script, those that met a fault included.
func (p *Platform) Count(t testing.TB, endpoint string) int {
	t.Helper()
	ledger, err := p.sim.Ledger(t.Context())
	if err != nil {
		Fatalf(t, "reading the ledger: %v", err)
	}
	return ledger.Requests[simulator.Service(p.Name)][endpoint]
}

// Fail makes requests fail; the fault's service is the platform.
func (p *Platform) Fail(t testing.TB, fault simulator.Fault) {
	t.Helper()
	fault.Service = simulator.Service(p.Name)
	if err := p.sim.InjectFault(t.Context(), fault); err != nil {
		Fatalf(t, "injecting a fault: %v", err)
	}
}

// Recover ends all faults of the simulated world.
func (p *Platform) Recover(t testing.TB) {
	t.Helper()
	if err := p.sim.ClearFaults(t.Context()); err != nil {
		Fatalf(t, "ending the faults: %v", err)
	}
}

// Fields returns the fields as the console shows them: the newest live values.
func (c *Credential) Fields(t testing.TB) map[string]string {
	t.Helper()
	fields, err := c.platform.sim.Credential(t.Context(), c.name)
	return c.done(t, fields, err)
}

// Reset presses the button that gives new values and returns the fields. Without names it is about those that the button is for.
func (c *Credential) Reset(t testing.TB, names ...string) map[string]string {
	t.Helper()
	fields, err := c.platform.sim.ResetCredential(t.Context(), simulator.PlatformReset{PlatformName: c.name, Fields: names})
	return c.done(t, fields, err)
}

// Replace gives fields new values, and ends the ones before at once, whatever the platform's button does.
func (c *Credential) Replace(t testing.TB, names ...string) map[string]string {
	t.Helper()
	fields, err := c.platform.sim.ResetCredential(t.Context(), simulator.PlatformReset{PlatformName: c.name, Fields: names, Previous: "dies"})
	return c.done(t, fields, err)
}

// Revoke ends all values of the fields; without names, of all secret ones that no other credential has.
func (c *Credential) Revoke(t testing.TB, names ...string) {
	t.Helper()
	c.done(t, nil, c.platform.sim.RevokeCredential(t.Context(), simulator.PlatformFields{PlatformName: c.name, Fields: names}))
}

// Expire brings all values of the fields to the end of their life.
func (c *Credential) Expire(t testing.TB, names ...string) {
	t.Helper()
	c.done(t, nil, c.platform.sim.ExpireCredential(t.Context(), simulator.PlatformFields{PlatformName: c.name, Fields: names}))
}

// Deny leaves the credential genuine and takes its rights, or gives them back.
func (c *Credential) Deny(t testing.TB, denied bool) {
	t.Helper()
	c.done(t, nil, c.platform.sim.DenyRights(t.Context(), c.name, denied))
}

// IsLive reports whether the platform accepts a value of a field now.
func (c *Credential) IsLive(t testing.TB, field, value string) bool {
	t.Helper()
	values, err := c.platform.sim.LiveValues(t.Context(), c.name)
	c.done(t, nil, err)
	for _, live := range values {
		if live.Field == field && live.Value == value {
			return true
		}
	}
	return false
}

// done returns what the console answered, or fails the test.
func (c *Credential) done(t testing.TB, fields map[string]string, err error) map[string]string {
	t.Helper()
	if err != nil {
		Fatalf(t, "at the console of %s: %v", c.platform.Name, err)
	}
	return fields
}
