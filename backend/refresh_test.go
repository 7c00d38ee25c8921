package backend

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// stored is the token as it is in storage.
func (f *fixture) stored(t testing.TB, name string) *token {
	t.Helper()
	stored, err := f.tokens.Load(t.Context(), f.storage, name)
	if err != nil || stored == nil {
		t.Fatalf("loading %s: %v", name, err)
	}
	return stored
}

func TestRefresh_IsStoredWithinTheVersion(t *testing.T) {
	t.Parallel()
	for _, previous := range []string{"dies", "lives"} {
		t.Run(previous, func(t *testing.T) {
			t.Parallel()
			f, p := newFixture(t), newRollingPlatform(t)
			f.rolling(t, p, previous, "")
			before := f.read(t, "tokens/app")
			wantFields(t, "after the hand-in", before, map[string]any{"version": 1, "refreshes": 0, "health": "ok"})
			wantFields(t, "access-token/", f.read(t, "access-token/app"), map[string]any{"access_token": "at-2-of-the-simulated-platform", "version": 1})
			f.read(t, "access-token/app")
			after := f.read(t, "tokens/app")
			wantFields(t, "after a refresh", after, map[string]any{"version": 1, "refreshes": 1})
			if after["refreshed_at"] == nil || after["fingerprint"] == before["fingerprint"] || p.count() != 2 {
				t.Errorf("got %v after %d refreshes", after, p.count())
			}
			entry := f.read(t, "tokens/app/history")["versions"].([]any)[0].(map[string]any)
			wantFields(t, "history", entry, map[string]any{"refreshes": 1, "fingerprint": after["fingerprint"], "refreshed_at": after["refreshed_at"]})
			if got := f.stored(t, "app"); got.Current.Credential["refresh_token"] != "rt-2-of-the-simulated-platform" || got.Refreshing != nil {
				t.Error("the new refresh token is not stored, or its intent is left")
			}
		})
	}
}

func TestRefresh_IntentIsStoredBeforeAValueMayDie(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	p.during = func() {
		if got := f.stored(t, "app"); got.Refreshing == nil || got.Refreshing.Tries != 1 {
			t.Error("the provider is asked before the intent is stored")
		}
	}
	f.read(t, "access-token/app")
}

func TestRefresh_ManyReadersCauseOne(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	before := p.count()
	var readers sync.WaitGroup
	for range 500 {
		readers.Go(func() {
			response, err := f.HandleRequest(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: "access-token/app", Storage: f.storage})
			if err != nil || response.IsError() {
				t.Errorf("got %v, error %v", response, err)
			}
		})
	}
	readers.Wait()
	if got := p.count() - before; got != 1 {
		t.Errorf("%d refreshes, want 1", got)
	}
}

// lose has the platform's answers lost from now on.
func (p *rollingPlatform) lose(answers ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.then = answers
}

func TestRefresh_LostAnswerIsTriedAgainUntilRefused(t *testing.T) {
	t.Parallel()
	l := &listener{}
	f, p := newFixture(t, func(c *logical.BackendConfig) { c.EventsSender = l }), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	p.lose("drop")
	asked := p.requests()
	if response, err := f.handle(t, logical.ReadOperation, "access-token/app", nil); err == nil && !response.IsError() {
		t.Error("got an access token whose refresh was lost")
	}
	// Readers do not add to the tries.
	for range 10 {
		_, err := f.handle(t, logical.ReadOperation, "access-token/app", nil)
		if coded, ok := errors.AsType[logical.HTTPCodedError](err); !ok || coded.Code() != http.StatusBadGateway {
			t.Errorf("got %v, want HTTP 502", err)
		}
	}
	if got := p.requests() - asked; got != 1 {
		t.Errorf("%d requests, want the one whose answer was lost", got)
	}
	f.clock.Advance(2 * time.Second)
	f.refreshIfDue(t)
	got := f.read(t, "tokens/app")
	wantFields(t, "after the refusal", got, map[string]any{"health": "rejected", "next_refresh": nil})
	if text := got["last_error"].(string); !strings.Contains(text, "answer to a refresh was lost") || !strings.Contains(text, "new consent is needed") {
		t.Errorf("last_error %q", text)
	}
	if failed := l.count(eventVerifyFail); failed != 1 {
		t.Errorf("%d events of the death, want 1", failed)
	}
	if response, err := f.handle(t, logical.ReadOperation, "access-token/app", nil); err != nil || !response.IsError() {
		t.Errorf("got %v, error %v; want a refusal", response, err)
	}
}

func TestRefresh_LostAnswerHealsWithinTheReuseWindow(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	p.uses = 2
	f.rolling(t, p, "dies", "")
	p.lose("drop")
	if _, err := f.handle(t, logical.ReadOperation, "access-token/app", nil); err == nil {
		t.Error("got an access token whose refresh was lost")
	}
	if text := f.read(t, "tokens/app")["last_error"].(string); !strings.Contains(text, "the answer to a refresh was lost at") {
		t.Errorf("last_error %q", text)
	}
	f.clock.Advance(2 * time.Second)
	f.refreshIfDue(t)
	if got := f.read(t, "tokens/app"); got["refreshes"] != 1 || got["last_error"] != "" || got["health"] != "ok" {
		t.Errorf("got %v", got)
	}
	f.read(t, "access-token/app")
}

func TestRefresh_ThreeTriesInSixSeconds(t *testing.T) {
	t.Parallel()
	now := time.Now()
	r := &rotation.Record{Current: &rotation.Version{Number: 1, Credential: provider.Values{"refresh_token": "x"}}}
	f := &rotation.Refresher{
		Now: func() time.Time { return now }, PreviousDies: true, Record: r,
		Save:        func(context.Context) error { return nil },
		Fingerprint: func(context.Context, provider.Values) (string, error) { return "f", nil },
	}
	lostAt, tries := now, 0
	for r.Refreshing == nil || r.Refreshing.NextTry.Sub(lostAt) <= 6*time.Second {
		if r.Refreshing != nil {
			now = r.Refreshing.NextTry
			tries++
		}
		if err := f.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !f.End(rotation.Ending{Err: errors.New("no answer")}) {
			t.Fatal("the lost answer is not noted")
		}
	}
	if tries < 1 || tries > 3 {
		t.Errorf("%d tries in the first six seconds, want at most 3", tries)
	}
}

func TestRefresh_CrashBetweenAnswerAndStorage(t *testing.T) {
	t.Parallel()
	for name, uses := range map[string]int{"the old value dies at once": 1, "the old value may be used again": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := newFixture(t), newRollingPlatform(t)
			p.uses = uses
			f.rolling(t, p, "dies", "")
			// What a killed process leaves: the intent, while the platform has answered.
			stored := f.stored(t, "app")
			stored.Refreshing = &rotation.Refreshing{Since: testkit.Epoch, Tries: 1, NextTry: testkit.Epoch}
			if err := f.tokens.Put(t.Context(), f.storage, "app", stored.tokenEntry); err != nil {
				t.Fatal(err)
			}
			p.mu.Lock()
			value := stored.Current.Credential["refresh_token"]
			if p.live[value]--; p.live[value] == 0 {
				delete(p.live, value)
			}
			p.mu.Unlock()
			f.clock.Advance(time.Second)
			f.refreshIfDue(t)
			got := f.read(t, "tokens/app")
			if uses == 1 {
				if text := got["last_error"].(string); got["health"] != "rejected" || !strings.Contains(text, "new consent is needed") {
					t.Errorf("health %v, last_error %q", got["health"], text)
				}
				return
			}
			if got["health"] != "ok" || got["refreshes"] != 1 || got["last_error"] != "" {
				t.Errorf("got %v", got)
			}
			f.read(t, "access-token/app")
		})
	}
}

func TestRefresh_RefusedWritesLoseNothing(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	p.during = func() { f.storage.Refusals.Store(3) }
	if got := f.read(t, "access-token/app"); got["access_token"] == nil {
		t.Error("got no access token")
	}
	p.during = nil
	if got := f.stored(t, "app").Current; got.Credential["refresh_token"] != "rt-2-of-the-simulated-platform" {
		t.Error("the new value is not stored after refused writes")
	}
}

func TestRefresh_NothingIsAskedWhereTheIntentCannotBeStored(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	asked := p.requests()
	f.storage.FailPut(true)
	if _, err := f.handle(t, logical.ReadOperation, "access-token/app", nil); err == nil {
		t.Error("got an access token without a stored intent")
	}
	f.storage.FailPut(false)
	// The write may still arrive, and put back a value that a refresh has ended.
	_, err := f.handle(t, logical.ReadOperation, "access-token/app", nil)
	if coded, ok := errors.AsType[logical.HTTPCodedError](err); !ok || coded.Code() != http.StatusServiceUnavailable {
		t.Errorf("got %v, want HTTP 503", err)
	}
	if p.requests() != asked {
		t.Error("the provider was asked")
	}
	f.clock.Advance(16 * time.Minute)
	f.read(t, "access-token/app")
}

func TestRefresh_StandbysForward(t *testing.T) {
	t.Parallel()
	system := &logical.StaticSystemView{ReplicationStateVal: consts.ReplicationPerformanceStandby}
	f, p := newFixture(t, func(c *logical.BackendConfig) { c.System = system }), newRollingPlatform(t)
	system.ReplicationStateVal = 0
	f.rolling(t, p, "dies", "")
	system.ReplicationStateVal = consts.ReplicationPerformanceStandby
	asked := p.requests()
	if _, err := f.handle(t, logical.ReadOperation, "access-token/app", nil); err != logical.ErrReadOnly { //nolint:errorlint // identity is the point
		t.Errorf("got %v, want logical.ErrReadOnly itself", err)
	}
	if p.requests() != asked {
		t.Error("a standby refreshes")
	}
}

func TestRefresh_CredsOfASingleUseTypeAreRefused(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	response, err := f.handle(t, logical.ReadOperation, "creds/app", nil)
	if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), "access-token/app") {
		t.Errorf("got %v, error %v", response, err)
	}
	g, q := newFixture(t), newRollingPlatform(t)
	g.rolling(t, q, "lives", "")
	if got := g.read(t, "creds/app"); got["refresh_token"] != "rt-1-of-the-simulated-platform" {
		t.Error("creds/ does not give the newest value")
	}
}

func TestRefresh_ARevokedValueIsNotTriedByEveryReader(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	p.mu.Lock()
	p.live = map[string]int{}
	p.mu.Unlock()
	asked := p.requests()
	read := func() {
		t.Helper()
		response, err := f.handle(t, logical.ReadOperation, "access-token/app", nil)
		if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), "no access token could be minted") {
			t.Errorf("got %v, error %v", response, err)
		}
	}
	for range 5 {
		read()
	}
	if got := p.requests() - asked; got != 1 {
		t.Errorf("five readers have caused %d requests", got)
	}
	wantFields(t, "after the refusal", f.read(t, "tokens/app"), map[string]any{"health": "rejected"})
	f.clock.Advance(refusalShown)
	read()
	if got := p.requests() - asked; got != 2 {
		t.Errorf("a later reader has caused %d requests", got-1)
	}
	f.write(t, "tokens/app/rotate", map[string]any{"refresh_token": p.issue("rt-of-a-new-consent")})
	f.read(t, "access-token/app")
}

func TestRefresh_VerificationKeepsWhatComesBack(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "")
	for n := 1; n <= 3; n++ {
		if got := f.write(t, "tokens/app/verify", nil); got.Data["outcome"] != "accepted" {
			t.Fatalf("got %v", got.Data)
		}
		if got := f.read(t, "tokens/app"); got["refreshes"] != n || got["version"] != 1 {
			t.Errorf("got %v refreshes of version %v, want %d", got["refreshes"], got["version"], n)
		}
	}
}

// refreshIfDue does what the scheduler does when the time has come by the engine's clock.
func (f *fixture) refreshIfDue(t *testing.T) {
	t.Helper()
	if err := f.refreshRoutinely(t.Context(), schedule.Job{Token: "app", Account: "rolling", Kind: schedule.Refresh}); err != nil {
		t.Fatal(err)
	}
}

func TestKeepAlive_RefreshesByItself(t *testing.T) {
	t.Parallel()
	f, p := newFixture(t), newRollingPlatform(t)
	f.rolling(t, p, "dies", "30d")
	published := f.stored(t, "app").Current.PublishedAt
	if got, want := f.read(t, "tokens/app")["next_refresh"], timestamp(published.Add(30*24*time.Hour)); got != want {
		t.Errorf("next_refresh is %v, want %v", got, want)
	}
	f.clock.Advance(30 * 24 * time.Hour)
	f.refreshIfDue(t)
	if got := f.read(t, "tokens/app")["refreshes"]; got != 1 {
		t.Errorf("%v refreshes, want 1", got)
	}
	if got, want := f.read(t, "tokens/app")["next_refresh"], timestamp(published.Add(60*24*time.Hour)); got != want {
		t.Errorf("next_refresh is %v, want %v", got, want)
	}
	// Readers get the access token that came with it.
	asked := p.requests()
	f.read(t, "access-token/app")
	if p.requests() != asked {
		t.Error("a reader causes another refresh")
	}
}

func TestKeepAlive_BySchedule(t *testing.T) {
	t.Parallel()
	for _, previous := range []string{"dies", "lives"} {
		t.Run(previous, func(t *testing.T) {
			t.Parallel()
			f, p := newFixture(t), newRollingPlatform(t)
			f.now = time.Now
			f.rolling(t, p, previous, "1s")
			f.await(t, "the engine has refreshed three times", func() bool { return f.read(t, "tokens/app")["refreshes"].(int) >= 3 })
			if got := f.read(t, "tokens/app"); got["version"] != 1 || got["health"] != "ok" {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestKeepAlive_LeavesARefusedValueAlone(t *testing.T) {
	t.Parallel()
	for _, previous := range []string{"dies", "lives"} {
		t.Run(previous, func(t *testing.T) {
			t.Parallel()
			f, p := newFixture(t), newRollingPlatform(t)
			f.rolling(t, p, previous, "24h")
			p.mu.Lock()
			clear(p.live)
			p.mu.Unlock()
			f.clock.Advance(24 * time.Hour)
			f.refreshIfDue(t)
			if got := f.read(t, "tokens/app"); got["health"] != "rejected" || got["next_refresh"] != nil || strings.Contains(got["last_error"].(string), "lost") {
				t.Errorf("got %v", got)
			}
		})
	}
}

// count is how many events of the kind there were.
func (l *listener) count(kind string) int {
	return len(slices.DeleteFunc(l.kinds(), func(other string) bool { return other != kind }))
}
