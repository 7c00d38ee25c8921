package backend

import "time"

// showPolicy puts what the policy says into the answer, where it does not leave the default.
func (t *token) showPolicy(data map[string]any) {
	if t.RetireWhen == retireAdopted {
		data["retire_after"] = retireAdopted
	}
	if t.ReaderWindow > 0 {
		data["reader_window"] = t.ReaderWindow
	}
	if t.RotateBeforeExpiry != nil {
		data["rotate_before_expiry"] = *t.RotateBeforeExpiry
	}
}

// tokenProblems are what a reader of the token's definition has to know of it.
func (b *backend) tokenProblems(t *token, now time.Time) (problems []string) {
	for _, problem := range []string{t.planProblem, t.healingProblem(now), t.identityProblem(now)} {
		if problem != "" {
			problems = append(problems, problem)
		}
	}
	if t.overdue(now) {
		problems = append(problems, "the rotation of this token is overdue since "+t.nextRotation.UTC().Format(time.RFC3339)+
			"; "+readRunbook(t.name)+" tells how it is replaced")
	}
	problems = append(problems, b.retirementWarnings(t)...)
	if ended := b.endedWarning(t); ended != "" {
		problems = append(problems, ended)
	}
	return problems
}
