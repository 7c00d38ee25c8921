package resethook_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/resethook"
)

// Secrets of the tests. None may show up in an error.
const (
	authToken  = "s3cr3t-auth-token"
	hookSecret = "whsec_c2VjcmV0LW9mLXRoZS1ob29rLWluLXRoaXMtdGVzdA=="
)

const accountSID = "IRq8mWJybvoQ1020978kbj7am8zzM2dBL1"

var fields = []provider.Field{
	{Name: "account_sid", Check: provider.Match(`IR[0-9A-Za-z]+`, "an Account SID")},
	{Name: "auth_token", Secret: true, Check: provider.Opaque},
}

func event() resethook.Event {
	return resethook.Event{
		Token: "acme-rw", TokenType: "legacy_read_write", Provider: "impact", Account: "acme",
		Subject: provider.Values{"account_sid": accountSID}, Reason: "a person left", IdempotencyKey: "3f0c6c52-5d0e-4b7e-9d55-8f3f6f0d5a11",
	}
}

// hook is a server that answers as the handler says, and a request to it.
func hook(t *testing.T, answer http.HandlerFunc) resethook.Request {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	client, err := provider.NewClient(provider.ClientConfig{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return resethook.Request{URL: server.URL + "/reset", Secret: hookSecret, Client: client, Event: event(), Fields: fields}
}

func reply(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for pair := range slices.Chunk(header, 2) {
			w.Header().Set(pair[0], pair[1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// reset checks that there is either a credential or an error, and that neither the error nor the note holds a secret.
func reset(ctx context.Context, t *testing.T, r resethook.Request) (provider.Values, error) {
	t.Helper()
	got, _, err := resetWithNote(ctx, t, r)
	return got, err
}

func resetWithNote(ctx context.Context, t *testing.T, r resethook.Request) (got provider.Values, note string, err error) {
	t.Helper()
	answer, err := resethook.Reset(ctx, r)
	if (answer.Credential == nil) == (err == nil) {
		t.Errorf("got %d fields and error %v, want one of the two", len(answer.Credential), err)
	}
	told := answer.Note
	if err != nil {
		told += err.Error()
	}
	for _, secret := range []string{authToken, hookSecret, strings.TrimPrefix(hookSecret, "whsec_")} {
		if strings.Contains(told, secret) {
			t.Errorf("what is told repeats a secret: %s", told)
		}
	}
	return answer.Credential, answer.Note, err
}

func TestReset(t *testing.T) {
	t.Parallel()
	var method, path string
	var header http.Header
	var body []byte
	request := hook(t, func(w http.ResponseWriter, r *http.Request) {
		method, path, header = r.Method, r.URL.Path, r.Header
		body, _ = io.ReadAll(r.Body)
		reply(200, `{"account_sid":"`+accountSID+`","auth_token":" `+authToken+`\n","note":["else"]}`)(w, r)
	})
	got, err := reset(t.Context(), t, request)
	if err != nil {
		t.Fatalf("Reset: %v", err)
	}
	if want := (provider.Values{"account_sid": accountSID, "auth_token": authToken}); !maps.Equal(got, want) {
		t.Errorf("got the fields %q, want account_sid and auth_token in canonical form", slices.Sorted(maps.Keys(got)))
	}
	if method != http.MethodPost || path != "/reset" {
		t.Errorf("got %s %s, want POST /reset", method, path)
	}
	const want = `{"type":"reset","token":"acme-rw","token_type":"legacy_read_write","provider":"impact","account":"acme",` +
		`"account_sid":"` + accountSID + `","reason":"a person left","idempotency_key":"3f0c6c52-5d0e-4b7e-9d55-8f3f6f0d5a11"}`
	if string(body) != want {
		t.Errorf("got the body %s, want %s", body, want)
	}
	for name, value := range map[string]string{
		"webhook-id": request.Event.IdempotencyKey, "Idempotency-Key": request.Event.IdempotencyKey,
		"Content-Type": "application/json", "Accept": "application/json",
	} {
		if header.Get(name) != value {
			t.Errorf("got %s %q, want %q", name, header.Get(name), value)
		}
	}
	wantSigned(t, body, header)
}

// wantSigned wants what the library of Standard Webhooks accepts, and nothing else than the whole body to pass.
func wantSigned(t *testing.T, body []byte, header http.Header) {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Verify(body, header); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if err := verifier.Verify(append(body, ' '), header); !errors.Is(err, standardwebhooks.ErrNoMatchingSignature) {
		t.Errorf("Verify of another body: got error %v", err)
	}
}

func TestEventNamesTheAccountAtTheProvider(t *testing.T) {
	t.Parallel()
	var got map[string]any
	request := hook(t, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&got)
		reply(200, `{"developer_token":"t0ken"}`)(w, r)
	})
	request.Event = resethook.Event{
		Token: "ads-dev", TokenType: "developer_token", Provider: "google_ads", Account: "ads",
		Subject: provider.Values{"login_customer_id": "1234567890"}, IdempotencyKey: "key-1",
	}
	request.Fields = []provider.Field{{Name: "developer_token", Secret: true, Check: provider.Opaque}}
	if _, err := reset(t.Context(), t, request); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	want := map[string]any{
		"type": "reset", "token": "ads-dev", "token_type": "developer_token", "provider": "google_ads", "account": "ads",
		"login_customer_id": "1234567890", "reason": "", "idempotency_key": "key-1",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// inMemory answers without a network, so that time in a bubble stands still meanwhile.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Result(), nil
}

// TestEveryAttemptIsSignedAnew: a hook refuses old signatures, and knows a repeated event by its ID.
func TestEveryAttemptIsSignedAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ids, timestamps []string
		request := resethook.Request{URL: "https://hook.example.com", Secret: hookSecret, Event: event(), Fields: fields}
		request.Client = &http.Client{Transport: inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ids = append(ids, r.Header.Get("webhook-id"))
			timestamps = append(timestamps, r.Header.Get("webhook-timestamp"))
			body, _ := io.ReadAll(r.Body)
			wantSigned(t, body, r.Header)
			reply(202, "")(w, r)
		})}}
		for range 2 {
			_, err := reset(t.Context(), t, request)
			if !errors.As(err, new(*resethook.Pending)) {
				t.Fatalf("Reset: %v", err)
			}
			time.Sleep(time.Hour)
		}
		if !slices.Equal(ids, []string{request.Event.IdempotencyKey, request.Event.IdempotencyKey}) {
			t.Errorf("got the IDs %q, want the key of the event", ids)
		}
		if timestamps[0] == timestamps[1] {
			t.Errorf("got the timestamp %s twice, an hour apart", timestamps[0])
		}
	})
}

func TestHookAtWork(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer http.HandlerFunc
		want   time.Duration
	}{
		"accepted":              {reply(202, ""), 5 * time.Second},
		"accepted, with a page": {reply(202, "<html>"), 5 * time.Second},
		"accepted, with a wait": {reply(202, "{}", "Retry-After", "17"), 17 * time.Second},
		"another at it":         {reply(409, ""), 5 * time.Second},
		"another, with a wait":  {reply(409, "", "Retry-After", "90"), 90 * time.Second},
		"wait of zero":          {reply(202, "", "Retry-After", "0"), 5 * time.Second},
		"wait until a date":     {reply(202, "", "Retry-After", "Sun, 22 Nov 2026 01:00:00 GMT"), 5 * time.Second},
		"wait without end":      {reply(202, "", "Retry-After", "999999"), time.Hour},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := reset(t.Context(), t, hook(t, tc.answer))
			var pending *resethook.Pending
			if !errors.As(err, &pending) || pending.RetryAfter != tc.want {
				t.Errorf("got error %v, want a *Pending of %s", err, tc.want)
			}
		})
	}
}

// TestReset_AnswerWithoutASecret is final: the same key would get the same answer.
func TestReset_AnswerWithoutASecret(t *testing.T) {
	t.Parallel()
	const missing = "The reset hook's answer is not the new credential: auth_token must be there as a string. If the token was reset, the old value is dead"
	tests := map[string]struct {
		status     int
		body, want string
	}{
		"nothing":           {200, `{}`, missing},
		"one missing":       {200, `{"account_sid":"` + accountSID + `"}`, missing},
		"blank":             {200, `{"account_sid":"` + accountSID + `","auth_token":"  "}`, missing},
		"null":              {200, `{"auth_token":null}`, missing},
		"nested":            {200, `{"auth_token":{"value":"` + authToken + `"}}`, missing},
		"fraction":          {200, `{"auth_token":12.5}`, missing},
		"other words":       {200, `{"Auth_Key":"` + authToken + `"}`, missing},
		"two spellings":     {200, `{"Auth_Token":"` + authToken + `","authToken":"` + authToken + `2"}`, missing},
		"of a queue":        {200, `{"status":"success","id":"7c1a","request_id":"93"}`, missing},
		"created":           {201, `{"message":"done"}`, missing},
		"malformed as well": {200, `{"account_sid":"a b"}`, "account_sid must be an Account SID; auth_token must be there"},
		"no content":        {204, "", "says that the reset is done and gives no new credential (HTTP 204, no body)"},
		"empty":             {200, " \n", "says that the reset is done and gives no new credential (HTTP 200, no body)"},
		"reset content":     {205, "", "(HTTP 205, no body)"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := hook(t, reply(tc.status, tc.body))
			request.Current = current
			_, err := reset(t.Context(), t, request)
			var unusable *resethook.Unusable
			if !errors.As(err, &unusable) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "hand it in") {
				t.Errorf("got error %v, want an *Unusable with %q", err, tc.want)
			}
		})
	}
}

// current is the credential before the reset.
var current = provider.Values{"account_sid": accountSID, "auth_token": "0ld-auth-token"}

// clientFields are those of a type with two secrets.
var clientFields = []provider.Field{
	{Name: "client_id", Check: provider.Opaque},
	{Name: "client_secret", Secret: true, Check: provider.Opaque},
	{Name: "refresh_token", Secret: true, Check: provider.Opaque},
}

// TestReset_ASecretThatCameIsTaken whatever stands around it, and with any status of success. What the hook leaves out, or
// gives in a wrong form, keeps its value.
func TestReset_ASecretThatCameIsTaken(t *testing.T) {
	t.Parallel()
	const other = "IRotherQJSxxtx1003248mgW3JmDKDeoq1"
	pair := func(sid string) provider.Values { return provider.Values{"account_sid": sid, "auth_token": authToken} }
	client := provider.Values{"client_id": "1-x.apps.googleusercontent.com", "client_secret": "0ld-client-secret", "refresh_token": "1//0ld"}
	rotated := func(name string) provider.Values {
		next := maps.Clone(client)
		next[name] = authToken
		return next
	}
	full := `{"account_sid":"` + other + `","auth_token":"` + authToken + `"}`
	tests := map[string]struct {
		status  int
		body    string
		header  []string
		fields  []provider.Field
		current provider.Values
		want    provider.Values
		note    string
	}{
		"created":                        {status: 201, body: full, want: pair(other)},
		"non-authoritative":              {status: 203, body: full, want: pair(other)},
		"partial content":                {status: 206, body: full, want: pair(other)},
		"multi-status":                   {status: 207, body: full, want: pair(other)},
		"accepted, and done":             {status: 202, body: full, want: pair(other)},
		"conflict with what was made":    {status: 409, body: full, want: pair(other)},
		"announced as text":              {status: 200, body: full, header: []string{"Content-Type", "text/plain"}, want: pair(other)},
		"announced as a page":            {status: 200, body: full, header: []string{"Content-Type", "text/html"}, want: pair(other)},
		"left out":                       {status: 200, body: `{"auth_token":"` + authToken + `"}`, want: pair(accountSID)},
		"null":                           {status: 200, body: `{"account_sid":null,"auth_token":"` + authToken + `"}`, want: pair(accountSID)},
		"blank":                          {status: 200, body: `{"account_sid":" ","auth_token":"` + authToken + `"}`, want: pair(accountSID)},
		"other letters":                  {status: 200, body: `{"Account_SID":"` + other + `","auth_token":"` + authToken + `"}`, want: pair(other)},
		"the secret in other letters":    {status: 200, body: `{"authToken":"` + authToken + `"}`, want: pair(accountSID)},
		"with a dash, in data":           {status: 200, body: `{"data":{"auth-token":"` + authToken + `","accountSid":"` + other + `"}}`, want: pair(other)},
		"its own name first":             {status: 200, body: `{"authToken":"an-old-one","auth_token":"` + authToken + `"}`, want: pair(accountSID)},
		"malformed beside it":            {status: 200, body: `{"account_sid":"x y","auth_token":"` + authToken + `"}`, want: pair(accountSID), note: "account_sid must be an Account SID"},
		"an object beside it":            {status: 200, body: `{"account_sid":{"id":1},"auth_token":"` + authToken + `"}`, want: pair(accountSID), note: "account_sid must be a string"},
		"in data":                        {status: 200, body: `{"success":true,"data":` + full + `}`, want: pair(other)},
		"in data of a list":              {status: 200, body: `{"items":[{"json":` + full + `}]}`, want: pair(other)},
		"in a list":                      {status: 200, body: `[` + full + `]`, want: pair(other)},
		"identifier around it":           {status: 200, body: `{"account_sid":"` + other + `","credential":{"auth_token":"` + authToken + `"}}`, want: pair(other)},
		"twice the same":                 {status: 200, body: `{"data":` + full + `,"result":` + full + `}`, want: pair(other)},
		"beside the old one":             {status: 200, body: `{"a_old":{"auth_token":"0ld-auth-token"},"new":` + full + `,"old":{"auth_token":"0ld-auth-token"}}`, want: pair(other)},
		"digits as a number":             {status: 200, body: `{"auth_token":12345678901234567890123}`, want: provider.Values{"account_sid": accountSID, "auth_token": "12345678901234567890123"}},
		"client: the refresh token only": {status: 200, body: `{"refresh_token":"` + authToken + `"}`, fields: clientFields, current: client, want: rotated("refresh_token")},
		"client: the secret only":        {status: 200, body: `{"client_secret":"` + authToken + `"}`, fields: clientFields, current: client, want: rotated("client_secret")},
		"client: one of two malformed": {
			status: 200, body: `{"client_secret":"a b","refresh_token":"` + authToken + `"}`, fields: clientFields, current: client,
			want: rotated("refresh_token"), note: "client_secret must be printable ASCII",
		},
		"nothing before it": {
			status: 200, body: `{"auth_token":"` + authToken + `"}`, current: provider.Values{},
			want: provider.Values{"auth_token": authToken},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := hook(t, reply(tc.status, tc.body, tc.header...))
			request.Current = current
			if tc.current != nil {
				request.Current = tc.current
			}
			if tc.fields != nil {
				request.Fields = tc.fields
			}
			got, note, err := resetWithNote(t.Context(), t, request)
			if err != nil {
				t.Fatalf("Reset: %v", err)
			}
			if !maps.Equal(got, tc.want) {
				t.Errorf("got the fields %q, or another value of one", slices.Sorted(maps.Keys(got)))
			}
			if (note == "") != (tc.note == "") || !strings.Contains(note, tc.note) {
				t.Errorf("got the note %q, want one with %q", note, tc.note)
			}
		})
	}
}

// TestReset_ASecretThatCannotBeUsed is not final: once the hook is mended, the same key gets the value.
func TestReset_ASecretThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, want string }{
		"malformed":      {`{"account_sid":"` + accountSID + `","auth_token":"` + authToken + ` ` + authToken + `"}`, "cannot be used: auth_token must be printable"},
		"for a shell":    {`{"auth_token":"$(` + authToken + `)"}`, "cannot be used: auth_token must be printable"},
		"too long":       {`{"auth_token":"` + strings.Repeat(authToken, 2000) + `"}`, "cannot be used: auth_token must have at most"},
		"several":        {`[{"auth_token":"` + authToken + `"},{"auth_token":"another"}]`, "several new credentials"},
		"plain text":     {authToken, "unreadable answer (HTTP 200): a reset hook answers with a JSON object"},
		"string":         {`"` + authToken + `"`, "unreadable answer (HTTP 200)"},
		"two objects":    {`{"auth_token":"` + authToken + `"}{}`, "unreadable answer (HTTP 200)"},
		"half an object": {`{"auth_token":"` + authToken, "unreadable answer (HTTP 200)"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := hook(t, reply(200, tc.body))
			request.Current = current
			_, err := reset(t.Context(), t, request)
			var silence *provider.Error
			if !errors.As(err, &silence) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "repeated with the same key") {
				t.Errorf("got error %v, want a *provider.Error with %q", err, tc.want)
			}
		})
	}
}

// TestReset_NotYetWithTheCurrentCredential: what tells of the value before is no new one.
func TestReset_NotYetWithTheCurrentCredential(t *testing.T) {
	t.Parallel()
	for _, status := range []int{202, 409} {
		request := hook(t, reply(status, `{"auth_token":"0ld-auth-token"}`))
		request.Current = current
		if _, err := reset(t.Context(), t, request); !errors.As(err, new(*resethook.Pending)) {
			t.Errorf("HTTP %d: got error %v, want a *Pending", status, err)
		}
	}
}

// TestReset_PageOfAProxy: what stands between Vault and the hook says nothing of the reset, which an earlier request may
// have performed.
func TestReset_PageOfAProxy(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403, 404, 407, 422} {
		for name, answer := range map[string]http.HandlerFunc{
			"announced": reply(status, "blocked", "Content-Type", "text/html; charset=utf-8"),
			"as it is":  reply(status, "\n<!doctype html><p>blocked"),
		} {
			_, err := reset(t.Context(), t, hook(t, answer))
			var silence *provider.Error
			if !errors.As(err, &silence) || !strings.Contains(err.Error(), fmt.Sprintf("unreadable answer (HTTP %d)", status)) {
				t.Errorf("HTTP %d, %s: got error %v, want a *provider.Error", status, name, err)
			}
		}
	}
}

func TestHookRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		detail string
	}{
		"bad request":   {400, "refuses the reset"},
		"signature":     {401, "same reset_hook_secret and that both clocks are right"},
		"forbidden":     {403, "same reset_hook_secret"},
		"no such hook":  {404, "refuses the reset"},
		"gone":          {410, "refuses the reset"},
		"unprocessable": {422, "refuses the reset"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := reset(t.Context(), t, hook(t, reply(tc.status, `{"error":"`+authToken+`"}`)))
			var refused *provider.Refused
			if !errors.As(err, &refused) || refused.Code != fmt.Sprintf("HTTP %d", tc.status) || !strings.Contains(refused.Detail, tc.detail) {
				t.Errorf("got error %v, want a *Refused with HTTP %d and %q", err, tc.status, tc.detail)
			}
		})
	}
}

func TestNoUsefulAnswer(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer  http.HandlerFunc
		kind    provider.Kind
		problem string
		wait    time.Duration
	}{
		"server error":       {answer: reply(500, authToken), problem: "HTTP 500"},
		"maintenance":        {answer: reply(503, "", "Retry-After", "60"), problem: "HTTP 503", wait: time.Minute},
		"rate limit":         {answer: reply(429, "", "Retry-After", "9"), kind: provider.RateLimited, problem: "HTTP 429", wait: 9 * time.Second},
		"request timeout":    {answer: reply(408, ""), kind: provider.Timeout, problem: "HTTP 408"},
		"redirect":           {answer: reply(307, "", "Location", "https://thief.example.com"), problem: "a redirect"},
		"dropped connection": {answer: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, problem: "closed the connection"},
		"page":               {answer: reply(200, "<html>"+authToken), problem: "unreadable answer (HTTP 200)"},
		"list":               {answer: reply(200, `["`+authToken+`"]`), problem: "unreadable answer (HTTP 200)"},
		"oversized":          {answer: reply(200, strings.Repeat(" ", 2<<20)), problem: "more than 1048576 bytes"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := reset(t.Context(), t, hook(t, tc.answer))
			var silence *provider.Error
			if !errors.As(err, &silence) || silence.Kind != tc.kind || silence.RetryAfter != tc.wait || !strings.Contains(silence.Problem, tc.problem) {
				t.Errorf("got error %v, want a *provider.Error of kind %d with %q and a wait of %s", err, tc.kind, tc.problem, tc.wait)
			}
		})
	}
}

func TestResetObeysItsDeadlines(t *testing.T) {
	t.Parallel()
	silent := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // until then the server does not notice that the client has left
		<-r.Context().Done()
	}
	wantTimeout := func(t *testing.T, err error) {
		t.Helper()
		var silence *provider.Error
		if !errors.As(err, &silence) || silence.Kind != provider.Timeout {
			t.Errorf("got error %v, want a timeout", err)
		}
	}
	t.Run("context", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := reset(ctx, t, hook(t, silent))
		wantTimeout(t, err)
	})
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		request := hook(t, silent)
		request.Client.Timeout = 50 * time.Millisecond
		_, err := reset(t.Context(), t, request)
		wantTimeout(t, err)
	})
}

func TestRequestThatCannotBeMade(t *testing.T) {
	t.Parallel()
	request := hook(t, reply(200, "{}"))
	request.Secret = authToken + "!"
	_, err := reset(t.Context(), t, request)
	if !errors.As(err, new(*provider.Refused)) {
		t.Errorf("got error %v, want a *provider.Refused", err)
	}
	request = hook(t, reply(200, "{}"))
	request.URL = "https://hook.example.com/%zz" + authToken
	_, err = reset(t.Context(), t, request)
	if !errors.As(err, new(*provider.Error)) {
		t.Errorf("got error %v, want a *provider.Error", err)
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	secret := func(size int) string {
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", size)))
	}
	const form = "reset_hook_secret must be whsec_ followed by base64"
	tests := map[string]struct{ field, value, want, wantErr string }{
		"address":          {field: "reset_hook_url", value: " https://hook.example.com/reset/ ", want: "https://hook.example.com/reset/"},
		"secret query":     {field: "reset_hook_url", value: "https://f.example.com/api/reset?code=x==", want: "https://f.example.com/api/reset?code=x=="},
		"shown address":    {field: "reset_hook_url", value: "https://f.example.com/api/reset?…", wantErr: "reset_hook_url has ?… where its query was"},
		"plain address":    {field: "reset_hook_url", value: "http://hook.example.com", wantErr: "reset_hook_url must start with https://"},
		"loopback address": {field: "reset_hook_url", value: "http://127.0.0.1:8100/reset", want: "http://127.0.0.1:8100/reset"},
		"smallest secret":  {field: "reset_hook_secret", value: secret(24), want: secret(24)},
		"largest secret":   {field: "reset_hook_secret", value: " " + secret(64) + "\n", want: secret(64)},
		"too short":        {field: "reset_hook_secret", value: secret(23), wantErr: "reset_hook_secret must hold 24 to 64 bytes behind whsec_, this one has 23"},
		"too long":         {field: "reset_hook_secret", value: secret(65), wantErr: "this one has 65"},
		"prefix only":      {field: "reset_hook_secret", value: "whsec_", wantErr: "this one has 0"},
		"no prefix":        {field: "reset_hook_secret", value: strings.TrimPrefix(secret(32), "whsec_"), wantErr: form},
		"no base64":        {field: "reset_hook_secret", value: "whsec_" + strings.Repeat("-", 32), wantErr: form},
		"no padding":       {field: "reset_hook_secret", value: strings.TrimRight(secret(32), "="), wantErr: form},
		"two lines":        {field: "reset_hook_secret", value: "whsec_" + strings.Repeat("c2Vj", 8) + "\n" + strings.Repeat("c2Vj", 8), wantErr: form},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			field, ok := provider.Lookup(resethook.Fields(), tc.field)
			if !ok {
				t.Fatalf("there is no field %s", tc.field)
			}
			got, err := field.Canonical(tc.value)
			if got != tc.want || (err == nil) != (tc.wantErr == "") || (err != nil && !strings.Contains(err.Error(), tc.wantErr)) {
				t.Errorf("got %q, error %v; want %q, error with %q", got, err, tc.want, tc.wantErr)
			}
		})
	}
}

func TestFieldsSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	address, _ := provider.Lookup(resethook.Fields(), "reset_hook_url")
	secret, _ := provider.Lookup(resethook.Fields(), "reset_hook_secret")
	if !address.Endpoint || address.Secret || secret.Endpoint || !secret.Secret {
		t.Error("reset_hook_url is an endpoint and no secret, and reset_hook_secret the other way round")
	}
}
