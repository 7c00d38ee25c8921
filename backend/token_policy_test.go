package backend

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// wantBadInput looks for the caller's mistake.
func wantBadInput(t *testing.T, err error, text string) {
	t.Helper()
	if _, isInput := errors.AsType[*inputError](err); !isInput || !strings.Contains(err.Error(), text) {
		t.Errorf("got the error %v, want bad input with %q", err, text)
	}
}

func TestPolicyWrite_ChangesOnlyWhatItGives(t *testing.T) {
	t.Parallel()
	hour := int(time.Hour.Seconds())
	for name, tt := range map[string]struct {
		write policyWrite
		want  func(before, after *tokenEntry) bool
	}{
		"nothing": {policyWrite{}, func(before, after *tokenEntry) bool {
			return after.RefreshTTL == before.RefreshTTL && after.RotationPeriod == before.RotationPeriod && len(after.Options) == 2 && len(after.CustomMetadata) == 1
		}},
		"a schedule in place of a period": {policyWrite{rotationSchedule: new(saturdaysAtThree)}, func(_, after *tokenEntry) bool {
			return after.RotationPeriod == 0 && after.RotationSchedule == saturdaysAtThree && !after.ScheduleSince.IsZero()
		}},
		"a period of zero": {policyWrite{rotationPeriod: new(0)}, func(_, after *tokenEntry) bool { return after.RotationPeriod == 0 }},
		"another period":   {policyWrite{rotationPeriod: &hour}, func(_, after *tokenEntry) bool { return after.RotationPeriod == time.Hour }},
		"an option and no other": {policyWrite{options: provider.Values{"one": "", "two": "b"}}, func(before, after *tokenEntry) bool {
			return len(after.Options) == 1 && after.Options["two"] == "b" && len(before.Options) == 2
		}},
		"no metadata": {policyWrite{customMetadata: map[string]string{}}, func(_, after *tokenEntry) bool { return len(after.CustomMetadata) == 0 }},
		"zeros": {policyWrite{verifyPeriod: new(0), leaseTTL: new(0), rotationGracePeriod: new(0), disableAutomatedRotation: new(false)}, func(_, after *tokenEntry) bool {
			return after.VerifyPeriod == 0 && after.LeaseTTL == 0 && after.RotationGracePeriod == 0 && !after.DisableAutomatedRotation
		}},
	} {
		before := tokenEntry{
			RefreshTTL: 60, VerifyPeriod: 60, RotationGracePeriod: 60, LeaseTTL: 60, RotationPeriod: 24 * time.Hour, DisableAutomatedRotation: true,
			Options: provider.Values{"one": "a", "two": "a"}, CustomMetadata: map[string]string{"k": "v"},
		}
		tok := &token{tokenEntry: before}
		must(t, tt.write.check(testkit.Epoch))
		if tok.applyPolicy(&tt.write, testkit.Epoch); !tt.want(&before, &tok.tokenEntry) {
			t.Errorf("%s: %+v became %+v", name, before, tok.tokenEntry)
		}
	}
}

func TestPolicyWrite_RefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for i := range 65 {
		many[strings.Repeat("k", i+1)] = "v"
	}
	for want, writes := range map[string][]policyWrite{
		"refresh_ttl must be at least 1s":                {{refreshTTL: new(0)}},
		"exclude each other":                             {{rotationPeriod: new(60), rotationSchedule: new(saturdaysAtThree)}},
		"rotation_window is for a rotation_schedule":     {{rotationWindow: new(3600)}, {rotationWindow: new(3600), rotationPeriod: new(60)}},
		"rotation_schedule takes no time zone":           {{rotationSchedule: new("TZ=UTC 0 3 * * *")}},
		"custom_metadata must have at most 64 printable": {{customMetadata: map[string]string{"k": strings.Repeat("v", 513)}}, {customMetadata: many}, {customMetadata: map[string]string{"k": "v\u202e"}}},
	} {
		for _, w := range writes {
			wantBadInput(t, w.check(testkit.Epoch), want)
		}
	}
}
