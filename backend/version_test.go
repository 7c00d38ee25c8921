package backend

import (
	"runtime/debug"
	"testing"
)

func TestVersionOf(t *testing.T) {
	t.Parallel()
	fetched := debug.Module{Version: "v0.2.0", Sum: "h1:abc="}
	for name, tc := range map[string]struct {
		stamped string
		main    debug.Module
		want    string
	}{
		"built by make":             {"v0.1.0", debug.Module{Version: "(devel)"}, "v0.1.0"},
		"built in a checkout":       {developmentVersion, debug.Module{Version: "v0.0.0-20261126211318-15a1dccc2281+dirty"}, developmentVersion},
		"installed by its version":  {developmentVersion, fetched, "v0.2.0"},
		"stamped and installed":     {"v0.3.0", fetched, "v0.3.0"},
		"nothing known of a module": {developmentVersion, debug.Module{}, developmentVersion},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := versionOf(tc.stamped, tc.main); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
