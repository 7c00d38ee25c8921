//go:build !race

package backend

import "testing"

// mostAllocations are how many pieces of memory a call may take. Unlike times they are the same everywhere; the race
// detector adds its own, so `make allocs` counts without it.
var mostAllocations = map[string]float64{
	"WarmCreds":       1,
	"WarmAccessToken": 1,
	"ReadCreds":       19,
	"ReadAccessToken": 15,
	"ReadToken":       49,
	"DecodeToken":     43,
	"EncodeToken":     11,
	"Fingerprint":     22,
}

// A number that has gone down is written down here, so that it stays there.
func TestAllocations(t *testing.T) {
	functions := hot(t)
	if len(functions) != len(mostAllocations) {
		t.Errorf("there are %d hot functions, and limits for %d", len(functions), len(mostAllocations))
	}
	for name, do := range functions {
		got := testing.AllocsPerRun(100, func() {
			if err := do(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		})
		t.Logf("%s: %.0f allocations", name, got)
		if want := mostAllocations[name]; got > want {
			t.Errorf("%s takes %.0f allocations instead of at most %.0f", name, got, want)
		}
	}
}
