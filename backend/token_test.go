package backend

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
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

func onSaturdays(window time.Duration) func(*token) {
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
		"due in a moment":        {period(time.Hour), time.Hour - 300*time.Millisecond, 1},
		"due now":                {period(time.Hour), time.Hour, 60},
		"overdue":                {period(time.Hour), 3 * time.Hour, 60},
		"a schedule that is due": {onSaturdays(0), 2 * time.Hour, 60},
		"a window that is over":  {onSaturdays(time.Hour), 4 * time.Hour, 60},
		"failing": {func(t *token) {
			t.RotationPeriod, t.Failures, t.RetryAt = time.Hour, 3, at.Add(2*time.Hour+5*time.Second)
		}, 2 * time.Hour, 60},
		"schedule soon":       {onSaturdays(0), 2*time.Hour - 5*time.Second, 5},
		"automation disabled": {func(t *token) { t.RotationPeriod, t.DisableAutomatedRotation = time.Hour, true }, 3 * time.Hour, 60},
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
		"schedule":            {onSaturdays(0), 0, 2 * time.Hour},
		"no window, missed":   {onSaturdays(0), 3 * 24 * time.Hour, 2 * time.Hour},
		"inside the window":   {onSaturdays(time.Hour), 2*time.Hour + 30*time.Minute, 2 * time.Hour},
		"window over":         {onSaturdays(time.Hour), 4 * time.Hour, 2*time.Hour + week},
		"in the next window":  {onSaturdays(time.Hour), 2*time.Hour + week + 10*time.Minute, 2*time.Hour + week},
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
	if due, _ := tok.nextWork(at, "", atItsTime); !due.Equal(at.Add(time.Hour)) {
		t.Errorf("the report is planned for %v, want an hour after %v", due, at)
	}
	tok.OverdueReported = true
	if due, _ := tok.nextWork(at, "", atItsTime); !due.IsZero() {
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
	f.clock.Advance(2 * time.Hour)
	response, err := f.handle(t, logical.ReadOperation, "tokens/acme-rw", nil)
	if err != nil || response.Data["overdue"] != true || len(response.Warnings) != 1 {
		t.Errorf("got overdue %v with warnings %v, error %v; want true with one warning", response.Data["overdue"], response.Warnings, err)
	}
	if summary := f.read(t, "status")["summary"].(map[string]any); summary["overdue"] != 1 {
		t.Errorf("status counts %v overdue tokens, want 1", summary["overdue"])
	}
}

func TestOverdueEvent_ComesOnceAVersionWhateverIsWritten(t *testing.T) {
	t.Parallel()
	l := &listener{}
	f := newFixture(t, func(c *logical.BackendConfig) { c.EventsSender = l })
	f.withImpact(t, map[string]any{"rotation_period": "1h"})
	overdue := func() (count int) {
		t.Helper()
		if err := f.rotateRoutinely(t.Context(), "acme-rw"); err != nil {
			t.Fatal(err)
		}
		for _, kind := range l.kinds() {
			if kind == eventOverdue {
				count++
			}
		}
		return count
	}
	f.clock.Advance(90 * time.Minute)
	for _, write := range []map[string]any{
		{"custom_metadata": map[string]any{"team": "ads"}},
		{"rotation_period": "1h"},
		{"rotation_period": "30m"},
		{"rotation_schedule": saturdaysAtThree},
		{"rotation_period": "2h"},
		{"disable_automated_rotation": true},
		{"disable_automated_rotation": false},
	} {
		if got := overdue(); got != 1 {
			t.Fatalf("before writing %v there are %d events, want 1", write, got)
		}
		f.write(t, "tokens/acme-rw", write)
		f.clock.Advance(3 * time.Hour)
	}
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": f.resetReadWrite(t).AuthToken})
	f.clock.Advance(3 * time.Hour)
	if got := overdue(); got != 2 {
		t.Errorf("the next version is late as well: got %d events, want 2", got)
	}
}

func TestStoredSchedule_ThatCannotBeReadLeavesTheCredentialReadable(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string]string{
		"of another library": "0 3 * * SAT#2",
		"a time zone":        "TZ=Europe/Berlin 0 3 * * *",
		"never comes":        "0 0 30 2 *",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			credential := f.withImpact(t, nil)
			must(t, func() error {
				tok, unlock, err := f.lockToken(t.Context(), f.storage, "acme-rw")
				if err != nil {
					return err
				}
				defer unlock()
				tok.RotationSchedule = stored
				return f.saveToken(t.Context(), f.storage, tok)
			}())
			f.tokens.Invalidate("acme-rw")
			if got := f.read(t, "creds/acme-rw"); got["auth_token"] != credential.AuthToken || got["ttl"] != 60 {
				t.Errorf("the credential is not served, or with ttl %v", got["ttl"])
			}
			for _, path := range []string{"tokens/acme-rw", "status"} {
				response, err := f.handle(t, logical.ReadOperation, path, nil)
				if err != nil || len(response.Warnings) != 1 || !containsAll(response.Warnings[0], []string{"rotation_schedule", "write a new one"}) {
					t.Errorf("%s warns %v, error %v; want one warning that says to write a new schedule", path, response.Warnings, err)
				}
			}
			if err := f.rotateRoutinely(t.Context(), "acme-rw"); err != nil {
				t.Errorf("routine work fails: %v", err)
			}
			f.write(t, "tokens/acme-rw", map[string]any{"refresh_ttl": "30s"})
			f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": f.resetReadWrite(t).AuthToken})
			f.write(t, "tokens/acme-rw", map[string]any{"rotation_schedule": saturdaysAtThree})
			if got := f.read(t, "tokens/acme-rw"); got["next_vault_rotation"] == nil || got["version"] != 2 {
				t.Errorf("next rotation %v of version %v, want a time and 2", got["next_vault_rotation"], got["version"])
			}
		})
	}
}

func TestNextVerification_OfAnUntriedVersionIsWithinAMinuteAndBacksOff(t *testing.T) {
	t.Parallel()
	for name, verifyPeriod := range map[string]int{"verify_period off": 0, "verify_period of a day": 86400} {
		tok := policyToken(t, func(t *token) {
			t.VerifyPeriod = verifyPeriod
			t.Health = rotation.HealthUnverified
			t.History = []rotation.HistoryEntry{{Version: 1, Verification: rotation.VerificationSkipped}}
		})
		last := at
		for _, wait := range []time.Duration{30 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute} {
			due := tok.nextVerification()
			if got := due.Sub(last); got > wait || got < wait*8/10 {
				t.Fatalf("%s: the next one is %v after the last, want about %v", name, got, wait)
			}
			last = last.Add(wait)
			tok.LastVerification = &rotation.Check{At: last, Outcome: provider.Inconclusive}
		}
		tok.LastVerification.At = at.Add(24 * time.Hour)
		if got := tok.nextVerification().Sub(tok.LastVerification.At); got > time.Hour || got < 50*time.Minute {
			t.Errorf("%s: after a day the next one is %v after the last, want an hour", name, got)
		}
		tok.Current.Proven, tok.Health = true, rotation.HealthOK
		if got := tok.nextVerification(); (verifyPeriod == 0) != got.IsZero() {
			t.Errorf("%s: once it is accepted, the next one is planned for %v", name, got)
		}
	}
}

func TestUntried_WarnsUntilTheProviderHasAccepted(t *testing.T) {
	t.Parallel()
	f := newStillFixture(t)
	f.withImpact(t, map[string]any{"verify_period": 0})
	warnings := func(path string) string {
		t.Helper()
		response, err := f.handle(t, logical.ReadOperation, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(response.Warnings, "\n")
	}
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken, "verify": false})
	words := []string{"version 2", "verify=false", "not accepted it yet", "tokens/acme-rw/verify"}
	for _, path := range []string{"creds/acme-rw", "status"} {
		if got := warnings(path); !containsAll(got, words) {
			t.Errorf("%s warns %q, want each of %q", path, got, words)
		}
	}
	must(t, f.provider.InjectFault(t.Context(), simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultDropBefore}))
	f.write(t, "tokens/acme-rw/verify", nil)
	if got := warnings("creds/acme-rw"); !containsAll(got, words) {
		t.Errorf("after silence of the provider creds/ warns %q", got)
	}
	must(t, f.provider.ClearFaults(t.Context()))
	f.write(t, "tokens/acme-rw/verify", nil)
	for _, path := range []string{"creds/acme-rw", "status"} {
		if got := warnings(path); got != "" {
			t.Errorf("after its acceptance %s warns %q", path, got)
		}
	}
}
