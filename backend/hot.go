package backend

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/helper/pluginutil"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Reads of creds/ and access-token/ are what apps send all the time, so they take two short cuts. One that is warm, which
// means that the same token and account gave the same answer before, gets that answer from Mounts.Intercept. Any other
// is answered by what hotRead finds.

// hotRead finds what answers a read that apps send all the time; nil where the framework has to look at the request. Any
// node answers these reads, and they take no fields; yet the framework would ask Vault's process at each request whether
// to forward it, and that costs as much as all the rest of the work.
func hotRead(req *logical.Request) (read func(*backend, context.Context, logical.Storage, string) (*logical.Response, error), name string) {
	if req.Operation != logical.ReadOperation || len(req.Data) > 0 {
		return nil, ""
	}
	name, isCreds, ok := hotName(req.Path)
	switch {
	case !ok || !validName.MatchString(name):
		return nil, ""
	case isCreds:
		return (*backend).readCreds, name
	default:
		return (*backend).readAccessToken, name
	}
}

// errNoSnapshots refuses to read from a loaded snapshot of Vault's storage. What this engine answers comes from its cache of the
// storage of today, so it must not look like an answer from the snapshot. Vault does not send such requests to a plugin that does
// not declare paths for them.
var errNoSnapshots = badInput("this engine does not read from snapshots; restore the snapshot to another Vault, and read there")

// hotName finds the token of a path below creds/ or access-token/.
func hotName(path string) (name string, isCreds, ok bool) {
	if name, ok = strings.CutPrefix(path, credsPrefix); ok {
		return name, true, true
	}
	name, ok = strings.CutPrefix(path, accessTokenPrefix)
	return name, false, ok
}

// warmAnswer is what a read of a token gave, as JSON. It is good for as long as the token and the account are the ones that
// it was made of, because those never change: what is written makes new ones.
type warmAnswer struct {
	account *account
	// until is when it is not given any more; zero for no such time.
	until time.Time
	// data is the object without its end, which is the ttl: that is another one at each read.
	data string
}

// remember keeps the answer to a read, unless it holds more than data.
func (t *token) remember(in *atomic.Pointer[warmAnswer], a *account, until time.Time, response *logical.Response) *logical.Response {
	if old := in.Load(); old != nil && old.account == a && old.until.Equal(until) {
		return response
	}
	if response.Secret != nil || len(response.Warnings) > 0 {
		return response
	}
	ttl := response.Data["ttl"]
	delete(response.Data, "ttl")
	data, err := json.Marshal(response.Data)
	if response.Data["ttl"] = ttl; err == nil {
		in.Store(&warmAnswer{account: a, until: until, data: string(data[:len(data)-1]) + `,"ttl":`})
	}
	return response
}

// ttlUntil is ttl, where what is read ends at a time of its own.
func (t *token) ttlUntil(end, now time.Time) int {
	ttl := t.ttl(now)
	if !end.IsZero() {
		ttl = min(ttl, int(end.Sub(now).Seconds()))
	}
	return max(ttl, 1)
}

// Mounts are those that the plugin's process serves. The zero value is ready for use.
type Mounts struct {
	// ReservedHeap is how many bytes of the heap the process has set aside and does not use. The metrics leave them out.
	ReservedHeap int

	mu sync.RWMutex
	// byID has the names by which Vault tells mounts apart on the connection that they share.
	byID map[string]*backend
}

// add knows the mount until it is closed. One without an ID has the process to itself, and is served without short cuts.
func (m *Mounts) add(ctx context.Context, b *backend) {
	b.metrics.reservedHeap = m.ReservedHeap
	id := multiplexID(ctx)
	if id == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byID == nil {
		m.byID = map[string]*backend{}
	}
	m.byID[id] = b
	clean := b.Clean
	b.Clean = func(ctx context.Context) {
		m.remove(id, b)
		clean(ctx)
	}
}

func (m *Mounts) remove(id string, b *backend) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byID[id] == b {
		delete(m.byID, id)
	}
}

func (m *Mounts) get(ctx context.Context) *backend {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.byID[multiplexID(ctx)]
}

// multiplexID is empty where there is none. Vault sends one at most; the sdk's function for it copies all metadata.
func multiplexID(ctx context.Context) string {
	return strings.Join(metadata.ValueFromIncomingContext(ctx, pluginutil.MultiplexingCtxKey), " ")
}

// Intercept answers warm reads, before the sdk makes a logical.Request of them and JSON of the answer: half of a read's
// work on the plugin's side. It is a grpc.UnaryServerInterceptor, and everything else is the handler's.
//
// It is also where a panic of any call from Vault ends, which would end the process and with it all mounts.
func (m *Mounts) Intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (reply any, err error) {
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
	if args.Request.GetRequiresSnapshotID() != "" { // see errNoSnapshots
		return handler(ctx, req)
	}
	b := m.get(ctx)
	if b == nil {
		return handler(ctx, req)
	}
	data, warm := b.warmRead(args.Request.GetPath())
	if !warm {
		return handler(ctx, req)
	}
	return &pb.HandleRequestReply{Response: &pb.Response{Data: data}}, nil
}

// panicked logs what a call from Vault panicked with, and returns what Vault is told.
func (m *Mounts) panicked(ctx context.Context, value any) error {
	logger := hclog.Default()
	if b := m.get(ctx); b != nil {
		logger = b.Logger()
	}
	logPanic(logger, "a call from Vault", "", value)
	return status.Error(codes.Internal, "a bug of this plugin ended the call; Vault's log has its stack. "+
		"It is not known how far the call has come")
}

// warmRead is the answer that the same read gave before, with the ttl of now.
func (b *backend) warmRead(path string) (data string, warm bool) {
	name, isCreds, ok := hotName(path)
	if !ok {
		return "", false
	}
	t := b.tokens.Peek(name)
	if t == nil {
		return "", false
	}
	a := b.accounts.Peek(t.Account)
	known := t.accessTokenAnswer.Load()
	if isCreds {
		known = t.credsAnswer.Load()
	}
	now := b.now()
	if a == nil || known == nil || known.account != a || !known.until.IsZero() && !now.Before(known.until) {
		return "", false
	}
	return known.data + strconv.Itoa(t.ttlUntil(known.until, now)) + "}", true
}
