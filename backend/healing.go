package backend

import (
	"fmt"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// reasonRejected is the reason of a rotation that began because the provider rejects the value.
const reasonRejected = "rejected by the provider"

// heals says whether the policy has a rejected value replaced at once.
func (t *token) heals(from rotation.Source) bool {
	return t.RotateOnRejection && !t.DisableAutomatedRotation && from != ""
}

// nextHealing is when a rotation begins because the provider rejects the current value, or when to tell that none does; zero where neither
// comes.
func (t *token) nextHealing(now time.Time, from rotation.Source) time.Time {
	if !t.heals(from) {
		return time.Time{}
	}
	if last, next := t.HealingUsedUp(now); !next.IsZero() && !t.HealingTold() {
		return last
	}
	return t.NextHealing(now)
}

// mustHeal says whether a rotation begins now because the provider rejects the current value.
func (t *token) mustHeal(now time.Time, from rotation.Source) bool {
	next := t.NextHealing(now)
	return t.heals(from) && !next.IsZero() && !next.After(now)
}

// healingProblem says that no other rotation begins by itself, although the provider rejects the current value; empty where one may.
func (t *token) healingProblem(now time.Time) string {
	last, next := t.HealingUsedUp(now)
	if next.IsZero() || !t.RotateOnRejection || t.DisableAutomatedRotation {
		return ""
	}
	return fmt.Sprintf("the provider rejects version %d, and rotate_on_rejection has begun %d rotations within 24 hours, the last one at %s, which is as many as may: "+
		"this waits for a person. The engine begins no other by itself before %s", t.Number(), rotation.MaxHealings,
		last.UTC().Format(time.RFC3339), next.UTC().Format(time.RFC3339))
}
