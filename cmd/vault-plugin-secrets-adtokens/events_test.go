package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend"
)

// answering is a server that answers every event with an error, or nil.
type answering struct{ err error }

func (a answering) SendEvent(context.Context, logical.EventType, *logical.EventData) error {
	return a.err
}

func TestEventSender_TellsAServerWithoutEventsFromOneThatFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err         error
		unsupported bool
	}{
		"sent":                {nil, false},
		"no such service":     {status.Error(codes.Unimplemented, "unknown service pb.Events"), true},
		"no such service, in": {fmt.Errorf("sending: %w", status.Error(codes.Unimplemented, "unknown service pb.Events")), true},
		"out of reach":        {status.Error(codes.Unavailable, "the transport is closing"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := eventSender{answering{tc.err}}.SendEvent(t.Context(), "adtokens/rotate", nil)
			if errors.Is(err, backend.ErrEventsUnsupported) != tc.unsupported || (err == nil) != (tc.err == nil) {
				t.Errorf("got %v for %v", err, tc.err)
			}
		})
	}
}
