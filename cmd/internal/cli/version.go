package cli

import (
	"cmp"
	"runtime/debug"
)

// version is that of the release, which the linker stamps: see the Makefile.
var version string

// Version is the stamped version, or what the Go toolchain knows: the module's version where `go install` has built it.
func Version() string {
	known := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		known = info.Main.Version
	}
	return cmp.Or(version, known, "unknown")
}
