package backend

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// adopting is an engine with the token app, whose old keys end when they are adopted, and what was told.
type adopting struct {
	*fixture
	told *listener
}

// newAdopting has version 1 read by the given readers, and then replaced.
func newAdopting(t *testing.T, policy map[string]any, readers ...Reader) *adopting {
	t.Helper()
	a := &adopting{told: &listener{}}
	a.fixture = newQuietFixture(t, func(c *logical.BackendConfig) { c.EventsSender = a.told })
	a.withGoogle(t)
	data := map[string]any{
		"account": "google", "type": "service_account_key", "service_account_key": a.serviceAccount(t, "app"),
		"rotation_grace_period": "1h", "retire_after": "adopted", "reader_window": "24h", "refresh_ttl": "60s",
	}
	maps.Copy(data, policy)
	a.write(t, "tokens/app", data)
	for _, r := range readers {
		a.readAs(t, "creds/app", r)
	}
	a.clock.Advance(10 * time.Minute) // the start of the process counts for nothing any more
	a.next(t)
	return a
}

// next replaces the current version.
func (a *adopting) next(t *testing.T) {
	t.Helper()
	token, unlock, err := a.lockToken(t.Context(), a.storage, "app")
	must(t, err)
	defer unlock()
	account, err := a.account(t.Context(), a.storage, "google")
	must(t, err)
	intent, err := newRotation(rotation.SourceIAM, "a test")
	must(t, err)
	version, m := token.Number(), a.machine(a.storage, account, token)
	must(t, m.Start(t.Context(), &token.Record, intent))
	for range 10 {
		must(t, m.Advance(t.Context(), &token.Record))
		if token.Number() > version {
			return
		}
		a.clock.Advance(time.Second)
	}
	t.Fatalf("version %d is not published: %s", version+1, token.LastError)
}

// work does what is due, and returns when there is more to do.
func (a *adopting) work(t *testing.T) time.Time {
	t.Helper()
	must(t, a.rotateRoutinely(t.Context(), "app"))
	token := a.stored(t, "app")
	next, _ := token.nextWork(a.now(), rotation.SourceIAM, a.retirementTime(token))
	return next
}

// after is work after a while.
func (a *adopting) after(t *testing.T, d time.Duration) (next time.Time) {
	t.Helper()
	a.clock.Advance(d)
	return a.work(t)
}

func (a *adopting) wantWaiting(t *testing.T, why string, versions ...int) {
	t.Helper()
	var waiting []int
	for _, old := range a.stored(t, "app").Retiring {
		waiting = append(waiting, old.Version)
	}
	if !slices.Equal(waiting, versions) {
		t.Errorf("%s: versions %v wait, want %v", why, waiting, versions)
	}
	if n := a.keys(t); n != len(versions)+1 {
		t.Errorf("%s: there are %d keys, want %d", why, n, len(versions)+1)
	}
}

func (a *adopting) events(kind string) (found []map[string]any) {
	a.told.mu.Lock()
	defer a.told.mu.Unlock()
	for _, e := range a.told.events {
		if e.kind == kind {
			found = append(found, e.metadata)
		}
	}
	return found
}

func TestAdopted_EndsAsSoonAsEverybodyHasRead(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, nil, named("one"), named("two"))
	if next := a.work(t); !next.Equal(a.now().Add(50*time.Minute).Truncate(time.Second)) && next.Before(a.now().Add(50*time.Minute)) {
		t.Errorf("it is looked at again at %s", next.Sub(a.now()))
	}
	a.readAs(t, "creds/app", named("one"))
	a.after(t, 2*time.Minute)
	a.wantWaiting(t, "one of two has read", 1)
	a.readAs(t, "creds/app", named("two"))
	a.after(t, 0)
	a.wantWaiting(t, "both have read")
	history := a.read(t, "tokens/app/history")["versions"].([]any)[0].(map[string]any)
	if history["retired_how"] != rotation.RetiredByEngine || history["note"] != nil {
		t.Errorf("the history says %v", history)
	}
	if waits := a.events(eventRetirementWaits); len(waits) != 0 {
		t.Errorf("it was told %d times that it waits", len(waits))
	}
}

func TestAdopted_WaitsTwiceTheRefreshTTL(t *testing.T) {
	t.Parallel()
	for name, readers := range map[string][]Reader{"nobody has read": nil, "everybody has the new one": {named("one")}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdopting(t, nil, readers...)
			published := a.stored(t, "app").Current.PublishedAt
			for _, r := range readers {
				a.readAs(t, "creds/app", r)
			}
			if next := a.work(t); !next.Equal(published.Add(2 * time.Minute)) {
				t.Errorf("it is looked at %s after the publication", next.Sub(published))
			}
			a.after(t, published.Add(2*time.Minute-time.Second).Sub(a.now()))
			a.wantWaiting(t, "a second before", 1)
			a.after(t, time.Second)
			a.wantWaiting(t, "then")
		})
	}
}

func TestAdopted_ForgetsWhoIsSilentForTheWindow(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, map[string]any{"reader_window": "2h"}, named("one"))
	next := a.after(t, 65*time.Minute) // the grace period is over
	if want := testkit.Epoch.Add(2*time.Hour + time.Second); !next.Equal(want) {
		t.Errorf("it is looked at again at %s, want %s", next, want)
	}
	a.wantWaiting(t, "within the window", 1)
	a.after(t, next.Sub(a.now())-time.Second)
	a.wantWaiting(t, "at its end", 1)
	a.after(t, time.Second)
	a.wantWaiting(t, "after it")
}

func TestAdopted_TellsOnceThatItWaits(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, nil, named("one"), named("two"))
	read := func() string {
		return fmt.Sprint(responseWarnings(t, a.fixture, "tokens/app"), responseWarnings(t, a.fixture, "status"))
	}
	a.after(t, 58*time.Minute)
	if text := read(); strings.Contains(text, "waits") || len(a.events(eventRetirementWaits)) != 0 {
		t.Errorf("it is told before the grace is over: %s", text)
	}
	a.after(t, 2*time.Minute)
	a.after(t, time.Minute)
	waits := a.events(eventRetirementWaits)
	if len(waits) != 1 || waits[0]["behind"] != "2" || waits[0]["version"] != "1" || waits[0]["name"] != "app" {
		t.Errorf("told were %v", waits)
	}
	wantSaid(t, "the warning", read(), "version 1 was to end at", "2 readers of the last 24h have not read a newer one", "vault read <mount>/tokens/app/readers",
		"app: version 1 was to end at")
	f := a.fixture
	f.wantMetric(t, `adtokens_token_retirement_waits{token="app",type="service_account_key"} 1`)
	a.readAs(t, "creds/app", named("two"))
	wantSaid(t, "the warning", read(), "1 reader of the last 24h has not read")
	a.readAs(t, "creds/app", named("one"))
	a.after(t, 0)
	a.wantWaiting(t, "both have read")
	if text := read(); strings.Contains(text, "version 1") {
		t.Errorf("it is still told: %s", text)
	}
}

func TestAdopted_WaitsForNobodyBeforeAllHadTheTimeToRead(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, map[string]any{"rotation_grace_period": "0"}, named("one"))
	published := a.stored(t, "app").Current.PublishedAt
	if next := a.work(t); !next.Equal(published.Add(2 * time.Minute)) {
		t.Errorf("it is looked at %s after the publication", next.Sub(published))
	}
	a.after(t, published.Add(2*time.Minute-time.Second).Sub(a.now()))
	if waits, warned := a.events(eventRetirementWaits), responseWarnings(t, a.fixture, "tokens/app"); len(waits) != 0 || len(warned) != 0 {
		t.Errorf("a second before, told were %v and %q", waits, warned)
	}
	a.after(t, time.Second)
	if waits := a.events(eventRetirementWaits); len(waits) != 1 || waits[0]["behind"] != "1" {
		t.Errorf("then, told were %v", waits)
	}
	wantSaid(t, "the warning", fmt.Sprint(responseWarnings(t, a.fixture, "tokens/app")), "and waits: 1 reader of the last 24h has not read")
}

func responseWarnings(t *testing.T, f *fixture, path string) []string {
	t.Helper()
	response, err := f.handle(t, logical.ReadOperation, path, nil)
	must(t, err)
	return response.Warnings
}

func TestAdopted_BackToGraceEndsWithTheGrace(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, nil, named("one"))
	a.after(t, 30*time.Minute)
	a.write(t, "tokens/app", map[string]any{"retire_after": "grace"})
	a.after(t, 20*time.Minute)
	a.wantWaiting(t, "within the grace", 1)
	wantSaid(t, "the warning", fmt.Sprint(responseWarnings(t, a.fixture, "tokens/app")), "version 1 ends at", "1 reader of the last 24h has not read", "retire_after=adopted")
	a.after(t, 10*time.Minute)
	a.wantWaiting(t, "after it")
	ended := a.events(eventRetire)
	if len(ended) != 1 || ended[0]["behind"] != "1" {
		t.Errorf("told were %v", ended)
	}
	history := a.read(t, "tokens/app/history")["versions"].([]any)[0].(map[string]any)
	wantSaid(t, "the history", fmt.Sprint(history["note"]), "1 reader of the last 24h had not read a newer version")
	wantSaid(t, "the warning afterwards", fmt.Sprint(responseWarnings(t, a.fixture, "tokens/app")), "version 1 was ended at", "1 reader of the last 24h has not read")
	a.readAs(t, "creds/app", named("one"))
	if text := fmt.Sprint(responseWarnings(t, a.fixture, "tokens/app")); strings.Contains(text, "version 1") {
		t.Errorf("it is still told: %s", text)
	}
}

func TestAdopted_HoldsWhatWaitsByGraceToo(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, map[string]any{"retire_after": "grace"}, named("one"))
	a.write(t, "tokens/app", map[string]any{"retire_after": "adopted"})
	a.after(t, 2*time.Hour)
	a.wantWaiting(t, "nobody has read", 1)
	a.readAs(t, "creds/app", named("one"))
	a.after(t, 0)
	a.wantWaiting(t, "everybody has read")
}

func TestAdopted_ARestartWaitsForNewReads(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, nil, named("one"))
	a.readAs(t, "creds/app", named("one"))
	a.storeReadersNow(t)
	a.clock.Advance(5 * time.Minute) // it was due, and the process died
	a.fixture = a.restarted(t)
	a.work(t)
	a.wantWaiting(t, "right after the start", 1)
	a.after(t, 2*time.Minute-time.Second)
	a.wantWaiting(t, "within twice refresh_ttl", 1)
	a.after(t, time.Second)
	a.wantWaiting(t, "after it")
}

func TestAdopted_AReaderBehindOutlivesARestart(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, nil, named("one"), named("two"))
	a.readAs(t, "creds/app", named("one"))
	a.storeReadersNow(t)
	a.fixture = a.restarted(t)
	a.after(t, 2*time.Hour)
	a.wantWaiting(t, "one of two has read", 1)
	// Its last read may have been later than the stored one, by a quarter of the window.
	a.after(t, 24*time.Hour)
	a.wantWaiting(t, "a window later", 1)
	a.after(t, 6*time.Hour)
	a.wantWaiting(t, "and a quarter of it")
}

func TestAdopted_EachVersionWaitsForItsOwnReaders(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, nil, named("one"), named("two"))
	a.readAs(t, "creds/app", named("one"))
	a.clock.Advance(3 * time.Minute)
	a.next(t)
	a.readAs(t, "creds/app", named("two"))
	a.after(t, 3*time.Minute)
	a.wantWaiting(t, "one reads version 2, and nobody version 1", 2)
	a.readAs(t, "creds/app", named("one"))
	a.after(t, 0)
	a.wantWaiting(t, "all read version 3")
}

func TestAdopted_GivesLeasesTheirTime(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, map[string]any{"lease_ttl": "30m"})
	a.after(t, 29*time.Minute)
	a.wantWaiting(t, "a lease may still be renewed", 1)
	a.after(t, time.Minute)
	a.wantWaiting(t, "none may")
}

func TestAdopted_APersonEndsItAtOnce(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, nil, named("one"), named("two"))
	response := a.write(t, "tokens/app/retire", nil)
	wantSaid(t, "the warning", fmt.Sprint(response.Warnings), "version 1 was ended, and 2 readers of the last 24h have not read a newer one")
	a.wantWaiting(t, "a person has ended it")
}

func TestAdopted_GoesOnWhereTheProviderRefuses(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, nil, named("one"))
	must(t, a.provider.SetKeyAdministration(t.Context(), "app", simulator.KeyAdministrationDenied))
	must(t, a.provider.SetKeyAdministration(t.Context(), simulator.DefaultName, simulator.KeyAdministrationDenied))
	_, err := a.request(t, "tokens/app/retire", nil, "")
	wantSaid(t, "the refusal", said(nil, err), "was not ended")
	if next := a.work(t); next.Sub(a.now()) > time.Minute {
		t.Errorf("it is tried again in %s, although a person has asked for its end", next.Sub(a.now()))
	}
}

func TestAdopted_TheDeletionOfTheTokenEndsIt(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, nil, named("one"))
	if _, err := a.handle(t, logical.DeleteOperation, "tokens/app", nil); err != nil {
		t.Fatal(err)
	}
	if n := a.keys(t); n != 1 {
		t.Errorf("there are %d keys, want the current one", n)
	}
}

func TestAdopted_AForgottenReaderCounts(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, nil)
	for n := range 1001 {
		a.readAs(t, "creds/app", named(fmt.Sprint(n)))
		a.clock.Advance(time.Duration(1-min(n, 1)) * time.Second) // the first one is silent for longest
	}
	a.next(t)
	a.after(t, 3*time.Minute)
	for n := range 1000 {
		a.readAs(t, "creds/app", named(fmt.Sprint(n+1)))
	}
	a.after(t, time.Minute)
	_, summary := a.readersOfToken(t, "app")
	if summary != "1000 1000 0 1" {
		t.Errorf("the summary is %s", summary)
	}
	a.wantWaiting(t, "one reader was forgotten", 2)
	a.after(t, 25*time.Hour)
	a.wantWaiting(t, "its window is over")
}

func TestAdopted_ReadsHastenIt(t *testing.T) {
	t.Parallel()
	a := newAdopting(t, nil, named("one"))
	a.after(t, 5*time.Minute)
	for _, moved := range a.readers.TakeMoved() {
		a.hastenRetirement(moved)
	}
	before, _ := a.scheduler.Size()
	a.readAs(t, "creds/app", named("one"))
	moved := a.readers.TakeMoved()
	if len(moved) != 1 {
		t.Fatalf("%d tokens have moved", len(moved))
	}
	token := a.tokens.Peek("app")
	if at := a.retirementTime(token)(&token.Retiring[0]); at.After(a.now()) {
		t.Errorf("it is looked at in %s", at.Sub(a.now()))
	}
	a.hastenRetirement(moved[0])
	if after, _ := a.scheduler.Size(); after != before {
		t.Errorf("%d jobs are planned, want %d", after, before)
	}
}

func TestRotate_SaysThatAValueRetiresWhenAdopted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withGoogle(t)
	f.write(t, "tokens/app", map[string]any{
		"account": "google", "type": "service_account_key", "service_account_key": f.serviceAccount(t, "app"),
		"rotation_grace_period": "1h", "retire_after": "adopted",
	})
	response := f.write(t, "tokens/app/rotate", nil)
	if got := response.Data["previous_credential"]; got != "retires when adopted" {
		t.Errorf("previous_credential is %v", got)
	}
	token := f.read(t, "tokens/app")
	retiring := token["retiring"].([]any)[0].(map[string]any)
	if token["retire_after"] != "adopted" || token["reader_window"] != 24*60*60 || retiring["at"] != f.now().Add(time.Hour).UTC().Format(time.RFC3339) {
		t.Errorf("retire_after %v, reader_window %v, retiring %v", token["retire_after"], token["reader_window"], retiring)
	}
	text := inWords(fmt.Sprint(f.read(t, "tokens/app/rotate")["runbook"]))
	wantSaid(t, "the runbook", text, "once everybody who has read the token")
	answer, err := f.request(t, "tokens/app/retire", map[string]any{"version": 7}, "")
	wantSaid(t, "the refusal", said(answer, err), "when its readers have a newer one")
}
