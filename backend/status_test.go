package backend

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

func TestStatusNamesWhatAPersonHasToLookAt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, map[string]any{"rotation_period": "1h"})
	warns := func(want ...string) {
		t.Helper()
		response, err := f.handle(t, logical.ReadOperation, "status", nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(response.Warnings) != min(len(want), 1) || !containsAll(strings.Join(response.Warnings, "\n"), want) {
			t.Errorf("status warns %q, want one warning with each of %q", response.Warnings, want)
		}
	}
	warns()
	f.clock.Advance(90 * time.Minute)
	warns("acme-rw: its rotation is overdue since", "tokens/acme-rw/rotate")
	fresh := f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/verify", nil)
	warns("acme-rw: the provider rejects version 1", "tokens/acme-rw/rotate")
	f.write(t, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken})
	warns()
}

func TestStatus_SummaryAddsUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	start := f.now()
	f.scheduler.Now = func() time.Time { return start } // else the engine tries the untried one meanwhile
	f.withImpact(t, map[string]any{"rotation_period": "1h"})
	f.write(t, "tokens/empty", map[string]any{"account": "acme", "type": "scoped"})
	f.write(t, "tokens/untried", map[string]any{
		"account": "acme", "type": "legacy_read_only", "account_sid": "IRuntried", "auth_token": "untried", "verify": false,
	})
	f.clock.Advance(90 * time.Minute)
	wants := func(want map[string]int) {
		t.Helper()
		summary := f.read(t, "status")["summary"].(map[string]any)
		sum := 0
		for _, health := range []string{"ok", "rejected", "unverified", "none"} {
			sum += summary[health].(int)
		}
		for name, n := range want {
			if summary[name] != n {
				t.Errorf("the summary is %v, want %d %s", summary, n, name)
			}
		}
		if summary["total"] != sum {
			t.Errorf("the summary %v does not add up to its total", summary)
		}
	}
	wants(map[string]int{"total": 3, "ok": 1, "none": 1, "unverified": 1, "rejected": 0, "overdue": 1})
	f.resetReadWrite(t)
	f.write(t, "tokens/acme-rw/verify", nil)
	wants(map[string]int{"total": 3, "ok": 0, "none": 1, "unverified": 1, "rejected": 1, "overdue": 1})
}

func TestList_ShowsWhatIsDue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, map[string]any{"rotation_period": "1h"})
	f.write(t, "tokens/empty", map[string]any{"account": "acme", "type": "scoped"})
	for _, overdue := range []bool{false, true} {
		response, err := f.handle(t, logical.ListOperation, "tokens/", nil)
		must(t, err)
		info := response.Data["key_info"].(map[string]any)
		due, never := info["acme-rw"].(map[string]any), info["empty"].(map[string]any)
		if due["overdue"] != overdue || due["next_vault_rotation"] != timestamp(testkit.Epoch.Add(time.Hour)) ||
			never["overdue"] != false || never["next_vault_rotation"] != nil {
			t.Errorf("the list shows %v, want acme-rw with overdue %v, due an hour after %s, and empty never", info, overdue, testkit.Epoch)
		}
		f.clock.Advance(90 * time.Minute)
	}
}

func TestStatusSaysHowToReadOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withImpact(t, nil)
	for i := range maxStatusLimit { // acme-rw comes before them
		name := fmt.Sprintf("t%04d", i)
		must(t, f.tokens.Put(t.Context(), f.storage, name, tokenEntry{Schema: tokenSchema, Account: "acme", Type: "scoped", RefreshTTL: 60}))
		_, err := f.tokens.Get(t.Context(), f.storage, name) // status does not wait for all of them
		must(t, err)
	}
	for name, tt := range map[string]struct {
		data    map[string]any
		shown   int
		warning string
	}{
		"no limit":                         {shown: defaultStatusLimit, warning: "tokens that are not shown: 4001; read on with after=t0998"},
		"a small limit":                    {data: map[string]any{"limit": 10}, shown: 10},
		"a limit that is too large":        {data: map[string]any{"limit": 1_000_000}, shown: maxStatusLimit, warning: "tokens that are not shown: 1; read on with after=t4998"},
		"a large limit, for what is there": {data: map[string]any{"limit": 1_000_000, "after": "t4990"}, shown: 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, err := f.handle(t, logical.ReadOperation, "status", tt.data)
			if err != nil {
				t.Fatal(err)
			}
			if shown := len(response.Data["tokens"].(map[string]any)); shown != tt.shown || strings.Join(response.Warnings, "\n") != tt.warning {
				t.Errorf("%d tokens are shown with warnings %q, want %d and %q", shown, response.Warnings, tt.shown, tt.warning)
			}
		})
	}
}

func containsAll(text string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

func TestStatusNamesABoundedNumberOfProblems(t *testing.T) {
	t.Parallel()
	var tokens []*token
	for i := range maxProblems + 5 {
		tokens = append(tokens, &token{name: fmt.Sprintf("t%02d", i), tokenEntry: tokenEntry{Record: rotation.Record{LastError: "the hook says no"}}})
	}
	got := problems(tokens, testkit.Epoch)
	if len(got) != maxProblems+1 || got[0] != "t00: the last problem was: the hook says no" || got[maxProblems] != "5 more tokens have problems" {
		t.Errorf("got %q", got)
	}
}
