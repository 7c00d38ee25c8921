package backend

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
)

const manyTokens = 100_000

// stuckStorage does not answer reads of filler tokens until the test lets it, or the reader gives up.
type stuckStorage struct {
	testkit.SlowReads
	goOn             chan struct{}
	gets, background atomic.Int64
	// work is the context of the background.
	work context.Context
}

func newStuckStorage(work context.Context, storage logical.Storage) *stuckStorage {
	s := &stuckStorage{goOn: make(chan struct{}), work: work}
	s.SlowReads = testkit.SlowReads{Storage: storage, Before: s.getStuck}
	return s
}

func (s *stuckStorage) getStuck(ctx context.Context, key string) error {
	s.gets.Add(1)
	if !strings.HasPrefix(key, tokenPrefix+"filler-") {
		return nil
	}
	if ctx == s.work {
		s.background.Add(1)
	}
	select {
	case <-s.goOn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startStuck starts another engine on the fixture's storage, which holds acme-rw and that many filler tokens whose reads
// get stuck.
func startStuck(t *testing.T, fillers int) (*fixture, *stuckStorage) {
	t.Helper()
	f := newFixture(t)
	f.withImpact(t, nil)
	entry, err := f.storage.Get(t.Context(), tokenPrefix+"acme-rw")
	if err != nil || entry == nil {
		t.Fatalf("reading the token: %v", err)
	}
	for i := range fillers {
		if err := f.storage.Put(t.Context(), &logical.StorageEntry{Key: tokenPrefix + fillerName(i), Value: entry.Value}); err != nil {
			t.Fatal(err)
		}
	}
	config := logical.TestBackendConfig()
	config.Logger = hclog.NewNullLogger()
	b := newBackend(f.clock.Now)
	stuck := newStuckStorage(b.work, f.storage)
	config.StorageView = stuck
	if err := b.setUp(t.Context(), config); err != nil {
		t.Fatalf("setting the engine up: %v", err)
	}
	t.Cleanup(func() { b.Cleanup(t.Context()) })
	f.backend = b
	return f, stuck
}

func fillerName(i int) string { return fmt.Sprintf("filler-%06d", i) }

// ask wants success from the engine on the stuck storage.
func (s *stuckStorage) ask(t *testing.T, f *fixture, operation logical.Operation, path string, data map[string]any) *logical.Response {
	t.Helper()
	response, err := f.HandleRequest(t.Context(), &logical.Request{Operation: operation, Path: path, Data: data, Storage: s})
	if err != nil || response == nil || response.IsError() {
		t.Fatalf("%s %s: got %v", operation, path, err)
	}
	return response
}

func TestReadsDoNotWaitForManyTokens(t *testing.T) {
	t.Parallel()
	f, stuck := startStuck(t, manyTokens)
	stuck.ask(t, f, logical.ReadOperation, "creds/acme-rw", nil)
	// Those are the token and its account, and each once more where the background asks at the same time, and one filler.
	if gets := stuck.gets.Load(); gets > 5 {
		t.Errorf("the first read made %d storage reads, want at most 5", gets)
	}
}

func TestOverviewsDoNotWaitForManyTokens(t *testing.T) {
	t.Parallel()
	f, stuck := startStuck(t, manyTokens)
	known := fmt.Sprintf("1 of %d tokens are known so far", manyTokens+1)
	status := stuck.ask(t, f, logical.ReadOperation, "status", nil)
	if summary := status.Data["summary"].(map[string]any); summary["total"] != 1 || !containsAll(strings.Join(status.Warnings, "\n"), []string{known}) {
		t.Errorf("status counts %v and warns %q, want 1 and %q", summary["total"], status.Warnings, known)
	}
	list := stuck.ask(t, f, logical.ListOperation, "tokens/", map[string]any{"after": "a", "limit": 3})
	if warnings := strings.Join(list.Warnings, "\n"); !strings.Contains(warnings, "1 of 3 tokens are known so far") {
		t.Errorf("the list warns %q", warnings)
	}
	if names := list.Data["keys"].([]string); !slices.Equal(names, []string{"acme-rw", fillerName(0), fillerName(1)}) {
		t.Errorf("the list has %v", names)
	}
	all := stuck.ask(t, f, logical.ListOperation, "tokens/", nil)
	if names := all.Data["keys"].([]string); len(names) != manyTokens+1 {
		t.Errorf("the list without a limit has %d tokens", len(names))
	}
	metrics := stuck.ask(t, f, logical.ReadOperation, "metrics", nil)
	if text := string(metrics.Data[logical.HTTPRawBody].([]byte)); !strings.Contains(text, fmt.Sprintf("\nadtokens_tokens_not_read_yet %d.0\n", manyTokens)) {
		t.Error("the metrics do not say how many tokens are missing")
	}
	if reads := stuck.background.Load(); reads > 1 {
		t.Errorf("the background makes %d reads at a time, want 1", reads)
	}

	f.Cleanup(t.Context())
	f.loading.Lock() // its holder has ended
	defer f.loading.Unlock()
	if reads := stuck.background.Load(); reads > 1 {
		t.Errorf("the background made %d more reads after the mount was closed", reads-1)
	}
}

func TestWhatIsMissingIsReadInTheBackground(t *testing.T) {
	t.Parallel()
	const fillers = 50
	f, stuck := startStuck(t, fillers)
	status := stuck.ask(t, f, logical.ReadOperation, "status", nil)
	if len(status.Warnings) != 1 {
		t.Fatalf("status warns %q, want that tokens are missing", status.Warnings)
	}
	close(stuck.goOn)
	for _, cause := range []string{"the start", "an invalidation of everything"} {
		eventually(t, "all tokens to be in memory after "+cause, func() bool { return f.tokens.Cached() == fillers+1 })
		// The background has let go of it when it is done.
		f.loading.Lock()
		f.loading.Unlock() //nolint:staticcheck // only waits
		names, err := f.tokens.List(t.Context(), stuck)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			f.InvalidateKey(t.Context(), tokenPrefix+name)
		}
		expired, cancel := context.WithCancel(t.Context())
		cancel()
		if s, err := f.surveyNamed(expired, stuck, names); err == nil || s.unknown != fillers+1 {
			t.Fatalf("a survey without time knows %d tokens", len(s.tokens))
		}
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s took a minute", what)
		}
	}
}

func TestListPagesAndBoundsItsDetails(t *testing.T) {
	t.Parallel()
	f, stuck := startStuck(t, maxKeyInfo+2)
	close(stuck.goOn)
	eventually(t, "all tokens to be in memory", func() bool {
		stuck.ask(t, f, logical.ReadOperation, "creds/acme-rw", nil)
		return f.tokens.Cached() == maxKeyInfo+3
	})
	all := stuck.ask(t, f, logical.ListOperation, "tokens/", nil)
	if len(all.Data["keys"].([]string)) != maxKeyInfo+3 || len(all.Data["key_info"].(map[string]any)) != maxKeyInfo || len(all.Warnings) != 1 {
		t.Errorf("a list of everything has %d names and details of %d, and warns %q",
			len(all.Data["keys"].([]string)), len(all.Data["key_info"].(map[string]any)), all.Warnings)
	}
	page := stuck.ask(t, f, logical.ListOperation, "tokens/", map[string]any{"after": fillerName(maxKeyInfo - 1), "limit": 10})
	if names := page.Data["keys"].([]string); !slices.Equal(names, []string{fillerName(maxKeyInfo), fillerName(maxKeyInfo + 1)}) ||
		len(page.Data["key_info"].(map[string]any)) != 2 || len(page.Warnings) != 0 {
		t.Errorf("the last page has %v and warns %q", names, page.Warnings)
	}
	if response, err := f.handle(t, logical.ListOperation, "tokens/", map[string]any{"limit": -1}); err != nil || !response.IsError() {
		t.Errorf("a negative limit gives %v, error %v; want it refused", response, err)
	}
}
