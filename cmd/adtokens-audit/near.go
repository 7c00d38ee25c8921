package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxNear is how many near names are told.
const maxNear = 5

// nearest says which of the names in the logs could be meant; empty if there are none.
func nearest(name string, names []string) string {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	wanted := strings.Trim(strings.ToLower(name), "/")
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for _, n := range names {
		has := strings.Trim(strings.ToLower(n), "/")
		distance := changes(wanted, has)
		if wanted != "" && (strings.Contains(has, wanted) || strings.Contains(wanted, has)) {
			distance = 0
		}
		if distance <= 2+len(wanted)/4 {
			near = append(near, candidate{n, distance})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var quoted []string
	for _, c := range near[:min(len(near), maxNear)] {
		quoted = append(quoted, fmt.Sprintf("%q", c.name))
	}
	switch {
	case len(names) == 0:
		return ""
	case len(quoted) > 0:
		return "; near ones in them: " + strings.Join(quoted, ", ")
	}
	for _, n := range names[:min(len(names), maxNear)] {
		quoted = append(quoted, fmt.Sprintf("%q", n))
	}
	if len(names) > maxNear {
		quoted = append(quoted, "…")
	}
	return "; they have " + strings.Join(quoted, ", ")
}

// maxCompared is the length of the longest names that are compared by letters, in bytes.
const maxCompared = 64

// changes is how many letters have to be changed, added or left out to make one text of the other.
func changes(a, b string) int {
	if len(a) > maxCompared || len(b) > maxCompared {
		return maxCompared
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
