//go:build unix

package bench

import (
	"os"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestMain(m *testing.M) { os.Exit(vaulttest.Main(m)) }
