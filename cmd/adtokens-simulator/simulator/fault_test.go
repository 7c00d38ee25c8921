package simulator_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault simulator.Fault
		judge func(t *testing.T, answer response, err error)
	}{
		"latency": {simulator.Fault{Kind: simulator.FaultLatency, Latency: 50 * time.Millisecond}, func(t *testing.T, answer response, err error) {
			t.Helper()
			check(t, err)
			if answer.status != 200 {
				t.Errorf("got status %d", answer.status)
			}
		}},
		"late answer": {simulator.Fault{Kind: simulator.FaultLateAnswer, Latency: 50 * time.Millisecond}, func(t *testing.T, answer response, err error) {
			t.Helper()
			check(t, err)
			if answer.status != 200 {
				t.Errorf("got status %d", answer.status)
			}
		}},
		"reset":       {simulator.Fault{Kind: simulator.FaultReset}, wantReset},
		"drop before": {simulator.Fault{Kind: simulator.FaultDropBefore}, wantDropped},
		"drop after":  {simulator.Fault{Kind: simulator.FaultDropAfter}, wantDropped},
		"half body": {simulator.Fault{Kind: simulator.FaultHalfBody}, func(t *testing.T, answer response, err error) {
			t.Helper()
			if !errors.Is(err, io.ErrUnexpectedEOF) || answer.status != 200 || len(answer.body) == 0 {
				t.Errorf("got status %d, %d bytes and %v", answer.status, len(answer.body), err)
			}
		}},
		"oversized body": {simulator.Fault{Kind: simulator.FaultOversizedBody}, func(t *testing.T, answer response, err error) {
			t.Helper()
			check(t, err)
			if len(answer.body) < 16<<20 {
				t.Errorf("got %d bytes", len(answer.body))
			}
		}},
		"garbage": {simulator.Fault{Kind: simulator.FaultGarbage}, func(t *testing.T, answer response, err error) {
			t.Helper()
			check(t, err)
			if answer.status != 200 || answer.body[0] != 0 {
				t.Errorf("got status %d", answer.status)
			}
		}},
		"wrong content type": {simulator.Fault{Kind: simulator.FaultWrongContentType}, func(t *testing.T, answer response, err error) {
			t.Helper()
			check(t, err)
			if got := answer.header.Get("Content-Type"); got != "text/html; charset=UTF-8" {
				t.Errorf("got %s", got)
			}
		}},
		"redirect": {simulator.Fault{Kind: simulator.FaultRedirect, Location: "http://127.0.0.1:9/thief"}, func(t *testing.T, answer response, err error) {
			t.Helper()
			check(t, err)
			if answer.status != 307 || answer.header.Get("Location") != "http://127.0.0.1:9/thief" {
				t.Errorf("got status %d", answer.status)
			}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			credential := w.agency(t).ReadWrite
			r := request{
				method: "GET", url: w.ImpactURL + "/Agencies/" + credential.AccountSID + "/CompanyInformation",
				header: basic(credential.AccountSID, credential.AuthToken),
			}
			test.fault.Service, test.fault.Times = simulator.Impact, 1
			check(t, w.console.InjectFault(t.Context(), test.fault))
			start := time.Now()
			answer, err := trySend(t, r)
			test.judge(t, answer, err)
			if took := time.Since(start); took < test.fault.Latency {
				t.Errorf("answered after %s", took)
			}
			if answer := send(t, r); answer.status != 200 {
				t.Errorf("the request after the fault got status %d", answer.status)
			}
		})
	}
}

func TestADripGoesOnUntilTheClientHasHadEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credential := w.agency(t).ReadWrite
	const pause = 10 * time.Millisecond
	check(t, w.console.InjectFault(t.Context(), simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultDrip, Latency: pause, Times: 1}))
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.ImpactURL+"/Agencies/"+credential.AccountSID+"/CompanyInformation", http.NoBody)
	check(t, err)
	request.SetBasicAuth(credential.AccountSID, credential.AuthToken)
	request.Header.Set("Accept", "application/json")
	start := time.Now()
	answer, err := http.DefaultClient.Do(request)
	check(t, err)
	defer answer.Body.Close()
	var company map[string]any
	body := json.NewDecoder(answer.Body)
	if err := body.Decode(&company); err != nil || answer.StatusCode != 200 || len(company) == 0 {
		t.Errorf("got status %d, %v and %v, want the right answer", answer.StatusCode, company, err)
	}
	if size, took := body.InputOffset(), time.Since(start); took < time.Duration(size-1)*pause {
		t.Errorf("%d bytes came within %s", size, took)
	}
	hangUp()
	if err := body.Decode(&company); !errors.Is(err, context.Canceled) {
		t.Errorf("the answer ended by itself: %v", err)
	}
}

func TestCertificatesThatNobodyShouldTrust(t *testing.T) {
	t.Parallel()
	for certificate, trusted := range map[simulator.Certificate]func(error) bool{
		simulator.CertificateGood: func(err error) bool { return err == nil },
		simulator.CertificateExpired: func(err error) bool {
			invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
			return ok && invalid.Reason == x509.Expired
		},
		simulator.CertificateForeign: func(err error) bool {
			_, ok := errors.AsType[x509.UnknownAuthorityError](err)
			return ok
		},
	} {
		w := startWorld(t, simulator.ServerOptions{TLS: true, Certificate: certificate})
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(w.CACert)
		connection, err := (&tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}).
			DialContext(t.Context(), "tcp", strings.TrimPrefix(w.GoogleURL, "https://"))
		if !trusted(err) {
			t.Errorf("%q: connecting gives %v", certificate, err)
		}
		if err == nil {
			check(t, connection.Close())
		}
	}
	if _, err := simulator.Start(simulator.ServerOptions{TLS: true, Certificate: "torn"}); err == nil {
		t.Error("an unknown certificate was accepted")
	}
}

func wantReset(t *testing.T, answer response, err error) {
	t.Helper()
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got status %d and %v", answer.status, err)
	}
}

func wantDropped(t *testing.T, answer response, err error) {
	t.Helper()
	if !errors.Is(err, io.EOF) {
		t.Errorf("got status %d and %v", answer.status, err)
	}
}

func TestDropAfterDoesTheWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credential := must(w.console.OAuthClient(t.Context(), simulator.DefaultName))(t)
	for name, test := range map[string]struct {
		kind simulator.FaultKind
		live bool
	}{
		"before": {simulator.FaultDropBefore, true},
		"after":  {simulator.FaultDropAfter, false},
	} {
		client := must(w.console.CreateOAuthClient(t.Context(), name))(t)
		check(t, w.console.InjectFault(t.Context(), simulator.Fault{Service: simulator.GoogleToken, Kind: test.kind, Times: 1}))
		_, err := trySend(t, request{method: "POST", url: w.GoogleURL + "/revoke", form: url.Values{"token": {client.RefreshToken}}})
		wantDropped(t, response{}, err)
		if got := must(w.console.Ledger(t.Context()))(t).IsLive(client.RefreshToken); got != test.live {
			t.Errorf("dropped %s the work: the revoked token is live: %t", name, got)
		}
	}
	if !must(w.console.Ledger(t.Context()))(t).IsLive(credential.RefreshToken) {
		t.Error("another client's refresh token died")
	}
}

func TestALateAnswerComesAfterTheWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := must(w.console.OAuthClient(t.Context(), simulator.DefaultName))(t).RefreshToken
	check(t, w.console.InjectFault(t.Context(), simulator.Fault{Service: simulator.GoogleToken, Kind: simulator.FaultLateAnswer, Latency: time.Hour, Times: 1}))
	ctx, hangUp := context.WithTimeout(t.Context(), time.Minute)
	defer hangUp()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.GoogleURL+"/revoke?token="+url.QueryEscape(token), http.NoBody)
	check(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answered := make(chan error, 1)
	go func() {
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
		}
		answered <- err
	}()
	for must(w.console.Ledger(ctx))(t).IsLive(token) {
		time.Sleep(time.Millisecond)
	}
	hangUp()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("there was an answer: %v", err)
	}
}

func TestStatusFaultsHaveTheProvidersForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tests := map[string]struct {
		fault  simulator.Fault
		header string
		judge  func(*testing.T, response)
	}{
		"google_ads quota": {simulator.Fault{Service: simulator.GoogleAds, Status: 429, RetryAfter: 7}, "Retry-After", func(t *testing.T, answer response) {
			t.Helper()
			if _, category, code := adsError(t, answer); category != "quotaError" || code != "RESOURCE_EXHAUSTED" {
				t.Errorf("got %s %s", category, code)
			}
		}},
		"google_ads down": {simulator.Fault{Service: simulator.GoogleAds, Status: 503}, "", func(t *testing.T, answer response) {
			t.Helper()
			if status, _, _ := adsError(t, answer); status != "UNAVAILABLE" {
				t.Errorf("got %s", status)
			}
		}},
		"google_token down": {simulator.Fault{Service: simulator.GoogleToken, Status: 500}, "", func(t *testing.T, answer response) {
			t.Helper()
			if got := answer.object(t)["error"]; got != "internal_failure" {
				t.Errorf("got %v", got)
			}
		}},
		"impact limit":                {simulator.Fault{Service: simulator.Impact, Status: 429, RetryAfter: 7}, "X-RateLimit-Reset", nil},
		"impact limit without a wait": {simulator.Fault{Service: simulator.Impact, Status: 429}, "", nil},
		"impact down":                 {simulator.Fault{Service: simulator.Impact, Status: 502}, "", nil},
	}
	targets := map[simulator.Service]request{
		simulator.GoogleAds:   {method: "GET", url: w.customersURL("v26")},
		simulator.GoogleToken: {method: "POST", url: w.GoogleURL + "/token", form: url.Values{}},
		simulator.Impact:      {method: "GET", url: w.ImpactURL + "/Agencies/IRx/CompanyInformation", header: map[string]string{"Accept": "application/json"}},
	}
	for name, test := range tests { // one after the other: they share the services
		test.fault.Kind, test.fault.Times = simulator.FaultStatus, 1
		check(t, w.console.InjectFault(t.Context(), test.fault))
		answer := send(t, targets[test.fault.Service])
		if answer.status != test.fault.Status {
			t.Errorf("%s: got status %d", name, answer.status)
		}
		for _, header := range []string{"Retry-After", "X-RateLimit-Reset"} {
			if got := answer.header.Get(header); (got == "7") != (header == test.header) {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
		if test.judge != nil {
			test.judge(t, answer)
		} else if object := answer.object(t); object["Status"] != "ERROR" {
			t.Errorf("%s: got %v", name, object)
		}
	}
}

func TestFaultsLastUntilTheyAreCleared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := request{method: "POST", url: w.GoogleURL + "/token", form: refreshForm(must(w.console.OAuthClient(t.Context(), simulator.DefaultName))(t))}
	check(t, w.console.InjectFault(t.Context(), simulator.Fault{Service: simulator.GoogleToken, Kind: simulator.FaultStatus, Status: 503}))
	for range 3 {
		if answer := send(t, r); answer.status != http.StatusServiceUnavailable {
			t.Errorf("got status %d", answer.status)
		}
	}
	if answer := send(t, request{method: "GET", url: w.customersURL("v26")}); answer.status != http.StatusUnauthorized {
		t.Errorf("another service got status %d", answer.status)
	}
	check(t, w.console.ClearFaults(t.Context()))
	if answer := send(t, r); answer.status != http.StatusOK {
		t.Errorf("got status %d after the fault", answer.status)
	}
}

func TestAFaultIsForSomeRequestsOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check(t, w.console.InjectFault(t.Context(), simulator.Fault{
		Service: simulator.Impact, Kind: simulator.FaultStatus, Status: 503, Path: "/IRx/", Skip: 1, Times: 1,
	}))
	for i, step := range []struct {
		sid   string
		fails bool
	}{{"IRx", false}, {"IRy", false}, {"IRx", true}, {"IRx", false}} {
		answer := send(t, request{
			method: "GET", url: w.ImpactURL + "/Agencies/" + step.sid + "/CompanyInformation", header: map[string]string{"Accept": "application/json"},
		})
		if (answer.status == http.StatusServiceUnavailable) != step.fails {
			t.Errorf("request %d, of %s, got status %d", i+1, step.sid, answer.status)
		}
	}
}
