package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
)

// listener is what Vault's event notifications are to the plugin.
type listener struct {
	mu     sync.Mutex
	events []heard
	err    error
}

type heard struct {
	kind     string
	metadata map[string]any
}

func (l *listener) SendEvent(_ context.Context, kind logical.EventType, event *logical.EventData) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, heard{string(kind), event.Metadata.AsMap()})
	return l.err
}

func (l *listener) kinds() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var kinds []string
	for _, e := range l.events {
		kinds = append(kinds, e.kind)
	}
	return kinds
}

func TestEveryChangeIsAnEvent(t *testing.T) {
	t.Parallel()
	l := &listener{}
	f := newFixture(t, func(c *logical.BackendConfig) { c.EventsSender = l })
	old := f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/verify", nil)
	f.write(t, "tokens/acme-rw/verify", nil) // still rejected: nothing new to tell
	if _, err := f.handle(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": "a-wrong-value"}); err != nil {
		t.Fatal(err)
	}
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	f.write(t, "tokens/acme-rw", map[string]any{"refresh_ttl": "30s"})
	for _, path := range []string{"tokens/acme-rw", "config/acme"} {
		if response, err := f.handle(t, logical.DeleteOperation, path, nil); err != nil || response.IsError() {
			t.Fatalf("deleting %s: %v", path, err)
		}
	}
	want := []string{
		"adtokens/config-write", "adtokens/rotate", "adtokens/token-write", "adtokens/verify-fail", "adtokens/rotate-fail",
		"adtokens/rotate", "adtokens/token-write", "adtokens/token-delete", "adtokens/config-delete",
	}
	if got := l.kinds(); !slices.Equal(got, want) {
		t.Errorf("got events %v, want %v", got, want)
	}
	for _, e := range l.events {
		for _, key := range []string{"path", "data_path", "operation", "modified"} {
			if e.metadata[key] == nil || e.metadata[key] == "" {
				t.Errorf("%s lacks %s", e.kind, key)
			}
		}
		for _, secret := range []string{old.AuthToken, fresh.AuthToken, "a-wrong-value"} {
			if strings.Contains(fmt.Sprint(e.metadata), secret) {
				t.Errorf("%s holds a secret value", e.kind)
			}
		}
	}
	rotated := l.events[5].metadata
	if rotated["data_path"] != "creds/acme-rw" || rotated["modified"] != "true" || rotated["version"] != "2" {
		t.Errorf("rotate tells data_path %v, modified %v, version %v; want creds/acme-rw, true and 2", rotated["data_path"], rotated["modified"], rotated["version"])
	}
}

func TestEventsThatCannotBeSentChangeNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *logical.BackendConfig) { c.EventsSender = &listener{err: context.DeadlineExceeded} })
	f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	if got := f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken}); got.Data["version"] != 2 {
		t.Errorf("got version %v, want 2", got.Data["version"])
	}
}

func TestOverdueTokensOfAPersonAreOneEvent(t *testing.T) {
	t.Parallel()
	l := &listener{}
	f := newFixture(t, func(c *logical.BackendConfig) { c.EventsSender = l })
	f.withImpact(t, map[string]any{"rotation_period": "1h"})
	f.clock.Advance(90 * time.Minute)
	for range 2 {
		if err := f.rotateRoutinely(t.Context(), "acme-rw"); err != nil {
			t.Fatal(err)
		}
	}
	kinds := l.kinds()
	if got := slices.DeleteFunc(kinds, func(kind string) bool { return kind != "adtokens/overdue" }); len(got) != 1 {
		t.Errorf("got %d events, want 1", len(got))
	}
}

func TestEvents_MissingServiceIsSaidOnce(t *testing.T) {
	t.Parallel()
	log := &lockedBuffer{}
	l := &listener{err: fmt.Errorf("sending: %w", ErrEventsUnsupported)}
	f := newFixture(t, func(c *logical.BackendConfig) {
		c.EventsSender = l
		c.Logger = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Trace})
	})
	f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	if sent := len(l.kinds()); sent < 3 {
		t.Fatalf("only %d events were tried", sent)
	}
	text := log.String()
	if said := strings.Count(text, "event"); said != 2 || !strings.Contains(text, "[INFO]  the server has no event notifications, so no events are sent") {
		t.Errorf("the log has to say once that the server takes no events, and says:\n%s", text)
	}
}

func TestEvents_OtherFailuresAreSaidEachTime(t *testing.T) {
	t.Parallel()
	log := &lockedBuffer{}
	l := &listener{err: errors.New("the transport is closing")}
	f := newFixture(t, func(c *logical.BackendConfig) {
		c.EventsSender = l
		c.Logger = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Trace})
	})
	f.withImpact(t, nil)
	if sent, said := len(l.kinds()), strings.Count(log.String(), "[WARN]  sending an event failed"); said != sent || sent < 2 {
		t.Errorf("%d events failed, and the log tells of %d", sent, said)
	}
}

// lockedBuffer is a log that goroutines write.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
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
