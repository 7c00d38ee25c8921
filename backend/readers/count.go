package readers

import (
	"slices"
	"strings"
	"time"
)

// tick is how much later than its time says a row may have been read.
const tick = time.Second

// Row is a reader as it is shown.
type Row struct {
	EntityID, DisplayName string
	// Client is a keyed hash of the Vault token's accessor; empty for a token that has none.
	Client      string
	Address     string
	Path        Path
	Version     int
	First, Last time.Time
}

// Rows returns the rows that were read since then, those with the oldest version first, and of these the latest first.
func (t *Token) Rows(since time.Time) []Row {
	t.mu.Lock()
	defer t.mu.Unlock()
	var shown []Row
	for _, x := range *t.index.Load() {
		if last := time.Unix(int64(x.last.Load()), 0); last.Add(tick).After(since) {
			w, p := x.who.Value(), x.place.Value()
			shown = append(shown, Row{
				EntityID: w.entityID, DisplayName: w.displayName, Client: t.clientOf(w), Address: p.address, Path: p.path,
				Version: int(x.version.Load()), First: time.Unix(int64(x.first), 0), Last: last,
			})
		}
	}
	slices.SortFunc(shown, compareRows)
	return shown
}

func compareRows(a, b Row) int {
	if a.Version != b.Version {
		return a.Version - b.Version
	}
	if order := b.Last.Compare(a.Last); order != 0 {
		return order
	}
	return strings.Compare(a.EntityID+a.DisplayName+a.Client+a.Address, b.EntityID+b.DisplayName+b.Client+b.Address)
}

// ReadBy says whether an entity, or somebody of that display name, is among the readers.
func (t *Token) ReadBy(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return name != "" && slices.ContainsFunc(*t.index.Load(), func(x *row) bool {
		w := x.who.Value()
		return w.entityID == name || w.displayName == name
	})
}

// Behind are the readers that have not read a newer version than a given one.
type Behind struct {
	// Rows are those that are known, and Forgotten those that there was no room for.
	Rows, Forgotten int
	// Until is when the last of them has been silent for the window.
	Until time.Time
}

// Count is how many there are.
func (b Behind) Count() int { return b.Rows + b.Forgotten }

// Behind counts who has read the version, or an older one, last, and has done so within the window that ends now. What came from storage
// counts for as much longer as it may have been read after it was stored.
func (t *Token) Behind(version int, window time.Duration, now time.Time) (b Behind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := func(has, last uint32, counter *int, n int) {
		until := time.Unix(int64(last), 0).Add(tick + window)
		if int(has) > version || !until.After(now) {
			return
		}
		*counter += n
		if until.After(b.Until) {
			b.Until = until
		}
	}
	for _, x := range *t.index.Load() {
		count(x.version.Load(), t.lastOf(x), &b.Rows, 1)
	}
	for _, l := range t.lost {
		count(l.Version, l.Last, &b.Forgotten, int(l.Count))
	}
	return b
}
