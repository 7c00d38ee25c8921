//go:build unix

package bench

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/pprof/profile"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// share is a part of the work. A sample belongs to the first share that has a function of its stack.
type share struct {
	name string
	// functions are beginnings of names, with the package's path.
	functions []string
}

// shares are in the order in which a stack is looked through, for both processes.
var shares = []share{
	{"system calls", []string{"internal/runtime/syscall.", "syscall.Syscall", "syscall.RawSyscall", "syscall.syscall"}},
	{"garbage collection", []string{"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart", "runtime.(*mheap).reclaim"}},
	{"switching between goroutines", []string{"runtime.mcall", "runtime.schedule", "runtime.findRunnable", "runtime.sysmon", "runtime.mstart", "runtime.goready", "runtime.wakep", "runtime.ready", "runtime.notewakeup", "runtime.futex"}},
	{"the engine", []string{"github.com/adtokens/vault-plugin-secrets-adtokens/backend."}},
	{"audit", []string{"github.com/hashicorp/vault/audit.", "github.com/hashicorp/vault/vault.(*AuditBroker)", "github.com/hashicorp/eventlogger."}},
	{"TLS", []string{"crypto/tls."}},
	{"protobuf", []string{"google.golang.org/protobuf/"}},
	{"gRPC and HTTP/2", []string{"google.golang.org/grpc", "golang.org/x/net/http2"}},
	{"the sdk's conversions", []string{"github.com/hashicorp/vault/sdk/plugin"}},
	{"KV", []string{"github.com/hashicorp/vault-plugin-secrets-kv."}},
	{"storage", []string{"github.com/hashicorp/vault/vault/barrier.", "github.com/hashicorp/vault/vault.(*AESGCMBarrier)", "github.com/hashicorp/vault/physical/"}},
	{"Vault's core: tokens, policies, routing", []string{"github.com/hashicorp/vault/vault."}},
	{"Vault's HTTP handlers", []string{"github.com/hashicorp/vault/http."}},
	{"HTTP", []string{"net/http."}},
}

const otherWork = "else"

// profiledProgram is the build of the plugin that can be profiled.
const profiledProgram = "profiled"

// profiled is what one process did for the reads of one subject.
type profiled struct {
	Process string `json:"process"`
	Subject string `json:"subject"`
	// Shares are microseconds per read.
	Shares map[string]float64 `json:"us_per_read"`
}

// BenchmarkProfile tells where the processor time of a read goes, in Vault and in the plugin, with 64 connections; beside it
// that of KV v2 inside Vault. It writes the stacks for a flame graph, too, a line each with its nanoseconds per read: into the
// directory that ADTOKENS_BENCH_STACKS names.
//
//	go test -run='^$' -bench='^BenchmarkProfile$' -benchtime=1x ./tests/bench
func BenchmarkProfile(b *testing.B) {
	file := filepath.Join(b.TempDir(), "plugin.pprof")
	server := vaulttest.StartQuietRaft(b)
	server.Replace(b, vaulttest.BuildPlugin(b, profiledProgram, "-tags", "profile"), "ADTOKENS_PROFILE="+file)
	bench := &readBench{server: server}
	subjects := readSubjects(b, server)
	duration := time.Duration(fromEnvironment("ADTOKENS_BENCH_SECONDS", 10)) * time.Second
	var all []profiled
	for b.Loop() {
		all = nil
		for _, name := range []string{creds, kvBuiltIn} {
			s := subjects[slices.IndexFunc(subjects, func(s subject) bool { return s.name == name })]
			bench.run(b, s, 64, time.Second)
			all = append(all, bench.profile(b, s, file, duration)...)
		}
	}
	printShares(b, all)
	keep(b, "profile", all)
	b.ReportMetric(0, "ns/op")
}

// profile reads one subject, with a profile of Vault, and of the plugin if the subject is the engine's.
func (r *readBench) profile(b *testing.B, s subject, file string, duration time.Duration) []profiled {
	b.Helper()
	signal := func() {
		if s.plugin == "" {
			return
		}
		pid := pluginProcess(b, r.server, profiledProgram)
		if pid == 0 {
			b.Fatal("the plugin does not run")
		}
		if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
			b.Fatal(err)
		}
	}
	type answer struct {
		profile []byte
		err     error
	}
	vault := make(chan answer, 1)
	signal()
	go func() {
		seconds := url.Values{"seconds": {strconv.Itoa(int(duration.Seconds()))}}
		response, err := r.server.Client.Logical().ReadRawWithDataWithContext(b.Context(), "sys/pprof/profile", seconds)
		if err != nil {
			vault <- answer{err: err}
			return
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		vault <- answer{content, err}
	}()
	sample := r.run(b, s, 64, duration)
	signal()
	got := <-vault
	if got.err != nil {
		vaulttest.Fatalf(b, "profiling Vault: %v", got.err)
	}
	all := []profiled{summarize(b, "Vault", s.name, got.profile, sample.requests)}
	if s.plugin == "" {
		return all
	}
	var content []byte
	vaulttest.Await(b, "the plugin's profile", func() bool {
		var err error
		content, err = os.ReadFile(file)
		return err == nil
	})
	return append(all, summarize(b, "plugin", s.name, content, sample.requests))
}

// summarize adds a profile's samples up.
func summarize(b *testing.B, process, subject string, content []byte, reads int) profiled {
	b.Helper()
	p, err := profile.Parse(bytes.NewReader(content))
	if err != nil {
		b.Fatalf("reading the profile of %s: %v", process, err)
	}
	result := profiled{Process: process, Subject: subject, Shares: map[string]float64{}}
	stacks := map[string]float64{}
	for _, sample := range p.Sample {
		perRead := float64(sample.Value[len(sample.Value)-1]) / 1000 / float64(reads) // ns
		stack := functions(sample)
		result.Shares[shareOf(stack)] += perRead
		stacks[strings.Join(packages(stack), ";")] += 1000 * perRead
	}
	writeStacks(b, result, stacks)
	return result
}

// functions are the names of a sample's stack, from the outermost inwards.
func functions(sample *profile.Sample) []string {
	var names []string
	for _, location := range sample.Location {
		for _, line := range location.Line {
			names = append(names, line.Function.Name)
		}
	}
	slices.Reverse(names)
	return names
}

// packages are where the functions of a stack are from. Neighbours from the same package are one.
func packages(stack []string) []string {
	paths := make([]string, len(stack))
	for i, function := range stack {
		dir, name := path.Split(function)
		pkg, _, _ := strings.Cut(name, ".")
		paths[i] = dir + pkg
	}
	return slices.Compact(paths)
}

func shareOf(stack []string) string {
	for _, s := range shares {
		if slices.ContainsFunc(stack, func(function string) bool {
			return slices.ContainsFunc(s.functions, func(start string) bool { return strings.HasPrefix(function, start) })
		}) {
			return s.name
		}
	}
	return otherWork
}

// leastTime is in nanoseconds per read: a thousandth of it all is too thin to be seen.
const leastTime = 300

// writeStacks writes them in the form that programs for flame graphs read.
func writeStacks(b *testing.B, p profiled, stacks map[string]float64) {
	b.Helper()
	dir := os.Getenv("ADTOKENS_BENCH_STACKS")
	if dir == "" {
		return
	}
	var text strings.Builder
	for _, stack := range slices.Sorted(func(yield func(string) bool) {
		for stack, time := range stacks {
			if time >= leastTime && !yield(stack) {
				return
			}
		}
	}) {
		fmt.Fprintf(&text, "%s %.0f\n", stack, stacks[stack])
	}
	name := strings.ToLower(p.Process) + "-" + map[string]string{creds: "creds", kvBuiltIn: "kv"}[p.Subject] + ".folded"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
}

func printShares(b *testing.B, all []profiled) {
	b.Helper()
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Printf("\nProfile: processor time in µs per read, 64 connections, on %s\n\n", thisMachine())
	rows := append(slices.Clone(shares), share{name: otherWork})
	sum := make([]float64, len(all))
	for _, p := range all {
		fmt.Fprintf(out, "\t%s: %s", p.Subject, p.Process)
	}
	fmt.Fprintln(out, "\t")
	for _, row := range rows {
		fmt.Fprint(out, row.name)
		for i, p := range all {
			sum[i] += p.Shares[row.name]
			fmt.Fprintf(out, "\t%.1f", p.Shares[row.name])
		}
		fmt.Fprintln(out, "\t")
	}
	fmt.Fprint(out, "together")
	for i := range all {
		fmt.Fprintf(out, "\t%.1f", sum[i])
	}
	fmt.Fprintln(out, "\t")
	if err := out.Flush(); err != nil {
		b.Fatal(err)
	}
	fmt.Println()
}
