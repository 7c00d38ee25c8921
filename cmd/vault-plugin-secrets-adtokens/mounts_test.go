package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/helper/pluginutil"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin/pb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// world is an engine behind the interceptor, beside simulated providers. It has the tokens acme-rw and key.
type world struct {
	mounts  mounts
	engine  logical.Backend
	storage *logical.InmemStorage
	// ctx is that of requests to the engine.
	ctx context.Context
}

// onMount is the context of a request to the mount of the ID.
func onMount(ctx context.Context, id string) context.Context {
	return metadata.NewIncomingContext(ctx, metadata.Pairs(pluginutil.MultiplexingCtxKey, id))
}

func newWorld(tb testing.TB, log io.Writer) *world {
	tb.Helper()
	w := &world{storage: &logical.InmemStorage{}, ctx: onMount(tb.Context(), "one")}
	config := logical.TestBackendConfig()
	config.StorageView = w.storage
	config.Logger = hclog.New(&hclog.LoggerOptions{Output: log})
	made, err := w.mounts.factory(w.ctx, config)
	if err != nil {
		tb.Fatal(err)
	}
	w.engine = made
	tb.Cleanup(func() { made.Cleanup(context.WithoutCancel(w.ctx)) })
	server, err := simulator.Start(simulator.ServerOptions{})
	if err != nil {
		tb.Fatalf("starting the simulators: %v", err)
	}
	tb.Cleanup(func() { server.Close() })
	w.fill(tb, server)
	return w
}

// fill configures both providers with a token each.
func (w *world) fill(tb testing.TB, server *simulator.Server) {
	tb.Helper()
	impact, err := server.Client().ImpactCredentials(tb.Context(), "agency")
	if err != nil {
		tb.Fatal(err)
	}
	key, err := server.Client().ServiceAccountKey(tb.Context(), simulator.DefaultName)
	if err != nil {
		tb.Fatal(err)
	}
	w.write(tb, "config/acme", map[string]any{"provider": "impact", "account_type": "agency", "base_url": server.ImpactURL})
	w.write(tb, "tokens/acme-rw", map[string]any{
		"account": "acme", "type": "legacy_read_write",
		"account_sid": impact.ReadWrite.AccountSID, "auth_token": impact.ReadWrite.AuthToken,
	})
	w.write(tb, "config/google", map[string]any{
		"provider": "google_ads", "service_account_key": string(key),
		"base_url": server.GoogleURL, "token_url": server.GoogleURL + "/token", "iam_url": server.GoogleURL,
	})
	w.write(tb, "tokens/key", map[string]any{"account": "google", "type": "service_account_key", "service_account_key": string(key)})
}

func (w *world) write(tb testing.TB, path string, data map[string]any) {
	tb.Helper()
	response, err := w.engine.HandleRequest(w.ctx, &logical.Request{
		Operation: logical.CreateOperation, Path: path, Data: data, Storage: w.storage,
	})
	if err == nil {
		err = response.Error()
	}
	if err != nil {
		tb.Fatalf("writing %s: %v", path, err)
	}
}

// read is a read as Vault sends it.
func read(path string) *pb.HandleRequestArgs {
	return &pb.HandleRequestArgs{Request: &pb.Request{Operation: "read", Path: path, Data: "null"}}
}

// ask sends a call through the interceptor. Where it has no answer, the engine is asked as the sdk asks it.
func (w *world) ask(tb testing.TB, args *pb.HandleRequestArgs) (data string, warm bool) {
	tb.Helper()
	warm = true
	reply, err := w.mounts.intercept(w.ctx, args, nil, func(ctx context.Context, _ any) (any, error) {
		warm = false
		req, err := pb.ProtoRequestToLogicalRequest(args.Request)
		if err != nil {
			return nil, err
		}
		req.Storage = w.storage
		answer, err := w.engine.HandleRequest(ctx, req)
		if err != nil {
			return nil, err
		}
		response, err := pb.LogicalResponseToProtoResponse(answer)
		return &pb.HandleRequestReply{Response: response}, err
	})
	if err != nil {
		return "", warm
	}
	return reply.(*pb.HandleRequestReply).GetResponse().GetData(), warm
}

func TestIntercept_ASecondReadIsWarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, io.Discard)
	for _, path := range []string{"creds/acme-rw", "creds/key", "access-token/key"} {
		w.ask(t, read(path))
		data, warm := w.ask(t, read(path))
		if !warm || !strings.HasPrefix(data, "{") || !strings.Contains(data, `"ttl":`) {
			t.Errorf("%s: the second read is warm: %t; it has data with a ttl: %t", path, warm, strings.Contains(data, `"ttl":`))
		}
	}
}

func TestIntercept_TakesNoteOfWhoReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, io.Discard)
	w.ask(t, read("creds/acme-rw")) // from then on it is warm
	args := read("creds/acme-rw")
	args.Request.EntityID, args.Request.DisplayName, args.Request.ClientTokenAccessor = "entity-app", "approle-app", "the-accessor"
	args.Request.Connection = &pb.Connection{RemoteAddr: "192.0.2.7"}
	if _, warm := w.ask(t, args); !warm {
		t.Fatal("the read is not warm")
	}
	data, _ := w.ask(t, read("tokens/acme-rw/readers"))
	for _, want := range []string{`"entity_id":"entity-app"`, `"display_name":"approle-app"`, `"address":"192.0.2.7"`, `"path":"creds"`, `"total":2`} {
		if !strings.Contains(data, want) {
			t.Errorf("the readers lack %s: %s", want, data)
		}
	}
	if strings.Contains(data, "the-accessor") {
		t.Error("the accessor is shown")
	}
}

func TestIntercept_OtherCallsAreTheHandlers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, io.Discard)
	change := func(path string, change func(*pb.Request)) *pb.HandleRequestArgs {
		args := read(path)
		change(args.Request)
		return args
	}
	w.ask(t, read("creds/acme-rw"))
	for name, args := range map[string]*pb.HandleRequestArgs{
		"another path":                  read("tokens/acme-rw"),
		"an unknown token":              read("creds/nobody"),
		"a token without access tokens": read("access-token/acme-rw"),
		"a read with a field":           change("creds/acme-rw", func(r *pb.Request) { r.Data = `{"verion":"1"}` }),
		"a read of a snapshot":          change("creds/acme-rw", func(r *pb.Request) { r.RequiresSnapshotID = "a-snapshot" }),
		"another operation":             change("creds/acme-rw", func(r *pb.Request) { r.Operation = "update" }),
	} {
		w.ask(t, args)
		if _, warm := w.ask(t, args); warm {
			t.Errorf("%s: the read is warm", name)
		}
	}
	for name, tc := range map[string]struct {
		ctx context.Context
		req any
	}{
		"no mount":      {t.Context(), read("creds/acme-rw")},
		"another mount": {onMount(t.Context(), "two"), read("creds/acme-rw")},
		"another call":  {w.ctx, &pb.Empty{}},
	} {
		asked := false
		_, err := w.mounts.intercept(tc.ctx, tc.req, nil, func(context.Context, any) (any, error) { asked = true; return nil, nil })
		if err != nil || !asked {
			t.Errorf("%s: the handler was asked: %t, error %v", name, asked, err)
		}
	}
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestIntercept_APanicOfACallEndsNothing(t *testing.T) {
	t.Parallel()
	log := &lockedBuffer{}
	w := newWorld(t, log)
	_, err := w.mounts.intercept(w.ctx, "a call", nil, func(context.Context, any) (any, error) { panic("with the secret value") })
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
		t.Errorf("got error %v", err)
	}
	if text := log.String(); !strings.Contains(text, "bug of this plugin") || !strings.Contains(text, "goroutine") || strings.Contains(text, "the secret value") {
		t.Errorf("the log has no stack, or a value: %s", text)
	}
	if data, _ := w.ask(t, read("creds/acme-rw")); data == "" {
		t.Error("a read after that has no answer")
	}
}

func TestMounts_OneThatWasClosedIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, io.Discard)
	if w.mounts.get(w.ctx) == nil {
		t.Fatal("the mount is not there")
	}
	w.engine.Cleanup(w.ctx)
	if w.mounts.get(w.ctx) != nil {
		t.Error("a mount that was closed is still there")
	}
}

func TestMounts_KeepTheVersionOfTheEngine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, io.Discard)
	versioner, ok := w.engine.(logical.PluginVersioner)
	if !ok || versioner.PluginVersion().Version == "" {
		t.Error("Vault is told no version of the plugin")
	}
}

// hot are the calls that come all the time.
func hot(tb testing.TB) map[string]func() error {
	tb.Helper()
	w := newWorld(tb, io.Discard)
	warm := func(path string) func() error {
		args := read(path)
		w.ask(tb, args)
		return func() error {
			_, err := w.mounts.intercept(w.ctx, args, nil, func(context.Context, any) (any, error) { return nil, errors.New("it is not warm") })
			return err
		}
	}
	return map[string]func() error{"WarmCreds": warm("creds/acme-rw"), "WarmAccessToken": warm("access-token/key")}
}

// go test -run='^$' -bench=Hot -benchmem ./cmd/vault-plugin-secrets-adtokens
func BenchmarkHot(b *testing.B) {
	for name, do := range hot(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
