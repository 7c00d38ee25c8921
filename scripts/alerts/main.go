// Command alerts checks the examples for Prometheus: how it scrapes the engine, the alert rules, and the tests of these, as
// `promtool check config`, `check rules` and `test rules` do. It has Prometheus' own parser, query engine and templates, and
// is built in a tenth of the time that promtool takes, which brings the clients of all clouds.
//
// What it does not know (recording rules, keep_firing_for, promql_expr_test, other ways to authenticate) it refuses.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v2"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: alerts PROMETHEUS-CONFIGURATION RULE-TESTS")
		os.Exit(2)
	}
	scraped, configErr := checkConfiguration(os.Args[1])
	tests, testErr := runTests(os.Args[2])
	if err := errors.Join(configErr, testErr); err != nil {
		fmt.Fprintf(os.Stderr, "alerts: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("alerts: %d scrape jobs are well-formed, and the rules pass %d tests.\n", scraped, tests)
}

// configuration is what the example of a Prometheus configuration uses of it.
type configuration struct {
	RuleFiles     []string `yaml:"rule_files"`
	ScrapeConfigs []struct {
		JobName        string         `yaml:"job_name"`
		ScrapeInterval model.Duration `yaml:"scrape_interval"`
		Scheme         string         `yaml:"scheme"`
		MetricsPath    string         `yaml:"metrics_path"`
		Authorization  struct {
			Type            string `yaml:"type"`
			CredentialsFile string `yaml:"credentials_file"`
		} `yaml:"authorization"`
		StaticConfigs []struct {
			Targets []model.LabelValue `yaml:"targets"`
		} `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
}

// checkConfiguration returns the number of scrape jobs.
func checkConfiguration(path string) (int, error) {
	var c configuration
	if err := readStrictly(path, &c); err != nil {
		return 0, err
	}
	var names []string
	for _, job := range c.ScrapeConfigs {
		if job.JobName == "" || slices.Contains(names, job.JobName) {
			return 0, fmt.Errorf("%s: the name of a job is missing or used twice: %q", path, job.JobName)
		}
		names = append(names, job.JobName)
		if job.ScrapeInterval <= 0 || (job.Scheme != "http" && job.Scheme != "https") || !strings.HasPrefix(job.MetricsPath, "/") {
			return 0, fmt.Errorf("%s: job %s needs a scrape_interval, the scheme http or https, and a metrics_path that begins with a slash", path, job.JobName)
		}
		if len(job.StaticConfigs) == 0 {
			return 0, fmt.Errorf("%s: job %s has no targets", path, job.JobName)
		}
		for _, static := range job.StaticConfigs {
			for _, target := range static.Targets {
				if target == "" || strings.Contains(string(target), "/") {
					return 0, fmt.Errorf("%s: the target %q of job %s is not a host and a port", path, target, job.JobName)
				}
			}
		}
	}
	for _, file := range c.RuleFiles {
		if _, err := readRules(filepath.Join(filepath.Dir(path), file)); err != nil {
			return 0, err
		}
	}
	return len(names), nil
}

// language is PromQL without its experiments.
var language = parser.NewParser(parser.Options{})

// readRules parses a file of rules as Prometheus does, and refuses two rules of one name and the same labels.
func readRules(path string) ([]rulefmt.Rule, error) {
	groups, errs := rulefmt.ParseFile(path, false, model.UTF8Validation, language, promslog.NewNopLogger())
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	var rules []rulefmt.Rule
	seen := map[string]bool{}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			key := rule.Alert + labels.FromMap(rule.Labels).String()
			if seen[key] {
				return nil, fmt.Errorf("%s: two rules are called %s", path, key)
			}
			seen[key] = true
			if rule.Record != "" || rule.KeepFiringFor != 0 {
				return nil, fmt.Errorf("%s: %s: recording rules and keep_firing_for cannot be tested here", path, key)
			}
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// readStrictly refuses what the target does not have.
func readStrictly(path string, target any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(text, target); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// testFile is a file of tests: see Prometheus' "Unit testing for rules".
type testFile struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
	Tests              []test         `yaml:"tests"`
}

type test struct {
	Name        string         `yaml:"name"`
	Interval    model.Duration `yaml:"interval"`
	InputSeries []struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	} `yaml:"input_series"`
	AlertRuleTest []struct {
		EvalTime  model.Duration `yaml:"eval_time"`
		Alertname string         `yaml:"alertname"`
		ExpAlerts []struct {
			ExpLabels      map[string]string `yaml:"exp_labels"`
			ExpAnnotations map[string]string `yaml:"exp_annotations"`
		} `yaml:"exp_alerts"`
	} `yaml:"alert_rule_test"`
}

// runTests returns the number of expectations that the rules fulfil.
func runTests(path string) (int, error) {
	var file testFile
	if err := readStrictly(path, &file); err != nil {
		return 0, err
	}
	var rules []rulefmt.Rule
	for _, name := range file.RuleFiles {
		more, err := readRules(filepath.Join(filepath.Dir(path), name))
		if err != nil {
			return 0, err
		}
		rules = append(rules, more...)
	}
	if len(rules) == 0 || file.EvaluationInterval <= 0 {
		return 0, fmt.Errorf("%s: name rule_files with rules in them, and an evaluation_interval", path)
	}
	count := 0
	var errs []error
	for _, t := range file.Tests {
		if err := t.run(rules, time.Duration(file.EvaluationInterval)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", path, t.Name, err))
		}
		count += len(t.AlertRuleTest)
	}
	if count == 0 {
		return 0, fmt.Errorf("%s: there is no alert_rule_test", path)
	}
	return count, errors.Join(errs...)
}

// run evaluates the rules at each interval from 0 on, and compares what fires with what should.
func (t *test) run(rules []rulefmt.Rule, every time.Duration) error {
	stored, err := t.load()
	if err != nil {
		return err
	}
	alerts := make([]*alert, len(rules))
	for i, rule := range rules {
		alerts[i] = &alert{rule: rule, since: map[string]time.Time{}}
	}
	var last time.Duration
	for _, c := range t.AlertRuleTest {
		last = max(last, time.Duration(c.EvalTime))
		if !slices.ContainsFunc(rules, func(r rulefmt.Rule) bool { return r.Alert == c.Alertname }) {
			return fmt.Errorf("there is no alert %q", c.Alertname)
		}
	}
	var errs []error
	for now := time.Duration(0); now <= last; now += every {
		firing := map[string][]string{}
		for _, a := range alerts {
			fires, err := a.evaluate(stored, time.UnixMilli(now.Milliseconds()).UTC())
			if err != nil {
				return fmt.Errorf("%s at %s: %w", a.rule.Alert, now, err)
			}
			firing[a.rule.Alert] = append(firing[a.rule.Alert], fires...)
		}
		for _, c := range t.AlertRuleTest {
			if at := time.Duration(c.EvalTime); at < now || at >= now+every {
				continue
			}
			var want []string
			for _, e := range c.ExpAlerts {
				all := labels.NewBuilder(labels.FromMap(e.ExpLabels)).Set(labels.AlertName, c.Alertname).Labels()
				want = append(want, describe(all, labels.FromMap(e.ExpAnnotations)))
			}
			got := firing[c.Alertname]
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				errs = append(errs, fmt.Errorf("%s at %s:\nexpected %s\ngot      %s", c.Alertname, c.EvalTime,
					strings.Join(want, "\n         "), strings.Join(got, "\n         ")))
			}
		}
	}
	return errors.Join(errs...)
}

func describe(all, annotations labels.Labels) string { return all.String() + " with " + annotations.String() }
