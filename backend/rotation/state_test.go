package rotation

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"testing"
)

// drawn are the arrows between states in the diagram of State's documentation.
func drawn(t *testing.T) map[[2]State]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "state.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var diagram string
	for _, declaration := range file.Decls {
		types, ok := declaration.(*ast.GenDecl)
		if !ok || types.Tok != token.TYPE {
			continue
		}
		if spec, ok := types.Specs[0].(*ast.TypeSpec); ok && spec.Name.Name == "State" {
			diagram = types.Doc.Text()
		}
	}
	arrows := map[[2]State]bool{}
	for _, match := range regexp.MustCompile(`(?m)^\s+(\w+) --> (\w+): \S`).FindAllStringSubmatch(diagram, -1) {
		arrows[[2]State{State(match[1]), State(match[2])}] = true
	}
	if len(arrows) == 0 {
		t.Fatal("State's documentation has no diagram")
	}
	return arrows
}

// What the machine does is what is drawn: all of it, and nothing else.
func TestStateDiagram(t *testing.T) {
	t.Parallel()
	seen := map[[2]State]bool{}
	play := func(s scenario, faults map[int]fault) *world {
		w := newWorld(t, s.settings)
		w.faults = faults
		s.play(w)
		maps.Copy(seen, w.transitions)
		return w
	}
	for _, s := range scenarios {
		play(s, nil)
	}
	for _, n := range turningPoints(play(scenarios["key"], nil)) {
		play(scenarios["key"], map[int]fault{n: noAnswer})
	}
	want := drawn(t)
	for arrow := range seen {
		if !want[arrow] {
			t.Errorf("%s --> %s happens and is not drawn", arrow[0], arrow[1])
		}
	}
	for arrow := range want {
		if !seen[arrow] {
			t.Errorf("%s --> %s is drawn and never happens", arrow[0], arrow[1])
		}
		for _, state := range arrow {
			if !slices.Contains([]State{StateIdle, StateRequested, StatePending, StateRetiring}, state) {
				t.Errorf("%s is no state", state)
			}
		}
	}
}
