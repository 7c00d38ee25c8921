//go:build unix

package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// keep appends a benchmark's result as a line of JSON to the file that ADTOKENS_BENCH_JSON names, if it does.
func keep(tb testing.TB, benchmark string, result any) {
	tb.Helper()
	name := os.Getenv("ADTOKENS_BENCH_JSON")
	if name == "" {
		return
	}
	line, err := json.Marshal(struct {
		Benchmark string    `json:"benchmark"`
		At        time.Time `json:"at"`
		Machine   machine   `json:"machine"`
		Result    any       `json:"result"`
	}{benchmark, time.Now().UTC().Truncate(time.Second), thisMachine(), result})
	if err != nil {
		tb.Fatal(err)
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		tb.Fatalf("keeping the result: %v", err)
	}
	defer file.Close()
	if _, err := fmt.Fprintf(file, "%s\n", line); err != nil {
		tb.Fatalf("keeping the result: %v", err)
	}
}

// machine is what a result depends on.
type machine struct {
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
	OS    string `json:"os"`
	Go    string `json:"go"`
}

func thisMachine() machine {
	m := machine{CPU: "unknown", Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil { // Linux
		if _, rest, ok := strings.Cut(string(info), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			m.CPU = strings.TrimSpace(strings.TrimLeft(line, "\t :"))
		}
	}
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("%d cores of %s, %s, %s", m.Cores, m.CPU, m.OS, m.Go)
}

// userHZ is in what unit Linux tells programs about processor time, whatever its own clock is.
const userHZ = 100

// processorTime is what a process has used so far; 0 where there is no /proc.
func processorTime(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field is the program's name in parentheses, which may hold spaces.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / userHZ
}

// load is what the machine's processors have done so far, together.
type load struct{ busy, stolen time.Duration }

func machineLoad() load {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return load{}
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	var l load
	for i, field := range strings.Fields(line)[1:] {
		ticks, _ := strconv.Atoi(field)
		took := time.Duration(ticks) * time.Second / userHZ
		switch i {
		case 3, 4, 8, 9: // idle, waiting for I/O; guests are in user time already
		case 7:
			l.stolen += took
		default:
			l.busy += took
		}
	}
	return l
}

// quantile is the value below which a share of the sorted values is.
func quantile[T any](sorted []T, share float64) T {
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*share))]
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
