package main

import (
	"context"

	"github.com/hashicorp/vault/sdk/logical"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend"
)

// eventSender sends the engine's events to Vault. It tells the engine of a server that takes no events, as OpenBao answers to every
// event, by an error that the engine knows.
type eventSender struct{ logical.EventSender }

// SendEvent is part of logical.EventSender.
func (s eventSender) SendEvent(ctx context.Context, eventType logical.EventType, event *logical.EventData) error {
	err := s.EventSender.SendEvent(ctx, eventType, event)
	if status.Code(err) == codes.Unimplemented {
		return backend.ErrEventsUnsupported
	}
	return err
}
