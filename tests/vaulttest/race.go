//go:build race

package vaulttest

// raceEnabled says that this test binary was built with -race, so the plugin is too.
const raceEnabled = true
