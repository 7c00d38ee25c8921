//go:build unix

package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// subject is a path to read, and the plugin behind it.
type subject struct {
	name, path string
	// plugin is the name of its process; empty where Vault itself answers.
	plugin string
}

// The subjects, in the order of the table. noop is the measure of all.
const (
	noop          = "no-op plugin"
	noopOld       = "no-op plugin, Callbacks"
	creds         = "creds/<name>"
	accessToken   = "access-token/<name>"
	declaredToken = "access-token/<name>, declared"
	kvBuiltIn     = "KV v2, built in"
	kvExternal    = "KV v2, external plugin"
	earlierCreds  = "creds/<name>, earlier"
)

// earlier is the name of the plugin that ADTOKENS_BENCH_EARLIER names.
const earlier = "earlier"

var connectionCounts = []int{1, 16, 64}

// readSample is one run.
type readSample struct {
	requests int
	took     time.Duration
	// latencies are sorted.
	latencies            []time.Duration
	vaultTime, pluginCPU time.Duration
	// others is what processes did meanwhile that have nothing to do with it, as a share of one core.
	others float64
}

func (s readSample) rate() float64 { return float64(s.requests) / s.took.Seconds() }

func (s readSample) perRequest(d time.Duration) float64 {
	return float64(d.Microseconds()) / float64(s.requests)
}

// BenchmarkReads reads credentials from a real Vault (raft storage, file audit device, root token), and in turn what there
// is to compare with: a plugin that does nothing, KV v2 inside Vault, and KV v2 as a plugin. Each round visits every
// subject at every number of connections, each time beginning with another one; ratios are taken within a round.
//
//	go test -run='^$' -bench='^BenchmarkReads$' -benchtime=5x -timeout=30m ./tests/bench
//
// ADTOKENS_BENCH_SECONDS is how long one run takes (3). ADTOKENS_BENCH_EARLIER is the directory of another commit, relative to this one,
// whose plugin is then read in the same rounds: `git worktree add ../before COMMIT` makes one.
func BenchmarkReads(b *testing.B) {
	server := vaulttest.StartQuietRaft(b)
	subjects := readSubjects(b, server)
	duration := time.Duration(fromEnvironment("ADTOKENS_BENCH_SECONDS", 3)) * time.Second
	bench := &readBench{server: server, subjects: subjects, samples: map[string]map[int][]readSample{}}
	for _, s := range subjects {
		bench.samples[s.name] = map[int][]readSample{}
		bench.run(b, s, 16, time.Second) // warms caches and connections up
	}
	bench.before = machineLoad()
	for round := 0; b.Loop(); round++ {
		for _, connections := range connectionCounts {
			for i := range subjects {
				s := subjects[(i+round)%len(subjects)]
				bench.samples[s.name][connections] = append(bench.samples[s.name][connections], bench.run(b, s, connections, duration))
			}
		}
	}
	rows := bench.rows()
	bench.print(b, rows, duration)
	keep(b, "reads", map[string]any{"seconds": duration.Seconds(), "rounds": b.N, "rows": rows})
	b.ReportMetric(0, "ns/op")
	for _, r := range rows {
		if r.Subject == creds {
			b.ReportMetric(r.Ratio, fmt.Sprintf("×noop-%d", r.Connections))
			b.ReportMetric(r.KVBuiltIn, fmt.Sprintf("×kv-%d", r.Connections))
			if r.Earlier > 0 {
				b.ReportMetric(r.Earlier, fmt.Sprintf("×earlier-%d", r.Connections))
			}
		}
	}
}

// readSubjects mounts everything and fills it.
func readSubjects(b *testing.B, server *vaulttest.Server) []subject {
	b.Helper()
	server.RegisterPlugin(b, "tests/bench/noop", "noop")
	server.RegisterPlugin(b, "tests/bench/kv", "kv-external")
	mount := func(path string, input *api.MountInput) {
		if err := server.Client.Sys().MountWithContext(b.Context(), path, input); err != nil {
			vaulttest.Fatalf(b, "mounting %s: %v", path, err)
		}
	}
	mount("noop", &api.MountInput{Type: "noop"})
	secret := map[string]any{"data": map[string]any{
		"account_sid": "IRq8mWJybvoQ1020978kbj7am8zzM2dBL1", "auth_token": vaulttest.Secret(b, "value in KV", "sLbDqPzVwKcRfTgYhUjMnBvCxZaSdF2L"),
		"base_url": "https://api.impact.com", "version": 1, "ttl": 60,
	}}
	mount("kv", &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}})
	mount("kv-external", &api.MountInput{Type: "kv-external"})
	for _, path := range []string{"kv", "kv-external"} {
		vaulttest.Await(b, "KV to be ready", func() bool { // it upgrades itself first
			_, err := server.Client.Logical().WriteWithContext(b.Context(), path+"/data/one", secret)
			return err == nil
		})
	}
	engine := mountTokens(b, server)
	subjects := []subject{
		{name: noop, path: "noop/creds/one", plugin: "noop"},
		{name: noopOld, path: "noop/old/one", plugin: "noop"},
		{name: creds, path: engine.Path + "/creds/rw", plugin: vaulttest.PluginName},
		{name: accessToken, path: engine.Path + "/access-token/key", plugin: vaulttest.PluginName},
		{name: declaredToken, path: engine.Path + "/access-token/pins", plugin: vaulttest.PluginName},
		{name: kvBuiltIn, path: "kv/data/one"},
		{name: kvExternal, path: "kv-external/data/one", plugin: "kv-external"},
	}
	if commit := os.Getenv("ADTOKENS_BENCH_EARLIER"); commit != "" {
		server.RegisterPlugin(b, filepath.Join(commit, "cmd", vaulttest.PluginName), earlier)
		mount(earlier, &api.MountInput{Type: earlier})
		fillImpact(b, &vaulttest.Mount{Server: server, Path: earlier, Client: server.Client}, vaulttest.StartSimulator(b))
		subjects = append(subjects, subject{name: earlierCreds, path: earlier + "/creds/rw", plugin: earlier})
	}
	return subjects
}

// mountTokens mounts the engine with a legacy token and a service account key.
func mountTokens(b *testing.B, server *vaulttest.Server) *vaulttest.Mount {
	b.Helper()
	engine := server.Mount(b)
	fill(b, engine)
	return engine
}

// fill configures accounts, with the token rw of impact.com, key of Google, and pins of a declared platform, whose refresh tokens can be
// used once.
func fill(b *testing.B, engine *vaulttest.Mount) {
	b.Helper()
	sim := vaulttest.StartSimulator(b)
	write := fillImpact(b, engine, sim)
	key, err := sim.ServiceAccountKey(b.Context(), simulator.DefaultName)
	if err != nil {
		vaulttest.Fatalf(b, "%v", err)
	}
	write("config/google", map[string]any{
		"provider": "google_ads", "base_url": sim.GoogleURL, "token_url": sim.GoogleURL + "/token", "iam_url": sim.GoogleURL,
		"contact_email": "ads-api@acme.example", "login_customer_id": "1234567890",
	})
	write("tokens/key", map[string]any{"account": "google", "type": "service_account_key", "service_account_key": string(key)})
	platform := sim.Platform("pinterest_ads")
	token := map[string]any{"account": "pinterest", "type": "oauth_client"}
	for field, value := range platform.Make(b, "oauth_client", "pins").Fields(b) {
		token[field] = value
	}
	write("config/pinterest", map[string]any{"provider": "pinterest_ads", "base_url": platform.URL})
	write("tokens/pins", token)
}

// fillImpact makes the token rw, and returns what it has written with.
func fillImpact(b *testing.B, engine *vaulttest.Mount, sim *vaulttest.Simulator) (write func(path string, data map[string]any)) {
	b.Helper()
	credentials, err := sim.ImpactCredentials(b.Context(), "agency")
	if err != nil {
		vaulttest.Fatalf(b, "%v", err)
	}
	write = func(path string, data map[string]any) {
		if _, err := engine.Write(b.Context(), path, data); err != nil {
			vaulttest.Fatalf(b, "writing %s: %v", path, err)
		}
	}
	write("config/agency", map[string]any{
		"provider": "impact", "account_type": "agency", "base_url": sim.ImpactURL, "contact_email": "ads-api@acme.example",
	})
	write("tokens/rw", map[string]any{
		"account": "agency", "type": "legacy_read_write",
		"account_sid": credentials.ReadWrite.AccountSID, "auth_token": credentials.ReadWrite.AuthToken,
	})
	return write
}

// readBench is a benchmark of reads under way.
type readBench struct {
	server   *vaulttest.Server
	subjects []subject
	// samples are by subject and number of connections, a round each.
	samples map[string]map[int][]readSample
	before  load
}

// pluginProcess is the id of the process that runs the program; 0 where there is none.
func pluginProcess(tb testing.TB, server *vaulttest.Server, program string) (id int) {
	tb.Helper()
	for _, pid := range server.PluginProcesses(tb) {
		if path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && filepath.Base(path) == program {
			id = pid
		}
	}
	return id
}

// run reads one path as fast as the connections allow.
func (r *readBench) run(tb testing.TB, s subject, connections int, duration time.Duration) readSample {
	tb.Helper()
	pluginPID := pluginProcess(tb, r.server, s.plugin)
	all, vault, plugin, self := machineLoad(), processorTime(r.server.PID()), processorTime(pluginPID), processorTime(os.Getpid())
	sample := readSample{}
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		errs error
	)
	started := time.Now()
	for range connections {
		wg.Go(func() {
			latencies, err := readUntil(r.server, s.path, started.Add(duration))
			mu.Lock()
			defer mu.Unlock()
			sample.latencies, errs = append(sample.latencies, latencies...), errors.Join(errs, err)
		})
	}
	wg.Wait()
	if errs != nil {
		vaulttest.Fatalf(tb, "reading %s: %v", s.path, errs)
	}
	sample.took, sample.requests = time.Since(started), len(sample.latencies)
	sample.vaultTime, sample.pluginCPU = processorTime(r.server.PID())-vault, processorTime(pluginPID)-plugin
	ours := sample.vaultTime + sample.pluginCPU + processorTime(os.Getpid()) - self
	sample.others = max(0, (machineLoad().busy-all.busy-ours).Seconds()/sample.took.Seconds())
	slices.Sort(sample.latencies)
	return sample
}

// connection is one to Vault, of its root. net/http's client would take more of the machine than what is measured.
type connection struct {
	net.Conn
	answers *bufio.Reader
	header  string
}

func connect(server *vaulttest.Server) (*connection, error) {
	address := strings.TrimPrefix(server.Address, "http://")
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	header := fmt.Sprintf("Host: %s\r\nX-Vault-Token: %s\r\nX-Vault-Request: true\r\n\r\n", address, server.Token)
	return &connection{Conn: c, answers: bufio.NewReader(c), header: header}, nil
}

// request is what get sends for a path.
func (c *connection) request(path string) []byte {
	return []byte("GET /v1/" + path + " HTTP/1.1\r\n" + c.header)
}

// get sends a request and copies the answer's body, which is an error unless its status is 200.
func (c *connection) get(request []byte, to io.Writer) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %s", response.Status)
	}
	return nil
}

// readUntil reads a path on a connection of its own, again and again.
func readUntil(server *vaulttest.Server, path string, end time.Time) ([]time.Duration, error) {
	c, err := connect(server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	request := c.request(path)
	var latencies []time.Duration
	for now := time.Now(); now.Before(end); {
		if err := c.get(request, io.Discard); err != nil {
			return nil, err
		}
		done := time.Now()
		latencies, now = append(latencies, done.Sub(now)), done
	}
	return latencies, nil
}

// readRow is a line of the table: medians of all rounds.
type readRow struct {
	Subject     string  `json:"subject"`
	Connections int     `json:"connections"`
	Rate        float64 `json:"requests_per_second"`
	// Ratio is Rate relative to the no-op plugin's in the same round, between Lowest and Highest.
	Ratio   float64 `json:"times_noop"`
	Lowest  float64 `json:"times_noop_lowest"`
	Highest float64 `json:"times_noop_highest"`
	// KVBuiltIn and KVExternal are Rate relative to theirs, in the same way.
	KVBuiltIn  float64 `json:"times_kv_built_in"`
	KVExternal float64 `json:"times_kv_external"`
	// Earlier is Rate relative to that of the earlier plugin's creds/<name>; 0 where there is none.
	Earlier float64 `json:"times_earlier,omitempty"`
	// In microseconds.
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	VaultCPU  float64 `json:"vault_cpu_us"`
	PluginCPU float64 `json:"plugin_cpu_us"`
	// Others is what unrelated processes did, in cores.
	Others float64 `json:"others_cores"`
	// Rates are those of the rounds.
	Rates []float64 `json:"rates"`
}

func (r *readBench) rows() []readRow {
	var rows []readRow
	for _, connections := range connectionCounts {
		for _, s := range r.subjects {
			samples := r.samples[s.name][connections]
			of := func(value func(readSample) float64) []float64 {
				values := make([]float64, len(samples))
				for i, sample := range samples {
					values[i] = value(sample)
				}
				return values
			}
			rates := of(readSample.rate)
			relativeTo := func(subject string) []float64 {
				ratios := make([]float64, len(rates))
				for i, rate := range rates {
					ratios[i] = rate / r.samples[subject][connections][i].rate()
				}
				return ratios
			}
			ratios, against := relativeTo(noop), 0.
			if _, there := r.samples[earlierCreds]; there {
				against = median(relativeTo(earlierCreds))
			}
			rows = append(rows, readRow{
				Subject: s.name, Connections: connections, Rates: rates, Rate: median(rates),
				Ratio: median(ratios), Lowest: slices.Min(ratios), Highest: slices.Max(ratios),
				KVBuiltIn: median(relativeTo(kvBuiltIn)), KVExternal: median(relativeTo(kvExternal)), Earlier: against,
				P50:       median(of(func(s readSample) float64 { return float64(quantile(s.latencies, .5).Microseconds()) })),
				P99:       median(of(func(s readSample) float64 { return float64(quantile(s.latencies, .99).Microseconds()) })),
				VaultCPU:  median(of(func(s readSample) float64 { return s.perRequest(s.vaultTime) })),
				PluginCPU: median(of(func(s readSample) float64 { return s.perRequest(s.pluginCPU) })),
				Others:    median(of(func(s readSample) float64 { return s.others })),
			})
		}
	}
	return rows
}

func (r *readBench) print(tb testing.TB, rows []readRow, duration time.Duration) {
	tb.Helper()
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Printf("\nReads: medians of %d rounds of %s, on %s\n\n", len(rows[0].Rates), duration, thisMachine())
	fmt.Fprintln(out, "connections\treads\treq/s\t× no-op\tlowest to highest\t× KV built in\t× KV external\tp50 µs\tp99 µs\tCPU Vault µs\tCPU plugin µs\t")
	var spread, others float64
	for _, row := range rows {
		fmt.Fprintf(out, "%d\t%s\t%.0f\t%.2f\t%.2f to %.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t\n", row.Connections, row.Subject, row.Rate,
			row.Ratio, row.Lowest, row.Highest, row.KVBuiltIn, row.KVExternal, row.P50, row.P99, row.VaultCPU, row.PluginCPU)
		if row.Subject == noop {
			spread = max(spread, (slices.Max(row.Rates)-slices.Min(row.Rates))/row.Rate)
		}
		others = max(others, row.Others)
	}
	if err := out.Flush(); err != nil {
		tb.Fatal(err)
	}
	now := machineLoad()
	fmt.Printf("\nNoise: the no-op plugin's rate varied by up to %.0f %% between rounds; unrelated processes used up to %.2f cores (median of a line);\n"+
		"the hypervisor took %.1f s.\n\n", 100*spread, others, (now.stolen - r.before.stolen).Seconds())
}
