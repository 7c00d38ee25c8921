package main

import (
	"math"
	"testing"

	"github.com/hashicorp/vault/sdk/helper/pluginutil"
)

func TestReserve_IsLeftOutWhereItWouldCostMemory(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		environment map[string]string
		limit       int64
		want        int
	}{
		"nothing set":    {nil, math.MaxInt64, idleHeap},
		"GOGC":           {map[string]string{"GOGC": "200"}, math.MaxInt64, 0},
		"GOMEMLIMIT":     {nil, 96 << 20, 0},
		"a large limit":  {nil, 8 << 30, 0},
		"mlock":          {map[string]string{pluginutil.PluginMlockEnabled: "true"}, math.MaxInt64, 0},
		"mlock is off":   {map[string]string{pluginutil.PluginMlockEnabled: "false"}, math.MaxInt64, idleHeap},
		"GOGC and limit": {map[string]string{"GOGC": "off"}, 96 << 20, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := reserve(func(name string) string { return tc.environment[name] }, tc.limit); got != tc.want {
				t.Errorf("%d bytes are set aside, want %d", got, tc.want)
			}
		})
	}
}
