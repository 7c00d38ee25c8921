package backend

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

var update = flag.Bool("update", false, "write the entries of the current storage schema to testdata, once for each schema version")

// schemaDir has the entries that a release with the schema version wrote. They stay as they are: what is stored does not
// change either when a new version of the plugin is installed.
func schemaDir(version int) string {
	return filepath.Join("testdata", fmt.Sprintf("schema-%d", version))
}

// Times and addresses of the stored entries. The work that is due is far away, so that tests do it when they want to.
var (
	long   = time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC)
	someUp = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
)

const (
	storedGoogleURL = "https://google.example.com"
	storedImpactURL = "https://impact.example.com"
	storedHookURL   = "https://hook.example.com"
)

// storedEntries has every field of every entry in use, by storage key. All values are made up.
func storedEntries() map[string]any {
	google := accountEntry{
		Schema: accountSchema, Provider: "google_ads", RequestTimeout: 10, ResetHookTimeout: 120, VerifyConnection: true,
		Settings: provider.Values{
			"contact_email": "ads@acme.example", "base_url": storedGoogleURL, "token_url": storedGoogleURL + "/token",
			"revoke_url": storedGoogleURL + "/revoke", "iam_url": storedGoogleURL, "login_customer_id": "1234567890", "api_version": "v26",
			"client_id": "stored.apps.googleusercontent.com", "client_secret": "stored-client-secret", "refresh_token": "stored-refresh-token",
		},
	}
	impact := accountEntry{
		Schema: accountSchema, Provider: "impact", RequestTimeout: 30, ResetHookTimeout: 600,
		Settings: provider.Values{
			"contact_email": "ads@acme.example", "base_url": storedImpactURL, "account_type": "agency", "api_version": "12",
			"reset_hook_url": storedHookURL, "reset_hook_secret": "whsec_" + hookSecret,
		},
	}
	named := impact
	named.KeepsEndpoints = true
	return map[string]any{
		"config/named":         named,
		"token/named":          namedToken(),
		"token/refreshed":      refreshedClient(),
		"token/handed-in-once": handedInOnce(),
		"config/google":        google,
		"config/impact":        impact,
		"token/empty":          storedToken("google", "developer_token", nil),
		"token/dev":            storedToken("google", "developer_token", provider.Values{"developer_token": "storedDeveloperToken01"}),
		"token/oauth-retiring": retiringClient(),
		"token/key-requested":  requestedKey(),
		"token/key-pending":    pendingKey(),
		"token/rw-requested":   requestedHook(),
		"token/ro-rejected":    rejectedHook(),
		"token/scoped":         scopedToken(),
		"token/key-moved":      movedKey(),
		"notification/ops": notificationEntry{
			Schema: notificationSchema, ID: "11111111-2222-3333-4444-555555555555", Mount: "adtokens/", Events: []string{"rotate*", "overdue"},
			Settings: provider.Values{"url": storedHookURL + "/told?key=stored", "secret": "whsec_" + hookSecret, "format": formatStandard},
		},
		"token/adopting": adoptingKey(),
		"token/healed":   healedToken(),
	}
}

// storedToken has version 2 current, unless the credential is nil.
func storedToken(account, kind string, credential provider.Values) tokenEntry {
	t := tokenEntry{
		Schema: tokenSchema, Account: account, Type: kind, RefreshTTL: 60, RotationGracePeriod: 86400,
		CustomMetadata: map[string]string{"team": "acquisition"},
	}
	if credential == nil {
		t.VerifyPeriod = 86400
		return t
	}
	t.Record = rotation.Record{
		Current: &rotation.Version{Number: 2, Credential: credential, Fingerprint: "2222222222222222", PublishedAt: long, Proven: true},
		Health:  rotation.HealthOK, LastVerification: &rotation.Check{At: long, Outcome: provider.Accepted, Detail: "the provider accepts it"},
		History: []rotation.HistoryEntry{
			{
				Version: 1, CreatedAt: long.Add(-time.Hour), Reason: "first import", EntityID: "entity-jane", DisplayName: "userpass-jane",
				Source: rotation.SourceImport, Verification: "accepted", Fingerprint: "1111111111111111", RetiredAt: long, RetiredHow: previousRejected,
			},
			{Version: 2, CreatedAt: long, Source: rotation.SourceAssisted, Verification: rotation.VerificationSkipped, Fingerprint: "2222222222222222"},
		},
	}
	return t
}

func storedKey(number string) provider.Values {
	return provider.Values{"service_account_key": `{"type":"service_account","private_key_id":"` + strings.Repeat(number, 40) + `"}`}
}

// healedToken has what becomes of a value that was found rejected, and of one that turned out to be somebody else's.
func healedToken() tokenEntry {
	t := storedToken("impact", "scoped", provider.Values{"account_sid": "IRstoredHealed0000001", "auth_token": "storedHealedAuthToken1"})
	t.RotateOnRejection = true
	t.Healing = &rotation.Healing{Begun: []time.Time{long}, Told: true}
	t.Identity, t.IdentityChange = "second", &rotation.IdentityChange{From: "first", To: "second", At: long}
	t.History[1].Healed, t.History[1].Identity, t.History[1].IdentityChanged = true, "second", true
	t.Pending = &rotation.Pending{
		ID: "a-rotation", Source: rotation.SourceHook, Reason: reasonRejected, Healing: true, RequestedAt: long, AttemptedAt: long,
		Credential: provider.Values{"account_sid": "IRstoredHealed0000002", "auth_token": "storedHealedAuthToken2"}, ReceivedAt: long,
		Attempts: 1, Rejections: 1, NextAttempt: someUp, AcceptOther: true, OtherIdentity: "third",
	}
	return t
}

func retiringClient() tokenEntry {
	t := storedToken("google", "oauth_client", provider.Values{
		"client_id": "stored.apps.googleusercontent.com", "client_secret": "stored-client-secret", "refresh_token": "stored-refresh-token-2",
	})
	t.RotationSchedule, t.RotationWindow = saturdaysAtThree, 2*time.Hour
	t.ScheduleSince = someUp
	t.Retiring = []rotation.Retiring{{
		Version: 1, Credential: provider.Values{"refresh_token": "stored-refresh-token-1"}, At: long, Attempts: 3, NextAttempt: someUp,
		LastError: "version 1 could not be retired: Google has a problem of its own (HTTP 503)",
	}}
	t.LastError = t.Retiring[0].LastError
	return t
}

// refreshedClient has what becomes of a credential whose refresh replaces a part of it, and that ends.
func refreshedClient() tokenEntry {
	t := retiringClient()
	t.Current.PublishedAs, t.Current.Refreshed = "3333333333333333", &rotation.Refreshes{Count: 7, At: long}
	t.History[1].Refreshed = t.Current.Refreshed
	t.Current.Ends, t.Current.ExpiringReported = &rotation.Ends{Told: someUp, Lifetime: someUp}, true
	t.History[1].Ends = t.Current.Ends
	t.RotateBeforeExpiry = new(86400)
	t.Consent = &askedConsent{
		State: "stored-state", Verifier: "stored-verifier", RedirectURI: "http://127.0.0.1/", ExpiresAt: someUp, Given: provider.Values{"client_id": "stored.apps.googleusercontent.com"},
	}
	t.Refreshing = &rotation.Refreshing{Since: long, Tries: 2, NextTry: someUp, LastError: "the answer to a refresh was lost"}
	return t
}

// pendingRotation is under way for a while.
func pendingRotation(source rotation.Source) *rotation.Pending {
	return &rotation.Pending{
		ID: "11111111-2222-3333-4444-555555555555", Source: source, Reason: "yearly review", EntityID: "entity-jane", DisplayName: "userpass-jane",
		RequestedAt: long, AttemptedAt: long.Add(time.Second), Attempts: 2, NextAttempt: someUp,
	}
}

func requestedKey() tokenEntry {
	t := storedToken("google", "service_account_key", storedKey("2"))
	t.Pending = pendingRotation(rotation.SourceIAM)
	t.Pending.KnownKeys = []string{strings.Repeat("2", 40)}
	t.Searches = []rotation.Search{{
		Known: t.Pending.KnownKeys, Since: long, Until: long, Attempts: 1, NextAttempt: someUp, LastError: "looking for a key whose secret was lost",
	}}
	return t
}

func pendingKey() tokenEntry {
	t := storedToken("google", "service_account_key", storedKey("2"))
	t.Pending = pendingRotation(rotation.SourceIAM)
	t.Pending.Credential, t.Pending.ReceivedAt, t.Pending.Rejections = storedKey("3"), long.Add(2*time.Second), 4
	t.LastError = "the provider rejects the new value"
	return t
}

// movedKey has a rotation, a search and a retirement that say for whom and by which right they are.
func movedKey() tokenEntry {
	t := requestedKey()
	t.Pending.Owner, t.Pending.OwnerProven = "app@acme.example", true
	t.Searches[0].Owner, t.Searches[0].Proven = "before@acme.example", true
	t.Retiring = []rotation.Retiring{{Version: 1, Credential: storedKey("1"), Proven: true, At: long, NextAttempt: someUp}}
	t.Cleanups = []rotation.Cleanup{{Owner: "app@acme.example", KeyID: strings.Repeat("4", 40), FoundAt: long, DeletedAt: long.Add(time.Second)}}
	return t
}

// adoptingKey has what becomes of an old value that waits for its readers.
func adoptingKey() tokenEntry {
	t := movedKey()
	t.RetireWhen, t.ReaderWindow = retireAdopted, 7200
	t.Retiring[0].Due, t.Retiring[0].WaitReported = true, true
	return t
}

func requestedHook() tokenEntry {
	t := storedToken("impact", "legacy_read_write", storedPair("2"))
	t.RotationPeriod, t.LeaseTTL = 30*24*time.Hour, 3600
	t.Pending = pendingRotation(rotation.SourceHook)
	return t
}

func rejectedHook() tokenEntry {
	t := storedToken("impact", "legacy_read_only", storedPair("2"))
	t.RotationPeriod, t.DisableAutomatedRotation = 30*24*time.Hour, true
	t.Failures, t.RetryAt, t.OverdueReported, t.PersonNeeded = 2, someUp, true, true
	t.Health, t.LastError = rotation.HealthRejected, "the provider rejects the new value"
	t.LastVerification.Outcome, t.LastVerification.Detail = provider.Rejected, "the provider rejects it"
	rejected := pendingRotation(rotation.SourceHook)
	rejected.Credential, rejected.ReceivedAt, rejected.Rejections = storedPair("3"), long, 36
	rejected.Note = "the reset hook's answer has a mistake"
	t.Pending = pendingRotation(rotation.SourceHook)
	t.Pending.ID, t.Pending.Replaces = "66666666-7777-8888-9999-000000000000", rejected
	return t
}

func scopedToken() tokenEntry {
	t := storedToken("impact", "scoped", storedPair("2"))
	t.Options = provider.Values{"probe_path": "Campaigns"}
	t.Current.Proven, t.Health, t.LastVerification = false, rotation.HealthUnverified, nil
	return t
}

// handedInOnce has a value that can be used once, and a new one that ends.
func handedInOnce() tokenEntry {
	t := rejectedHook()
	t.Pending.Replaces.HandedInAs, t.Pending.Replaces.Refreshing = "3333333333333333", &rotation.Refreshing{Since: long, Tries: 1, NextTry: someUp}
	t.Pending.ExpiresAt = someUp
	return t
}

// namedToken says whose its type is.
func namedToken() tokenEntry {
	t := scopedToken()
	t.Account, t.Provider = "named", "impact"
	return t
}

func storedPair(number string) provider.Values {
	return provider.Values{"account_sid": "IR" + strings.Repeat(number, 32), "auth_token": "stored-auth-token-" + number}
}

// file is where an entry of a storage key is kept.
func file(dir, key string) string {
	return filepath.Join(dir, strings.ReplaceAll(key, "/", ".")+".json")
}

// formerFields are what earlier releases stored of tokens, and no release ever used.
const formerFields = `,"rotation_policy":""`

// TestTheStorageSchemaIsWrittenDown keeps the fixture of the current schema version complete. With -update it writes the
// fixture of a version that has none; one that is there was released, and is never written again.
func TestTheStorageSchemaIsWrittenDown(t *testing.T) {
	t.Parallel()
	if accountSchema != tokenSchema {
		t.Fatal("both schema versions count together, so that one directory has the entries of a release")
	}
	dir := schemaDir(tokenSchema)
	_, err := os.Stat(dir)
	if write := *update && os.IsNotExist(err); write {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		for key, entry := range storedEntries() {
			text, err := json.MarshalIndent(entry, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file(dir, key), append(text, '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for key, entry := range storedEntries() {
		kept, err := os.ReadFile(file(dir, key))
		if err != nil {
			t.Fatalf("the entry %s of schema version %d is not written down: run go test ./backend -run TestTheStorageSchema -update", key, tokenSchema)
		}
		written, err := json.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		then := bytes.Replace(compact(t, kept), []byte(formerFields), nil, 1)
		if !bytes.Equal(written, then) {
			t.Errorf("%s is stored differently than releases with schema version %d stored it: keep its form, or give it a new version "+
				"that reads the old one, and write that down with -update\n now: %s\nthen: %s", key, tokenSchema, written, then)
		}
	}
}

func compact(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// upgraded is an engine over the storage of an earlier release, whose providers are the simulated ones.
func upgraded(t *testing.T, version int) (f *fixture, stored map[string]string) {
	t.Helper()
	f, stored = newFixture(t), map[string]string{}
	files, err := filepath.Glob(filepath.Join(schemaDir(version), "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no entries of schema version %d: %v", version, err)
	}
	addresses := strings.NewReplacer(storedGoogleURL, f.server.GoogleURL, storedImpactURL, f.server.ImpactURL)
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		key := strings.Replace(strings.TrimSuffix(filepath.Base(path), ".json"), ".", "/", 1)
		stored[key] = addresses.Replace(string(text))
		if err := f.storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: []byte(stored[key])}); err != nil {
			t.Fatal(err)
		}
	}
	return f, stored
}

func TestTheStorageOfEveryEarlierReleaseIsServed(t *testing.T) {
	t.Parallel()
	for version := 1; version <= tokenSchema; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			f, stored := upgraded(t, version)
			status, err := f.handle(t, logical.ReadOperation, "status", nil)
			if err != nil {
				t.Fatal(err)
			}
			shown := status.Data["tokens"].(map[string]any)
			for key, text := range stored {
				name, isToken := strings.CutPrefix(key, tokenPrefix)
				if !isToken {
					f.read(t, strings.Replace(key, notificationPrefix, notificationsPrefix, 1))
					continue
				}
				var was struct {
					Current *struct {
						Number      int
						Credential  map[string]string
						Fingerprint string
					}
					Pending *struct{ Credential map[string]string }
					History []any
				}
				if err := json.Unmarshal([]byte(text), &was); err != nil {
					t.Fatal(err)
				}
				if shown[name] == nil {
					t.Errorf("status does not show %s: %q", name, status.Warnings)
				}
				f.read(t, "tokens/"+name)
				if got := f.read(t, "tokens/"+name+"/history")["versions"].([]any); len(got) != len(was.History) {
					t.Errorf("%s has a history of %d versions, want %d", name, len(got), len(was.History))
				}
				if was.Current == nil {
					continue
				}
				got := f.read(t, "creds/"+name)
				if got["version"] != was.Current.Number || got["fingerprint"] != was.Current.Fingerprint {
					t.Errorf("%s has version %v, fingerprint %v; want what was stored", name, got["version"], got["fingerprint"])
				}
				for field, value := range was.Current.Credential {
					if got[field] != value {
						t.Errorf("%s is served with another %s than the one stored", name, field)
					}
				}
			}
		})
	}
}

func TestTheStorageOfEveryEarlierReleaseIsRotated(t *testing.T) {
	t.Parallel()
	for version := 1; version <= tokenSchema; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			f, _ := upgraded(t, version)
			for name, credential := range freshCredentials(t, f) {
				before, err := f.tokens.Load(t.Context(), f.storage, name)
				if err != nil {
					t.Fatal(err)
				}
				data := map[string]any{"reason": "after the upgrade", "verify": !slices.Contains([]string{"empty", "dev", "scoped"}, name)}
				for field, value := range credential {
					data[field] = value
				}
				got := f.write(t, "tokens/"+name+"/rotate", data)
				if got.Data["version"] != before.Number()+1 {
					t.Errorf("%s has version %v after its rotation, want %d", name, got.Data["version"], before.Number()+1)
				}
				creds := f.read(t, "creds/"+name)
				for field, value := range credential {
					if creds[field] != value {
						t.Errorf("%s is served with another %s than the new one", name, field)
					}
				}
			}
		})
	}
}

// freshCredentials are new values for tokens of the simulated providers, by the name of the stored token.
func freshCredentials(t *testing.T, f *fixture) map[string]map[string]string {
	t.Helper()
	impact, err := f.provider.ImpactCredentials(t.Context(), "agency")
	if err != nil {
		t.Fatal(err)
	}
	client, err := f.provider.OAuthClient(t.Context(), simulator.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	key, err := f.provider.ServiceAccountKey(t.Context(), simulator.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := json.Compact(&file, key); err != nil {
		t.Fatal(err)
	}
	pair := func(c simulator.ImpactCredential) map[string]string {
		return map[string]string{"account_sid": c.AccountSID, "auth_token": c.AuthToken}
	}
	return map[string]map[string]string{
		"empty":          {"developer_token": "freshDeveloperToken001"},
		"dev":            {"developer_token": "freshDeveloperToken002"},
		"oauth-retiring": {"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken},
		"key-requested":  {"service_account_key": file.String()},
		"key-moved":      {"service_account_key": file.String()},
		"key-pending":    {"service_account_key": file.String()},
		"rw-requested":   pair(impact.ReadWrite),
		"ro-rejected":    pair(impact.ReadOnly),
		"scoped":         pair(impact.ReadOnly),
	}
}

// TestARotationOfAnEarlierReleaseGoesOn has the hook asked with the key of the stored request.
func TestARotationOfAnEarlierReleaseGoesOn(t *testing.T) {
	t.Parallel()
	f, stored := upgraded(t, 1)
	hook, fields := f.startHook(t, func() {})
	impact, err := f.provider.ImpactCredentials(t.Context(), "agency")
	if err != nil {
		t.Fatal(err)
	}
	for key, change := range map[string]*strings.Replacer{
		"config/impact":      strings.NewReplacer(storedHookURL, fields["reset_hook_url"].(string), `"api_version": "12"`, `"api_version": ""`),
		"token/rw-requested": strings.NewReplacer(storedPair("2")["account_sid"], impact.ReadWrite.AccountSID, someUp.Format(time.RFC3339), long.Format(time.RFC3339)),
	} {
		if err := f.storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: []byte(change.Replace(stored[key]))}); err != nil {
			t.Fatal(err)
		}
		f.InvalidateKey(t.Context(), key)
	}
	f.read(t, "status") // the first request starts the work, which may be done before this goes on
	if err := f.rotateRoutinely(t.Context(), "rw-requested"); err != nil {
		t.Fatal(err)
	}
	keys, resets := hook.Asked()
	if len(keys) != 1 || keys[0] != pendingRotation(rotation.SourceHook).ID {
		t.Fatalf("the hook was asked with the keys %q", keys)
	}
	if got := f.read(t, "creds/rw-requested"); got["version"] != 3 || got["auth_token"] != resets[keys[0]]["auth_token"] {
		t.Errorf("version %v is served, want 3 with the hook's value", got["version"])
	}
}
