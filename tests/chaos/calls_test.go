//go:build unix

package chaos

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// callLog stands between the engine and whoever makes values, Google's IAM and a reset hook, and remembers who asked when.
type callLog struct {
	hook        *simulator.Hook
	iam         http.Handler
	url, secret string
	// made, where it is set, is told of what the hook answers before the engine is.
	made func(*makeCall, *httptest.ResponseRecorder)

	mu    sync.Mutex
	calls []*makeCall
}

// makeCall is a request for a new value.
type makeCall struct {
	token string
	// node is the address that it came from, key its idempotency key.
	node, key   string
	from, until time.Time
}

// answerDelay is between the making of a value and the answer, so that what happens to a node often happens meanwhile.
const answerDelay = 200 * time.Millisecond

func newCallLog(t *testing.T, console *vaulttest.Simulator) *callLog {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	secret := "whsec_" + vaulttest.Secret(t, "reset hook's secret", base64.StdEncoding.EncodeToString(key))
	hook, err := simulator.NewHook(console.Client, secret)
	if err != nil {
		t.Fatal(err)
	}
	l := &callLog{hook: hook, iam: proxyTo(t, console.GoogleURL), secret: secret}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// proxyTo passes requests on to the base URL.
func proxyTo(t *testing.T, baseURL string) http.Handler {
	t.Helper()
	target, err := url.Parse(baseURL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorLog = log.New(io.Discard, "", 0) // whoever asks may hang up
	return proxy
}

func (l *callLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/reset":
		l.reset(w, r)
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/keys"):
		_, account, _ := strings.Cut(r.URL.Path, "/serviceAccounts/")
		name, _, _ := strings.Cut(account, "@")
		c := l.begin(&makeCall{token: name, node: r.RemoteAddr})
		made := httptest.NewRecorder()
		l.iam.ServeHTTP(made, r)
		l.answer(w, r, c, made)
	default:
		l.iam.ServeHTTP(w, r)
	}
}

// reset lets the hook reset a token.
func (l *callLog) reset(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var event struct {
		Key   string `json:"idempotency_key"`
		Token string `json:"token"`
	}
	if err != nil || json.Unmarshal(body, &event) != nil {
		http.Error(w, "no event", http.StatusBadRequest)
		return
	}
	c := l.begin(&makeCall{token: event.Token, node: r.RemoteAddr, key: event.Key})
	r.Body = io.NopCloser(bytes.NewReader(body))
	made := httptest.NewRecorder()
	l.hook.ServeHTTP(made, r)
	if l.made != nil {
		l.made(c, made)
	}
	l.answer(w, r, c, made)
}

func (l *callLog) begin(c *makeCall) *makeCall {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.from = time.Now()
	l.calls = append(l.calls, c)
	return c
}

func (l *callLog) answer(w http.ResponseWriter, r *http.Request, c *makeCall, made *httptest.ResponseRecorder) {
	select {
	case <-time.After(answerDelay):
	case <-r.Context().Done(): // whoever asked is gone
	}
	l.mu.Lock()
	c.until = time.Now()
	l.mu.Unlock()
	w.Header().Set("Content-Type", made.Header().Get("Content-Type"))
	w.WriteHeader(made.Code)
	_, _ = w.Write(made.Body.Bytes()) // as above
}

// all are the calls by the time they began. None is under way any more.
func (l *callLog) all() []*makeCall {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.calls)
}

// resetTwice tells of a rotation that was taken up again after the next one had begun; the empty string means none.
func (l *callLog) resetTwice() string {
	over := map[string]bool{}
	last := map[string]string{} // key by token
	for _, c := range l.all() {
		if c.key == "" || last[c.token] == c.key {
			continue
		}
		if over[c.key] {
			return fmt.Sprintf("a rotation of %s was taken up again after the next one had begun", c.token)
		}
		over[last[c.token]], last[c.token] = true, c.key
	}
	return ""
}
