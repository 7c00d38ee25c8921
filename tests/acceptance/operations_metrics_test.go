//go:build unix

package acceptance

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// scraped are the labels of each metric by its name, the values that each label has, too.
type scraped map[string]map[string][]string

var (
	sample = regexp.MustCompile(`(?m)^(adtokens_[a-z_]+)(?:\{(.*)\})? \S+$`)
	label  = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
)

// scrape reads the metrics of a mount where everything that is measured has happened, in the way of Prometheus: with the
// path and the header of the example, and a token that may do nothing else.
func scrape(t *testing.T) scraped {
	t.Helper()
	var config struct {
		ScrapeConfigs []struct {
			JobName        string         `yaml:"job_name"`
			ScrapeInterval model.Duration `yaml:"scrape_interval"`
			Scheme         string
			MetricsPath    string `yaml:"metrics_path"`
			Authorization  struct {
				Type            string
				CredentialsFile string `yaml:"credentials_file"`
			}
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
		RuleFiles []string `yaml:"rule_files"`
	}
	readYAML(t, "docs/dashboards/prometheus.yaml", &config)
	for _, file := range config.RuleFiles {
		done(os.Stat(filepath.Join(docsRoot, "docs/dashboards", file)))(t)
	}
	job := config.ScrapeConfigs[0]
	for _, c := range config.ScrapeConfigs { // dashboard and alerts take a job's name for its mount's path
		if c.MetricsPath != "/v1/"+c.JobName+"/metrics" {
			t.Errorf("the job %s scrapes %s", c.JobName, c.MetricsPath)
		}
	}

	w := newWorld(t)
	w.importShared(t, 60)
	w.write(t, "tokens/acme-rw", fields{"rotation_period": "90d"})
	w.write(t, "tokens/acme-new", fields{"account": "agency", "type": "scoped"})
	w.write(t, "tokens/acme-rw/verify", nil)
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	w.write(t, "tokens/acme-rw/rotate", fields{"auth_token": reset.AuthToken})
	receiver := startReceiver(t)
	w.write(t, "notifications/ops", receiver.fields(fields{"events": "*"}))
	w.write(t, "tokens/acme-new", fields{"refresh_ttl": 30})                                  // the receiver is told
	w.write(t, "campaigns/jane-leaves", fields{"reason": "Jane leaves", "tokens": "acme-rw"}) // no hook: it waits for a person
	vaulttest.Await(t, "a message to be taken", func() bool {
		return fmt.Sprint(w.data(t, "status")["notifications"].(fields)["ops"].(fields)["waiting"]) == "0" && len(receiver.Taken()) > 0
	})

	policy := w.Path + "-prometheus"
	succeeded(t, w.Client.Sys().PutPolicyWithContext(t.Context(), policy, `path "`+w.Path+`/metrics" { capabilities = ["read"] }`))
	token := done(w.Client.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{Policies: []string{policy}, NoDefaultPolicy: true}))(t)
	request := done(http.NewRequestWithContext(t.Context(), http.MethodGet, w.Address+strings.Replace(job.MetricsPath, "adtokens", w.Path, 1), nil))(t)
	request.Header.Set("Authorization", job.Authorization.Type+" "+token.Auth.ClientToken)
	request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.2")
	response, err := http.DefaultClient.Do(request)
	succeeded(t, err)
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "application/openmetrics-text; version=1.0.0") {
		t.Fatalf("the scrape got %s and the content type %q", response.Status, kind)
	}
	text := string(done(io.ReadAll(response.Body))(t))
	tellsNoSecret(t, "the metrics", text)

	metrics := scraped{}
	for _, found := range sample.FindAllStringSubmatch(text, -1) {
		if metrics[found[1]] == nil {
			metrics[found[1]] = map[string][]string{}
		}
		for _, l := range label.FindAllStringSubmatch(found[2], -1) {
			metrics[found[1]][l[1]] = append(metrics[found[1]][l[1]], l[2])
		}
	}
	return metrics
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(readDoc(t, path)))
	decoder.KnownFields(true)
	succeeded(t, decoder.Decode(into))
}

var (
	metricName = regexp.MustCompile(`adtokens_[a-z_]+`)
	selector   = regexp.MustCompile(`(adtokens_[a-z_]+)(?:\{([^}]*)\})?`)
	grouping   = regexp.MustCompile(`by \(([a-z_, ]+)\)`)
	matcher    = regexp.MustCompile(`([a-z_]+)(=~|=)"([^"]*)"`)
	// scrapeLabels are those that Prometheus adds.
	scrapeLabels = []string{"job", "instance"}
	// statesOnDemand are values of labels that a series has only after it happened.
	statesOnDemand = []string{"failed", "no_answer", "5xx", "rate_limited", "rejection"}
)

// knows fails the test unless an expression is about metrics and labels that are served.
func (s scraped) knows(t *testing.T, where, expression string) {
	t.Helper()
	var labels []string
	found := selector.FindAllStringSubmatch(expression, -1)
	if len(found) == 0 {
		t.Errorf("%s is about no metric: %s", where, expression)
	}
	for _, f := range found {
		have, served := s[f[1]]
		if !served {
			t.Errorf("%s: there is no metric %s", where, f[1])
		}
		labels = slices.AppendSeq(labels, maps.Keys(have))
		for _, m := range matcher.FindAllStringSubmatch(f[2], -1) {
			values, there := have[m[1]]
			switch {
			case slices.Contains(scrapeLabels, m[1]), strings.HasPrefix(m[3], "$") && there:
			case !there:
				t.Errorf("%s: %s has no label %s", where, f[1], m[1])
			default:
				for value := range strings.SplitSeq(m[3], "|") {
					if !slices.Contains(values, value) && !slices.Contains(statesOnDemand, value) {
						t.Errorf("%s: no %s of %s is %s", where, m[1], f[1], value)
					}
				}
			}
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(expression, -1) {
		for name := range strings.SplitSeq(g[1], ", ") {
			if !slices.Contains(labels, name) && !slices.Contains(scrapeLabels, name) {
				t.Errorf("%s groups by %s, which is no label there", where, name)
			}
		}
	}
}

// dashboard is what a test looks at of Grafana's JSON.
type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
	Panels []panel
}

type panel struct {
	ID          int
	Type, Title string
	Datasource  struct{ Type, UID string }
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct{ Expr string }
}

// complete reports whether Grafana would show the panel with the data source that is chosen.
func (p panel) complete() bool {
	return p.Title != "" && p.Type != "" && p.Datasource.Type == "prometheus" && p.Datasource.UID == "${datasource}" && len(p.Targets) > 0
}

func TestTheDashboardShowsWhatIsServed(t *testing.T) {
	t.Parallel()
	metrics := scrape(t)
	metrics["adtokens_token_expiry_timestamp_seconds"] = map[string][]string{"token": nil, "type": nil} // none of these tokens ends by itself
	var d dashboard
	succeeded(t, json.Unmarshal([]byte(readDoc(t, "docs/dashboards/adtokens.json")), &d))
	if d.Title == "" || d.UID == "" || d.SchemaVersion == 0 {
		t.Errorf("Grafana would not import the dashboard %q (%q, schema %d)", d.Title, d.UID, d.SchemaVersion)
	}
	shown, ids := map[string]bool{}, map[int]bool{}
	for _, p := range d.Panels {
		if !p.complete() || ids[p.ID] {
			t.Errorf("the panel %d %q is incomplete, or its id is taken", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			metrics.knows(t, p.Title, target.Expr)
			for _, name := range metricName.FindAllString(target.Expr, -1) {
				shown[family(name)] = true
			}
		}
	}
	d.fitsTheGrid(t)
	for _, v := range d.Templating.List {
		if query, ok := v.Query.(fields); ok {
			metrics.knows(t, "the variable "+v.Name, query["query"].(string))
		}
	}
	for name := range metrics {
		if !shown[family(name)] && name != "adtokens_token_last_verification_outcome" { // the panels show health, which lasts
			t.Errorf("no panel shows %s", name)
		}
	}
}

// family is the name of a metric without what a histogram adds to it.
func family(name string) string {
	return regexp.MustCompile("_(count|sum|bucket)$").ReplaceAllString(name, "")
}

// fitsTheGrid fails the test if panels overlap, or leave Grafana's grid of 24 columns.
func (d dashboard) fitsTheGrid(t *testing.T) {
	t.Helper()
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[cell] != "" || cell[0] >= 24 {
					t.Fatalf("the panel %q overlaps %q or leaves the grid", p.Title, taken[cell])
				}
				taken[cell] = p.Title
			}
		}
	}
}

func TestTheAlertRulesAreAboutWhatIsServed(t *testing.T) {
	t.Parallel()
	metrics := scrape(t)
	// Tokens whose value ends have it (TestExpiry_IsTakenFromRefreshesAndToldOnce); none of these does.
	metrics["adtokens_token_expiry_timestamp_seconds"] = map[string][]string{"token": nil, "type": nil}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr string
				For         model.Duration
				Labels      struct{ Severity string }
				Annotations struct{ Summary, Description string }
			}
		}
	}
	readYAML(t, "docs/dashboards/adtokens.rules.yaml", &rules)
	names := map[string]bool{}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" || names[rule.Alert] || rule.Annotations.Summary == "" || rule.Annotations.Description == "" {
				t.Errorf("the alert %q is incomplete, or its name is taken", rule.Alert)
			}
			if !slices.Contains([]string{"critical", "warning", "info"}, rule.Labels.Severity) {
				t.Errorf("%s has the severity %q", rule.Alert, rule.Labels.Severity)
			}
			names[rule.Alert] = true
			metrics.knows(t, rule.Alert, rule.Expr)
		}
	}
}
