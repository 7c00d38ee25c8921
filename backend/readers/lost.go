package readers

import "slices"

const (
	// maxLost bounds how many counts of forgotten rows a token has.
	maxLost = 32
	// lostStep is how far apart forgotten rows may have been read to be counted together, in seconds.
	lostStep = 15 * 60
)

// Lost counts rows of one version that there was no room for. They count as readers until the last of them has been silent for long.
type Lost struct {
	Version uint32 `json:"v"`
	// Last is when the last of them was read, as a Unix time.
	Last  uint32 `json:"l"`
	Count uint32 `json:"n"`
}

// lose counts forgotten rows. The caller holds mu.
func (t *Token) lose(l Lost) {
	for i := range t.lost {
		known := &t.lost[i]
		if known.Version == l.Version && max(known.Last, l.Last)-min(known.Last, l.Last) <= lostStep {
			known.Last, known.Count = max(known.Last, l.Last), known.Count+l.Count
			return
		}
	}
	t.lost = append(t.lost, l)
	if len(t.lost) <= maxLost {
		return
	}
	// The two that were silent for longest become one, which counts for as long as either of them would have.
	slices.SortFunc(t.lost, func(a, b Lost) int { return int(a.Last) - int(b.Last) })
	both := Lost{Version: min(t.lost[0].Version, t.lost[1].Version), Last: t.lost[1].Last, Count: t.lost[0].Count + t.lost[1].Count}
	t.lost = append([]Lost{both}, t.lost[2:]...)
}
