package backend

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// request sends a request of a client who has no entity, as a root token has none.
func (f *fixture) request(t *testing.T, path string, data map[string]any, accessor string) (*logical.Response, error) {
	t.Helper()
	return f.HandleRequest(t.Context(), &logical.Request{
		Operation: logical.UpdateOperation, Path: path, Data: data, Storage: f.storage, MountPoint: "ads/",
		DisplayName: "token", ClientTokenAccessor: accessor,
	})
}

// said is the text of an answer that is an error, and of its warnings.
func said(response *logical.Response, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case response == nil:
		return ""
	case response.IsError():
		return response.Error().Error()
	}
	return strings.Join(response.Warnings, "\n")
}

// wantSaid fails the test unless the text has all of the words.
func wantSaid(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s does not say %q: %s", what, word, text)
		}
	}
}

// wantStatus fails the test unless the error has the HTTP status that Vault would answer with.
func wantStatus(t *testing.T, err error, status int) {
	t.Helper()
	coded, ok := err.(logical.HTTPCodedError) //nolint:errorlint // only the outermost one keeps its status on the way to Vault
	if !ok || coded.Code() != status {
		t.Errorf("got error %v, want one with the status %d", err, status)
	}
}

// contenders counts the requests that hold or wait for a token's lock.
func (f *fixture) contenders(name string) int { return f.tokenLocks.Users(name) }

// later is the answer to a request that waits.
type later struct {
	response *logical.Response
	err      error
}

// goRotate has a request sent that waits.
func (f *fixture) goRotate(t *testing.T, name string, data map[string]any) <-chan later {
	t.Helper()
	answer := make(chan later, 1)
	go func() {
		response, err := f.HandleRequest(t.Context(), &logical.Request{
			Operation: logical.UpdateOperation, Path: "tokens/" + name + "/rotate", Data: data, Storage: f.storage, MountPoint: "ads/",
		})
		answer <- later{response, err}
	}()
	return answer
}

// stubHook is a reset hook that answers as the test wants.
type stubHook struct {
	mu     sync.Mutex
	answer http.HandlerFunc
	// asked has a value for each request.
	asked chan struct{}
	// left has a value for each request that was given up by the engine.
	left chan struct{}
}

func (h *stubHook) set(answer http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

func (h *stubHook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	answer := h.answer
	h.mu.Unlock()
	_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the engine hangs up
	h.asked <- struct{}{}
	answer(w, r)
}

// hang answers when the engine has hung up, with what comes too late then.
func (h *stubHook) hang(late any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		h.left <- struct{}{}
		_ = json.NewEncoder(w).Encode(late) // nobody listens
	}
}

func notYet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "86400")
	w.WriteHeader(http.StatusAccepted)
}

// gives answers with a credential.
func gives(credential any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(credential) // the engine may have gone
	}
}

// withStubHook gives the account acme a hook.
func (f *fixture) withStubHook(t *testing.T, answer http.HandlerFunc) *stubHook {
	t.Helper()
	h := &stubHook{answer: answer, asked: make(chan struct{}, 100), left: make(chan struct{}, 100)}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	f.write(t, "config/acme", map[string]any{"reset_hook_url": server.URL, "reset_hook_secret": "whsec_" + hookSecret})
	return h
}

func (f *fixture) state(t *testing.T, name string) rotation.State {
	t.Helper()
	token, err := f.tokens.Load(t.Context(), f.storage, name)
	if err != nil || token == nil {
		t.Fatalf("reading the token: %v", err)
	}
	return token.State()
}

func TestRotate_HandInSupersedesWaitingHook(t *testing.T) {
	t.Parallel()
	type story struct {
		// answer is the hook's, whose old value is given.
		answer func(h *stubHook, sid string) http.HandlerFunc
		// reached says whether the story has come to where the value is handed in.
		reached func(f *fixture, t *testing.T) bool
		empty   bool
		warns   []string
		note    string
	}
	dead := map[string]string{"auth_token": "aDeadValueOfAHook"}
	requested := func(f *fixture, t *testing.T) bool { return f.state(t, "acme-rw") == rotation.StateRequested }
	stories := map[string]story{
		"not yet": {
			answer:  func(*stubHook, string) http.HandlerFunc { return notYet },
			reached: requested, warns: []string{"may still perform it", "vault write -f ads/tokens/acme-rw/verify"}, note: "had not answered",
		},
		"hangs": {
			answer:  func(h *stubHook, _ string) http.HandlerFunc { return h.hang(dead) },
			reached: requested, warns: []string{"may still perform it", "vault write -f ads/tokens/acme-rw/verify"}, note: "had not answered",
		},
		"fails": {
			answer: func(*stubHook, string) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
			},
			reached: func(f *fixture, t *testing.T) bool {
				return requested(f, t) && f.read(t, "tokens/acme-rw")["last_error"] != ""
			},
			warns: []string{"may still perform it"}, note: "had not answered",
		},
		"value rejected": {
			answer: func(_ *stubHook, sid string) http.HandlerFunc {
				return gives(map[string]string{"account_sid": sid, "auth_token": dead["auth_token"]})
			},
			reached: func(f *fixture, t *testing.T) bool { return f.state(t, "acme-rw") == rotation.StatePending },
			warns:   []string{"was never published, and is dropped", "fingerprint"}, note: "was dropped for it, unpublished",
		},
		"hangs, first value": {
			answer:  func(h *stubHook, _ string) http.HandlerFunc { return h.hang(dead) },
			reached: requested, empty: true, warns: []string{"may still perform it"}, note: "had not answered",
		},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			sid := f.withImpact(t, nil).AccountSID
			if story.empty {
				f.removeToken(t)
				f.write(t, "tokens/acme-rw", map[string]any{"account": "acme", "type": "legacy_read_write"})
			}
			h := f.withStubHook(t, notYet)
			h.set(story.answer(h, sid))
			waiter := f.goRotate(t, "acme-rw", nil)
			<-h.asked
			eventually(t, "the rotation to be under way", func() bool { return story.reached(f, t) })

			if name != "value rejected" { // which a new rotation may replace
				second, err := f.request(t, "tokens/acme-rw/rotate", nil, "")
				wantStatus(t, err, http.StatusConflict)
				wantSaid(t, "a second automatic rotation", said(second, err), "under way", "vault write ads/tokens/acme-rw/rotate ", " auth_token=-`")
			}
			fresh := f.resetReadWrite(t)
			before := time.Now()
			response, err := f.request(t, "tokens/acme-rw/rotate", map[string]any{"account_sid": sid, "auth_token": fresh.AuthToken}, "")
			if err != nil || response.IsError() {
				t.Fatalf("handing the value in: %s", said(response, err))
			}
			if took := time.Since(before); took > 20*time.Second {
				t.Errorf("the value waited for %s", took)
			}
			wantSaid(t, "the answer", said(response, nil), story.warns...)
			if strings.Contains(said(response, nil), dead["auth_token"]) {
				t.Error("a warning tells a value")
			}
			version := f.servesAssisted(t, fresh.AuthToken, story.note)
			answer := <-waiter
			if name != "value rejected" {
				wantStatus(t, answer.err, http.StatusConflict)
				wantSaid(t, "the waiter's answer", said(answer.response, answer.err), fmt.Sprintf("handed in version %v", version))
			}
			if name == "hangs" {
				<-h.left // its late answer
			}
			if err := f.rotateRoutinely(t.Context(), "acme-rw"); err != nil {
				t.Error(err)
			}
			if after := f.read(t, "creds/acme-rw"); after["version"] != version {
				t.Errorf("version %v was published afterwards", after["version"])
			}
		})
	}
}

// servesAssisted wants acme-rw to serve a value that was handed in, with that note in the history, and returns its version.
func (f *fixture) servesAssisted(t *testing.T, value, note string) any {
	t.Helper()
	got := f.read(t, "creds/acme-rw")
	if got["auth_token"] != value || f.state(t, "acme-rw") != rotation.StateIdle {
		t.Errorf("version %v is served in state %s", got["version"], f.state(t, "acme-rw"))
	}
	versions := f.read(t, "tokens/acme-rw/history")["versions"].([]any)
	last := versions[len(versions)-1].(map[string]any)
	wantSaid(t, "the history", fmt.Sprint(last["note"]), note)
	if last["source"] != string(rotation.SourceAssisted) {
		t.Errorf("the source is %v", last["source"])
	}
	return got["version"]
}

// removeToken deletes the token acme-rw.
func (f *fixture) removeToken(t *testing.T) *logical.Response {
	t.Helper()
	response, err := f.handle(t, logical.DeleteOperation, "tokens/acme-rw", nil)
	if err != nil || response.IsError() {
		t.Fatalf("deleting the token: %s", said(response, err))
	}
	return response
}

func TestRotate_ARejectedHandInLeavesTheRotationUnderWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	h := f.withStubHook(t, notYet)
	fresh := f.resetReadWrite(t)
	hang, give := h.hang(map[string]string{}), gives(map[string]string{"account_sid": fresh.AccountSID, "auth_token": fresh.AuthToken})
	var hung atomic.Bool
	h.set(func(w http.ResponseWriter, r *http.Request) {
		if hung.CompareAndSwap(false, true) {
			hang(w, r)
			return
		}
		give(w, r)
	})
	f.goRotate(t, "acme-rw", nil)
	<-h.asked
	response, err := f.request(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": "aWrongValue"}, "")
	if err != nil || !response.IsError() {
		t.Fatalf("a wrong value gives %s", said(response, err))
	}
	wantSaid(t, "the refusal", said(response, err), "nothing was changed", "tried with the account_sid that the token had", "vault read -field=runbook ads/tokens/acme-rw/rotate")
	<-h.left
	// Nobody asks for it again: it goes on by itself.
	eventually(t, "the rotation to go on", func() bool { return f.read(t, "tokens/acme-rw")["version"] == 2 })
}

func TestRotate_AKeyThatIsMadeWhileOneIsHandedInIsLookedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withGoogle(t)
	file := f.serviceAccount(t, "app")
	f.write(t, "tokens/app", map[string]any{"account": "google", "type": "service_account_key", "service_account_key": file})
	if err := f.provider.InjectFault(t.Context(), simulator.Fault{
		Service: simulator.GoogleIAM, Kind: simulator.FaultLateAnswer, Method: http.MethodPost, Latency: time.Hour,
	}); err != nil {
		t.Fatal(err)
	}
	f.goRotate(t, "app", nil)
	eventually(t, "the key to be made", func() bool {
		keys, err := f.provider.ServiceAccountKeys(t.Context(), "app")
		return err == nil && len(keys) == 2
	})
	if err := f.provider.ClearFaults(t.Context()); err != nil {
		t.Fatal(err)
	}
	made, err := f.provider.CreateServiceAccountKey(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "tokens/app/rotate", map[string]any{"service_account_key": string(made)})
	token, err := f.tokens.Load(t.Context(), f.storage, "app")
	if err != nil || token.Number() != 2 || token.Pending != nil || len(token.Searches) != 1 {
		t.Errorf("version %d, pending %t, %d searches, error %v; want the lost key looked for", token.Number(), token.Pending != nil, len(token.Searches), err)
	}
}

// serviceAccount makes one at the simulator, and returns its key file.
func (f *fixture) serviceAccount(t *testing.T, name string) string {
	t.Helper()
	file, err := f.provider.CreateServiceAccount(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
}

func TestHandIn_AWrongCasIsAnsweredBeforeAnyComparison(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	current := f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	for name, data := range map[string]map[string]any{
		"the current value":             {"auth_token": fresh.AuthToken, "cas": 7},
		"the current value, one before": {"auth_token": fresh.AuthToken, "cas": 1},
		"the value in the reason":       {"account_sid": "IR00000000000000000000", "reason": fresh.AuthToken, "cas": 7},
		"its identifier alone":          {"account_sid": current.AccountSID, "cas": 0},
		"another value":                 {"auth_token": "anotherValue", "cas": 7},
	} {
		response, err := f.request(t, "tokens/acme-rw/rotate", data, "accessor-mallory")
		if text := said(response, err); !strings.HasPrefix(text, "cas is ") {
			t.Errorf("%s: got %q, want that cas is wrong", name, text)
		}
	}
}

func TestHandIn_AWrongCasComesBeforeTheRefreshTokenThatStays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	client, err := f.provider.OAuthClient(t.Context(), simulator.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "config/google", map[string]any{
		"provider": "google_ads", "base_url": f.server.GoogleURL, "token_url": f.server.GoogleURL + "/token", "contact_email": "ads@acme.example",
	})
	f.write(t, "tokens/oauth", map[string]any{
		"account": "google", "type": "oauth_client",
		"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	})
	for _, guess := range []string{client.RefreshToken, "1//another-refresh-token"} {
		response, err := f.request(t, "tokens/oauth/rotate", map[string]any{"refresh_token": guess, "revoke_previous": true, "cas": 9}, "")
		wantSaid(t, "the answer", said(response, err), "cas is 9")
	}
}

func TestHandIn_ARequestSentAgainIsToldWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	data := map[string]any{"auth_token": fresh.AuthToken, "cas": 1}
	if response, err := f.request(t, "tokens/acme-rw/rotate", data, "accessor-jane"); err != nil || response.IsError() {
		t.Fatal(said(response, err))
	}
	for accessor, want := range map[string]string{"accessor-jane": "this is the current credential already (version 2)", "accessor-mallory": "cas is 1"} {
		response, err := f.request(t, "tokens/acme-rw/rotate", data, accessor)
		wantSaid(t, "the answer to "+accessor, said(response, err), want)
	}
	// Once somebody has rotated again, the first one's request is outdated.
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": f.resetReadWrite(t).AuthToken})
	response, err := f.request(t, "tokens/acme-rw/rotate", data, "accessor-jane")
	wantSaid(t, "the answer", said(response, err), "cas is 1 and the current version is 3")
}

// recordingProvider is an address of the account's for a moment. It takes everything, slowly if the test wants.
type recordingProvider struct {
	mu    sync.Mutex
	heard []string
	hold  chan struct{}
}

func (p *recordingProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, password, _ := r.BasicAuth()
	p.mu.Lock()
	p.heard = append(p.heard, password)
	p.mu.Unlock()
	if p.hold != nil {
		select {
		case <-p.hold:
		case <-r.Context().Done():
		}
	}
	w.WriteHeader(http.StatusInternalServerError)
}

func TestHandIn_AnAddressOfAMomentGetsNoValue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	credentials, err := f.provider.ImpactCredentials(t.Context(), "agency")
	if err != nil {
		t.Fatal(err)
	}
	slow, evil := &recordingProvider{hold: make(chan struct{})}, &recordingProvider{}
	addresses := map[string]string{"good": f.server.ImpactURL}
	for name, p := range map[string]*recordingProvider{"slow": slow, "evil": evil} {
		server := httptest.NewServer(p)
		t.Cleanup(server.Close)
		addresses[name] = server.URL
	}
	point := func(to string) {
		f.write(t, "config/imp", map[string]any{"provider": "impact", "account_type": "agency", "base_url": addresses[to], "request_timeout": 60})
	}
	point("slow")
	f.write(t, "tokens/t", map[string]any{"account": "imp", "type": "legacy_read_write"})
	sid, value := credentials.ReadWrite.AccountSID, credentials.ReadWrite.AuthToken
	first := f.goRotate(t, "t", map[string]any{"account_sid": sid, "auth_token": "dummy"})
	eventually(t, "the first request to hold the lock", func() bool { slow.mu.Lock(); defer slow.mu.Unlock(); return len(slow.heard) == 1 })
	point("good")
	admin := f.goRotate(t, "t", map[string]any{"account_sid": sid, "auth_token": value})
	eventually(t, "the admin's request to wait", func() bool { return f.contenders("t") == 2 })
	point("evil")
	mallory := f.goRotate(t, "t", map[string]any{"account_sid": "IR00000000000000000000"})
	eventually(t, "the other request to wait", func() bool { return f.contenders("t") == 3 })
	point("good")
	close(slow.hold)
	<-first
	if answer := <-admin; answer.err != nil || answer.response.IsError() {
		t.Errorf("the admin is told %s", said(answer.response, answer.err))
	}
	<-mallory
	if len(evil.heard) != 0 {
		t.Errorf("the address of a moment was asked %d times", len(evil.heard))
	}
}

func TestHandIn_AnImportIsNotToldToSkipVerification(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	if err := f.provider.InjectFault(t.Context(), simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultDropBefore}); err != nil {
		t.Fatal(err)
	}
	_, err := f.handle(t, logical.UpdateOperation, "tokens/new", map[string]any{
		"account": "acme", "type": "scoped", "account_sid": "IRq8mWJybvoQ1020978kbj7am8zzM2dBL1", "auth_token": "a-value",
	})
	wantStatus(t, err, http.StatusBadGateway)
	wantSaid(t, "the error", err.Error(), "nothing was changed", "create the token without a credential")
	if strings.Contains(err.Error(), "verify=false") {
		t.Errorf("an import is told of verify=false: %v", err)
	}
}

func TestHandIn_AnUnknownOutcomeIsNotClaimed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	f.storage.Refusals.Store(1)
	_, err := f.request(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken}, "")
	wantSaid(t, "the error", err.Error(), "it is not known whether version 2 was published", "vault read ads/tokens/acme-rw")
	f.storage.Refusals.Store(1)
	_, err = f.handle(t, logical.UpdateOperation, "tokens/new", map[string]any{"account": "acme", "type": "scoped"})
	wantSaid(t, "the error", said(nil, err), "nothing was published", "index")
}

// change changes a stored token.
func (f *fixture) change(t *testing.T, name string, how func(*token)) {
	t.Helper()
	token, unlock, err := f.lockToken(t.Context(), f.storage, name)
	if err != nil || token == nil {
		t.Fatalf("reading the token: %v", err)
	}
	defer unlock()
	how(token)
	if err := f.saveToken(t.Context(), f.storage, token); err != nil {
		t.Fatal(err)
	}
}
