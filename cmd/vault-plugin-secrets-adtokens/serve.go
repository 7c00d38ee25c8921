package main

import (
	"crypto/tls"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/vault/sdk/helper/pluginutil"
	"github.com/hashicorp/vault/sdk/plugin"
	"google.golang.org/grpc"
)

const (
	// streamWorkers handle requests on goroutines that stay: their stacks have grown once, and need not at each request.
	// A request that finds none free gets a goroutine of its own, so there are as many as requests that may come at once.
	streamWorkers = 64
	// idleHeap is in bytes. The engine holds little in memory, so the garbage collector would run for every few megabytes
	// that requests leave behind; as if there were this much, it runs a tenth as often. Nobody writes to it, so the system
	// never gives it any memory. Where an operator has set GOGC, that is what counts, and there is no such heap. Nor is there
	// one under a memory limit (GOMEMLIMIT), which would count it as memory in use, and have the collector run all the more.
	idleHeap  = 128 << 20
	idlePiece = 1 << 20
	// garbagePercent is of the idle and the other heap together: some 64 MiB until there are many tokens.
	garbagePercent = 50
)

// serve does what the sdk's ServeMultiplex does, with settings that suit small and frequent reads; docs/performance.md has
// what each of them is worth. It returns when Vault has closed the connection.
func serve(logger hclog.Logger, tlsProvider func() (*tls.Config, error)) error {
	reserved := reserve(os.Getenv, debug.SetMemoryLimit(-1))
	if reserved > 0 {
		// In pieces: one that lies where memory was in use before is cleared, and so taken from the system.
		idle := make([][]byte, reserved/idlePiece)
		for i := range idle {
			idle[i] = make([]byte, idlePiece)
		}
		defer runtime.KeepAlive(idle)
		debug.SetGCPercent(garbagePercent)
	}
	if err := pluginutil.OptionallyEnableMlock(); err != nil {
		return fmt.Errorf("locking memory: %w", err)
	}
	served := &mounts{reservedHeap: reserved}
	sets := map[int]goplugin.PluginSet{}
	for protocol := 3; protocol <= 5; protocol++ { // those that the sdk serves; 5 lets mounts share the process
		sets[protocol] = goplugin.PluginSet{plugin.BackendPluginName: &plugin.GRPCBackendPlugin{
			Factory: served.factory, Logger: logger, MultiplexingSupport: protocol == 5,
		}}
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig, VersionedPlugins: sets, TLSProvider: tlsProvider, Logger: logger,
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return goplugin.DefaultGRPCServer(append(options,
				grpc.MaxRecvMsgSize(math.MaxInt32), grpc.MaxSendMsgSize(math.MaxInt32),
				grpc.NumStreamWorkers(streamWorkers), grpc.UnaryInterceptor(served.intercept)))
		},
	})
	return nil
}

// reserve is how much heap is set aside, in bytes.
func reserve(getenv func(string) string, memoryLimit int64) int {
	switch {
	case getenv("GOGC") != "", memoryLimit != math.MaxInt64:
		return 0
	case getenv(pluginutil.PluginMlockEnabled) == "true": // mlock gives all memory that there is an address for
		return 0
	default:
		return idleHeap
	}
}
