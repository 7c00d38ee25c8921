package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

var reportCommand = command{
	name: "report", summary: "a page to look at: versions and readers over time", synopsis: "-html FILE [flags] <audit log>...",
	help: `
Writes a page of HTML that needs nothing else: each token's versions as bars, its readers as dots, those in red that know
older versions only. It holds names and addresses of readers, but no value of a token. The file is for its owner alone; what
was there before is replaced.

  adtokens-audit report -html tokens.html /var/log/vault/audit.log*`,
	prepare: func(flags *flag.FlagSet) action {
		q := htmlReport{}
		q.declareRange(flags)
		q.declareToken(flags, "only this `token`")
		flags.StringVar(&q.file, "html", "", "`file` to write")
		return func(ctx context.Context, files []string, s cli.Streams) error {
			if q.file == "" {
				return cli.Usagef("say which file to write, with -html")
			}
			if err := q.checkFile(); err != nil {
				return err
			}
			found, err := q.find(ctx, files, s)
			if found == nil {
				return err
			}
			return errors.Join(q.write(ctx, found), (&report{unanswered: q.unanswered(found)}).doubt(), err)
		}
	},
}

type htmlReport struct {
	query
	file string
}

//go:embed report.html.tmpl
var reportText string

var reportTemplate = template.Must(template.New("report").Parse(reportText))

// checkFile refuses what is no file, before the logs are read.
func (q *htmlReport) checkFile() error {
	info, err := os.Stat(q.file)
	switch {
	case err == nil && info.IsDir():
		return cli.Usagef("%s is a directory; name a file in it", q.file)
	case err == nil && !info.Mode().IsRegular():
		return cli.Usagef("%s is no regular file, and the report would take its place; name another one", q.file)
	}
	return nil // what is not there is made
}

func (q *htmlReport) write(ctx context.Context, f *findings) error {
	page := q.page(ctx, f)
	err := replaceFile(q.file, func(file io.Writer) error {
		out := bufio.NewWriter(file)
		harmless := &harmlessWriter{out: out}
		err := reportTemplate.Execute(&untilDone{ctx, harmless}, page)
		return errors.Join(err, harmless.flush(), out.Flush())
	})
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// untilDone refuses to write when the context has ended, so that whoever goes on writing ends too.
type untilDone struct {
	ctx context.Context // ends Write, which is given none
	out io.Writer
}

func (u *untilDone) Write(text []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, errInterrupted
	}
	return u.out.Write(text)
}

// replaceFile puts a file in the place of what has its name, whole or not at all: a link that is there is replaced, not
// followed, and whatever its mode was, the new file is for nobody else. Names and addresses are for whoever may read the
// logs.
func replaceFile(name string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // mode 0600, and a name that was not there
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if err := errors.Join(write(file), file.Chmod(0o600), file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}

// The timelines' measures, in units of the picture.
const (
	labelWidth = 230
	plotWidth  = 860
	plotMargin = 12 // on both sides, so that the first and last dots are whole
	barTop     = 10
	barHeight  = 22
	rowsTop    = barTop + barHeight + 20
	rowHeight  = 22
	axisHeight = 26
	// maxRows is how many readers of a token are drawn, and maxListed how long a list is. The others are counted.
	maxRows   = 100
	maxListed = 500
	// minLabelled is the width of the smallest bar with a label.
	minLabelled = 26
	maxLabel    = 30 // characters of a reader's name
)

// page is what the template shows.
type page struct {
	Mount, First, Last     string
	Current, Stale, Unsure int
	Panels                 []panel
	Notes                  []string
	// The picture's measures.
	Width, PlotLeft, PlotRight float64
}

// panel shows a token.
type panel struct {
	Token, Version, Since, Deleted string
	Current, Stale, Unsure         int
	Height, Axis                   float64
	Ticks                          []tick
	Bars                           []bar
	Marks                          []mark
	Rows                           []row
	More                           int
	Readers, Rotations, Access     list
}

// list is a table.
type list struct {
	Columns []string
	Rows    [][]string
	More    int
}

// listOf leaves out the token, which the panel names.
func listOf(t table) list {
	listed := min(len(t.rows), maxListed)
	token := slices.Index(t.columns, "token")
	l := list{Columns: without(t.columns, token), More: len(t.rows) - listed}
	for _, row := range t.rows[:listed] {
		l.Rows = append(l.Rows, without(row, token))
	}
	return l
}

func without(cells []string, i int) []string { return slices.Delete(slices.Clone(cells), i, i+1) }

// tick is a time on the axis.
type tick struct {
	X     float64
	Label string
}

// bar is a version. It is certain up to Sure, and may have ended before End.
type bar struct {
	X, Width, End, Middle float64
	Label, Title          string
	Odd                   bool
}

// mark is a rotation.
type mark struct {
	X     float64
	Class string // request, background or refused
	Title string
}

// row is a reader.
type row struct {
	Y           float64
	Label, Name string
	State       auditlog.State
	Spans       []span
	Dots        []dot
}

type span struct{ From, To float64 }

// dot is a first or last time.
type dot struct {
	X, R  float64
	Class string // its state, and whether it was wrapped
	Title string
	// HandedIn is for whoever brought the version.
	HandedIn bool
}

// scale turns times into places.
type scale struct{ first, last time.Time }

func (s scale) x(t time.Time) float64 {
	const left, right = labelWidth + plotMargin, labelWidth + plotWidth - plotMargin
	if !s.last.After(s.first) {
		return (left + right) / 2
	}
	share := float64(t.Sub(s.first)) / float64(s.last.Sub(s.first))
	return tenths(left + share*(right-left))
}

// tenths is as exact as a picture needs.
func tenths(x float64) float64 { return math.Round(x*10) / 10 }

func (q *htmlReport) page(ctx context.Context, f *findings) page {
	tokens := slices.Collect(q.tokens(ctx, f.Tally))
	var notes []string
	if reason := q.unanswered(f); reason != "" {
		notes = append(notes, "Not answered: "+reason+".")
	}
	notes = append(append(notes, q.knowledgeNotes(f, tokens)...), q.hiddenNotes(q.rotationRows(ctx, f.Tally, time.Time{}))...)
	p := page{
		Mount: q.mount, First: timestamp(f.First), Last: timestamp(f.Last), Notes: q.header(f, notes...).Notes,
		Width: labelWidth + plotWidth, PlotLeft: labelWidth, PlotRight: labelWidth + plotWidth,
	}
	for _, token := range tokens {
		if ctx.Err() != nil {
			return p
		}
		panel := q.panel(f, token)
		p.Current, p.Stale, p.Unsure = p.Current+panel.Current, p.Stale+panel.Stale, p.Unsure+panel.Unsure
		p.Panels = append(p.Panels, panel)
	}
	return p
}

func (q *htmlReport) panel(f *findings, token *auditlog.Token) panel {
	s := scale{f.First, f.Last}
	p := panel{Token: token.String(), Deleted: timestamp(token.Deleted), Ticks: s.ticks(), Bars: s.bars(token)}
	if current := token.Current(); current != nil {
		p.Version, p.Since = current.String(), timestamp(current.First)
		if current.First.After(token.Deleted) { // it was made anew
			p.Deleted = ""
		}
	}
	p.Readers, p.Access = listOf(exposureTable(exposureRows(token, true))), listOf(exposureAccessTable(accessRows(token, everybody)))
	rotations := rotationsOf(token)
	p.Rotations = listOf(rotationTable(rotations))
	for _, r := range rotations {
		p.Marks = append(p.Marks, s.mark(&r))
	}
	for id, r := range sortedReaders(token.Readers) {
		state := token.State(r)
		switch state {
		case auditlog.StateCurrent:
			p.Current++
		case auditlog.StateStale:
			p.Stale++
		case auditlog.StateUnknown:
			p.Unsure++
		}
		p.Rows = append(p.Rows, s.row(token, id, r))
	}
	slices.SortStableFunc(p.Rows, func(a, b row) int { return urgency(a.State) - urgency(b.State) })
	p.More = max(0, len(p.Rows)-maxRows)
	p.Rows = p.Rows[:len(p.Rows)-p.More]
	for i := range p.Rows {
		p.Rows[i].Y = rowsTop + rowHeight*(float64(i)+0.5)
	}
	p.Axis = rowsTop + rowHeight*float64(len(p.Rows))
	p.Height = p.Axis + axisHeight
	return p
}

// bars shows each version from its first time to that of the next one.
func (s scale) bars(token *auditlog.Token) []bar {
	versions := token.Versions()
	bars := make([]bar, len(versions))
	for i, p := range versions {
		sure, end := p.Last, s.last
		if i+1 < len(versions) {
			end = versions[i+1].First
			if versions[i+1].ByRequest {
				sure = end
			}
		}
		b := bar{X: s.x(p.First), End: s.x(end), Odd: i%2 == 1, Title: fmt.Sprintf("version %s: first seen %s, last seen %s", p, timestamp(p.First), timestamp(p.Last))}
		b.Width, b.Middle = max(2, tenths(s.x(sure)-b.X)), tenths((b.X+b.End)/2)
		b.End = max(b.Width, tenths(b.End-b.X))
		if b.End >= minLabelled {
			b.Label = p.String()
		}
		bars[i] = b
	}
	return bars
}

func (s scale) mark(r *rotationRow) mark {
	m := mark{X: s.x(r.Time), Class: "request", Title: fmt.Sprintf("%s: version %s, %s", timestamp(r.Time), r.label(), r.How)}
	switch {
	case r.Error != "":
		m.Class, m.Title = "refused", fmt.Sprintf("%s: %s, %s", timestamp(r.Time), r.How, r.Error)
	case r.How == howBackground:
		m.Class = "background"
	}
	if r.DisplayName != "" {
		m.Title += " by " + r.DisplayName
	}
	if r.Reason != "" {
		m.Title += ": " + inClear(r.Reason)
	}
	return m
}

func (s scale) row(token *auditlog.Token, id auditlog.Identity, r *auditlog.Reader) row {
	name := id.DisplayName
	if who := entity(id.EntityID, id.Accessor); who != "" {
		name += ", " + who
	}
	shown := row{Label: shorten(id.DisplayName), Name: name, State: token.State(r)}
	for _, k := range r.Knowledge {
		period, state := token.Knows(k)
		known := readsOf(*k)
		cells := known.cells()
		d := dot{
			R: dotSize(known.count()), HandedIn: k.HandedIn > 0, Class: dotClass(shown.State, state, k),
			Title: fmt.Sprintf("%s: version %s, %s, %s×, %s to %s", name, refOf(period).label(), cells[3], cells[2], cells[0], cells[1]),
		}
		shown.Spans = append(shown.Spans, span{s.x(k.First), s.x(k.Last)})
		for _, at := range slices.Compact([]time.Time{k.First, k.Last}) {
			d.X = s.x(at)
			shown.Dots = append(shown.Dots, d)
		}
	}
	return shown
}

func shorten(name string) string {
	if letters := []rune(name); len(letters) > maxLabel {
		return string(letters[:maxLabel-1]) + "…"
	}
	return name
}

// dotSize grows with the magnitude of the count.
func dotSize(count int) float64 { return tenths(4 + min(4, math.Log10(float64(count)))) }

// dotClass is red for whoever knows older versions only; else it tells the versions apart.
func dotClass(reader, version auditlog.State, k *auditlog.Knowledge) string {
	class := string(version)
	if version == auditlog.StateStale && reader != auditlog.StateStale {
		class = "replaced"
	}
	if k.HandedIn == 0 && k.Reads == k.Wrapped {
		class += " wrapped"
	}
	return class
}

// steps are the distances of ticks.
var steps = []time.Duration{
	time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, day, 2 * day,
	7 * day, 14 * day, 28 * day, 91 * day, 364 * day, 3640 * day,
}

const (
	day      = 24 * time.Hour
	maxTicks = 9
)

func (s scale) ticks() []tick {
	length := s.last.Sub(s.first)
	step := steps[len(steps)-1]
	if i := slices.IndexFunc(steps, func(d time.Duration) bool { return length/d < maxTicks }); i >= 0 {
		step = steps[i]
	}
	layout := "15:04:05"
	switch {
	case step >= day:
		layout = time.DateOnly
	case length >= day:
		layout = "01-02 15:04"
	}
	var ticks []tick
	for t := s.first.Truncate(step).Add(step); !t.After(s.last); t = t.Add(step) {
		ticks = append(ticks, tick{X: s.x(t), Label: strings.TrimSuffix(t.Format(layout), ":00")})
	}
	return ticks
}
