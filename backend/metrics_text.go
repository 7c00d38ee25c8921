package backend

import (
	"bytes"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// text renders the counters and a snapshot.
func (m *metrics) text(s *snapshot) ([]byte, error) {
	states := prometheus.NewRegistry()
	if err := states.Register(s); err != nil {
		return nil, fmt.Errorf("collecting metrics: %w", err)
	}
	families, err := prometheus.Gatherers{m.registry, states, process()}.Gather()
	if err != nil {
		return nil, fmt.Errorf("collecting metrics: %w", err)
	}
	var text bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToOpenMetrics(&text, family); err != nil {
			return nil, fmt.Errorf("writing metrics: %w", err)
		}
	}
	if _, err := expfmt.FinalizeOpenMetrics(&text); err != nil {
		return nil, fmt.Errorf("writing metrics: %w", err)
	}
	return text.Bytes(), nil
}

// maxTokenSeries bounds how many tokens have series of their own, in the order of their names. The others are counted.
const maxTokenSeries = 1000

// tokenSeries describe the state of tokens.
var (
	descAge       = tokenDesc("age_seconds", "Time since the current credential was published.")
	descVersion   = tokenDesc("version", "Number of the current credential, 0 where there is none.")
	descHealth    = tokenDesc("health", "1 for what is known about the current credential; unlike the last outcome, silence does not change it.", "health")
	descOutcome   = tokenDesc("last_verification_outcome", "1 for the outcome of the last verification.", "outcome")
	descVerified  = tokenDesc("last_verification_timestamp_seconds", "When the provider was last asked about the current credential.")
	descNext      = tokenDesc("next_rotation_timestamp_seconds", "When the policy wants the current credential replaced.")
	descExpiry    = tokenDesc("expiry_timestamp_seconds", "When the current credential ends by itself.")
	descOverdue   = tokenDesc("overdue", "1 where that time has passed.")
	descInFlight  = tokenDesc("rotation_in_flight", "1 where an automatic rotation is under way.")
	descReaders   = tokenDesc("readers", "Readers within the token's reader_window, by whether they have the current version.", "state")
	descWaits     = tokenDesc("retirement_waits", "1 where an old value has outlived its grace period, because readers are behind.")
	descTokens    = prometheus.NewDesc("adtokens_tokens", "Tokens of the mount by health.", []string{"health"}, nil)
	descWithout   = prometheus.NewDesc("adtokens_tokens_without_series", "Tokens beyond those that have series of their own.", nil, nil)
	descUnread    = prometheus.NewDesc("adtokens_tokens_unreadable", "Tokens whose storage entry cannot be used.", nil, nil)
	descUnknown   = prometheus.NewDesc("adtokens_tokens_not_read_yet", "Tokens that no other series counts, because they are still being read after a start.", nil, nil)
	descCampaign  = prometheus.NewDesc("adtokens_campaign_items", "Tokens of each campaign that was not cancelled, by how far it is with them.", []string{"campaign", "state"}, nil)
	descCache     = prometheus.NewDesc("adtokens_cache_entries", "Entries in the plugin's memory.", []string{"cache"}, nil)
	descForgotten = prometheus.NewDesc("adtokens_readers_forgotten_total", "Readers that had to be forgotten since the plugin process started.", nil, nil)
	descBuildInfo = prometheus.NewDesc("adtokens_build_info", "1 for the running build.", []string{"version", "commit"}, nil)
)

func tokenDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("adtokens_token_"+name, help, append([]string{"token", "type"}, labels...), nil)
}

// healths are all that a token's health can be.
var healths = []rotation.Health{rotation.HealthOK, rotation.HealthRejected, rotation.HealthUnverified, rotation.HealthNone}

// snapshot is what one reading of the metrics knows about tokens.
type snapshot struct {
	now        time.Time
	tokens     []*token
	unreadable int
	unknown    int
	cached     map[string]int
	queues     map[string]queueState
	campaigns  []*campaignView
	// forgotten counts readers that there was no room for.
	forgotten int
	// readers says what is known of a token's readers.
	readers func(*token) readerCounts
}

// Describe is part of prometheus.Collector. A snapshot describes nothing ahead, because it lives for one reading.
func (s *snapshot) Describe(chan<- *prometheus.Desc) {}

// Collect is part of prometheus.Collector.
func (s *snapshot) Collect(out chan<- prometheus.Metric) {
	health := map[rotation.Health]int{}
	for i, t := range s.tokens {
		health[t.health()]++
		if i < maxTokenSeries {
			s.collectToken(t, out)
		}
	}
	for _, name := range healths {
		out <- gauge(descTokens, health[name], string(name))
	}
	for name, count := range s.cached {
		out <- gauge(descCache, count, name)
	}
	for name, state := range s.queues {
		collectQueue(name, state, s.now, out)
	}
	for _, c := range s.campaigns {
		c.collect(out)
	}
	out <- gauge(descWithout, max(0, len(s.tokens)-maxTokenSeries))
	out <- gauge(descUnread, s.unreadable)
	out <- gauge(descUnknown, s.unknown)
	out <- prometheus.MustNewConstMetric(descForgotten, prometheus.CounterValue, float64(s.forgotten))
	out <- gauge(descBuildInfo, 1, Version, commit())
}

// collect gives the counts of a campaign. What was cancelled is nobody's to do.
func (v *campaignView) collect(out chan<- prometheus.Metric) {
	if v.state == campaignCancelled {
		return
	}
	p := &v.progress
	for state, count := range map[string]int{
		"waiting": p.waiting, "running": p.running, "waiting_for_person": p.waitingForPerson, "done": p.done, "failed": p.failed,
	} {
		out <- gauge(descCampaign, count, v.name, state)
	}
}

func (s *snapshot) collectToken(t *token, out chan<- prometheus.Metric) {
	flag := map[bool]int{true: 1}
	out <- gauge(descVersion, t.Number(), t.name, t.Type)
	for _, health := range healths {
		out <- gauge(descHealth, flag[t.health() == health], t.name, t.Type, string(health))
	}
	out <- gauge(descOverdue, flag[t.overdue(s.now)], t.name, t.Type)
	out <- gauge(descInFlight, flag[t.Pending != nil], t.name, t.Type)
	r := s.readers(t)
	out <- gauge(descReaders, r.current, t.name, t.Type, "current")
	out <- gauge(descReaders, r.behind, t.name, t.Type, "behind")
	out <- gauge(descWaits, flag[r.waits], t.name, t.Type)
	if t.Current != nil {
		out <- gauge(descAge, int(s.now.Sub(t.Current.PublishedAt).Seconds()), t.name, t.Type)
	}
	if !t.nextRotation.IsZero() {
		out <- gauge(descNext, int(t.nextRotation.Unix()), t.name, t.Type)
	}
	if !t.expires.IsZero() {
		out <- gauge(descExpiry, int(t.expires.Unix()), t.name, t.Type)
	}
	if c := t.LastVerification; c != nil {
		out <- gauge(descVerified, int(c.At.Unix()), t.name, t.Type)
		for _, outcome := range []provider.Outcome{provider.Accepted, provider.Rejected, provider.Inconclusive} {
			out <- gauge(descOutcome, flag[c.Outcome == outcome], t.name, t.Type, string(outcome))
		}
	}
}

func gauge(d *prometheus.Desc, value int, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
}

var (
	descWaiting = prometheus.NewDesc("adtokens_notifications_waiting", "Messages that wait for the receiver of a notification.", []string{"notification"}, nil)
	descOldest  = prometheus.NewDesc("adtokens_notifications_oldest_waiting_seconds", "Age of the oldest of them, 0 where none waits.", []string{"notification"}, nil)
)

// collectQueue tells of what waits for a notification.
func collectQueue(name string, s queueState, now time.Time, out chan<- prometheus.Metric) {
	out <- gauge(descWaiting, s.waiting, name)
	age := 0
	if s.waiting > 0 {
		age = max(0, int(now.Sub(s.oldest).Seconds()))
	}
	out <- gauge(descOldest, age, name)
}
