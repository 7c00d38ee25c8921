//go:build unix

package acceptance

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs_PagesKeepToTheirLength keeps the pages short that are read from end to end.
func TestDocs_PagesKeepToTheirLength(t *testing.T) {
	t.Parallel()
	for path, limit := range map[string]struct{ lines, words int }{"README.md": {250, 2000}, "docs/reset.md": {15, 200}} {
		content := readDoc(t, path)
		if lines := strings.Count(content, "\n"); lines > limit.lines {
			t.Errorf("%s has %d lines, more than %d", path, lines, limit.lines)
		}
		if words := len(strings.Fields(content)); words > limit.words {
			t.Errorf("%s has %d words, more than %d", path, words, limit.words)
		}
	}
}

// TestDocs_MapHasEveryPage wants docs/README.md to link to every other page of docs.
func TestDocs_MapHasEveryPage(t *testing.T) {
	t.Parallel()
	const here = "docs/README.md"
	linked := map[string]bool{here: true}
	for _, found := range link.FindAllStringSubmatch(parsePage(here, readDoc(t, here)).prose, -1) {
		linked[filepath.Join("docs", found[1])] = true
	}
	for _, p := range readPages(t) {
		if strings.HasPrefix(p.path, "docs/") && !linked[p.path] {
			t.Errorf("%s does not link to %s", here, p.path)
		}
	}
}

// pasted is an argument whose value vault reads from standard input.
var pasted = regexp.MustCompile(` [a-z_]+=-(\s|$)`)

// TestDocs_TerminalShowsNoValueThatIsPasted wants a value that a person pastes to be read by read -rs.
func TestDocs_TerminalShowsNoValueThatIsPasted(t *testing.T) {
	t.Parallel()
	found := 0
	for _, p := range readPages(t) {
		for _, b := range p.blocks {
			if !b.isCommands() || !pasted.MatchString(b.text) {
				continue
			}
			if found++; !strings.Contains(b.text, "read -rs") {
				t.Errorf("%s:%d: the terminal shows the value", p.path, b.line)
			}
		}
	}
	if found == 0 {
		t.Error("no page hands a value in")
	}
}
