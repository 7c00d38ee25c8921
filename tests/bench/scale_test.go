//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

const (
	// fewTokens are those of the small mount to compare with.
	fewTokens        = 100
	tokensPerAccount = 100
)

// scaleRow is what a mount of so many tokens does. Times are in milliseconds, and the slowest of all rounds.
type scaleRow struct {
	Tokens int `json:"tokens"`
	// FirstRead is from the kill of the plugin to the first value, and UnsealRead from the unsealing.
	FirstRead  float64 `json:"first_read_ms"`
	UnsealRead float64 `json:"first_read_after_unseal_ms"`
	// Loaded is from the kill of the plugin until all tokens are in memory.
	Loaded float64 `json:"loaded_ms"`
	// Loading and After are the slowest answers while the background loads the tokens, and after it, by request.
	Loading map[string]float64 `json:"while_loading_ms"`
	After   map[string]float64 `json:"after_loading_ms"`
	// LoadingReads and QuietReads are the 99th percentiles of reads of one token at the same times.
	LoadingReads float64 `json:"read_p99_while_loading_ms"`
	QuietReads   float64 `json:"read_p99_after_loading_ms"`
	// BytesPerToken is how much larger the plugin's resident memory is than the small mount's, for each further token.
	BytesPerToken float64 `json:"resident_bytes_per_token"`
	resident      int
}

// overviews are the requests for many tokens, in the order of the table.
var overviews = []string{"status", "list", "a page of the list", "metrics"}

// BenchmarkScale kills the plugin, and seals Vault, beneath a small mount and a large one (raft storage, file audit device).
//
//	go test -run='^$' -bench='^BenchmarkScale$' -benchtime=1x -timeout=30m ./tests/bench
//
// ADTOKENS_BENCH_TOKENS is how many tokens the large mount has (100,000), 100 for each account.
func BenchmarkScale(b *testing.B) {
	rows := []*scaleRow{{Tokens: fewTokens}, {Tokens: fromEnvironment("ADTOKENS_BENCH_TOKENS", 100_000)}}
	mounts := make([]*vaulttest.Mount, len(rows))
	for i, row := range rows {
		row.Loading, row.After = map[string]float64{}, map[string]float64{}
		mounts[i] = vaulttest.StartQuietRaft(b).Mount(b) // each with a server, and so a plugin process, of its own
		start := time.Now()
		fillTokens(b, mounts[i], row.Tokens)
		fmt.Printf("%d tokens were written in %s\n", row.Tokens, time.Since(start).Round(time.Millisecond))
	}
	for b.Loop() {
		for i, row := range rows {
			row.measure(b, mounts[i])
		}
	}
	small, large := rows[0], rows[1]
	large.BytesPerToken = float64(large.resident-small.resident) / float64(large.Tokens-small.Tokens)
	printScale(b, rows)
	keep(b, "scale", map[string]any{"rounds": b.N, "rows": rows})
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(large.FirstRead, "ms/first-read")
	b.ReportMetric(large.BytesPerToken, "B/token")
}

// fillTokens writes tokens with a credential each that no provider is asked about.
func fillTokens(b *testing.B, m *vaulttest.Mount, tokens int) {
	b.Helper()
	account := func(i int) string { return fmt.Sprintf("account-%04d", i) }
	writeAll(b, m, (tokens+tokensPerAccount-1)/tokensPerAccount, func(i int) (string, map[string]any) {
		return "config/" + account(i), map[string]any{
			"provider": "impact", "account_type": "agency", "base_url": "http://127.0.0.1:1", "contact_email": "ads-api@acme.example", "verify_connection": false,
		}
	})
	writeAll(b, m, tokens, func(i int) (string, map[string]any) {
		return "tokens/" + scaleToken(i), map[string]any{
			"account": account(i / tokensPerAccount), "type": "legacy_read_write", "verify": false, "rotation_period": "2160h", "verify_period": 0,
			"account_sid": fmt.Sprintf("IRscale%027d", i), "auth_token": fmt.Sprintf("bench-auth-token-%015d", i),
		}
	})
}

// writeAll makes that many writes, several at a time.
func writeAll(b *testing.B, m *vaulttest.Mount, count int, one func(i int) (path string, data map[string]any)) {
	b.Helper()
	doAll(b, count, func(i int) error {
		path, data := one(i)
		_, err := m.Write(b.Context(), path, data)
		return err
	})
}

// doAll does something for every number below count, several at a time.
func doAll(b *testing.B, count int, one func(i int) error) {
	b.Helper()
	const workers = 16
	var (
		next   atomic.Int64
		wg     sync.WaitGroup
		failed = make(chan error, workers)
	)
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
				if err := one(i); err != nil {
					failed <- fmt.Errorf("number %d: %w", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	if err := <-failed; err != nil {
		vaulttest.Fatalf(b, "%v", err)
	}
}

func scaleToken(i int) string { return fmt.Sprintf("token-%06d", i) }

// measure takes a round. The mount's plugin was filled, or measured, before.
func (r *scaleRow) measure(b *testing.B, m *vaulttest.Mount) {
	b.Helper()
	m.Seal(b)
	start := time.Now()
	m.Unseal(b)
	r.UnsealRead = max(r.UnsealRead, r.firstRead(b, m, start))

	m.KillPlugins(b)
	start = time.Now()
	r.FirstRead = max(r.FirstRead, r.firstRead(b, m, start))
	r.askAll(b, m, r.Loading)
	var loading []time.Duration
	for cached(b, m) < r.Tokens { // asking that often would slow the loading down
		if time.Since(start) > 5*time.Minute {
			b.Fatalf("%d of %d tokens are in memory after 5 minutes", cached(b, m), r.Tokens)
		}
		loading = append(loading, r.reads(b, m, min(time.Second, time.Since(start)))...) // a small mount is soon done
	}
	r.Loaded = max(r.Loaded, milliseconds(time.Since(start)))
	if len(loading) > 0 { // else it was over at once
		slices.Sort(loading)
		r.LoadingReads = max(r.LoadingReads, milliseconds(quantile(loading, .99)))
	}
	quiet := r.reads(b, m, 3*time.Second)
	slices.Sort(quiet)
	r.QuietReads = max(r.QuietReads, milliseconds(quantile(quiet, .99)))
	for range 3 {
		r.askAll(b, m, r.After)
	}
	resident := 0
	for _, pid := range m.PluginProcesses(b) {
		resident += residentMemory(b, pid)
	}
	r.resident = max(r.resident, resident)
}

// firstRead reads the last token, which the background comes to last, until there is an answer.
func (r *scaleRow) firstRead(b *testing.B, m *vaulttest.Mount, start time.Time) float64 {
	b.Helper()
	var err error
	for time.Since(start) < time.Minute {
		if _, err = m.Read(b.Context(), "creds/"+scaleToken(r.Tokens-1)); err == nil {
			return milliseconds(time.Since(start))
		}
		time.Sleep(5 * time.Millisecond)
	}
	vaulttest.Fatalf(b, "there is no read within a minute: %v", err)
	return 0
}

// reads reads the last token for a while, at a pace that leaves the machine time for other work, and returns how long each
// took.
func (r *scaleRow) reads(b *testing.B, m *vaulttest.Mount, lasting time.Duration) (took []time.Duration) {
	b.Helper()
	for end := time.Now().Add(lasting); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		start := time.Now()
		if _, err := m.Read(b.Context(), "creds/"+scaleToken(r.Tokens-1)); err != nil {
			vaulttest.Fatalf(b, "%v", err)
		}
		took = append(took, time.Since(start))
	}
	return took
}

// askAll makes each request and keeps the slowest answers.
func (r *scaleRow) askAll(b *testing.B, m *vaulttest.Mount, slowest map[string]float64) {
	b.Helper()
	ask := map[string]func(context.Context) error{
		"status":  func(ctx context.Context) error { _, err := m.Read(ctx, "status"); return err },
		"list":    func(ctx context.Context) error { _, err := m.List(ctx, "tokens"); return err },
		"metrics": func(ctx context.Context) error { _, err := readMetrics(ctx, m); return err },
		"a page of the list": func(ctx context.Context) error {
			page := url.Values{"list": {"true"}, "after": {scaleToken(r.Tokens / 2)}, "limit": {"10"}}
			secret, err := m.Client.Logical().ReadWithDataWithContext(ctx, m.Path+"/tokens", page)
			if err == nil && len(secret.Data["keys"].([]any)) != 10 {
				err = errors.New("the page has not 10 tokens")
			}
			return err
		},
	}
	for _, name := range overviews {
		start := time.Now()
		if err := ask[name](b.Context()); err != nil {
			vaulttest.Fatalf(b, "%s: %v", name, err)
		}
		slowest[name] = max(slowest[name], milliseconds(time.Since(start)))
	}
}

// cached is how many tokens the plugin has in memory.
func cached(b *testing.B, m *vaulttest.Mount) int {
	b.Helper()
	metrics, err := readMetrics(b.Context(), m)
	if err != nil {
		vaulttest.Fatalf(b, "reading the metrics: %v", err)
	}
	for line := range strings.Lines(metrics) {
		if value, ok := strings.CutPrefix(line, `adtokens_cache_entries{cache="tokens"} `); ok {
			count, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				b.Fatalf("the metrics have %q", line)
			}
			return int(count)
		}
	}
	b.Fatal("the metrics do not count the cached tokens")
	return 0
}

func readMetrics(ctx context.Context, m *vaulttest.Mount) (string, error) {
	response, err := m.Client.Logical().ReadRawWithContext(ctx, m.Path+"/metrics")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// residentMemory is the process's, in bytes.
func residentMemory(b *testing.B, pid int) int {
	b.Helper()
	fields, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(fields))[1])
	if err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func printScale(b *testing.B, rows []*scaleRow) {
	b.Helper()
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Printf("\nScale: the slowest of %d rounds, in ms, on %s\n\n", b.N, thisMachine())
	fmt.Fprintln(out, "tokens\tunseal to read\tkill to read\tkill to all in memory\tp99 of reads\t"+strings.Join(overviews, "\t")+"\tB/token\t")
	for _, r := range rows {
		fmt.Fprintf(out, "%d\t%.0f\t%.0f\t%.0f\t%.1f, %.1f\t", r.Tokens, r.UnsealRead, r.FirstRead, r.Loaded, r.LoadingReads, r.QuietReads)
		for _, name := range overviews {
			fmt.Fprintf(out, "%.0f, %.0f\t", r.Loading[name], r.After[name])
		}
		fmt.Fprintf(out, "%.0f\t\n", r.BytesPerToken)
	}
	if err := out.Flush(); err != nil {
		b.Fatal(err)
	}
	fmt.Println("\nAnswers of two numbers: while the tokens are loaded, and after.")
}
