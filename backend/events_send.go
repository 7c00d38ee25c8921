package backend

import (
	"context"
	"errors"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// sendEvent tells the receivers of notifications, and Vault's subscribers, what happened at path. Pairs are metadata without secrets. A server without event
// notifications is no error and is named in the log once, and no event ever undoes what it speaks of.
func (b *backend) sendEvent(ctx context.Context, eventType, path string, pairs ...string) {
	b.tell(ctx, newHappening(eventType, nil, pairs))
	b.sendToVault(ctx, eventType, path, pairs)
}

// sendTokenEvent tells what happened to a token.
func (b *backend) sendTokenEvent(ctx context.Context, eventType string, t *token, pairs ...string) {
	reachPoint(t, pointEventSent)
	b.tell(ctx, newHappening(eventType, t, pairs))
	b.sendToVault(ctx, eventType, "tokens/"+t.name, append([]string{"name", t.name, "account", t.Account}, pairs...))
}

func (b *backend) sendToVault(ctx context.Context, eventType, path string, pairs []string) {
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

// dataPath is where to look after an event: after a rotation the new credential, else what the event is about.
func dataPath(eventType, path string) string {
	if name, ok := strings.CutPrefix(path, "tokens/"); ok && eventType == eventRotate {
		return "creds/" + name
	}
	return path
}
