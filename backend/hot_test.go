package backend

import (
	"encoding/json"
	"maps"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/simulator"
)

// hot are the functions that run at each read, or for each of many tokens.
func hot(tb testing.TB) map[string]func() error {
	tb.Helper()
	f := newFixture(tb)
	f.withImpact(tb, nil)
	f.withGoogle(tb)
	key, err := f.provider.ServiceAccountKey(tb.Context(), simulator.DefaultName)
	if err != nil {
		tb.Fatal(err)
	}
	f.write(tb, "tokens/key", map[string]any{"account": "google", "type": "service_account_key", "service_account_key": string(key)})
	read := func(path string) func() error {
		req := &logical.Request{Operation: logical.ReadOperation, Path: path, Storage: f.storage}
		return func() error {
			response, err := f.HandleRequest(tb.Context(), req)
			if err != nil {
				return err
			}
			return response.Error()
		}
	}
	stored, err := f.storage.Get(tb.Context(), tokenPrefix+"acme-rw")
	if err != nil || stored == nil {
		tb.Fatalf("reading the stored token: %v", err)
	}
	entry, err := f.tokens.get(tb.Context(), f.storage, "acme-rw")
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]func() error{
		"ReadCreds":       read("creds/acme-rw"),
		"ReadAccessToken": read("access-token/key"),
		"ReadToken":       read("tokens/acme-rw"),
		"DecodeToken":     func() error { _, err := f.decodeToken("acme-rw", stored.Value); return err },
		"EncodeToken":     func() error { _, err := json.Marshal(entry.tokenEntry); return err },
		"Fingerprint": func() error {
			_, err := f.fingerprint(tb.Context(), f.storage, entry.Current.Credential)
			return err
		},
	}
}

// go test -run='^$' -bench=Hot -benchmem ./backend
func BenchmarkHot(b *testing.B) {
	for name, do := range hot(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What is left out of the framework's sight answers as the framework would have it.
func TestHotReadsAnswerAsTheFrameworkDoes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	for name, path := range map[string]string{
		"a token": "creds/acme-rw", "an unknown token": "creds/nobody", "no access token": "access-token/acme-rw",
		"a bad name": "creds/..", "no name": "creds/", "another path below": "creds/acme-rw/more",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := &logical.Request{Operation: logical.ReadOperation, Path: path, Storage: f.storage}
			got, gotErr := f.HandleRequest(t.Context(), req)
			want, wantErr := respond(f.Backend.HandleRequest(t.Context(), req))
			if (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error() {
				t.Fatalf("got error %v, want %v", gotErr, wantErr)
			}
			if (got == nil) != (want == nil) || got != nil && !maps.Equal(got.Data, want.Data) {
				t.Error("the answers differ")
			}
		})
	}
	response, err := f.HandleRequest(t.Context(), &logical.Request{
		Operation: logical.ReadOperation, Path: "creds/acme-rw", Storage: f.storage, Data: map[string]any{"verion": "1"},
	})
	if err != nil || len(response.Warnings) != 1 {
		t.Errorf("a field that there is not gives error %v, response with warnings %q; want a warning", err, response.Warnings)
	}
}

// askedSystem counts how often Vault is asked for its replication state: a call to another process.
type askedSystem struct {
	logical.SystemView
	asked atomic.Int64
}

func (s *askedSystem) ReplicationState() consts.ReplicationState {
	s.asked.Add(1)
	return s.SystemView.ReplicationState()
}

func TestWarmReadsAskNobody(t *testing.T) {
	t.Parallel()
	system := &askedSystem{}
	f := newFixture(t, func(c *logical.BackendConfig) { system.SystemView, c.System = c.System, system })
	f.withImpact(t, nil)
	f.read(t, "creds/acme-rw")
	requests := func() int {
		ledger, err := f.provider.Ledger(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, endpoints := range ledger.Requests {
			for _, count := range endpoints {
				sum += count
			}
		}
		return sum
	}
	stored, asked, requested := f.storage.gets.Load(), system.asked.Load(), requests()
	for range 100 {
		f.read(t, "creds/acme-rw")
	}
	if n := f.storage.gets.Load() - stored; n != 0 {
		t.Errorf("100 warm reads read storage %d times", n)
	}
	if n := system.asked.Load() - asked; n != 0 {
		t.Errorf("100 warm reads asked Vault for its replication state %d times", n)
	}
	if n := requests() - requested; n != 0 {
		t.Errorf("100 warm reads called the provider %d times", n)
	}
	f.read(t, "tokens/acme-rw")
	if system.asked.Load() == asked {
		t.Error("another read asked nothing either: nothing is counted here")
	}
}
