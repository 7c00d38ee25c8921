package catalogue_test

import (
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// world is a simulated impact.com.
type world struct {
	console *simulator.Client
	account func(kind simulator.AccountKind) provider.Account
}

func newWorld(t *testing.T) world {
	t.Helper()
	server, err := simulator.Start(simulator.ServerOptions{})
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	client, err := provider.NewClient(provider.ClientConfig{Timeout: time.Minute})
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	return world{console: server.Client(), account: func(kind simulator.AccountKind) provider.Account {
		return provider.Account{Client: client, Settings: provider.Values{"account_type": string(kind), "base_url": server.ImpactURL}}
	}}
}

func withCredential(tokenType string, c simulator.ImpactCredential, options ...string) provider.Token {
	t := token(tokenType, options...)
	t.Credential = provider.Values{"account_sid": c.AccountSID, "auth_token": c.AuthToken}
	return t
}

func wantOutcome(t *testing.T, a provider.Account, token provider.Token, want provider.Outcome) provider.Verification {
	t.Helper()
	got, err := verify(t, a, token)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	if got.Outcome != want {
		t.Errorf("got %+v, want %s", got, want)
	}
	return got
}

func TestImpact_LegacyTokensOfEveryKindOfAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, kind := range []simulator.AccountKind{simulator.Agency, simulator.Brand, simulator.Partner} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			ctx, name := t.Context(), string(kind)
			if kind != simulator.Agency { // its legacy tokens are enabled from the start
				if _, err := w.console.EnableLegacyTokens(ctx, name); err != nil {
					t.Fatal(err)
				}
			}
			legacy, err := w.console.ImpactCredentials(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			readWrite, readOnly := withCredential("legacy_read_write", legacy.ReadWrite), withCredential("legacy_read_only", legacy.ReadOnly)
			wantOutcome(t, w.account(kind), readWrite, provider.Accepted)
			wantOutcome(t, w.account(kind), readOnly, provider.Accepted)

			fresh, err := w.console.ResetReadWrite(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			wantOutcome(t, w.account(kind), readWrite, provider.Rejected)
			wantOutcome(t, w.account(kind), withCredential("legacy_read_write", fresh), provider.Accepted)
			wantOutcome(t, w.account(kind), readOnly, provider.Accepted)
		})
	}
}

func TestImpact_ScopedTokenIsGenuineButForbidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, account := t.Context(), w.account(simulator.Agency)
	name := simulator.ScopedTokenName{Account: "agency", Name: "reports"}
	made, err := w.console.CreateScopedToken(ctx, simulator.ScopedTokenInput{
		ScopedTokenName: name, Contact: "ads@example.com", Scopes: []string{"CompanyInformation"},
	})
	if err != nil {
		t.Fatal(err)
	}
	scoped := withCredential("scoped", made.ImpactCredential)
	wantOutcome(t, account, scoped, provider.Accepted)
	wantOutcome(t, account, withCredential("scoped", made.ImpactCredential, "probe_path", "NoSuchResource"), provider.Inconclusive)

	second, err := w.console.DuplicateScopedToken(ctx, name, "reports-2")
	if err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, account, withCredential("scoped", second.ImpactCredential), provider.Accepted)
	if err := w.console.DisableScopedToken(ctx, name); err != nil {
		t.Fatal(err)
	}
	if v := wantOutcome(t, account, scoped, provider.Accepted); !v.Caveat {
		t.Errorf("got %+v, want a caveat", v)
	}
	wantOutcome(t, account, withCredential("scoped", made.ImpactCredential, "probe_path", "CompanyInformation"), provider.Rejected)
	if err := w.console.DeleteScopedToken(ctx, name); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, account, scoped, provider.Rejected)
}

func TestImpact_RateLimitNamesTheWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	legacy, err := w.console.ImpactCredentials(t.Context(), "agency")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.console.SetImpactRateLimit(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	readOnly := withCredential("legacy_read_only", legacy.ReadOnly)
	wantOutcome(t, w.account(simulator.Agency), readOnly, provider.Accepted)
	_, silence := verify(t, w.account(simulator.Agency), readOnly)
	if silence == nil || silence.Kind != provider.RateLimited || silence.RetryAfter <= 0 || silence.RetryAfter > time.Hour {
		t.Errorf("got error %+v, want RateLimited with a wait of up to an hour", silence)
	}
}
