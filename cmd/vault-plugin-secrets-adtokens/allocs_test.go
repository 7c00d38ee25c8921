//go:build !race

package main

import "testing"

// mostAllocations are how many pieces of memory a call may take: see package backend's.
var mostAllocations = map[string]float64{"WarmCreds": 4, "WarmAccessToken": 4}

func TestAllocations(t *testing.T) {
	for name, do := range hot(t) {
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
