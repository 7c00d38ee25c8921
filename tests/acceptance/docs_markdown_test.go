//go:build unix

package acceptance

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// page is a Markdown file of the module.
type page struct {
	// path is relative to the module's root.
	path   string
	blocks []block
	// prose is the page without its fenced blocks.
	prose string
}

// block is a fenced block. What a test has to know beyond what the reader sees stands in HTML comments above it, which
// TestDocsCommands explains.
type block struct {
	line     int
	language string
	text     string
	// directives are those comments, by their first word.
	directives map[string]string
}

var directive = regexp.MustCompile(`^<!-- ([a-z-]+)(?:: (.*?))? -->$`)

func parsePage(path, content string) page {
	p := page{path: path}
	var (
		open       *block
		prose      []string
		directives = map[string]string{}
	)
	for i, line := range strings.Split(content, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			open = &block{line: i + 1, language: fence, directives: directives}
		case isFence:
			p.blocks = append(p.blocks, *open)
			open, directives = nil, map[string]string{}
		case open != nil:
			open.text += line + "\n"
		default:
			if found := directive.FindStringSubmatch(line); found != nil {
				directives[found[1]] = found[2]
			} else if line != "" {
				directives = map[string]string{}
			}
			prose = append(prose, line)
		}
	}
	p.prose = strings.Join(prose, "\n")
	return p
}

// docsRoot is the module's root, seen from this package.
const docsRoot = "../.."

// story are the pages whose commands build on each other, in the order in which they do.
var story = []string{
	"README.md", "docs/platforms/impact.md", "docs/platforms/google_ads.md", "docs/reset.md", "docs/rotate.md", "docs/operations.md",
	"docs/apps.md",
}

// readPages reads every Markdown file for users, those of the story first.
func readPages(t *testing.T) []page {
	t.Helper()
	paths := slices.Clone(story)
	for _, pattern := range []string{"docs/*.md", "docs/platforms/*.md", "*.md"} {
		found := done(filepath.Glob(filepath.Join(docsRoot, pattern)))(t)
		slices.Sort(found)
		for _, path := range found {
			if path = done(filepath.Rel(docsRoot, path))(t); !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	pages := make([]page, len(paths))
	for i, path := range paths {
		pages[i] = parsePage(path, readDoc(t, path))
	}
	return pages
}

func readDoc(t *testing.T, path string) string {
	t.Helper()
	return string(done(os.ReadFile(filepath.Join(docsRoot, path)))(t))
}

var (
	inlineCode = regexp.MustCompile("`[^`\n]+`")
	heading    = regexp.MustCompile(`(?m)^#+ (.*)$`)
	// link has the target of an inline link; none of ours has brackets in its text.
	link = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	// notInAnchors are the characters that GitHub drops from a heading to make its anchor.
	notInAnchors = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are where links into the page may lead.
func (p page) anchors() []string {
	var anchors []string
	for _, found := range heading.FindAllStringSubmatch(p.prose, -1) {
		anchor := notInAnchors.ReplaceAllString(strings.ToLower(strings.TrimSpace(found[1])), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	return anchors
}

// code are the pieces of inline code.
func (p page) code() []string {
	pieces := inlineCode.FindAllString(p.prose, -1)
	for i, piece := range pieces {
		pieces[i] = strings.Trim(piece, "`")
	}
	return pieces
}
