package main

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// signInForm is the sign-in page.
type signInForm struct {
	// Methods are those that Vault shows to people who have not signed in.
	Methods []authMethod
	// HasPasswords says that one of them takes a name and a password. Without, the form asks where the person is kept.
	HasPasswords bool
	// Problem says why the last attempt has failed, Notice why the person is here.
	Problem, Notice string
	Next            string
	Username        string
}

// authMethod is a way to sign in that Vault has.
type authMethod struct {
	// Path is where it is mounted, without slashes around it; Kind is userpass, ldap or oidc.
	Path, Kind, Description string
}

func (m authMethod) TakesPassword() bool { return m.Kind == "userpass" || m.Kind == "ldap" }

// Value is what a form names it by.
func (m authMethod) Value() string { return m.Kind + ":" + m.Path }

// signInPage asks who is there.
func (c *console) signInPage(w http.ResponseWriter, r *http.Request) {
	if found, _ := c.sessions.find(r, c.now()); found != nil {
		http.Redirect(w, r, nextPage(r.FormValue("next")), http.StatusSeeOther) //nolint:gosec // a page of the console's own
		return
	}
	form := signInForm{Next: r.FormValue("next")}
	switch r.FormValue("why") {
	case "ended":
		form.Notice = c.pages.text("sign-in.ended")
	case "out":
		form.Notice = c.pages.text("sign-in.out")
	}
	c.showSignIn(w, r, http.StatusOK, form)
}

func (c *console) showSignIn(w http.ResponseWriter, r *http.Request, status int, form signInForm) {
	methods, err := c.authMethods(r.Context())
	if err != nil && form.Problem == "" {
		form.Problem = c.pages.explain(err)
		status = statusOf(err)
	}
	form.Methods = methods
	for _, m := range methods {
		form.HasPasswords = form.HasPasswords || m.TakesPassword()
	}
	visitor := c.sessions.cookie(r, visitCookie)
	if visitor == "" {
		visitor = random()
		c.sessions.setCookie(w, visitCookie, visitor)
	}
	c.render(w, status, page{name: "sign-in", title: c.pages.text("sign-in.title"), data: form}, frame{CSRF: c.sessions.formToken(visitor)})
}

// authMethods are the ways to sign in that Vault shows to everybody (listing_visibility=unauth).
func (c *console) authMethods(ctx context.Context) ([]authMethod, error) {
	nobody, err := c.vault.as("")
	if err != nil {
		return nil, err
	}
	var visible struct {
		Auth map[string]struct{ Type, Description string }
	}
	if _, err := nobody.read(ctx, "sys/internal/ui/mounts", nil, &visible); err != nil {
		if isKind(err, denied, missing) {
			return nil, nil // it shows none
		}
		return nil, err
	}
	var methods []authMethod
	for path, m := range visible.Auth {
		switch m.Type {
		case "userpass", "ldap", "oidc":
			methods = append(methods, authMethod{strings.Trim(path, "/"), m.Type, m.Description})
		}
	}
	sortBy(methods, func(m authMethod) string { return m.Path })
	return methods, nil
}

// signIn takes a Vault token, or a name and a password.
func (c *console) signIn(w http.ResponseWriter, r *http.Request) {
	form := signInForm{Next: r.PostFormValue("next"), Username: strings.TrimSpace(r.PostFormValue("username"))}
	token, password := strings.TrimSpace(r.PostFormValue("token")), r.PostFormValue("password")
	keys := []string{"address " + c.clientAddress(r)}
	if token == "" && form.Username != "" {
		keys = append(keys, "name "+strings.ToLower(form.Username))
	}
	if token == "" && (form.Username == "" || password == "") {
		form.Problem = c.pages.text("sign-in.nothing")
		c.showSignIn(w, r, http.StatusBadRequest, form)
		return
	}
	if wait := c.attempts.begin(c.now(), keys...); wait > 0 {
		c.tooMany(w, r, form, wait)
		return
	}
	var begun *session
	var err error
	if token != "" {
		begun, err = c.signInByToken(r.Context(), token)
	} else {
		begun, err = c.signInByPassword(r.Context(), r.PostFormValue("method"), r.PostFormValue("path"), form.Username, password)
	}
	if err == nil || !isKind(err, denied, signedOut, refused, missing) {
		c.attempts.forgive(keys...)
	}
	if err != nil {
		c.logger.Info("a sign-in has failed", "from", c.clientAddress(r), "why", kindOf(err))
		form.Problem = c.signInProblem(err)
		c.showSignIn(w, r, statusOf(err), form)
		return
	}
	c.enter(w, r, begun, form.Next)
}

func (c *console) tooMany(w http.ResponseWriter, r *http.Request, form signInForm, wait time.Duration) {
	c.logger.Warn("too many sign-ins have failed", "from", c.clientAddress(r))
	w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
	form.Problem = c.pages.text("sign-in.too-many", int(wait.Minutes())+1)
	c.showSignIn(w, r, http.StatusTooManyRequests, form)
}

func (c *console) signInProblem(err error) string {
	if isKind(err, denied, signedOut, refused, missing) {
		return c.pages.text("sign-in.refused")
	}
	return c.pages.explain(err)
}

// enter begins a session and leads to the page that the person wanted.
func (c *console) enter(w http.ResponseWriter, r *http.Request, begun *session, next string) {
	if found, _ := c.sessions.find(r, c.now()); found != nil {
		c.sessions.end(w, r) // somebody else was signed in
		go c.revoke(context.WithoutCancel(r.Context()), found)
	}
	if !c.sessions.begin(w, begun) {
		go c.revoke(context.WithoutCancel(r.Context()), begun)
		c.plainProblem(w, http.StatusServiceUnavailable, "problem.full")
		return
	}
	c.sessions.dropCookie(w, visitCookie)
	c.logger.Info("signed in", "name", begun.name, "from", c.clientAddress(r))
	http.Redirect(w, r, nextPage(next), http.StatusSeeOther)
}

func (c *console) signInByToken(ctx context.Context, token string) (*session, error) {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) || len(token) > 4096 {
		return nil, &failure{kind: refused}
	}
	u, err := c.vault.as(token)
	if err != nil {
		return nil, err
	}
	return c.newSession(ctx, u, "")
}

func (c *console) signInByPassword(ctx context.Context, method, path, username, password string) (*session, error) {
	kind, where, named := strings.Cut(method, ":")
	if kind != "userpass" && kind != "ldap" {
		return nil, &failure{kind: refused}
	}
	if !named {
		where = cmp.Or(strings.Trim(strings.TrimSpace(path), "/"), kind)
	}
	nobody, err := c.vault.as("")
	if err != nil {
		return nil, err
	}
	if !isMountPath(where) || !isUsername(username) {
		return nil, &failure{kind: refused}
	}
	answer, err := nobody.write(ctx, "auth/"+where+"/login/"+username, map[string]any{"password": password}, nil)
	if err != nil {
		return nil, err
	}
	return c.newSessionOf(ctx, answer.Auth, username)
}

// isUsername says whether a text can be one element of a path in Vault.
func isUsername(name string) bool {
	leads := func(r rune) bool { return r == '/' || r < ' ' || r == 0x7f }
	return name != "." && name != ".." && len(name) <= 256 && !strings.ContainsFunc(name, leads)
}

// isMountPath says whether a text can be where an auth method is mounted, and nothing else.
func isMountPath(path string) bool {
	for element := range strings.SplitSeq(path, "/") {
		if element == "" || element == "." || element == ".." || strings.ContainsAny(element, "?#%\\ ") {
			return false
		}
	}
	return len(path) <= 256
}

// newSessionOf makes a session of what a login gave.
func (c *console) newSessionOf(ctx context.Context, given *grant, name string) (*session, error) {
	switch {
	case given == nil, given.ClientToken == "" && given.MFA == nil:
		return nil, &failure{kind: refused}
	case given.ClientToken == "":
		return nil, &failure{kind: broken, said: []string{c.pages.text("sign-in.mfa")}}
	}
	u, err := c.vault.as(given.ClientToken)
	if err != nil {
		return nil, err
	}
	s, err := c.newSession(ctx, u, name)
	if err != nil {
		return nil, err
	}
	s.fromLogin = true
	if s.ends.IsZero() && given.LeaseDuration > 0 {
		s.ends = c.now().Add(time.Duration(given.LeaseDuration) * time.Second)
	}
	return s, nil
}

// newSession makes a session of a token, about which Vault is asked. Where the token may not ask, it is good if it opens anything.
func (c *console) newSession(ctx context.Context, u *user, name string) (*session, error) {
	now := c.now()
	s := &session{
		user: u, name: name, begun: now, used: now,
		surveys: map[string]*survey{}, results: map[string]*result{}, consents: map[string]consentUnderWay{},
	}
	var self struct {
		DisplayName string `json:"display_name"`
		TTL         int
	}
	_, err := u.read(ctx, "auth/token/lookup-self", nil, &self)
	switch {
	case err == nil:
		s.name = cmp.Or(name, self.DisplayName)
		if self.TTL > 0 {
			s.ends = now.Add(time.Duration(self.TTL) * time.Second)
		}
		return s, nil
	case !isKind(err, denied):
		return nil, err
	}
	mounts, findErr := c.findMounts(ctx, s)
	for _, mount := range mounts {
		if isEngine(ctx, u, mount) {
			return s, nil
		}
	}
	if findErr != nil && !isKind(findErr, denied) {
		return nil, findErr
	}
	return nil, err
}

// askToSignIn leads to the sign-in page, and from there back.
func (c *console) askToSignIn(w http.ResponseWriter, r *http.Request, ended bool) {
	query := url.Values{}
	if r.Method == http.MethodGet && r.URL.Path != "/" && r.URL.Path != "/consent/callback" {
		query.Set("next", r.URL.EscapedPath())
	}
	if ended || c.sessions.cookie(r, sessionCookie) != "" {
		query.Set("why", "ended")
	}
	c.sessions.dropCookie(w, sessionCookie)
	address := "/sign-in"
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	http.Redirect(w, r, address, http.StatusSeeOther)
}

// nextPage is a page of the console's own, whatever was asked for.
func nextPage(next string) string {
	u, err := url.Parse(next)
	own := err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(next, "/") && !strings.HasPrefix(next, "//")
	if !own || strings.Contains(next, "\\") {
		return "/"
	}
	return next
}

// signOut ends the session, and the Vault token if the console got it.
func (c *console) signOut(w http.ResponseWriter, r *http.Request) {
	found, over := c.sessions.find(r, c.now())
	c.sessions.end(w, r)
	for _, s := range []*session{found, over} {
		if s != nil {
			c.revoke(r.Context(), s)
			c.logger.Info("signed out", "name", s.name)
		}
	}
	http.Redirect(w, r, "/sign-in?why=out", http.StatusSeeOther)
}
