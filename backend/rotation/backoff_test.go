package rotation

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	limit := &provider.Error{Kind: provider.RateLimited, RetryAfter: 10 * time.Minute}
	tests := map[string]struct {
		failures int
		cause    error
		// low and high are what the jitter may make of it.
		low, high time.Duration
	}{
		"none yet":                   {failures: -1, low: 800 * time.Millisecond, high: 1200 * time.Millisecond},
		"first":                      {failures: 0, low: 800 * time.Millisecond, high: 1200 * time.Millisecond},
		"fourth":                     {failures: 3, low: 6400 * time.Millisecond, high: 9600 * time.Millisecond},
		"tenth":                      {failures: 9, low: 4 * time.Minute, high: 6 * time.Minute},
		"many":                       {failures: 1000, low: 4 * time.Minute, high: 6 * time.Minute},
		"a silence":                  {failures: 0, cause: errSilence, low: 800 * time.Millisecond, high: 1200 * time.Millisecond},
		"the provider asks for more": {failures: 0, cause: fmt.Errorf("listing keys: %w", limit), low: 10 * time.Minute, high: 10 * time.Minute},
		"the provider asks for less": {failures: 30, cause: &provider.Error{RetryAfter: time.Second}, low: 4 * time.Minute, high: 6 * time.Minute},
		"something else":             {failures: 1, cause: errors.New("disk full"), low: 1600 * time.Millisecond, high: 2400 * time.Millisecond},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			different := map[time.Duration]bool{}
			for range 200 {
				wait := backoff(tc.failures, time.Second, 5*time.Minute, tc.cause)
				if wait < tc.low || wait > tc.high {
					t.Fatalf("got %s, want %s to %s", wait, tc.low, tc.high)
				}
				different[wait] = true
			}
			if jitter := len(different) > 1; jitter != (tc.low != tc.high) {
				t.Errorf("%d different waits", len(different))
			}
		})
	}
}
