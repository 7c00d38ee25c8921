package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"sync"
	"time"
)

// maxSessions bounds the memory that sign-ins take.
const maxSessions = 10_000

// sessionStore has the sessions, in memory alone: a restart signs everybody out. It knows them by a hash of their cookie.
type sessionStore struct {
	// key makes the tokens of forms from cookies.
	key []byte
	// secure says whether browsers reach the console by TLS.
	secure bool

	mu       sync.Mutex
	sessions map[[sha256.Size]byte]*session
}

func newSessionStore(secure bool) *sessionStore {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return &sessionStore{key: key, secure: secure, sessions: map[[sha256.Size]byte]*session{}}
}

// The cookies: of a session, of the browser that looks at the sign-in page, and of one that has gone to sign in elsewhere.
const (
	sessionCookie = "adtokens-console"
	visitCookie   = "adtokens-visit"
	oidcCookie    = "adtokens-oidc"
)

// refreshHeader is in what a page's script asks for by itself: a page that is left open keeps nobody signed in.
const refreshHeader = "X-Adtokens-Refresh"

// cookieName has the prefix with which browsers take a cookie from this host and by TLS alone.
func (s *sessionStore) cookieName(name string) string {
	if s.secure {
		return "__Host-" + name
	}
	return name
}

// setCookie sets a cookie until the browser is closed. Lax, not Strict: a person comes here from a link in a message, and back from a
// platform's consent, and is still signed in. Requests of other sites that change something have none of it.
func (s *sessionStore) setCookie(w http.ResponseWriter, name, value string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure where browsers come by TLS, which is everywhere but on loopback
		Name: s.cookieName(name), Value: value, Path: "/", HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	})
}

func (s *sessionStore) dropCookie(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure where browsers come by TLS, which is everywhere but on loopback
		Name: s.cookieName(name), Path: "/", HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode, MaxAge: -1,
	})
}

// cookie is a cookie's value, empty where there is none.
func (s *sessionStore) cookie(r *http.Request, name string) string {
	c, err := r.Cookie(s.cookieName(name))
	if err != nil {
		return ""
	}
	return c.Value
}

// begin puts a session in, and its cookie out.
func (s *sessionStore) begin(w http.ResponseWriter, begun *session) bool {
	value := random()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) >= maxSessions {
		return false
	}
	s.sessions[sha256.Sum256([]byte(value))] = begun
	s.setCookie(w, sessionCookie, value)
	return true
}

// find is the session of a request, nil where there is none. One that is over is returned as the second.
func (s *sessionStore) find(r *http.Request, now time.Time) (found, over *session) {
	value := s.cookie(r, sessionCookie)
	if value == "" {
		return nil, nil
	}
	id := sha256.Sum256([]byte(value))
	s.mu.Lock()
	defer s.mu.Unlock()
	found = s.sessions[id]
	switch {
	case found == nil:
		return nil, nil
	case !found.alive(now):
		delete(s.sessions, id)
		return nil, found
	}
	if r.Header.Get(refreshHeader) == "" {
		found.touch(now)
	}
	return found, nil
}

// end takes the session of a request out.
func (s *sessionStore) end(w http.ResponseWriter, r *http.Request) {
	id := sha256.Sum256([]byte(s.cookie(r, sessionCookie)))
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, id)
	s.dropCookie(w, sessionCookie)
}

// takeOver takes the sessions out that are over at a time; all of them for the zero time.
func (s *sessionStore) takeOver(now time.Time) []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var over []*session
	for id, session := range s.sessions {
		if now.IsZero() || !session.alive(now) {
			over = append(over, session)
			delete(s.sessions, id)
		}
	}
	return over
}

// formToken is what a form of this browser bears: nobody knows it who does not see its pages.
func (s *sessionStore) formToken(cookie string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(cookie))
	return hex.EncodeToString(mac.Sum(nil))
}

// isFormToken says whether a form is from a page of this browser.
func (s *sessionStore) isFormToken(r *http.Request, token string) bool {
	for _, name := range []string{sessionCookie, visitCookie} {
		cookie := s.cookie(r, name)
		if cookie != "" && subtle.ConstantTimeCompare([]byte(s.formToken(cookie)), []byte(token)) == 1 {
			return true
		}
	}
	return false
}

// random is a text that nobody guesses.
func random() string { return rand.Text() + rand.Text() }
