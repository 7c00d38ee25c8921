package backend

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// keyAds is a platform whose API replaces keys. The test says how it answers.
type keyAds struct {
	mu   sync.Mutex
	made int
	live map[string]bool
	// beside says that keys live until they are ended.
	beside bool
	// answer is how it answers to the request for a new key; nil as it should. act makes the key.
	answer func(w http.ResponseWriter, act func() string)
	// asked has a value for each request for a new key, and ended the keys that were ended, with those that asked for it.
	asked chan struct{}
	ended []string
	// refusesEnd has it refuse to end a key.
	refusesEnd bool
}

// act makes a key, as the API and the console do.
func (p *keyAds) act() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made++
	key := fmt.Sprintf("value-of-key-%d", p.made)
	if !p.beside {
		clear(p.live)
	}
	p.live[key] = true
	return key
}

func (p *keyAds) isLive(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live[key]
}

func (p *keyAds) answers(how func(w http.ResponseWriter, act func() string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = how
}

func (p *keyAds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if !p.isLive(r.Header.Get("X-Key")) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.Method {
	case http.MethodGet:
		fmt.Fprint(w, `{"id":1}`)
	case http.MethodDelete:
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.refusesEnd {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		old := r.Header.Get("X-Old")
		delete(p.live, old)
		p.ended = append(p.ended, old+" by "+r.Header.Get("X-Key"))
		w.WriteHeader(http.StatusNoContent)
	default:
		p.mu.Lock()
		answer := p.answer
		p.mu.Unlock()
		p.asked <- struct{}{}
		if answer == nil {
			answer = func(w http.ResponseWriter, act func() string) { fmt.Fprintf(w, `{"key":%q}`, act()) }
		}
		answer(w, p.act)
	}
}

// How a platform answers to the request for a new key.
func drops(w http.ResponseWriter, act func() string) {
	act()
	panic(http.ErrAbortHandler)
}

func breaks(w http.ResponseWriter, _ func() string) { w.WriteHeader(http.StatusBadGateway) }

func breaksAfterwards(w http.ResponseWriter, act func() string) {
	act()
	w.WriteHeader(http.StatusInternalServerError)
}

func limits(w http.ResponseWriter, _ func() string) {
	w.Header().Set("Retry-After", "120")
	w.WriteHeader(http.StatusTooManyRequests)
}

func forbids(w http.ResponseWriter, _ func() string) { w.WriteHeader(http.StatusForbidden) }

const keyAdsDefinition = `
format: 1
name: key_ads
title: Key Ads
sources: [{title: Guide, url: https://docs.keys.example/, read: 2026-11-26}]
account:
  endpoints: {base_url: {default: https://api.keys.example, description: Address of the API.}}
token_types:
  api_key:
    title: API key
    description: A key of the account.
    reset_semantics: immediate
    fields: {api_key: {secret: true, description: The key.}}
    verify:
      request: {url: '{+account.base_url}/me', headers: {X-Key: '{credential.api_key}'}}
      outcomes: [{when: status == 200, outcome: accepted, detail: it is accepted}, {when: status == 401, outcome: rejected, detail: it is refused}]
    rotate:
      request: {method: POST, url: '{+account.base_url}/keys', headers: {X-Key: '{credential.api_key}'}}
      outcomes: [{when: status == 200, outcome: replaced}, {when: status == 403, outcome: refused, detail: the key may not replace itself}]
      credential: {api_key: body.key}
      lost_answer: person
    revoke:
      request: {method: DELETE, url: '{+account.base_url}/keys', headers: {X-Key: '{current.api_key}', X-Old: '{credential.api_key}'}}
      outcomes: [{when: 'status in [204, 404]', outcome: done}, {when: status == 403, outcome: refused, detail: the key may not end others}]
    runbook: {steps: [Press Reset.], previous: Ends with the reset.}
`

// withKeyAds defines the platform, whose document is changed by pairs of texts, and imports its first key as the token key.
func (f *fixture) withKeyAds(t *testing.T, policy map[string]any, replaced ...string) *keyAds {
	t.Helper()
	document := strings.NewReplacer(replaced...).Replace(keyAdsDefinition)
	p := &keyAds{live: map[string]bool{}, asked: make(chan struct{}, 100), beside: strings.Contains(document, "overlapping")}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	f.write(t, "providers/key_ads", map[string]any{"definition": document})
	f.write(t, "config/keys", map[string]any{"provider": "key_ads", "base_url": server.URL})
	token := map[string]any{"account": "keys", "type": "api_key", "api_key": p.act()}
	maps.Copy(token, policy)
	f.write(t, "tokens/key", token)
	return p
}

var beside = []string{"immediate", "overlapping"}

// work does what is due for the token key after some time.
func (f *fixture) work(t *testing.T, after time.Duration) {
	t.Helper()
	f.clock.Advance(after)
	f.doWork(t.Context(), schedule.Job{Token: "key", Account: "keys", Kind: schedule.Rotate})
}

// refusal wants a rotation by hand to fail, and returns what is said.
func (f *fixture) refusal(t *testing.T) string {
	t.Helper()
	response, err := f.handle(t, logical.UpdateOperation, "tokens/key/rotate", nil)
	if err == nil {
		err = response.Error()
	}
	if err == nil {
		t.Fatalf("the rotation succeeds: %v", response.Data)
	}
	if strings.Contains(err.Error(), "value-of-key") {
		t.Errorf("a secret is told: %s", err)
	}
	return err.Error()
}

func (f *fixture) wantKey(t *testing.T, version int, key string) {
	t.Helper()
	if got := f.read(t, "creds/key"); got["version"] != version || got["api_key"] != key {
		t.Errorf("apps get version %v, and %s is the right key: %t; want version %d", got["version"], key, got["api_key"] == key, version)
	}
}

func TestRenew_ByHand(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.withKeyAds(t, nil)
	runbook := f.readRunbookAt(t, "ads/", "key")
	if text := inWords(runbook["runbook"].(string)); runbook["automatic"] != true ||
		!strings.Contains(text, "`vault write -f ads/tokens/key/rotate` has the engine get a new value by the provider's API") ||
		strings.Contains(text, "The engine ends a value") {
		t.Errorf("automatic %v, the runbook:\n%s", runbook["automatic"], text)
	}
	got := f.write(t, "tokens/key/rotate", map[string]any{"reason": "monthly"}).Data
	if got["version"] != 2 || got["verification"] != "accepted" || got["previous_credential"] != "rejected by provider" || got["rotation_state"] != "idle" {
		t.Errorf("got %v", got)
	}
	f.wantKey(t, 2, "value-of-key-2")
	versions := f.read(t, "tokens/key/history")["versions"].([]any)
	first, second := versions[0].(map[string]any), versions[1].(map[string]any)
	if second["source"] != "api" || second["reason"] != "monthly" || first["retired_how"] != "rejected by provider" {
		t.Errorf("the history says %v", versions)
	}
	f.wantMetric(t, `adtokens_rotations_total{outcome="accepted",source="api",trigger="by_hand"} 1.0`)
	if n := len(p.asked); n != 1 {
		t.Errorf("the API was asked %d times", n)
	}
}

func (f *fixture) wantMetric(t *testing.T, line string) {
	t.Helper()
	raw, err := f.handle(t, logical.ReadOperation, "metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(raw.Data[logical.HTTPRawBody].([]byte)); !strings.Contains(text, line) {
		t.Errorf("want %s, got\n%s", line, text)
	}
}

func TestRenew_BySchedule(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	p := f.withKeyAds(t, map[string]any{"rotation_period": "24h"})
	for n := range 3 {
		f.work(t, 24*time.Hour+time.Minute)
		f.wantKey(t, n+2, fmt.Sprintf("value-of-key-%d", n+2))
		f.work(t, time.Hour)
	}
	if n := len(p.asked); n != 3 {
		t.Errorf("in three days the API was asked %d times", n)
	}
	f.wantMetric(t, `adtokens_rotations_total{outcome="accepted",source="api",trigger="schedule"} 3.0`)
}

func TestRenew_LostAnswers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter, func() string)
		dead   bool
	}{
		"dropped":                   {drops, true},
		"broken after it has acted": {breaksAfterwards, true},
		"no value":                  {func(w http.ResponseWriter, act func() string) { act(); fmt.Fprint(w, `{}`) }, true},
		"broken":                    {breaks, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newStillFixture(t)
			p := f.withKeyAds(t, map[string]any{"rotation_period": "1h"})
			p.answers(tc.answer)
			f.work(t, 2*time.Hour)
			health, says := "ok", "version 1 still works"
			if tc.dead {
				health, says = "rejected", "version 1 does not work any more"
			}
			for range 5 { // the policy does not ask again, nor does a restart
				f.work(t, 2*time.Hour)
				f.tokens.Clear()
			}
			got := f.read(t, "tokens/key")
			wantSaid(t, "last_error", fmt.Sprint(got["last_error"]), "is lost (", says, "hand the", "starts no other reset")
			if got["rotation_state"] != "idle" || got["health"] != health || got["overdue"] != true || len(p.asked) != 1 {
				t.Errorf("%s, health %v, overdue %v, asked %d times", got["rotation_state"], got["health"], got["overdue"], len(p.asked))
			}
			f.wantMetric(t, `adtokens_rotations_total{outcome="failed",source="api",trigger="schedule"} 1.0`)
			f.write(t, "tokens/key/rotate", map[string]any{"api_key": p.act()})
			p.answers(nil)
			f.work(t, 2*time.Hour)
			if got := f.read(t, "tokens/key"); got["version"] != 3 || got["last_error"] != "" || len(p.asked) != 2 {
				t.Errorf("after a hand-in the schedule does not go on: version %v, %v", got["version"], got["last_error"])
			}
		})
	}
}

func TestRenew_LostAnswerByHand(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.withKeyAds(t, nil)
	p.answers(breaks)
	wantSaid(t, "the answer", f.refusal(t), "nothing was changed in Vault", "HTTP 502", "version 1 still works", "start the rotation again")
	p.answers(drops)
	wantSaid(t, "the answer", f.refusal(t), "version 1 does not work any more, so it was replaced: reset the token at the provider and hand the new value in")
	p.answers(nil)
	wantSaid(t, "the answer", f.refusal(t), "HTTP 401", "As before, a new value is missing", "hand the value in")
	f.write(t, "tokens/key/rotate", map[string]any{"api_key": p.act()})
	f.write(t, "tokens/key/rotate", nil)
	f.wantKey(t, 3, "value-of-key-4")
}

func TestRenew_RepeatsWhereThatIsHarmless(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	p := f.withKeyAds(t, map[string]any{"rotation_period": "1h"}, "immediate", "overlapping", "lost_answer: person", "lost_answer: repeat")
	p.answers(drops)
	f.work(t, 2*time.Hour)
	if got := f.read(t, "tokens/key"); got["rotation_state"] != "requested" || got["version"] != 1 {
		t.Fatalf("version %v, %v", got["version"], got["rotation_state"])
	}
	p.answers(nil)
	f.work(t, time.Minute)
	f.wantKey(t, 2, "value-of-key-3")
	versions := f.read(t, "tokens/key/history")["versions"].([]any)
	wantSaid(t, "the history", fmt.Sprint(versions[1].(map[string]any)["note"]), "an earlier answer of the provider's API was lost", "may be live at the provider")
}

func TestRenew_ARateLimitIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	p := f.withKeyAds(t, map[string]any{"rotation_period": "1h"})
	p.answers(limits)
	f.work(t, 2*time.Hour)
	f.tokens.Clear()
	f.work(t, time.Minute) // too early
	got := f.read(t, "tokens/key")
	if got["rotation_state"] != "requested" || len(p.asked) != 1 || !strings.Contains(fmt.Sprint(got["last_error"]), "wait 2m") {
		t.Errorf("%v, asked %d times, %v", got["rotation_state"], len(p.asked), got["last_error"])
	}
	// Nothing was asked of anybody, as far as a person is concerned.
	if warnings := f.removeTokenKey(t); strings.Contains(warnings, "was asked") {
		t.Errorf("warned of %s", warnings)
	}
}

// removeTokenKey deletes the token, and returns the warnings.
func (f *fixture) removeTokenKey(t *testing.T) string {
	t.Helper()
	response, err := f.handle(t, logical.DeleteOperation, "tokens/key", nil)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(response.Warnings, "\n")
}

func TestRenew_ARefusalIsNoLostAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.withKeyAds(t, nil)
	p.answers(forbids)
	if said := f.refusal(t); said != "nothing was changed: the key may not replace itself" {
		t.Errorf("told %s", said)
	}
	p.answers(nil)
	f.write(t, "tokens/key/rotate", nil)
	f.wantKey(t, 2, "value-of-key-2")
}

// heldAPI has the API do what it does, and answer when release is called.
func heldAPI(t *testing.T, p *keyAds, answer func(http.ResponseWriter, func() string)) (release func()) {
	t.Helper()
	held := make(chan struct{})
	release = sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	p.answers(func(w http.ResponseWriter, act func() string) {
		key := ""
		if answer == nil {
			key = act()
		}
		<-held
		if answer != nil {
			answer(w, act)
			return
		}
		fmt.Fprintf(w, `{"key":%q}`, key)
	})
	return release
}

func TestRenew_AHandInWhileTheAPIIsAtWork(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		// value is what the person has: the console's next key, or none that works.
		works  bool
		answer func(http.ResponseWriter, func() string)
		// key is the one that apps get in the end, and warns what the person is told.
		key   string
		warns []string
	}{
		"whose value does not work":            {works: false, key: "value-of-key-2", warns: []string{"the provider refuses this credential"}},
		"whose value works":                    {works: true, key: "value-of-key-3", warns: []string{"that the provider's API gave", "was never published, and is dropped"}},
		"whose value works, after no answer":   {works: true, key: "value-of-key-2", answer: breaks, warns: []string{"the provider's API was asked to replace this token", "may have done so"}},
		"whose value works, after a limit":     {works: true, key: "value-of-key-2", answer: limits},
		"whose value does not work, a refusal": {works: false, key: "value-of-key-1", answer: forbids, warns: []string{"the provider refuses this credential"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			p := f.withKeyAds(t, nil)
			release := heldAPI(t, p, tc.answer)
			waiter := f.goRotate(t, "key", nil)
			<-p.asked
			value := "unknown"
			if tc.works {
				value = p.act()
			}
			person := f.goRotate(t, "key", map[string]any{"api_key": value})
			eventually(t, "the person to wait", func() bool { return f.contenders("key") == 2 })
			release()
			answer := <-person
			wantSaid(t, "the person", said(answer.response, answer.err), tc.warns...)
			if len(tc.warns) == 0 && len(answer.response.Warnings) > 0 {
				t.Errorf("the person is warned of %v", answer.response.Warnings)
			}
			<-waiter
			eventually(t, "the rotation to end", func() bool { return f.state(t, "key") == rotation.StateIdle })
			if got := f.read(t, "creds/key"); got["api_key"] != tc.key {
				t.Errorf("apps get version %v, which is not %s", got["version"], tc.key)
			}
			if n := len(p.asked); n != 0 {
				t.Errorf("the API was asked %d times more", n)
			}
		})
	}
}

func TestRenew_DeletionWhileTheAPIIsAtWork(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter, func() string)
		warns  string
	}{
		"with a value": {nil, "the value that the provider's API gave at"},
		"without":      {breaks, "the provider's API was asked for a new value at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			p := f.withKeyAds(t, nil)
			release := heldAPI(t, p, tc.answer)
			waiter := f.goRotate(t, "key", nil)
			<-p.asked
			deleted := make(chan string)
			go func() {
				response, err := f.HandleRequest(t.Context(), &logical.Request{Operation: logical.DeleteOperation, Path: "tokens/key", Storage: f.storage})
				deleted <- said(response, err)
			}()
			eventually(t, "the deletion to wait", func() bool { return f.contenders("key") == 2 })
			release()
			wantSaid(t, "the answer", <-deleted, tc.warns)
			answer := <-waiter
			wantSaid(t, "the waiter", said(answer.response, answer.err), "was deleted while this rotation")
		})
	}
}

func TestRenew_ClosingTheMountWaitsForTheAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.withKeyAds(t, nil)
	release := heldAPI(t, p, nil)
	waiter := f.goRotate(t, "key", nil)
	<-p.asked
	closed := make(chan struct{})
	go func() { f.Cleanup(t.Context()); close(closed) }()
	<-f.backend.work.Done()
	release()
	<-closed
	stored, err := f.tokens.Load(t.Context(), f.storage, "key")
	if err != nil || stored.State() != rotation.StatePending || stored.Pending.Credential["api_key"] != "value-of-key-2" {
		t.Errorf("the value of the API is not stored: %s, error %v", stored.State(), err)
	}
	_ = waiter // nobody answers any more
}

func TestRenew_StorageThatFailsOnceDoesNotCostTheValue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.withKeyAds(t, nil)
	p.answers(func(w http.ResponseWriter, act func() string) {
		f.storage.Refusals.Store(1)
		fmt.Fprintf(w, `{"key":%q}`, act())
	})
	f.write(t, "tokens/key/rotate", nil)
	f.wantKey(t, 2, "value-of-key-2")
}

func TestRenew_BesideTheOldValue(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	p := f.withKeyAds(t, map[string]any{"rotation_grace_period": "1h", "rotation_period": "24h"}, beside...)
	if text := inWords(f.readRunbookAt(t, "ads/", "key")["runbook"].(string)); !strings.Contains(text, "The engine ends a value that it has replaced itself, after rotation_grace_period (1h)") {
		t.Errorf("the runbook does not say who ends the old value:\n%s", text)
	}
	f.work(t, 25*time.Hour)
	f.wantKey(t, 2, "value-of-key-2")
	got := f.read(t, "tokens/key")
	if got["rotation_state"] != "retiring" || len(got["retiring"].([]any)) != 1 || !p.isLive("value-of-key-1") {
		t.Fatalf("%v, retiring %v", got["rotation_state"], got["retiring"])
	}
	p.refusesEnd = true
	f.work(t, time.Hour)
	wantSaid(t, "last_error", fmt.Sprint(f.read(t, "tokens/key")["last_error"]), "version 1 could not be retired: the key may not end others")
	p.refusesEnd = false
	f.work(t, time.Hour)
	if len(p.ended) != 1 || p.ended[0] != "value-of-key-1 by value-of-key-2" {
		t.Errorf("ended: %v", p.ended)
	}
	got = f.read(t, "tokens/key")
	versions := f.read(t, "tokens/key/history")["versions"].([]any)
	if got["rotation_state"] != "idle" || got["last_error"] != "" || got["health"] != "ok" || versions[0].(map[string]any)["retired_how"] != "retired by the engine" {
		t.Errorf("%v, %q, the history says %v", got["rotation_state"], got["last_error"], versions[0])
	}
}

func TestRenew_TheEnginesEndOfAnOldValueStaysInTheHistory(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.withKeyAds(t, map[string]any{"rotation_grace_period": "0"}, beside...)
	f.write(t, "tokens/key/rotate", nil)
	eventually(t, "the old key to be ended", func() bool { return f.state(t, "key") == rotation.StateIdle })
	versions := f.read(t, "tokens/key/history")["versions"].([]any)
	if how := versions[0].(map[string]any)["retired_how"]; how != "retired by the engine" || p.isLive("value-of-key-1") {
		t.Errorf("the history says %v", how)
	}
}

func TestRenew_DeletionInTheGraceEndsTheOldValue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.withKeyAds(t, map[string]any{"rotation_grace_period": "1h"}, beside...)
	got := f.write(t, "tokens/key/rotate", nil)
	if !strings.HasPrefix(fmt.Sprint(got.Data["previous_credential"]), "retires at ") {
		t.Errorf("the old value: %v", got.Data["previous_credential"])
	}
	warnings := f.removeTokenKey(t)
	if p.isLive("value-of-key-1") || !p.isLive("value-of-key-2") || !strings.Contains(warnings, "version 2") {
		t.Errorf("live keys: %v; told %s", p.live, warnings)
	}
}

func TestRenew_ADefinitionReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	start, end := strings.Index(keyAdsDefinition, "    rotate:"), strings.Index(keyAdsDefinition, "    revoke:")
	withoutRotate := keyAdsDefinition[:start] + keyAdsDefinition[end:]
	elsewhere := strings.NewReplacer(
		"endpoints: {", "endpoints: {key_url: {default: 'https://keys.example', description: Address of keys.}, ",
		"{method: POST, url: '{+account.base_url}/keys'", "{method: POST, url: '{+account.key_url}/keys'",
	).Replace(keyAdsDefinition)
	for name, tc := range map[string]struct {
		document string
		state    string
		says     []string
	}{
		"without an API that replaces keys":          {withoutRotate, "idle", []string{"This provider has no API any more"}},
		"with an address that the account lacks yet": {elsewhere, "requested", []string{"was not called", "key_url"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newStillFixture(t)
			p := f.withKeyAds(t, map[string]any{"rotation_period": "1h"})
			p.answers(limits)
			f.work(t, 2*time.Hour)
			f.write(t, "providers/key_ads", map[string]any{"definition": tc.document})
			p.answers(nil)
			f.work(t, time.Hour)
			got := f.read(t, "tokens/key")
			wantSaid(t, "last_error", fmt.Sprint(got["last_error"]), tc.says...)
			if got["rotation_state"] != tc.state || strings.Contains(fmt.Sprint(got["last_error"]), "is lost") {
				t.Errorf("%v: %v", got["rotation_state"], got["last_error"])
			}
			f.write(t, "providers/key_ads", map[string]any{"definition": keyAdsDefinition})
			f.work(t, 24*time.Hour)
			f.wantKey(t, 2, "value-of-key-2")
		})
	}
}

func TestRenew_AnAnswerThatDoesNotComeInTimeIsLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.withKeyAds(t, nil)
	f.write(t, "config/keys", map[string]any{"request_timeout": 1})
	heldAPI(t, p, nil)
	wantSaid(t, "the answer", f.refusal(t), "did not answer in time", "version 1 does not work any more")
}
