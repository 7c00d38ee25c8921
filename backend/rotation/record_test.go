package rotation

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Only an acceptance clears an alarm, and silence changes nothing.
func TestHealth(t *testing.T) {
	t.Parallel()
	const silence = provider.Outcome("")
	tests := map[Health]map[provider.Outcome]Health{
		HealthOK: {
			provider.Accepted: HealthOK, provider.Rejected: HealthRejected, provider.Inconclusive: HealthUnverified, silence: HealthOK,
		},
		HealthRejected: {
			provider.Accepted: HealthOK, provider.Rejected: HealthRejected, provider.Inconclusive: HealthRejected, silence: HealthRejected,
		},
		HealthUnverified: {
			provider.Accepted: HealthOK, provider.Rejected: HealthRejected, provider.Inconclusive: HealthUnverified, silence: HealthUnverified,
		},
	}
	for before, outcomes := range tests {
		for outcome, want := range outcomes {
			t.Run(fmt.Sprintf("%s, then %q", before, outcome), func(t *testing.T) {
				t.Parallel()
				r := &Record{Health: before, Current: &Version{Number: 1, Proven: before == HealthOK}}
				check := &Check{At: epoch, Outcome: outcome, Detail: "So it says."}
				if outcome == silence {
					check.Outcome = provider.Inconclusive
					r.ObserveSilence(check.Detail, epoch.Local())
				} else {
					r.Observe(provider.Verification{Outcome: outcome, Detail: check.Detail}, epoch.Local())
				}
				if proven := before == HealthOK || outcome == provider.Accepted; r.Current.Proven != proven {
					t.Errorf("got proven %v, want %v", r.Current.Proven, proven)
				}
				if r.Health != want || !reflect.DeepEqual(r.LastVerification, check) {
					t.Errorf("got %s with %+v, want %s with %+v", r.Health, r.LastVerification, want, check)
				}
			})
		}
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	accepted := &provider.Verification{Outcome: provider.Accepted, Detail: "It works."}
	tests := map[string]struct {
		verified     *provider.Verification
		verification string
		health       Health
		checked      bool
	}{
		"accepted":     {verified: accepted, verification: "accepted", health: HealthOK, checked: true},
		"inconclusive": {verified: &provider.Verification{Outcome: provider.Inconclusive}, verification: "inconclusive", health: HealthUnverified, checked: true},
		"not verified": {verification: "skipped", health: HealthUnverified},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &Record{
				Current: &Version{Number: 6, Credential: credential("old")}, Health: HealthRejected, LastError: "It failed.",
				LastVerification: &Check{At: epoch, Outcome: provider.Rejected}, Failures: 3, RetryAt: epoch, OverdueReported: true,
				Retiring: []Retiring{{Version: 4, Credential: credential("older")}, {Version: 5, Credential: credential("new")}},
			}
			r.Publish(Candidate{
				Credential: credential("new"), Fingerprint: "f", Source: SourceAssisted, Reason: "leak", EntityID: "e", DisplayName: "d", Verified: tc.verified,
			}, epoch.Local())
			if want := (&Version{Number: 7, Credential: credential("new"), Fingerprint: "f", PublishedAt: epoch, Proven: tc.health == HealthOK}); !reflect.DeepEqual(r.Current, want) {
				t.Errorf("got %+v, want %+v", r.Current, want)
			}
			want := HistoryEntry{
				Version: 7, CreatedAt: epoch, Reason: "leak", EntityID: "e", DisplayName: "d",
				Source: SourceAssisted, Verification: tc.verification, Fingerprint: "f",
			}
			if len(r.History) != 1 || r.History[0] != want {
				t.Errorf("got %+v, want %+v", r.History, want)
			}
			if r.Health != tc.health || (r.LastVerification != nil) != tc.checked {
				t.Errorf("health %s, checked %+v", r.Health, r.LastVerification)
			}
			if r.LastError != "" || r.Failures != 0 || !r.RetryAt.IsZero() || r.OverdueReported {
				t.Errorf("the past clings to it: %q, %d failures, next try %s, overdue: %t", r.LastError, r.Failures, r.RetryAt, r.OverdueReported)
			}
			if len(r.Retiring) != 1 || r.Retiring[0].Version != 4 {
				t.Errorf("retiring %+v", r.Retiring)
			}
		})
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	var r Record
	if r.Number() != 0 || r.State() != StateIdle || !r.NextStep().IsZero() {
		t.Errorf("an empty record has version %d, %s, next step %s", r.Number(), r.State(), r.NextStep())
	}
	const versions = MaxHistory + 7
	for i := range versions {
		r.Publish(candidate(fmt.Sprint(i), SourceHook), epoch.Add(time.Duration(i)*time.Hour))
	}
	r.Retire(3, RetiredByEngine, epoch) // forgotten already
	r.Retire(versions-1, RetiredByEngine, epoch.Local())
	if len(r.History) != MaxHistory || r.Number() != versions {
		t.Fatalf("version %d with %d entries", r.Number(), len(r.History))
	}
	for i, entry := range r.History {
		if entry.Version != i+8 {
			t.Fatalf("entry %d is of version %d", i, entry.Version)
		}
		if retired := entry.RetiredHow == RetiredByEngine && entry.RetiredAt.Equal(epoch); retired != (entry.Version == versions-1) {
			t.Errorf("version %d retired: %t", entry.Version, retired)
		}
	}
}
