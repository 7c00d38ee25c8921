package backend

import (
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// When an old value ends that the engine retires.
const (
	// retireByGrace is after rotation_grace_period, whoever still has it.
	retireByGrace = "grace"
	// retireAdopted is as soon as everybody who has read the token within reader_window has a newer one.
	retireAdopted = "adopted"
)

// longestWindow is in seconds: ten years.
const longestWindow = 10 * 365 * 24 * 60 * 60

// checkWindow refuses a window, in seconds, in which nobody can have read, or that is beyond all use.
func checkWindow(field string, window int) error {
	if window < 1 || window > longestWindow {
		return badInput("%s must be at least 1s and at most %s; 24h is usual", field, provider.DurationText(seconds(longestWindow)))
	}
	return nil
}

// readerWindow is for how long a reader counts after its last read.
func (e *tokenEntry) readerWindow() time.Duration {
	if e.ReaderWindow == 0 {
		return defaultReaderWindow * time.Second
	}
	return seconds(e.ReaderWindow)
}

// retireWhen is the policy's retire_after.
func (e *tokenEntry) retireWhen() string {
	if e.RetireWhen == retireAdopted {
		return retireAdopted
	}
	return retireByGrace
}

// waitsForReaders says whether an old value ends when its readers have a newer one, and not at a time.
func (t *token) waitsForReaders(old *rotation.Retiring) bool {
	return t.RetireWhen == retireAdopted && old.WaitsForReaders()
}

// waitsSince is from when on an old value waits for those who are behind: once its grace period is over, and all had the time to read.
func (t *token) waitsSince(old *rotation.Retiring) time.Time {
	if read := t.ReplacedAt(old.Version).Add(t.adoptionPause()); read.After(old.At) {
		return read
	}
	return old.At
}

// adoptionPause is how long everybody has at least to read a new version: consumers look again after refresh_ttl, and those with a lease
// when they renew it.
func (t *token) adoptionPause() time.Duration {
	return seconds(max(2*t.RefreshTTL, t.LeaseTTL))
}
