package definition

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// duration is one as Vault takes it: 90d, 24h, 30s, or seconds as a number.
type duration time.Duration

var durationPart = provider.Pattern(`([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)`)

var durationUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
}

// maxDuration keeps sums of times in the range of Go's.
const maxDuration = 100 * 365 * 24 * time.Hour

// UnmarshalJSON takes what the schema takes; anything else is zero.
func (d *duration) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) != nil {
		text = string(data)
	}
	total := 0.0
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		total = seconds * float64(time.Second)
	}
	for _, part := range durationPart().FindAllStringSubmatch(text, -1) {
		number, err := strconv.ParseFloat(part[1], 64)
		if err != nil {
			number = math.Inf(1)
		}
		total += number * float64(durationUnits[part[2]])
	}
	*d = duration(min(max(total, 0), float64(maxDuration)))
	return nil
}

const maxDurationSeconds = float64(maxDuration / time.Second)
