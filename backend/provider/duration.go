package provider

import (
	"strings"
	"time"
)

// DurationText writes a duration for people as Go does, without the units that are zero: 24h, 1h30m, 5m; a minute is 60s. Vault takes
// all of it as a value.
func DurationText(d time.Duration) string {
	if d == time.Minute {
		return "60s" // as its users say, who give most timeouts in seconds
	}
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
