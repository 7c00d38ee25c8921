package googleads_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/googleads"
)

// Secrets of the tests. None may show up in anything that is told to an operator.
const (
	developerToken = "Zq9sECRETdevtoken00042"
	clientSecret   = "GOCSPX-s3cr3t-of-the-client"
	refreshToken   = "1//0s3cr3t-refresh-token"
	accessToken    = "ya29.s3cr3t-access-token"
)

const (
	clientID     = "123-abc.apps.googleusercontent.com"
	clientEmail  = "ads@project.iam.gserviceaccount.com"
	privateKeyID = "0123456789abcdef0123456789abcdef01234567"
)

// call is what the fake Google saw of one request.
type call struct {
	path           string
	form           url.Values
	header         http.Header
	developerToken string
	hasHeader      bool
}

// fakeGoogle answers as its three handlers say, and keeps what it was asked.
type fakeGoogle struct {
	*httptest.Server
	token, revoke, ads http.HandlerFunc

	mu    sync.Mutex
	calls []call
}

// newGoogle returns a Google that grants every access token and accepts every call, until its handlers are replaced.
func newGoogle(t *testing.T) *fakeGoogle {
	t.Helper()
	g := &fakeGoogle{token: granted, revoke: reply(http.StatusOK, "{}"), ads: customers}
	g.Server = httptest.NewServer(g)
	t.Cleanup(g.Close)
	return g
}

func (g *fakeGoogle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	_, hasHeader := r.Header["Developer-Token"]
	g.mu.Lock()
	g.calls = append(g.calls, call{r.Method + " " + r.URL.Path, r.PostForm, r.Header, r.Header.Get("developer-token"), hasHeader})
	g.mu.Unlock()
	switch r.URL.Path {
	case "/token":
		g.token(w, r)
	case "/revoke":
		g.revoke(w, r)
	default:
		g.ads(w, r)
	}
}

// paths lists the requests in the order of their arrival.
func (g *fakeGoogle) paths() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var paths []string
	for _, c := range g.calls {
		paths = append(paths, c.path)
	}
	return paths
}

const (
	tokenCall = "POST /token"
	adsCall   = "GET /v26/customers:listAccessibleCustomers"
)

// wantCalls checks the requests that a verification costs, since they count towards a quota.
func (g *fakeGoogle) wantCalls(t *testing.T, want ...string) {
	t.Helper()
	if got := g.paths(); !slices.Equal(got, want) {
		t.Errorf("got the requests %q, want %q", got, want)
	}
}

// account has the fake's addresses and the given further settings, name and value in turn.
func (g *fakeGoogle) account(t *testing.T, settings ...string) provider.Account {
	t.Helper()
	values := provider.Values{
		"base_url": g.URL, "token_url": g.URL + "/token", "revoke_url": g.URL + "/revoke", "api_version": "v26",
	}
	for pair := range slices.Chunk(settings, 2) {
		values[pair[0]] = pair[1]
	}
	return provider.Account{Settings: values, Client: newClient(t, time.Minute)}
}

func newClient(t *testing.T, timeout time.Duration) *http.Client {
	t.Helper()
	client, err := provider.NewClient(provider.ClientConfig{Timeout: timeout})
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// withIdentity are the settings of an account that can try developer tokens.
var withIdentity = []string{"client_id", clientID, "client_secret", clientSecret, "refresh_token", refreshToken}

var (
	developerTokenToken = provider.Token{Type: "developer_token", Credential: provider.Values{"developer_token": developerToken}}
	oauthClientToken    = provider.Token{Type: "oauth_client", Credential: provider.Values{
		"client_id": clientID, "client_secret": clientSecret, "refresh_token": refreshToken,
	}}
)

func keyToken(t *testing.T) provider.Token {
	t.Helper()
	return provider.Token{Type: "service_account_key", Credential: provider.Values{"service_account_key": keyFile(t, nil)}}
}

// privateKey is made once: it takes longer than all else.
var privateKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func privateKeyPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(privateKey())}))
}

// keyFile is a key file with some members replaced; nil takes one away.
func keyFile(t testing.TB, members map[string]any) string {
	t.Helper()
	file := map[string]any{
		"type": "service_account", "project_id": "project", "client_email": clientEmail,
		"private_key_id": privateKeyID, "private_key": privateKeyPEM(), "token_uri": "https://oauth2.googleapis.com/token",
	}
	for name, value := range members {
		if file[name] = value; value == nil {
			delete(file, name)
		}
	}
	encoded, err := json.Marshal(file)
	if err != nil {
		t.Fatalf("Marshal: %v", err)
	}
	return string(encoded)
}

func reply(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		for pair := range slices.Chunk(header, 2) {
			w.Header().Set(pair[0], pair[1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func granted(w http.ResponseWriter, r *http.Request) {
	reply(http.StatusOK, `{"access_token":"`+accessToken+`","expires_in":3599,"token_type":"Bearer"}`)(w, r)
}

// oauthError echoes the secrets in its description, as no real server should.
func oauthError(status int, code string) http.HandlerFunc {
	return reply(status, fmt.Sprintf(`{"error":%q,"error_description":"bad %s %s"}`, code, clientSecret, refreshToken))
}

func customers(w http.ResponseWriter, r *http.Request) {
	reply(http.StatusOK, `{"resourceNames":["customers/1234567890"]}`, "request-id", "req-ok")(w, r)
}

// adsError is a GoogleAdsFailure, with a message that echoes the secrets. The request ID is in the body only.
func adsError(status int, code string) http.HandlerFunc {
	return reply(status, fmt.Sprintf(`{"error":{"code":%d,"status":%[4]q,"message":"bad %[3]s","details":[
		{"@type":"type.googleapis.com/google.rpc.Help","links":[]},
		{"@type":"type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure",
		 "errors":[{"errorCode":{"someError":%[2]q},"message":"bad %[3]s"}],"requestId":"req-%[1]d"}]}}`, status, code, developerToken, rpcNames[status]))
}

// rpcNames are the names of google.rpc that belong to HTTP statuses.
var rpcNames = map[int]string{
	400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE",
}

// statusError is what Google's front end answers: no GoogleAdsFailure.
func statusError(code int, status string) http.HandlerFunc {
	return reply(code, fmt.Sprintf(`{"error":{"code":%d,"status":%q,"message":"bad %s"}}`, code, status, accessToken), "request-id", "req-front")
}

// wantNoSecret fails where a text holds a secret, or a part of the private key.
func wantNoSecret(t *testing.T, texts ...string) {
	t.Helper()
	secrets := []string{developerToken, clientSecret, refreshToken, accessToken, "PRIVATE KEY"}
	for line := range strings.Lines(privateKeyPEM()) {
		secrets = append(secrets, strings.TrimSpace(line))
	}
	for _, text := range texts {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("a secret shows up in %q", text)
			}
		}
	}
}

// verify calls Verify and checks that what comes out holds no secret, and that an error is a *provider.Error.
func verify(t *testing.T, a provider.Account, token provider.Token) (provider.Verification, *provider.Error) {
	t.Helper()
	return checked(t)(googleads.New().Type(token.Type).Verify(t.Context(), a, token))
}

func checked(t *testing.T) func(provider.Verification, error) (provider.Verification, *provider.Error) {
	t.Helper()
	return func(v provider.Verification, err error) (provider.Verification, *provider.Error) {
		t.Helper()
		wantNoSecret(t, v.Detail, v.Code, v.RequestID)
		if err == nil {
			return v, nil
		}
		wantNoSecret(t, err.Error())
		silence, ok := errors.AsType[*provider.Error](err)
		if !ok {
			t.Fatalf("got error %v, want a *provider.Error", err)
		}
		if v != (provider.Verification{}) {
			t.Errorf("got %+v beside the error %v", v, err)
		}
		return v, silence
	}
}

// verifyAccount calls VerifyAccount for an account that has an identity, with the checks of verify.
func verifyAccount(t *testing.T, a provider.Account) (provider.Verification, *provider.Error) {
	t.Helper()
	v, err := googleads.New().VerifyAccount(t.Context(), a)
	if v == nil {
		v = &provider.Verification{}
	}
	return checked(t)(*v, err)
}
