//go:build unix

package matrix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// event is what happens to rotations that have stopped.
type event struct {
	name  string
	start func(testing.TB) *vaulttest.Server
	// happen is nil where the next write of each token is refused.
	happen func(*testing.T, *world)
}

var events = []event{
	{"plugin killed", vaulttest.StartDev, func(t *testing.T, w *world) { w.KillPlugins(t) }},
	{"Vault killed", vaulttest.StartRaft, func(t *testing.T, w *world) { w.Crash(t) }},
	{"sealed, unsealed", vaulttest.StartRaft, func(t *testing.T, w *world) { w.Seal(t); w.Unseal(t) }},
	{"write refused", vaulttest.StartDev, nil},
}

// row is a point of a story: the moment before a step.
type row struct {
	story story
	// path are the points that the story comes to where nothing happens, and at is this one's index.
	path []string
	at   int
}

// step is what would have come next.
func (r row) step() string { return r.path[r.at] }

// stop names the point for the fail points: the same step may come several times.
func (r row) stop() string {
	times := 0
	for _, step := range r.path[:r.at+1] {
		if step == r.step() {
			times++
		}
	}
	return fmt.Sprint(times, " ", r.step())
}

func isWrite(step string) bool { return arrow.MatchString(step) }

// begun says whether anything of the story was stored before the point.
func (r row) begun() bool { return slices.ContainsFunc(r.path[:r.at], isWrite) }

// ends is the version with which the story ends if the event happens here, and how many values the provider makes. They
// differ from the story's where only the process knew something whose write was to be the next.
func (r row) ends(e event) (version, made int) {
	if k, ok := r.story.credential.(byAPI); ok {
		return k.ends(r, e.happen != nil)
	}
	version, made = r.story.version, r.story.made
	unsaved := r.step()
	if e.happen == nil {
		if i := slices.IndexFunc(r.path[r.at:], isWrite); i >= 0 {
			unsaved = r.path[r.at+i]
		}
	}
	_, isKey := r.story.credential.(key)
	switch {
	case unsaved == "stored: requested --> pending" && isKey: // a key, which is deleted; a hook gives its value again
		made++
	case unsaved == "stored: requested --> retiring": // a refusal, which is not repeated
		version++
		made++
	}
	return version, made
}

// arrow is an arrow of the state diagram, as fail points and the diagram write it.
var arrow = regexp.MustCompile(`(?m)(\w+ --> \w+)(: \S.*)?$`)

// drawn are the arrows between states in the diagram of the state machine's documentation.
func drawn(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "..", "..", "backend", "rotation", "state.go"))
	if err != nil {
		t.Fatal(err)
	}
	var arrows []string
	for _, match := range arrow.FindAllStringSubmatch(string(source), -1) {
		if !slices.Contains(arrows, match[1]) {
			arrows = append(arrows, match[1])
		}
	}
	return arrows
}

// compareWithDiagram wants a row for each arrow of the state diagram, and an arrow for each write: a state that is new, or
// reached in a new way, takes a story.
func compareWithDiagram(t *testing.T, rows []row) {
	t.Helper()
	arrows := drawn(t)
	for _, a := range arrows {
		if !slices.ContainsFunc(rows, func(r row) bool { return strings.HasSuffix(r.step(), ": "+a) }) {
			t.Errorf("%s is drawn, and no story has that step", a)
		}
	}
	for _, r := range rows {
		if match := arrow.FindStringSubmatch(r.step()); match != nil && !slices.Contains(arrows, match[1]) {
			t.Errorf("%s happens in the story %q and is not drawn", match[1], r.story.name)
		}
	}
}

// Whatever happens between two steps of a rotation: afterwards there is one current version, it works at the provider,
// nothing else does that the engine does not know, nothing was reset twice or early, and the history is true.
func TestCrashMatrix(t *testing.T) {
	t.Parallel()
	plugin := vaulttest.BuildPlugin(t, "adtokens-failpoints", "-tags", "failpoints")
	rows := record(t, newWorld(t, vaulttest.StartDev(t), plugin))
	compareWithDiagram(t, rows)
	cells := make([][]string, len(events)) // by event and row
	t.Cleanup(func() { show(t, table(rows, cells)) })
	for i, e := range events {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, e.start(t), plugin)
			for batch := range slices.Chunk(rows, together) {
				cells[i] = append(cells[i], column(t, w, e, batch)...)
			}
		})
	}
}

// together is how many tokens are stopped at the same time: with more of them, requests would wait longer than Vault lets them.
const together = 80

// show prints the table, also into the file that the variable names.
func show(t *testing.T, table string) {
	t.Helper()
	t.Logf("what is left where something happens before a step:\n%s", table)
	if file := os.Getenv("CRASH_MATRIX"); file != "" {
		if err := os.WriteFile(file, []byte(table), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// record lets every story happen undisturbed, and makes rows of the points that it comes to. So the state machine says
// itself what its steps are.
func record(t *testing.T, w *world) []row {
	t.Helper()
	paths := make([][]string, len(stories))
	each(stories, func(i int, told story) {
		path, err := w.record(t.Context(), told)
		if err != nil {
			vaulttest.Errorf(t, "%s, undisturbed: %v", told.name, err)
		}
		paths[i] = path
	})
	if t.Failed() {
		t.FailNow()
	}
	var rows []row
	for i, path := range paths {
		first := max(0, slices.Index(path, stories[i].from))
		for at := first; at < len(path); at++ {
			rows = append(rows, row{story: stories[i], path: path, at: at})
		}
	}
	return rows
}

func (w *world) record(ctx context.Context, told story) ([]string, error) {
	s, err := w.newSubject(ctx, told, told.id+"-undisturbed")
	if err != nil {
		return nil, err
	}
	if err := s.begin(ctx, ""); err != nil {
		return nil, err
	}
	if err := s.answered(); err != nil && !told.fails() && !told.loses {
		return nil, err
	}
	version := told.version
	if told.loses {
		version = told.begins
	}
	if err := errors.Join(s.settled(ctx, version), s.quiet(ctx)); err != nil {
		return nil, err
	}
	log, err := os.ReadFile(s.file("reached"))
	if err != nil {
		return nil, err
	}
	steps := strings.Split(strings.TrimSpace(string(log)), "\n")
	const ofQuiet = 2 // a write and an event
	return steps[:len(steps)-ofQuiet], errors.Join(s.forget(), s.settle(ctx), s.note(ctx), s.check(ctx, told.version, told.made))
}

// column has the event happen on a world in which a token is stopped at the point of each row, and returns what is wrong
// afterwards, by row.
func column(t *testing.T, w *world, e event, rows []row) []string {
	t.Helper()
	ctx := t.Context()
	w.hook.spoil()
	subjects := lineUp(rows, func(r row) (*subject, error) {
		return w.newSubject(ctx, r.story, fmt.Sprintf("%s-%d", r.story.id, r.at))
	})
	phase := subjects.phase
	phase(func(r row, s *subject) error { return s.begin(ctx, r.stop()) })
	phase(func(r row, s *subject) error { return s.stopped(r.stop()) })
	if e.happen != nil {
		phase(func(_ row, s *subject) error { s.hangUp(); _ = s.answered(); return nil }) // Vault waits for requests before it is sealed
		e.happen(t, w)
	} else {
		phase(func(_ row, s *subject) error { return s.refuseNext() })
	}
	phase(func(_ row, s *subject) error { return s.release() })
	w.wake(t)
	phase(func(r row, s *subject) error { return s.recover(ctx, r, e) })
	if err := w.mend(ctx); err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	phase(func(r row, s *subject) error { return s.goOn(ctx, r, e) })
	cells := make([]string, len(rows))
	for i, r := range rows {
		cells[i] = "ok"
		if problem := subjects.problem(t, i); problem != "" {
			cells[i] = problem
			t.Errorf("%s, before %s: %s", r.story.name, r.stop(), cells[i])
		}
	}
	return cells
}

// recover waits until the work has been taken up again and is done, and checks what is left.
func (s *subject) recover(ctx context.Context, r row, e event) error {
	if e.happen == nil {
		_ = s.answered() // what it says is compared with what is there
	}
	switch {
	case r.begun():
	case s.story.fails():
		// Whether it would fail again is not the question.
	default:
		token, err := s.data(ctx, "tokens/"+s.name)
		if err != nil {
			return err
		}
		if version := number(token["version"]); version != s.story.begins {
			return fmt.Errorf("version %d is current although nothing was stored", version)
		}
		if err := s.rotate(ctx); err != nil && !s.story.loses {
			return fmt.Errorf("asking again: %w", err)
		}
	}
	version, made := r.ends(e)
	if err := errors.Join(s.settle(ctx), s.settled(ctx, version)); err != nil {
		return err
	}
	return errors.Join(s.note(ctx), s.check(ctx, version, made))
}

// goOn has the token rotate once more, from what is left. A refusal that no write has met yet is met by that.
func (s *subject) goOn(ctx context.Context, r row, e event) error {
	refused := s.refuses()
	err := s.rotate(ctx)
	if refused && err != nil && !s.refuses() {
		err = s.rotate(ctx)
	}
	switch {
	case err != nil:
		return fmt.Errorf("the next rotation: %w", err)
	case s.refuses():
		return errors.New("no write was refused")
	}
	if err := s.forget(); err != nil {
		return err
	}
	version, made := r.ends(e)
	if err := s.settled(ctx, version+1); err != nil {
		return fmt.Errorf("after the next rotation: %w", err)
	}
	token, err := s.data(ctx, "tokens/"+s.name)
	if err == nil && token["last_error"] != "" {
		err = fmt.Errorf("the problem %q is left", token["last_error"])
	}
	return errors.Join(err, s.note(ctx), s.check(ctx, version+1, made+1))
}

// each does something with each of the items, several at a time.
func each[T any](items []T, do func(int, T)) {
	const atATime = 4
	slots := make(chan struct{}, atATime)
	var group sync.WaitGroup
	for i, item := range items {
		slots <- struct{}{}
		group.Go(func() {
			do(i, item)
			<-slots
		})
	}
	group.Wait()
}

// table has a row for each point and a column for each event.
func table(rows []row, cells [][]string) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	heads := []string{"rotation", "before the step"}
	for _, e := range events {
		heads = append(heads, e.name)
	}
	fmt.Fprintln(w, strings.Join(heads, "\t"))
	for i, r := range rows {
		line := []string{r.story.name, r.step()}
		for _, column := range cells {
			cell := "not run"
			if i < len(column) {
				cell = column[i]
			}
			line = append(line, cell)
		}
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	_ = w.Flush() // a string takes everything
	return text.String()
}
