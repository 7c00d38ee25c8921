//go:build tools

// Package vault pins the Vault server that the tests and the demo run, away from the plugin's own go.mod.
package vault

import _ "github.com/hashicorp/vault"
