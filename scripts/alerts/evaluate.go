package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/template"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

var engine = promql.NewEngine(promql.EngineOpts{
	MaxSamples: 10_000_000, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true, Parser: language,
})

// alert is a rule, and since when each of its label sets is active.
type alert struct {
	rule  rulefmt.Rule
	since map[string]time.Time
}

// evaluate returns the alerts that fire now, with their labels and annotations. An alert that is not active now begins anew.
func (a *alert) evaluate(stored series, now time.Time) (firing []string, err error) {
	query := func(ctx context.Context, expression string, at time.Time) (promql.Vector, error) {
		return stored.query(ctx, expression, at)
	}
	found, err := query(context.Background(), a.rule.Expr, now)
	if err != nil {
		return nil, err
	}
	active := map[string]time.Time{}
	for _, sample := range found {
		data := template.AlertTemplateData(sample.Metric.Map(), nil, "", sample)
		expand := func(text string) (string, error) {
			const names = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"
			return template.NewTemplateExpander(context.Background(), names+text, a.rule.Alert, data,
				model.Time(timestamp.FromTime(now)), template.QueryFunc(query), &url.URL{}, nil).Expand()
		}
		all := labels.NewBuilder(sample.Metric)
		all.Del(labels.MetricName)
		notes := labels.NewBuilder(labels.EmptyLabels())
		for builder, texts := range map[*labels.Builder]map[string]string{all: a.rule.Labels, notes: a.rule.Annotations} {
			for name, text := range texts {
				expanded, err := expand(text)
				if err != nil {
					return nil, fmt.Errorf("expanding %s: %w", name, err)
				}
				builder.Set(name, expanded)
			}
		}
		all.Set(labels.AlertName, a.rule.Alert)
		key := all.Labels().String()
		if _, twice := active[key]; twice {
			return nil, fmt.Errorf("two results have the labels %s", key)
		}
		active[key] = now
		if began, ok := a.since[key]; ok {
			active[key] = began
		}
		if now.Sub(active[key]) >= time.Duration(a.rule.For) {
			firing = append(firing, describe(all.Labels(), notes.Labels()))
		}
	}
	a.since = active
	return firing, nil
}

// series are the input of a test. They are a storage.Queryable.
type series []*storage.SeriesEntry

// load reads the input series: a value each interval from 0 on.
func (t *test) load() (series, error) {
	var all series
	for _, input := range t.InputSeries {
		metric, values, err := language.ParseSeriesDesc(input.Series + " " + input.Values)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", input.Series, err)
		}
		var samples []chunks.Sample
		for i, value := range values {
			switch {
			case value.Histogram != nil:
				return nil, errors.New("histograms cannot be tested here")
			case !value.Omitted:
				samples = append(samples, sample{int64(i) * time.Duration(t.Interval).Milliseconds(), value.Value})
			}
		}
		all = append(all, storage.NewListSeries(metric, samples))
	}
	return all, nil
}

func (all series) query(ctx context.Context, expression string, at time.Time) (promql.Vector, error) {
	q, err := engine.NewInstantQuery(ctx, all, nil, expression, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	result := q.Exec(ctx)
	if result.Err != nil {
		return nil, result.Err
	}
	vector, err := result.Vector()
	if err != nil {
		return nil, err
	}
	return append(promql.Vector(nil), vector...), nil // the query takes its own back
}

// Querier is part of storage.Queryable.
func (all series) Querier(_, _ int64) (storage.Querier, error) { return querier{all: all}, nil }

type querier struct {
	storage.LabelQuerier
	all series
}

// Select is part of storage.Querier. The engine takes the samples of the time that it asks about.
func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &selected{}
next:
	for _, s := range q.all {
		for _, m := range matchers {
			if !m.Matches(s.Labels().Get(m.Name)) {
				continue next
			}
		}
		set.rest = append(set.rest, s)
	}
	return set
}

// Close is part of storage.Querier.
func (querier) Close() error { return nil }

// selected is a storage.SeriesSet.
type selected struct {
	current storage.Series
	rest    series
}

func (s *selected) Next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.current, s.rest = s.rest[0], s.rest[1:]
	return true
}

func (s *selected) At() storage.Series                { return s.current }
func (s *selected) Err() error                        { return nil }
func (s *selected) Warnings() annotations.Annotations { return nil }

// sample is a chunks.Sample of a number.
type sample struct {
	t int64
	f float64
}

func (s sample) T() int64                      { return s.t }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.f }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }
