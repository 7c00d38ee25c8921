package backend

import "runtime/debug"

// Version is the plugin's semantic version, and Commit what it was built from. Both are stamped by the linker.
var (
	Version = "v0.1.0-dev"
	Commit  = ""
)

// userAgent is how the engine names itself to providers and to reset hooks, with the version that `info` shows.
func userAgent() string { return "vault-plugin-secrets-adtokens/" + Version }

// commit falls back on what the Go toolchain stamped.
func commit() string {
	if Commit != "" {
		return Commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
