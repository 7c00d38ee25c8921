package rotation

import (
	"context"
	"errors"
	"testing"
)

func TestACallThatIsCancelledLeavesTheRecordAsItWas(t *testing.T) {
	t.Parallel()
	for call, s := range map[string]settings{"List": iam, "Obtain": hook, "Verify": hook, "Retire": iam} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s)
			w.broken[call] = errSilence
			if err := w.start("a"); err != nil && call != "List" {
				t.Fatal(err)
			}
			w.sleepUntil(w.last.NextStep())
			stored, events := string(w.stored), len(w.events)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := w.run(func(m *Machine, r *Record) error {
				if r.State() == StateIdle {
					return m.Start(ctx, r, Pending{ID: "b", Source: s.source})
				}
				return m.Advance(ctx, r)
			})
			if !errors.Is(err, context.Canceled) || string(w.stored) != stored || len(w.events) != events {
				t.Errorf("error %v, %d new events, stored %s instead of %s", err, len(w.events)-events, w.stored, stored)
			}
		})
	}
}
