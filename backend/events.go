package backend

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// Event types, in Vault's event notifications.
const (
	eventConfigWrite     = "adtokens/config-write"
	eventConfigDelete    = "adtokens/config-delete"
	eventTokenWrite      = "adtokens/token-write"
	eventProviderWrite   = "adtokens/provider-write"
	eventProviderDelete  = "adtokens/provider-delete"
	eventTokenDelete     = "adtokens/token-delete"
	eventRotate          = "adtokens/rotate"
	eventRotateFail      = "adtokens/rotate-fail"
	eventVerifyFail      = "adtokens/verify-fail"
	eventRetire          = "adtokens/retire"
	eventOverdue         = "adtokens/overdue"
	eventExpiring        = "adtokens/expiring"
	eventRetirementWaits = "adtokens/retirement-waits"
	eventCampaignDone    = "adtokens/campaign-done"
	eventIdentityChanged = "adtokens/identity-changed"
)

// ErrEventsUnsupported is what an EventSender returns where the server has no event notifications at all.
var ErrEventsUnsupported = errors.New("the server has no event notifications")

// eventTimeout bounds the sending: what happened has happened, and its caller is waiting.
const eventTimeout = 5 * time.Second

// eventOperations says what each event attests, and whether data changed that consumers hold.
var eventOperations = map[string]struct{ operation, modified string }{
	eventConfigWrite:     {"write", "true"},
	eventConfigDelete:    {"delete", "true"},
	eventTokenWrite:      {"write", "true"},
	eventProviderWrite:   {"write", "true"},
	eventProviderDelete:  {"delete", "true"},
	eventTokenDelete:     {"delete", "true"},
	eventRotate:          {"rotate", "true"},
	eventRotateFail:      {"rotate", "false"},
	eventVerifyFail:      {"verify", "false"},
	eventRetire:          {"retire", "false"},
	eventOverdue:         {"rotate", "false"},
	eventExpiring:        {"rotate", "false"},
	eventRetirementWaits: {"retire", "false"},
	eventCampaignDone:    {"rotate", "false"},
	eventIdentityChanged: {"verify", "false"},
}

// sendEvent tells Vault's subscribers what happened at path. Pairs are metadata without secrets. A server without event
// notifications is no error and is named in the log once, and no event ever undoes what it speaks of.
func (b *backend) sendEvent(ctx context.Context, eventType, path string, pairs ...string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), eventTimeout)
	defer cancel()
	kind := eventOperations[eventType]
	err := logical.SendEvent(ctx, b, eventType, append([]string{
		logical.EventMetadataPath, path,
		logical.EventMetadataDataPath, dataPath(eventType, path),
		logical.EventMetadataOperation, kind.operation,
		logical.EventMetadataModified, kind.modified,
	}, pairs...)...)
	switch {
	case err == nil, errors.Is(err, framework.ErrNoEvents):
	case errors.Is(err, ErrEventsUnsupported):
		b.eventsMissing.Do(func() {
			b.Logger().Info("the server has no event notifications, so no events are sent; metrics and status tell the same")
		})
	default:
		b.Logger().Warn("sending an event failed", "event", eventType, "path", path, "error", err)
	}
}

// sendTokenEvent tells what happened to a token.
func (b *backend) sendTokenEvent(ctx context.Context, eventType string, t *token, pairs ...string) {
	reachPoint(t, pointEventSent)
	b.sendEvent(ctx, eventType, "tokens/"+t.name, append([]string{"name", t.name, "account", t.Account}, pairs...)...)
}

// dataPath is where to look after an event: after a rotation the new credential, else what the event is about.
func dataPath(eventType, path string) string {
	if name, ok := strings.CutPrefix(path, "tokens/"); ok && eventType == eventRotate {
		return "creds/" + name
	}
	return path
}
