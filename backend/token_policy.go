package backend

import (
	"hash/fnv"
	"maps"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/custommetadata"
	sdkrotation "github.com/hashicorp/vault/sdk/rotation"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// applyPolicy takes the fields of a write that say how the token is treated.
func (t *token) applyPolicy(d *framework.FieldData, now time.Time) error {
	for name, seconds := range t.durations() {
		if raw, ok := d.GetOk(name); ok {
			*seconds = raw.(int)
		}
	}
	if t.RefreshTTL < 1 {
		return badInput("refresh_ttl must be at least 1s")
	}
	if raw, ok := d.GetOk("custom_metadata"); ok {
		t.CustomMetadata = raw.(map[string]string)
		if err := custommetadata.Validate(t.CustomMetadata); err != nil {
			return badInput("custom_metadata must have at most 64 printable keys of up to 128 bytes, with values of 1 to 512 bytes")
		}
		for key, value := range t.CustomMetadata {
			if !plainText(key) || !plainText(value) {
				return badInput("custom_metadata must have at most 64 printable keys, with values " + textRule)
			}
		}
	}
	options := maps.Clone(t.Options)
	for _, f := range t.kind.Options {
		raw, ok := d.GetOk(f.Name)
		if !ok {
			continue
		}
		value, err := f.Canonical(raw.(string))
		if err != nil {
			return badInput("%s", err)
		}
		if options == nil {
			options = provider.Values{}
		}
		if options[f.Name] = value; value == "" {
			delete(options, f.Name)
		}
	}
	t.Options = options
	if err := t.applyRotationPolicy(d, now); err != nil {
		return err
	}
	t.planRotation()
	return nil
}

// durations are the policy's plain lengths of time, in seconds, by field.
func (t *token) durations() map[string]*int {
	return map[string]*int{
		"refresh_ttl":           &t.RefreshTTL,
		"verify_period":         &t.VerifyPeriod,
		"rotation_grace_period": &t.RotationGracePeriod,
		"lease_ttl":             &t.LeaseTTL,
	}
}

// applyRotationPolicy takes the fields of a write that say when the credential is replaced. Giving one of the two ways to plan takes
// the place of the other. That a person is late is told once for a version, whatever is written here.
func (t *token) applyRotationPolicy(d *framework.FieldData, now time.Time) error {
	period, _ := d.Get("rotation_period").(int)
	window, _ := d.Get("rotation_window").(int)
	expression, _ := d.Get("rotation_schedule").(string)
	expression = strings.TrimSpace(expression)
	if err := checkPlan(period, window, expression); err != nil {
		return err
	}
	if err := checkSchedule(expression, now); err != nil {
		return err
	}
	before := t.RotationSchedule
	if _, given := d.GetOk("rotation_schedule"); given || period != 0 {
		t.RotationSchedule = expression
	}
	if _, given := d.GetOk("rotation_period"); given || expression != "" {
		t.RotationPeriod = seconds(period)
	}
	if t.RotationSchedule != before {
		t.ScheduleSince = now.UTC()
	}
	if disable, given := d.GetOk("disable_automated_rotation"); given {
		t.DisableAutomatedRotation = disable.(bool)
	}
	if _, given := d.GetOk("rotation_window"); given || t.RotationSchedule == "" {
		t.RotationWindow = seconds(window)
	}
	return nil
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

// nextWork is when the token needs a step of a rotation, and a verification; the zero time where it needs none.
func (t *token) nextWork(now time.Time, source rotation.Source) (rotate, verify time.Time) {
	rotate = t.NextStep()
	due := t.rotationStart(now)
	if source == "" || t.PersonNeeded {
		due = t.overdueReport()
	}
	if !due.IsZero() && (rotate.IsZero() || due.Before(rotate)) {
		rotate = due
	}
	return rotate, t.nextVerification()
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
	if earliest := now.Add(-t.RotationWindow); t.RotationWindow > 0 && t.schedule != nil && t.nextRotation.Before(earliest) {
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
