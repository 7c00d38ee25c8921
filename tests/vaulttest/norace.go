//go:build !race

package vaulttest

const raceEnabled = false
