package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// keyFixture has an account google with an identity of its own, and a token app with a service account of the same name.
func keyFixture(t *testing.T) (f *fixture, file string) {
	t.Helper()
	f = newFixture(t)
	return f, f.withAppKey(t)
}

// withAppKey imports the key of a new service account as the token app, and returns the file.
func (f *fixture) withAppKey(t *testing.T) (file string) {
	t.Helper()
	f.withGoogle(t)
	made, err := f.provider.CreateServiceAccount(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	f.importKey(t, "app", string(made))
	return string(made)
}

func (f *fixture) importKey(t *testing.T, name, file string) {
	t.Helper()
	f.write(t, "tokens/"+name, map[string]any{
		"account": "google", "type": "service_account_key", "service_account_key": file, "rotation_grace_period": "1m",
	})
}

// holdersOfApp asks for those that live on the current value of the token app.
func (f *fixture) holdersOfApp(t *testing.T) ([]string, error) {
	t.Helper()
	named, a, err := f.tokenWithAccount(t.Context(), f.storage, "app")
	if err != nil {
		t.Fatal(err)
	}
	return f.livesOn(t.Context(), f.storage, a, named, named.Current.Credential)
}

func (f *fixture) wantHolders(t *testing.T, want ...string) {
	t.Helper()
	got, err := f.holdersOfApp(t)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("the key of app is held by %q, error %v; want %q", got, err, want)
	}
}

func TestHolders_AreThoseInWhateverState(t *testing.T) {
	t.Parallel()
	f, file := keyFixture(t)
	f.wantHolders(t)
	f.importKey(t, "second", file)
	f.wantHolders(t, `token "second"`)
	held := provider.Values{"service_account_key": file}
	other, err := f.provider.CreateServiceAccount(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	current := provider.Values{"service_account_key": string(other)}
	for name, tc := range map[string]struct {
		change func(*rotation.Record)
		want   []string
	}{
		"pending":  {want: []string{`token "second"`}, change: func(r *rotation.Record) { r.Pending = &rotation.Pending{Credential: held} }},
		"replaced": {want: []string{`token "second"`}, change: func(r *rotation.Record) { r.Pending = &rotation.Pending{Replaces: &rotation.Pending{Credential: held}} }},
		"in its grace": {want: []string{`token "second"`}, change: func(r *rotation.Record) {
			r.Retiring = []rotation.Retiring{{Version: 1, Credential: held, At: f.now().Add(time.Hour), NextAttempt: f.now().Add(time.Hour)}}
		}},
		"about to end it": {change: func(r *rotation.Record) {
			r.Retiring = []rotation.Retiring{{Version: 1, Credential: held, At: f.now(), NextAttempt: f.now().Add(time.Hour)}}
		}},
		"something else": {change: func(*rotation.Record) {}},
	} {
		f.change(t, "second", func(r *token) {
			r.Current.Credential, r.Pending, r.Retiring = current, nil, nil
			tc.change(&r.Record)
			if r.Pending != nil {
				r.Pending.NextAttempt = f.now().Add(time.Hour)
			}
		})
		if f.wantHolders(t, tc.want...); t.Failed() {
			t.Fatalf("it is %s", name)
		}
	}
	f.change(t, "second", func(r *token) { r.Current.Credential, r.Pending, r.Retiring = current, nil, nil })
	f.write(t, "config/google", map[string]any{"service_account_key": file})
	f.wantHolders(t, `account "google"`)
	f.importKey(t, "third", file)
	f.wantHolders(t, `account "google"`, `token "third"`)
	if _, err := f.handle(t, logical.DeleteOperation, "tokens/third", nil); err != nil {
		t.Fatal(err)
	}
	f.wantHolders(t, `account "google"`)
}

// An engine that has just started has read nothing yet.
func TestHolders_AreReadFromStorage(t *testing.T) {
	t.Parallel()
	f, file := keyFixture(t)
	f.importKey(t, "second", file)
	restarted := &fixture{backend: newBackend(f.now), storage: f.storage, server: f.server, provider: f.provider, clock: f.clock}
	config := logical.TestBackendConfig()
	config.StorageView = f.storage
	if err := restarted.setUp(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { restarted.Cleanup(t.Context()) })
	f.storage.FailList(true)
	if _, err := restarted.holdersOfApp(t); err == nil {
		t.Error("holders are known although nothing can be listed")
	}
	f.storage.FailList(false)
	f.storage.FailGet(true)
	app, a, err := f.tokenWithAccount(t.Context(), f.storage, "app")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := restarted.livesOn(t.Context(), f.storage, a, app, app.Current.Credential); err == nil {
		t.Error("holders are known although nothing can be read")
	}
	f.storage.FailGet(false)
	restarted.wantHolders(t, `token "second"`)
}

// What another node has written is read again.
func TestHolders_FollowInvalidations(t *testing.T) {
	t.Parallel()
	f, file := keyFixture(t)
	f.importKey(t, "second", file)
	f.wantHolders(t, `token "second"`)
	entry, err := f.storage.Get(t.Context(), tokenPrefix+"second")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.storage.Delete(t.Context(), tokenPrefix+"second"); err != nil {
		t.Fatal(err)
	}
	f.InvalidateKey(t.Context(), tokenPrefix+"second")
	f.wantHolders(t)
	if err := f.storage.InmemStorage.Put(t.Context(), &logical.StorageEntry{Key: tokenPrefix + "third", Value: entry.Value}); err != nil {
		t.Fatal(err)
	}
	f.InvalidateKey(t.Context(), tokenPrefix+"third")
	f.wantHolders(t, `token "third"`)
}

// A damaged entry holds what its bytes show, and nothing else waits for it.
func TestHolders_AnEntryThatCannotBeUsedHoldsWhatItsBytesShow(t *testing.T) {
	t.Parallel()
	f, file := keyFixture(t)
	f.importKey(t, "second", file)
	sound, err := f.storage.Get(t.Context(), tokenPrefix+"second")
	if err != nil {
		t.Fatal(err)
	}
	text := string(sound.Value)
	for name, tc := range map[string]struct {
		stored string
		want   []string
	}{
		"of a later release": {stored: strings.Replace(text, fmt.Sprintf(`"schema":%d`, tokenSchema), `"schema":99`, 1), want: []string{`token "second" (which cannot be read)`}},
		"cut off":            {stored: text[:len(text)-20], want: []string{`token "second" (which cannot be read)`}},
		"without the value":  {stored: `{"schema":99}`},
		"put right":          {stored: text, want: []string{`token "second"`}},
	} {
		if err := f.storage.InmemStorage.Put(t.Context(), &logical.StorageEntry{Key: tokenPrefix + "second", Value: []byte(tc.stored)}); err != nil {
			t.Fatal(err)
		}
		f.InvalidateKey(t.Context(), tokenPrefix+"second")
		if f.wantHolders(t, tc.want...); t.Failed() {
			t.Fatalf("the entry is %s", name)
		}
	}
}

func TestHolders_AreUnknownUntilTheyAreRead(t *testing.T) {
	t.Parallel()
	f, _ := keyFixture(t)
	f.holderIndex.reading <- struct{}{} // somebody reads
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.holders(ctx, f.storage, sought{}); !errors.Is(err, rotation.ErrHoldersUnknown) {
		t.Errorf("got %v", err)
	}
	<-f.holderIndex.reading
}

// The index has to stay small beside the tokens, which are in memory as well.
func TestHolderIndex_TakesLittleMemory(t *testing.T) {
	const tokens = 20_000
	before := heap()
	i := newHolderIndex()
	for n := range tokens {
		h := holding{name: fmt.Sprintf("token-%06d", n)}
		i.touch(h)
		i.set(h, []mark{i.mark("google_ads", fmt.Sprint("app@project/", n))})
	}
	for {
		if _, ok := i.takeStale(); !ok {
			break
		}
	}
	if got := (heap() - before) >> 20; got > 12 {
		t.Errorf("%d tokens take %d MiB", tokens, got)
	} else {
		t.Logf("%d tokens take %d MiB", tokens, got)
	}
	if got := i.of(i.mark("google_ads", "app@project/19999")); !slices.Equal(got, []holding{{name: "token-019999"}}) {
		t.Errorf("got %v", got)
	}
	runtime.KeepAlive(i)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestIsCurrent(t *testing.T) {
	t.Parallel()
	f, file := keyFixture(t)
	spelled := func(changes map[string]any) provider.Values {
		var members map[string]any
		if err := json.Unmarshal([]byte(file), &members); err != nil {
			t.Fatal(err)
		}
		maps.Copy(members, changes)
		text, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return provider.Values{"service_account_key": string(text)}
	}
	app, a, err := f.tokenWithAccount(t.Context(), f.storage, "app")
	if err != nil {
		t.Fatal(err)
	}
	bare, err := f.newAccount(f.builtIn["google_ads"], accountEntry{Provider: "google_ads", RequestTimeout: 1, ResetHookTimeout: 1})
	if err != nil {
		t.Fatal(err)
	}
	google := map[string]any{"token_uri": "https://oauth2.googleapis.com/token"}
	foreign := map[string]any{"token_uri": "https://evil.example/token"}
	for name, tc := range map[string]struct {
		account      *account
		current, new map[string]any
		want         bool
	}{
		"the same":                   {account: a, want: true},
		"another project":            {account: a, new: map[string]any{"project_id": "x"}, want: true},
		"another key":                {account: a, new: map[string]any{"private_key_id": "x"}},
		"another private part":       {account: a, new: map[string]any{"private_key": "x"}},
		"token_uri that decides not": {account: a, current: foreign, new: google, want: true},
		"token_uri that is mended":   {account: bare, current: foreign, new: google},
		"token_uri that is turned":   {account: bare, current: google, new: foreign, want: true},
	} {
		record := rotation.Record{Current: &rotation.Version{Credential: spelled(tc.current)}}
		if got := (&token{tokenEntry: tokenEntry{Type: app.Type, Record: record}, kind: app.kind}).isCurrent(tc.account, spelled(tc.new)); got != tc.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
	c := &token{tokenEntry: tokenEntry{Type: "oauth_client"}, kind: f.builtIn["google_ads"].Type("oauth_client")}
	before := provider.Values{"client_id": "c", "client_secret": "s1", "refresh_token": "r"}
	after := provider.Values{"client_id": "c", "client_secret": "s2", "refresh_token": "r"}
	if !c.sameValue(before, after) || c.unchanged(before, after) {
		t.Error("a new client secret is no change, or another grant")
	}
}

// TestKeyRing_LendsTheAccountsRightsToWhatIsProvenOnly looks at who would act.
func TestKeyRing_LendsTheAccountsRightsToWhatIsProvenOnly(t *testing.T) {
	t.Parallel()
	f, file := keyFixture(t)
	app, a, err := f.tokenWithAccount(t.Context(), f.storage, "app")
	if err != nil {
		t.Fatal(err)
	}
	bare := *a
	bare.call.Settings = provider.Values{"service_account_key": a.Settings["service_account_key"]} // no token_url
	value := app.Current.Credential
	key, err := a.platform.Type("service_account_key").Keys.Key(value)
	if err != nil {
		t.Fatal(err)
	}
	other := provider.Values{"service_account_key": strings.ReplaceAll(file, "app@", "other@")}
	version := func(credential provider.Values, proven bool) *rotation.Version {
		return &rotation.Version{Number: 1, Credential: credential, Proven: proven}
	}
	retiring := func(proven bool) []rotation.Retiring {
		return []rotation.Retiring{{Version: 1, Credential: value, Proven: proven}}
	}
	for name, tc := range map[string]struct {
		account *account
		record  rotation.Record
		intent  bool
		as      string
		helped  bool
	}{
		"proven":                        {account: a, record: rotation.Record{Current: version(value, true)}, as: "app", helped: true},
		"not proven":                    {account: a, record: rotation.Record{Current: version(value, false)}, as: "app"},
		"proven by itself":              {account: &bare, record: rotation.Record{Current: version(value, true)}, as: "app"},
		"intent proven, value not":      {account: a, record: rotation.Record{Current: version(value, false)}, intent: true, as: "app", helped: true},
		"moved, old one still there":    {account: a, record: rotation.Record{Current: version(other, true), Retiring: retiring(true)}, as: "app", helped: true},
		"moved, old one not proven":     {account: a, record: rotation.Record{Current: version(other, true), Retiring: retiring(false)}, as: "app"},
		"moved, intent proven":          {account: a, record: rotation.Record{Current: version(other, true)}, intent: true, as: "account", helped: true},
		"moved, intent not proven":      {account: a, record: rotation.Record{Current: version(other, true)}},
		"moved, old one proved itself":  {account: &bare, record: rotation.Record{Current: version(other, true), Retiring: retiring(true)}, as: "app"},
		"no credential, intent by none": {account: a},
	} {
		ring := &keyRing{backend: f.backend, storage: f.storage, keys: a.platform.Type("service_account_key").Keys, account: tc.account}
		ring.token = &token{tokenEntry: tokenEntry{Type: app.Type, Record: tc.record}, kind: app.kind}
		got, err := ring.acting(rotation.Rights{Owner: strings.ToUpper(key.Owner), Proven: tc.intent})
		if (err == nil) != (tc.as != "") || ring.MayAct(rotation.Rights{Owner: key.Owner, Proven: tc.intent}) != (err == nil) {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		if err != nil {
			continue
		}
		as := map[string]string{value["service_account_key"]: "app", a.Settings["service_account_key"]: "account"}[got.token.Credential["service_account_key"]]
		if helped := got.account.Settings["service_account_key"] != ""; as != tc.as || helped != tc.helped {
			t.Errorf("%s: acts as %q, helped by the account: %t", name, as, helped)
		}
	}
}

// A key is made for the owner of the intent, whatever is current by then.
func TestKeyRing_MakesNoKeyForAnotherOwner(t *testing.T) {
	t.Parallel()
	f, _ := keyFixture(t)
	app, a, err := f.tokenWithAccount(t.Context(), f.storage, "app")
	if err != nil {
		t.Fatal(err)
	}
	ring := &keyRing{backend: f.backend, storage: f.storage, keys: a.platform.Type("service_account_key").Keys, account: a, token: app}
	if _, err := ring.create(t.Context(), &rotation.Pending{Owner: "somebody@else.example"}); err == nil {
		t.Error("a key was made")
	}
	if keys, err := f.provider.ServiceAccountKeys(t.Context(), "app"); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, error %v", len(keys), err)
	}
}

// TestRetirement_OfAValueThatProvedItself has the proof decided by the settings of now.
func TestRetirement_OfAValueThatProvedItself(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		tokenURL bool
		gone     bool
	}{
		"account with a token_url": {tokenURL: true, gone: true},
		"without one":              {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, file := keyFixture(t)
			if err := f.provider.SetKeyAdministration(t.Context(), "app", simulator.KeyAdministrationDenied); err != nil {
				t.Fatal(err)
			}
			app, a, err := f.tokenWithAccount(t.Context(), f.storage, "app")
			if err != nil {
				t.Fatal(err)
			}
			if !tc.tokenURL {
				bare := *a
				bare.call.Settings = provider.Values{"iam_url": f.server.GoogleURL, "service_account_key": a.Settings["service_account_key"]}
				a = &bare
			}
			ring := &keyRing{backend: f.backend, storage: f.storage, keys: a.platform.Type("service_account_key").Keys, account: a, token: app}
			err = ring.retire(t.Context(), rotation.Retiring{Version: 1, Proven: true, Credential: provider.Values{"service_account_key": file}})
			keys, listErr := f.provider.ServiceAccountKeys(t.Context(), "app")
			if listErr != nil || keys[0].Deleted.IsZero() == tc.gone || (err == nil) != tc.gone {
				t.Errorf("error %v; the key was deleted at %s (%v)", err, keys[0].Deleted, listErr)
			}
			if !tc.gone && !strings.Contains(err.Error(), "it was never proven to be a key of app@") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
