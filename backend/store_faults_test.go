package backend

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/helper/salt"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// damages are what can become of a stored entry; nil means that it is gone.
var damages = map[string]struct {
	of func(stored string) []byte
	// says is part of what everybody is told who needs the entry.
	says string
}{
	"truncated":        {func(stored string) []byte { return []byte(stored[:len(stored)/2]) }, "restore it from a backup"},
	"garbage":          {func(string) []byte { return []byte("\x00\xff\x13{") }, "restore it from a backup"},
	"emptied":          {func(string) []byte { return []byte{} }, "restore it from a backup"},
	"nothing but null": {func(string) []byte { return []byte("null") }, "schema version 0"},
	"of a later schema": {func(stored string) []byte {
		return []byte(strings.Replace(stored, fmt.Sprintf(`"schema":%d`, tokenSchema), fmt.Sprintf(`"schema":%d`, tokenSchema+1), 1))
	}, "install the plugin version that wrote it"},
	"of a later schema and another shape": {func(string) []byte {
		return fmt.Appendf(nil, `{"schema":%d,"type":{"name":"scoped"},"provider":["impact"],"history":{}}`, tokenSchema+1)
	}, "install the plugin version that wrote it"},
	"missing": {nil, "does not exist"},
}

// sick is a fixture with a healthy account acme with its token acme-rw, and another account ill with its token ill-ro.
type sick struct {
	*fixture
	log *logBuffer
	// secrets are the values that are stored.
	secrets []string
	// told is what the engine has told but for credentials.
	told strings.Builder
}

// logBuffer is a log that several goroutines write.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const hookSecret = "c2lnbnMgcmVxdWVzdHMgdG8gdGhlIHJlc2V0IGhvb2s="

func newSick(t *testing.T) *sick {
	t.Helper()
	log := &logBuffer{}
	s := &sick{log: log, fixture: newFixture(t, func(c *logical.BackendConfig) {
		c.Logger = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Debug})
	})}
	healthy := s.withImpact(t, nil)
	credentials, err := s.provider.ImpactCredentials(t.Context(), "agency")
	if err != nil {
		t.Fatal(err)
	}
	ill := credentials.ReadOnly
	s.write(t, "config/ill", map[string]any{
		"provider": "impact", "account_type": "agency", "base_url": s.server.ImpactURL, "contact_email": "ads@acme.example",
		"reset_hook_url": "http://127.0.0.1:1", "reset_hook_secret": "whsec_" + hookSecret,
	})
	s.write(t, "tokens/ill-ro", map[string]any{
		"account": "ill", "type": "legacy_read_only", "account_sid": ill.AccountSID, "auth_token": ill.AuthToken,
	})
	s.secrets = []string{healthy.AuthToken, ill.AuthToken, hookSecret}
	return s
}

// damage replaces what is stored, as if another node had.
func (s *sick) damage(t *testing.T, key string, of func(string) []byte) (stored []byte) {
	t.Helper()
	entry, err := s.storage.Get(t.Context(), key)
	if err != nil || entry == nil {
		t.Fatalf("reading %s: %v", key, err)
	}
	if of == nil {
		err = s.storage.Delete(t.Context(), key)
	} else {
		stored = of(string(entry.Value))
		err = s.storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: stored})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.InvalidateKey(t.Context(), key)
	return stored
}

// ask returns what a request is answered, and "ok" where it is no error.
func (s *sick) ask(t *testing.T, operation logical.Operation, path string, data map[string]any) string {
	t.Helper()
	response, err := s.handle(t, operation, path, data)
	answer := "ok"
	switch {
	case err != nil:
		answer = err.Error()
	case response == nil && operation == logical.ReadOperation:
		answer = "it does not exist"
	case response != nil && response.IsError():
		answer = response.Error().Error()
	}
	fmt.Fprintln(&s.told, answer)
	if response != nil {
		fmt.Fprintln(&s.told, response.Warnings)
		if !strings.HasPrefix(path, "creds/") {
			fmt.Fprintln(&s.told, response.Data)
		}
	}
	return answer
}

// wants asks and compares.
func (s *sick) wants(t *testing.T, operation logical.Operation, path string, data map[string]any, says string) {
	t.Helper()
	if answer := s.ask(t, operation, path, data); !strings.Contains(answer, says) {
		t.Errorf("%s %s: got %q, want %q", operation, path, answer, says)
	}
}

// works checks that the healthy token is served, rotated and shown, and what is said beside it in each overview.
func (s *sick) works(t *testing.T) (warnings, list, accounts string) {
	t.Helper()
	s.wants(t, logical.ReadOperation, "creds/acme-rw", nil, "ok")
	s.wants(t, logical.UpdateOperation, "tokens/acme-rw/verify", nil, "ok")
	version := s.read(t, "creds/acme-rw")["version"].(int)
	fresh := s.resetReadWrite(t).AuthToken
	s.secrets = append(s.secrets, fresh)
	s.wants(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh}, "ok")
	if got := s.read(t, "creds/acme-rw"); got["version"] != version+1 || got["auth_token"] != fresh {
		t.Errorf("the healthy token has version %v, want %d with its new value", got["version"], version+1)
	}
	status, err := s.handle(t, logical.ReadOperation, "status", nil)
	if err != nil || status.Data["tokens"].(map[string]any)["acme-rw"] == nil {
		t.Fatalf("status does not show the healthy token: %v", err)
	}
	overview := map[string]string{}
	for _, path := range []string{"tokens/", "config/"} {
		response, err := s.handle(t, logical.ListOperation, path, nil)
		if err != nil || response.IsError() {
			t.Fatalf("listing %s: %v, %v", path, response, err)
		}
		overview[path] = fmt.Sprint(response.Data)
	}
	if !strings.Contains(overview["tokens/"], "acme-rw") || !strings.Contains(overview["config/"], "acme") {
		t.Errorf("the lists do not show what is healthy: %v", overview)
	}
	metrics, err := s.handle(t, logical.ReadOperation, "metrics", nil)
	if err != nil || !strings.Contains(string(metrics.Data[logical.HTTPRawBody].([]byte)), `adtokens_token_version{token="acme-rw"`) {
		t.Errorf("the metrics do not show the healthy token: %v", err)
	}
	warnings = strings.Join(status.Warnings, "\n")
	fmt.Fprintln(&s.told, warnings, overview)
	return warnings, overview["tokens/"], overview["config/"]
}

// unchanged checks that nobody has written the damaged entry, and that nobody was told a secret.
func (s *sick) unchanged(t *testing.T, key string, want []byte) {
	t.Helper()
	entry, err := s.storage.Get(t.Context(), key)
	if err != nil || (entry == nil) != (want == nil) || entry != nil && !bytes.Equal(entry.Value, want) {
		t.Errorf("%s was changed: there %t, error %v", key, entry != nil, err)
	}
	for i, secret := range s.secrets {
		if strings.Contains(s.told.String(), secret) || strings.Contains(s.log.String(), secret) {
			t.Errorf("secret %d was told or logged", i)
		}
	}
}

// doAllWork does what the scheduler would have done for the token.
func (s *sick) doAllWork(t *testing.T, name string) {
	t.Helper()
	for _, kind := range []schedule.Kind{schedule.Rotate, schedule.Verify} {
		s.doWork(t.Context(), schedule.Job{Token: name, Account: "ill", Kind: kind})
	}
}

func TestADamagedTokenIsNamedAndHarmsNoOther(t *testing.T) {
	t.Parallel()
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSick(t)
			stored := s.damage(t, "token/ill-ro", damage.of)
			for _, path := range []string{"creds/ill-ro", "access-token/ill-ro", "tokens/ill-ro", "tokens/ill-ro/rotate", "tokens/ill-ro/history"} {
				s.wants(t, logical.ReadOperation, path, nil, damage.says)
			}
			s.wants(t, logical.UpdateOperation, "tokens/ill-ro/rotate", nil, damage.says)
			s.wants(t, logical.UpdateOperation, "tokens/ill-ro/rotate", map[string]any{"auth_token": "fresh-value"}, damage.says)
			s.wants(t, logical.UpdateOperation, "tokens/ill-ro/verify", nil, damage.says)
			s.doAllWork(t, "ill-ro")
			warnings, list, _ := s.works(t)
			if damage.of == nil {
				s.unchanged(t, "token/ill-ro", stored)
				s.wants(t, logical.DeleteOperation, "config/ill", nil, "ok") // nothing uses it any more
				return
			}
			s.wants(t, logical.UpdateOperation, "tokens/ill-ro", map[string]any{"account": "ill", "type": "scoped"}, damage.says)
			s.wants(t, logical.DeleteOperation, "tokens/ill-ro", nil, "force=true")
			s.wants(t, logical.DeleteOperation, "config/ill", nil, damage.says)
			for where, text := range map[string]string{"status": warnings, "the list": list} {
				if !strings.Contains(text, "token/ill-ro in storage cannot be used") || !strings.Contains(text, damage.says) {
					t.Errorf("%s says %q, want the damaged token named with %q", where, text, damage.says)
				}
			}
			if _, err := s.tokens.Load(t.Context(), s.storage, "ill-ro"); retryAfter(err) != retryDamaged {
				t.Errorf("its work is tried again after %s, want %s", retryAfter(err), retryDamaged)
			}
			s.unchanged(t, "token/ill-ro", stored)
			s.wants(t, logical.DeleteOperation, "tokens/ill-ro", map[string]any{"force": true}, "ok")
			s.wants(t, logical.ReadOperation, "tokens/ill-ro", nil, "does not exist")
			s.wants(t, logical.DeleteOperation, "config/ill", nil, "ok")
		})
	}
}

func TestADamagedAccountIsNamedAndHarmsNoOther(t *testing.T) {
	t.Parallel()
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSick(t)
			stored := s.damage(t, "config/ill", damage.of)
			for _, path := range []string{"creds/ill-ro", "access-token/ill-ro", "tokens/ill-ro/rotate", "config/ill"} {
				s.wants(t, logical.ReadOperation, path, nil, damage.says)
			}
			// What is known of the token needs no account.
			s.wants(t, logical.ReadOperation, "tokens/ill-ro", nil, "ok")
			s.wants(t, logical.ReadOperation, "tokens/ill-ro/history", nil, "ok")
			s.wants(t, logical.UpdateOperation, "tokens/ill-ro", map[string]any{"refresh_ttl": "30s"}, damage.says)
			s.wants(t, logical.UpdateOperation, "tokens/ill-ro/rotate", nil, damage.says)
			s.wants(t, logical.UpdateOperation, "tokens/ill-ro/rotate", map[string]any{"auth_token": "fresh-value"}, damage.says)
			s.wants(t, logical.UpdateOperation, "tokens/ill-ro/verify", nil, damage.says)
			s.wants(t, logical.UpdateOperation, "tokens/new", map[string]any{"account": "ill", "type": "scoped"}, damage.says)
			s.wants(t, logical.DeleteOperation, "config/ill", nil, "delete those first")
			if damage.of != nil {
				s.wants(t, logical.UpdateOperation, "config/ill", map[string]any{"provider": "impact", "account_type": "brand"}, damage.says)
			}
			s.doAllWork(t, "ill-ro")
			warnings, _, accounts := s.works(t)
			if !strings.Contains(warnings, "ill") || !strings.Contains(warnings, damage.says) {
				t.Errorf("status warns %q, want the account named with %q", warnings, damage.says)
			}
			if damage.of != nil && !strings.Contains(accounts, "config/ill in storage cannot be used") {
				t.Errorf("the list says %q, want the damaged account named", accounts)
			}
			if _, err := s.account(t.Context(), s.storage, "ill"); retryAfter(err) != retryDamaged {
				t.Errorf("the work of its tokens is tried again after %s, want %s", retryAfter(err), retryDamaged)
			}
			s.unchanged(t, "config/ill", stored)
			s.wants(t, logical.DeleteOperation, "tokens/ill-ro", nil, "ok")
			s.wants(t, logical.DeleteOperation, "config/ill", nil, "ok")
		})
	}
}

func TestATokenOfADamagedAccountIsForgottenByForceAlone(t *testing.T) {
	t.Parallel()
	s := newSick(t)
	token, unlock, err := s.lockToken(t.Context(), s.storage, "ill-ro")
	if err != nil {
		t.Fatal(err)
	}
	token.RetireAfter(*token.Current, testkit.Epoch.AddDate(1, 0, 0))
	err = s.saveToken(t.Context(), s.storage, token)
	unlock()
	if err != nil {
		t.Fatal(err)
	}
	s.damage(t, "config/ill", damages["truncated"].of)
	s.wants(t, logical.DeleteOperation, "tokens/ill-ro", nil, "force=true")
	s.wants(t, logical.ReadOperation, "tokens/ill-ro", nil, "ok")
	s.wants(t, logical.DeleteOperation, "tokens/ill-ro", map[string]any{"force": true}, "ok")
	s.wants(t, logical.ReadOperation, "tokens/ill-ro", nil, "does not exist")
}

func TestALostSaltCostsNothingButTheComparisonOfFingerprints(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(string) []byte{
		"missing": nil, "emptied": damages["emptied"].of, "truncated": damages["truncated"].of, "garbage": damages["garbage"].of,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSick(t)
			before := s.read(t, "creds/acme-rw")["fingerprint"]
			s.damage(t, salt.DefaultLocation, damage)
			s.tokens.Invalidate("acme-rw")
			if after := s.read(t, "creds/acme-rw")["fingerprint"]; after != before {
				t.Errorf("the current version's fingerprint is %v, and was %v", after, before)
			}
			s.works(t)
			s.works(t)
			anew := damage == nil || name == "emptied"
			if got := strings.Count(s.log.String(), "the salt of the fingerprints was missing"); (got == 1) != anew || got > 1 {
				t.Errorf("it was logged %d times that the salt was made anew", got)
			}
		})
	}
	if log := newSick(t).log.String(); strings.Contains(log, "salt") {
		t.Errorf("the first salt of a mount is no loss: %s", log)
	}
}

func TestALostIndexEntryKeepsNothingFromWorking(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(string) []byte{"missing": nil, "garbage": damages["garbage"].of} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSick(t)
			s.damage(t, "account-token/acme/acme-rw", damage)
			s.works(t)
			s.wants(t, logical.DeleteOperation, "tokens/acme-rw", nil, "ok")
			s.wants(t, logical.DeleteOperation, "config/acme", nil, "ok")
		})
	}
}

func TestALostIndexEntryIsPutBack(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]struct {
		operation logical.Operation
		data      map[string]any
		says      string
	}{
		"the account is to be deleted":    {logical.DeleteOperation, nil, "is used by 1 token(s)"},
		"its address is to be changed":    {logical.UpdateOperation, map[string]any{"base_url": "https://api.example.com"}, "cannot change while token"},
		"something else is to be changed": {logical.UpdateOperation, map[string]any{"request_timeout": 20}, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSick(t)
			s.damage(t, "account-token/acme/acme-rw", nil)
			s.read(t, "creds/acme-rw") // as the background does after a start
			s.wants(t, request.operation, "config/acme", request.data, request.says)
			names, err := s.storage.List(t.Context(), "account-token/acme/")
			if err != nil || !slices.Equal(names, []string{"acme-rw"}) {
				t.Errorf("the index has %q, error %v", names, err)
			}
		})
	}
}

func TestATokenThatCouldNotBeReadAtTheStartIsPlannedLater(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, map[string]any{"rotation_period": "1h"})
	planned := func(what string, want int) {
		t.Helper()
		if jobs, _ := f.scheduler.Size(); jobs != want {
			t.Errorf("%s %d jobs are planned, want %d", what, jobs, want)
		}
	}
	f.scheduler.Forget("acme-rw") // as after a start
	f.tokens.Invalidate("acme-rw")
	f.storage.FailGet(true)
	f.planToken("acme-rw")
	planned("while the token cannot be read", 1)
	retry := schedule.Job{Token: "acme-rw", Kind: schedule.Rotate}
	f.scheduler.Forget("acme-rw") // as when the job is due
	f.doWork(t.Context(), retry)
	planned("after the next look at it", 1)
	f.storage.FailGet(false)
	f.scheduler.Forget("acme-rw")
	f.doWork(t.Context(), retry)
	planned("once it can be read", 2) // the rotation and the verification
}

func TestStorageThatFailsGivesErrorsAndTakesNothingAway(t *testing.T) {
	t.Parallel()
	s := newSick(t)
	s.read(t, "creds/acme-rw")
	s.tokens.Invalidate("ill-ro")
	s.storage.FailGet(true)
	s.storage.FailList(true)
	s.wants(t, logical.ReadOperation, "creds/acme-rw", nil, "ok") // from memory
	for _, path := range []string{"creds/ill-ro", "tokens/ill-ro"} {
		s.wants(t, logical.ReadOperation, path, nil, "reading token/ill-ro from storage")
	}
	s.wants(t, logical.ReadOperation, "status", nil, "listing token/ in storage")
	s.wants(t, logical.ReadOperation, "metrics", nil, "listing token/ in storage")
	s.wants(t, logical.ListOperation, "tokens/", nil, "listing token/ in storage")
	s.wants(t, logical.UpdateOperation, "tokens/new", map[string]any{"account": "acme", "type": "scoped"}, "reading token/new from storage")
	s.wants(t, logical.DeleteOperation, "tokens/acme-rw", nil, "reading token/acme-rw from storage")
	s.wants(t, logical.DeleteOperation, "config/acme", nil, `listing the tokens of account "acme"`)
	if _, err := s.tokens.Load(t.Context(), s.storage, "ill-ro"); retryAfter(err) != retryStorage {
		t.Errorf("work is tried again after %s, want %s", retryAfter(err), retryStorage)
	}
	s.storage.FailGet(false)
	s.storage.FailList(false)
	s.works(t)
	s.wants(t, logical.ReadOperation, "creds/ill-ro", nil, "ok")
}

func TestReadsDoNotWaitForASlowWrite(t *testing.T) {
	t.Parallel()
	s := newSick(t)
	old := s.read(t, "creds/acme-rw")
	fresh := s.resetReadWrite(t).AuthToken
	waiting, goOn := s.storage.HoldPuts()
	rotated := make(chan error)
	go func() {
		_, err := s.handle(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh})
		rotated <- err
	}()
	<-waiting
	if got := s.read(t, "creds/acme-rw"); got["version"] != 1 || got["auth_token"] != old["auth_token"] {
		t.Errorf("during the write, version %v is served", got["version"])
	}
	s.wants(t, logical.ReadOperation, "status", nil, "ok")
	goOn()
	if err := <-rotated; err != nil {
		t.Fatal(err)
	}
	if got := s.read(t, "creds/acme-rw"); got["version"] != 2 || got["auth_token"] != fresh {
		t.Errorf("after the write, version %v is served", got["version"])
	}
}

// startHook starts a reset hook, which calls asked before it does anything, and returns it with the fields that name it.
func (f *fixture) startHook(t *testing.T, asked func()) (*simulator.Hook, map[string]any) {
	t.Helper()
	hook, err := simulator.NewHook(f.provider, "whsec_"+hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked()
		hook.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return hook, map[string]any{"reset_hook_url": server.URL, "reset_hook_secret": "whsec_" + hookSecret}
}

func TestNothingIsAskedOfAHookBeforeTheIntentIsStored(t *testing.T) {
	t.Parallel()
	s := newSick(t)
	hook, fields := s.startHook(t, func() {})
	s.write(t, "config/acme", fields)
	s.storage.FailPut(true)
	s.wants(t, logical.UpdateOperation, "tokens/acme-rw/rotate", nil, "it is not known whether the rotation was started, because the storage write ended with an error: writing token/acme-rw to storage")
	if keys, _ := hook.Asked(); len(keys) != 0 {
		t.Errorf("the hook was asked %d times", len(keys))
	}
	s.storage.FailPut(false)
	s.wants(t, logical.UpdateOperation, "tokens/acme-rw/rotate", nil, "ok")
}

func TestAValueThatCouldNotBeStoredIsAskedForAgain(t *testing.T) {
	t.Parallel()
	s := newSick(t)
	requests := 0
	hook, fields := s.startHook(t, func() {
		requests++
		s.storage.FailPut(requests == 1)
	})
	s.write(t, "config/acme", fields)
	s.wants(t, logical.UpdateOperation, "tokens/acme-rw/rotate", nil, "ok")
	keys, resets := hook.Asked()
	if len(keys) != 2 || len(resets) != 1 || keys[0] != keys[1] {
		t.Errorf("the hook was asked %d times for %d resets, want twice for one", len(keys), len(resets))
	}
	if got := s.read(t, "creds/acme-rw"); got["version"] != 2 || got["auth_token"] != resets[keys[0]]["auth_token"] {
		t.Errorf("version %v is served, want 2 with the hook's value", got["version"])
	}
}
