package backend

import (
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// at is a Saturday, two hours before the schedule of these tests.
var at = time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)

const saturdaysAtThree = "0 3 * * SAT"

func policyToken(t *testing.T, change func(*token)) *token {
	t.Helper()
	tok := &token{name: "acme", tokenEntry: tokenEntry{RefreshTTL: 60}}
	tok.Current = &rotation.Version{Number: 1, PublishedAt: at}
	if change != nil {
		change(tok)
	}
	tok.planRotation()
	return tok
}

func period(d time.Duration) func(*token) { return func(t *token) { t.RotationPeriod = d } }

func schedule(window time.Duration) func(*token) {
	return func(t *token) { t.RotationSchedule, t.RotationWindow = saturdaysAtThree, window }
}

func TestTTLIsBoundedByRefreshTTLAndTheNextRotation(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		policy func(*token)
		after  time.Duration
		want   int
	}{
		"no policy":              {nil, 0, 60},
		"rotation far away":      {period(90 * 24 * time.Hour), 0, 60},
		"rotation soon":          {period(time.Hour), time.Hour - 20*time.Second, 20},
		"due now":                {period(time.Hour), time.Hour, 1},
		"overdue never recovers": {period(time.Hour), 3 * time.Hour, 1},
		"schedule soon":          {schedule(0), 2*time.Hour - 5*time.Second, 5},
		"automation disabled":    {func(t *token) { t.RotationPeriod, t.DisableAutomatedRotation = time.Hour, true }, 3 * time.Hour, 60},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := policyToken(t, tc.policy).ttl(at.Add(tc.after)); got != tc.want {
				t.Errorf("got ttl %d, want %d", got, tc.want)
			}
		})
	}
}

func TestRotationStartsWhenThePolicyAllows(t *testing.T) {
	t.Parallel()
	const week = 7 * 24 * time.Hour
	tests := map[string]struct {
		policy func(*token)
		now    time.Duration
		// want is relative to at; a negative one is never.
		want time.Duration
	}{
		"no policy":           {nil, 0, -1},
		"period":              {period(time.Hour), 0, time.Hour},
		"period, long over":   {period(time.Hour), week, time.Hour},
		"schedule":            {schedule(0), 0, 2 * time.Hour},
		"no window, missed":   {schedule(0), 3 * 24 * time.Hour, 2 * time.Hour},
		"inside the window":   {schedule(time.Hour), 2*time.Hour + 30*time.Minute, 2 * time.Hour},
		"window over":         {schedule(time.Hour), 4 * time.Hour, 2*time.Hour + week},
		"in the next window":  {schedule(time.Hour), 2*time.Hour + week + 10*time.Minute, 2*time.Hour + week},
		"after a failure":     {func(t *token) { t.RotationPeriod, t.RetryAt = time.Hour, at.Add(3*time.Hour) }, 2 * time.Hour, 3 * time.Hour},
		"rotation under way":  {func(t *token) { t.RotationPeriod, t.Pending = time.Hour, &rotation.Pending{} }, 2 * time.Hour, -1},
		"schedule set later":  {func(t *token) { t.RotationSchedule, t.ScheduleSince = saturdaysAtThree, at.Add(week) }, week, 2*time.Hour + week},
		"automation disabled": {func(t *token) { t.RotationPeriod, t.DisableAutomatedRotation = time.Hour, true }, week, -1},
		"no credential":       {func(t *token) { t.RotationPeriod, t.Current = time.Hour, nil }, week, -1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := policyToken(t, tc.policy).rotationStart(at.Add(tc.now))
			if want := at.Add(tc.want); tc.want < 0 && !got.IsZero() || tc.want >= 0 && !got.Equal(want) {
				t.Errorf("got %v, want %v after %v", got, tc.want, at)
			}
		})
	}
}

func TestRoutineVerificationsAreSpread(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	times := map[time.Time]bool{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		tok := policyToken(t, func(t *token) { t.name, t.VerifyPeriod = name, int(day.Seconds()) })
		due := tok.nextVerification()
		if wait := due.Sub(at); wait > day || wait < day*9/10 {
			t.Errorf("%s is verified after %v, want within the last tenth of a day", name, wait)
		}
		if again := tok.nextVerification(); !again.Equal(due) {
			t.Errorf("%s is planned for %v and then for %v", name, due, again)
		}
		times[due] = true
	}
	if len(times) < 6 {
		t.Errorf("8 tokens share %d times", len(times))
	}
	if due := policyToken(t, nil).nextVerification(); !due.IsZero() {
		t.Errorf("verify_period 0 plans a verification at %v", due)
	}
}

func TestOverdueTokensOfAPersonAreReportedOnce(t *testing.T) {
	t.Parallel()
	tok := policyToken(t, period(time.Hour))
	if due, _ := tok.nextWork(at, ""); !due.Equal(at.Add(time.Hour)) {
		t.Errorf("the report is planned for %v, want an hour after %v", due, at)
	}
	tok.OverdueReported = true
	if due, _ := tok.nextWork(at, ""); !due.IsZero() {
		t.Errorf("after the report, work is planned for %v", due)
	}
}

func TestPeriodAndScheduleReplaceEachOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, map[string]any{"rotation_period": "90d"})
	steps := []struct {
		write            map[string]any
		period, window   int
		schedule, reason string
	}{
		{map[string]any{"rotation_schedule": saturdaysAtThree, "rotation_window": "1h"}, 0, 3600, saturdaysAtThree, "a schedule takes a period's place"},
		{map[string]any{"refresh_ttl": "30s"}, 0, 3600, saturdaysAtThree, "other fields leave it alone"},
		{map[string]any{"rotation_period": "24h"}, 86400, 0, "", "a period takes a schedule's place"},
		{map[string]any{"rotation_period": 0}, 0, 0, "", "0 ends it"},
	}
	for _, step := range steps {
		f.write(t, "tokens/acme-rw", step.write)
		got := f.read(t, "tokens/acme-rw")
		if got["rotation_period"] != step.period || got["rotation_window"] != step.window || got["rotation_schedule"] != step.schedule {
			t.Errorf("%s: got period %v, window %v, schedule %q", step.reason, got["rotation_period"], got["rotation_window"], got["rotation_schedule"])
		}
	}
	for name, refused := range map[string]map[string]any{
		"both":            {"rotation_period": "1h", "rotation_schedule": saturdaysAtThree},
		"six fields":      {"rotation_schedule": "0 0 3 * * SAT"},
		"no cron":         {"rotation_schedule": "weekly"},
		"window alone":    {"rotation_window": "1h"},
		"window of a day": {"rotation_period": "24h", "rotation_window": "1h"},
		"short window":    {"rotation_schedule": saturdaysAtThree, "rotation_window": "5m"},
		"no refresh":      {"refresh_ttl": 0},
		"negative":        {"verify_period": "-1h"},
	} {
		response, err := f.handle(t, logical.UpdateOperation, "tokens/acme-rw", refused)
		if err != nil || !response.IsError() {
			t.Errorf("%s: got response %v, error %v; want it refused", name, response, err)
		}
	}
}

func TestOverdueAssistedTokenWarnsItsReaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, map[string]any{"rotation_period": "1h"})
	f.clock.advance(2 * time.Hour)
	response, err := f.handle(t, logical.ReadOperation, "tokens/acme-rw", nil)
	if err != nil || response.Data["overdue"] != true || len(response.Warnings) != 1 {
		t.Errorf("got overdue %v with warnings %v, error %v; want true with one warning", response.Data["overdue"], response.Warnings, err)
	}
	if summary := f.read(t, "status")["summary"].(map[string]any); summary["overdue"] != 1 {
		t.Errorf("status counts %v overdue tokens, want 1", summary["overdue"])
	}
}

func TestAMisspeltFieldIsAWarning(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	if response := f.write(t, "tokens/acme-rw", map[string]any{"rotation_perod": "30d"}); response == nil || len(response.Warnings) != 1 {
		t.Errorf("got %v, want one warning", response)
	}
	if response := f.write(t, "tokens/acme-rw", map[string]any{"rotation_period": "30d"}); response != nil {
		t.Errorf("got %v, want nothing to say", response)
	}
}
