package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// withKey configures Google Ads and imports a service account key as key.
func (f *fixture) withKey(tb testing.TB) {
	tb.Helper()
	f.withGoogle(tb)
	key, err := f.provider.ServiceAccountKey(tb.Context(), simulator.DefaultName)
	if err != nil {
		tb.Fatal(err)
	}
	f.write(tb, "tokens/key", map[string]any{"account": "google", "type": "service_account_key", "service_account_key": string(key)})
}

// hot are the functions that run at each read, or for each of many tokens.
func hot(tb testing.TB) map[string]func() error {
	tb.Helper()
	f := newFixture(tb)
	f.withImpact(tb, nil)
	f.withKey(tb)
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
	entry, err := f.tokens.Get(tb.Context(), f.storage, "acme-rw")
	if err != nil {
		tb.Fatal(err)
	}
	warm := func(path string) func() error {
		if err := read(path)(); err != nil {
			tb.Fatal(err)
		}
		return func() error {
			if _, warm := f.WarmRead(path, testReader); !warm {
				return errors.New("it is not warm")
			}
			return nil
		}
	}
	return map[string]func() error{
		"WarmCreds":       warm("creds/acme-rw"),
		"WarmAccessToken": warm("access-token/key"),
		"ReadCreds":       read("creds/acme-rw"),
		"ReadAccessToken": read("access-token/key"),
		"ReadToken":       read("tokens/acme-rw"),
		"DecodeToken": func() error {
			_, err := f.decodeToken(tb.Context(), f.storage, "acme-rw", stored.Value)
			return err
		},
		"EncodeToken": func() error { _, err := json.Marshal(entry.tokenEntry); return err },
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
		"no name": "creds/",
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
	stored, asked, requested := f.storage.Gets.Load(), system.asked.Load(), requests()
	for range 100 {
		f.read(t, "creds/acme-rw")
	}
	if n := f.storage.Gets.Load() - stored; n != 0 {
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

// warmWorld is an engine with a token of each provider.
type warmWorld struct{ *fixture }

func newWarmWorld(t *testing.T) *warmWorld {
	t.Helper()
	w := &warmWorld{newFixture(t)}
	w.withImpact(t, nil)
	w.withKey(t)
	return w
}

// ask reads as Vault does. Where there is no warm answer, the request is handled.
func (w *warmWorld) ask(t *testing.T, path string) (data map[string]any, warm bool) {
	t.Helper()
	text, warm := w.WarmRead(path, testReader)
	if !warm {
		answer, err := w.HandleRequest(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: path, Storage: w.storage})
		if err != nil || answer == nil || answer.IsError() {
			return nil, false
		}
		sent, err := json.Marshal(answer.Data)
		if err != nil {
			t.Fatal("an answer cannot be sent")
		}
		text = string(sent)
	}
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		t.Fatal("an answer cannot be read")
	}
	return data, warm
}

// wantWarm reads twice: the second answer has to be a warm one, and the same.
func (w *warmWorld) wantWarm(t *testing.T, path string) {
	t.Helper()
	first, _ := w.ask(t, path)
	second, warm := w.ask(t, path)
	if !warm || len(first) == 0 || !maps.Equal(first, second) {
		t.Errorf("%s: the second read is warm: %t; its answer is the first one: %t", path, warm, maps.Equal(first, second))
	}
	data, err := w.HandleRequest(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: path, Storage: w.storage})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range data.Data {
		if text, isText := want.(string); isText && second[name] != text {
			t.Errorf("%s: the warm answer has another %s", path, name)
		}
	}
	if len(second) != len(data.Data) || fmt.Sprint(second["ttl"]) != fmt.Sprint(data.Data["ttl"]) {
		t.Errorf("%s: the warm answer has %d fields and ttl %v, want %d and %v", path, len(second), second["ttl"], len(data.Data), data.Data["ttl"])
	}
}

func (w *warmWorld) wantCold(t *testing.T, why, path string) {
	t.Helper()
	w.ask(t, path)
	if _, warm := w.ask(t, path); warm {
		t.Errorf("%s: the read is warm", why)
	}
}

func TestWarmReadsAnswerAsTheFirstOneDid(t *testing.T) {
	t.Parallel()
	w := newWarmWorld(t)
	for _, path := range []string{"creds/acme-rw", "creds/key", "access-token/key"} {
		w.wantWarm(t, path)
	}
	w.write(t, "tokens/acme-rw", map[string]any{"rotation_period": "1h", "refresh_ttl": "2h"})
	w.wantWarm(t, "creds/acme-rw")
	before, _ := w.ask(t, "creds/acme-rw")
	w.clock.Advance(59 * time.Minute)
	if after, warm := w.ask(t, "creds/acme-rw"); !warm || fmt.Sprint(after["ttl"]) != "60" || before["ttl"] == after["ttl"] {
		t.Errorf("ttl is %v a minute before the next rotation; warm: %t", after["ttl"], warm)
	}
}

func TestWarmReadsEndWithWhatTheyWereMadeOf(t *testing.T) {
	t.Parallel()
	w := newWarmWorld(t)
	cold := func(why, path string) {
		t.Helper()
		if _, warm := w.ask(t, path); warm {
			t.Errorf("%s: the read is warm", why)
		}
		w.wantWarm(t, path)
	}
	paths := []string{"creds/acme-rw", "creds/key", "access-token/key"}
	for _, path := range paths {
		w.wantWarm(t, path)
	}
	minted, _ := w.ask(t, "access-token/key")
	w.write(t, "config/google", map[string]any{"login_customer_id": "9876543210"})
	cold("after a write of the account", "creds/key")
	cold("after a write of the account", "access-token/key")
	w.clock.Advance(time.Hour)
	if later, warm := w.ask(t, "access-token/key"); warm || later["access_token"] == minted["access_token"] {
		t.Error("an access token is given after its end")
	}
	w.invalidate(t.Context(), "token/acme-rw")
	cold("after another node's write", "creds/acme-rw")
	w.write(t, "tokens/acme-rw", map[string]any{"lease_ttl": "1h"})
	w.wantCold(t, "with leases", "creds/acme-rw")
	w.write(t, "tokens/acme-rw", map[string]any{"lease_ttl": 0})
	cold("after a write of the token", "creds/acme-rw")
	if _, err := w.handle(t, logical.DeleteOperation, "tokens/key", nil); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"creds/key", "access-token/key"} {
		if data, warm := w.ask(t, path); warm || data != nil {
			t.Errorf("%s answers after the token's end", path)
		}
	}
	w.wantWarm(t, "creds/acme-rw")
}

func TestOtherRequestsAreNotWarm(t *testing.T) {
	t.Parallel()
	w := newWarmWorld(t)
	w.wantWarm(t, "creds/acme-rw")
	w.wantCold(t, "another path", "tokens/acme-rw")
	w.wantCold(t, "an unknown token", "creds/nobody")
	w.wantCold(t, "a token without access tokens", "access-token/acme-rw")
}

func TestARejectedCredentialIsNotWarm(t *testing.T) {
	t.Parallel()
	w := newWarmWorld(t)
	w.wantWarm(t, "creds/acme-rw")
	w.resetReadWrite(t)
	w.write(t, "tokens/acme-rw/verify", nil)
	w.wantCold(t, "the credential is rejected", "creds/acme-rw")
}

// What a loaded snapshot of storage had is not what the cache has.
func TestHot_AReadOfASnapshotIsNotAnsweredFromTheCache(t *testing.T) {
	t.Parallel()
	w := newWarmWorld(t)
	for _, path := range []string{"creds/acme-rw", "access-token/key", "tokens/acme-rw", "status"} {
		w.read(t, path)
		response, err := w.HandleRequest(t.Context(), &logical.Request{
			Operation: logical.ReadOperation, Path: path, Storage: w.storage, RequiresSnapshotID: "a-snapshot",
		})
		if err != nil || !response.IsError() {
			t.Errorf("%s: got %v, error %v; want it refused", path, response, err)
		}
	}
}
