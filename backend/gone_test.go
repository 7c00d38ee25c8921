package backend

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// door is an address of a provider that counts the connections to it.
type door struct {
	url  string
	open atomic.Int64
}

func newDoor(t *testing.T, to string) *door {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{}
	server := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(target))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			d.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			d.open.Add(-1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

func TestConnectionsEndWithWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *fixture){
		"the account is deleted": func(t *testing.T, f *fixture) {
			t.Helper()
			for _, path := range []string{"tokens/acme-rw", "config/acme"} {
				if response, err := f.handle(t, logical.DeleteOperation, path, nil); err != nil || response.IsError() {
					t.Fatalf("deleting %s: %v, %v", path, response, err)
				}
			}
		},
		"the account is changed": func(t *testing.T, f *fixture) {
			t.Helper()
			f.write(t, "config/acme", map[string]any{"request_timeout": 20})
		},
		"another node has changed the account": func(t *testing.T, f *fixture) {
			t.Helper()
			f.InvalidateKey(t.Context(), "config/acme")
		},
		"the mount is closed": func(t *testing.T, f *fixture) {
			t.Helper()
			f.Cleanup(t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			d := newDoor(t, f.server.ImpactURL)
			f.server.ImpactURL = d.url
			f.withImpact(t, nil)
			f.write(t, "tokens/acme-rw/verify", nil)
			if d.open.Load() == 0 {
				t.Fatal("no connection waits for the next request, so there is nothing to see")
			}
			end(t, f)
			eventually(t, "the connections to end", func() bool { return d.open.Load() == 0 })
		})
	}
}

func TestNoAccessTokenIsKeptOfATokenThatIsGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	deleteToken := func() {
		if response, err := f.handle(t, logical.DeleteOperation, "tokens/key", nil); err != nil || response.IsError() {
			t.Errorf("deleting the token: %v, %v", response, err)
		}
	}
	google := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		deleteToken()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"an-access-token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(google.Close)
	key, err := f.provider.ServiceAccountKey(t.Context(), simulator.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "config/app", map[string]any{"provider": "google_ads", "base_url": google.URL, "token_url": google.URL})
	f.write(t, "tokens/key", map[string]any{"account": "app", "type": "service_account_key", "service_account_key": string(key), "verify": false})
	if value := f.read(t, "access-token/key")["access_token"]; value == "" {
		t.Error("whoever had asked before gets no access token")
	}
	if kept := f.access.cached(); kept != 0 {
		t.Errorf("%d access tokens are kept", kept)
	}
}

func TestNobodyIsWaitedForWhoIsGone(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, f *fixture, hangUp func()){
		"hangs up": func(_ *testing.T, _ *fixture, hangUp func()) { hangUp() },
		"loses the token": func(t *testing.T, f *fixture, _ func()) {
			t.Helper()
			if response, err := f.handle(t, logical.DeleteOperation, "tokens/acme-rw", map[string]any{"force": true}); err != nil || response.IsError() {
				t.Fatalf("deleting the token: %v, %v", response, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.withImpact(t, nil)
			hook, fields := f.startHook(t, func() {})
			hook.Break(&simulator.Fault{Kind: simulator.FaultStatus, Status: http.StatusServiceUnavailable})
			f.write(t, "config/acme", fields)
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			over := make(chan struct{})
			go func() {
				defer close(over)
				_, _ = f.HandleRequest(ctx, &logical.Request{Operation: logical.UpdateOperation, Path: "tokens/acme-rw/rotate", Storage: f.storage})
			}()
			eventually(t, "the hook to be asked", func() bool { keys, _ := hook.Asked(); return len(keys) > 0 })
			end(t, f, hangUp)
			<-over
			f.watchMu.Lock()
			defer f.watchMu.Unlock()
			if len(f.watchers) != 0 {
				t.Errorf("%d tokens are still watched", len(f.watchers))
			}
		})
	}
}

func TestNoRateLimitIsKeptOfAnAccountThatIsGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.read(t, "status") // starts the background work
	// As a job is planned again that has failed while its token and account were deleted.
	f.scheduler.Plan(schedule.Job{Token: "gone", Account: "gone", Kind: schedule.Rotate, At: f.now().Add(-time.Second)})
	eventually(t, "the job to be done", func() bool { jobs, limits := f.scheduler.Size(); return jobs == 0 && limits == 0 })
}
