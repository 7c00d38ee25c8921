//go:build unix

package acceptance

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var changelogHeading = regexp.MustCompile(`(?m)^## (.*)$`)

// TestChangelog_HasTheFormOfKeepAChangelog wants *Unreleased* on top, then the versions with their dates, the newest first, and an address
// for each of them: scripts/release.sh builds no tag without its section.
func TestChangelog_HasTheFormOfKeepAChangelog(t *testing.T) {
	t.Parallel()
	text := readDoc(t, "CHANGELOG.md")
	headings := changelogHeading.FindAllStringSubmatch(text, -1)
	if len(headings) < 2 || headings[0][1] != "[Unreleased]" {
		t.Fatalf("CHANGELOG.md has the sections %q, want [Unreleased] on top and a version below it", headings)
	}
	var dates []string
	for _, heading := range headings[1:] {
		version, date, _ := strings.Cut(heading[1], " - ")
		if !regexp.MustCompile(`^\[\d+\.\d+\.\d+\]$`).MatchString(version) {
			t.Errorf("%q is no version", version)
		}
		if _, err := time.Parse(time.DateOnly, date); err != nil {
			t.Errorf("%s has no date: %v", version, err)
		}
		if !strings.Contains(text, "\n"+version+": https://") {
			t.Errorf("%s has no address at the end", version)
		}
		dates = append(dates, date)
	}
	slices.Reverse(dates)
	if !slices.IsSorted(dates) {
		t.Errorf("the newest version is not the first: %q", dates)
	}
}
