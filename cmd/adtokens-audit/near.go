package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// maxNear is how many near names are told.
const maxNear = 5

// nearest says which of the names in the logs could be meant; empty if there are none.
func nearest(name string, names []string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	near := cli.Near(name, names)
	var quoted []string
	for _, n := range near[:min(len(near), maxNear)] {
		quoted = append(quoted, fmt.Sprintf("%q", n))
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
