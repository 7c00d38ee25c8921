package backend

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"

	"github.com/hashicorp/vault/sdk/logical"
)

// A hook that has performed the reset, and lost the value, would by the next reset kill the one that a person takes meanwhile.
func TestSchedule_WaitsForAPersonAfterAResetWithoutValue(t *testing.T) {
	t.Parallel()
	current := ""
	for name, answer := range map[string]http.HandlerFunc{
		"no body":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"no credential": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"ok":true}`)) },
		"the value from before": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"auth_token":"` + current + `"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newStillFixture(t)
			first := f.withImpact(t, map[string]any{"rotation_period": "1h"})
			if strings.Contains(name, "before") {
				current = first.AuthToken
			}
			hook := f.withStubHook(t, answer)
			for range 10 {
				f.clock.Advance(2 * time.Hour)
				f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Rotate})
			}
			if n := len(hook.asked); n != 1 {
				t.Fatalf("the hook was asked for %d resets, want 1", n)
			}
			got := f.read(t, "tokens/acme-rw")
			if problem := got["last_error"].(string); !strings.Contains(problem, "hand it in") || !strings.Contains(problem, "starts no other reset") || got["overdue"] != true {
				t.Errorf("overdue %v, told: %q", got["overdue"], problem)
			}
			f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": f.resetReadWrite(t).AuthToken})
			f.clock.Advance(2 * time.Hour)
			f.doWork(t.Context(), schedule.Job{Token: "acme-rw", Account: "acme", Kind: schedule.Rotate})
			if n := len(hook.asked); n != 2 {
				t.Errorf("after a hand-in the hook was asked %d times in all, want 2: the schedule goes on", n)
			}
		})
	}
}

func TestMetrics_ARotationByHandThatIsRefusedIsNotTheSchedules(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"refused by the hook": http.StatusForbidden, "without a value": http.StatusNoContent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.withImpact(t, nil)
			f.withStubHook(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			response, err := f.handle(t, logical.UpdateOperation, "tokens/acme-rw/rotate", nil)
			if err != nil || !response.IsError() {
				t.Fatalf("got %v, error %v", response, err)
			}
			raw, err := f.handle(t, logical.ReadOperation, "metrics", nil)
			if err != nil {
				t.Fatal(err)
			}
			text := string(raw.Data[logical.HTTPRawBody].([]byte))
			byHand := `adtokens_rotations_total{outcome="failed",source="hook",trigger="` + string(triggerByHand) + `"} 1`
			if !strings.Contains(text, byHand) || strings.Contains(text, `trigger="`+string(triggerSchedule)+`"} 1`) {
				t.Errorf("want %s, got\n%s", byHand, text)
			}
		})
	}
}
