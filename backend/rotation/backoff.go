package rotation

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// backoff is the Backoff after a failure with that cause: never shorter than the provider asks.
func backoff(failures int, first, longest time.Duration, cause error) time.Duration {
	var asked time.Duration
	if silence, ok := errors.AsType[*provider.Error](cause); ok {
		asked = silence.RetryAfter
	}
	return Backoff(failures, first, longest, asked)
}

// Backoff is how long to wait after the given number of earlier failures: doubling from first to longest, with a fifth of jitter either
// way, and never shorter than asked.
func Backoff(failures int, first, longest, asked time.Duration) time.Duration {
	wait := longest
	// Beyond 2^20 the longest wait holds for every pair in use, and the shift would overflow.
	if failures < 20 {
		wait = min(first<<max(failures, 0), longest)
	}
	wait = time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // jitter is no secret
	return max(wait, asked)
}
