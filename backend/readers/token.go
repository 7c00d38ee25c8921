package readers

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unique"
)

const (
	// MaxRows bounds the rows of a token.
	MaxRows = 1000
	// storePause is how long after a write the next one of the same token may come at the earliest.
	storePause = 30 * time.Second
	// storeDelay is how long what is new waits for more.
	storeDelay = time.Second
	// maxText bounds a display name, and an address, in bytes.
	maxText = 256
)

// Token has the readers of one token.
type Token struct {
	Name, ID string
	book     *Book
	// index has the rows in the order of their keys. It is replaced, never changed, so that reads search it without a lock.
	index atomic.Pointer[[]*row]
	// storeAt is when the rows are stored next, or may be, as a Unix time.
	storeAt atomic.Int64

	// mu is held by whoever changes rows. Nothing that waits happens under it.
	mu sync.Mutex
	// merged says that the rows have what is stored, and gone that the token is not in the book any more.
	merged, gone bool
	// storing says that it is settled when what has changed is stored.
	storing bool
	// slack is for how long a row that came from storage may have been read after its stored last_read, in seconds.
	slack uint32
	// lost are the rows that there was no room for.
	lost []Lost
}

// row is a reader of a token at one address and path. A token may have a thousand of them, so it is small: 48 bytes.
type row struct {
	// key is 0 for a row that came from storage and was not read since.
	key uint64
	// face tells whether what is shown of the reader has changed.
	face atomic.Uint64
	// who and place are guarded by the token's mu.
	who   unique.Handle[who]
	place unique.Handle[place]
	// version is what was read last. last is when, and noted the last_read that is stored or about to be, as Unix times.
	version, last, noted atomic.Uint32
	first                uint32
}

// who is a reader as it is shown. accessor is set for a Vault token that this process has seen, and client for one that came from storage.
type who struct{ entityID, displayName, accessor, client string }

// place is where, and what, a reader reads.
type place struct {
	address string
	path    Path
}

// Read is a read that was answered.
type Read struct {
	Reader
	Path    Path
	Version int
	At      time.Time
	// Window is how long readers count for the retirement of old values. last_read is stored every quarter of it.
	Window time.Duration
}

// storeEvery is how long a row's last_read may be newer than the stored one, in seconds.
func storeEvery(window time.Duration) uint32 { return uint32(max(window/4, storePause) / time.Second) } //nolint:gosec // a policy's duration fits

func unix(t time.Time) uint32 { return uint32(max(t.Unix(), 0)) } //nolint:gosec // until the year 2106

// Saw takes note of a read. One that tells nothing new but its time takes no lock and no memory.
func (t *Token) Saw(read Read) {
	key, face := t.book.keys(&read.Reader, read.Path)
	now, version := unix(read.At), uint32(read.Version) //nolint:gosec // versions begin with 1
	if x := t.find(key); x != nil && x.version.Load() == version && x.face.Load() == face {
		if now < x.noted.Load()+storeEvery(read.Window) {
			if x.last.Load() < now {
				x.last.Store(now)
			}
			return
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return
	}
	x := t.find(key)
	if x == nil {
		x = t.bind(key, &read, now)
	}
	moved := x.version.Swap(version) != version
	if x.face.Swap(face) != face {
		x.who = t.whoIs(&read.Reader)
	}
	x.last.Store(max(x.last.Load(), now))
	x.noted.Store(now)
	t.storeSoon(now)
	t.book.note(t, moved)
}

// storeSoon says when the rows are to be stored: a moment after the first change, and not too soon after the last time. The caller holds
// mu.
func (t *Token) storeSoon(now uint32) {
	if !t.storing {
		t.storing = true
		t.storeAt.Store(max(t.storeAt.Load(), int64(now)+int64(storeDelay/time.Second)))
	}
}

// find returns the row with the key; nil where there is none.
func (t *Token) find(key uint64) *row {
	rows := *t.index.Load()
	i, found := slices.BinarySearchFunc(rows, key, func(x *row, key uint64) int { return cmp.Compare(x.key, key) })
	if !found {
		return nil
	}
	return rows[i]
}

// bind makes a row for a reader that has none with this key: of one that came from storage, or a new one. The caller holds mu.
func (t *Token) bind(key uint64, read *Read, now uint32) *row {
	where := unique.Make(place{t.text(read.Address), read.Path})
	fresh := &row{key: key, who: t.whoIs(&read.Reader), place: where, first: now}
	_, face := t.book.keys(&read.Reader, read.Path)
	fresh.face.Store(face)
	rows := slices.Clone(*t.index.Load())
	if i := t.indexOf(rows, fresh, true); i >= 0 {
		fresh.first = rows[i].first
		fresh.version.Store(rows[i].version.Load())
		fresh.last.Store(rows[i].last.Load())
		rows = slices.Delete(rows, i, i+1)
		t.book.rows.Add(-1)
	}
	i, _ := slices.BinarySearchFunc(rows, key, func(x *row, key uint64) int { return cmp.Compare(x.key, key) })
	fresh.last.Store(max(fresh.last.Load(), now))
	t.replace(t.makeRoom(slices.Insert(rows, i, fresh), fresh, uint32(read.Version)), 1) //nolint:gosec // versions begin with 1
	return fresh
}

// replace has the rows take the place of those before. added is how many the caller has put in. The caller holds mu.
func (t *Token) replace(rows []*row, added int) {
	rows = append(make([]*row, 0, len(rows)), rows...) // no more memory than that
	t.index.Store(&rows)
	t.book.rows.Add(int64(added))
}

// indexOf finds the row of the same reader, path and address, among those that came from storage or among all; -1 where there is none.
// The caller holds mu.
func (t *Token) indexOf(rows []*row, like *row, stored bool) int {
	w := like.who.Value()
	client := ""
	return slices.IndexFunc(rows, func(x *row) bool {
		if stored && x.key != 0 || x.place != like.place {
			return false
		}
		if x.who == like.who {
			return true
		}
		other := x.who.Value()
		if w.entityID != "" || other.entityID != "" {
			return w.entityID == other.entityID
		}
		if w.accessor == "" && w.client == "" {
			return other.accessor == "" && other.client == "" && w.displayName == other.displayName
		}
		if client == "" {
			client = t.clientOf(w)
		}
		return client != "" && client == t.clientOf(other)
	})
}

// clientOf is how the reader's Vault token is shown.
func (t *Token) clientOf(w who) string { return cmp.Or(w.client, t.book.client(w.accessor)) }

func (t *Token) whoIs(r *Reader) unique.Handle[who] {
	return unique.Make(who{entityID: r.EntityID, displayName: t.text(r.DisplayName), accessor: r.Accessor})
}

// text makes a text fit to be shown, and bounds it.
func (t *Token) text(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	return t.book.clean(text)
}

// makeRoom forgets a row where there are too many: the longest silent one that has the version of now, or, where none has, the longest
// silent of those behind. It keeps the one that was just read. The caller holds mu.
func (t *Token) makeRoom(rows []*row, keep *row, version uint32) []*row {
	for len(rows) > MaxRows {
		victim := -1
		better := func(x, than *row) bool {
			if behind, thanBehind := x.version.Load() < version, than.version.Load() < version; behind != thanBehind {
				return thanBehind
			}
			return x.last.Load() < than.last.Load()
		}
		for i, x := range rows {
			if x != keep && (victim < 0 || better(x, rows[victim])) {
				victim = i
			}
		}
		x := rows[victim]
		t.lose(Lost{Version: x.version.Load(), Last: t.lastOf(x), Count: 1})
		rows = slices.Delete(rows, victim, victim+1)
		t.book.rows.Add(-1)
		t.book.forgotten.Add(1)
	}
	return rows
}

// lastOf is when the row was read last, at the latest. The caller holds mu.
func (t *Token) lastOf(x *row) uint32 {
	if x.key == 0 {
		return x.last.Load() + t.slack
	}
	return x.last.Load()
}

// leave says that the token is not in the book any more.
func (t *Token) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = true
	t.book.rows.Add(-int64(len(*t.index.Load())))
	t.index.Store(&noRows)
}
