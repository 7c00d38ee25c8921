package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// TestMain keeps every request of the tests on this machine, whatever address a fuzz target comes up with: a proxy that
// does not exist stands before all others.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		if err := os.Setenv(name, "http://127.0.0.1:1"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// fuzzedEngine is what an engine has stored that keeps tokens of most types. Each input works on an engine and a copy of
// its own.
type fuzzedEngine struct {
	stored *logical.InmemStorage
	// secrets are the values in it.
	secrets []string
}

func newFuzzedEngine(f *testing.F) *fuzzedEngine {
	f.Helper()
	fx := newFixture(f)
	ctx := f.Context()
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnprocessableEntity) }))
	f.Cleanup(hook.Close)
	impact, err := fx.provider.ImpactCredentials(ctx, "agency")
	must(f, err)
	client, err := fx.provider.OAuthClient(ctx, simulator.DefaultName)
	must(f, err)
	developerToken, err := fx.provider.DeveloperToken(ctx)
	must(f, err)
	key, err := fx.provider.ServiceAccountKey(ctx, simulator.DefaultName)
	must(f, err)
	const hookSecret = "whsec_c2VjcmV0LW9mLXRoZS1ob29rLWluLXRoaXMtdGVzdA=="
	oauth := map[string]any{"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken}
	with := func(data, more map[string]any) map[string]any {
		data = maps.Clone(data)
		maps.Copy(data, more)
		return data
	}
	for _, write := range []struct {
		path string
		data map[string]any
	}{
		{"config/acme", map[string]any{
			"provider": "impact", "account_type": "agency", "base_url": fx.server.ImpactURL, "reset_hook_url": hook.URL, "reset_hook_secret": hookSecret,
		}},
		{"config/google", with(oauth, map[string]any{
			"provider": "google_ads", "base_url": fx.server.GoogleURL, "token_url": fx.server.GoogleURL + "/token",
			"revoke_url": fx.server.GoogleURL + "/revoke", "iam_url": fx.server.GoogleURL,
		})},
		{"tokens/rw", map[string]any{
			"account": "acme", "type": "legacy_read_write", "account_sid": impact.ReadWrite.AccountSID, "auth_token": impact.ReadWrite.AuthToken,
		}},
		{"tokens/dev", map[string]any{"account": "google", "type": "developer_token", "developer_token": developerToken}},
		{"tokens/oauth", with(oauth, map[string]any{"account": "google", "type": "oauth_client"})},
		{"tokens/key", map[string]any{"account": "google", "type": "service_account_key", "service_account_key": string(key)}},
		{"tokens/empty", map[string]any{"account": "acme", "type": "scoped"}},
	} {
		response, err := fx.HandleRequest(ctx, &logical.Request{Operation: logical.CreateOperation, Path: write.path, Data: write.data, Storage: fx.storage})
		if err != nil || response.IsError() {
			f.Fatalf("writing %s: %v, error %v", write.path, response.Error(), err)
		}
	}
	var file struct {
		PrivateKey string `json:"private_key"`
	}
	must(f, json.Unmarshal(key, &file))
	secrets := []string{hookSecret, impact.ReadWrite.AuthToken, developerToken, client.ClientSecret, client.RefreshToken}
	for line := range strings.Lines(file.PrivateKey) {
		if !strings.HasPrefix(line, "-----") {
			secrets = append(secrets, strings.TrimSpace(line))
		}
	}
	return &fuzzedEngine{stored: fx.storage.InmemStorage, secrets: secrets}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// engine returns an engine on a copy of what is stored, and that copy.
func (e *fuzzedEngine) engine(t *testing.T) (*backend, *logical.InmemStorage) {
	t.Helper()
	storage := &logical.InmemStorage{}
	keys, err := logical.CollectKeys(t.Context(), e.stored)
	must(t, err)
	for _, key := range keys {
		entry, err := e.stored.Get(t.Context(), key)
		must(t, err)
		must(t, storage.Put(t.Context(), entry))
	}
	b := newBackend(time.Now)
	config := logical.TestBackendConfig()
	config.StorageView, config.Logger = storage, hclog.NewNullLogger()
	must(t, b.setUp(t.Context(), config))
	t.Cleanup(func() { b.Cleanup(t.Context()) })
	return b, storage
}

// partLength is in bytes: so much of a secret tells something about it.
const partLength = 12

// holdsPart reports whether a text holds a part of a stored secret.
func (e *fuzzedEngine) holdsPart(text string) bool {
	for _, secret := range e.secrets {
		for at := 0; at+partLength <= len(secret); at++ {
			if strings.Contains(text, secret[at:at+partLength]) {
				return true
			}
		}
	}
	return false
}

// answer sends a request and returns all that its answer says.
func answer(t *testing.T, b *backend, storage logical.Storage, operation logical.Operation, path string, data map[string]any) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req := &logical.Request{Operation: operation, Path: path, Data: data, Storage: storage, MountPoint: "adtokens/"}
	_, _, existenceErr := b.HandleExistenceCheck(ctx, req)
	response, err := b.HandleRequest(ctx, req)
	said := fmt.Sprint(existenceErr, err)
	if response != nil {
		encoded, err := json.Marshal(response.Data)
		must(t, err)
		said += fmt.Sprint(string(encoded), response.Data, response.Warnings, response.Headers)
	}
	return said
}

var fuzzedOperations = []logical.Operation{
	logical.ReadOperation, logical.CreateOperation, logical.UpdateOperation, logical.DeleteOperation, logical.ListOperation, logical.PatchOperation,
	logical.HelpOperation, logical.AliasLookaheadOperation, logical.RenewOperation, logical.RevokeOperation, logical.RollbackOperation,
}

// canary is what a fuzzed value of a secret field ends in.
const canary = "-cAnArYoFtHeFuZzEr"

// withCanary marks every text in a value.
func withCanary(value any) any {
	switch v := value.(type) {
	case string:
		return v + canary
	case []any:
		marked := make([]any, len(v))
		for i := range v {
			marked[i] = withCanary(v[i])
		}
		return marked
	case map[string]any:
		marked := map[string]any{}
		for name := range v {
			marked[name+canary] = withCanary(v[name])
		}
		return marked
	default:
		return value
	}
}

// FuzzHandleRequest looks for requests that crash the engine, whose answers hold a part of a stored secret although they
// are no reads of creds/, or quote the value of a secret field.
func FuzzHandleRequest(f *testing.F) {
	e := newFuzzedEngine(f)
	for _, seed := range []struct {
		operation logical.Operation
		path      string
		data      string
	}{
		{logical.ReadOperation, "config/acme", ""},
		{logical.ReadOperation, "tokens/rw", ""},
		{logical.ReadOperation, "tokens/rw/history", ""},
		{logical.ReadOperation, "tokens/key/rotate", ""},
		{logical.ReadOperation, "creds/rw", ""},
		{logical.ReadOperation, "access-token/oauth", ""},
		{logical.ReadOperation, "status", `{"after":"a","limit":"2"}`},
		{logical.ReadOperation, "metrics", ""},
		{logical.UpdateOperation, "campaigns/x", `{"reason":"x","tokens":"r*,dev","parallel":2}`},
		{logical.UpdateOperation, "campaigns/x", `{"reason":"x","accounts":["acme"],"types":"scoped","providers":"impact"}`},
		{logical.UpdateOperation, "campaigns/x", `{"retry":true}`},
		{logical.ReadOperation, "campaigns/x", `{"after":"a","limit":"2"}`},
		{logical.ListOperation, "campaigns/", ""},
		{logical.DeleteOperation, "campaigns/x", ""},
		{logical.ReadOperation, "info", ""},
		{logical.ListOperation, "tokens/", ""},
		{logical.ListOperation, "config", ""},
		{logical.HelpOperation, "tokens/rw/rotate", ""},
		{logical.RenewOperation, "creds/rw", ""},
		{logical.DeleteOperation, "tokens/rw", `{"force":true}`},
		{logical.DeleteOperation, "config/acme", ""},
		{logical.UpdateOperation, "tokens/dev/verify", ""},
		{logical.UpdateOperation, "report/rw", `{"version":1,"status":"401"}`},
		{logical.UpdateOperation, "report/key", `{"fingerprint":"0123456789abcdef","status":99}`},
		{logical.UpdateOperation, "report/empty", `{"version":-1,"fingerprint":["a"]}`},
		{logical.UpdateOperation, "tokens/rw", `{"rotate_on_rejection":"true","disable_automated_rotation":"x"}`},
		{logical.UpdateOperation, "tokens/oauth/rotate", `{"accept_other_identity":true,"refresh_token":"wrong"}`},
		{logical.UpdateOperation, "tokens/rw/rotate", `{"reason":"monthly"}`},
		{logical.UpdateOperation, "tokens/rw/rotate", `{"auth_token":"wrong","reason":"left","cas":1}`},
		{logical.UpdateOperation, "tokens/rw/rotate", `{"auth_token":"wrong","verify":false}`},
		{logical.UpdateOperation, "tokens/rw/rotate", `{"auth_token":["a",{"b":"c"}],"verify":"no","cas":"x"}`},
		{logical.UpdateOperation, "tokens/oauth/rotate", `{"refresh_token":"wrong","verify":false,"revoke_previous":true}`},
		{logical.UpdateOperation, "tokens/key/rotate", `{"service_account_key":"{\"type\":\"service_account\"}"}`},
		{logical.UpdateOperation, "tokens/rw", `{"rotation_schedule":"0 3 * * SAT","rotation_window":"1h","custom_metadata":{"a":"b"}}`},
		{logical.UpdateOperation, "tokens/rw", `{"rotation_schedule":"TZ=UTC"}`},
		{logical.UpdateOperation, "tokens/rw", `{"rotation_period":1e30,"refresh_ttl":-1,"probe_path":"../x","auth_token":"x"}`},
		{logical.CreateOperation, "tokens/new", `{"account":"acme","type":"scoped","account_sid":"IRq8mWJybvoQ1020978kbj7am8zzM2dBL1","auth_token":"x"}`},
		{logical.CreateOperation, "config/new", `{"provider":"impact","account_type":"brand","base_url":"http://127.0.0.1:1","ca_cert":"x","reset_hook_secret":"x"}`},
		{logical.CreateOperation, "config/new", `{"provider":"google_ads","client_id":"a","client_secret":7,"refresh_token":{"a":"b"},"request_timeout":"1h"}`},
		{logical.UpdateOperation, "config/google", `{"base_url":"https://thief.example","client_secret":"x","login_customer_id":"123-456-7890"}`},
		{logical.CreateOperation, "notifications/new", `{"url":"http://127.0.0.1:1","secret":"whsec_c2hvcnQ=","events":["rotate*"]}`},
		{logical.CreateOperation, "notifications/new", `{"url":"https://chat.example/T/B/x","format":"slack","events":"*"}`},
		{logical.UpdateOperation, "notifications/new/test", ``},
		{logical.ListOperation, "notifications/", ``},
	} {
		f.Add(byte(slices.Index(fuzzedOperations, seed.operation)), seed.path, []byte(seed.data))
	}
	f.Fuzz(func(t *testing.T, operation byte, path string, data []byte) {
		b, storage := e.engine(t)
		var fields map[string]any
		_ = json.Unmarshal(data, &fields) // no object is no data
		if route := b.Route(path); route != nil {
			for name, value := range fields {
				if schema := route.Fields[name]; schema != nil && schema.DisplayAttrs != nil && schema.DisplayAttrs.Sensitive {
					fields[name] = withCanary(value)
				}
			}
		}
		said := answer(t, b, storage, fuzzedOperations[int(operation)%len(fuzzedOperations)], path, fields)
		if strings.HasPrefix(path, "creds/") {
			return
		}
		for _, path := range []string{"", "tokens/rw", "tokens/rw/history", "tokens/new", "tokens/new/history", "config/acme", "config/new", "status"} {
			if path != "" {
				said = answer(t, b, storage, logical.ReadOperation, path, nil)
			}
			if e.holdsPart(said) {
				t.Errorf("a part of a stored secret was answered, and then by %q", path)
			}
			if strings.Contains(said, canary) {
				t.Errorf("the value of a secret field is quoted, and then by %q", path)
			}
		}
	})
}

// FuzzStoredToken looks for entries of a token, whoever wrote them, that crash the engine or are quoted when they cannot
// be read.
func FuzzStoredToken(f *testing.F) {
	e := newFuzzedEngine(f)
	for _, name := range []string{"rw", "dev", "oauth", "key", "empty"} {
		entry, err := e.stored.Get(f.Context(), tokenPrefix+name)
		must(f, err)
		f.Add(entry.Value)
	}
	for _, stored := range []string{
		`{"schema":1,"type":"scoped"}`,
		`{"schema":1,"type":"scoped","account":"acme","current":{}}`,
		`{"schema":1,"type":"scoped","account":"acme","current":{"number":3},"rotation_schedule":"TZ=UTC","history":[{}]}`,
		`{"schema":1,"type":"scoped","account":"acme","pending":{"source":"hook","credential":{}},"retiring":[{}],"searches":[{}]}`,
		`{"schema":1,"type":"service_account_key","account":"google","pending":{"source":"iam"},"retiring":[{"credential":{}}],"searches":[{}]}`,
		`{"schema":1,"type":"service_account_key","account":"google","current":{"number":1},"pending":{"source":"iam"}}`,
		`{"schema":1,"type":"oauth_client","account":"google","current":{"number":-1},"retiring":[{"version":7}],"rotation_period":1}`,
		`{"schema":1,"type":"scoped","account":"nobody","current":{"number":1},"last_verification":{}}`,
		`{"schema":1,"type":"scoped","account":"acme","current":{"number":1},"health":"rejected","rotate_on_rejection":true,"healing":{"begun":["2026-11-26T00:00:00Z"]}}`,
		`{"schema":1,"type":"scoped","account":"acme","current":{"number":1},"identity":"a","identity_change":{},"pending":{"source":"hook","other_identity":"b","credential":{}}}`,
		`{"schema":9}`, `null`, ``, `[]`,
	} {
		f.Add([]byte(stored))
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		stored = bytes.Clone(stored) // work in the background may outlast this input, whose memory the fuzzer uses again
		b, storage := e.engine(t)
		must(t, storage.Put(t.Context(), &logical.StorageEntry{Key: tokenPrefix + "fuzzed", Value: stored}))
		_, err := b.decodeToken(t.Context(), storage, "fuzzed", stored)
		if err != nil && e.holdsPart(err.Error()) {
			t.Errorf("an error quotes what is stored: %v", err)
		}
		for _, step := range []struct {
			operation logical.Operation
			path      string
			data      map[string]any
		}{
			{logical.ReadOperation, "creds/fuzzed", nil},
			{logical.ReadOperation, "access-token/fuzzed", nil},
			{logical.ReadOperation, "tokens/fuzzed", nil},
			{logical.ReadOperation, "tokens/fuzzed/history", nil},
			{logical.ReadOperation, "tokens/fuzzed/rotate", nil},
			{logical.ListOperation, "tokens/", nil},
			{logical.ReadOperation, "status", nil},
			{logical.ReadOperation, "metrics", nil},
			{logical.UpdateOperation, "tokens/fuzzed/verify", nil},
			{logical.UpdateOperation, "report/fuzzed", map[string]any{"version": 1}},
			{logical.UpdateOperation, "tokens/fuzzed/rotate", map[string]any{"accept_other_identity": true}},
			{logical.UpdateOperation, "tokens/fuzzed", map[string]any{"refresh_ttl": 7}},
			{logical.UpdateOperation, "tokens/fuzzed/rotate", map[string]any{"auth_token": "x", "verify": false}},
			{logical.DeleteOperation, "tokens/fuzzed", map[string]any{"force": true}},
		} {
			_ = answer(t, b, storage, step.operation, step.path, step.data) // must not panic
		}
		if entry, err := storage.Get(t.Context(), tokenPrefix+"fuzzed"); entry != nil || err != nil {
			t.Errorf("it cannot be deleted by force, error %v", err)
		}
	})
}

// FuzzStoredReaders does the same for the readers of a token, and wants each reader once.
func FuzzStoredReaders(f *testing.F) {
	e := newFuzzedEngine(f)
	for _, stored := range []string{
		`{"schema":1,"slack":21600,"readers":[{"e":"entity-jane","d":"jane","c":"9310792193107921","a":"192.0.2.1","v":1,"f":1795749000,"l":1795752600}]}`,
		`{"schema":1,"readers":[{},{},{"t":true,"v":4294967295,"l":4294967295}],"lost":[{"v":7,"l":4294967295,"n":4294967295}],"slack":4294967295}`,
		`{"schema":2}`, `null`, ``, `[]`,
	} {
		f.Add([]byte(stored), "jane", "192.0.2.1")
	}
	f.Fuzz(func(t *testing.T, stored []byte, name, address string) {
		stored, name, address = bytes.Clone(stored), strings.Clone(name), strings.Clone(address)
		b, storage := e.engine(t)
		must(t, storage.Put(t.Context(), &logical.StorageEntry{Key: readersPrefix + "rw", Value: stored}))
		for _, by := range []Reader{{DisplayName: name, Address: address}, {EntityID: name, Address: address}, {Accessor: name}} {
			_, err := b.readCreds(t.Context(), storage, "rw", by)
			must(t, err)
		}
		for _, path := range []string{"tokens/rw/readers", "tokens/rw", "status", "metrics"} {
			if e.holdsPart(answer(t, b, storage, logical.ReadOperation, path, nil)) {
				t.Errorf("%s answers a part of a stored secret", path)
			}
		}
		if n := b.readers.Rows(); n < 2 || n > len(stored)+3 {
			t.Errorf("there are %d rows", n)
		}
	})
}

// FuzzStoredAccount does the same for entries of an account. No request is sent: who may write storage decides where to.
func FuzzStoredAccount(f *testing.F) {
	e := newFuzzedEngine(f)
	for _, name := range []string{"acme", "google"} {
		entry, err := e.stored.Get(f.Context(), configPrefix+name)
		must(f, err)
		f.Add(entry.Value)
	}
	for _, stored := range []string{
		`{"schema":1,"provider":"impact"}`, `{"schema":1,"provider":"google_ads","settings":{"ca_cert":"x"}}`, `{"schema":1,"provider":"x"}`,
		`{"schema":1,"provider":"impact","request_timeout":-1,"reset_hook_timeout":9223372036854775807,"settings":{"reset_hook_url":"x","base_url":"\u0000"}}`, `null`, ``,
	} {
		f.Add([]byte(stored))
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		stored = bytes.Clone(stored) // work in the background may outlast this input, whose memory the fuzzer uses again
		b, storage := e.engine(t)
		must(t, storage.Put(t.Context(), &logical.StorageEntry{Key: configPrefix + "acme", Value: stored}))
		b.invalidate(t.Context(), configPrefix+"acme")
		for _, path := range []string{"config/acme", "tokens/rw", "tokens/rw/rotate", "creds/rw", "status", "metrics"} {
			if said := answer(t, b, storage, logical.ReadOperation, path, nil); path != "creds/rw" && e.holdsPart(said) {
				t.Errorf("%s answers a part of a stored secret", path)
			}
		}
		_ = answer(t, b, storage, logical.ListOperation, "config/", nil)
		_ = answer(t, b, storage, logical.UpdateOperation, "config/acme", map[string]any{"contact_email": "ads@acme.example", "verify_connection": false})
		_ = answer(t, b, storage, logical.DeleteOperation, "config/acme", nil)
	})
}

// FuzzPolicy looks for a rotation policy that crashes the engine, or that is taken and cannot be kept.
func FuzzPolicy(f *testing.F) {
	e := newFuzzedEngine(f)
	for _, seed := range [][4]string{
		{"0 3 * * SAT", "1h", "", "60"},
		{"0 0 30 2 *", "3600", "", "1s"},
		{"*/15 0-23/2 1,15 * *", "9223372036854775807", "", "24h"},
		{"TZ=UTC", "", "", ""},
		{"CRON_TZ=Asia/Kathmandu 0 3 * * *", "", "", ""},
		{"TZ=UTC\t0\t3\t*\t*\t*", "", "", ""},
		{"@daily", "", "", ""},
		{"@every 1s", "", "", ""},
		{"", "", "90d", "0"},
		{"", "", "9223372036", "9223372037"},
		{"", "0", "1ns", "-1s"},
		{"", "1e9", "0x10", "1.5h"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, schedule, window, period, ttl string) {
		b, storage := e.engine(t)
		fields := map[string]any{}
		for name, value := range map[string]string{
			"rotation_schedule": schedule, "rotation_window": window, "rotation_period": period,
			"refresh_ttl": ttl, "verify_period": ttl, "rotation_grace_period": ttl, "lease_ttl": ttl,
		} {
			if value != "" {
				fields[name] = value
			}
		}
		if said := answer(t, b, storage, logical.UpdateOperation, "tokens/rw", fields); strings.Contains(said, "error:") {
			return
		}
		tok, err := b.tokens.Load(t.Context(), storage, "rw")
		must(t, err)
		now := b.now()
		rotate, verify := tok.nextWork(now, "hook", atItsTime)
		for what, at := range map[string]time.Time{"next rotation": tok.nextRotation, "next step": rotate, "next verification": verify} {
			if !at.IsZero() && at.Before(tok.Current.PublishedAt) {
				t.Errorf("the %s is at %v, before the credential was published", what, at)
			}
		}
		if wait := tok.ttl(now); wait < 1 || wait > tok.RefreshTTL {
			t.Errorf("the ttl is %d with a refresh_ttl of %d", wait, tok.RefreshTTL)
		}
		for _, path := range []string{"creds/rw", "tokens/rw", "status"} {
			_ = answer(t, b, storage, logical.ReadOperation, path, nil) // must not panic
		}
	})
}
