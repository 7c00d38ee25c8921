package backend

import "runtime/debug"

// developmentVersion is that of a build that nobody has stamped.
const developmentVersion = "v0.1.0-dev"

// Version is the plugin's semantic version, and Commit what it was built from. Both are stamped by the linker; what
// `go install` builds has the version of the module that it fetched.
var (
	Version = developmentVersion
	Commit  = ""
)

func init() {
	if info, ok := debug.ReadBuildInfo(); ok {
		Version = versionOf(Version, info.Main)
	}
}

// versionOf is the stamped version, or that of the module. Only a module that was fetched has a checksum: the toolchain
// makes versions up for what is built in a checkout, which change with every commit.
func versionOf(stamped string, main debug.Module) string {
	if stamped != developmentVersion || main.Sum == "" || main.Version == "" {
		return stamped
	}
	return main.Version
}

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
