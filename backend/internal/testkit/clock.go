// Package testkit is what tests share: a clock that stands still, storage that fails, and requests as Vault sends them. Only
// tests import it; the linter says so.
package testkit

import (
	"sync/atomic"
	"time"
)

// Epoch is when all clocks begin. It is the real time, because some of what tests work with (certificates, deadlines of
// requests) goes by that.
var Epoch = time.Now().Truncate(time.Second)

// Clock stands still unless a test moves it.
type Clock struct{ offset atomic.Int64 }

// Now is the time that the clock shows.
func (c *Clock) Now() time.Time { return Epoch.Add(time.Duration(c.offset.Load())) }

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) { c.offset.Add(int64(d)) }
