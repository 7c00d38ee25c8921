//go:build linux

package bench

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// providerLatency is how long every answer is held back.
const providerLatency = 50 * time.Millisecond

// The parts of the providers that are counted. Access tokens are of Google Ads, as are the calls with them.
const (
	serviceImpact = "impact.com API"
	serviceHook   = "reset hook"
	serviceAds    = "Google OAuth and Ads API"
	serviceIAM    = "Google IAM API"
)

// arrival is a request that a provider got.
type arrival struct {
	service, account string
	// ends is set for the last request of a rotation.
	ends bool
	at   time.Time
}

// providers are the simulated platforms and reset hooks. They answer late, or not at all, and note what arrives when.
type providers struct {
	console                       *simulator.Client
	googleURL, impactURL, hookURL string
	hookSecret                    string

	// owners are the accounts by what stands for them in a request's address.
	owners sync.Map
	// hanging is closed when the providers answer again; nil while they do.
	hanging atomic.Pointer[chan struct{}]

	mu       sync.Mutex
	arrivals []arrival
	// limited counts the answers of 429, in all.
	limited int
}

// startProviders starts them with that many service account keys in stock, so that none is made while something is measured.
func startProviders(b *testing.B, keys int) *providers {
	b.Helper()
	p := &providers{}
	google := httptest.NewUnstartedServer(nil)
	p.googleURL = "http://" + google.Listener.Addr().String()
	makeKeys(b, keys)
	world := simulator.New(simulator.Options{GoogleURL: p.googleURL})
	google.Config.Handler = p.serve(world.Google(), func(r *http.Request) string {
		if strings.Contains(r.URL.Path, "/serviceAccounts/") {
			return serviceIAM
		}
		return serviceAds
	})
	google.Start()
	b.Cleanup(google.Close)
	start := func(handler http.Handler) string {
		server := httptest.NewServer(handler)
		b.Cleanup(server.Close)
		return server.URL
	}
	p.impactURL = start(p.serve(world.Impact(), func(*http.Request) string { return serviceImpact }))
	p.console = simulator.NewClient(start(world.Control()))
	p.hookSecret = "whsec_" + vaulttest.Secret(b, "reset hook's secret", base64.StdEncoding.EncodeToString([]byte("signs requests of the storm")))
	hook, err := simulator.NewHook(p.console, p.hookSecret)
	if err != nil {
		b.Fatal(err)
	}
	p.hookURL = start(p.serve(hook, func(*http.Request) string { return serviceHook }))
	b.Cleanup(p.answer)
	return p
}

// makeKeys has another simulator make as many keys: those of a process are shared.
func makeKeys(b *testing.B, keys int) {
	b.Helper()
	began := time.Now()
	server, err := simulator.Start(simulator.ServerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	for i := range keys {
		if _, err := server.Client().CreateServiceAccount(b.Context(), fmt.Sprint("stock-", i)); err != nil {
			vaulttest.Fatalf(b, "%v", err)
		}
	}
	fmt.Printf("%d service account keys were made in stock in %s\n", keys, time.Since(began).Round(time.Second))
}

// serve notes the requests to a service.
func (p *providers) serve(next http.Handler, service func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := arrival{service: service(r), account: p.account(r)}
		a.ends = a.service == serviceImpact || a.service == serviceIAM && r.Method == http.MethodDelete
		p.mu.Lock()
		a.at = time.Now()
		p.arrivals = append(p.arrivals, a)
		p.mu.Unlock()
		if hanging := p.hanging.Load(); hanging != nil && a.account != healthyAccount {
			select {
			case <-*hanging:
			case <-r.Context().Done():
			}
			panic(http.ErrAbortHandler)
		}
		select {
		case <-time.After(providerLatency):
		case <-r.Context().Done():
			return
		}
		next.ServeHTTP(&watchedAnswer{ResponseWriter: w, p: p}, r)
	})
}

// watchedAnswer counts answers of 429.
type watchedAnswer struct {
	http.ResponseWriter
	p *providers
}

func (w *watchedAnswer) WriteHeader(status int) {
	if status == http.StatusTooManyRequests {
		w.p.mu.Lock()
		w.p.limited++
		w.p.mu.Unlock()
	}
	w.ResponseWriter.WriteHeader(status)
}

// account is whose request it is; all of Google's accounts together where the address does not tell.
func (p *providers) account(r *http.Request) string {
	for part := range strings.SplitSeq(r.URL.Path, "/") {
		if account, ok := p.owners.Load(part); ok {
			return account.(string)
		}
	}
	return "all accounts"
}

// hang has all requests but those of the healthy account wait, until answer is called.
func (p *providers) hang() {
	hanging := make(chan struct{})
	p.hanging.Store(&hanging)
}

func (p *providers) answer() {
	if hanging := p.hanging.Swap(nil); hanging != nil {
		close(*hanging)
	}
}

// since are the requests that arrived after a time.
func (p *providers) since(t time.Time) []arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, _ := slices.BinarySearchFunc(p.arrivals, t, func(a arrival, t time.Time) int { return a.at.Compare(t) })
	return slices.Clone(p.arrivals[i:])
}

// traffic is what a service got from an account, at most.
type traffic struct {
	Service string `json:"service"`
	// Requests are those of a storm, all accounts together.
	Requests int `json:"requests_of_a_storm"`
	// The account with the most requests in any second, minute and hour.
	Second int `json:"most_in_a_second"`
	Minute int `json:"most_in_a_minute"`
	Hour   int `json:"most_in_an_hour"`
	// Limit is what the provider allows an account in an hour, or a hook's account in a minute; 0 where none is known.
	Limit int    `json:"limit,omitempty"`
	Per   string `json:"limit_per,omitempty"`
}

// traffics counts arrivals by service.
func traffics(arrivals []arrival) []*traffic {
	times := map[string]map[string][]time.Time{}
	for _, a := range arrivals {
		if times[a.service] == nil {
			times[a.service] = map[string][]time.Time{}
		}
		times[a.service][a.account] = append(times[a.service][a.account], a.at)
	}
	rows := []*traffic{
		{Service: serviceHook, Limit: hookPerMinute, Per: "minute"},
		{Service: serviceImpact, Limit: impactPerHour, Per: "hour"},
		{Service: serviceIAM},
		{Service: serviceAds, Limit: adsPerDay, Per: "day"},
	}
	for _, row := range rows {
		for _, account := range slices.Sorted(maps.Keys(times[row.Service])) {
			of := times[row.Service][account]
			row.Second = max(row.Second, most(of, time.Second))
			row.Minute = max(row.Minute, most(of, time.Minute))
			row.Hour = max(row.Hour, most(of, time.Hour))
		}
	}
	return rows
}

// over says whether the limit was exceeded.
func (t *traffic) over() bool {
	switch t.Per {
	case "minute":
		return t.Minute > t.Limit
	case "":
		return false
	}
	return t.Hour > t.Limit // the benchmark takes less than an hour
}

// most is how many of the sorted times are within any span of that length.
func most(times []time.Time, span time.Duration) int {
	most, first := 0, 0
	for i, t := range times {
		for t.Sub(times[first]) >= span {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
