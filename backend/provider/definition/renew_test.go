package definition_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func TestRenew_GivesTheFieldsOfTheAnswer(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, said{status: 200, body: `{"key":"new-key"}`})
	renewal := kind(t, "api_key").Renew
	values, err := renewal.Call(t.Context(), p.account(), keyToken())
	if err != nil || len(values) != 1 || values["api_key"] != "new-key" || renewal.Repeatable {
		t.Errorf("got %v, error %v, repeatable %v", values, err, renewal.Repeatable)
	}
	if r := p.requests[0]; r.Method != http.MethodPost || r.URL.Path != "/v2/keys/K12345678/regenerate" || r.Header.Get("Authorization") != "Bearer "+secret {
		t.Errorf("got %s %s", r.Method, r.URL)
	}
}

// TestRenew_WhatIsLost: after these answers nobody knows whether the platform has replaced the credential.
func TestRenew_WhatIsLost(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer said
		lost   bool
		says   string
	}{
		"dropped":                  {said{err: io.ErrUnexpectedEOF}, true, "closed the connection"},
		"500":                      {said{status: 500}, true, "HTTP 500"},
		"503 that looks replaced":  {said{status: 503, body: `{"key":"x"}`}, true, "HTTP 503"},
		"a redirect":               {said{status: 303}, true, "redirect (HTTP 303)"},
		"200 without the value":    {said{status: 200, body: `{"ok":true}`}, true, "has no usable api_key"},
		"200 with nothing":         {said{status: 200}, true, "has no usable api_key"},
		"a value of several lines": {said{status: 200, body: `{"key":"a\nb"}`}, true, "has no usable api_key"},
		"a page":                   {said{status: 200, body: `<html>`}, true, "has no usable api_key"},
		"201 without a rule":       {said{status: 201, body: `{"key":"x"}`}, true, "is not known"},
		"429":                      {said{status: 429, headers: []string{"Retry-After", "3"}}, false, "HTTP 429"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			values, err := kind(t, "api_key").Renew.Call(t.Context(), newPlatform(t, tc.answer).account(), keyToken())
			silence, ok := errors.AsType[*provider.Error](err)
			if !ok || values != nil || silence.NotSent == tc.lost || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, %+v; want lost %v with %q", values, err, tc.lost, tc.says)
			}
			noSecret(t, err.Error())
		})
	}
}

func TestRenew_Refused(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{`{"code":"E7"}`: "the key may not replace itself (E7)", `{"code":"` + secret + `"}`: "the key may not replace itself"} {
		_, err := kind(t, "api_key").Renew.Call(t.Context(), newPlatform(t, said{status: 403, body: body}).account(), keyToken())
		if refused, ok := errors.AsType[*provider.Refused](err); !ok || refused.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	_, err := kind(t, "api_key").Renew.Call(t.Context(), newPlatform(t, said{status: 404}).account(), keyToken())
	if _, ok := errors.AsType[*provider.Refused](err); !ok || !strings.Contains(err.Error(), "HTTP 404, for which its definition has no rule") {
		t.Errorf("got %v", err)
	}
}

// httpAccount is one for a server, with the engine's own client.
func httpAccount(t *testing.T, address string) provider.Account {
	t.Helper()
	client, err := provider.NewClient(provider.ClientConfig{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return provider.Account{Client: client, Settings: provider.Values{"base_url": address, "token_url": address, "app_id": "12345"}}
}

func TestRenew_NoConnectionIsNotLost(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = kind(t, "api_key").Renew.Call(t.Context(), httpAccount(t, address), keyToken())
	if silence, ok := errors.AsType[*provider.Error](err); !ok || !silence.NotSent {
		t.Errorf("got %+v, want an error of a request that was not sent", err)
	}
	_, err = kind(t, "api_key").Renew.Call(t.Context(), httpAccount(t, strings.Replace(address, "http://", "https://", 1)), keyToken())
	if silence, ok := errors.AsType[*provider.Error](err); !ok || !silence.NotSent {
		t.Errorf("got %+v, want an error of a request that was not sent", err)
	}
}

// TestRenew_IsNeverRepeated: a server takes the request and drops the connection, also one that was used before. net/http would send
// it again where it takes the request for one without effects.
func TestRenew_IsNeverRepeated(t *testing.T) {
	t.Parallel()
	for name, replaced := range map[string][]string{
		"POST":                         nil,
		"GET":                          {"{method: POST, url: '{+account.base_url}/v2/keys", "{method: GET, url: '{+account.base_url}/v2/keys"},
		"POST with a form":             {"bearer: '{credential.api_key}'}\n      outcomes:\n        - {when: 'status == 200', outcome: replaced}", "form: {a: b}, headers: {Idempotency-Key: x}}\n      outcomes:\n        - {when: 'status == 200', outcome: replaced}"},
		"POST with an idempotency key": {"bearer: '{credential.api_key}'}\n      outcomes:\n        - {when: 'status == 200', outcome: replaced}", "headers: {Idempotency-Key: x}}\n      outcomes:\n        - {when: 'status == 200', outcome: replaced}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var rotations atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/regenerate") {
					w.Header().Set("Content-Type", "application/json")
					_, _ = io.WriteString(w, `{"id":1}`)
					return
				}
				rotations.Add(1)
				connection, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					_ = connection.Close()
				}
			}))
			t.Cleanup(server.Close)
			kind, account := parse(t, with(t, replaced...)).Provider().Type("api_key"), httpAccount(t, server.URL)
			if v, err := verify(t, kind, account, keyToken()); err != nil || v.Outcome != provider.Accepted {
				t.Fatalf("got %+v, error %v", v, err)
			}
			_, err := kind.Renew.Call(t.Context(), account, keyToken())
			if silence, ok := errors.AsType[*provider.Error](err); !ok || silence.NotSent {
				t.Errorf("got %+v, want a lost answer", err)
			}
			if n := rotations.Load(); n != 1 {
				t.Errorf("the platform got %d requests, want 1", n)
			}
		})
	}
}

// TestRenew_IdleConnectionThatIsClosed: the other side closes a connection while nobody looks. That is no lost answer.
func TestRenew_IdleConnectionThatIsClosed(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { // answers one request, says that it keeps the connection, and closes it
				defer connection.Close()
				request, err := http.ReadRequest(bufio.NewReader(connection))
				if err != nil {
					return
				}
				body := `{"id":1}`
				if strings.HasSuffix(request.URL.Path, "/regenerate") {
					body = `{"key":"new"}`
				}
				_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "+itoa(int64(len(body)))+"\r\n\r\n"+body)
			}()
		}
	}()
	kind, account := kind(t, "api_key"), httpAccount(t, "http://"+listener.Addr().String())
	for range 20 {
		if v, err := verify(t, kind, account, keyToken()); err != nil || v.Outcome != provider.Accepted {
			t.Fatalf("got %+v, error %v", v, err)
		}
		if values, err := kind.Renew.Call(t.Context(), account, keyToken()); err != nil || values["api_key"] != "new" {
			t.Fatalf("got %v, error %v", values, err)
		}
	}
}

func TestRetire(t *testing.T) {
	t.Parallel()
	current := provider.Values{"key_id": "K99999999", "api_key": "the-current-key-of-all"}
	tests := map[string]struct {
		answer  said
		refused bool
		says    string
	}{
		"done":           {said{status: 204}, false, ""},
		"gone already":   {said{status: 404}, false, ""},
		"refused":        {said{status: 403}, true, "only an admin's key ends another one"},
		"without a rule": {said{status: 409}, true, "HTTP 409"},
		"500":            {said{status: 500}, false, "HTTP 500"},
		"dropped":        {said{err: io.EOF}, false, "closed the connection"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, tc.answer)
			err := kind(t, "api_key").Retire(t.Context(), p.account(), keyToken(), current)
			_, refused := errors.AsType[*provider.Refused](err)
			if (err == nil) != (tc.says == "") || refused != tc.refused || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
			if r := p.requests[0]; r.Method != http.MethodDelete || r.URL.Path != "/v2/keys/K12345678" || r.Header.Get("Authorization") != "Bearer "+current["api_key"] {
				t.Errorf("got %s %s with %v; want the old key ended with the current one", r.Method, r.URL, r.Header)
			}
		})
	}
	p := newPlatform(t, said{status: 204})
	err := kind(t, "api_key").Retire(t.Context(), p.account(), keyToken(), nil)
	if _, refused := errors.AsType[*provider.Refused](err); !refused || len(p.requests) > 0 {
		t.Errorf("got %v after %d requests; want a refusal without a current value", err, len(p.requests))
	}
}
