package main

import (
	"context"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend"
)

// intercept answers warm reads, before the sdk makes a logical.Request of them and JSON of the answer: half of a read's
// work on the plugin's side. It is a grpc.UnaryServerInterceptor, and everything else is the handler's.
//
// It is also where a panic of any call from Vault ends, which would end the process and with it all mounts.
func (m *mounts) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (reply any, err error) {
	defer func() {
		if value := recover(); value != nil {
			reply, err = nil, m.panicked(ctx, value)
		}
	}()
	args, ok := req.(*pb.HandleRequestArgs)
	if !ok || args.Request.GetOperation() != string(logical.ReadOperation) {
		return handler(ctx, req)
	}
	if data := args.Request.GetData(); data != "" && data != "null" && data != "{}" {
		return handler(ctx, req)
	}
	if args.Request.GetRequiresSnapshotID() != "" { // the engine refuses those
		return handler(ctx, req)
	}
	e := m.get(ctx)
	if e == nil {
		return handler(ctx, req)
	}
	data, warm := e.WarmRead(args.Request.GetPath(), backend.Reader{
		EntityID: args.Request.GetEntityID(), DisplayName: args.Request.GetDisplayName(),
		Accessor: args.Request.GetClientTokenAccessor(), Address: args.Request.GetConnection().GetRemoteAddr(),
	})
	if !warm {
		return handler(ctx, req)
	}
	return &pb.HandleRequestReply{Response: &pb.Response{Data: data}}, nil
}

// panicked logs what a call from Vault panicked with, and returns what Vault is told.
func (m *mounts) panicked(ctx context.Context, value any) error {
	logger := hclog.Default()
	if e := m.get(ctx); e != nil {
		logger = e.Logger()
	}
	backend.LogPanic(logger, "a call from Vault", "", value)
	return status.Error(codes.Internal, "a bug of this plugin ended the call; Vault's log has its stack. "+
		"It is not known how far the call has come")
}
