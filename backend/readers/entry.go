package readers

import (
	"slices"
	"time"
	"unique"
)

// Schema is the version of Entry's form.
const Schema = 1

// Entry is how the readers of a token are stored. It holds no secret.
type Entry struct {
	Schema int `json:"schema"`
	// ID is the token's. Readers of another token of the same name are none of this one.
	ID string `json:"id,omitempty"`
	// Slack is for how long a reader may have read on after the last_read that is stored, in seconds.
	Slack   uint32        `json:"slack"`
	Readers []EntryReader `json:"readers"`
	Lost    []Lost        `json:"lost,omitempty"`
}

// EntryReader is a row. Times are Unix times.
type EntryReader struct {
	EntityID    string `json:"e,omitempty"`
	DisplayName string `json:"d,omitempty"`
	Client      string `json:"c,omitempty"`
	Address     string `json:"a,omitempty"`
	AccessToken bool   `json:"t,omitempty"`
	Version     uint32 `json:"v"`
	First       uint32 `json:"f"`
	Last        uint32 `json:"l"`
}

// Merged says whether the rows have what is stored.
func (t *Token) Merged() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.merged
}

// Unmerge says that another node has stored something else.
func (t *Token) Unmerge() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.merged = false
}

// Merge adds what is stored to what was read since the process started. Of a row that both have, the later one counts.
func (t *Token) Merge(e Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.merged || t.gone {
		return
	}
	t.merged = true
	if e.ID != t.ID {
		return
	}
	t.slack = max(t.slack, e.Slack)
	rows, newest, added := slices.Clone(*t.index.Load()), uint32(0), 0
	for i := range e.Readers {
		stored := t.storedRow(&e.Readers[i])
		newest = max(newest, stored.version.Load())
		at := t.indexOf(rows, stored, false)
		if at < 0 {
			rows = append(rows, stored)
			added++
			continue
		}
		known := rows[at]
		known.first = min(known.first, stored.first)
		if known.last.Load() < stored.last.Load() {
			known.last.Store(stored.last.Load())
			known.version.Store(stored.version.Load())
		}
	}
	for _, x := range rows {
		newest = max(newest, x.version.Load())
	}
	slices.SortStableFunc(rows, func(a, b *row) int {
		switch {
		case a.key < b.key:
			return -1
		case a.key > b.key:
			return 1
		}
		return 0
	})
	t.replace(t.makeRoom(rows, nil, newest), added)
	for _, l := range e.Lost {
		t.lose(l)
	}
}

func (t *Token) storedRow(r *EntryReader) *row {
	where := place{address: r.Address}
	if r.AccessToken {
		where.path = AccessToken
	}
	x := &row{
		who:   unique.Make(who{entityID: r.EntityID, displayName: r.DisplayName, client: r.Client}),
		place: unique.Make(where), first: r.First,
	}
	x.version.Store(r.Version)
	x.last.Store(r.Last)
	x.noted.Store(r.Last)
	return x
}

// Entry is what to store now. Rows that were silent since before the given time are dropped. It counts as stored: who fails to store it
// calls Book.Untake.
func (t *Token) Entry(now, since time.Time, window time.Duration) Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := slices.DeleteFunc(slices.Clone(*t.index.Load()), func(x *row) bool { return x.last.Load() < unix(since) })
	if gone := len(*t.index.Load()) - len(rows); gone > 0 {
		t.replace(rows, -gone)
	}
	t.lost = slices.DeleteFunc(t.lost, func(l Lost) bool { return l.Last < unix(since) })
	e := Entry{Schema: Schema, ID: t.ID, Slack: max(t.slack, storeEvery(window)), Readers: make([]EntryReader, len(rows)), Lost: slices.Clone(t.lost)}
	for i, x := range rows {
		w, p := x.who.Value(), x.place.Value()
		e.Readers[i] = EntryReader{
			EntityID: w.entityID, DisplayName: w.displayName, Client: t.clientOf(w), Address: p.address, AccessToken: p.path == AccessToken,
			Version: x.version.Load(), First: x.first, Last: x.last.Load(),
		}
		x.noted.Store(max(x.noted.Load(), x.last.Load()))
	}
	t.storing = false
	t.storeAt.Store(now.Add(storePause).Unix())
	return e
}
