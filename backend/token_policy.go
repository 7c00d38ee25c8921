package backend

import (
	"hash/fnv"
	"maps"
	"time"

	"github.com/hashicorp/vault/sdk/helper/custommetadata"
	sdkrotation "github.com/hashicorp/vault/sdk/rotation"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// policyWrite is what a write says of how a token is treated. What is nil was left out. The path file that made it has refused what does
// not fit.
type policyWrite struct {
	// These are in seconds.
	refreshTTL, verifyPeriod, rotationGracePeriod, leaseTTL *int
	rotateBeforeExpiry, readerWindow                        *int
	rotationPeriod, rotationWindow                          *int
	rotationSchedule                                        *string
	retireAfter                                             *string
	disableAutomatedRotation, rotateOnRejection             *bool
	customMetadata                                          map[string]string
	// options are those of the token's type, in canonical form; empty ones are to be removed.
	options provider.Values
	// bareNumbers are the periods that came as a number without a unit, in seconds by field.
	bareNumbers map[string]int
	// reasonOrVerify says that a field came that belongs to a credential, and force that the field of a deletion did.
	reasonOrVerify, force bool
}

// check refuses values that exclude each other, are too small, or mean nothing.
func (w *policyWrite) check(now time.Time) error {
	if w.refreshTTL != nil && *w.refreshTTL < 1 {
		return badInput("refresh_ttl must be at least 1s")
	}
	if err := w.checkAdoption(); err != nil {
		return err
	}
	if err := checkCustomMetadata(w.customMetadata); err != nil {
		return err
	}
	expression := orZero(w.rotationSchedule)
	if err := checkPlan(orZero(w.rotationPeriod), orZero(w.rotationWindow), expression); err != nil {
		return err
	}
	return checkSchedule(expression, now)
}

// checkAdoption refuses what does not say when an old value ends.
func (w *policyWrite) checkAdoption() error {
	if when := w.retireAfter; when != nil && *when != retireByGrace && *when != retireAdopted {
		return badInput("retire_after must be %s (an old value ends with its rotation_grace_period) or %s (once everybody who reads the token has a newer one)",
			retireByGrace, retireAdopted)
	}
	if w.readerWindow != nil {
		return checkWindow("reader_window", *w.readerWindow)
	}
	return nil
}

// checkCustomMetadata refuses what Vault takes nowhere, and what could deceive whoever reads it.
func checkCustomMetadata(metadata map[string]string) error {
	if err := custommetadata.Validate(metadata); err != nil {
		return badInput("custom_metadata must have at most 64 printable keys of up to 128 bytes, with values of 1 to 512 bytes")
	}
	for key, value := range metadata {
		if !plainText(key) || !plainText(value) {
			return badInput("custom_metadata must have at most 64 printable keys, with values " + textRule)
		}
	}
	return nil
}

// applyPolicy changes the token as a write says.
func (t *token) applyPolicy(w *policyWrite, now time.Time) {
	for _, length := range []struct{ current, given *int }{
		{&t.RefreshTTL, w.refreshTTL},
		{&t.VerifyPeriod, w.verifyPeriod},
		{&t.RotationGracePeriod, w.rotationGracePeriod},
		{&t.LeaseTTL, w.leaseTTL},
	} {
		if length.given != nil {
			*length.current = *length.given
		}
	}
	if w.rotateBeforeExpiry != nil {
		t.RotateBeforeExpiry = w.rotateBeforeExpiry
	}
	if w.rotateOnRejection != nil {
		t.RotateOnRejection = *w.rotateOnRejection
	}
	if w.readerWindow != nil {
		t.ReaderWindow = *w.readerWindow
	}
	if w.retireAfter != nil {
		t.RetireWhen = *w.retireAfter
	}
	if w.customMetadata != nil {
		t.CustomMetadata = w.customMetadata
	}
	if len(w.options) > 0 {
		options := provider.Values{}
		maps.Copy(options, t.Options)
		maps.Copy(options, w.options)
		maps.DeleteFunc(options, func(_, value string) bool { return value == "" })
		t.Options = options
	}
	t.applyRotationPolicy(w, now)
	t.planRotation()
}

// checkOptions applies the type's rules for its options as a whole.
func (t *token) checkOptions() error {
	if t.kind.CheckOptions == nil {
		return nil
	}
	if err := t.kind.CheckOptions(t.Options); err != nil {
		return badInput("%s", err)
	}
	return nil
}

// applyRotationPolicy changes when the credential is replaced. Giving one of the two ways to plan takes the place of the other. That a
// person is late is told once for a version, whatever is written here.
func (t *token) applyRotationPolicy(w *policyWrite, now time.Time) {
	period, window, expression := orZero(w.rotationPeriod), orZero(w.rotationWindow), orZero(w.rotationSchedule)
	before := t.RotationSchedule
	if w.rotationSchedule != nil || period != 0 {
		t.RotationSchedule = expression
	}
	if w.rotationPeriod != nil || expression != "" {
		t.RotationPeriod = seconds(period)
	}
	if t.RotationSchedule != before {
		t.ScheduleSince = now.UTC()
	}
	if w.disableAutomatedRotation != nil {
		t.DisableAutomatedRotation = *w.disableAutomatedRotation
	}
	if w.rotationWindow != nil || t.RotationSchedule == "" {
		t.RotationWindow = seconds(window)
	}
}

// orZero is what a field was given, or the zero value where it was left out.
func orZero[T any](given *T) (value T) {
	if given != nil {
		value = *given
	}
	return value
}

// checkPlan refuses ways to plan that exclude each other, and a window that is too short or without a schedule.
func checkPlan(period, window int, expression string) error {
	if window != 0 {
		if err := sdkrotation.DefaultScheduler.ValidateRotationWindow(window); err != nil {
			return badInput("%s", err)
		}
	}
	switch {
	case period != 0 && expression != "":
		return badInput("rotation_period and rotation_schedule exclude each other: give only one of them")
	case period != 0 && window != 0:
		return badInput("rotation_window is for a rotation_schedule; a rotation_period has none")
	case window != 0 && expression == "":
		return badInput("rotation_window is for a rotation_schedule: give rotation_schedule in the same write")
	}
	return nil
}

// nextWork is when the token needs a step of a rotation, and a verification; the zero time where it needs none. ends says when to look at
// an old value.
func (t *token) nextWork(now time.Time, source rotation.Source, ends func(*rotation.Retiring) time.Time) (rotate, verify time.Time) {
	due := t.rotationStart(now)
	if source == "" || t.PersonNeeded {
		due = t.overdueReport()
	}
	rotate = sooner(sooner(t.NextStepWith(ends), due), sooner(t.expiryReport(), t.nextHealing(now, source)))
	if t.Consent != nil {
		rotate = sooner(rotate, t.Consent.ExpiresAt)
	}
	return rotate, t.nextVerification()
}

// nextRefresh is when the engine refreshes the credential by itself; zero where it does not. A refused one is left alone.
func (t *token) nextRefresh() time.Time {
	switch {
	case t.kind.Refresh == nil || t.Current == nil:
		return time.Time{}
	case t.Refreshing != nil:
		return t.Refreshing.NextTry
	case t.kind.Refresh.KeepAlive == 0 || t.Health == rotation.HealthRejected:
		return time.Time{}
	}
	last := t.Current.PublishedAt
	if refreshed := t.Current.Refreshed.Last(); refreshed.After(last) {
		last = refreshed
	}
	return last.Add(t.kind.Refresh.KeepAlive)
}

// rotationStart is when the policy may start the next rotation: not while a person is needed, not before the last failure's wait is over, and only
// within rotation_window of a scheduled time.
func (t *token) rotationStart(now time.Time) time.Time {
	start := t.nextRotation
	if start.IsZero() || t.PersonNeeded || t.Pending != nil && !t.Pending.Stalled() {
		return time.Time{}
	}
	if t.RetryAt.After(start) {
		start = t.RetryAt
	}
	if earliest := now.Add(-t.RotationWindow); t.RotationWindow > 0 && t.schedule != nil && !t.dueByExpiry() && t.nextRotation.Before(earliest) {
		// Its window is over, so the policy waits for the next scheduled time whose window is not.
		if start = t.schedule.Next(earliest); t.RetryAt.After(start) {
			start = t.RetryAt
		}
	}
	return start
}

// overdueReport is when to tell that a person is late with a rotation; zero where that was told.
func (t *token) overdueReport() time.Time {
	if t.OverdueReported {
		return time.Time{}
	}
	return t.nextRotation
}

const (
	// firstTrial is when a version that was published with verify=false is tried first, and maxTrialWait how long it waits at most
	// for the next time.
	firstTrial   = 30 * time.Second
	maxTrialWait = time.Hour
)

// nextVerification is when the next check is due: the routine one, or an earlier one of a version that was published untried. A tenth
// of jitter, fixed for each token, spreads those that were imported together.
func (t *token) nextVerification() time.Time {
	if t.Current == nil {
		return time.Time{}
	}
	since := t.Current.PublishedAt
	if t.LastVerification != nil {
		since = t.LastVerification.At
	}
	period := time.Duration(t.VerifyPeriod) * time.Second
	if t.untried() {
		// As long again as it has been untried so far, which doubles the wait each time.
		wait := min(max(since.Sub(t.Current.PublishedAt), firstTrial), maxTrialWait)
		if period == 0 || wait < period {
			period = wait
		}
	}
	if period == 0 {
		return time.Time{}
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(t.name)) // a hash takes everything
	return since.Add(period - period/1000*time.Duration(hash.Sum32()%100))
}
