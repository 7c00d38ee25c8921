package readers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const window = 24 * time.Hour

var epoch = time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)

func hash(accessor string) string {
	sum := sha256.Sum256([]byte("a key " + accessor))
	return hex.EncodeToString(sum[:])[:16]
}

func newBook() *Book {
	b := NewBook(func(text string) string { return strings.ReplaceAll(text, "\n", "?") })
	b.KnowHash(hash)
	return b
}

// saw is a read of creds/.
func (t *Token) saw(r Reader, version int, at time.Time) {
	t.Saw(Read{Reader: r, Version: version, At: at, Window: window})
}

func client(n int) Reader {
	return Reader{DisplayName: "token", Accessor: fmt.Sprintf("accessor-%d", n), Address: "192.0.2.1"}
}

// again is the token after a restart of the process that had stored it.
func again(tb testing.TB, t *Token, at time.Time) *Token {
	tb.Helper()
	text, err := json.Marshal(t.Entry(at, at.Add(-window), window))
	if err != nil {
		tb.Fatal(err)
	}
	var stored Entry
	if err := json.Unmarshal(text, &stored); err != nil {
		tb.Fatal(err)
	}
	next := newBook().Token(t.Name, t.ID)
	next.Merge(stored)
	return next
}

func TestSaw_HasARowForEachReaderAddressAndPath(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		first, second Read
		rows          int
	}{
		"the same":                   {Read{Reader: client(1)}, Read{Reader: client(1)}, 1},
		"another client":             {Read{Reader: client(1)}, Read{Reader: client(2)}, 2},
		"another address":            {Read{Reader: Reader{EntityID: "e", Address: "a"}}, Read{Reader: Reader{EntityID: "e", Address: "b"}}, 2},
		"another path":               {Read{Reader: client(1)}, Read{Reader: client(1), Path: AccessToken}, 2},
		"another entity":             {Read{Reader: Reader{EntityID: "e"}}, Read{Reader: Reader{EntityID: "f"}}, 2},
		"an entity of two clients":   {Read{Reader: Reader{EntityID: "e", Accessor: "x"}}, Read{Reader: Reader{EntityID: "e", Accessor: "y"}}, 1},
		"an entity of two names":     {Read{Reader: Reader{EntityID: "e", DisplayName: "x"}}, Read{Reader: Reader{EntityID: "e", DisplayName: "y"}}, 1},
		"batch tokens of one name":   {Read{Reader: Reader{DisplayName: "x", Address: "a"}}, Read{Reader: Reader{DisplayName: "x", Address: "a"}}, 1},
		"batch tokens of two names":  {Read{Reader: Reader{DisplayName: "x"}}, Read{Reader: Reader{DisplayName: "y"}}, 2},
		"a name like an accessor":    {Read{Reader: Reader{DisplayName: "x"}}, Read{Reader: Reader{Accessor: "x"}}, 2},
		"an entity like an accessor": {Read{Reader: Reader{EntityID: "x"}}, Read{Reader: Reader{Accessor: "x"}}, 2},
		"nobody":                     {Read{}, Read{}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := newBook()
			token := book.Token("app", "id")
			for i, read := range []Read{tt.first, tt.second} {
				read.Version, read.At, read.Window = i+1, epoch.Add(time.Duration(i)*time.Minute), window
				token.Saw(read)
			}
			rows := token.Rows(epoch)
			if len(rows) != tt.rows || book.Rows() != tt.rows {
				t.Fatalf("there are %d rows and %d are counted, want %d", len(rows), book.Rows(), tt.rows)
			}
			last := rows[len(rows)-1]
			if last.Version != 2 || !last.Last.Equal(epoch.Add(time.Minute)) || last.EntityID != tt.second.EntityID || last.DisplayName != tt.second.DisplayName {
				t.Errorf("the last row is %+v", last)
			}
			if first := rows[0].First; !first.Equal(epoch) {
				t.Errorf("the first read is at %s, want %s", first, epoch)
			}
			// The same readers are known again after a restart.
			restarted := again(t, token, epoch.Add(time.Minute))
			for _, read := range []Read{tt.first, tt.second} {
				read.Version, read.At, read.Window = 3, epoch.Add(time.Hour), window
				restarted.Saw(read)
			}
			rows = restarted.Rows(epoch)
			if len(rows) != tt.rows || !rows[0].First.Before(epoch.Add(time.Hour)) || restarted.Behind(2, window, epoch.Add(time.Hour)).Count() != 0 {
				t.Errorf("after a restart the rows are %+v, want %d", rows, tt.rows)
			}
		})
	}
}

func TestRows_ShowWhoIsBehindFirst(t *testing.T) {
	t.Parallel()
	token := newBook().Token("app", "id")
	for n := range 3 {
		token.saw(client(n), 1, epoch.Add(time.Duration(n)*time.Minute))
	}
	token.saw(client(0), 2, epoch.Add(time.Hour))
	rows := token.Rows(epoch.Add(time.Minute))
	if len(rows) != 3 || rows[0].Client != hash("accessor-2") || rows[1].Client != hash("accessor-1") || rows[2].Version != 2 {
		t.Errorf("got %+v", rows)
	}
	if rows := token.Rows(epoch.Add(2 * time.Minute)); len(rows) != 2 {
		t.Errorf("%d rows are within the window, want 2", len(rows))
	}
	for _, row := range token.Rows(time.Time{}) {
		if strings.Contains(fmt.Sprint(row), "accessor") {
			t.Error("a row shows an accessor")
		}
	}
}

func TestBehind_CountsUntilTheWindowIsOver(t *testing.T) {
	t.Parallel()
	token := newBook().Token("app", "id")
	token.saw(client(1), 1, epoch)
	token.saw(client(2), 1, epoch.Add(time.Hour))
	token.saw(client(3), 2, epoch.Add(time.Hour))
	want := func(at time.Time, version, count int) {
		t.Helper()
		if b := token.Behind(version, window, at); b.Count() != count || count > 0 && b.Until.Before(at) {
			t.Errorf("at %s %d are behind until %s, want %d", at.Sub(epoch), b.Count(), b.Until, count)
		}
	}
	want(epoch.Add(time.Hour), 0, 0)
	want(epoch.Add(time.Hour), 1, 2)
	want(epoch.Add(time.Hour), 2, 3)
	want(epoch.Add(window), 1, 2) // a row's time has no fractions
	want(epoch.Add(window+2*time.Second), 1, 1)
	want(epoch.Add(window+time.Hour+2*time.Second), 1, 0)
	token.saw(client(2), 2, epoch.Add(2*time.Hour))
	want(epoch.Add(2*time.Hour), 1, 1)
	if until := token.Behind(1, window, epoch.Add(2*time.Hour)).Until; !until.Equal(epoch.Add(window + time.Second)) {
		t.Errorf("they are behind until %s", until)
	}
}

func TestMakeRoom_ForgetsTheLongestSilentOfTheCurrentFirst(t *testing.T) {
	t.Parallel()
	book := newBook()
	token := book.Token("app", "id")
	for n := range MaxRows {
		version := 1
		if n >= 10 {
			version = 2
		}
		token.saw(client(n), version, epoch.Add(time.Duration(n)*time.Second))
	}
	now := epoch.Add(2 * time.Hour)
	token.saw(client(MaxRows), 2, now)
	if rows := token.Rows(time.Time{}); len(rows) != MaxRows || rows[9].Version != 1 || book.Rows() != MaxRows || book.Forgotten() != 1 {
		t.Fatalf("%d rows are left, %d counted, %d forgotten", len(rows), book.Rows(), book.Forgotten())
	}
	for _, row := range token.Rows(time.Time{}) {
		if row.Client == hash("accessor-10") {
			t.Error("the longest silent of the current ones is still there")
		}
	}
	if b := token.Behind(1, window, now); b.Rows != 10 || b.Forgotten != 0 {
		t.Errorf("behind are %+v", b)
	}
	forgottenIsBehind(t, token, now)
}

// forgottenIsBehind wants the one that was forgotten to be behind, too, after a rotation, until the window is over.
func forgottenIsBehind(t *testing.T, token *Token, now time.Time) {
	t.Helper()
	if b := token.Behind(2, window, now); b.Forgotten != 1 {
		t.Errorf("behind version 3 are %+v", b)
	}
	if b := token.Behind(2, time.Hour, now); b.Forgotten != 0 {
		t.Errorf("behind version 3 within an hour are %+v", b)
	}
	// Where nobody else is current, one of those behind goes, and counts. The next ones take the place of each other.
	for n := range 5 {
		token.saw(client(MaxRows+1+n), 3, now)
	}
	if b := token.Behind(2, window, now); b.Forgotten != 2 || b.Rows != MaxRows-1 {
		t.Errorf("behind version 3 are %+v, want 2 forgotten ones and %d rows", b, MaxRows-1)
	}
	if b := again(t, token, now).Behind(3, window, now); b.Forgotten != 6 {
		t.Errorf("after a restart %d are forgotten, want 6", b.Forgotten)
	}
}

func TestLose_CountsAreBounded(t *testing.T) {
	t.Parallel()
	token := newBook().Token("app", "id")
	const n = 1000
	for i := range n {
		token.lose(Lost{Version: uint32(1 + i%7), Last: uint32(epoch.Unix()) + uint32(i*lostStep), Count: 1})
	}
	sum := 0
	for _, l := range token.lost {
		sum += int(l.Count)
	}
	if len(token.lost) > maxLost || sum != n {
		t.Errorf("%d counts have %d, want at most %d with %d", len(token.lost), sum, maxLost, n)
	}
}

func TestMerge_CountsWhatWasReadAfterItWasStored(t *testing.T) {
	t.Parallel()
	token := newBook().Token("app", "id")
	token.saw(client(1), 1, epoch)
	restarted := again(t, token, epoch)
	// It may have been read for a quarter of the window after that.
	for after, want := range map[time.Duration]int{window: 1, window + window/4 - time.Minute: 1, window + window/4 + time.Minute: 0} {
		if got := restarted.Behind(1, window, epoch.Add(after)).Count(); got != want {
			t.Errorf("%s after the stored read %d are behind, want %d", after, got, want)
		}
	}
	if rows := restarted.Rows(time.Time{}); len(rows) != 1 || !rows[0].Last.Equal(epoch) {
		t.Errorf("the rows are %+v", rows)
	}
	restarted.saw(client(1), 1, epoch.Add(time.Minute))
	if got := restarted.Behind(1, window, epoch.Add(window+2*time.Minute)).Count(); got != 0 {
		t.Errorf("%d are behind after a read in this process, want none", got)
	}
}

func TestMerge_IsOfTheSameTokenOnly(t *testing.T) {
	t.Parallel()
	token := newBook().Token("app", "id")
	token.saw(client(1), 1, epoch)
	stored := token.Entry(epoch, epoch, window)
	other := newBook().Token("app", "another id")
	other.Merge(stored)
	if rows := other.Rows(time.Time{}); len(rows) != 0 || !other.Merged() {
		t.Errorf("a token made anew has %d readers", len(rows))
	}
}

func TestMerge_FindsWhoHasReadMeanwhile(t *testing.T) {
	t.Parallel()
	token := newBook().Token("app", "id")
	for n := range 3 {
		token.saw(client(n), 1, epoch)
	}
	stored := token.Entry(epoch, epoch, window)
	book := newBook()
	restarted := book.Token("app", "id")
	restarted.saw(client(1), 2, epoch.Add(time.Minute))
	restarted.Merge(stored)
	restarted.Merge(stored) // for the second time it is nothing
	rows := restarted.Rows(time.Time{})
	if len(rows) != 3 || book.Rows() != 3 || rows[2].Version != 2 || !rows[2].First.Equal(epoch) {
		t.Errorf("got %+v, %d counted", rows, book.Rows())
	}
}

func TestTakeDue_StoresSoonAndNotOften(t *testing.T) {
	t.Parallel()
	book := newBook()
	token := book.Token("app", "id")
	due := func(at time.Time, want bool) {
		t.Helper()
		taken, _ := book.TakeDue(at.Unix())
		if got := len(taken) == 1; got != want {
			t.Errorf("after %s it is to be stored: %t, want %t", at.Sub(epoch), got, want)
		}
		for _, seen := range taken {
			seen.Entry(at, time.Time{}, window)
		}
	}
	due(epoch, false)
	token.saw(client(1), 1, epoch)
	due(epoch, false)
	due(epoch.Add(time.Second), true)
	token.saw(client(2), 1, epoch.Add(2*time.Second))
	due(epoch.Add(30*time.Second), false)
	due(epoch.Add(31*time.Second), true)
	// Nothing new but the time: every quarter of the window.
	token.saw(client(1), 1, epoch.Add(window/4-time.Minute))
	due(epoch.Add(window/4-time.Second), false)
	token.saw(client(1), 1, epoch.Add(window/4+time.Minute))
	due(epoch.Add(window/4+2*time.Minute), true)
	token.saw(client(1), 2, epoch.Add(window/4+3*time.Minute))
	due(epoch.Add(window/4+4*time.Minute), true)
	if moved := book.TakeMoved(); len(moved) != 1 {
		t.Errorf("%d tokens have moved, want 1", len(moved))
	}
	book.Untake(token, epoch.Add(window).Unix())
	due(epoch.Add(window-time.Second), false)
	due(epoch.Add(window), true)
}

func TestEntry_DropsWhoWasSilentForLong(t *testing.T) {
	t.Parallel()
	book := newBook()
	token := book.Token("app", "id")
	token.saw(client(1), 1, epoch)
	token.saw(client(2), 1, epoch.Add(time.Hour))
	if e := token.Entry(epoch.Add(time.Hour), epoch.Add(time.Minute), window); len(e.Readers) != 1 || book.Rows() != 1 {
		t.Errorf("%d readers are stored and %d counted, want 1", len(e.Readers), book.Rows())
	}
}

func TestForget_LeavesNothing(t *testing.T) {
	t.Parallel()
	book := newBook()
	token := book.Token("app", "id")
	token.saw(client(1), 1, epoch)
	book.Forget("app")
	token.saw(client(2), 1, epoch) // a read that was under way
	if due, more := book.TakeDue(epoch.Add(time.Hour).Unix()); len(due) > 0 || more || book.Rows() != 0 || book.Peek("app") != nil {
		t.Errorf("%d are to be stored and %d rows are left", len(due), book.Rows())
	}
	if book.Token("app", "id") == token || book.Token("app", "id").ReadBy("token") {
		t.Error("a token made anew has the readers of the one before")
	}
}

func TestReadBy_KnowsEntitiesAndNames(t *testing.T) {
	t.Parallel()
	token := newBook().Token("app", "id")
	token.saw(Reader{EntityID: "entity-jane", DisplayName: "userpass-jane", Accessor: "x"}, 1, epoch)
	for who, want := range map[string]bool{"entity-jane": true, "userpass-jane": true, "jane": false, "": false, "x": false} {
		if got := token.ReadBy(who); got != want {
			t.Errorf("read by %q: %t, want %t", who, got, want)
		}
	}
}

func TestSaw_ManyAtOnce(t *testing.T) {
	t.Parallel()
	book := newBook()
	token := book.Token("app", "id")
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 500 {
				token.saw(client((g*31+i)%40), 1+i/250, epoch.Add(time.Duration(i)*time.Second))
				if i%100 == 0 {
					token.Rows(time.Time{})
					token.Entry(epoch, time.Time{}, window)
				}
			}
		})
	}
	all.Wait()
	if rows := token.Rows(time.Time{}); len(rows) != 40 || book.Rows() != 40 || token.Behind(1, window, epoch).Count() != 0 {
		t.Errorf("there are %d rows, %d counted, %d behind", len(rows), book.Rows(), token.Behind(1, window, epoch).Count())
	}
}

// BenchmarkMemory tells what the readers of a mount of 100,000 tokens with ten readers each take.
// go test -run='^$' -bench=Memory -benchtime=1x ./backend/readers
func BenchmarkMemory(b *testing.B) {
	const tokens, each = 100_000, 10
	for name, reader := range map[string]func(token, n int) Reader{
		"ten apps":            func(_, n int) Reader { return entity(n) },
		"an app of its own":   func(token, n int) Reader { return entity(token*each + n) },
		"a client of its own": func(token, n int) Reader { return client(token*each + n) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before := liveHeap()
				book := newBook()
				for i := range tokens {
					token := book.Token(fmt.Sprintf("token-%06d", i), fmt.Sprintf("%036d", i))
					for n := range each {
						token.saw(reader(i, n), 1, epoch)
					}
				}
				book.TakeDue(epoch.Add(time.Hour).Unix())
				book.TakeMoved()
				b.ReportMetric(float64(liveHeap()-before)/(1<<20), "MiB")
				runtime.KeepAlive(book)
			}
		})
	}
}

func entity(n int) Reader {
	return Reader{
		EntityID: fmt.Sprintf("%036d", n), DisplayName: fmt.Sprintf("approle-app-%d", n), Accessor: fmt.Sprintf("%024d", n),
		Address: fmt.Sprintf("10.1.%d.%d", n/250%250, n%250),
	}
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkSaw(b *testing.B) {
	for _, rows := range []int{1, 10, MaxRows} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			token := newBook().Token("app", "id")
			for n := range rows {
				token.saw(entity(n), 1, epoch)
			}
			r := entity(rows / 2)
			b.ReportAllocs()
			for b.Loop() {
				token.saw(r, 1, epoch)
			}
		})
	}
}
