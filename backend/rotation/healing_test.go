package rotation

import (
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func TestHealing_WhenTheNextMayBegin(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	begun := func(all ...time.Duration) *Healing {
		h := &Healing{}
		for _, d := range all {
			h.Begun = append(h.Begun, ago(d))
		}
		return h
	}
	found := func(d time.Duration) *Check { return &Check{At: ago(d), Outcome: provider.Rejected} }
	for name, tt := range map[string]struct {
		record Record
		want   time.Time
	}{
		"the value works":                        {Record{Health: HealthOK, LastVerification: found(0)}, time.Time{}},
		"it was found rejected":                  {Record{LastVerification: found(time.Minute)}, ago(time.Minute)},
		"whatever the policy's plan waits for":   {Record{LastVerification: found(time.Minute), RetryAt: now.Add(time.Hour)}, ago(time.Minute)},
		"one is under way":                       {Record{LastVerification: found(0), Pending: &Pending{Source: SourceHook}}, time.Time{}},
		"its value is not tried any more":        {Record{LastVerification: found(time.Minute), Pending: &Pending{Source: SourceHook, Rejections: maxRejections}}, ago(time.Minute)},
		"a person is needed":                     {Record{LastVerification: found(0), PersonNeeded: true}, time.Time{}},
		"one has failed":                         {Record{LastVerification: found(time.Hour), Healing: begun(time.Minute), RetryAt: now.Add(time.Minute)}, now.Add(time.Minute)},
		"it was found rejected again since then": {Record{LastVerification: found(time.Second), Healing: begun(time.Minute), RetryAt: now.Add(time.Minute)}, ago(time.Second)},
		"three in a day":                         {Record{LastVerification: found(0), Healing: begun(3*time.Hour, 2*time.Hour, time.Hour)}, now.Add(21 * time.Hour)},
		"three, one of them a day ago":           {Record{LastVerification: found(0), Healing: begun(24*time.Hour, 2*time.Hour, time.Hour)}, now},
		"three of a clock that was ahead":        {Record{LastVerification: found(0), Healing: begun(-time.Hour, -2*time.Hour, -3*time.Hour)}, now.Add(25 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := tt.record
			r.Current = &Version{Number: 1}
			if r.Health == "" {
				r.Health = HealthRejected
			}
			if got := r.NextHealing(now); !got.Equal(tt.want) {
				t.Errorf("the next may begin at %v, want %v", got, tt.want)
			}
		})
	}
}

func TestHealing_OldAttemptsAreForgottenAndTheOthersKept(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	r := Record{Current: &Version{Number: 1}, Health: HealthRejected}
	for i := range 30 {
		r.BeginHealing(now.Add(time.Duration(i) * 10 * time.Hour))
		if n := len(r.Healing.Begun); n > MaxHealings {
			t.Fatalf("%d attempts are kept", n)
		}
	}
	r.Publish(Candidate{}, now.Add(300*time.Hour))
	if r.Healing == nil {
		t.Error("a publication forgets what was begun before it")
	}
}
