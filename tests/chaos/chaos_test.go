//go:build unix

// Package chaos breaks things on purpose: processes, networks, providers and storage fail while the engine works.
package chaos

import (
	"os"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestMain(m *testing.M) { os.Exit(vaulttest.Main(m)) }
