//go:build unix

package acceptance

import (
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// leased reads a credential that carries a lease.
func (w *world) leased(t *testing.T, name string) *api.Secret {
	t.Helper()
	secret := done(w.Read(t.Context(), "creds/"+name))(t)
	if !strings.HasPrefix(secret.LeaseID, w.Path+"/creds/"+name+"/") || !secret.Renewable {
		vaulttest.Fatalf(t, "the read carries the lease %q (renewable: %t)", secret.LeaseID, secret.Renewable)
	}
	return secret
}

// vault runs the vault command and wants it to succeed.
func (w *world) vault(t *testing.T, args ...string) {
	t.Helper()
	if output := w.CLI(t, vaulttest.Command{Args: args}); output.ExitCode != 0 {
		vaulttest.Errorf(t, "vault %s: %s", args[0], output.Stderr)
	}
}

// renewalFails wants the vault command to fail to renew the lease, with a message that has each of the words. Vault puts
// the engine's answer before it as a Go value, which is a short one as long as there is none.
func (w *world) renewalFails(t *testing.T, lease string, words ...string) {
	t.Helper()
	output := w.CLI(t, vaulttest.Command{Args: []string{"lease", "renew", lease}})
	if output.ExitCode == 0 {
		t.Error("the lease was renewed")
	}
	mentions(t, "the error", output.Stderr, words...)
	if strings.Contains(output.Stderr, "{") {
		vaulttest.Errorf(t, "the error shows a Go struct: %s", output.Stderr)
	}
}

func TestALeaseLivesAsLongAsItsVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credentials := w.importLegacyTokens(t)
	w.write(t, "tokens/rw", fields{"lease_ttl": "90s"})
	first, second := w.leased(t, "rw"), w.leased(t, "rw")
	has(t, first.Data, fields{"version": 1, "auth_token": credentials.ReadWrite.AuthToken, "account_sid": credentials.ReadWrite.AccountSID})
	if first.LeaseDuration != 90 || first.LeaseID == second.LeaseID {
		t.Errorf("the leases last %d s and have the ids %s, %s", first.LeaseDuration, first.LeaseID, second.LeaseID)
	}
	renewed := done(w.Client.Sys().RenewWithContext(t.Context(), first.LeaseID, 0))(t)
	if renewed.LeaseDuration != 90 || !renewed.Renewable {
		t.Errorf("the renewed lease lasts %d s (renewable: %t)", renewed.LeaseDuration, renewed.Renewable)
	}
	w.vault(t, "lease", "renew", first.LeaseID)

	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	w.write(t, "tokens/rw/rotate", fields{"auth_token": reset.AuthToken})
	w.renewalFails(t, first.LeaseID, `version 1 of token "rw" is not the current one any more`, "read creds/rw again")
	third := w.leased(t, "rw")
	has(t, third.Data, fields{"version": 2, "auth_token": reset.AuthToken})
	done(w.Client.Sys().RenewWithContext(t.Context(), third.LeaseID, 0))(t)
}

func TestRevokingALeaseLeavesTheSharedTokenWorking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credentials := w.importLegacyTokens(t)
	w.write(t, "tokens/rw", fields{"lease_ttl": 60})
	mine, theirs := w.leased(t, "rw"), w.leased(t, "rw")
	w.vault(t, "lease", "revoke", mine.LeaseID)
	if _, err := w.Client.Sys().RenewWithContext(t.Context(), mine.LeaseID, 0); err == nil {
		t.Error("a revoked lease was renewed")
	}
	done(w.Client.Sys().RenewWithContext(t.Context(), theirs.LeaseID, 0))(t)
	has(t, w.write(t, "tokens/rw/verify", nil).Data, fields{"outcome": "accepted"})
	has(t, w.leased(t, "rw").Data, fields{"version": 1, "auth_token": credentials.ReadWrite.AuthToken})
	w.vault(t, "lease", "revoke", "-prefix", w.Path+"/creds/rw")
	if !done(w.sim.Ledger(t.Context()))(t).IsLive(credentials.ReadWrite.AuthToken) {
		t.Error("the end of the leases ended the token at the provider")
	}
}

func TestALeaseEndsWithItsTokenOrItsPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	for _, name := range []string{"rw", "ro"} {
		w.write(t, "tokens/"+name, fields{"lease_ttl": 60})
	}
	rw, ro := w.leased(t, "rw"), w.leased(t, "ro")
	w.write(t, "tokens/rw", fields{"lease_ttl": 0})
	w.renewalFails(t, rw.LeaseID, `token "rw" carries no leases any more`, "read creds/rw again")
	w.remove(t, "tokens/ro")
	w.renewalFails(t, ro.LeaseID, `token "ro" does not exist any more`)
	w.vault(t, "lease", "revoke", rw.LeaseID)
	w.vault(t, "lease", "revoke", ro.LeaseID)
}

func TestReadsCarryNoLeaseByDefault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	has(t, w.data(t, "tokens/rw"), fields{"lease_ttl": 0})
	secret := done(w.Read(t.Context(), "creds/rw"))(t)
	if secret.LeaseID != "" || secret.LeaseDuration != 0 || secret.Renewable {
		t.Errorf("the read carries the lease %q of %d s", secret.LeaseID, secret.LeaseDuration)
	}
}
