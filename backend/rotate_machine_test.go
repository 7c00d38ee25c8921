package backend

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
)

// answersWith starts a hook that gives what answer makes, with the status, and returns the fields that name it.
func answersWith(t *testing.T, status int, answer func() map[string]any) map[string]any {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		body, err := json.Marshal(answer())
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	return map[string]any{"reset_hook_url": server.URL, "reset_hook_secret": "whsec_" + hookSecret}
}

// rotateUntil begins a rotation by hand and returns the token once reached says so of it.
func (f *fixture) rotateUntil(t *testing.T, name string, reached func(token map[string]any) bool) map[string]any {
	t.Helper()
	next, stop := f.watch(name)
	defer stop()
	ctx, hangUp := context.WithCancel(t.Context())
	var caller sync.WaitGroup
	caller.Go(func() {
		_, _ = f.HandleRequest(ctx, &logical.Request{Operation: logical.UpdateOperation, Path: "tokens/" + name + "/rotate", Storage: f.storage})
	})
	defer caller.Wait()
	defer hangUp()
	for {
		changed := next()
		if got := f.read(t, "tokens/"+name); reached(got) {
			return got
		}
		<-changed
	}
}

func TestAskHook_WhatTheAnswerLeavesOutKeepsItsValue(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 201, 202, 203, 409} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			before := f.withImpact(t, nil)
			f.write(t, "config/acme", answersWith(t, status, func() map[string]any {
				return map[string]any{"auth_token": f.resetReadWrite(t).AuthToken}
			}))
			if got := f.write(t, "tokens/acme-rw/rotate", nil); got.Data["version"] != 2 || got.Data["verification"] != "accepted" {
				t.Errorf("got %v, want version 2 accepted", got.Data)
			}
			got := f.read(t, "creds/acme-rw")
			if got["account_sid"] != before.AccountSID || got["auth_token"] == before.AuthToken {
				t.Error("apps do not get the Account SID of before with the new Auth Token")
			}
		})
	}
}

// TestAskHook_NoteGoesWithTheRefusal: the field whose value the hook garbled may be why the provider refuses the new one.
func TestAskHook_NoteGoesWithTheRefusal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.write(t, "config/acme", answersWith(t, http.StatusOK, func() map[string]any {
		return map[string]any{"account_sid": "the SID of another token", "auth_token": "valueOfAnotherToken"}
	}))
	got := f.rotateUntil(t, "acme-rw", func(token map[string]any) bool { return token["last_error"] != "" && token["last_error"] != nil })
	problem := fmt.Sprint(got["last_error"])
	if got["rotation_state"] != "pending" || !strings.Contains(problem, "the provider rejects the new value") ||
		!strings.Contains(problem, "account_sid must be an Account SID alone: this has blanks") || strings.Contains(problem, "valueOfAnotherToken") {
		t.Errorf("got state %v after %q", got["rotation_state"], problem)
	}
}

// TestHandIn_CompletesTheValueOfAHook: a token without a credential has no Account SID that a hook could leave out, and the
// hook's value is nowhere else.
func TestHandIn_CompletesTheValueOfAHook(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/new", map[string]any{"account": "acme", "type": "legacy_read_write"})
	f.write(t, "config/acme", answersWith(t, http.StatusOK, func() map[string]any { return map[string]any{"auth_token": fresh.AuthToken} }))
	got := f.rotateUntil(t, "new", func(token map[string]any) bool {
		return token["rotation_state"] == "pending" && token["last_error"] != "" && token["last_error"] != nil
	})
	if problem := fmt.Sprint(got["last_error"]); got["version"] != 0 || !strings.Contains(problem, "came without account_sid") || !strings.Contains(problem, "tokens/new/rotate") {
		t.Errorf("got version %v after %q, want it said what is missing", got["version"], problem)
	}
	f.write(t, "tokens/new/rotate", map[string]any{"account_sid": fresh.AccountSID})
	if got := f.read(t, "creds/new"); got["account_sid"] != fresh.AccountSID || got["auth_token"] != fresh.AuthToken {
		t.Error("apps do not get the hook's value")
	}
}

// TestHandIn_ASecretOfAPersonComesFirst, before what a hook has given.
func TestHandIn_ASecretOfAPersonComesFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	f.write(t, "config/acme", answersWith(t, http.StatusOK, func() map[string]any {
		return map[string]any{"account_sid": "IRofTheHook0000000000", "auth_token": "valueOfTheHook"}
	}))
	f.rotateUntil(t, "acme-rw", func(token map[string]any) bool { return token["last_error"] != "" && token["last_error"] != nil })
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	if got := f.read(t, "creds/acme-rw"); got["account_sid"] != fresh.AccountSID || got["auth_token"] != fresh.AuthToken {
		t.Error("apps do not get the person's value with the Account SID of before")
	}
}

// TestConfig_HookAddress is kept byte by byte, used as it is, and shown without its query.
func TestConfig_HookAddress(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	var asked sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.RequestURI, true)
		w.WriteHeader(http.StatusUnprocessableEntity)
	}))
	t.Cleanup(server.Close)
	for path, shown := range map[string]string{
		"/reset/": "/reset/", "": "", "/a%2Fb//": "/a%2Fb//", "/api/reset?code=s3cr3t/code==": "/api/reset?…",
	} {
		f.write(t, "config/acme", map[string]any{"reset_hook_url": server.URL + path, "reset_hook_secret": "whsec_" + hookSecret})
		if got := f.read(t, "config/acme"); got["reset_hook_url"] != server.URL+shown || strings.Contains(fmt.Sprint(got), "s3cr3t") {
			t.Errorf("%s is shown as %v", path, got["reset_hook_url"])
		}
		response, err := f.handle(t, logical.UpdateOperation, "tokens/acme-rw/rotate", nil)
		if err != nil || !response.IsError() || strings.Contains(fmt.Sprint(response), "s3cr3t") {
			t.Errorf("rotating gives %v, error %v; want the hook's refusal without its query", response, err)
		}
		if path == "" {
			path = "/"
		}
		if _, ok := asked.Load(path); !ok {
			t.Errorf("%s was not asked", path)
		}
	}
	f.write(t, "config/acme", map[string]any{"reset_hook_url": server.URL + "/?code=s3cr3t", "reset_hook_secret": "whsec_" + hookSecret})
	shown := f.read(t, "config/acme")["reset_hook_url"]
	response, err := f.handle(t, logical.UpdateOperation, "config/acme", map[string]any{"reset_hook_url": shown, "reset_hook_secret": "whsec_" + hookSecret})
	if err == nil {
		err = response.Error()
	}
	if err == nil || !strings.Contains(err.Error(), "reset_hook_url has ?… where its query was") {
		t.Errorf("writing back what is shown gives error %v", err)
	}
	f.write(t, "config/acme", map[string]any{"request_timeout": 20})
	_, _ = f.handle(t, logical.UpdateOperation, "tokens/acme-rw/rotate", nil)
	if _, ok := asked.Load("/?code=s3cr3t"); !ok {
		t.Error("the query is lost after a write of something else")
	}
}

// TestConfig_FieldsThatAreShownHoldNothingElse, whatever was pasted into them.
func TestConfig_FieldsThatAreShownHoldNothingElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	tls := httptest.NewTLSServer(nil)
	t.Cleanup(tls.Close)
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}))
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("s3cr3t")}))
	account := map[string]any{"provider": "impact", "account_type": "agency", "contact_email": "ads@acme.example"}
	for field, values := range map[string][]string{
		"ca_cert":            {certificate + key, key + certificate},
		"reset_hook_ca_cert": {certificate + key},
		"contact_email":      {"Ads <ads@acme.example>", "ads@acme.example (s3cr3t)"},
		"base_url":           {"https://u:s3cr3t@api.impact.com", "https://api.impact.com?token=s3cr3t", "https://api.impact.com/#s3cr3t"},
		"reset_hook_url":     {"https://u:s3cr3t@hook.example.com", "https://hook.example.com/#s3cr3t"},
		"api_version":        {"14 s3cr3t"},
	} {
		for _, value := range values {
			data := map[string]any{field: value}
			for name, base := range account {
				if name != field {
					data[name] = base
				}
			}
			response, err := f.handle(t, logical.UpdateOperation, "config/other", data)
			if err == nil {
				err = response.Error()
			}
			if err == nil || !strings.Contains(err.Error(), field) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%s: got error %v, want a refusal that does not repeat the value", field, err)
			}
		}
	}
	account["ca_cert"] = "# the key is s3cr3t\n" + certificate
	f.write(t, "config/other", account)
	if got := f.read(t, "config/other")["ca_cert"]; got != strings.TrimSpace(certificate) {
		t.Errorf("ca_cert is shown as %v", got)
	}
	f.write(t, "config/other", map[string]any{"ca_cert": account["ca_cert"], "request_timeout": 20})
}

// TestConfig_CACertOfAnEarlierVersionIsNoChange: what stood beside the certificates is not kept any more.
func TestConfig_CACertOfAnEarlierVersionIsNoChange(t *testing.T) {
	t.Parallel()
	tls := httptest.NewTLSServer(nil)
	t.Cleanup(tls.Close)
	certificate := "# our CA\n" + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}))
	f := newFixture(t)
	f.withImpact(t, nil)
	stored, err := f.storage.Get(t.Context(), "config/acme")
	if err != nil {
		t.Fatal(err)
	}
	var entry accountEntry
	if err := stored.DecodeJSON(&entry); err != nil {
		t.Fatal(err)
	}
	entry.Settings["ca_cert"] = strings.TrimSpace(certificate)
	if stored, err = logical.StorageEntryJSON("config/acme", entry); err != nil {
		t.Fatal(err)
	}
	if err := f.storage.Put(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	f.Invalidate(t.Context(), "config/acme")
	f.write(t, "config/acme", map[string]any{"ca_cert": certificate}) // the token holds a credential
}
