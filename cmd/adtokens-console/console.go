package main

import (
	"context"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
)

// sweepInterval is how often sessions that are over are looked for.
const sweepInterval = time.Minute

// console answers browsers.
type console struct {
	vault    *vaultServer
	sessions *sessionStore
	attempts *attempts
	oidc     *oidcLogins
	pages    *pages
	// mounts are those of -mount; none where they are to be found.
	mounts []string
	// secure says whether browsers reach it by TLS, proxied whether a proxy speaks that.
	secure, proxied bool
	logger          hclog.Logger
	now             func() time.Time
}

func newConsole(server *vaultServer, o options, logger hclog.Logger) (*console, error) {
	pages, err := loadPages()
	if err != nil {
		return nil, err
	}
	return &console{
		vault: server, sessions: newSessionStore(o.isSecure()), attempts: newAttempts(), oidc: newOIDCLogins(), pages: pages,
		mounts: o.mounts, secure: o.isSecure(), proxied: o.behindProxy, logger: logger, now: time.Now,
	}, nil
}

// routes are all addresses. Those below /m/ are of one mount, whose slashes are escaped there.
func (c *console) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /assets/", c.assets())
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /sign-in", c.signInPage)
	mux.HandleFunc("POST /sign-in", c.signIn)
	mux.HandleFunc("POST /sign-in/oidc", c.beginOIDC)
	mux.HandleFunc("GET /sign-in/oidc/callback", c.endOIDC)
	mux.HandleFunc("POST /sign-out", c.signOut)
	mux.Handle("GET /sign-out", http.RedirectHandler("/", http.StatusSeeOther)) // loaded again

	mux.Handle("GET /{$}", c.signedIn(c.home))
	mux.Handle("GET /consent/callback", c.signedIn(c.endConsent))
	for pattern, handler := range map[string]handler{
		"GET /m/{mount}/{$}":                     c.overview,
		"GET /m/{mount}/tokens/{token}":          c.tokenPage,
		"POST /m/{mount}/tokens/{token}/rotate":  c.handIn,
		"POST /m/{mount}/tokens/{token}/renew":   c.renew,
		"POST /m/{mount}/tokens/{token}/verify":  c.verify,
		"POST /m/{mount}/tokens/{token}/retire":  c.retire,
		"POST /m/{mount}/tokens/{token}/consent": c.beginConsent,
		"GET /m/{mount}/campaigns":               c.campaignsPage,
		"GET /m/{mount}/campaigns/new":           c.newCampaign,
		"POST /m/{mount}/campaigns/preview":      c.previewCampaign,
		"POST /m/{mount}/campaigns/start":        c.startCampaign,
		"GET /m/{mount}/campaigns/c/{campaign}":  c.campaignPage,
		"POST /m/{mount}/campaigns/c/{campaign}": c.changeCampaign,
		"GET /m/{mount}/providers":               c.providersPage,
		"GET /m/{mount}/providers/{provider}":    c.providerPage,
	} {
		mux.Handle(pattern, c.signedIn(c.inMount(handler)))
	}
	mux.Handle("/", c.signedIn(c.nothingHere))
	return c.guard(mux)
}

// visit is a request of somebody who has signed in.
type visit struct {
	*session
	w http.ResponseWriter
	r *http.Request
	// mount is the one that the address has, without slashes around it.
	mount string
}

type handler func(*visit)

// path is a path of the visit's mount, as Vault has it.
func (v *visit) path(path string) string { return v.mount + "/" + path }

// signedIn lets nobody in who has not signed in.
func (c *console) signedIn(next handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found, over := c.sessions.find(r, c.now())
		if over != nil {
			go c.revoke(context.WithoutCancel(r.Context()), over)
		}
		if found == nil {
			c.askToSignIn(w, r, over != nil)
			return
		}
		next(&visit{session: found, w: w, r: r})
	})
}

// sweep ends the sessions that are over.
func (c *console) sweep(ctx context.Context) {
	c.oidc.sweep(c.now())
	for _, over := range c.sessions.takeOver(c.now()) {
		go c.revoke(ctx, over)
	}
}

// endAll ends all sessions.
func (c *console) endAll(ctx context.Context) {
	for _, s := range c.sessions.takeOver(time.Time{}) {
		c.revoke(ctx, s)
	}
}

// revoke ends the Vault token of a session that is over, if the console got it by a login: one that was pasted belongs to the person.
func (c *console) revoke(ctx context.Context, s *session) {
	if !s.fromLogin {
		return
	}
	if _, err := s.user.write(ctx, "auth/token/revoke-self", nil, nil); err != nil && !isKind(err, signedOut) {
		c.logger.Warn("a Vault token could not be revoked after its session; it ends by itself", "name", s.name, "why", err)
	}
}
