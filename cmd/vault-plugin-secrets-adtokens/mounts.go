package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/hashicorp/vault/sdk/helper/pluginutil"
	"github.com/hashicorp/vault/sdk/logical"
	"google.golang.org/grpc/metadata"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend"
)

// engine is what this package needs of what backend.Factory returns.
type engine interface {
	logical.Backend
	logical.PluginVersioner
	backend.WarmReader
}

// mounts are those that the plugin's process serves. The zero value is ready for use.
type mounts struct {
	mu sync.RWMutex
	// byID has the names by which Vault tells mounts apart on the connection that they share.
	byID map[string]engine
}

// factory makes the engine for one mount. It is a logical.Factory.
func (m *mounts) factory(ctx context.Context, config *logical.BackendConfig) (logical.Backend, error) {
	if config.EventsSender != nil {
		config.EventsSender = eventSender{config.EventsSender}
	}
	made, err := backend.Factory(ctx, config)
	if err != nil {
		return nil, err
	}
	e, ok := made.(engine)
	if !ok {
		return nil, fmt.Errorf("the engine is a %T, which lacks what the plugin's process needs of it", made)
	}
	return m.add(ctx, e), nil
}

// add knows the mount until it is closed. One without an ID has the process to itself, and is served without short cuts.
func (m *mounts) add(ctx context.Context, e engine) engine {
	id := multiplexID(ctx)
	if id == "" {
		return e
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byID == nil {
		m.byID = map[string]engine{}
	}
	m.byID[id] = e
	return &mounted{engine: e, leave: func() { m.remove(id, e) }}
}

// mounted is an engine that leaves the mounts when Vault closes it.
type mounted struct {
	engine
	leave func()
}

// Cleanup is part of logical.Backend.
func (m *mounted) Cleanup(ctx context.Context) {
	m.leave()
	m.engine.Cleanup(ctx)
}

func (m *mounts) remove(id string, e engine) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byID[id] == e {
		delete(m.byID, id)
	}
}

func (m *mounts) get(ctx context.Context) engine {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.byID[multiplexID(ctx)]
}

// multiplexID is empty where there is none. Vault sends one at most; the sdk's function for it copies all metadata.
func multiplexID(ctx context.Context) string {
	return strings.Join(metadata.ValueFromIncomingContext(ctx, pluginutil.MultiplexingCtxKey), " ")
}
