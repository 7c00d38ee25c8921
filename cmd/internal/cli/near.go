package cli

import (
	"cmp"
	"slices"
	"strings"
)

// Near returns those of the names that could be meant by a name that is none of them, the nearest first.
func Near(name string, names []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	wanted := strings.Trim(strings.ToLower(name), "/")
	for _, n := range slices.Compact(slices.Sorted(slices.Values(names))) {
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
	found := make([]string, len(near))
	for i, c := range near {
		found[i] = c.name
	}
	return found
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
