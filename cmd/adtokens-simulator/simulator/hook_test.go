package simulator_test

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

func TestHookResetsLegacyTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.agency(t)
	// The SID of any token of the account will do: the type says which one is reset.
	reset := must(w.console.HookReset(t.Context(), simulator.HookToken{
		TokenType: "legacy_read_only", AccountSID: before.ReadWrite.AccountSID,
	}))(t)
	after := w.agency(t)
	if reset["account_sid"] != after.ReadOnly.AccountSID || reset["auth_token"] != after.ReadOnly.AuthToken || len(reset) != 2 {
		t.Error("the hook got something else than the console shows")
	}
	if after.ReadOnly.AuthToken == before.ReadOnly.AuthToken || after.ReadWrite != before.ReadWrite {
		t.Error("the wrong token was reset")
	}
	must(w.console.HookReset(t.Context(), simulator.HookToken{
		TokenType: "legacy_read_write", AccountSID: before.ReadWrite.AccountSID,
	}))(t)
	if w.agency(t).ReadWrite.AuthToken == before.ReadWrite.AuthToken {
		t.Error("the read/write token was not reset")
	}
}

func TestHookResetsOtherTypes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	scoped := must(w.console.CreateScopedToken(ctx, simulator.ScopedTokenInput{
		ScopedTokenName: simulator.ScopedTokenName{Account: "partner", Name: "app"},
	}))(t)
	manager := onlyCustomer(t, send(t, request{method: "GET", url: w.customersURL("v26"), header: w.authorized(t)}))
	tests := map[string]struct {
		input  simulator.HookToken
		fields []string
	}{
		"developer token": {simulator.HookToken{TokenType: "developer_token", LoginCustomerID: manager}, []string{"developer_token"}},
		"OAuth client":    {simulator.HookToken{TokenType: "oauth_client"}, []string{"client_id", "client_secret", "refresh_token"}},
		"scoped token":    {simulator.HookToken{TokenType: "scoped", AccountSID: scoped.AccountSID}, []string{"account_sid", "auth_token"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := must(w.console.HookReset(ctx, test.input))(t)
			second := must(w.console.HookReset(ctx, test.input))(t)
			if len(first) != len(test.fields) {
				t.Errorf("got %d fields, want %q", len(first), test.fields)
			}
			for _, field := range test.fields {
				if first[field] == "" {
					t.Errorf("no %s", field)
				}
			}
			if shown := must(w.console.HookShow(ctx, test.input))(t); !maps.Equal(shown, second) {
				t.Error("the console shows something else than the last reset gave")
			}
			last := test.fields[len(test.fields)-1]
			if first[last] == second[last] {
				t.Errorf("the second reset gave the same %s", last)
			}
			if !must(w.console.Ledger(ctx))(t).IsLive(second[last]) {
				t.Errorf("the %s is not live", last)
			}
		})
	}
}

func TestHookResetExplainsMistakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	legacy := w.agency(t).ReadWrite.AccountSID
	for name, test := range map[string]struct {
		input simulator.HookToken
		want  string
	}{
		"unknown SID":     {simulator.HookToken{TokenType: "scoped", AccountSID: "IRx"}, `no impact.com token with account SID "IRx"`},
		"unknown type":    {simulator.HookToken{TokenType: "password", AccountSID: legacy}, `no token of type "password"`},
		"not scoped":      {simulator.HookToken{TokenType: "scoped", AccountSID: legacy}, `no token of type "scoped"`},
		"unknown manager": {simulator.HookToken{TokenType: "developer_token", LoginCustomerID: "1"}, `no manager account "1"`},
		"unknown client":  {simulator.HookToken{TokenType: "oauth_client", Client: "x"}, `no OAuth client "x"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, act := range []func(context.Context, simulator.HookToken) (map[string]string, error){w.console.HookReset, w.console.HookShow} {
				_, err := act(t.Context(), test.input)
				var refused *simulator.ActionError
				if !errors.As(err, &refused) || !strings.Contains(refused.Message, test.want) {
					t.Errorf("got %v, want an *ActionError with %q", err, test.want)
				}
			}
		})
	}
}

func TestHookResetsOncePerKeyWhateverBecomesOfItsAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))
	hook := must(simulator.NewHook(w.console, secret))(t)
	server := httptest.NewServer(hook)
	t.Cleanup(server.Close)
	signer := must(standardwebhooks.NewWebhook(secret))(t)
	event := `{"token_type":"legacy_read_write","account_sid":"` + w.agency(t).ReadWrite.AccountSID + `"}`
	send := func(key, signed, event string) (response, error) {
		now := time.Now()
		signature := must(signer.Sign(key, now, []byte(signed)))(t)
		return trySend(t, request{method: "POST", url: server.URL, json: event, header: map[string]string{
			"webhook-id": key, "webhook-timestamp": strconv.FormatInt(now.Unix(), 10), "webhook-signature": signature, "Idempotency-Key": key,
		}})
	}
	ask := func(key, signed string) (response, error) { return send(key, signed, event) }
	if answer, err := ask("forged", "{}"); err != nil || answer.status != 401 {
		t.Errorf("an event with a wrong signature gets status %d and %v", answer.status, err)
	}
	before := w.agency(t).ReadWrite
	hook.Break(&simulator.Fault{Kind: simulator.FaultStatus, Status: 503, RetryAfter: 7})
	if answer, err := ask("one", event); err != nil || answer.status != 503 || answer.header.Get("Retry-After") != "7" {
		t.Errorf("got status %d and %v, want 503", answer.status, err)
	}
	if w.agency(t).ReadWrite != before {
		t.Error("the token was reset before the fault")
	}
	hook.Break(&simulator.Fault{Kind: simulator.FaultWrongContentType})
	lost := must(ask("one", event))(t)
	hook.Break(nil)
	answer := must(ask("one", event))(t)
	if string(answer.body) != string(lost.body) || answer.object(t)["auth_token"] != w.agency(t).ReadWrite.AuthToken {
		t.Error("the answers differ, or are not what the console shows")
	}
	other := strings.Replace(event, "read_write", "read_only", 1)
	if answer, err := send("one", other, other); err != nil || answer.status != 422 {
		t.Errorf("the key with another token gets status %d and %v, want 422", answer.status, err)
	}
	if keys, resets := hook.Asked(); len(keys) != 4 || len(resets) != 1 || resets["one"] == nil {
		t.Errorf("got %d requests and %d resets, want 4 and 1", len(keys), len(resets))
	}
}

func TestHookRemembersAResetWhoseCallerIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))
	hook := must(simulator.NewHook(w.console, secret))(t)
	signer := must(standardwebhooks.NewWebhook(secret))(t)
	event := `{"token_type":"legacy_read_write","account_sid":"` + w.agency(t).ReadWrite.AccountSID + `"}`
	now := time.Now()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(gone, http.MethodPost, "/", strings.NewReader(event))
	for name, value := range map[string]string{
		"webhook-id": "one", "webhook-timestamp": strconv.FormatInt(now.Unix(), 10),
		"webhook-signature": must(signer.Sign("one", now, []byte(event)))(t), "Idempotency-Key": "one",
	} {
		r.Header.Set(name, value)
	}
	hook.ServeHTTP(httptest.NewRecorder(), r)
	if _, resets := hook.Asked(); resets["one"]["auth_token"] != w.agency(t).ReadWrite.AuthToken {
		t.Error("the hook has not remembered what the console shows")
	}
}
