package backend

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// Values of the label `trigger`: why a rotation happened, in classes that do not grow with what operators write.
const (
	triggerByHand    trigger = "by_hand"
	triggerSchedule  trigger = "schedule"
	triggerRejection trigger = "rejection"
)

type trigger string

// triggerOf is what the record of a rotation says. Its reason is free text, whatever that says.
func triggerOf(scheduled, healing bool) trigger {
	switch {
	case healing:
		return triggerRejection
	case scheduled:
		return triggerSchedule
	}
	return triggerByHand
}

// processFamilies are what is told of the plugin's process, out of all that the collectors know.
var processFamilies = []string{
	"adtokens_go_gc_heap_live_bytes",
	"adtokens_go_goroutines",
	"adtokens_process_cpu_seconds_total",
	"adtokens_process_open_fds",
	"adtokens_process_resident_memory_bytes",
	"adtokens_process_start_time_seconds",
}

// process are the metrics of the plugin's process. All its mounts share it, and tell the same.
var process = sync.OnceValue(func() prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	prometheus.WrapRegistererWithPrefix("adtokens_", registry).MustRegister(
		collectors.NewGoCollector(
			collectors.WithGoCollectorMemStatsMetricsDisabled(),
			collectors.WithoutGoCollectorRuntimeMetrics(collectors.MetricsAll.Matcher),
			collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/gc/heap/live:bytes$")}),
		),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := registry.Gather()
		return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return !slices.Contains(processFamilies, f.GetName()) }), err
	})
})

// metrics are counted by this process since it started. What is known of tokens is added at each reading.
type metrics struct {
	registry  *prometheus.Registry
	rotations *prometheus.CounterVec
	calls     *prometheus.HistogramVec
	messages  *prometheus.CounterVec
	reports   *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "adtokens_rotations_total", Help: "Rotations since the plugin process started.",
		}, []string{"source", "trigger", "outcome"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "adtokens_provider_request_duration_seconds", Help: "Requests to providers and reset hooks, from sending to the answer's headers.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}, []string{"provider", "result"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "adtokens_notifications_total",
			Help: "Messages of notifications since the plugin process started: sent, tries that failed, and dropped.",
		}, []string{"notification", "outcome"}),
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "adtokens_reports_total", Help: "Reports of apps that a value was refused, since the plugin process started, by what was found.",
		}, []string{"outcome"}),
	}
	for _, outcome := range []string{outcomeOutdated, string(provider.Accepted), string(provider.Rejected), string(provider.Inconclusive)} {
		m.reports.WithLabelValues(outcome) // so that the first one is an increase
	}
	m.registry.MustRegister(m.rotations, m.calls, m.reports, m.messages)
	return m
}

// rotated counts a rotation that was published, refused by the provider, or failed.
func (m *metrics) rotated(source rotation.Source, by trigger, outcome string) {
	m.rotations.WithLabelValues(string(source), string(by), outcome).Inc()
}

// reported counts a report of an app.
func (m *metrics) reported(outcome string) { m.reports.WithLabelValues(outcome).Inc() }

// observe measures the requests of a client.
func (m *metrics) observe(name string, client *http.Client) *http.Client {
	client.Transport = measured{RoundTripper: client.Transport, calls: m.calls, provider: name}
	return client
}

type measured struct {
	http.RoundTripper
	calls    *prometheus.HistogramVec
	provider string
}

func (t measured) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	response, err := t.RoundTripper.RoundTrip(r)
	t.calls.WithLabelValues(t.provider, resultClass(response, err)).Observe(time.Since(start).Seconds())
	return response, err
}

// CloseIdleConnections is what http.Client's method of this name looks for.
func (t measured) CloseIdleConnections() {
	if pool, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		pool.CloseIdleConnections()
	}
}

func resultClass(response *http.Response, err error) string {
	switch {
	case err != nil:
		return "no_answer"
	case response.StatusCode == http.StatusTooManyRequests:
		return "rate_limited"
	default:
		return fmt.Sprintf("%dxx", response.StatusCode/100)
	}
}

// openMetricsFormat is the text format of OpenMetrics 1.0.
var openMetricsFormat = expfmt.NewFormat(expfmt.TypeOpenMetrics)

// outcomeOutdated is the outcome of a report of a value that is not the current one.
const outcomeOutdated = "outdated"

// outcomeFailed stands for a rotation that was not published, in metrics.
const outcomeFailed = "failed"
