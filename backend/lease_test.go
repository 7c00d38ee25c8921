package backend

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// lease reads creds/acme-rw, and returns the lease as Vault stores it.
func (f *fixture) lease(t *testing.T, earlierRelease bool) *logical.Secret {
	t.Helper()
	response, err := f.handle(t, logical.ReadOperation, "creds/acme-rw", nil)
	if err != nil || response.IsError() || response.Secret == nil {
		t.Fatalf("got %v, error %v; want a lease", response, err)
	}
	lease := response.Secret
	lease.IssueTime = f.now().Add(time.Millisecond)
	stored, err := json.Marshal(lease.InternalData)
	if err != nil {
		t.Fatal(err)
	}
	lease.InternalData = nil
	if err := json.Unmarshal(stored, &lease.InternalData); err != nil {
		t.Fatal(err)
	}
	if earlierRelease {
		delete(lease.InternalData, "fingerprint")
	}
	return lease
}

func (f *fixture) renew(t *testing.T, lease *logical.Secret) error {
	t.Helper()
	_, err := f.HandleRequest(t.Context(), &logical.Request{
		Operation: logical.RenewOperation, Path: "creds/acme-rw", Storage: f.storage, Secret: lease,
	})
	return err
}

func TestLease_IsOfAValueAndNotOfANumber(t *testing.T) {
	t.Parallel()
	makeAnew := func(f *fixture, t *testing.T, sid, value string) {
		t.Helper()
		if response, err := f.handle(t, logical.DeleteOperation, "tokens/acme-rw", nil); err != nil || response.IsError() {
			t.Fatalf("deleting the token: %v, %v", response, err)
		}
		f.clock.Advance(time.Hour)
		f.write(t, "tokens/acme-rw", map[string]any{
			"account": "acme", "type": "legacy_read_write", "account_sid": sid, "auth_token": value, "lease_ttl": "1h",
		})
	}
	for name, tc := range map[string]struct {
		earlierRelease bool
		happens        func(*testing.T, *fixture)
		says           string
	}{
		"nothing":                      {false, func(*testing.T, *fixture) {}, ""},
		"nothing, of an earlier one":   {true, func(*testing.T, *fixture) {}, ""},
		"it is rotated":                {false, func(t *testing.T, f *fixture) { t.Helper(); f.rotate(t) }, "version 1 of token"},
		"it is rotated, of an earlier": {true, func(t *testing.T, f *fixture) { t.Helper(); f.rotate(t) }, "version 1 of token"},
		"made anew": {false, func(t *testing.T, f *fixture) {
			t.Helper()
			c := f.resetReadWrite(t)
			makeAnew(f, t, c.AccountSID, c.AuthToken)
		}, "is not the current one"},
		"made anew, of an earlier": {true, func(t *testing.T, f *fixture) {
			t.Helper()
			c := f.resetReadWrite(t)
			makeAnew(f, t, c.AccountSID, c.AuthToken)
		}, "is not the current one"},
		"made anew with the same value": {false, func(t *testing.T, f *fixture) {
			t.Helper()
			c := f.current(t)
			makeAnew(f, t, c["account_sid"], c["auth_token"])
		}, ""},
		"deleted": {false, func(t *testing.T, f *fixture) {
			t.Helper()
			if _, err := f.handle(t, logical.DeleteOperation, "tokens/acme-rw", nil); err != nil {
				t.Fatal(err)
			}
		}, "does not exist any more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newStillFixture(t)
			f.withImpact(t, map[string]any{"lease_ttl": "1h"})
			lease := f.lease(t, tc.earlierRelease)
			tc.happens(t, f)
			switch err := f.renew(t, lease); {
			case tc.says == "" && err != nil:
				t.Errorf("the renewal was refused: %v", err)
			case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
				t.Errorf("got error %v, want %q", err, tc.says)
			}
		})
	}
}

func (f *fixture) rotate(t *testing.T) {
	t.Helper()
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": f.resetReadWrite(t).AuthToken})
}

func (f *fixture) current(t *testing.T) map[string]string {
	t.Helper()
	stored, err := f.tokens.Get(t.Context(), f.storage, "acme-rw")
	if err != nil {
		t.Fatal(err)
	}
	return stored.Current.Credential
}
