package backend

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// fixture is an engine as Vault sets it up, beside simulated providers.
type fixture struct {
	*backend
	storage  *testkit.Storage
	server   *simulator.Server
	provider *simulator.Client
	clock    *testkit.Clock
}

func newFixture(t testing.TB, configure ...func(*logical.BackendConfig)) *fixture {
	t.Helper()
	server, err := simulator.Start(simulator.ServerOptions{})
	if err != nil {
		t.Fatalf("starting the simulators: %v", err)
	}
	t.Cleanup(func() { server.Close() })
	c := &testkit.Clock{}
	f := &fixture{
		backend:  newBackend(c.Now),
		storage:  testkit.NewStorage(),
		server:   server,
		provider: server.Client(),
		clock:    c,
	}
	config := logical.TestBackendConfig()
	config.StorageView = f.storage
	config.Logger = hclog.NewNullLogger()
	for _, c := range configure {
		c(config)
	}
	if err := f.setUp(t.Context(), config); err != nil {
		t.Fatalf("setting the engine up: %v", err)
	}
	f.scheduler.Now = time.Now // so that what is to be tried again soon is, although the engine's clock stands still
	t.Cleanup(func() { f.Cleanup(t.Context()) })
	return f
}

// handle sends a request as Vault does, and checks the answer against the declared schema.
func (f *fixture) handle(t testing.TB, operation logical.Operation, path string, data map[string]any) (*logical.Response, error) {
	t.Helper()
	return testkit.Handle(t, f, &logical.Request{
		Operation: operation, Path: path, Data: maps.Clone(data), Storage: f.storage,
		EntityID: "entity-jane", DisplayName: "userpass-jane",
	})
}

// write wants success.
func (f *fixture) write(t testing.TB, path string, data map[string]any) *logical.Response {
	t.Helper()
	response, err := f.handle(t, logical.UpdateOperation, path, data)
	if err == nil {
		err = response.Error()
	}
	if err != nil {
		t.Fatalf("writing %s: %v", path, err)
	}
	return response
}

// read wants success and data.
func (f *fixture) read(t *testing.T, path string) map[string]any {
	t.Helper()
	response, err := f.handle(t, logical.ReadOperation, path, nil)
	if err == nil {
		err = response.Error()
	}
	if err != nil || response == nil {
		t.Fatalf("reading %s: error %v", path, err)
	}
	return response.Data
}

// withImpact configures an agency and imports its read/write token as acme-rw.
func (f *fixture) withImpact(t testing.TB, policy map[string]any) simulator.ImpactCredential {
	t.Helper()
	f.write(t, "config/acme", map[string]any{
		"provider": "impact", "account_type": "agency", "base_url": f.server.ImpactURL, "contact_email": "ads@acme.example",
	})
	credentials, err := f.provider.ImpactCredentials(t.Context(), "agency")
	if err != nil {
		t.Fatalf("reading the simulator's credentials: %v", err)
	}
	data := map[string]any{
		"account": "acme", "type": "legacy_read_write",
		"account_sid": credentials.ReadWrite.AccountSID, "auth_token": credentials.ReadWrite.AuthToken,
	}
	maps.Copy(data, policy)
	f.write(t, "tokens/acme-rw", data)
	return credentials.ReadWrite
}

func (f *fixture) resetReadWrite(t *testing.T) simulator.ImpactCredential {
	t.Helper()
	credential, err := f.provider.ResetReadWrite(t.Context(), "agency")
	if err != nil {
		t.Fatalf("resetting at the simulator: %v", err)
	}
	return credential
}

func TestOnlySealWrappedEntriesHoldSecrets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	old := f.withImpact(t, nil)
	client, err := f.provider.OAuthClient(t.Context(), simulator.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "config/google", map[string]any{
		"provider": "google_ads", "base_url": f.server.GoogleURL, "token_url": f.server.GoogleURL + "/token",
		"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	})
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})

	keys, err := logical.CollectKeys(t.Context(), f.storage)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, key := range keys {
		entry, err := f.storage.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		wrapped := false
		for _, prefix := range f.SpecialPaths().SealWrapStorage {
			wrapped = wrapped || strings.HasPrefix(key, prefix)
		}
		for name, secret := range map[string]string{
			"current": fresh.AuthToken, "previous": old.AuthToken, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
		} {
			if !strings.Contains(string(entry.Value), secret) {
				continue
			}
			found[name] = true
			if !wrapped {
				t.Errorf("%s holds %s and is not seal-wrapped", key, name)
			}
		}
	}
	if !maps.Equal(found, map[string]bool{"current": true, "client_secret": true, "refresh_token": true}) {
		t.Errorf("found %v in storage, want the current secrets and not the previous one", found)
	}
}

func TestEveryOperationIsDeclaredCompletely(t *testing.T) {
	t.Parallel()
	for _, path := range newBackend(time.Now).Paths {
		if path.HelpSynopsis == "" || path.HelpDescription == "" || path.DisplayAttrs == nil {
			t.Errorf("%s lacks help or display attributes", path.Pattern)
		}
		for name, field := range path.Fields {
			if field.Description == "" {
				t.Errorf("%s: field %s has no description", path.Pattern, name)
			}
		}
		for operation, handler := range path.Operations {
			p := handler.Properties()
			if p.Summary == "" || len(p.Responses) == 0 || p.DisplayAttrs == nil || p.DisplayAttrs.OperationVerb == "" {
				t.Errorf("%s %s lacks a summary, responses or an operation verb", operation, path.Pattern)
			}
			writes := operation != logical.ReadOperation && operation != logical.ListOperation
			if p.ForwardPerformanceStandby != writes || p.ForwardPerformanceSecondary != writes {
				t.Errorf("%s %s: forwarding must be %v", operation, path.Pattern, writes)
			}
		}
	}
}

func TestSecretFieldsAreDeclaredSensitive(t *testing.T) {
	t.Parallel()
	b := newBackend(time.Now)
	for pattern, fields := range map[string][]string{
		"config/acme":        {"client_secret", "refresh_token", "service_account_key", fieldHookSecret},
		"tokens/acme":        {"auth_token", "developer_token", "client_secret", "refresh_token", "service_account_key"},
		"tokens/acme/rotate": {"auth_token", "developer_token", "client_secret", "refresh_token", "service_account_key"},
	} {
		for _, name := range fields {
			field := b.Route(pattern).Fields[name]
			if field == nil || field.DisplayAttrs == nil || !field.DisplayAttrs.Sensitive {
				t.Errorf("%s: %s is not declared sensitive", pattern, name)
			}
		}
	}
}

func TestFailedWriteLeavesTheCurrentCredential(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	old := f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	f.storage.FailPut(true)
	if _, err := f.handle(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken}); err == nil {
		t.Error("a rotation whose write failed looked successful")
	}
	f.storage.FailPut(false)
	if got := f.read(t, "creds/acme-rw"); got["auth_token"] != old.AuthToken || got["version"] != 1 {
		t.Errorf("version %v is served after a failed write, want 1 with its own value", got["version"])
	}
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	if got := f.read(t, "creds/acme-rw"); got["auth_token"] != fresh.AuthToken || got["version"] != 2 {
		t.Errorf("version %v is served after the second try, want 2 with its own value", got["version"])
	}
}

func TestReadOnlyStorageGivesTheBareSentinel(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	f.storage.ReadOnly.Store(true)
	for path, data := range map[string]map[string]any{
		"config/other":          {"provider": "impact", "account_type": "brand"},
		"tokens/acme-rw":        {"refresh_ttl": "30s"},
		"tokens/acme-rw/rotate": {"auth_token": fresh.AuthToken},
		"tokens/acme-rw/verify": {},
	} {
		// Vault forwards the request only for exactly this error.
		if _, err := f.handle(t, logical.UpdateOperation, path, data); err != logical.ErrReadOnly { //nolint:errorlint // identity is the point
			t.Errorf("%s: got error %v, want logical.ErrReadOnly itself", path, err)
		}
	}
}

func TestInvalidationDropsCachedEntries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.read(t, "creds/acme-rw")
	for key, change := range map[string][2]string{
		"token/acme-rw": {`"refresh_ttl":60`, `"refresh_ttl":7`},
		"config/acme":   {`"account_type":"agency"`, `"account_type":"brand"`},
	} {
		entry, err := f.storage.Get(t.Context(), key)
		if err != nil || entry == nil {
			t.Fatalf("reading %s: %v", key, err)
		}
		changed := strings.Replace(string(entry.Value), change[0], change[1], 1)
		if changed == string(entry.Value) {
			t.Fatalf("%s does not hold %s", key, change[0])
		}
		if err := f.storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: []byte(changed)}); err != nil {
			t.Fatal(err)
		}
		f.InvalidateKey(t.Context(), key)
	}
	got := f.read(t, "creds/acme-rw")
	if got["ttl"] != 7 || !strings.Contains(got["account_url"].(string), "/Advertisers/") {
		t.Errorf("ttl %v and account_url %v are served, want what another node wrote", got["ttl"], got["account_url"])
	}
}

func TestBrokenEntriesHideNoOthers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ stored, want string }{
		"truncated":      {`{"schema":1,"acc`, "not valid JSON"},
		"from a newer":   {`{"schema":99}`, "install the plugin version that wrote it"},
		"unknown type":   {`{"schema":1,"provider":"impact","type":"magic"}`, "not known to this plugin"},
		"a former one":   {`{"schema":1,"account":"acme","type":"magic"}`, "not known to this plugin"},
		"of no provider": {`{"schema":1,"provider":"nobody","type":"scoped"}`, "not known to this plugin"},
		"of no account":  {`{"schema":1,"account":"nobody","type":"scoped"}`, "does not exist"},
		"broken history": {`{"schema":1,"type":"scoped","history":7}`, "not valid JSON"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.withImpact(t, nil)
			if err := f.storage.Put(t.Context(), &logical.StorageEntry{Key: "token/broken", Value: []byte(tc.stored)}); err != nil {
				t.Fatal(err)
			}
			if _, err := f.handle(t, logical.ReadOperation, "creds/broken", nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("reading it gives %v, want an error with %q", err, tc.want)
			}
			if response, err := f.handle(t, logical.DeleteOperation, "tokens/broken", nil); err == nil {
				t.Errorf("deleting it without force gives %v", response)
			}
			status, err := f.handle(t, logical.ReadOperation, "status", nil)
			if err != nil || status.Data["tokens"].(map[string]any)["acme-rw"] == nil {
				t.Errorf("status does not show the healthy token: %v", err)
			}
			if len(status.Warnings) != 1 || !strings.Contains(status.Warnings[0], "broken") {
				t.Errorf("status warns %v, want one warning that names the broken token", status.Warnings)
			}
			if response, err := f.handle(t, logical.DeleteOperation, "tokens/broken", map[string]any{"force": true}); err != nil || len(response.Warnings) != 1 {
				t.Errorf("deleting it with force gives %v, error %v; want a warning", response, err)
			}
			if response, err := f.handle(t, logical.ReadOperation, "tokens/broken", nil); response != nil || err != nil {
				t.Errorf("after its deletion, reading it gives %v, error %v", response, err)
			}
		})
	}
}

func TestErrorsHaveTheirStatus(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	for name, tc := range map[string]struct {
		fault  simulator.Fault
		status int
	}{
		"down":         {simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultDropBefore}, http.StatusBadGateway},
		"rate limited": {simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultStatus, Status: 429, RetryAfter: 17}, http.StatusBadGateway},
	} {
		if err := f.provider.InjectFault(t.Context(), tc.fault); err != nil {
			t.Fatal(err)
		}
		_, err := f.handle(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
		coded, ok := err.(logical.HTTPCodedError) //nolint:errorlint // only the outermost one keeps its status on the way to Vault
		if !ok || coded.Code() != tc.status || !strings.Contains(err.Error(), "verify=false") {
			t.Errorf("%s: got %v, want status %d and a sentence that names verify=false", name, err, tc.status)
		}
		if err := f.provider.ClearFaults(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.handle(t, logical.UpdateOperation, "tokens/nobody/verify", nil); err == nil || err.(logical.HTTPCodedError).Code() != http.StatusNotFound { //nolint:errorlint // as above
		t.Errorf("verifying an unknown token gives %v, want 404", err)
	}
}
