//go:build unix

package vaulttest

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/hashicorp/vault/api"
)

// The keys that the README tells operators to exempt from the audit log's HMAC.
var (
	auditRequestKeys  = []string{"reason", "cas"}
	auditResponseKeys = []string{
		"version", "previous_version", "fingerprint", "verification", "previous_credential", "outcome", "health", "rotation_state",
		"current_version", "state", "how",
	}
)

// Mount is the engine, mounted on a server.
type Mount struct {
	*Server
	// Path is where, without slashes around it.
	Path string
	// Client is that of whoever uses the mount: root, or the holder of As's token.
	Client *api.Client
}

// Mount mounts the engine at a path of its own.
func (s *Server) Mount(t testing.TB) *Mount {
	t.Helper()
	path := fmt.Sprintf("adtokens-%d", s.mounts.Add(1))
	err := s.Client.Sys().MountWithContext(t.Context(), path, &api.MountInput{
		Type:   PluginName,
		Config: api.MountConfigInput{AuditNonHMACRequestKeys: auditRequestKeys, AuditNonHMACResponseKeys: auditResponseKeys},
	})
	if err != nil {
		Fatalf(t, "mounting the engine: %v", err)
	}
	return &Mount{Server: s, Path: path, Client: s.Client}
}

// As returns the mount for the holder of another token.
func (m *Mount) As(t testing.TB, token string) *Mount {
	t.Helper()
	client, err := m.newClient(token)
	if err != nil {
		Fatalf(t, "%v", err)
	}
	return &Mount{Server: m.Server, Path: m.Path, Client: client}
}

// Read reads a path below the mount. That there is nothing is an error, as all statuses but 2xx are: an
// *api.ResponseError.
func (m *Mount) Read(ctx context.Context, path string) (*api.Secret, error) {
	return parse(m.Client.Logical().ReadRawWithContext(ctx, m.Path+"/"+path))
}

// Write writes to a path below the mount. The secret is nil where there is nothing to say.
func (m *Mount) Write(ctx context.Context, path string, data map[string]any) (*api.Secret, error) {
	return m.Client.Logical().WriteWithContext(ctx, m.Path+"/"+path, data)
}

// Delete deletes a path below the mount. The secret is nil where there is nothing to say.
func (m *Mount) Delete(ctx context.Context, path string) (*api.Secret, error) {
	return m.Client.Logical().DeleteWithContext(ctx, m.Path+"/"+path)
}

// List lists a path below the mount. The secret is nil where there is nothing to list.
func (m *Mount) List(ctx context.Context, path string) (*api.Secret, error) {
	return m.Client.Logical().ListWithContext(ctx, m.Path+"/"+path)
}

func parse(response *api.Response, err error) (*api.Secret, error) {
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNoContent {
		return nil, nil
	}
	return api.ParseSecret(response.Body)
}
