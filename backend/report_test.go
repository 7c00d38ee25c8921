package backend

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// withCountedImpact imports acme-rw, and counts the requests that its platform gets from then on.
func (f *fixture) withCountedImpact(t *testing.T, policy map[string]any) *atomic.Int64 {
	t.Helper()
	g := newGate(t, f.server.ImpactURL)
	f.server.ImpactURL = g.url
	f.withImpact(t, policy)
	var requests atomic.Int64
	g.before.Store(new(func(*http.Request) { requests.Add(1) }))
	return &requests
}

// report wants an answer.
func (f *fixture) report(t *testing.T, data map[string]any) *logical.Response {
	t.Helper()
	return f.write(t, "report/acme-rw", data)
}

func TestReport_SaysWhetherTheValueIsAnOldOneOrWhatTheProviderSaysOfIt(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	requests := f.withCountedImpact(t, map[string]any{"verify_period": 0})
	first := f.read(t, "creds/acme-rw")["fingerprint"].(string)
	got := f.report(t, map[string]any{"version": 1, "status": 401})
	wantFields(t, "a value that works", got.Data, map[string]any{
		"outcome": "accepted", "current_version": 1, "checked_at": timestamp(f.now()), "rotation_state": "idle", "retry_after": nil,
	})
	fresh := f.resetReadWrite(t)
	f.clock.Advance(reportWindow)
	got = f.report(t, map[string]any{"fingerprint": " " + first + " "})
	wantFields(t, "a value that was reset", got.Data, map[string]any{"outcome": "rejected", "current_version": 1, "checked_at": timestamp(f.now())})
	if len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "tokens/acme-rw/rotate") {
		t.Errorf("a rejected value gives the warnings %q, want what to do", got.Warnings)
	}
	if health := f.read(t, "tokens/acme-rw")["health"]; health != "rejected" {
		t.Errorf("the health is %v, want rejected", health)
	}
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	asked := requests.Load()
	for name, data := range map[string]map[string]any{
		"the version before": {"version": 1}, "the fingerprint before": {"fingerprint": first, "status": "403"}, "any fingerprint": {"fingerprint": "0123456789abcdef"},
	} {
		got = f.report(t, data)
		wantFields(t, name, got.Data, map[string]any{"outcome": "outdated", "current_version": 2, "checked_at": nil, "rotation_state": "idle"})
		if len(got.Warnings) > 0 || !strings.Contains(got.Data["detail"].(string), "version 2") {
			t.Errorf("%s: got %q, warnings %q", name, got.Data["detail"], got.Warnings)
		}
	}
	if requests.Load() != asked {
		t.Errorf("reports of old values asked the provider %d times", requests.Load()-asked)
	}
	f.wantMetric(t, `adtokens_reports_total{outcome="outdated"} 3.0`)
	f.wantMetric(t, `adtokens_reports_total{outcome="rejected"} 1.0`)
}

func TestReport_RefusesWhatSaysNothing(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, nil)
	f.write(t, "tokens/empty", map[string]any{"account": "acme", "type": "scoped"})
	for name, tt := range map[string]struct {
		path string
		data map[string]any
		want string
	}{
		"neither":              {data: map[string]any{"status": 401}, want: "either the version or the fingerprint"},
		"both":                 {data: map[string]any{"version": 1, "fingerprint": "abc"}, want: "either the version or the fingerprint"},
		"an empty fingerprint": {data: map[string]any{"fingerprint": "  "}, want: "fingerprint must not be empty"},
		"version 0":            {data: map[string]any{"version": 0}, want: "1 or more"},
		"a negative version":   {data: map[string]any{"version": -1}, want: "1 or more"},
		"a version to come":    {data: map[string]any{"version": 2}, want: "version 2 does not exist: the current one is 1"},
		"no version":           {data: map[string]any{"version": "latest"}, want: "a whole number"},
		"a status below":       {data: map[string]any{"version": 1, "status": 99}, want: "100 to 599"},
		"a status above":       {data: map[string]any{"version": 1, "status": 600}, want: "100 to 599"},
		"a field that is none": {data: map[string]any{"version": 1, "auth_token": "x"}, want: "its fields are fingerprint, status, version"},
		"a token without one":  {path: "report/empty", data: map[string]any{"version": 1}, want: "has no credential"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := tt.path
			if path == "" {
				path = "report/acme-rw"
			}
			response, err := f.handle(t, logical.UpdateOperation, path, tt.data)
			if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), tt.want) {
				t.Errorf("got %v, error %v; want %q", response, err, tt.want)
			}
		})
	}
	for path, want := range map[string]string{"report/a b": "the name of a token must be", "report/acme-rw/now": "has none"} {
		if _, text := f.ask(t, logical.UpdateOperation, path, map[string]any{"version": 1}); !strings.Contains(text, want) {
			t.Errorf("%s: %q lacks %q", path, text, want)
		}
	}
	_, err := f.handle(t, logical.UpdateOperation, "report/unknown", map[string]any{"version": 1})
	var coded logical.HTTPCodedError
	if !errors.As(err, &coded) || coded.Code() != http.StatusNotFound {
		t.Errorf("a report of an unknown token gives %v, want 404", err)
	}
}

func TestReport_AnyNumberOfThemShareOneVerification(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	requests := f.withCountedImpact(t, map[string]any{"verify_period": 0})
	f.resetReadWrite(t)
	var all sync.WaitGroup
	for range 500 {
		all.Go(func() {
			if got := f.report(t, map[string]any{"version": 1}); got.Data["outcome"] != "rejected" {
				t.Errorf("a report's outcome is %v, want rejected", got.Data["outcome"])
			}
		})
	}
	all.Wait()
	if requests.Load() != 1 {
		t.Errorf("500 reports asked the provider %d times, want once", requests.Load())
	}
	f.clock.Advance(reportWindow - time.Second)
	f.report(t, map[string]any{"version": 1})
	if requests.Load() != 1 {
		t.Errorf("a report within %s asked the provider again", reportWindow)
	}
	f.clock.Advance(time.Second)
	f.report(t, map[string]any{"version": 1})
	if requests.Load() != 2 {
		t.Errorf("a report after %s did not ask the provider", reportWindow)
	}
}

func TestReport_ASharedVerificationIsOfOneVersion(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	requests := f.withCountedImpact(t, map[string]any{"verify_period": 0})
	fresh := f.resetReadWrite(t)
	f.report(t, map[string]any{"version": 1})
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	asked := requests.Load()
	got := f.report(t, map[string]any{"version": 2})
	wantFields(t, "the report of the next version", got.Data, map[string]any{"outcome": "accepted", "current_version": 2})
	if requests.Load() != asked+1 {
		t.Errorf("the report of the next version asked the provider %d times, want once", requests.Load()-asked)
	}
}

func TestReport_AVersionThatIsReplacedMeanwhileIsOutdated(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withMeddler(t, func() {
		fresh := f.resetReadWrite(t)
		f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	})
	got := f.report(t, map[string]any{"version": 1})
	wantFields(t, "the report", got.Data, map[string]any{"outcome": "outdated", "current_version": 2, "checked_at": nil})
}

func TestReport_OfAnAccountWhoseLimitIsUsedUpAsksNothing(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	requests := f.withCountedImpact(t, map[string]any{"verify_period": 0})
	for f.scheduler.TryVerification("acme") == 0 {
		continue
	}
	got := f.report(t, map[string]any{"version": 1})
	wantFields(t, "the report", got.Data, map[string]any{"outcome": "inconclusive", "checked_at": nil, "current_version": 1})
	wait, _ := got.Data["retry_after"].(int)
	if wait < 1 || wait > 60 || !strings.Contains(got.Data["detail"].(string), "limit of verifications is used up") || requests.Load() != 0 {
		t.Errorf("got retry_after %v and %q after %d requests", got.Data["retry_after"], got.Data["detail"], requests.Load())
	}
	if health := f.read(t, "tokens/acme-rw")["health"]; health != "ok" {
		t.Errorf("the health is %v, want ok: nobody was asked", health)
	}
	// By hand it is nobody's background work.
	if got := f.write(t, "tokens/acme-rw/verify", nil); got.Data["outcome"] != "accepted" {
		t.Errorf("a verification by hand says %v", got.Data["outcome"])
	}
}

func TestReport_OfAProviderThatDoesNotAnswerIsInconclusive(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, map[string]any{"verify_period": 0})
	f.server.Close()
	got := f.report(t, map[string]any{"version": 1})
	wantFields(t, "the report", got.Data, map[string]any{"outcome": "inconclusive", "checked_at": timestamp(f.now()), "retry_after": nil})
}

func TestReport_OfAnAccessTokenHasTheNextReaderGetAnother(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	p := newRollingPlatform(t)
	f.rolling(t, p, "lives", "")
	before := f.read(t, "access-token/app")["access_token"]
	got := f.write(t, "report/app", map[string]any{"version": 1, "status": 401})
	wantFields(t, "the report", got.Data, map[string]any{"outcome": "accepted", "current_version": 1})
	if after := f.read(t, "access-token/app")["access_token"]; after == before {
		t.Error("after a report the same access token is given out")
	}
}

func TestReport_StorageThatFailsIsNoAnswerAndForgotten(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, map[string]any{"verify_period": 0})
	f.storage.FailPut(true)
	if _, err := f.handle(t, logical.UpdateOperation, "report/acme-rw", map[string]any{"version": 1}); err == nil {
		t.Error("a report whose verification could not be stored looks successful")
	}
	f.storage.FailPut(false)
	f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Kind: schedule.Look})
	eventually(t, "the next report to be answered", func() bool {
		response, err := f.handle(t, logical.UpdateOperation, "report/acme-rw", map[string]any{"version": 1})
		return err == nil && !response.IsError() && response.Data["outcome"] == "accepted"
	})
}
