package backend

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// newStillFixture is one whose scheduler does nothing by itself, because its clock stands still.
func newStillFixture(t *testing.T, configure ...func(*logical.BackendConfig)) *fixture {
	t.Helper()
	f := newFixture(t, configure...)
	f.scheduler.Now = f.now
	return f
}

// late has a write of the token or account fail although it is on its way.
func (f *fixture) late(t *testing.T, operation logical.Operation, path string, data map[string]any, locking bool) {
	t.Helper()
	prefix := tokenPrefix
	if strings.HasPrefix(path, configPrefix) {
		prefix = configPrefix
	}
	f.storage.Late.Begin(prefix, locking)
	response, err := f.handle(t, operation, path, data)
	if err == nil || !strings.Contains(err.Error(), "it is not known whether") || strings.Contains(err.Error(), "nothing was published") {
		t.Errorf("%s %s: got %v, error %v; want an error that says what is not known", operation, path, response, err)
	}
	if !locking {
		f.storage.Late.End()
	}
}

// look does the look that is planned.
func (f *fixture) look(t *testing.T, j schedule.Job) {
	t.Helper()
	if j.Token != "" {
		// A look passes by a token that somebody works on, as the scheduler may at this moment.
		unlock, err := f.tokenLocks.Lock(t.Context(), j.Token)
		if err != nil {
			t.Fatal(err)
		}
		unlock()
	}
	j.Kind = schedule.Look
	f.doWork(t.Context(), j)
}

func (f *fixture) wantVersion(t *testing.T, when string, want int) {
	t.Helper()
	if got := f.read(t, "creds/acme-rw")["version"]; got != want {
		t.Errorf("%s, version %v is served, want %d", when, got, want)
	}
}

var ofToken = schedule.Job{Token: "acme-rw"}

func TestStore_AWriteThatArrivesLateIsFoundByALook(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	f.late(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken}, false)
	gets := f.storage.Gets.Load()
	f.wantVersion(t, "while nothing is known", 1)
	if got := f.storage.Gets.Load(); got != gets {
		t.Errorf("the read has asked storage %d times", got-gets)
	}
	f.look(t, ofToken)
	f.wantVersion(t, "after a look that came too early", 1)
	f.clock.Advance(10 * time.Second)
	f.storage.Late.Arrive(t)
	if at := f.tokens.Doubtful("acme-rw"); at.IsZero() {
		t.Error("no further look is planned")
	}
	f.look(t, ofToken)
	f.wantVersion(t, "after the look", 2)
	if at := f.tokens.Doubtful("acme-rw"); !at.IsZero() {
		t.Errorf("another look is planned for %s", at)
	}
	if got := f.read(t, "tokens/acme-rw"); got["version"] != 2 || got["health"] != "ok" {
		t.Errorf("version %v has the health %v, want 2, ok", got["version"], got["health"])
	}
}

// As Vault does it by default: a read of a key waits for the write of that key.
func TestStore_ReadsDoNotWaitForAWriteWhoseOutcomeIsNotKnown(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	f.late(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken}, true)
	f.wantVersion(t, "while storage hangs", 1)
	f.read(t, "tokens/acme-rw")
	f.read(t, "status")
	ctx, cancel := context.WithCancel(t.Context())
	looked := make(chan struct{})
	before := f.storage.Gets.Load()
	go func() {
		defer close(looked)
		f.doWork(ctx, schedule.Job{Token: "acme-rw", Kind: schedule.Look})
	}()
	eventually(t, "the look to have begun", func() bool { return f.storage.Gets.Load() > before })
	f.wantVersion(t, "while the look hangs", 1)
	cancel()
	<-looked
	f.storage.Late.End()
	f.storage.Late.Arrive(t)
	f.look(t, ofToken)
	f.wantVersion(t, "after the write has arrived", 2)
}

func TestStore_TheTruthIsFoundByWhoeverReadsIt(t *testing.T) {
	t.Parallel()
	for name, find := range map[string]func(*testing.T, *fixture, string){
		"a verification by hand": func(t *testing.T, f *fixture, _ string) {
			t.Helper()
			if got := f.write(t, "tokens/acme-rw/verify", nil).Data; got["version"] != 2 || got["outcome"] != "accepted" {
				t.Errorf("version %v is %v, want 2, accepted", got["version"], got["outcome"])
			}
		},
		"a routine verification": func(t *testing.T, f *fixture, _ string) {
			t.Helper()
			f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Verify})
		},
		"the person who tries again": func(t *testing.T, f *fixture, value string) {
			t.Helper()
			response, err := f.handle(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": value})
			if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), "version 2") {
				t.Errorf("got %v, error %v; want to be told that it is version 2 already", response, err)
			}
		},
		"a change of the policy": func(t *testing.T, f *fixture, _ string) {
			t.Helper()
			f.write(t, "tokens/acme-rw", map[string]any{"refresh_ttl": "30s"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &listener{}
			f := newStillFixture(t, func(c *logical.BackendConfig) { c.EventsSender = l })
			f.withImpact(t, nil)
			fresh := f.resetReadWrite(t)
			f.late(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken}, false)
			f.storage.Late.Arrive(t)
			find(t, f, fresh.AuthToken)
			f.wantVersion(t, "after "+name, 2)
			if got := f.read(t, "tokens/acme-rw")["health"]; got != "ok" {
				t.Errorf("the health is %v, want ok", got)
			}
			for _, kind := range l.kinds() {
				if kind == "adtokens/verify-fail" {
					t.Error("an alarm was raised about the version that is gone")
				}
			}
		})
	}
}

func TestStore_AWriteThatNeverArrivesIsGivenUpInTheEnd(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	f.late(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken}, false)
	f.storage.Late.GetLost()
	looks := 0
	for at := f.tokens.Doubtful("acme-rw"); !at.IsZero(); at = f.tokens.Doubtful("acme-rw") {
		f.clock.Advance(at.Sub(f.now()))
		f.look(t, ofToken)
		if looks++; looks > 20 {
			t.Fatal("it is looked at for ever")
		}
	}
	if looks < 5 {
		t.Errorf("it was looked at %d times", looks)
	}
	f.wantVersion(t, "in the end", 1)
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	f.wantVersion(t, "after the second try", 2)
}

func TestStore_ADeletionThatArrivesLate(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, nil)
	f.late(t, logical.DeleteOperation, "tokens/acme-rw", nil, false)
	f.wantVersion(t, "while nothing is known", 1)
	f.look(t, ofToken)
	f.wantVersion(t, "before the deletion has arrived", 1)
	if jobs, _ := f.scheduler.Size(); jobs < 2 {
		t.Errorf("%d jobs are planned, want the token's work and a look", jobs)
	}
	f.storage.Late.Arrive(t)
	f.look(t, ofToken)
	if _, err := f.handle(t, logical.ReadOperation, "creds/acme-rw", nil); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("after the deletion has arrived, a read gives %v", err)
	}
	if jobs, _ := f.scheduler.Size(); jobs != 0 {
		t.Errorf("%d jobs are planned for a token that is gone", jobs)
	}
}

func TestStore_AFirstWriteThatArrivesLate(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.write(t, "config/acme", map[string]any{"provider": "impact", "account_type": "agency", "base_url": f.server.ImpactURL})
	f.late(t, logical.UpdateOperation, "tokens/new", map[string]any{"account": "acme", "type": "scoped", "rotation_period": "24h"}, false)
	if response, err := f.handle(t, logical.ReadOperation, "tokens/new", nil); response != nil || err != nil {
		t.Errorf("before it has arrived, a read gives %v, %v", response, err)
	}
	for what, data := range map[string]map[string]any{"deleted": nil, "given another address": {"base_url": "https://api.example.com"}} {
		var operation logical.Operation = logical.UpdateOperation
		if data == nil {
			operation = logical.DeleteOperation
		}
		if response, err := f.handle(t, operation, "config/acme", data); err == nil && !response.IsError() {
			t.Errorf("the account can be %s", what)
		}
	}
	f.look(t, schedule.Job{Token: "new"})
	f.storage.Late.Arrive(t)
	f.look(t, schedule.Job{Token: "new"})
	if got := f.read(t, "tokens/new"); got["account"] != "acme" {
		t.Errorf("got %v", got)
	}
	if at := f.tokens.Doubtful("new"); !at.IsZero() {
		t.Error("it is still looked at")
	}
}

func TestStore_AnAccountWhoseWriteArrivesLate(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, map[string]any{"rotation_period": "24h"})
	_, hook := f.startHook(t, func() {})
	f.late(t, logical.UpdateOperation, "config/acme", hook, false)
	if got := f.read(t, "config/acme")["reset_hook_url"]; got != "" {
		t.Errorf("before it has arrived, the account has the hook %v", got)
	}
	f.look(t, schedule.Job{Account: "acme"})
	f.storage.Late.Arrive(t)
	f.look(t, schedule.Job{Account: "acme"})
	if got := f.read(t, "config/acme")["reset_hook_url"]; got != hook["reset_hook_url"] {
		t.Errorf("after it has arrived, the account has the hook %v", got)
	}
	if automatic := f.read(t, "tokens/acme-rw/rotate")["automatic"]; automatic != true {
		t.Error("the token does not rotate by itself")
	}
	if at := f.accounts.Doubtful("acme"); !at.IsZero() {
		t.Error("it is still looked at")
	}
}

// A later write does not end the doubt about an earlier one, which may arrive after it.
func TestStore_AWriteThatOvertakesALaterOneIsFound(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	f.late(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken}, false)
	f.write(t, "tokens/acme-rw", map[string]any{"refresh_ttl": "30s"})
	f.storage.Late.Arrive(t)
	f.look(t, ofToken)
	f.wantVersion(t, "after the look", 2)
}

func TestStore_ReadOnlyStorageLeavesNoDoubt(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, nil)
	jobs, _ := f.scheduler.Size()
	f.storage.ReadOnly.Store(true)
	if _, err := f.handle(t, logical.UpdateOperation, "tokens/acme-rw", map[string]any{"refresh_ttl": "30s"}); !errors.Is(err, logical.ErrReadOnly) {
		t.Errorf("got error %v", err)
	}
	if now, _ := f.scheduler.Size(); now != jobs || !f.tokens.Doubtful("acme-rw").IsZero() {
		t.Errorf("%d jobs are planned, want %d and no doubt", now, jobs)
	}
}

// A writer changes its own copy, and what readers have made of the cached entry stays.
func TestStore_ALoadLeavesTheCachedEntryAsItIs(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, nil)
	f.read(t, "creds/acme-rw")
	before := f.tokens.Peek("acme-rw")
	load := func() *token {
		loaded, unlock, err := f.lockToken(t.Context(), f.storage, "acme-rw")
		if err != nil {
			t.Fatal(err)
		}
		unlock()
		return loaded
	}
	if load() == before || f.tokens.Peek("acme-rw") != before {
		t.Error("the writer shares its copy with readers, or has taken the cached entry away")
	}
	f.tokens.Invalidate("acme-rw")
	if loaded := load(); f.tokens.Peek("acme-rw") == nil || f.tokens.Peek("acme-rw") == loaded {
		t.Error("the cache has nothing, or the writer's copy")
	}
}
