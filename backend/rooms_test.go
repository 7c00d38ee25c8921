package backend

import (
	"bytes"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// What docs/architecture.md says of the files, as far as it can be measured.
const (
	// longestFile is in lines.
	longestFile = 300
	// largestCycle is how many files may need each other, all in all: 1 for no cycle at all.
	largestCycle = 1
)

const modulePath = "github.com/adtokens/vault-plugin-secrets-adtokens/"

// sources loads the module's own packages, and pretends that all others are empty. That is much faster than to load those, and what
// the files of one package use of each other is known all the same: see uses.
type sources struct {
	files *gotoken.FileSet
	known map[string]*types.Package
}

// Import is part of types.Importer.
func (s *sources) Import(importPath string) (*types.Package, error) {
	if s.known[importPath] == nil {
		s.known[importPath] = types.NewPackage(importPath, path.Base(importPath))
		s.known[importPath].MarkComplete()
		if dir, own := strings.CutPrefix(importPath, modulePath); own {
			parsed, err := s.parse(filepath.Join("..", filepath.FromSlash(dir)))
			if err != nil {
				return nil, err
			}
			s.known[importPath] = s.check(importPath, parsed, nil)
		}
	}
	return s.known[importPath], nil
}

// parse reads the package in a directory, without its tests.
func (s *sources) parse(dir string) (parsed []*ast.File, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(s.files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, file)
	}
	return parsed, err
}

// check finds what the names of a package mean; info nil does so for what other packages can use. Errors are those of what is not
// loaded.
func (s *sources) check(importPath string, parsed []*ast.File, info *types.Info) *types.Package {
	config := types.Config{Importer: s, Error: func(error) {}, IgnoreFuncBodies: info == nil}
	checked, _ := config.Check(importPath, s.files, parsed, info)
	return checked
}

// uses are the names that a file uses of another one, by file and other file.
type uses map[string]map[string][]string

func (u uses) add(from, to, name string) {
	if from == to {
		return
	}
	if u[from] == nil {
		u[from] = map[string][]string{}
	}
	if !slices.Contains(u[from][to], name) {
		u[from][to] = append(u[from][to], name)
	}
}

// measureUses finds what the files of this package use of each other: functions, methods, types, constants, variables and fields.
// Where a name could not be resolved, because it is used on or inside something of a package that is not loaded, it stands for the
// function or method of that name.
func measureUses(t *testing.T) uses {
	t.Helper()
	s := &sources{files: gotoken.NewFileSet(), known: map[string]*types.Package{}}
	parsed, err := s.parse(".")
	if err != nil {
		t.Fatal(err)
	}
	info := &types.Info{
		Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
	}
	own := s.check(modulePath+"backend", parsed, info)
	file := func(p gotoken.Pos) string { return filepath.Base(s.files.Position(p).Filename) }
	methods := unexportedMethods(info)
	found := uses{}
	for name, used := range info.Uses {
		if used.Pkg() == own {
			found.add(file(name.Pos()), file(used.Pos()), used.Name())
		}
	}
	for _, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool {
			if selected, ok := n.(*ast.SelectorExpr); ok && info.Selections[selected] == nil && info.Uses[selected.Sel] == nil {
				if method := methods[selected.Sel.Name]; method != nil {
					found.add(file(selected.Pos()), file(method.Pos()), method.Name())
				}
			}
			name, ok := n.(*ast.Ident)
			if !ok || info.Uses[name] != nil || info.Defs[name] != nil {
				return true
			}
			if function, ok := own.Scope().Lookup(name.Name).(*types.Func); ok {
				found.add(file(name.Pos()), file(function.Pos()), name.Name)
			}
			return true
		})
	}
	return found
}

// unexportedMethods are the methods by name that are no field's name too.
func unexportedMethods(info *types.Info) map[string]types.Object {
	methods := map[string]types.Object{}
	for _, defined := range info.Defs {
		if f, ok := defined.(*types.Func); ok && f.Signature().Recv() != nil && !f.Exported() {
			methods[f.Name()] = f
		}
	}
	for _, defined := range info.Defs {
		if v, ok := defined.(*types.Var); ok && v.IsField() {
			delete(methods, v.Name())
		}
	}
	return methods
}

// leaveOut drops the files that cannot but know of all others: backend.go lists the paths and has the type that all methods are of.
// Fail points are for tests.
func (u uses) leaveOut() {
	left := func(name string) bool { return name == "backend.go" || strings.HasPrefix(name, "failpoint") }
	maps.DeleteFunc(u, func(from string, _ map[string][]string) bool { return left(from) })
	for _, others := range u {
		maps.DeleteFunc(others, func(to string, _ []string) bool { return left(to) })
	}
}

// reached are the files that a file needs, directly or not.
func (u uses) reached(from string) map[string]bool {
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		for next := range u[name] {
			if !seen[next] {
				seen[next] = true
				visit(next)
			}
		}
	}
	visit(from)
	return seen
}

func TestRooms_WhatAPathFileDefinesIsItsOwn(t *testing.T) {
	t.Parallel()
	found := measureUses(t)
	found.leaveOut()
	for from, others := range found {
		for to, names := range others {
			if strings.HasPrefix(to, "path_") {
				t.Errorf("%s uses %s of %s: move it to a file that is named for it", from, strings.Join(names, ", "), to)
			}
		}
	}
}

func TestRooms_FilesNeedEachOtherOneWay(t *testing.T) {
	t.Parallel()
	found := measureUses(t)
	if len(found) < 40 || !slices.Contains(found["backend.go"]["path_creds.go"], "pathCreds") {
		t.Fatalf("the uses of %d files were found: nothing is measured here", len(found))
	}
	found.leaveOut()
	for _, from := range slices.Sorted(maps.Keys(found)) {
		cycle := []string{from}
		for to := range found.reached(from) {
			if to != from && found.reached(to)[from] {
				cycle = append(cycle, to)
			}
		}
		if len(cycle) <= largestCycle {
			continue
		}
		for _, name := range cycle {
			for _, to := range cycle {
				if names := found[name][to]; names != nil {
					t.Errorf("%s needs %s for %s", name, to, strings.Join(names, ", "))
				}
			}
		}
		t.Fatalf("%d files need each other, and at most %d may", len(cycle), largestCycle)
	}
}

// walkSources calls do with each file of the engine that is no test.
func walkSources(t *testing.T, do func(name string, source []byte)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		source, err := os.ReadFile(name)
		if err == nil {
			do(filepath.ToSlash(name), source)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRooms_FilesFitTheirJob(t *testing.T) {
	t.Parallel()
	walkSources(t, func(name string, source []byte) {
		if lines := bytes.Count(source, []byte("\n")); lines > longestFile {
			t.Errorf("%s has %d lines, and at most %d may: give each of its jobs a file", name, lines, longestFile)
		}
	})
}

// doorFiles are those files beside the path files that see a request as Vault's framework has it, each with its reason.
var doorFiles = map[string]string{
	"request.go":   "every request comes in there, before and after the framework",
	"input.go":     "refuses what the framework would ignore, or quote in an error, and reads fields for the path files",
	"requester.go": "reads who asks, for the path files",
	"lease.go":     "declares what is done with a lease, as a path file does for a path",

	"internal/testkit/request.go": "sends requests in tests",
}

func TestRooms_ARequestIsReadAtTheDoor(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	walkSources(t, func(name string, source []byte) {
		parsed, err := parser.ParseFile(gotoken.NewFileSet(), name, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			selected, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			seen[name] = seen[name] || slices.Contains([]string{"framework.FieldData", "logical.Request"}, types.ExprString(selected))
			return true
		})
		if seen[name] && !strings.HasPrefix(name, "path_") && doorFiles[name] == "" {
			t.Errorf("%s sees framework.FieldData or logical.Request: have a path file read the request, and hand down what is in it", name)
		}
	})
	for name := range doorFiles {
		if !seen[name] {
			t.Errorf("%s does not see a request: take it out of the list", name)
		}
	}
	if !seen["path_rotate.go"] {
		t.Error("not even path_rotate.go sees a request: nothing is measured here")
	}
}

// ofStandards are fields of platforms that have their names of RFC 6749.
var ofStandards = []string{"access_token"}

// platformWords finds the names of platforms, of their token types and of their fields. A field with a name of one word may be called
// as the thing itself.
func platformWords() *regexp.Regexp {
	words := map[string]bool{"Google": true}
	b := newBackend(time.Now)
	for _, p := range b.builtIn {
		words[p.Name] = true
		fields := p.AccountFields
		for _, kind := range p.Types {
			if !slices.Contains(ofStandards, kind.Name) {
				words[kind.Name] = true
			}
			fields = slices.Concat(fields, kind.Fields, kind.Options)
		}
		for _, f := range fields {
			if strings.Contains(f.Name, "_") && !slices.Contains(ofStandards, f.Name) {
				words[f.Name] = true
			}
		}
	}
	return regexp.MustCompile(`\b(?:` + strings.Join(slices.Sorted(maps.Keys(words)), "|") + `)\b`)
}

func TestRooms_TheEngineKnowsNoPlatform(t *testing.T) {
	t.Parallel()
	words := platformWords()
	found := map[string][]string{}
	walkSources(t, func(name string, source []byte) {
		if strings.HasPrefix(name, "provider/") {
			return
		}
		parsed, err := parser.ParseFile(gotoken.NewFileSet(), name, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if _, isImport := n.(*ast.ImportSpec); isImport {
				return false
			}
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == gotoken.STRING {
				found[name] = append(found[name], words.FindAllString(literal.Value, -1)...)
			}
			return true
		})
	})
	for _, name := range slices.Sorted(maps.Keys(found)) {
		slices.Sort(found[name])
		found[name] = slices.Compact(found[name])
		if len(found[name]) > 0 {
			t.Errorf("%s has the names %q of platforms in its texts", name, found[name])
		}
	}
}
