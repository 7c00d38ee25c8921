//go:build linux

package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

const (
	stormPerAccount = 25
	// Of ten accounts, so many are of Google Ads, with service account keys. The others are of impact.com, with a hook.
	googleOfTen = 1
	// healthyAccount is of impact.com, and its provider and hook answer also while all others hang.
	healthyAccount = "account-healthy"
	healthyTokens  = 5
)

// What providers allow an account, by their documentation: impact.com to each account, and Google Ads to a project of the
// lowest access level for production. Of the hook it is what the engine promises: ten at once and five a second.
const (
	impactPerHour = 1000
	adsPerDay     = 2880
	hookPerMinute = 10 + 60*5
)

// Readers read at a fixed rate, which leaves the machine most of its time.
const (
	stormReaders = 8
	readsPerSec  = 400
)

// spans are how long is read in a round.
const (
	idleSpan = 15 * time.Second
	hangSpan = 30 * time.Second
	// byHand is over how long rotations by hand begin, since hundreds of requests at once hold up others whatever they do.
	byHand = 20 * time.Second
	// quiet is how long before a full minute nothing is done any more.
	quiet = time.Second
	// maxStorm leaves a moment until the next one.
	maxStorm = 50 * time.Second
)

// storm is a mount whose tokens all come due at each full minute.
type storm struct {
	mount     *vaulttest.Mount
	providers *providers
	names     []string
	accounts  int
	// keys is how many of the tokens are service account keys. They come first.
	keys int

	// A sample for each round, and those of the time when nothing answers and before it.
	idle, busy        []stormSample
	beforeHang, hangs stormSample
	// Those of a campaign and before it, how long it took in seconds, and how many writes each of its rotations.
	beforeCampaign, campaigns    stormSample
	campaignTook, campaignWrites float64
	// took is how long each storm took in seconds, and writes how many writes to storage each of its rotations.
	took, writes []float64
	// requests are those of all storms by service.
	requests map[string]int
	// healthy is how long the tokens of the healthy account waited at most while all others hung.
	healthy time.Duration
}

// stormSample is what readers saw, and what the machine did meanwhile.
type stormSample struct {
	// latencies are sorted, in microseconds.
	latencies []float64
	// Processor time as a share of one core. self is the simulators and the readers.
	vault, plugin, self, others float64
}

// BenchmarkStorm has 1,000 tokens come due at the same moment, with providers and hooks that answer after 50 ms, and reads
// credentials meanwhile. A round is a minute: an idle time, and a storm. In the end all tokens rotate with providers that
// accept connections and do not answer, and then a campaign resets them all. Raft storage, file audit device.
//
//	go test -run='^$' -bench='^BenchmarkStorm$' -benchtime=3x -timeout=30m ./tests/bench
//
// ADTOKENS_BENCH_STORM is how many tokens there are (1000).
func BenchmarkStorm(b *testing.B) {
	accounts := (fromEnvironment("ADTOKENS_BENCH_STORM", 1000) + stormPerAccount - 1) / stormPerAccount
	s := &storm{accounts: accounts, requests: map[string]int{}}
	s.keys = (accounts*googleOfTen + 9) / 10 * stormPerAccount
	// The first keys, those of each round, of the storms between, and of the last one.
	s.providers = startProviders(b, s.keys*(rounds()+3))
	s.mount = vaulttest.StartQuietRaft(b).Mount(b)
	s.fill(b)
	before := machineLoad()
	for b.Loop() {
		s.round(b)
	}
	s.hang(b)
	s.campaign(b)
	s.report(b, before)
}

// rounds is how many the command line asks for. The benchmark knows only afterwards.
func rounds() int {
	if n, err := strconv.Atoi(strings.TrimSuffix(flag.Lookup("test.benchtime").Value.String(), "x")); err == nil {
		return n
	}
	return 1
}

func stormAccount(i int) string { return fmt.Sprintf("account-%03d", i) }

// isGoogle says of which platform an account is.
func (s *storm) isGoogle(account int) bool { return account < s.keys/stormPerAccount }

// fill imports the tokens. It begins after a full minute, so that none comes due meanwhile.
func (s *storm) fill(b *testing.B) {
	b.Helper()
	p := s.providers
	awaitMinute()
	began := time.Now()
	impact := func(account string) map[string]any {
		p.owners.Store(account, account) // the last part of the hook's address
		return map[string]any{
			"provider": "impact", "account_type": "agency", "base_url": p.impactURL, "contact_email": "ads-api@acme.example", "request_timeout": "60s",
			"reset_hook_url": p.hookURL + "/" + account, "reset_hook_secret": p.hookSecret,
		}
	}
	writeAll(b, s.mount, s.accounts, func(i int) (string, map[string]any) {
		if s.isGoogle(i) {
			return "config/" + stormAccount(i), map[string]any{
				"provider": "google_ads", "base_url": p.googleURL, "token_url": p.googleURL + "/token", "iam_url": p.googleURL,
				"contact_email": "ads-api@acme.example", "login_customer_id": "1234567890", "request_timeout": "60s",
			}
		}
		return "config/" + stormAccount(i), impact(stormAccount(i))
	})
	writeAll(b, s.mount, 1, func(int) (string, map[string]any) { return "config/" + healthyAccount, impact(healthyAccount) })
	s.names = make([]string, s.accounts*stormPerAccount)
	doAll(b, s.accounts, func(i int) error {
		if s.isGoogle(i) {
			return nil
		}
		return p.console.CreateImpactAccount(b.Context(), stormAccount(i), simulator.Agency)
	})
	doAll(b, len(s.names), func(i int) error {
		s.names[i] = fmt.Sprintf("token-%04d", i)
		account := i / stormPerAccount
		if s.isGoogle(account) {
			return s.importKey(b.Context(), s.names[i], stormAccount(account))
		}
		return s.importScoped(b.Context(), s.names[i], stormAccount(account))
	})
	if err := p.console.CreateImpactAccount(b.Context(), healthyAccount, simulator.Agency); err != nil {
		vaulttest.Fatalf(b, "%v", err)
	}
	fmt.Printf("%d tokens were imported in %s\n", len(s.names), time.Since(began).Round(time.Millisecond))
}

const everyMinute = "* * * * *"

func (s *storm) importKey(ctx context.Context, name, account string) error {
	email := name + "@"
	key, err := s.providers.console.CreateServiceAccount(ctx, name)
	if err != nil {
		return err
	}
	if _, rest, ok := bytes.Cut(key, []byte(email)); ok {
		domain, _, _ := bytes.Cut(rest, []byte(`"`))
		s.providers.owners.Store(email+string(domain), account)
	}
	_, err = s.mount.Write(ctx, "tokens/"+name, map[string]any{
		"account": account, "type": "service_account_key", "service_account_key": string(key),
		"rotation_schedule": everyMinute, "rotation_grace_period": "1s",
	})
	return err
}

func (s *storm) importScoped(ctx context.Context, name, account string) error {
	token, err := s.providers.console.CreateScopedToken(ctx, simulator.ScopedTokenInput{
		ScopedTokenName: simulator.ScopedTokenName{Account: account, Name: name},
	})
	if err != nil {
		return err
	}
	s.providers.owners.Store(token.AccountSID, account)
	_, err = s.mount.Write(ctx, "tokens/"+name, map[string]any{
		"account": account, "type": "scoped", "account_sid": token.AccountSID, "auth_token": token.AuthToken, "rotation_schedule": everyMinute,
	})
	return err
}

// awaitMinute waits for the next full minute and returns it.
func awaitMinute() time.Time {
	minute := time.Now().Truncate(time.Minute).Add(time.Minute)
	time.Sleep(time.Until(minute))
	return minute
}

// beforeMinute is when everything has to be quiet, for the coming storm to be seen from its beginning.
func beforeMinute() time.Time {
	return time.Now().Truncate(time.Minute).Add(time.Minute - quiet)
}

// round measures an idle time and the storm after it.
func (s *storm) round(b *testing.B) {
	b.Helper()
	s.awaitIdle(b)
	versions := s.versions(b)
	s.idle = append(s.idle, s.readFor(b, idleSpan, versions))
	time.Sleep(time.Until(beforeMinute()))
	wrote := s.writesSoFar(b)
	minute := beforeMinute().Add(quiet)
	time.Sleep(time.Until(minute))
	ctx, stop := context.WithCancel(b.Context())
	var calm time.Time
	go func() {
		defer stop()
		calm = s.calm(minute)
	}()
	sample := s.read(b, ctx.Done(), func(name string, version int) bool { return version == versions[name] || version == versions[name]+1 })
	if calm.IsZero() {
		b.Fatalf("the storm is not over after %s; %d requests have reached the providers", maxStorm, len(s.providers.since(minute)))
	}
	s.busy = append(s.busy, sample)
	s.took = append(s.took, calm.Sub(minute).Seconds())
	for _, a := range s.providers.since(minute) {
		s.requests[a.service]++
	}
	time.Sleep(quiet) // for the last writes
	s.writes = append(s.writes, float64(s.writesSoFar(b)-wrote)/float64(len(s.names)))
	for name, version := range s.versions(b) {
		if version != versions[name]+1 {
			b.Errorf("%s had version %d before the storm and has %d after it", name, versions[name], version)
		}
	}
}

// awaitIdle waits until there is time for an idle span before the next storm.
func (s *storm) awaitIdle(b *testing.B) {
	b.Helper()
	if time.Until(beforeMinute()) > idleSpan+2*quiet {
		return
	}
	if s.calm(awaitMinute()).IsZero() {
		b.Fatalf("the storm is not over after %s", maxStorm)
	}
	time.Sleep(quiet) // for the last writes
}

// calm waits for the last request of each rotation that has begun at that minute, and returns when the last one had its
// answer; zero where that takes too long.
func (s *storm) calm(minute time.Time) time.Time {
	for time.Since(minute) < maxStorm {
		ends := 0
		var last time.Time
		for _, a := range s.providers.since(minute) {
			if a.ends && a.account != healthyAccount {
				ends++
				last = a.at
			}
		}
		if ends >= len(s.names) {
			return last.Add(providerLatency)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Time{}
}

// versions are those of all tokens, which have to be idle.
func (s *storm) versions(b *testing.B) map[string]int {
	b.Helper()
	all := map[string][]string{"limit": {"1000000"}}
	var tokens map[string]any
	vaulttest.Await(b, "the status to know all tokens", func() bool {
		secret, err := s.mount.Client.Logical().ReadWithDataWithContext(b.Context(), s.mount.Path+"/status", all)
		if err != nil {
			vaulttest.Fatalf(b, "reading the status: %v", err)
		}
		tokens = secret.Data["tokens"].(map[string]any)
		return len(tokens) >= len(s.names)
	})
	versions := map[string]int{}
	for name, token := range tokens {
		if state := token.(map[string]any)["rotation_state"]; state != "idle" {
			b.Errorf("%s is %v after the storm: %v", name, state, token.(map[string]any)["last_error"])
		}
		version, err := token.(map[string]any)["version"].(json.Number).Int64()
		if err != nil {
			b.Fatal(err)
		}
		versions[name] = int(version)
	}
	return versions
}

// writesSoFar is how many entries raft has; every write to storage is one.
func (s *storm) writesSoFar(b *testing.B) uint64 {
	b.Helper()
	leader, err := s.mount.Client.Sys().LeaderWithContext(b.Context())
	if err != nil {
		vaulttest.Fatalf(b, "asking for the leader: %v", err)
	}
	return leader.RaftAppliedIndex
}

// readFor reads for a while in which nothing rotates.
func (s *storm) readFor(b *testing.B, span time.Duration, versions map[string]int) stormSample {
	b.Helper()
	ctx, stop := context.WithTimeout(b.Context(), span)
	defer stop()
	return s.read(b, ctx.Done(), func(name string, version int) bool { return version == versions[name] })
}

// read reads tokens at random until the end, at a fixed rate: what a late answer holds up counts as late too. Right
// says whether a version may be what an app is given.
func (s *storm) read(b *testing.B, end <-chan struct{}, right func(name string, version int) bool) stormSample {
	b.Helper()
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		sample stormSample
		errs   error
	)
	before := s.usage(b)
	for range stormReaders {
		wg.Go(func() {
			latencies, err := s.readPaced(end, right)
			mu.Lock()
			defer mu.Unlock()
			sample.latencies, errs = append(sample.latencies, latencies...), errors.Join(errs, err)
		})
	}
	wg.Wait()
	if errs != nil {
		vaulttest.Fatalf(b, "reading credentials: %v", errs)
	}
	after := s.usage(b)
	share := func(of func(usage) time.Duration) float64 {
		return (of(after) - of(before)).Seconds() / after.at.Sub(before.at).Seconds()
	}
	sample.vault = share(func(u usage) time.Duration { return u.vault })
	sample.plugin = share(func(u usage) time.Duration { return u.plugin })
	sample.self = share(func(u usage) time.Duration { return u.self })
	sample.others = max(0, share(func(u usage) time.Duration { return u.busy })-sample.vault-sample.plugin-sample.self)
	slices.Sort(sample.latencies)
	return sample
}

// usage is what the machine has done so far.
type usage struct {
	at                        time.Time
	vault, plugin, self, busy time.Duration
}

func (s *storm) usage(b *testing.B) usage {
	b.Helper()
	u := usage{at: time.Now(), vault: processorTime(s.mount.PID()), self: processorTime(os.Getpid()), busy: machineLoad().busy}
	for _, pid := range s.mount.PluginProcesses(b) {
		u.plugin += processorTime(pid)
	}
	return u
}

// readPaced is one reader.
func (s *storm) readPaced(end <-chan struct{}, right func(name string, version int) bool) ([]float64, error) {
	c, err := connect(s.mount.Server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	const interval = time.Second * stormReaders / readsPerSec
	var (
		latencies []float64
		body      bytes.Buffer
	)
	for due := time.Now().Add(rand.N(interval)); ; due = due.Add(interval) {
		select {
		case <-end:
			return latencies, nil
		case <-time.After(time.Until(due)):
		}
		name := s.names[rand.IntN(len(s.names))]
		body.Reset()
		if err := c.get(c.request(s.mount.Path+"/creds/"+name), &body); err != nil {
			return nil, err
		}
		latencies = append(latencies, float64(time.Since(due).Microseconds()))
		var answer struct{ Data struct{ Version int } }
		if err := json.Unmarshal(body.Bytes(), &answer); err != nil {
			return nil, err
		}
		if !right(name, answer.Data.Version) {
			return nil, fmt.Errorf("%s was read with version %d", name, answer.Data.Version)
		}
	}
}

// hang has every token rotate, by its schedule and by hand, while no provider answers: neither those that verify nor the
// hooks and the IAM API. One more account, whose provider does answer, has tokens that come due at the same time.
func (s *storm) hang(b *testing.B) {
	b.Helper()
	s.awaitIdle(b)
	versions := s.versions(b)
	for i := range healthyTokens {
		if err := s.importScoped(b.Context(), fmt.Sprint("healthy-", i), healthyAccount); err != nil {
			vaulttest.Fatalf(b, "%v", err)
		}
	}
	s.beforeHang = s.readFor(b, idleSpan, versions)
	time.Sleep(time.Until(beforeMinute()))
	s.providers.hang()
	minute := beforeMinute().Add(quiet)
	time.Sleep(time.Until(minute))
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var callers sync.WaitGroup
	callers.Go(func() {
		for i, name := range s.names {
			time.Sleep(time.Until(minute.Add(2*quiet + byHand*time.Duration(i)/time.Duration(len(s.names)))))
			callers.Go(func() {
				// The answer is that the rotation goes on, or that the policy was first, or none before the end.
				_, _ = s.mount.Write(ctx, "tokens/"+name+"/rotate", map[string]any{"reason": "by hand"})
			})
		}
	})
	s.hangs = s.readFor(b, hangSpan, versions)
	asked := map[string]int{}
	for _, a := range s.providers.since(minute) {
		if a.account != healthyAccount {
			asked[a.service]++
		} else if a.service == serviceHook {
			s.healthy = max(s.healthy, a.at.Sub(minute))
		}
	}
	if asked[serviceHook] != len(s.names)-s.keys || asked[serviceAds] < s.keys { // an access token comes before the IAM API
		b.Errorf("%d hooks and %d requests of service accounts hang, want one for each of %d tokens", asked[serviceHook], asked[serviceAds], len(s.names))
	}
	for i := range healthyTokens {
		if secret, err := s.mount.Read(b.Context(), fmt.Sprint("creds/healthy-", i)); err != nil || secret.Data["version"] != json.Number("2") {
			b.Errorf("a token of the healthy account was not rotated: error %v", err)
		}
	}
	stop()
	s.providers.answer()
	callers.Wait()
}

// campaignParallel is how many rotations a campaign has under way.
const campaignParallel = 100

// campaign has a campaign reset all tokens, whose schedules are over.
func (s *storm) campaign(b *testing.B) {
	b.Helper()
	writeAll(b, s.mount, len(s.names), func(i int) (string, map[string]any) {
		return "tokens/" + s.names[i], map[string]any{"disable_automated_rotation": true}
	})
	vaulttest.Await(b, "all rotations to end", func() bool {
		secret, err := s.mount.Read(b.Context(), "status")
		return err == nil && secret.Data["summary"].(map[string]any)["in_flight"] == json.Number("0")
	})
	versions := s.versions(b)
	s.beforeCampaign = s.readFor(b, idleSpan, versions)
	wrote, began := s.writesSoFar(b), time.Now()
	data := map[string]any{"reason": "everything", "tokens": "token-*", "parallel": campaignParallel}
	if _, err := s.mount.Write(b.Context(), "campaigns/everything", data); err != nil {
		vaulttest.Fatalf(b, "%v", err)
	}
	ctx, stop := context.WithCancel(b.Context())
	go func() {
		defer stop()
		for ctx.Err() == nil && !s.isDone(ctx, "everything") {
			time.Sleep(time.Second)
		}
	}()
	s.campaigns = s.read(b, ctx.Done(), func(name string, version int) bool { return version == versions[name] || version == versions[name]+1 })
	s.campaignTook = time.Since(began).Seconds()
	time.Sleep(quiet) // for the last writes
	s.campaignWrites = float64(s.writesSoFar(b)-wrote) / float64(len(s.names))
}

func (s *storm) isDone(ctx context.Context, campaign string) bool {
	secret, err := s.mount.Client.Logical().ReadWithDataWithContext(ctx, s.mount.Path+"/campaigns/"+campaign, map[string][]string{"limit": {"1"}})
	return err == nil && secret.Data["state"] == "done"
}

// stormRow is a line of the table: medians of all rounds.
type stormRow struct {
	During string `json:"during"`
	Reads  int    `json:"reads"`
	// In microseconds.
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	// Ratio is P99 relative to the idle time before in the same round, between Lowest and Highest.
	Ratio   float64 `json:"times_idle"`
	Lowest  float64 `json:"times_idle_lowest"`
	Highest float64 `json:"times_idle_highest"`
	// Processor time, in cores.
	Vault  float64 `json:"vault_cores"`
	Plugin float64 `json:"plugin_cores"`
	Self   float64 `json:"simulators_and_readers_cores"`
	Others float64 `json:"others_cores"`
}

func newStormRow(during string, idle, samples []stormSample) stormRow {
	of := func(value func(stormSample) float64) float64 {
		values := make([]float64, len(samples))
		for i, s := range samples {
			values[i] = value(s)
		}
		return median(values)
	}
	p99 := func(s stormSample) float64 { return quantile(s.latencies, .99) }
	row := stormRow{
		During: during, P50: of(func(s stormSample) float64 { return quantile(s.latencies, .5) }), P99: of(p99),
		Vault: of(func(s stormSample) float64 { return s.vault }), Plugin: of(func(s stormSample) float64 { return s.plugin }),
		Self: of(func(s stormSample) float64 { return s.self }), Others: of(func(s stormSample) float64 { return s.others }),
	}
	ratios := make([]float64, len(samples))
	for i, s := range samples {
		row.Reads += len(s.latencies)
		ratios[i] = p99(s) / p99(idle[i])
	}
	row.Ratio, row.Lowest, row.Highest = median(ratios), slices.Min(ratios), slices.Max(ratios)
	return row
}

func (s *storm) report(b *testing.B, before load) {
	b.Helper()
	calm, hangs := []stormSample{s.beforeHang}, []stormSample{s.hangs}
	still, campaigns := []stormSample{s.beforeCampaign}, []stormSample{s.campaigns}
	rows := []stormRow{
		newStormRow("idle", s.idle, s.idle), newStormRow("storm", s.idle, s.busy),
		newStormRow("idle, once more", calm, calm), newStormRow("every provider hangs", calm, hangs),
		newStormRow("idle, before the campaign", still, still), newStormRow("campaign", still, campaigns),
	}
	services := traffics(s.providers.since(time.Time{}))
	for _, t := range services {
		t.Requests = s.requests[t.Service] / b.N
		if t.over() {
			b.Errorf("the %s got more requests than its limit: %+v", t.Service, *t)
		}
	}
	if s.providers.limited > 0 {
		b.Errorf("providers have answered 429 %d times", s.providers.limited)
	}
	s.print(b, rows, services)
	noisiest := slices.MaxFunc(rows, func(a, b stormRow) int { return cmp.Compare(a.Others, b.Others) })
	fmt.Printf("Noise: unrelated processes used up to %.2f cores (median of a line); the hypervisor took %.1f s.\n\n",
		noisiest.Others, (machineLoad().stolen - before.stolen).Seconds())
	keep(b, "storm", map[string]any{
		"rounds": b.N, "tokens": len(s.names), "service_account_keys": s.keys, "accounts": s.accounts, "rows": rows, "seconds": s.took,
		"campaign_seconds": s.campaignTook, "campaign_writes_per_rotation": s.campaignWrites, "writes_per_rotation": s.writes, "providers": services, "answers_of_429": s.providers.limited, "healthy_account_waited_ms": milliseconds(s.healthy),
	})
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rows[1].Ratio, "×idle-storm")
	b.ReportMetric(rows[3].Ratio, "×idle-hang")
	b.ReportMetric(rows[5].Ratio, "×idle-campaign")
	b.ReportMetric(median(s.writes), "writes/rotation")
}

func (s *storm) print(b *testing.B, rows []stormRow, services []*traffic) {
	b.Helper()
	fmt.Printf("\nStorm: medians of %d rounds, on %s\n\n", b.N, thisMachine())
	fmt.Printf("%d tokens of %d accounts, %d of them service account keys, were rotated in %.1f s (%.1f to %.1f), with %.2f writes to storage each (%.2f to %.2f).\n\n",
		len(s.names), s.accounts, s.keys, median(s.took), slices.Min(s.took), slices.Max(s.took), median(s.writes), slices.Min(s.writes), slices.Max(s.writes))
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "during\treads\tp50 µs\tp99 µs\t× idle p99\tlowest to highest\tcores Vault\tplugin\tsimulators, readers\t")
	for _, r := range rows {
		fmt.Fprintf(out, "%s\t%d\t%.0f\t%.0f\t%.2f\t%.2f to %.2f\t%.2f\t%.2f\t%.2f\t\n",
			r.During, r.Reads, r.P50, r.P99, r.Ratio, r.Lowest, r.Highest, r.Vault, r.Plugin, r.Self)
	}
	fmt.Fprintln(out)
	fmt.Fprintln(out, "requests\ta storm\taccount's most in a second\tminute\thour\tlimit\t")
	for _, t := range services {
		limit := "none known"
		if t.Per != "" {
			limit = fmt.Sprintf("%d a %s", t.Limit, t.Per)
		}
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%s\t\n", t.Service, t.Requests, t.Second, t.Minute, t.Hour, limit)
	}
	if err := out.Flush(); err != nil {
		b.Fatal(err)
	}
	fmt.Printf("\nA campaign of all %d tokens, %d at a time, took %.1f s, with %.2f writes to storage for each.\n",
		len(s.names), campaignParallel, s.campaignTook, s.campaignWrites)
	fmt.Printf("\nWhile %d tokens of %d accounts hung, those of another account waited %s for their turn, at most.\n",
		len(s.names), s.accounts, s.healthy.Round(time.Millisecond))
}
