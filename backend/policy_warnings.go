package backend

import (
	"fmt"
	"strconv"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const (
	// shortestUsual is in seconds: who gives less as a bare number for one of the barePeriods has often meant minutes, hours or days.
	shortestUsual = 60 * 60
	// shortestForOperator is in seconds: see warnOfConsumers.
	shortestForOperator = 3
	// shortestVerification is in seconds: how often an account's tokens are verified at most, see rotation.Scheduler.
	shortestVerification = 60
)

// barePeriods are the periods that are rarely shorter than an hour.
var barePeriods = []string{"rotation_period", "verify_period", "rotation_grace_period"}

// warnOfPolicy says in the response to a write what the policy will do that its author may not expect. A new token has all its policy
// looked at, an old one what was written.
func warnOfPolicy(response *logical.Response, req *logical.Request, d *framework.FieldData, t *token, a *account, isNew bool) {
	given := func(names ...string) bool {
		for _, name := range names {
			if _, ok := d.GetOk(name); ok {
				return true
			}
		}
		return false
	}
	for _, name := range barePeriods {
		if seconds, ok := bareSeconds(req.Data[name]); ok && seconds > 0 && seconds < shortestUsual {
			response.AddWarning(fmt.Sprintf("%s=%d is %d seconds; for other units write %dm, %dh or %dd", name, seconds, seconds, seconds, seconds, seconds))
		}
	}
	warnOfConsumers(response, t, given)
	if isNew || given("rotation_period", "rotation_schedule", "disable_automated_rotation") {
		warnOfPlan(response, t, a)
	}
	if given("verify_period") && t.VerifyPeriod > 0 && t.VerifyPeriod < shortestVerification {
		response.AddWarning(fmt.Sprintf("verify_period is %ds, and the engine verifies the tokens of an account together about once a minute at most, "+
			"to stay below the provider's quota: verifications come later than that", t.VerifyPeriod))
	}
	if _, isKey := keyRotator(a, t); given("rotation_period", "rotation_grace_period") && isKey && t.RotationPeriod > 0 &&
		time.Duration(t.RotationGracePeriod)*time.Second >= t.RotationPeriod {
		response.AddWarning("rotation_grace_period is not shorter than rotation_period: old values that are still to be retired pile up at the provider")
	}
	if !isNew && given("reason", "verify") || isNew && t.Current == nil && given("reason") {
		response.AddWarning("reason and verify belong to a credential that is handed in; without one they do nothing")
	}
	if given(fieldForce) {
		response.AddWarning("force is for deletions; it did nothing here")
	}
}

// bareSeconds is a duration that was given as a number without a unit.
func bareSeconds(raw any) (int, bool) {
	switch v := raw.(type) {
	case int:
		return v, true
	case float64:
		return int(v), true
	case string:
		seconds, err := strconv.Atoi(v)
		return seconds, err == nil
	}
	return 0, false
}

// warnOfConsumers tells of settings that Vault Secrets Operator cannot live with: it takes a ttl of 1 or 2 seconds for the moment of a
// rotation, and for good as a failure; and with allowStaticCreds it never renews a read that has a lease.
func warnOfConsumers(response *logical.Response, t *token, given func(...string) bool) {
	if given("refresh_ttl") && t.RefreshTTL < shortestForOperator {
		response.AddWarning(fmt.Sprintf("refresh_ttl is %ds: Vault Secrets Operator takes a ttl below %ds for a rotation under way and turns unhealthy; give at least %ds if it reads this token",
			t.RefreshTTL, shortestForOperator, shortestForOperator))
	}
	if given("lease_ttl") && t.LeaseTTL > 0 {
		response.AddWarning("with lease_ttl, reads of creds/ carry a lease: Vault Secrets Operator must then not have allowStaticCreds set for this token, " +
			"because it would read once and keep the old value after a rotation")
	}
}

// warnOfPlan says what comes of the rotation's plan, or of having none.
func warnOfPlan(response *logical.Response, t *token, a *account) {
	planned := t.RotationPeriod > 0 || t.RotationSchedule != ""
	_, isKey := keyRotator(a, t)
	byItself := isKey || a.Settings[fieldHookURL] != ""
	switch {
	case planned && t.DisableAutomatedRotation:
		response.AddWarning("disable_automated_rotation is set, so rotation_period and rotation_schedule plan nothing")
	case planned && !byItself:
		response.AddWarning(fmt.Sprintf("only a person can replace a %s of this account, because the account has no reset hook: when its time comes this token does not rotate, "+
			"it becomes overdue until somebody hands a new value in", t.Type))
	case !planned && byItself && !t.DisableAutomatedRotation:
		response.AddWarning(fmt.Sprintf("the engine can rotate this token by itself and does not, because neither rotation_period nor rotation_schedule is set: "+
			"`vault write <mount>/tokens/%s rotation_period=30d` would have it rotate every 30 days", t.name))
	}
}
