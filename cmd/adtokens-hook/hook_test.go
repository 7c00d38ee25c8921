package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/resethook"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

const secret = "whsec_c2VjcmV0LW9mLXRoZS1ob29rLWluLXRoaXMtdGVzdA=="

// world is the simulated providers and what a hook needs of them.
type world struct {
	console   *simulator.Client
	control   string // URL
	simulated console
	state     string // directory
	log       *logBuffer
}

// logBuffer is written to by requests that may still run when it is read.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newWorld wants, at the end, that no secret was logged.
func newWorld(t *testing.T) *world {
	t.Helper()
	server, err := simulator.Start(simulator.ServerOptions{})
	must(t, err)
	w := &world{console: server.Client(), control: server.ControlURL, simulated: simulated{server.Client()}, state: t.TempDir(), log: &logBuffer{}}
	t.Cleanup(func() {
		ledger, err := w.console.Ledger(context.WithoutCancel(t.Context()))
		if err != nil {
			t.Error(err)
		}
		if leaks := ledger.Leaks([]byte(w.log.String())); len(leaks) > 0 {
			t.Errorf("the log has %q", leaks)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hookOptions are what tests vary.
type hookOptions struct {
	console console // the world's when nil
	async   bool
}

// running is a hook that serves.
type running struct {
	url    string
	caCert string // PEM, empty without TLS
	hook   *hook  // nil for a process of its own
}

// start starts a hook on the world's state, as a restart of the process does.
func (w *world) start(t *testing.T, o hookOptions) running {
	t.Helper()
	webhook, err := standardwebhooks.NewWebhook(secret)
	must(t, err)
	remembered, err := openStore(w.state, time.Hour)
	must(t, err)
	if o.console == nil {
		o.console = w.simulated
	}
	logger := hclog.New(&hclog.LoggerOptions{Output: w.log})
	h := &hook{
		webhook: webhook, async: o.async, retryAfter: 3 * time.Second, logger: logger,
		resets: &resets{console: o.console, store: remembered, timeout: time.Minute, logger: logger, jobs: map[string]*job{}},
	}
	server := httptest.NewServer(documented(t, routes(h)))
	t.Cleanup(func() {
		server.Close()
		h.resets.wait()
	})
	return running{url: server.URL + path, hook: h}
}

// readWrite is a reset of the agency's legacy read/write token.
func (w *world) readWrite(t *testing.T, key string) resethook.Event {
	t.Helper()
	credentials, err := w.console.ImpactCredentials(t.Context(), "agency")
	must(t, err)
	return resethook.Event{
		Token: "acme-rw", TokenType: "legacy_read_write", Provider: "impact", Account: "acme",
		Subject: provider.Values{"account_sid": credentials.ReadWrite.AccountSID}, Reason: "test", IdempotencyKey: key,
	}
}

// authToken is what impact.com's console shows.
func (w *world) authToken(t *testing.T) string {
	t.Helper()
	credentials, err := w.console.ImpactCredentials(t.Context(), "agency")
	must(t, err)
	return credentials.ReadWrite.AuthToken
}

// wantResets counts how often the token was reset.
func (w *world) wantResets(t *testing.T, e resethook.Event, want int) {
	t.Helper()
	ledger, err := w.console.Ledger(t.Context())
	must(t, err)
	made := 0
	for _, issued := range ledger.Issued {
		if issued.Kind == "auth_token" && issued.ID == e.Subject["account_sid"] {
			made++
		}
	}
	if made-1 != want {
		t.Errorf("the token was reset %d times, want %d", made-1, want)
	}
}

// deliver sends the event as the engine does.
func (r running) deliver(ctx context.Context, t *testing.T, e resethook.Event) (provider.Values, error) {
	t.Helper()
	client, err := provider.NewClient(provider.ClientConfig{Timeout: time.Minute, CACert: r.caCert})
	must(t, err)
	defer client.CloseIdleConnections()
	answer, err := resethook.Reset(ctx, resethook.Request{URL: r.url, Secret: secret, Client: client, Event: e, Fields: fieldsOf(e.TokenType)})
	return answer.Credential, err
}

func fieldsOf(tokenType string) []provider.Field {
	for _, kind := range slices.Concat(googleads.New().Types, catalogue.Load("impact").Provider().Types) {
		if kind.Name == tokenType {
			return kind.Fields
		}
	}
	return nil
}

func (r running) wantAuthToken(t *testing.T, e resethook.Event, want string) {
	t.Helper()
	got, err := r.deliver(t.Context(), t, e)
	must(t, err)
	if got["auth_token"] != want {
		t.Error("the hook gave another value than the one that the console shows")
	}
}

func wantPending(t *testing.T, err error) {
	t.Helper()
	if pending, ok := errors.AsType[*resethook.Pending](err); !ok || pending.RetryAfter != 3*time.Second {
		t.Errorf("got error %v, want to be asked to wait 3s", err)
	}
}

func wantRefused(t *testing.T, err error, code string) {
	t.Helper()
	if refused, ok := errors.AsType[*provider.Refused](err); !ok || refused.Code != code {
		t.Errorf("got error %v, want a refusal with %s", err, code)
	}
}

func wantSilence(t *testing.T, err error) {
	t.Helper()
	if silence, ok := errors.AsType[*provider.Error](err); !ok || silence.RetryAfter != 3*time.Second {
		t.Errorf("got error %v, want to be asked to try again after 3s", err)
	}
}

func TestEveryTypeOfTokenIsReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.start(t, hookOptions{})
	credentials, err := w.console.ImpactCredentials(t.Context(), "agency")
	must(t, err)
	scoped, err := w.console.CreateScopedToken(t.Context(), simulator.ScopedTokenInput{
		ScopedTokenName: simulator.ScopedTokenName{Account: "partner", Name: "app"},
	})
	must(t, err)
	var state struct {
		Google struct {
			Manager string `json:"manager_customer_id"`
		}
	}
	text, err := w.console.State(t.Context())
	must(t, err)
	must(t, json.Unmarshal(text, &state))
	for tokenType, e := range map[string]resethook.Event{
		"developer_token":   {Provider: "google_ads", Subject: provider.Values{"login_customer_id": state.Google.Manager}},
		"oauth_client":      {Provider: "google_ads", Subject: provider.Values{"login_customer_id": state.Google.Manager}},
		"legacy_read_write": {Provider: "impact", Subject: provider.Values{"account_sid": credentials.ReadWrite.AccountSID}},
		"legacy_read_only":  {Provider: "impact", Subject: provider.Values{"account_sid": credentials.ReadOnly.AccountSID}},
		"scoped":            {Provider: "impact", Subject: provider.Values{"account_sid": scoped.AccountSID}},
	} {
		t.Run(tokenType, func(t *testing.T) {
			t.Parallel()
			e.Token, e.TokenType, e.Account, e.IdempotencyKey = "t", tokenType, "acme", "key-of-"+tokenType
			before, err := w.simulated.show(t.Context(), event{TokenType: tokenType, AccountSID: e.Subject["account_sid"], LoginCustomerID: e.Subject["login_customer_id"]})
			must(t, err)
			got, err := hook.deliver(t.Context(), t, e)
			must(t, err)
			after, err := w.simulated.show(t.Context(), event{TokenType: tokenType, AccountSID: e.Subject["account_sid"], LoginCustomerID: e.Subject["login_customer_id"]})
			must(t, err)
			if maps.Equal(before, after) || !maps.Equal(got, after) {
				t.Error("the token was not reset, or the hook gave another value than the console shows")
			}
		})
	}
}

func TestAKeyIsGoodForOneReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.start(t, hookOptions{})
	e := w.readWrite(t, "key-1")
	for range 3 {
		got, err := hook.deliver(t.Context(), t, e)
		must(t, err)
		if got["auth_token"] != w.authToken(t) {
			t.Error("the hook gave another value than the console shows")
		}
	}
	w.wantResets(t, e, 1)

	hook = w.start(t, hookOptions{}) // a restart
	hook.wantAuthToken(t, e, w.authToken(t))
	w.wantResets(t, e, 1)

	e.IdempotencyKey = "key-2"
	_, err := hook.deliver(t.Context(), t, e)
	must(t, err)
	w.wantResets(t, e, 2)
}

func TestAsynchronousReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.start(t, hookOptions{async: true})
	e := w.readWrite(t, "key-1")
	_, err := hook.deliver(t.Context(), t, e)
	wantPending(t, err)
	hook.hook.resets.wait()
	hook.wantAuthToken(t, e, w.authToken(t))
	hook.wantAuthToken(t, e, w.authToken(t))
	w.wantResets(t, e, 1)
}

// gate is a console whose resets begin when told to.
type gate struct {
	console
	entered, open chan struct{}
}

func newGate(inner console) gate {
	return gate{console: inner, entered: make(chan struct{}, 1), open: make(chan struct{})}
}

func (g gate) reset(ctx context.Context, e event) (map[string]string, error) {
	g.entered <- struct{}{}
	select {
	case <-g.open:
		return g.console.reset(ctx, e)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestTwoDeliveriesAtOncePerformOneReset(t *testing.T) {
	t.Parallel()
	for name, async := range map[string]bool{"synchronous": false, "asynchronous": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			gate := newGate(w.simulated)
			hook := w.start(t, hookOptions{console: gate, async: async})
			e := w.readWrite(t, "key-1")
			var first sync.WaitGroup
			first.Go(func() {
				_, err := hook.deliver(t.Context(), t, e)
				if async {
					wantPending(t, err)
				} else if err != nil {
					t.Error(err)
				}
			})
			<-gate.entered
			_, err := hook.deliver(t.Context(), t, e)
			wantPending(t, err)
			close(gate.open)
			first.Wait()
			hook.hook.resets.wait()
			hook.wantAuthToken(t, e, w.authToken(t))
			w.wantResets(t, e, 1)
		})
	}
}

func TestAResetGoesOnWhenTheCallerHangsUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := newGate(w.simulated)
	hook := w.start(t, hookOptions{console: gate})
	e := w.readWrite(t, "key-1")
	ctx, hangUp := context.WithCancel(t.Context())
	var caller sync.WaitGroup
	caller.Go(func() {
		if _, err := hook.deliver(ctx, t, e); err == nil {
			t.Error("got an answer after hanging up")
		}
	})
	<-gate.entered
	hangUp()
	caller.Wait()
	close(gate.open)
	hook.hook.resets.wait()
	hook.wantAuthToken(t, e, w.authToken(t))
	w.wantResets(t, e, 1)
}

// lossy is a console that fails, before or after it has done the reset. A process that dies looks the same to the next.
type lossy struct {
	console
	before, after error
}

func (l lossy) reset(ctx context.Context, e event) (map[string]string, error) {
	if l.before != nil {
		return nil, l.before
	}
	_, err := l.console.reset(ctx, e)
	return nil, errors.Join(err, l.after)
}

func TestCrashAroundTheReset(t *testing.T) {
	t.Parallel()
	crash := errors.New("the process is dead")
	for name, broken := range map[string]lossy{
		"before it": {before: crash},
		"after it":  {after: crash},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			broken.console = w.simulated
			e := w.readWrite(t, "key-1")
			_, err := w.start(t, hookOptions{console: broken}).deliver(t.Context(), t, e)
			wantSilence(t, err)

			hook := w.start(t, hookOptions{})
			got, err := hook.deliver(t.Context(), t, e)
			must(t, err)
			if got["auth_token"] != w.authToken(t) {
				t.Error("the hook gave another value than the console shows")
			}
			w.wantResets(t, e, 1)
		})
	}
}

func TestFailureIsToldAndTheNextDeliveryTriesAgain(t *testing.T) {
	t.Parallel()
	for name, async := range map[string]bool{"synchronous": false, "asynchronous": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			e := w.readWrite(t, "key-1")
			flaky := &flaky{console: w.simulated, failures: 1}
			hook := w.start(t, hookOptions{console: flaky, async: async})
			deliver := func() error {
				_, err := hook.deliver(t.Context(), t, e)
				if async && errors.As(err, new(*resethook.Pending)) {
					hook.hook.resets.wait()
					_, err = hook.deliver(t.Context(), t, e)
				}
				return err
			}
			wantSilence(t, deliver())
			must(t, deliver())
			w.wantResets(t, e, 1)
		})
	}
}

// flaky is a console that is out of reach at first.
type flaky struct {
	console
	failures int
}

func (f *flaky) show(ctx context.Context, e event) (map[string]string, error) {
	if f.failures--; f.failures >= 0 {
		return nil, errors.New("the console is out of reach")
	}
	return f.console.show(ctx, e)
}

func TestResetsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	hook := w.start(t, hookOptions{})
	known := w.readWrite(t, "known")
	_, err := hook.deliver(t.Context(), t, known)
	must(t, err)
	credentials, err := w.console.ImpactCredentials(t.Context(), "agency")
	must(t, err)
	readOnly := credentials.ReadOnly.AccountSID
	for name, change := range map[string]func(*resethook.Event){
		"unknown account SID":   func(e *resethook.Event) { e.Subject["account_sid"] = "IRx" + strings.Repeat("0", 20) },
		"no account SID":        func(e *resethook.Event) { e.Subject["account_sid"] = "" },
		"another type of token": func(e *resethook.Event) { e.TokenType = "scoped" },
		"key of another token":  func(e *resethook.Event) { e.IdempotencyKey, e.Token = "known", "acme-ro" },
		"key of another SID":    func(e *resethook.Event) { e.IdempotencyKey, e.Subject["account_sid"] = "known", readOnly },
		"key of no SID":         func(e *resethook.Event) { e.IdempotencyKey, e.Subject["account_sid"] = "known", "" },
		"key of another customer": func(e *resethook.Event) {
			e.IdempotencyKey, e.Subject = "known", provider.Values{"login_customer_id": "1234567890"}
		},
		"key of another account":  func(e *resethook.Event) { e.IdempotencyKey, e.Account = "known", "other" },
		"key of another type":     func(e *resethook.Event) { e.IdempotencyKey, e.TokenType = "known", "legacy_read_only" },
		"key of another provider": func(e *resethook.Event) { e.IdempotencyKey, e.Provider = "known", "google_ads" },
	} {
		t.Run(name, func(t *testing.T) {
			e := w.readWrite(t, strings.ReplaceAll(name, " ", "-"))
			change(&e)
			for range 2 { // it stays refused
				_, err := hook.deliver(t.Context(), t, e)
				wantRefused(t, err, "HTTP 422")
			}
		})
	}
	w.wantResets(t, known, 1)
	known.Reason = "told otherwise"
	hook.wantAuthToken(t, known, w.authToken(t))
}

func TestAKeyThatIsInUseForAnotherToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := newGate(w.simulated)
	hook := w.start(t, hookOptions{console: gate, async: true})
	e := w.readWrite(t, "key-1")
	_, err := hook.deliver(t.Context(), t, e)
	wantPending(t, err)
	<-gate.entered
	e.Token = "acme-ro"
	_, err = hook.deliver(t.Context(), t, e)
	wantRefused(t, err, "HTTP 422")
	close(gate.open)
}

// post sends a request that is signed as told.
type post struct {
	method, path, body string
	at                 time.Time
	header             map[string]string // set after signing; an empty value takes a header away
}

func (r running) send(t *testing.T, p post) int {
	t.Helper()
	webhook, err := standardwebhooks.NewWebhook(secret)
	must(t, err)
	signature, err := webhook.Sign("key-1", p.at, []byte(p.body))
	must(t, err)
	request, err := http.NewRequestWithContext(t.Context(), p.method, strings.TrimSuffix(r.url, path)+p.path, strings.NewReader(p.body))
	must(t, err)
	header := map[string]string{
		"Content-Type": "application/json", "Idempotency-Key": "key-1", "webhook-id": "key-1",
		"webhook-timestamp": strconv.FormatInt(p.at.Unix(), 10), "webhook-signature": signature,
	}
	maps.Copy(header, p.header)
	for name, value := range header {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	must(t, err)
	must(t, response.Body.Close())
	return response.StatusCode
}

func TestOnlySignedEventsAreBelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.start(t, hookOptions{})
	e := w.readWrite(t, "key-1")
	body := fmt.Sprintf(`{"type":"reset","token":"acme-rw","token_type":"legacy_read_write","provider":"impact","account":"acme",
		"account_sid":%q,"reason":"","idempotency_key":"key-1"}`, e.Subject["account_sid"])
	good := post{method: http.MethodPost, path: path, body: body, at: time.Now()}
	with := func(change func(*post)) post {
		p := good
		change(&p)
		return p
	}
	header := func(name, value string) post {
		return with(func(p *post) { p.header = map[string]string{name: value} })
	}
	for name, test := range map[string]struct {
		post post
		want int
	}{
		"no signature":          {header("webhook-signature", ""), 401},
		"wrong signature":       {header("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="), 401},
		"no key":                {header("webhook-id", ""), 401},
		"another key":           {header("webhook-id", "key-2"), 401},
		"no timestamp":          {header("webhook-timestamp", ""), 401},
		"another timestamp":     {header("webhook-timestamp", strconv.FormatInt(time.Now().Unix()+60, 10)), 401},
		"recorded long ago":     {with(func(p *post) { p.at = p.at.Add(-6 * time.Minute) }), 401},
		"from the future":       {with(func(p *post) { p.at = p.at.Add(6 * time.Minute) }), 401},
		"idempotency differs":   {header("Idempotency-Key", "key-2"), 400},
		"no idempotency":        {header("Idempotency-Key", ""), 400},
		"body's key differs":    {with(func(p *post) { p.body = strings.Replace(p.body, "key-1", "key-2", 1) }), 400},
		"another type":          {with(func(p *post) { p.body = strings.Replace(p.body, "reset", "delete", 1) }), 400},
		"no event":              {with(func(p *post) { p.body = `["reset"]` }), 400},
		"too long":              {with(func(p *post) { p.body += strings.Repeat(" ", maxEventSize) }), 413},
		"another method":        {with(func(p *post) { p.method = http.MethodPut }), 405},
		"another address":       {with(func(p *post) { p.path = "/" }), 404},
		"event with more in it": {with(func(p *post) { p.body = strings.Replace(p.body, "{", `{"later":{},`, 1) }), 200},
	} {
		if got := hook.send(t, test.post); got != test.want {
			t.Errorf("%s: got %d, want %d", name, got, test.want)
		}
	}
	w.wantResets(t, e, 1) // by the last one
}

func TestNothingIsLostWhenTheResultCannotBeStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := newGate(w.simulated)
	hook := w.start(t, hookOptions{console: gate, async: true})
	e := w.readWrite(t, "key-1")
	_, err := hook.deliver(t.Context(), t, e)
	wantPending(t, err)
	<-gate.entered
	must(t, os.Rename(w.state, w.state+".away"))
	close(gate.open)
	hook.hook.resets.wait()
	_, err = hook.deliver(t.Context(), t, e)
	wantSilence(t, err)
	must(t, os.Rename(w.state+".away", w.state))

	hook = w.start(t, hookOptions{})
	hook.wantAuthToken(t, e, w.authToken(t))
	w.wantResets(t, e, 1)
}
