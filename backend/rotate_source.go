package backend

import (
	"fmt"

	"github.com/hashicorp/go-uuid"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// source says how the engine gets a new value for the token by itself; empty where it cannot, as for the first of all
// keys: the others are made with the rights of the one before.
func source(a *account, t *token) rotation.Source {
	switch {
	case t.kind.ResetSemantics == provider.None:
		return ""
	case t.kind.Keys != nil && t.Current == nil:
		return ""
	case t.kind.Keys != nil:
		return rotation.SourceIAM
	case t.kind.Renew != nil && t.Current != nil:
		return rotation.SourceAPI
	case a.Settings[fieldHookURL] != "":
		return rotation.SourceHook
	}
	return ""
}

// reasonScheduled is the reason of a rotation that the policy asked for.
const reasonScheduled = "scheduled"

// newRotation is the intent of an automatic rotation.
func newRotation(source rotation.Source, reason string) (rotation.Pending, error) {
	id, err := uuid.GenerateUUID()
	if err != nil {
		return rotation.Pending{}, fmt.Errorf("making an idempotency key: %w", err)
	}
	return rotation.Pending{ID: id, Source: source, Reason: reason}, nil
}
