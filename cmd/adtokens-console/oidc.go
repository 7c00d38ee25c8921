package main

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// How long a person may take to sign in elsewhere, and how many may do so at the same time.
const (
	oidcAge       = 10 * time.Minute
	maxOIDCLogins = 10_000
)

// oidcLogins are the people who have gone to their company's sign-in, by the value of their browser's cookie.
type oidcLogins struct {
	mu     sync.Mutex
	logins map[string]oidcLogin
}

type oidcLogin struct {
	path, state, clientNonce, next string
	begun                          time.Time
}

func newOIDCLogins() *oidcLogins { return &oidcLogins{logins: map[string]oidcLogin{}} }

func (o *oidcLogins) begin(cookie string, l oidcLogin) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.logins) >= maxOIDCLogins {
		return false
	}
	o.logins[cookie] = l
	return true
}

// end is the login of a browser, once.
func (o *oidcLogins) end(cookie string, now time.Time) (oidcLogin, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l, known := o.logins[cookie]
	delete(o.logins, cookie)
	return l, known && now.Sub(l.begun) <= oidcAge
}

func (o *oidcLogins) sweep(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.logins, func(_ string, l oidcLogin) bool { return now.Sub(l.begun) > oidcAge })
}

// elsewhere is a page that leads to another site: a form may not, says our Content-Security-Policy, and a link may.
type elsewhere struct {
	URL, Host string
	// At once says that the page need not be read.
	AtOnce bool
	Text   []string
	Back   string
}

// beginOIDC sends a person to the company's sign-in, by way of Vault's OIDC method.
func (c *console) beginOIDC(w http.ResponseWriter, r *http.Request) {
	form := signInForm{Next: r.PostFormValue("next")}
	path, role := strings.Trim(r.PostFormValue("path"), "/"), strings.TrimSpace(r.PostFormValue("role"))
	if !isMountPath(path) {
		form.Problem = c.pages.text("sign-in.nothing")
		c.showSignIn(w, r, http.StatusBadRequest, form)
		return
	}
	key := "address " + c.clientAddress(r)
	if wait := c.attempts.begin(c.now(), key); wait > 0 {
		c.tooMany(w, r, form, wait)
		return
	}
	login := oidcLogin{path: path, clientNonce: random(), next: form.Next, begun: c.now()}
	address, err := c.askForOIDC(r.Context(), path, role, c.origin(r)+"/sign-in/oidc/callback", &login)
	if err == nil || !isKind(err, denied, refused, missing) {
		c.attempts.forgive(key)
	}
	if err != nil {
		form.Problem = c.pages.text("sign-in.oidc-failed")
		if !isKind(err, denied, refused, missing) {
			form.Problem = c.pages.explain(err)
		}
		c.showSignIn(w, r, statusOf(err), form)
		return
	}
	cookie := random()
	if !c.oidc.begin(cookie, login) {
		c.plainProblem(w, http.StatusServiceUnavailable, "problem.full")
		return
	}
	c.sessions.setCookie(w, oidcCookie, cookie)
	c.render(w, http.StatusOK, page{
		name: "elsewhere", title: c.pages.text("elsewhere.sign-in"),
		data: elsewhere{URL: address.String(), Host: address.Host, AtOnce: true, Back: "/sign-in"},
	}, frame{Refresh: address.String()})
}

// askForOIDC has Vault say where the company's sign-in is.
func (c *console) askForOIDC(ctx context.Context, path, role, redirect string, login *oidcLogin) (*url.URL, error) {
	nobody, err := c.vault.as("")
	if err != nil {
		return nil, err
	}
	var answer struct {
		AuthURL string `json:"auth_url"`
	}
	_, err = nobody.write(ctx, "auth/"+path+"/oidc/auth_url", map[string]any{
		"role": role, "redirect_uri": redirect, "client_nonce": login.clientNonce,
	}, &answer)
	if err != nil {
		return nil, err
	}
	address, err := url.Parse(answer.AuthURL)
	if err != nil || !isPlatformURL(address) {
		return nil, &failure{kind: refused} // Vault answers with nothing where the role does not allow the redirect
	}
	login.state = address.Query().Get("state")
	return address, nil
}

// isPlatformURL says whether an address that Vault gave can be opened in a browser.
func isPlatformURL(address *url.URL) bool {
	return address.Host != "" && (address.Scheme == "https" || address.Scheme == "http" && isLoopback(address.Hostname()))
}

// endOIDC takes a person back who has signed in elsewhere. What the address has goes to Vault, and nowhere else.
func (c *console) endOIDC(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	login, known := c.oidc.end(c.sessions.cookie(r, oidcCookie), c.now())
	c.sessions.dropCookie(w, oidcCookie)
	if !known || login.state == "" || query.Get("state") != login.state || query.Get("code") == "" {
		c.showSignIn(w, r, http.StatusBadRequest, signInForm{Problem: c.pages.text("sign-in.oidc-lost")})
		return
	}
	begun, err := c.signInByOIDC(r.Context(), login, query.Get("code"))
	if err != nil {
		c.logger.Info("a sign-in has failed", "from", c.clientAddress(r), "why", kindOf(err))
		c.showSignIn(w, r, statusOf(err), signInForm{Problem: c.signInProblem(err), Next: login.next})
		return
	}
	c.enter(w, r, begun, login.next)
}

func (c *console) signInByOIDC(ctx context.Context, login oidcLogin, code string) (*session, error) {
	nobody, err := c.vault.as("")
	if err != nil {
		return nil, err
	}
	answer, err := nobody.read(ctx, "auth/"+login.path+"/oidc/callback", map[string][]string{
		"state": {login.state}, "code": {code}, "client_nonce": {login.clientNonce},
	}, nil)
	if err != nil {
		return nil, err
	}
	return c.newSessionOf(ctx, answer.Auth, "")
}
