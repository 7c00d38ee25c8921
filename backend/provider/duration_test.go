package provider_test

import (
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func TestDurationText(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"0s": 0, "40s": 40 * time.Second, "60s": time.Minute, "1m30s": 90 * time.Second, "2m": 2 * time.Minute, "10m": 10 * time.Minute,
		"1h": time.Hour, "1h10m": 70 * time.Minute, "1h0m30s": time.Hour + 30*time.Second, "24h": 24 * time.Hour, "720h": 30 * 24 * time.Hour,
		"1.5s": 1500 * time.Millisecond,
	} {
		if got := provider.DurationText(d); got != want {
			t.Errorf("%d is written %q, want %q", d, got, want)
		}
		if got, err := time.ParseDuration(want); err != nil || got != d {
			t.Errorf("%q is read as %s, error %v", want, got, err)
		}
	}
}
