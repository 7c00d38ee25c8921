package backend

import (
	"fmt"
	"strconv"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

const (
	// shortestUsual is in seconds: who gives less as a bare number for one of the barePeriods has often meant minutes, hours or days.
	shortestUsual = 60 * 60
	// shortestForOperator is in seconds: see warnOfConsumers.
	shortestForOperator = 3
	// shortestVerification is in seconds: how often an account's tokens are verified at most, see schedule.Scheduler.
	shortestVerification = 60
)

// barePeriods are the periods that are rarely shorter than an hour.
var barePeriods = []string{"rotation_period", "verify_period", "rotation_grace_period", "rotate_before_expiry", "reader_window"}

// writtenPolicy is a write of a token's definition that was stored.
type writtenPolicy struct {
	*policyWrite
	token   *token
	account *account
	// isNew says that the write has made the token: then its plan is looked at whether the write speaks of it or not.
	isNew bool
}

// warn says in the response what the policy will do that its author may not expect.
func (w *writtenPolicy) warn(response *logical.Response) {
	w.warnOfBareNumbers(response)
	w.warnOfConsumers(response)
	w.warnOfPlan(response)
	w.warnOfHealing(response)
	w.warnOfPace(response)
	w.warnOfIdleFields(response)
}

func (w *writtenPolicy) warnOfBareNumbers(response *logical.Response) {
	for _, name := range barePeriods {
		if seconds := w.bareNumbers[name]; seconds > 0 && seconds < shortestUsual {
			response.AddWarning(fmt.Sprintf("%s=%d is %s; for other units write %[2]dm, %[2]dh or %[2]dd", name, seconds, inSeconds(seconds)))
		}
	}
}

func inSeconds(n int) string {
	if n == 1 {
		return "1 second"
	}
	return fmt.Sprintf("%d seconds", n)
}

// readBareNumbers finds the periods that were given as a number without a unit, in seconds by field.
func readBareNumbers(given map[string]any) map[string]int {
	numbers := map[string]int{}
	for _, name := range barePeriods {
		if seconds, ok := bareSeconds(given[name]); ok {
			numbers[name] = seconds
		}
	}
	return numbers
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
func (w *writtenPolicy) warnOfConsumers(response *logical.Response) {
	if w.refreshTTL != nil && w.token.RefreshTTL < shortestForOperator {
		response.AddWarning(fmt.Sprintf("refresh_ttl is %ds: Vault Secrets Operator takes a ttl below %ds for a rotation under way and turns "+
			"unhealthy; give at least %ds if it reads this token", w.token.RefreshTTL, shortestForOperator, shortestForOperator))
	}
	if w.leaseTTL != nil && w.token.LeaseTTL > 0 {
		response.AddWarning("with lease_ttl, reads of creds/ carry a lease: Vault Secrets Operator must then not have allowStaticCreds set " +
			"for this token, because it would read once and keep the old value after a rotation")
	}
}

// warnOfPlan says what comes of the rotation's plan, or of having none.
func (w *writtenPolicy) warnOfPlan(response *logical.Response) {
	if !w.isNew && w.rotationPeriod == nil && w.rotationSchedule == nil && w.disableAutomatedRotation == nil {
		return
	}
	t := w.token
	planned := t.RotationPeriod > 0 || t.RotationSchedule != ""
	if t.kind.ResetSemantics == provider.None {
		w.warnOfNothing(planned, response)
		return
	}
	byItself := w.byItself()
	switch {
	case planned && t.DisableAutomatedRotation:
		response.AddWarning("disable_automated_rotation is set, so rotation_period and rotation_schedule plan nothing")
	case planned && !byItself:
		response.AddWarning(fmt.Sprintf("only a person can replace a %s of this account, because the account has no reset hook: "+
			"when its time comes this token does not rotate, it becomes overdue until somebody hands a new value in", t.Type))
	case !planned && byItself && !t.DisableAutomatedRotation && t.nextRotation.IsZero(): // one that ends is replaced before
		response.AddWarning(fmt.Sprintf("the engine can rotate this token by itself and does not, because neither rotation_period nor "+
			"rotation_schedule is set: `vault write <mount>/tokens/%s rotation_period=30d` would have it rotate every 30 days", t.name))
	}
}

// byItself says whether the engine can rotate the token once it has a value.
func (w *writtenPolicy) byItself() bool {
	return w.token.kind.Keys != nil || w.token.kind.Renew != nil || w.account.Settings[fieldHookURL] != ""
}

// warnOfNothing says that there is nothing to rotate, where the policy wants it.
func (w *writtenPolicy) warnOfNothing(planned bool, response *logical.Response) {
	if planned {
		response.AddWarning(fmt.Sprintf("a %s has nothing to rotate, so rotation_period and rotation_schedule plan nothing", w.token.Type))
	}
}

// warnOfHealing says what comes of rotate_on_rejection where that is not what it says.
func (w *writtenPolicy) warnOfHealing(response *logical.Response) {
	t := w.token
	if !t.RotateOnRejection || w.rotateOnRejection == nil && w.disableAutomatedRotation == nil {
		return
	}
	switch {
	case t.kind.ResetSemantics == provider.None:
		response.AddWarning(fmt.Sprintf("a %s has nothing to rotate, so rotate_on_rejection does nothing", t.Type))
	case t.DisableAutomatedRotation:
		response.AddWarning("disable_automated_rotation is set, so rotate_on_rejection does nothing")
	case !w.byItself():
		response.AddWarning(fmt.Sprintf("only a person can replace a %s of this account, because the account has no reset hook: rotate_on_rejection does nothing until it has one", t.Type))
	case t.health() == rotation.HealthRejected && t.Pending == nil:
		response.AddWarning("the provider rejects the current value already, so rotate_on_rejection replaces it now")
	}
}

// warnOfPace tells of periods that are shorter than what they depend on.
func (w *writtenPolicy) warnOfPace(response *logical.Response) {
	t := w.token
	if w.verifyPeriod != nil && t.VerifyPeriod > 0 && t.VerifyPeriod < shortestVerification {
		response.AddWarning(fmt.Sprintf("verify_period is %ds, and the engine verifies the tokens of an account together about once a minute "+
			"at most, to stay below the provider's quota: verifications come later than that", t.VerifyPeriod))
	}
	grace := time.Duration(t.RotationGracePeriod) * time.Second
	if (w.rotationPeriod != nil || w.rotationGracePeriod != nil) && endsReplaced(t.kind) && t.RotationPeriod > 0 && grace >= t.RotationPeriod {
		response.AddWarning("rotation_grace_period is not shorter than rotation_period: " +
			"old values that are still to be retired pile up at the provider")
	}
}

// warnOfIdleFields tells of fields that the path has and this write had no use for.
func (w *writtenPolicy) warnOfIdleFields(response *logical.Response) {
	if (!w.isNew || w.token.Current == nil) && w.reasonOrVerify {
		response.AddWarning("reason and verify belong to a credential that is handed in; without one they do nothing")
	}
	if w.force {
		response.AddWarning("force is for deletions; it did nothing here")
	}
}
