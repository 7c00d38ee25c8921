//go:build unix

package matrix

import (
	"bytes"
	"os"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestFailPointsAreInTheirOwnBuildOnly(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		flags []string
		there bool
	}{
		"as it is released":       {there: false},
		"with the tag failpoints": {flags: []string{"-tags", "failpoints"}, there: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := vaulttest.BuildProgram(t, "cmd/"+vaulttest.PluginName, "plugin "+name, tt.flags...)
			binary, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if there := bytes.Contains(binary, []byte("ADTOKENS_FAILPOINTS")); there != tt.there {
				t.Errorf("the plugin has fail points: %t", there)
			}
		})
	}
}
