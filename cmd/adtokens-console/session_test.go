package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestSession_Ends(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ttl  int
		live func(b *browser, vault *fakeVault)
		ends bool
	}{
		"used all the time": {0, func(b *browser, _ *fakeVault) {
			for range 20 {
				b.clock.Advance(29 * time.Minute)
				b.get("/m/adtokens/")
			}
		}, false},
		"unused for half an hour": {0, func(b *browser, _ *fakeVault) { b.clock.Advance(30 * time.Minute) }, true},
		"refreshed by a page that is left open": {0, func(b *browser, _ *fakeVault) {
			for range 3 {
				b.clock.Advance(10 * time.Minute)
				r := b.request(http.MethodGet, "/m/adtokens/", nil)
				r.Header.Set(refreshHeader, "yes")
				if b.clock.Now().Minute() < 30 {
					b.do(r)
				}
			}
		}, true},
		"after twelve hours": {0, func(b *browser, _ *fakeVault) {
			for range 24 {
				b.clock.Advance(29 * time.Minute)
				b.get("/m/adtokens/")
			}
			b.clock.Advance(25 * time.Minute)
		}, true},
		"with the Vault token's time": {600, func(b *browser, _ *fakeVault) { b.clock.Advance(10 * time.Minute) }, true},
		"just before that":            {600, func(b *browser, _ *fakeVault) { b.clock.Advance(9 * time.Minute) }, false},
		"when the Vault token is revoked": {0, func(b *browser, vault *fakeVault) {
			b.clock.Advance(mountsAge + time.Second)
			vault.mu.Lock()
			defer vault.mu.Unlock()
			delete(vault.tokens, userToken)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vault := newFakeVault(t)
			vault.gives("GET auth/token/lookup-self", fields{"display_name": "token-jane", "ttl": tt.ttl})
			b := newBrowser(t, vault, nil)
			b.signIn()
			tt.live(b, vault)
			got := b.get("/m/adtokens/")
			if ended := got.status == http.StatusSeeOther && strings.HasPrefix(got.location, "/sign-in?"); ended != tt.ends {
				t.Fatalf("it answers %d, %s", got.status, got.location)
			}
			if tt.ends {
				b.follow(got).has(t, "You have been signed out")
			}
		})
	}
}

func TestSession_SaysWhenItEnds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ttl  int
		left time.Duration
	}{
		"a Vault token without an end":          {0, maxAge},
		"a Vault token that outlives a session": {32 * 24 * 3600, maxAge},
		"a Vault token that ends before":        {3600, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vault := newFakeVault(t)
			vault.gives("GET auth/token/lookup-self", fields{"display_name": "token-jane", "ttl": tt.ttl})
			b := newBrowser(t, vault, nil)
			b.signIn()
			ends := b.clock.Now().UTC().Add(tt.left).Format("2 January 2006, 15:04 UTC")
			b.get("/m/adtokens/").has(t, "You are signed in until", ends)
		})
	}
}

func TestSession_CookieIsTheServersAlone(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, newFakeVault(t), nil)
	got := b.post("/sign-in", "/sign-in", url.Values{"token": {userToken}})
	found := false
	for _, cookie := range got.cookies {
		if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Domain != "" || cookie.Path != "/" {
			t.Errorf("the cookie %s can be had elsewhere: %v", cookie.Name, cookie)
		}
		if strings.Contains(cookie.Value, userToken) {
			t.Errorf("the cookie %s has the Vault token", cookie.Name)
		}
		found = found || cookie.Name == sessionCookie && len(cookie.Value) > 30
	}
	if !found {
		t.Errorf("there is no session among %v", got.cookies)
	}
}

// A cookie that somebody has put into the browser before is no session afterwards.
func TestSession_IsNewAtEachSignIn(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, newFakeVault(t), nil)
	b.signIn()
	u, err := url.Parse(b.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	first := b.client.Jar.Cookies(u)
	b.post("/m/adtokens/", "/sign-out", nil)
	b.client.Jar.SetCookies(u, first)
	if got := b.get("/m/adtokens/"); got.status != http.StatusSeeOther {
		t.Errorf("the session of before is alive: %d", got.status)
	}
	b.signIn()
	for _, cookie := range b.client.Jar.Cookies(u) {
		for _, old := range first {
			if cookie.Name == sessionCookie && cookie.Value == old.Value {
				t.Error("the session has the cookie of before")
			}
		}
	}
}

func TestSignOut_RevokesWhatALoginGave(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		form    url.Values
		revokes bool
	}{
		"pasted": {url.Values{"token": {userToken}}, false},
		"login":  {url.Values{"username": {"jane"}, "password": {"her password"}, "method": {"userpass"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vault := newFakeVault(t)
			vault.logins("auth/userpass/login/jane")
			b := newBrowser(t, vault, nil)
			if got := b.post("/sign-in", "/sign-in", tt.form); got.status != http.StatusSeeOther {
				t.Fatalf("the sign-in answers %d: %s", got.status, got.text)
			}
			if got := b.get("/sign-out"); got.status == http.StatusOK || len(vault.asked("POST", "auth/token/revoke-self")) > 0 {
				t.Errorf("a GET signs out: %d", got.status)
			}
			b.follow(b.post("/m/adtokens/", "/sign-out", nil)).has(t, "You have signed out")
			if revoked := len(vault.asked("POST", "auth/token/revoke-self")) == 1; revoked != tt.revokes {
				t.Errorf("revoked: %v", revoked)
			}
			if got := b.get("/m/adtokens/"); got.status != http.StatusSeeOther {
				t.Errorf("a page is still shown: %d", got.status)
			}
		})
	}
}

// A token that nobody else has is revoked too when its session ends by itself, and when the console does.
func TestSessions_OfLoginsAreRevokedAtTheirEnd(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.logins("auth/userpass/login/jane")
	b := newBrowser(t, vault, nil)
	b.post("/sign-in", "/sign-in", url.Values{"username": {"jane"}, "password": {"her password"}, "method": {"userpass"}})
	b.clock.Advance(maxIdle)
	b.console.sweep(t.Context())
	deadline := time.Now().Add(10 * time.Second)
	for len(vault.asked("POST", "auth/token/revoke-self")) == 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if got := len(vault.asked("POST", "auth/token/revoke-self")); got != 1 {
		t.Errorf("revoked %d times", got)
	}
	b.post("/sign-in", "/sign-in", url.Values{"username": {"jane"}, "password": {"her password"}, "method": {"userpass"}})
	b.console.endAll(t.Context())
	if got := len(vault.asked("POST", "auth/token/revoke-self")); got != 2 {
		t.Errorf("revoked %d times", got)
	}
}
