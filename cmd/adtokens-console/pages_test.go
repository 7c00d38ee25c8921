package main

import (
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func statusOfTokens(tokens fields) fields {
	return fields{"summary": fields{"total": len(tokens)}, "tokens": tokens}
}

func TestOverview_HasTheMostUrgentFirst(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	row := func(changes fields) fields {
		r := fields{"account": "agency", "type": "scoped", "version": 1, "age": 60, "health": "ok", "overdue": false, "rotation_state": "idle", "last_error": ""}
		maps.Copy(r, changes)
		return r
	}
	vault.gives("GET adtokens/status", statusOfTokens(fields{
		"a-fine":     row(nil),
		"b-overdue":  row(fields{"overdue": true}),
		"c-ends":     row(fields{"expires_at": "2026-12-01T00:00:00Z"}),
		"d-rejected": row(fields{"health": "rejected", "overdue": true}),
		"e-ended":    row(fields{"expires_at": "2026-11-01T00:00:00Z"}),
		"f-stuck":    row(fields{"last_error": "the hook does not answer"}),
		"g-unproven": row(fields{"health": "unverified"}),
		"h-empty":    row(fields{"health": "none", "version": 0, "age": nil}),
		"i-later":    row(fields{"expires_at": "2027-12-01T00:00:00Z"}),
	}))
	vault.gives("LIST adtokens/campaigns", fields{"keys": []string{"reset-all"}, "key_info": fields{
		"reset-all": fields{"state": "running", "progress": fields{"total": 2, "done": 1, "waiting_for_person": 1}},
	}})
	b := newBrowser(t, vault, nil)
	b.signIn()
	got := b.follow(b.get("/"))
	attention, all, _ := strings.Cut(got.text, "All tokens (9)")
	last := 0
	for _, name := range []string{"d-rejected", "e-ended", "f-stuck", "b-overdue", "c-ends", "g-unproven", "h-empty", "reset-all"} {
		at := strings.Index(attention, ">"+name+"<")
		if at < last {
			t.Errorf("%s stands at %d, after what is less urgent", name, at)
		}
		last = at
	}
	if strings.Contains(attention, "a-fine") || strings.Contains(attention, "i-later") || !strings.Contains(all, "a-fine") {
		t.Error("what is well needs attention")
	}
	got.has(t, "1 for a person", "1 of 2 tokens are replaced")
	b.get("/m/adtokens/?state=overdue").has(t, "1 to 2 of 2")
	b.get("/m/adtokens/?q=FINE").has(t, "1 to 1 of 1")
	b.get("/m/adtokens/?q=nothing").has(t, "No token fits")
}

// thousands are the tokens of a large mount, in pages as the engine gives them.
func thousands(n int) fields {
	tokens := fields{}
	for i := range n {
		tokens[fmt.Sprintf("acme-%05d", i)] = fields{
			"account": fmt.Sprintf("account-%d", i%40), "type": "legacy_read_write", "version": 3, "fingerprint": "15a05b612bd4fbf4", "age": 86400 * (i % 90),
			"health": []string{"ok", "ok", "ok", "rejected"}[i%4], "overdue": i%7 == 0, "next_vault_rotation": "2027-01-01T00:00:00Z", "expires_at": nil,
			"rotation_state": "idle", "last_error": "",
		}
	}
	return tokens
}

func TestOverview_OfThousands(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.gives("GET adtokens/status", statusOfTokens(thousands(5000)))
	b := newBrowser(t, vault, nil)
	b.signIn()
	first := b.get("/m/adtokens/")
	first.has(t, "1 to 50 of 5000", "that need attention", `rel="next"`)
	if len(first.text) > 200<<10 {
		t.Errorf("the page has %d bytes", len(first.text))
	}
	b.get("/m/adtokens/?page=100").has(t, "4951 to 5000 of 5000", "acme-04999")
	b.get("/m/adtokens/?page=999").has(t, "4951 to 5000 of 5000")
	b.get("/m/adtokens/?page=-3&q=account-39&state=rejected").has(t, "1 to 50 of 125")
}

func TestOverview_WithoutTheRight(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.refuses("GET adtokens/status", http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
	b := newBrowser(t, vault, nil)
	b.signIn()
	got := b.get("/m/adtokens/")
	got.has(t, "You may not see the list", `name="open"`)
	if got := b.get("/m/adtokens/?open=acme-rw"); got.location != "/m/adtokens/tokens/acme-rw" {
		t.Errorf("it leads to %s", got.location)
	}
}

func TestToken_Page(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.fakeToken("acme-rw", fields{"health": "rejected", "retiring": []any{fields{"version": 1, "at": "2026-11-28T09:00:00Z"}}})
	vault.gives("GET adtokens/tokens/acme-rw/readers", fields{"current_version": 3, "readers": []any{
		fields{"display_name": "app-reports", "address": "10.0.0.7", "version": 2, "last_read": "2026-11-27T08:59:00Z"},
		fields{"display_name": "app-bids", "address": "10.0.0.8", "version": 3, "last_read": "2026-11-27T08:59:30Z"},
	}, "summary": fields{"total": 2, "current": 1, "behind": 1}})
	b := newBrowser(t, vault, nil)
	b.signIn()
	got := b.get("/m/adtokens/tokens/acme-rw")
	got.has(t,
		"Does not work", "refuses this token", "Press Reset.", "https://app.impact.com", `name="auth_token"`, `type="password" id="auth_token"`,
		"letters and digits, without spaces", `type="text" id="account_sid"`, `name="reason"`, `name="cas" value="3"`, "Account Administrator",
		"Joe has left", "1 of 2", "app-reports", "still has version 2", "What to tell", "These still have an old one: app-reports", "End version 1 now",
		"the platform accepts it", "Legacy Read/Write token",
	)
	got.hasNot(t, "vault write", "in a terminal", "`")
	vault.onlyAs(t, "", userToken)
	if missing := b.get("/m/adtokens/tokens/none"); missing.status != http.StatusNotFound {
		t.Errorf("a token that is not there answers %d", missing.status)
	}
	for _, odd := range []string{"..%2Fcreds%2Fx", "..", "a%2Fb", "a%3Fb", "%2e%2e"} {
		if got := b.get("/m/adtokens/tokens/" + odd); got.status == http.StatusOK {
			t.Errorf("%s is a token", odd)
		}
	}
	vault.onlyAs(t, "", userToken)
}

func TestToken_MessageToOwnersIsTrue(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		changes fields
		has     []string
		hasNot  []string
	}{
		"replaced": {
			nil, []string{"was replaced on 20 November 2026", "have a new value within 60 seconds"}, []string{"does not work at the moment"},
		},
		"taken over as it was": {
			fields{"version": 1}, nil, []string{"What to tell the owners", "was replaced on"},
		},
		"down": {
			fields{"health": "rejected"},
			[]string{"does not work at the moment", "at most 60 seconds after it was published"},
			[]string{"was replaced on", "within 60 seconds"},
		},
		"down, and never replaced": {
			fields{"version": 1, "health": "rejected"}, []string{"does not work at the moment"}, []string{"was replaced on"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vault := newFakeVault(t)
			vault.fakeToken("acme-rw", tt.changes)
			b := newBrowser(t, vault, nil)
			b.signIn()
			page := b.get("/m/adtokens/tokens/acme-rw")
			page.has(t, tt.has...)
			page.hasNot(t, tt.hasNot...)
		})
	}
}

func TestToken_AnOldValueThatWaitsForPrograms(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.fakeToken("acme-rw", fields{"retire_after": "adopted", "retiring": []any{fields{"version": 2, "at": "2026-11-26T09:00:00Z"}}})
	b := newBrowser(t, vault, nil)
	b.signIn()
	got := b.get("/m/adtokens/tokens/acme-rw")
	got.has(t, "Version 2 ends as soon as every program has read a newer one.")
	got.hasNot(t, "ends on 26 November")
}

func TestToken_PartsWithoutTheRight(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.fakeToken("acme-rw", nil)
	for _, part := range []string{"tokens/acme-rw/rotate", "tokens/acme-rw/history", "tokens/acme-rw/readers", "providers/impact"} {
		vault.refuses("GET adtokens/"+part, http.StatusForbidden, "permission denied")
	}
	vault.gives("POST sys/capabilities-self", fields{"adtokens/tokens/acme-rw/verify": []string{"deny"}, "adtokens/tokens/acme-rw/rotate": []string{"deny"}})
	b := newBrowser(t, vault, nil)
	b.signIn()
	got := b.get("/m/adtokens/tokens/acme-rw")
	got.has(t, "You may not see how this token is replaced", "You may not see the history", "You may not see who uses this token", "You may not check it")
	if got.status != http.StatusOK {
		t.Errorf("it answers %d", got.status)
	}
	vault.refuses("GET adtokens/tokens/acme-rw", http.StatusForbidden, "permission denied")
	b.get("/m/adtokens/tokens/acme-rw").has(t, "You may not see this")
}

// What is pasted goes to Vault, and comes back in nothing.
func TestHandIn(t *testing.T) {
	t.Parallel()
	const value = "the-new-value-that-nobody-may-see"
	published := fields{"version": 4, "previous_version": 3, "verification": "accepted", "verification_detail": "impact.com accepts the token", "previous_credential": "rejected by provider"}
	for name, tt := range map[string]struct {
		status int
		text   string
		data   fields
		words  []string
	}{
		"published":    {http.StatusOK, "", published, []string{"Published. Version 4 is in use now.", "old value does not work any more", "impact.com accepts the token."}},
		"refused":      {http.StatusBadRequest, "the provider refuses this credential, so nothing was changed: " + value + ". `vault read -field=runbook adtokens/tokens/acme-rw/rotate` tells where the right value is", nil, []string{"Refused. Nothing was changed", "provider refuses this credential"}},
		"the same":     {http.StatusBadRequest, "this is the current credential already (version 3); nothing was changed", nil, []string{"This is the value in use already. Nothing was changed"}},
		"silent":       {http.StatusBadGateway, "nothing was changed, because the credential could not be verified", nil, []string{"could not be asked. Nothing was changed"}},
		"too late":     {http.StatusGatewayTimeout, "no answer", nil, []string{"could not be asked"}},
		"busy":         {http.StatusConflict, "a rotation is under way", nil, []string{"Something else is under way"}},
		"not allowed":  {http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n", nil, []string{"You may not replace this token"}},
		"sealed":       {http.StatusServiceUnavailable, "Vault is sealed", nil, []string{"Vault is closed"}},
		"other owner":  {http.StatusBadRequest, "the value belongs to 8, not to 7: accept_other_identity=true takes it", nil, []string{`name="accept_other_identity"`}},
		"inconclusive": {http.StatusOK, "", fields{"version": 4, "previous_version": 3, "verification": "inconclusive", "previous_credential": "not checked"}, []string{"cannot tell whether", "was not checked"}},
		"under way":    {http.StatusOK, "", fields{"version": 3, "rotation_state": "requested"}, []string{"It has begun"}},
		"retires":      {http.StatusOK, "", fields{"version": 4, "previous_version": 3, "verification": "accepted", "previous_credential": "retires at 2026-11-28T09:00:00Z"}, []string{"ended on 28 November 2026, 09:00 UTC"}},
		"adopted":      {http.StatusOK, "", fields{"version": 4, "previous_version": 3, "verification": "accepted", "previous_credential": "retires when adopted"}, []string{"as soon as every program"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vault := newFakeVault(t)
			vault.fakeToken("acme-rw", nil)
			if tt.status == http.StatusOK {
				vault.gives("POST adtokens/tokens/acme-rw/rotate", tt.data)
			} else {
				vault.refuses("POST adtokens/tokens/acme-rw/rotate", tt.status, tt.text)
			}
			b := newBrowser(t, vault, nil)
			b.signIn()
			got := b.post("/m/adtokens/tokens/acme-rw", "/m/adtokens/tokens/acme-rw/rotate", url.Values{
				"auth_token": {"  " + value + "\n"}, "account_sid": {""}, "reason": {"left the team"}, "cas": {"3"},
			})
			page := b.follow(got)
			page.has(t, tt.words...)
			page.hasNot(t, "vault read", "tells where")
			for where, text := range map[string]string{"page": page.text, "address": got.location, "answer": got.text, "log": b.log.String(), "cookies": fmt.Sprint(got.cookies)} {
				if strings.Contains(text, value) {
					t.Errorf("the %s has the value", where)
				}
			}
			sent := vault.asked("POST", "adtokens/tokens/acme-rw/rotate")
			if len(sent) != 1 || sent[0].body["auth_token"] != value || sent[0].body["reason"] != "left the team" || sent[0].body["cas"] != 3.0 || len(sent[0].body) != 3 {
				t.Errorf("Vault got %v", sent)
			}
			b.get("/m/adtokens/tokens/acme-rw").has(t, tt.words[0]) // loading it again shows the same, and does nothing
			if n := len(vault.asked("POST", "adtokens/tokens/acme-rw/rotate")); n != 1 {
				t.Errorf("it was sent %d times", n)
			}
		})
	}
}

func TestHandIn_Nothing(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.fakeToken("acme-rw", nil)
	b := newBrowser(t, vault, nil)
	b.signIn()
	b.follow(b.post("/m/adtokens/tokens/acme-rw", "/m/adtokens/tokens/acme-rw/rotate", url.Values{"auth_token": {" "}, "verify": {"false"}})).has(t, "Nothing was pasted")
	if len(vault.asked("POST", "adtokens/tokens/acme-rw/rotate")) != 0 {
		t.Error("Vault was asked for a rotation")
	}
}

func TestToken_ActionsInWords(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.fakeToken("acme-rw", nil)
	b := newBrowser(t, vault, nil)
	b.signIn()
	at := "/m/adtokens/tokens/acme-rw"
	for outcome, words := range map[string]string{"accepted": "The platform accepts it", "rejected": "The platform refuses it", "inconclusive": "That cannot be told"} {
		vault.gives("POST adtokens/tokens/acme-rw/verify", fields{"outcome": outcome, "detail": "the detail", "request_id": "req-1"})
		b.follow(b.post(at, at+"/verify", nil)).has(t, words, "the detail.", "req-1")
	}
	vault.gives("POST adtokens/tokens/acme-rw/retire", fields{"version": 2, "retired": true})
	b.follow(b.post(at, at+"/retire", url.Values{"version": {"2"}})).has(t, "Version 2 was ended")
	vault.gives("POST adtokens/tokens/acme-rw/rotate", fields{"version": 4, "previous_version": 3, "verification": "accepted", "previous_credential": "rejected by provider"})
	b.follow(b.post(at, at+"/renew", url.Values{"reason": {"monthly"}})).has(t, "Version 4 is in use now")
	if sent := vault.asked("POST", "adtokens/tokens/acme-rw/rotate"); len(sent) != 1 || len(sent[0].body) != 1 {
		t.Errorf("Vault got %v", sent)
	}
}

func TestConsent(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.fakeToken("acme-app", nil)
	vault.gives("POST adtokens/tokens/acme-app/consent", fields{"consent_url": "https://accounts.google.com/o/oauth2/v2/auth?state=st-7", "state": "st-7", "expires_at": "2026-11-27T09:10:00Z"})
	vault.gives("POST adtokens/tokens/acme-app/rotate", fields{"version": 4, "previous_version": 3, "verification": "accepted", "previous_credential": "still accepted"})
	b := newBrowser(t, vault, nil)
	b.signIn()
	at := "/m/adtokens/tokens/acme-app"
	b.post(at, at+"/consent", url.Values{"client_id": {""}}).has(t, "https://accounts.google.com/o/oauth2/v2/auth?state=st-7", "Go to accounts.google.com")
	if sent := vault.asked("POST", "adtokens/tokens/acme-app/consent"); len(sent) != 1 || len(sent[0].body) != 1 || sent[0].body["redirect_uri"] != b.server.URL+"/consent/callback" {
		t.Errorf("Vault got %v", sent)
	}
	for _, foreign := range []string{"state=st-8&code=c", "code=c", ""} {
		if got := b.get("/consent/callback?" + foreign); got.status != http.StatusBadRequest || len(vault.asked("POST", "adtokens/tokens/acme-app/rotate")) != 0 {
			t.Errorf("a foreign state answers %d", got.status)
		}
	}
	got := b.get("/consent/callback?state=st-7&code=the-code-of-a-consent&scope=x")
	if got.status != http.StatusSeeOther || got.location != at+"#result" {
		t.Fatalf("it answers %d, %s", got.status, got.location)
	}
	sent := vault.asked("POST", "adtokens/tokens/acme-app/rotate")
	if len(sent) != 1 || sent[0].body["code"] != "the-code-of-a-consent" || sent[0].body["state"] != "st-7" {
		t.Errorf("Vault got %v", sent)
	}
	b.follow(got).has(t, "Version 4 is in use now")
	for _, text := range []string{b.log.String(), got.text, fmt.Sprint(got.header)} {
		if strings.Contains(text, "the-code-of") {
			t.Errorf("the code is in %s", text)
		}
	}
	if again := b.get("/consent/callback?state=st-7&code=the-code-of-a-consent"); again.status != http.StatusBadRequest {
		t.Errorf("it is taken twice: %d", again.status)
	}
}

func TestConsent_Refused(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.fakeToken("acme-app", nil)
	vault.gives("POST adtokens/tokens/acme-app/consent", fields{"consent_url": "https://accounts.google.com/?state=st-7", "state": "st-7"})
	vault.refuses("POST adtokens/tokens/acme-app/rotate", http.StatusBadRequest, "the platform refused the consent: access_denied")
	b := newBrowser(t, vault, nil)
	b.signIn()
	at := "/m/adtokens/tokens/acme-app"
	b.post(at, at+"/consent", nil)
	b.follow(b.get("/consent/callback?state=st-7&error=access_denied")).has(t, "Refused. Nothing was changed", "access_denied")
	sent := vault.asked("POST", "adtokens/tokens/acme-app/rotate")
	if len(sent) != 1 || sent[0].body["redirect_url"] != b.server.URL+"/consent/callback?error=access_denied&state=st-7" {
		t.Errorf("Vault got %v", sent)
	}
}

func TestCampaign(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	tokens := fields{}
	for _, name := range []string{"acme-rw", "acme-ro", "other"} {
		vault.fakeToken(name, nil)
		tokens[name] = fields{"account": "agency", "type": "legacy_read_write", "version": 1, "health": "ok"}
	}
	vault.gives("GET adtokens/status", statusOfTokens(tokens))
	vault.gives("POST adtokens/campaigns/jane-leaves", fields{"state": "running"})
	vault.gives("GET adtokens/campaigns/jane-leaves", fields{
		"reason": "Jane leaves", "created_at": "2026-11-27T08:00:00Z", "created_by": fields{"display_name": "token-joe"}, "state": "running",
		"progress": fields{"total": 2, "done": 1, "waiting_for_person": 1}, "items": []any{
			fields{"token": "acme-rw", "how": "person", "state": "waiting", "console_url": "https://app.impact.com"},
			fields{"token": "acme-ro", "how": "automatic", "state": "done", "done_at": "2026-11-27T08:01:00Z"},
		},
	})
	b := newBrowser(t, vault, nil)
	b.signIn()
	at := "/m/adtokens/campaigns"
	form := url.Values{"name": {"jane-leaves"}, "reason": {"Jane leaves"}, "tokens": {"acme-*"}, "providers": {"impact"}}
	preview := b.post(at+"/new", at+"/preview", form)
	preview.has(t, "This would replace 2 tokens", "acme-rw", "acme-ro", "2 have to be reset by a person")
	preview.hasNot(t, ">other<")
	if len(vault.asked("POST", "adtokens/campaigns/jane-leaves")) != 0 {
		t.Error("the preview has begun the campaign")
	}
	page := b.follow(b.post(at+"/new", at+"/start", form))
	page.has(t, "1 of 2", "To do by a person: 1", "https://app.impact.com", "Jane leaves", "by token-joe", "Done: 1")
	sent := vault.asked("POST", "adtokens/campaigns/jane-leaves")
	if len(sent) != 1 || fmt.Sprint(sent[0].body) != "map[providers:[impact] reason:Jane leaves tokens:[acme-*]]" {
		t.Errorf("Vault got %v", sent)
	}
	b.follow(b.post(at+"/c/jane-leaves", at+"/c/jane-leaves", url.Values{"do": {"cancel"}})).has(t, "begins nothing new")
	for words, wrong := range map[string]url.Values{
		"Say why":            {"name": {"x"}, "tokens": {"acme-*"}},
		"Say which tokens":   {"name": {"x"}, "reason": {"y"}},
		"Give it a name":     {"name": {"a/b"}, "reason": {"y"}, "tokens": {"*"}},
		"No token fits what": {"name": {"x"}, "reason": {"y"}, "tokens": {"none-*"}},
	} {
		b.post(at+"/new", at+"/preview", wrong).has(t, words)
	}
}

func TestCampaigns_OfAnOlderEngine(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	b := newBrowser(t, vault, nil)
	b.signIn()
	b.get("/m/adtokens/campaigns").has(t, "There are no campaigns yet")
	vault.refuses("LIST adtokens/campaigns", http.StatusNotFound, "1 error occurred:\n\t* unsupported path\n\n")
	b.get("/m/adtokens/campaigns").has(t, "too old for campaigns")
	vault.refuses("LIST adtokens/campaigns", http.StatusForbidden, "permission denied")
	b.get("/m/adtokens/campaigns").has(t, "You may not see campaigns")
}

func TestProviders(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.fakeToken("acme-rw", nil)
	vault.gives("LIST adtokens/providers", fields{"keys": []string{"impact", "awin"}, "key_info": fields{
		"impact": fields{"origin": "catalogue", "title": "impact.com API", "token_types": []string{"legacy_read_write"}, "verified": true},
		"awin":   fields{"origin": "catalogue", "title": "Awin", "token_types": []string{"api_token"}, "verified": false},
	}})
	b := newBrowser(t, vault, nil)
	b.signIn()
	b.get("/m/adtokens/providers").has(t, "impact.com API", "Partly unconfirmed", "Confirmed")
	b.get("/m/adtokens/providers/impact").has(t, "Legacy Read/Write token", "New Auth Token", "letters and digits, without spaces")
	if got := b.get("/m/adtokens/providers/none"); got.status != http.StatusNotFound {
		t.Errorf("it answers %d", got.status)
	}
}

func TestMounts_AreThoseOfTheEngine(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.gives("GET sys/internal/ui/mounts", fields{"secret": fields{
		"adtokens/": fields{"type": "vault-plugin-secrets-adtokens"}, "team/ads/": fields{"type": "adtokens"}, "other/": fields{"type": "a-plugin"}, "kv/": fields{"type": "kv"},
	}})
	vault.gives("GET team/ads/info", fields{"version": "v1", "go_version": "go1.26", "providers": fields{"google_ads": fields{}}})
	vault.gives("GET other/info", fields{"version": "v7"})
	vault.gives("GET team/ads/status", statusOfTokens(thousands(3)))
	b := newBrowser(t, vault, nil)
	b.signIn()
	home := b.get("/")
	home.has(t, "/m/adtokens/", "/m/team%2Fads/")
	home.hasNot(t, "other/", "kv/")
	b.get("/m/team%2Fads/").has(t, "1 to 3 of 3", "/m/team%2Fads/tokens/acme-00000")
	if len(vault.asked("GET", "kv/info")) != 0 {
		t.Error("a mount of Vault's own was asked")
	}
	if got := b.get("/m/kv/"); got.status != http.StatusNotFound {
		t.Errorf("it answers %d", got.status)
	}
}

func TestVault_TokenOfTheEnvironmentIsNotUsed(t *testing.T) {
	t.Setenv("VAULT_TOKEN", "hvs.of-the-environment")
	vault := newFakeVault(t)
	vault.knows("hvs.of-the-environment", "root")
	b := newBrowser(t, vault, nil)
	b.get("/sign-in")
	b.signIn()
	b.get("/m/adtokens/")
	vault.onlyAs(t, "", userToken)
}

var (
	action  = regexp.MustCompile(`(?s){{.*?}}`)
	tag     = regexp.MustCompile(`(?s)<[^>]*>`)
	textKey = regexp.MustCompile(`(?:\bt|text|trouble\(err,|known|or_text|outcome\("[a-z]+",|say\(v, [\w.]+,|plainProblem\([\w, .]+,) ?\(?"([a-z0-9.-]+)"`)
)

// Every English text is in texts/en.yaml: templates have no words of their own, and no key lacks a text.
func TestTexts_AreInOnePlace(t *testing.T) {
	t.Parallel()
	p, err := loadPages()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	err = fs.WalkDir(os.DirFS("."), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".html") && (!strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go")) {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all.Write(source)
		p.check(t, path, string(source))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for key := range p.texts { // whose last part may be made of a state
		start := key
		for range 3 {
			if strings.Contains(all.String(), `"`+start) {
				break
			}
			start = start[:max(0, strings.LastIndex(start[:max(0, len(start)-1)], "."))+1]
		}
		if start == "" {
			t.Errorf("the text %s is used nowhere", key)
		}
	}
}

// check wants a file to have no words that belong to the texts, and no key without a text.
func (p *pages) check(t *testing.T, path, source string) {
	t.Helper()
	if strings.HasSuffix(path, ".html") {
		words := regexp.MustCompile(`[A-Za-z]{2,}`).FindAllString(tag.ReplaceAllString(action.ReplaceAllString(source, ""), ""), -1)
		if len(words) > 0 {
			t.Errorf("%s has words: %q", path, words)
		}
	}
	for _, found := range textKey.FindAllStringSubmatch(source, -1) {
		if p.texts[found[1]] == "" && strings.Contains(found[1], ".") && !strings.HasSuffix(found[1], ".") {
			t.Errorf("%s: there is no text %s", path, found[1])
		}
	}
}

func TestTexts_Times(t *testing.T) {
	t.Parallel()
	p, err := loadPages()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "just now", 5 * time.Minute: "5 minutes ago", -3 * time.Hour: "in 3 hours", 100 * time.Minute: "100 minutes ago", 50 * time.Hour: "2 days ago",
	} {
		if got := p.ago(now.Add(-d), now); got != want {
			t.Errorf("%s: %q", d, got)
		}
	}
	if got := p.duration(time.Second); got != "1 second" {
		t.Error(got)
	}
}

// BenchmarkOverview is what the console adds to Vault's own time, for a mount of 5,000 tokens; asked anew each time.
func BenchmarkOverview(b *testing.B) {
	vault := newFakeVault(b)
	status := jsonOf(fields{"data": statusOfTokens(thousands(5000))})
	vault.Config.Handler = withStatus(vault.Config.Handler, status)
	browser := newBrowser(b, vault, nil)
	browser.signIn()
	for b.Loop() {
		browser.clock.Advance(surveyAge)
		if got := browser.get("/m/adtokens/?q=acme&page=50"); got.status != http.StatusOK {
			b.Fatal(got.status)
		}
		browser.console.sessions.takeOver(browser.clock.Now()) // nothing is over
		if browser.clock.Now().Sub(time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)) > 20*time.Minute {
			b.StopTimer()
			browser.clock.Advance(-20 * time.Minute)
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/page")
}
