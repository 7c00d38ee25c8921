package backend

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

var testReader = Reader{EntityID: "entity-app", DisplayName: "approle-app", Accessor: "accessor-of-app", Address: "192.0.2.1"}

// atItsTime is when an old value ends with retire_after=grace.
func atItsTime(old *rotation.Retiring) time.Time { return old.NextAttempt }

// named is a reader of an entity of its own.
func named(name string) Reader {
	return Reader{EntityID: "entity-" + name, DisplayName: "approle-" + name, Accessor: "accessor-" + name, Address: "192.0.2.1"}
}

// newQuietFixture is an engine that does nothing by itself.
func newQuietFixture(t *testing.T, configure ...func(*logical.BackendConfig)) *fixture {
	t.Helper()
	f := newFixture(t, configure...)
	f.quiet()
	return f
}

func (f *fixture) quiet() {
	f.workOnce.Do(func() { f.backend.storage = f.storage })
}

// readAs reads as Vault does: warm where it can.
func (f *fixture) readAs(t testing.TB, path string, by Reader) {
	t.Helper()
	if _, warm := f.WarmRead(path, by); warm {
		return
	}
	response, err := f.HandleRequest(t.Context(), &logical.Request{
		Operation: logical.ReadOperation, Path: path, Storage: f.storage,
		EntityID: by.EntityID, DisplayName: by.DisplayName, ClientTokenAccessor: by.Accessor, Connection: &logical.Connection{RemoteAddr: by.Address},
	})
	if err == nil {
		err = response.Error()
	}
	if err != nil {
		t.Fatalf("reading %s: %v", path, err)
	}
}

// readersOfToken are the readers that reading them shows, as name, path and version, and the summary.
func (f *fixture) readersOfToken(t *testing.T, name string) (shown []string, summary string) {
	t.Helper()
	data := f.read(t, "tokens/"+name+"/readers")
	for _, row := range data["readers"].([]any) {
		r := row.(map[string]any)
		shown = append(shown, fmt.Sprint(r["display_name"], " ", r["path"], " ", r["version"]))
	}
	s := data["summary"].(map[string]any)
	return shown, fmt.Sprint(s["total"], " ", s["current"], " ", s["behind"], " ", s["forgotten"])
}

func (f *fixture) wantReaders(t *testing.T, name, summary string, want ...string) {
	t.Helper()
	shown, got := f.readersOfToken(t, name)
	slices.Sort(shown)
	slices.Sort(want)
	if got != summary || !slices.Equal(shown, want) {
		t.Errorf("got %q, summary %q; want %q, %q", shown, got, want, summary)
	}
}

// restarted is another process with the same storage.
func (f *fixture) restarted(t *testing.T) *fixture {
	t.Helper()
	next := *f
	next.backend = newBackend(f.clock.Now)
	config := logical.TestBackendConfig()
	config.StorageView = f.storage
	must(t, next.setUp(t.Context(), config))
	next.scheduler.Now = time.Now
	t.Cleanup(func() { next.Cleanup(t.Context()) })
	next.quiet()
	return &next
}

// storeReadersNow stores what is to be stored of readers.
func (f *fixture) storeReadersNow(t *testing.T) {
	t.Helper()
	f.clock.Advance(31 * time.Second)
	if f.storeReaders(t.Context()) {
		t.Error("some readers are still to be stored")
	}
}

func TestReaders_ShowWhoHasReadWhichVersion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.withKey(t)
	f.wantReaders(t, "acme-rw", "0 0 0 0")
	for _, name := range []string{"one", "two", "one", "two", "one"} {
		f.readAs(t, "creds/acme-rw", named(name))
	}
	f.readAs(t, "creds/key", named("one"))
	f.readAs(t, "access-token/key", named("one"))
	f.readAs(t, "access-token/key", Reader{DisplayName: "a batch\ntoken", Address: "192.0.2.7"})
	f.wantReaders(t, "acme-rw", "2 2 0 0", "approle-one creds 1", "approle-two creds 1")
	f.wantReaders(t, "key", "3 3 0 0", "approle-one creds 1", "approle-one access-token 1", "a batch?token access-token 1")
	f.clock.Advance(time.Minute)
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": f.resetReadWrite(t).AuthToken})
	f.wantReaders(t, "acme-rw", "2 0 2 0", "approle-one creds 1", "approle-two creds 1")
	f.readAs(t, "creds/acme-rw", named("one"))
	f.readAs(t, "creds/acme-rw", named("one"))
	f.wantReaders(t, "acme-rw", "2 1 1 0", "approle-one creds 2", "approle-two creds 1")

	data := f.read(t, "tokens/acme-rw/readers")
	row := data["readers"].([]any)[1].(map[string]any)
	client, _ := row["client"].(string)
	if data["current_version"] != 2 || row["entity_id"] != "entity-one" || row["address"] != "192.0.2.1" || len(client) != fingerprintLength ||
		row["first_read"] != testkit.Epoch.UTC().Format(time.RFC3339) || row["last_read"] != testkit.Epoch.Add(time.Minute).UTC().Format(time.RFC3339) {
		t.Errorf("current version %v, row %v", data["current_version"], row)
	}
	response, err := f.handle(t, logical.ReadOperation, "tokens/acme-rw/readers", map[string]any{"window": "30s"})
	must(t, err)
	if total := response.Data["summary"].(map[string]any)["total"]; total != 1 {
		t.Errorf("%v have read within 30s, want 1", total)
	}
	for _, who := range []string{"entity-one", "approle-two"} {
		if is, err := f.readBy(t.Context(), f.storage, "acme-rw", who); err != nil || !is {
			t.Errorf("read by %s: %t, error %v", who, is, err)
		}
	}
	for _, who := range []string{"", "entity-jane", "accessor-one"} {
		if is, err := f.readBy(t.Context(), f.storage, "acme-rw", who); err != nil || is {
			t.Errorf("read by %q: %t, error %v", who, is, err)
		}
	}
}

func TestReaders_AreOfAnswersOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.write(t, "tokens/empty", map[string]any{"account": "acme", "type": "scoped"})
	for _, path := range []string{"creds/empty", "access-token/acme-rw", "creds/nobody"} {
		_, _ = f.handle(t, logical.ReadOperation, path, nil)
	}
	f.wantReaders(t, "empty", "0 0 0 0")
	f.wantReaders(t, "acme-rw", "0 0 0 0")
	if _, err := f.handle(t, logical.ReadOperation, "creds/acme-rw", map[string]any{"a": "parameter"}); err != nil {
		t.Fatal(err)
	}
	f.wantReaders(t, "acme-rw", "1 1 0 0", "userpass-jane creds 1")
	_, err := f.handle(t, logical.ReadOperation, "tokens/nobody/readers", nil)
	wantStatus(t, err, http.StatusNotFound)
	for _, window := range []any{0, "0s", -1, "a day", ""} {
		if response, err := f.handle(t, logical.ReadOperation, "tokens/acme-rw/readers", map[string]any{"window": window}); err != nil || !response.IsError() {
			t.Errorf("window %v is taken, error %v", window, err)
		}
	}
}

func TestReaders_TakeNoStorageOnTheWayOfARead(t *testing.T) {
	t.Parallel()
	f := newQuietFixture(t)
	f.withImpact(t, nil)
	f.readAs(t, "creds/acme-rw", named("one"))
	gets, puts := f.storage.Gets.Load(), f.storage.Puts.Load()
	for i := range 100 {
		f.readAs(t, "creds/acme-rw", named(fmt.Sprint(i)))
	}
	if f.storage.Gets.Load() != gets || f.storage.Puts.Load() != puts {
		t.Errorf("100 new readers read storage %d times and wrote %d times", f.storage.Gets.Load()-gets, f.storage.Puts.Load()-puts)
	}
	f.storeReadersNow(t)
	if n := f.storage.Puts.Load() - puts; n != 1 {
		t.Errorf("they were stored with %d writes", n)
	}
	for range 100 {
		f.readAs(t, "creds/acme-rw", named("one"))
	}
	f.storeReadersNow(t)
	if n := f.storage.Puts.Load() - puts; n != 1 {
		t.Errorf("reads that tell nothing new were stored with %d writes", n-1)
	}
}

func TestReaders_SurviveARestart(t *testing.T) {
	t.Parallel()
	f := newQuietFixture(t)
	f.withImpact(t, nil)
	f.readAs(t, "creds/acme-rw", named("one"))
	f.readAs(t, "creds/acme-rw", Reader{DisplayName: "token", Accessor: "an-accessor", Address: "192.0.2.2"})
	f.storeReadersNow(t)
	stored, err := f.storage.Get(t.Context(), readersPrefix+"acme-rw")
	if err != nil || stored == nil || strings.Contains(string(stored.Value), "accessor") {
		t.Fatalf("nothing is stored, or an accessor; error %v", err)
	}
	next := f.restarted(t)
	next.wantReaders(t, "acme-rw", "2 2 0 0", "approle-one creds 1", "token creds 1")
	next.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": f.resetReadWrite(t).AuthToken})
	next.readAs(t, "creds/acme-rw", Reader{DisplayName: "token", Accessor: "an-accessor", Address: "192.0.2.2"})
	next.wantReaders(t, "acme-rw", "2 1 1 0", "approle-one creds 1", "token creds 2")
}

func TestReaders_AreStoredByTheBackground(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.readAs(t, "creds/acme-rw", named("one"))
	f.clock.Advance(2 * time.Second)
	eventually(t, "the readers to be stored", func() bool {
		stored, err := f.storage.Get(t.Context(), readersPrefix+"acme-rw")
		return err == nil && stored != nil
	})
}

func TestReaders_GoWithTheirToken(t *testing.T) {
	t.Parallel()
	f := newQuietFixture(t)
	f.withImpact(t, nil)
	f.readAs(t, "creds/acme-rw", named("one"))
	f.storeReadersNow(t)
	stored, err := f.storage.Get(t.Context(), readersPrefix+"acme-rw")
	must(t, err)
	if _, err := f.handle(t, logical.DeleteOperation, "tokens/acme-rw", nil); err != nil {
		t.Fatal(err)
	}
	if left, err := f.storage.Get(t.Context(), readersPrefix+"acme-rw"); err != nil || left != nil || f.readers.Rows() != 0 {
		t.Errorf("the readers outlive their token, error %v", err)
	}
	// A crash may leave the entry behind. It is of no token that is made anew, and a start cleans it up.
	must(t, f.storage.Put(t.Context(), stored))
	f.restarted(t).loadReaders()
	if left, err := f.storage.Get(t.Context(), readersPrefix+"acme-rw"); err != nil || left != nil {
		t.Errorf("the readers of a token that is gone are left, error %v", err)
	}
	must(t, f.storage.Put(t.Context(), stored))
	last := f.restarted(t)
	last.withImpact(t, nil)
	last.wantReaders(t, "acme-rw", "0 0 0 0")
}

func TestReaders_AreStoredByWhoMayWrite(t *testing.T) {
	t.Parallel()
	f := newQuietFixture(t)
	f.withImpact(t, nil)
	f.readAs(t, "creds/acme-rw", named("one"))
	puts := f.storage.Puts.Load()
	view := &standby{asked: make(chan struct{}, 1000)}
	must(t, f.Setup(t.Context(), &logical.BackendConfig{System: view, Logger: f.Logger(), StorageView: f.storage}))
	f.storeReadersNow(t)
	if f.storage.Puts.Load() != puts {
		t.Error("a standby has stored readers")
	}
	f.wantReaders(t, "acme-rw", "1 1 0 0", "approle-one creds 1")
}

func TestReaders_StorageThatFailsLosesNone(t *testing.T) {
	t.Parallel()
	f := newQuietFixture(t)
	f.withImpact(t, nil)
	f.readAs(t, "creds/acme-rw", named("one"))
	f.clock.Advance(time.Minute)
	f.storage.Refusals.Store(1)
	if !f.storeReaders(t.Context()) {
		t.Error("nothing is to be stored again after a failed write")
	}
	f.clock.Advance(time.Minute)
	f.storeReadersNow(t)
	f.restarted(t).wantReaders(t, "acme-rw", "1 1 0 0", "approle-one creds 1")
}

func TestReaders_ADamagedEntryCountsAsAReaderBehind(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"no JSON": "{", "of a later release": `{"schema":2}`, "of another form": `{"schema":1,"readers":7}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.withImpact(t, nil)
			must(t, f.storage.Put(t.Context(), &logical.StorageEntry{Key: readersPrefix + "acme-rw", Value: []byte(value)}))
			f.wantReaders(t, "acme-rw", "0 0 0 1")
			f.readAs(t, "creds/acme-rw", named("one"))
			f.wantReaders(t, "acme-rw", "1 1 0 1", "approle-one creds 1")
			f.clock.Advance(25 * time.Hour)
			f.wantReaders(t, "acme-rw", "0 0 0 0")
		})
	}
}

func TestReaders_AreCountedInTheMetrics(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.readAs(t, "creds/acme-rw", named("one"))
	f.readAs(t, "creds/acme-rw", named("two"))
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": f.resetReadWrite(t).AuthToken})
	f.readAs(t, "creds/acme-rw", named("two"))
	for _, line := range []string{
		`adtokens_token_readers{state="current",token="acme-rw",type="legacy_read_write"} 1`,
		`adtokens_token_readers{state="behind",token="acme-rw",type="legacy_read_write"} 1`,
		`adtokens_token_retirement_waits{token="acme-rw",type="legacy_read_write"} 0`,
		`adtokens_cache_entries{cache="readers"} 2`, `adtokens_readers_forgotten_total 0`,
	} {
		f.wantMetric(t, line)
	}
}
