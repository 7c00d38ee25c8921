package backend

import (
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// keyInfo is what a detailed list shows of the token.
func (t *token) keyInfo(now time.Time) map[string]any {
	return map[string]any{
		"account": t.Account, "type": t.Type, "version": t.Number(), "health": string(t.health()),
		"overdue": t.overdue(now), "next_vault_rotation": timestamp(t.nextRotation),
	}
}

// retiring lists what the engine is going to retire.
func (t *token) retiring() []any {
	list := make([]any, len(t.Retiring))
	for i, old := range t.Retiring {
		list[i] = map[string]any{"version": old.Version, "at": timestamp(old.At)}
	}
	return list
}

func verificationData(c *rotation.Check) map[string]any {
	if c == nil {
		return nil
	}
	return map[string]any{"at": timestamp(c.At), "outcome": string(c.Outcome), "detail": c.Detail}
}
