//go:build unix

package chaos

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// longest is how long a request to Vault may take. Proving a developer token takes four requests to the provider, and the
// machine may be busy.
const longest = 20 * time.Second

// requestTimeout is in seconds: short where the fault is that no answer comes, and longer than any answer takes where not.
func (f fault) requestTimeout() int {
	if f.status == http.StatusGatewayTimeout {
		return 1
	}
	return 15
}

// fault is a way to fail.
type fault struct {
	simulator.Fault
	// certificate is that of the faulty servers, which have nothing else wrong with them.
	certificate simulator.Certificate
	// status is what is answered to a write that needs the endpoint; 0 for a fault that does no harm.
	status int
	// says is part of the reason that an operator reads.
	says string
}

const forAnHour = time.Hour

var faults = map[string]fault{
	"timeout":                   {Fault: simulator.Fault{Kind: simulator.FaultLatency, Latency: forAnHour}, status: 504, says: "did not answer in time"},
	"done, and the answer late": {Fault: simulator.Fault{Kind: simulator.FaultLateAnswer, Latency: forAnHour}, status: 504, says: "did not answer in time"},
	"slow drip":                 {Fault: simulator.Fault{Kind: simulator.FaultDrip, Latency: 200 * time.Millisecond}, status: 504, says: "did not answer in time"},
	"connection reset":          {Fault: simulator.Fault{Kind: simulator.FaultReset}, status: 502, says: "closed the connection"},
	"connection closed":         {Fault: simulator.Fault{Kind: simulator.FaultDropBefore}, status: 502, says: "closed the connection"},
	"done, and the answer lost": {Fault: simulator.Fault{Kind: simulator.FaultDropAfter}, status: 502, says: "closed the connection"},
	"half a body":               {Fault: simulator.Fault{Kind: simulator.FaultHalfBody}, status: 502, says: "closed the connection before its answer was complete"},
	"429":                       {Fault: simulator.Fault{Kind: simulator.FaultStatus, Status: 429}, status: 502, says: "(HTTP 429)"},
	"429 with a wait":           {Fault: simulator.Fault{Kind: simulator.FaultStatus, Status: 429, RetryAfter: 2}, status: 502, says: "asks to wait 2s"},
	"500":                       {Fault: simulator.Fault{Kind: simulator.FaultStatus, Status: 500}, status: 502, says: "(HTTP 500)"},
	"502":                       {Fault: simulator.Fault{Kind: simulator.FaultStatus, Status: 502}, status: 502, says: "(HTTP 502)"},
	"503":                       {Fault: simulator.Fault{Kind: simulator.FaultStatus, Status: 503}, status: 502, says: "(HTTP 503)"},
	"garbage":                   {Fault: simulator.Fault{Kind: simulator.FaultGarbage}, status: 502, says: "unreadable answer"},
	"oversized body":            {Fault: simulator.Fault{Kind: simulator.FaultOversizedBody}, status: 502, says: "more than 1048576 bytes"},
	"redirect to another host":  {Fault: simulator.Fault{Kind: simulator.FaultRedirect}, status: 502, says: "a redirect (HTTP 307)"},
	"expired certificate":       {certificate: simulator.CertificateExpired, status: 502, says: "it has expired"},
	"certificate of another CA": {certificate: simulator.CertificateForeign, status: 502, says: "TLS certificate that is not trusted"},
	"right answer, wrong type":  {Fault: simulator.Fault{Kind: simulator.FaultWrongContentType}},
}

// endpoint is one of a provider, and what the engine needs it for.
type endpoint struct {
	service simulator.Service
	// method is that of its requests, where the service has others.
	method string
	// prepare imports the token of the same name, before the fault.
	prepare func(*testing.T, *world)
	// strike uses the endpoint while the fault lasts, and passes where the fault does no harm.
	strike func(*testing.T, *world, fault)
	// recover does what was wanted, after the fault.
	recover func(*testing.T, *world)
	// behind is the method of the last request before, where the engine would not come so far if no certificate of the
	// provider could be trusted. The bad one then takes a good one's place.
	behind string
}

var endpoints = map[string]endpoint{
	"google grant": {service: simulator.GoogleToken, prepare: importOAuthClient, strike: func(t *testing.T, w *world, f fault) {
		fresh := done(w.console.NewConsent(t.Context(), simulator.DefaultName))(t).RefreshToken
		w.verify(t, f)
		w.handIn(t, f, fields{"refresh_token": fresh})
		_, err := w.read("access-token/it")
		w.refused(t, err, f, "no access token could be minted")
	}, recover: func(t *testing.T, w *world) {
		w.handInAfterwards(t, fields{"refresh_token": done(w.console.NewConsent(t.Context(), simulator.DefaultName))(t).RefreshToken})
	}},
	"google revoke": {service: simulator.GoogleToken, prepare: importAndSupersedeOAuthClient, strike: deleteToken, recover: deleteAfterwards},
	"google ads": {service: simulator.GoogleAds, prepare: importDeveloperToken, strike: func(t *testing.T, w *world, f fault) {
		w.verify(t, f)
		w.handIn(t, f, fields{"developer_token": done(w.console.ResetDeveloperToken(t.Context()))(t)})
	}, recover: func(t *testing.T, w *world) {
		w.handInAfterwards(t, fields{"developer_token": done(w.console.ResetDeveloperToken(t.Context()))(t)})
	}},
	"iam list": {service: simulator.GoogleIAM, method: http.MethodGet, prepare: importKey, strike: func(t *testing.T, w *world, f fault) {
		_, err := w.write("tokens/it/rotate", nil)
		w.refused(t, err, f, "nothing was changed")
		if f.status == 0 {
			w.published = 2
		}
	}, recover: func(t *testing.T, w *world) {
		if w.version(t) == 1 {
			succeeded(t, second(w.write("tokens/it/rotate", nil)))
		}
		w.awaitOneKey(t)
	}},
	"iam create": {service: simulator.GoogleIAM, method: http.MethodPost, prepare: importKey, strike: beginRotation, recover: awaitRotatedKey, behind: http.MethodGet},
	"iam delete": {service: simulator.GoogleIAM, method: http.MethodDelete, prepare: importKey, strike: func(t *testing.T, w *world, f fault) {
		succeeded(t, second(w.write("tokens/it/rotate", nil)))
		w.published = 2
		if f.status == 0 {
			return
		}
		token := w.awaitProblem(t, f.says)
		if token["rotation_state"] != "retiring" || !strings.Contains(fmt.Sprint(token["last_error"]), "version 1 could not be retired") {
			vaulttest.Errorf(t, "the token is in state %v after %v", token["rotation_state"], token["last_error"])
		}
	}, recover: func(t *testing.T, w *world) { w.awaitOneKey(t) }, behind: http.MethodPost},
	"impact agency":  companyInformation(simulator.Agency),
	"impact brand":   companyInformation(simulator.Brand),
	"impact partner": companyInformation(simulator.Partner),
	"reset hook": {service: simulator.ResetHook, prepare: importWithHook, strike: beginRotation, recover: func(t *testing.T, w *world) {
		w.awaitRotation(t)
		keys, resets := w.hook.Asked()
		if len(resets) != 1 || len(slices.Compact(keys)) != 1 {
			t.Errorf("the hook was asked for %d resets, with %d keys", len(resets), len(slices.Compact(keys)))
		}
	}},
}

// companyInformation is what tells whether a token of impact.com works.
func companyInformation(kind simulator.AccountKind) endpoint {
	account := string(kind)
	return endpoint{service: simulator.Impact, prepare: func(t *testing.T, w *world) {
		if kind != simulator.Agency {
			done(w.console.EnableLegacyTokens(t.Context(), account))(t)
		}
		w.importImpact(t, account, nil)
	}, strike: func(t *testing.T, w *world, f fault) {
		w.verify(t, f)
		w.handIn(t, f, fields{"auth_token": done(w.console.ResetReadWrite(t.Context(), account))(t).AuthToken})
	}, recover: func(t *testing.T, w *world) {
		w.handInAfterwards(t, fields{"auth_token": done(w.console.ResetReadWrite(t.Context(), account))(t).AuthToken})
	}}
}

func TestNoFaultOfAProviderDoesHarm(t *testing.T) {
	t.Parallel()
	for at, e := range endpoints {
		for what, f := range faults {
			t.Run(at+"/"+what, func(t *testing.T) {
				t.Parallel()
				f := f.at(e.service)
				w := newWorld(t, e, f)
				e.prepare(t, w)
				w.published = w.version(t)
				w.breakDown(t, e, f)
				e.strike(t, w, f)
				w.servesWhatIsPublished(t)
				if f.certificate == "" || w.renewed != nil {
					w.repair(t)
					e.recover(t, w)
				}
				w.tellsNoSecret(t)
				if n := w.thief.Load(); n > 0 {
					t.Errorf("the host of the redirect was connected to %d times", n)
				}
			})
		}
	}
}

// at is the fault as it is met at a service. An answer that is not announced as JSON is none of impact.com's API; of a hook's
// answer only the credential in it counts.
func (f fault) at(service simulator.Service) fault {
	if f.Kind == simulator.FaultWrongContentType && service != simulator.ResetHook {
		f.status, f.says = http.StatusBadGateway, "unreadable answer"
	}
	return f
}

type fields = map[string]any

// world is a mount of the engine, beside providers, a hook, and a host that no request should reach.
type world struct {
	*vaulttest.Mount
	server  *simulator.Server
	console *simulator.Client
	hook    *simulator.Hook
	hookURL string
	// hookCA is the PEM to trust for the hook, empty for plain HTTP.
	hookCA string
	// renewed is where IAM is reached, if not nil.
	renewed *renewedIAM
	// thief counts the connections to the host that a redirect names.
	thief    *atomic.Int32
	thiefURL string
	ctx      context.Context
	// requestTimeout is that of the accounts, in seconds.
	requestTimeout int
	// told is what the engine has told but for credentials.
	told strings.Builder
	// published is the version that apps have to read, 0 for none.
	published int
	// rotated has the end of a rotation that beginRotation began.
	rotated chan error
}

func newWorld(t *testing.T, e endpoint, f fault) *world {
	t.Helper()
	options := simulator.ServerOptions{}
	var ofHook, ofIAM simulator.Certificate
	switch {
	case e.service == simulator.ResetHook:
		ofHook = f.certificate
	case e.behind != "":
		ofIAM = f.certificate
	default:
		options.TLS, options.Certificate = f.certificate != "", f.certificate
	}
	server := done(simulator.Start(options))(t)
	t.Cleanup(func() { _ = server.Close() })
	w := &world{
		requestTimeout: f.requestTimeout(),
		Mount:          vaulttest.Shared(t).Mount(t), server: server, console: server.Client(), thief: &atomic.Int32{}, ctx: t.Context(), rotated: make(chan error, 1),
	}
	thief := httptest.NewUnstartedServer(http.NotFoundHandler())
	thief.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			w.thief.Add(1)
		}
	}
	thief.Start()
	t.Cleanup(thief.Close)
	w.thiefURL = thief.URL + "/thief"
	w.startHook(t, ofHook)
	if ofIAM != "" {
		w.renewed = newRenewedIAM(t, server.GoogleURL, e.behind, ofIAM)
	}
	t.Cleanup(func() { w.announceSecrets(context.WithoutCancel(t.Context()), t) })
	return w
}

func (w *world) startHook(t *testing.T, certificate simulator.Certificate) {
	t.Helper()
	w.hook = done(simulator.NewHook(w.console, hookSecret))(t)
	server := httptest.NewUnstartedServer(w.hook)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are wanted
	if certificate == "" {
		server.Start()
	} else {
		own, ca, err := simulator.NewCertificate(certificate)
		succeeded(t, err)
		server.TLS, w.hookCA = &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}, string(ca)
		server.StartTLS()
	}
	t.Cleanup(func() {
		server.CloseClientConnections() // a drip ends only so
		server.Close()
	})
	w.hookURL = server.URL
}

// hookSecret signs the requests to the hooks of all worlds.
var hookSecret = func() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(key)
}()

// announceSecrets has Main look for everything that this world has issued.
func (w *world) announceSecrets(ctx context.Context, t *testing.T) {
	ledger, err := w.console.Ledger(ctx)
	if err != nil {
		t.Errorf("the secrets of this world cannot be looked for: %v", err)
		return
	}
	for _, secret := range ledger.Issued {
		vaulttest.Secret(t, secret.Kind+" of "+secret.Owner, secret.Value)
	}
	vaulttest.Secret(t, "reset hook's secret", strings.TrimPrefix(hookSecret, "whsec_"))
}

func (w *world) breakDown(t *testing.T, e endpoint, f fault) {
	t.Helper()
	f.Service, f.Method = e.service, e.method
	if f.Kind == simulator.FaultRedirect {
		f.Location = w.thiefURL
	}
	switch {
	case f.certificate != "":
	case e.service == simulator.ResetHook:
		w.hook.Break(&f.Fault)
	default:
		succeeded(t, w.console.InjectFault(t.Context(), f.Fault))
	}
}

func (w *world) repair(t *testing.T) {
	t.Helper()
	w.hook.Break(nil)
	succeeded(t, w.console.ClearFaults(t.Context()))
	if w.renewed != nil {
		w.renewed.replaced.Store(false)
	}
}

// read and write give the engine no more than the longest time. What it tells is kept.
func (w *world) read(path string) (*api.Secret, error) {
	ctx, cancel := context.WithTimeout(w.ctx, longest)
	defer cancel()
	secret, err := w.Read(ctx, path)
	return w.heard(path, secret, err)
}

func (w *world) write(path string, data fields) (*api.Secret, error) {
	ctx, cancel := context.WithTimeout(w.ctx, longest)
	defer cancel()
	secret, err := w.Write(ctx, path, data)
	return w.heard(path, secret, err)
}

func (w *world) heard(path string, secret *api.Secret, err error) (*api.Secret, error) {
	if err != nil {
		fmt.Fprintln(&w.told, err)
	}
	if secret != nil {
		fmt.Fprintln(&w.told, secret.Warnings)
		if !strings.HasPrefix(path, "creds/") && !strings.HasPrefix(path, "access-token/") {
			fmt.Fprintln(&w.told, secret.Data)
		}
	}
	return secret, err
}

func (w *world) tellsNoSecret(t *testing.T) {
	t.Helper()
	if leaks := done(w.console.Ledger(t.Context()))(t).Leaks([]byte(w.told.String())); len(leaks) > 0 {
		t.Errorf("the engine tells the %v", leaks)
	}
}

func (w *world) data(t *testing.T, path string) fields {
	t.Helper()
	secret, err := w.read(path)
	succeeded(t, err)
	return secret.Data
}

func (w *world) creds(t *testing.T) fields {
	t.Helper()
	return w.data(t, "creds/it")
}

func (w *world) version(t *testing.T) int {
	t.Helper()
	number, ok := w.creds(t)["version"].(json.Number)
	if !ok {
		t.Fatal("the version is no number")
	}
	return int(done(number.Int64())(t))
}

func (w *world) servesWhatIsPublished(t *testing.T) {
	t.Helper()
	if w.published == 0 {
		if _, err := w.read("creds/it"); err == nil {
			t.Error("apps read a token that was deleted")
		}
		return
	}
	if version := w.version(t); version != w.published {
		t.Errorf("apps read version %d, want %d", version, w.published)
	}
}

// verify is never an error: that the provider does not answer says nothing about the token.
func (w *world) verify(t *testing.T, f fault) {
	t.Helper()
	secret, err := w.write("tokens/it/verify", nil)
	succeeded(t, err)
	outcome, detail := fmt.Sprint(secret.Data["outcome"]), fmt.Sprint(secret.Data["detail"])
	if want := map[bool]string{true: "accepted", false: "inconclusive"}[f.status == 0]; outcome != want || !strings.Contains(detail, f.says) {
		vaulttest.Errorf(t, "the outcome is %s (%s), want %s with %q", outcome, detail, want, f.says)
	}
	if health := w.data(t, "tokens/it")["health"]; health == "rejected" {
		t.Error("the token is called rejected")
	}
}

// handIn rotates with a value that a person hands in.
func (w *world) handIn(t *testing.T, f fault, credential fields) {
	t.Helper()
	_, err := w.write("tokens/it/rotate", credential)
	w.refused(t, err, f, "nothing was changed", "verify=false")
	if f.status == 0 {
		w.published = 2
	}
}

// handInAfterwards rotates once the fault is over.
func (w *world) handInAfterwards(t *testing.T, credential fields) {
	t.Helper()
	before := w.version(t)
	secret, err := w.write("tokens/it/rotate", credential)
	succeeded(t, err)
	if secret.Data["verification"] != "accepted" || w.version(t) != before+1 {
		vaulttest.Errorf(t, "after the fault, the rotation gives %v", secret.Data)
	}
}

// refused wants the fault's status and reason, or success where the fault does no harm.
func (w *world) refused(t *testing.T, err error, f fault, words ...string) {
	t.Helper()
	if f.status == 0 {
		succeeded(t, err)
		return
	}
	var response *api.ResponseError
	if !errors.As(err, &response) {
		vaulttest.Fatalf(t, "the request was answered with %v, want HTTP %d", err, f.status)
	}
	message := strings.Join(response.Errors, "\n")
	if response.StatusCode != f.status {
		vaulttest.Errorf(t, "HTTP %d instead of %d: %s", response.StatusCode, f.status, message)
	}
	for _, word := range append(words, f.says) {
		if !strings.Contains(message, word) {
			vaulttest.Errorf(t, "the message does not say %q: %s", word, message)
		}
	}
}

// google configures the account google; more are settings beside the addresses.
func (w *world) google(t *testing.T, more fields) {
	t.Helper()
	account := fields{
		"provider": "google_ads", "contact_email": "ads-api@acme.example", "request_timeout": w.requestTimeout, "verify_connection": false,
		"base_url": w.server.GoogleURL, "token_url": w.server.GoogleURL + "/token", "revoke_url": w.server.GoogleURL + "/revoke",
		"iam_url": w.server.GoogleURL, "ca_cert": string(w.server.CACert),
	}
	if w.renewed != nil {
		account["iam_url"], account["ca_cert"] = w.renewed.url, w.renewed.cas
	}
	maps.Copy(account, more)
	succeeded(t, second(w.write("config/google", account)))
}

func (w *world) token(t *testing.T, account, kind string, more fields) {
	t.Helper()
	token := fields{"account": account, "type": kind, "verify": false, "verify_period": 0}
	maps.Copy(token, more)
	succeeded(t, second(w.write("tokens/it", token)))
}

func (w *world) client(t *testing.T) fields {
	t.Helper()
	client := done(w.console.OAuthClient(t.Context(), simulator.DefaultName))(t)
	return fields{"client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken}
}

func importOAuthClient(t *testing.T, w *world) {
	t.Helper()
	w.google(t, nil)
	w.token(t, "google", "oauth_client", w.client(t))
}

// importAndSupersedeOAuthClient leaves a refresh token behind that is to be revoked in an hour.
func importAndSupersedeOAuthClient(t *testing.T, w *world) {
	t.Helper()
	importOAuthClient(t, w)
	fresh := done(w.console.NewConsent(t.Context(), simulator.DefaultName))(t).RefreshToken
	succeeded(t, second(w.write("tokens/it", fields{"rotation_grace_period": "1h"})))
	succeeded(t, second(w.write("tokens/it/rotate", fields{"refresh_token": fresh, "revoke_previous": true, "verify": false})))
}

// deleteToken needs the old refresh token revoked first.
func deleteToken(t *testing.T, w *world, f fault) {
	t.Helper()
	if f.status == 0 {
		deleteAfterwards(t, w)
		w.published = 0
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	secret, err := w.Delete(ctx, "tokens/it")
	_, err = w.heard("tokens/it", secret, err)
	f.status = http.StatusBadGateway // whatever became of the provider's answer
	w.refused(t, err, f, "the token was not deleted", "force=true")
}

func deleteAfterwards(t *testing.T, w *world) {
	t.Helper()
	succeeded(t, second(w.Delete(t.Context(), "tokens/it")))
	refresh := 0
	ledger := done(w.console.Ledger(t.Context()))(t)
	for _, secret := range ledger.Live {
		if secret.Kind == "refresh_token" {
			refresh++
		}
	}
	if refresh != 1 {
		t.Errorf("%d refresh tokens are live, want the current one", refresh)
	}
}

func importDeveloperToken(t *testing.T, w *world) {
	t.Helper()
	w.google(t, w.client(t))
	w.token(t, "google", "developer_token", fields{"developer_token": done(w.console.DeveloperToken(t.Context()))(t)})
}

func importKey(t *testing.T, w *world) {
	t.Helper()
	w.google(t, nil)
	file := done(w.console.ServiceAccountKey(t.Context(), simulator.DefaultName))(t)
	w.token(t, "google", "service_account_key", fields{"service_account_key": string(file), "rotation_grace_period": 0})
}

func (w *world) importImpact(t *testing.T, kind string, more fields) {
	t.Helper()
	account := fields{
		"provider": "impact", "contact_email": "ads-api@acme.example", "account_type": kind, "request_timeout": w.requestTimeout,
		"base_url": w.server.ImpactURL, "ca_cert": string(w.server.CACert),
	}
	maps.Copy(account, more)
	succeeded(t, second(w.write("config/impact", account)))
	credential := done(w.console.ImpactCredentials(t.Context(), kind))(t).ReadWrite
	w.token(t, "impact", "legacy_read_write", fields{"account_sid": credential.AccountSID, "auth_token": credential.AuthToken})
}

func importWithHook(t *testing.T, w *world) {
	t.Helper()
	w.importImpact(t, "agency", fields{
		"reset_hook_url": w.hookURL, "reset_hook_secret": hookSecret, "reset_hook_ca_cert": w.hookCA, "reset_hook_timeout": w.requestTimeout,
	})
}

// beginRotation has the engine rotate, and waits until it has met the fault.
func beginRotation(t *testing.T, w *world, f fault) {
	t.Helper()
	begun := make(chan struct{})
	ctx, leave := context.WithTimeout(t.Context(), 3*longest)
	t.Cleanup(leave)
	go func() {
		close(begun)
		_, err := w.Write(ctx, "tokens/it/rotate", nil)
		w.rotated <- err
	}()
	<-begun
	if f.status == 0 {
		w.awaitRotation(t)
		w.published = 2
		return
	}
	token := w.awaitProblem(t, f.says)
	if token["rotation_state"] != "requested" || fmt.Sprint(token["version"]) != "1" {
		vaulttest.Errorf(t, "the token is in state %v with version %v", token["rotation_state"], token["version"])
	}
	status := w.data(t, "status")["tokens"].(fields)["it"].(fields)
	if status["rotation_state"] != "requested" || !strings.Contains(fmt.Sprint(status["last_error"]), f.says) {
		vaulttest.Errorf(t, "status shows %v", status)
	}
}

// awaitRotation waits for the end of the rotation that beginRotation began.
func (w *world) awaitRotation(t *testing.T) {
	t.Helper()
	if w.version(t) == 1 {
		succeeded(t, <-w.rotated)
	}
	if version := w.version(t); version != 2 {
		t.Errorf("after the rotation apps read version %d", version)
	}
	if token := w.data(t, "tokens/it"); token["last_error"] != "" {
		vaulttest.Errorf(t, "after the rotation the last problem is %v", token["last_error"])
	}
}

func awaitRotatedKey(t *testing.T, w *world) {
	t.Helper()
	w.awaitRotation(t)
	w.awaitOneKey(t)
}

// awaitProblem waits until the token shows it.
func (w *world) awaitProblem(t *testing.T, says string) fields {
	t.Helper()
	var token fields
	vaulttest.Await(t, "the token to show the problem", func() bool {
		token = w.data(t, "tokens/it")
		return strings.Contains(fmt.Sprint(token["last_error"]), says)
	})
	return token
}

// awaitOneKey waits until the service account has the key that apps read, and no other.
func (w *world) awaitOneKey(t *testing.T) {
	t.Helper()
	vaulttest.Await(t, "all keys but the current one to be deleted", func() bool {
		var there []string
		for _, key := range done(w.console.ServiceAccountKeys(t.Context(), simulator.DefaultName))(t) {
			if key.Deleted.IsZero() {
				there = append(there, key.ID)
			}
		}
		var current struct {
			ID string `json:"private_key_id"`
		}
		file, _ := w.creds(t)["service_account_key"].(string)
		succeeded(t, json.Unmarshal([]byte(file), &current))
		return slices.Equal(there, []string{current.ID})
	})
	if version := w.version(t); version != 2 {
		t.Errorf("apps read version %d", version)
	}
}

// done returns the result of an action, or fails the test.
func done[T any](result T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		succeeded(t, err)
		return result
	}
}

func second[T any](_ T, err error) error { return err }

func succeeded(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
}
