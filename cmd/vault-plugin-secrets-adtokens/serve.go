package main

import (
	"crypto/tls"
	"fmt"
	"math"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/vault/sdk/helper/pluginutil"
	"github.com/hashicorp/vault/sdk/plugin"
	"google.golang.org/grpc"
)

// streamWorkers handle requests on goroutines that stay: their stacks have grown once, and need not at each request.
// A request that finds none free gets a goroutine of its own, so there are as many as requests that may come at once.
const streamWorkers = 64

// serve does what the sdk's ServeMultiplex does, with settings that suit small and frequent reads; docs/performance.md has
// what each of them is worth. It returns when Vault has closed the connection.
func serve(logger hclog.Logger, tlsProvider func() (*tls.Config, error)) error {
	if err := pluginutil.OptionallyEnableMlock(); err != nil {
		return fmt.Errorf("locking memory: %w", err)
	}
	served := &mounts{}
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
