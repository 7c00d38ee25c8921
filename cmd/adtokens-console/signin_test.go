package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// logins has a login accepted.
func (f *fakeVault) logins(path string) {
	f.knows("hvs.of-a-login", "userpass-jane")
	f.answer("POST "+path, answer{http.StatusOK, fields{"auth": fields{"client_token": "hvs.of-a-login", "lease_duration": 3600}}})
}

func TestSignIn_Methods(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		form url.Values
		path string
	}{
		"userpass":          {url.Values{"username": {"jane"}, "password": {"x"}, "method": {"userpass"}}, "auth/userpass/login/jane"},
		"ldap":              {url.Values{"username": {"jane"}, "password": {"x"}, "method": {"ldap"}}, "auth/ldap/login/jane"},
		"ldap elsewhere":    {url.Values{"username": {"jane"}, "password": {"x"}, "method": {"ldap"}, "path": {"/corp/ad/"}}, "auth/corp/ad/login/jane"},
		"one that is shown": {url.Values{"username": {"jane"}, "password": {"x"}, "method": {"ldap:staff"}}, "auth/staff/login/jane"},
		"an odd name":       {url.Values{"username": {`ACME\jane d?e%2F#`}, "password": {"x"}, "method": {"userpass"}}, `auth/userpass/login/ACME\jane d?e%2F#`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vault := newFakeVault(t)
			vault.logins(tt.path)
			b := newBrowser(t, vault, nil)
			got := b.post("/sign-in", "/sign-in", tt.form)
			if got.status != http.StatusSeeOther || got.location != "/" {
				t.Fatalf("it answers %d: %s", got.status, got.text)
			}
			if asked := vault.asked("POST", tt.path); len(asked) != 1 || asked[0].body["password"] != "x" || asked[0].token != "" {
				t.Errorf("Vault was asked %v", asked)
			}
			b.follow(b.get("/")).has(t, "jane")
			vault.onlyAs(t, "", "hvs.of-a-login")
		})
	}
}

func TestSignIn_IsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		form   url.Values
		status int
		words  string
	}{
		"nothing":            {url.Values{}, http.StatusBadRequest, "Fill in"},
		"no password":        {url.Values{"username": {"jane"}}, http.StatusBadRequest, "Fill in"},
		"wrong token":        {url.Values{"token": {"hvs.wrong"}}, http.StatusUnauthorized, "does not accept"},
		"token of two lines": {url.Values{"token": {"hvs.\r\nX-Vault-Token: x"}}, http.StatusBadRequest, "does not accept"},
		"wrong password":     {url.Values{"username": {"jane"}, "password": {"no"}, "method": {"userpass"}}, http.StatusBadRequest, "does not accept"},
		"another method":     {url.Values{"username": {"jane"}, "password": {"no"}, "method": {"approle"}}, http.StatusBadRequest, "does not accept"},
		"a path that leads":  {url.Values{"username": {"jane"}, "password": {"no"}, "method": {"userpass"}, "path": {"../sys"}}, http.StatusBadRequest, "does not accept"},
		"a name with more":   {url.Values{"username": {"jane/../../token/create"}, "password": {"no"}, "method": {"userpass"}}, http.StatusBadRequest, "does not accept"},
		"a name that leads":  {url.Values{"username": {".."}, "password": {"no"}, "method": {"userpass"}}, http.StatusBadRequest, "does not accept"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vault := newFakeVault(t)
			vault.refuses("POST auth/userpass/login/jane", http.StatusBadRequest, "invalid username or password")
			b := newBrowser(t, vault, nil)
			got := b.post("/sign-in", "/sign-in", tt.form)
			got.has(t, tt.words)
			if got.status != tt.status {
				t.Errorf("it answers %d", got.status)
			}
			got.hasNot(t, "hvs.wrong", `value="no"`)
			if strings.Contains(b.log.String(), "hvs.wrong") {
				t.Error("the log has the token")
			}
		})
	}
}

// A token without the default policy may not look at itself, and opens the mount all the same.
func TestSignIn_TokenThatMayNotLookAtItself(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.refuses("GET auth/token/lookup-self", http.StatusForbidden, "permission denied")
	b := newBrowser(t, vault, nil)
	b.signIn()
	vault.refuses("GET adtokens/info", http.StatusForbidden, "permission denied")
	b.client = b.another()
	if got := b.post("/sign-in", "/sign-in", url.Values{"token": {userToken}}); got.status != http.StatusForbidden {
		t.Errorf("a token that opens nothing is let in: %d", got.status)
	}
}

func TestSignIn_AttemptsAreLimited(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	b := newBrowser(t, vault, nil)
	for i := range maxFailures {
		if got := b.post("/sign-in", "/sign-in", url.Values{"token": {fmt.Sprintf("hvs.guess-%d", i)}}); got.status != http.StatusUnauthorized {
			t.Fatalf("attempt %d answers %d", i, got.status)
		}
	}
	asked := len(vault.asked("GET", "auth/token/lookup-self"))
	got := b.post("/sign-in", "/sign-in", url.Values{"token": {userToken}})
	got.has(t, "Too many attempts")
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("it answers %d, %v", got.status, got.header)
	}
	if len(vault.asked("GET", "auth/token/lookup-self")) != asked {
		t.Error("Vault was asked")
	}
	b.clock.Advance(failureWindow + 1)
	b.signIn()
	for range 2 * maxFailures { // those that succeed do not count
		b.client = b.another()
		b.signIn()
	}
}

func TestSignIn_AttemptsForOneNameAreLimited(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	vault.refuses("POST auth/userpass/login/jane", http.StatusBadRequest, "invalid username or password")
	b := newBrowser(t, vault, func(o *options) { o.behindProxy = true })
	b.console.sessions.secure = false // the tests' browser speaks no TLS
	page := b.csrf(b.get("/sign-in").text)
	last := 0
	for i := range maxFailures + 1 {
		r := b.request(http.MethodPost, "/sign-in", url.Values{"csrf": {page}, "username": {"Jane"}, "password": {"x"}, "method": {"userpass"}})
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))
		last = b.do(r).status
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("it answers %d", last)
	}
}

func TestSignIn_LeadsBackToAPageOfTheConsole(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"/m/adtokens/tokens/acme-rw": "/m/adtokens/tokens/acme-rw", "https://evil.example": "/", "//evil.example": "/", `/\evil.example`: "/",
		"javascript:alert(1)": "/", "": "/", "m/x": "/", "/m/a%2Fb/": "/m/a%2Fb/",
	} {
		if got := nextPage(next); got != want {
			t.Errorf("%q leads to %q", next, got)
		}
	}
	b := newBrowser(t, newFakeVault(t), nil)
	asked := b.get("/m/adtokens/tokens/acme-rw?x=1")
	if asked.location != "/sign-in?next=%2Fm%2Fadtokens%2Ftokens%2Facme-rw" {
		t.Errorf("the sign-in is at %s", asked.location)
	}
	b.follow(asked).has(t, `name="next" value="/m/adtokens/tokens/acme-rw"`)
}

func TestSignIn_ShowsTheMethodsOfVault(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	b := newBrowser(t, vault, nil)
	b.get("/sign-in").hasNot(t, "company&#39;s sign-in (")
	vault.gives("GET sys/internal/ui/mounts", fields{"auth": fields{
		"oidc/": fields{"type": "oidc", "description": "For everybody"}, "staff/": fields{"type": "ldap"}, "k8s/": fields{"type": "kubernetes"},
	}})
	page := b.get("/sign-in")
	page.has(t, "sign-in (oidc)", "For everybody", `value="ldap:staff"`, `name="token"`)
	page.hasNot(t, "k8s", `name="path" value="k8s"`)
}

func TestSignIn_WithoutVault(t *testing.T) {
	t.Parallel()
	vault := newFakeVault(t)
	b := newBrowser(t, vault, nil)
	b.signIn()
	vault.refuses("GET sys/internal/ui/mounts", http.StatusServiceUnavailable, "Vault is sealed")
	vault.refuses("GET adtokens/status", http.StatusServiceUnavailable, "Vault is sealed")
	got := b.get("/m/adtokens/")
	got.has(t, "Vault is closed at the moment")
	if got.status != http.StatusServiceUnavailable {
		t.Errorf("it answers %d", got.status)
	}
	b.client = b.another()
	b.get("/sign-in").has(t, "Vault is closed at the moment")
	vault.Close()
	b.get("/sign-in").has(t, "Vault cannot be reached")
}

// oidcVault plays Vault's OIDC method, and the company's sign-in.
func oidcVault(t *testing.T) *fakeVault {
	t.Helper()
	vault := newFakeVault(t)
	vault.knows("hvs.of-oidc", "oidc-jane")
	vault.gives("GET sys/internal/ui/mounts", fields{
		"auth": fields{"oidc/": fields{"type": "oidc"}}, "secret": fields{"adtokens/": fields{"type": "adtokens"}},
	})
	vault.gives("POST auth/oidc/oidc/auth_url", fields{"auth_url": "https://login.acme.example/authorize?state=st_1&nonce=n_1&client_id=vault"})
	vault.answer("GET auth/oidc/oidc/callback", answer{http.StatusOK, fields{"auth": fields{"client_token": "hvs.of-oidc", "lease_duration": 3600}}})
	return vault
}

func TestOIDC(t *testing.T) {
	t.Parallel()
	vault := oidcVault(t)
	b := newBrowser(t, vault, nil)
	page := b.post("/sign-in", "/sign-in/oidc", url.Values{"path": {"oidc"}, "role": {"ads"}, "next": {"/m/adtokens/campaigns"}})
	page.has(t, "https://login.acme.example/authorize?state=st_1", `http-equiv="refresh"`)
	asked := vault.asked("POST", "auth/oidc/oidc/auth_url")
	if len(asked) != 1 || asked[0].body["redirect_uri"] != b.server.URL+"/sign-in/oidc/callback" || asked[0].body["role"] != "ads" {
		t.Fatalf("Vault was asked %v", asked)
	}
	got := b.get("/sign-in/oidc/callback?state=st_1&code=the-code")
	if got.status != http.StatusSeeOther || got.location != "/m/adtokens/campaigns" {
		t.Fatalf("it answers %d, %s: %s", got.status, got.location, got.text)
	}
	back := vault.asked("GET", "auth/oidc/oidc/callback")
	if len(back) != 1 || !strings.Contains(back[0].query, "client_nonce="+fmt.Sprint(asked[0].body["client_nonce"])) || !strings.Contains(back[0].query, "code=the-code") {
		t.Errorf("Vault was asked %v", back)
	}
	if log := b.log.String(); strings.Contains(log, "the-code") || strings.Contains(log, "st_1") {
		t.Errorf("the log has the code: %s", log)
	}
	b.post("/m/adtokens/", "/sign-out", nil)
	if len(vault.asked("POST", "auth/token/revoke-self")) != 1 {
		t.Error("the token of the login was not revoked")
	}
}

func TestOIDC_AnAnswerIsForTheBrowserThatHasAsked(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(b *browser) shown{
		"another browser": func(b *browser) shown {
			b.client = b.another()
			return b.get("/sign-in/oidc/callback?state=st_1&code=c")
		},
		"another state": func(b *browser) shown { return b.get("/sign-in/oidc/callback?state=st_2&code=c") },
		"no code":       func(b *browser) shown { return b.get("/sign-in/oidc/callback?state=st_1&error=access_denied") },
		"too late": func(b *browser) shown {
			b.clock.Advance(oidcAge + 1)
			return b.get("/sign-in/oidc/callback?state=st_1&code=c")
		},
	} {
		vault := oidcVault(t)
		b := newBrowser(t, vault, nil)
		b.post("/sign-in", "/sign-in/oidc", url.Values{"path": {"oidc"}})
		got := answer(b)
		got.has(t, "Begin again")
		if got.status != http.StatusBadRequest || len(vault.asked("GET", "auth/oidc/oidc/callback")) != 0 {
			t.Errorf("%s: it answers %d", name, got.status)
		}
	}
}

func TestOIDC_AddressThatNoBrowserShouldOpen(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "javascript:alert(1)", "http://login.acme.example/", "/x"} {
		vault := oidcVault(t)
		vault.gives("POST auth/oidc/oidc/auth_url", fields{"auth_url": address})
		b := newBrowser(t, vault, nil)
		got := b.post("/sign-in", "/sign-in/oidc", url.Values{"path": {"oidc"}})
		got.has(t, "does not let this page use")
		got.hasNot(t, "http-equiv")
	}
}
