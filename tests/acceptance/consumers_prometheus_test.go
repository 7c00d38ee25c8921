//go:build unix

package acceptance

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// alertRules are what the tests below look at of the rules, and ruleTests of their tests for promtool, which make lint runs.
type alertRules struct {
	Groups []struct {
		Rules []struct{ Alert, Expr string }
	}
}

type ruleTests struct {
	Tests []struct {
		AlertRuleTest []struct {
			Alertname string
			ExpAlerts []any `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

func readRules(t *testing.T) (rules alertRules, tests ruleTests) {
	t.Helper()
	succeeded(t, yaml.Unmarshal([]byte(readDoc(t, "docs/dashboards/adtokens.rules.yaml")), &rules))
	succeeded(t, yaml.Unmarshal([]byte(readDoc(t, "docs/dashboards/adtokens.rules.test.yaml")), &tests))
	return rules, tests
}

// TestPrometheus_EveryAlertFiresInATest wants promtool's tests to have each alert fire once, and stay silent once.
func TestPrometheus_EveryAlertFiresInATest(t *testing.T) {
	t.Parallel()
	rules, tests := readRules(t)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, c := range test.AlertRuleTest {
			if len(c.ExpAlerts) > 0 {
				fires[c.Alertname] = true
			} else {
				silent[c.Alertname] = true
			}
		}
	}
	alerts := 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if alerts++; !fires[rule.Alert] || !silent[rule.Alert] {
				t.Errorf("%s fires in a test: %t; stays silent in one: %t", rule.Alert, fires[rule.Alert], silent[rule.Alert])
			}
		}
	}
	if alerts != len(fires) {
		t.Errorf("there are %d alerts, and tests of %d", alerts, len(fires))
	}
}

// TestPrometheus_AlertsTellMountsApart wants every aggregation to keep the job, since two mounts of one Vault have the same
// instance, and the alert on missing metrics to watch each of the jobs.
func TestPrometheus_AlertsTellMountsApart(t *testing.T) {
	t.Parallel()
	rules, _ := readRules(t)
	by, watched := regexp.MustCompile(`\bby \(([^)]*)\)`), regexp.MustCompile(`\bup\{job=~"([^"]*)"\}`)
	absence := ""
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			for _, found := range by.FindAllStringSubmatch(rule.Expr, -1) {
				if !slices.Contains(strings.Split(found[1], ", "), "job") {
					t.Errorf("%s takes two mounts for one: %s", rule.Alert, rule.Expr)
				}
			}
			if found := watched.FindStringSubmatch(rule.Expr); found != nil {
				absence = found[1]
			}
		}
	}
	var config struct {
		ScrapeConfigs []struct {
			JobName string `yaml:"job_name"`
		} `yaml:"scrape_configs"`
	}
	succeeded(t, yaml.Unmarshal([]byte(readDoc(t, "docs/dashboards/prometheus.yaml")), &config))
	if len(config.ScrapeConfigs) < 2 {
		t.Error("the example scrapes one mount only")
	}
	for _, job := range config.ScrapeConfigs {
		if absence == "" || !regexp.MustCompile("^(?:"+absence+")$").MatchString(job.JobName) {
			t.Errorf("no alert watches whether there are metrics of the job %s", job.JobName)
		}
	}
}

// TestPrometheus_DashboardTellsMountsApart wants every query to be about the chosen mounts, and a mount to be chosen first.
func TestPrometheus_DashboardTellsMountsApart(t *testing.T) {
	t.Parallel()
	var d dashboard
	succeeded(t, json.Unmarshal([]byte(readDoc(t, "docs/dashboards/adtokens.json")), &d))
	metric := regexp.MustCompile(`adtokens_[a-z_]+(\{[^}]*\})?`)
	chosen := func(where, query string) {
		for _, found := range metric.FindAllStringSubmatch(query, -1) {
			if !strings.Contains(found[1], `job=~"$job"`) {
				t.Errorf("%s shows every mount: %s", where, query)
			}
		}
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			chosen(p.Title, target.Expr)
			if p.Type == "table" && !strings.Contains(target.Expr, "by (job, token") {
				t.Errorf("%s has one row for two tokens of a name: %s", p.Title, target.Expr)
			}
		}
	}
	if mount := d.Templating.List[1]; mount.Name != "job" {
		t.Errorf("the first choice is %s", mount.Name)
	}
	for _, v := range d.Templating.List[2:] {
		query, _ := v.Query.(fields)
		text, _ := query["query"].(string)
		chosen("the variable "+v.Name, text)
	}
}
