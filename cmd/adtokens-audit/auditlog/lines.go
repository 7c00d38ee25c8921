package auditlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"
)

const (
	// blockSize is how much is read at once, in bytes; lines may be longer.
	blockSize = 1 << 20
	// MaxLine is the length of the longest line that is read, in bytes. Longer ones are skipped and counted.
	MaxLine = 16 << 20
)

// Stats counts the lines of a log.
type Stats struct {
	Lines   int // all of them
	Entries int // entries that were found
	Foreign int // lines of Vault's own log
	Broken  int // lines that are no audit entry, or not a whole one, so that nobody knows what they said
	CutEnds int // last lines without their end, as a log has that is being written, or whose server was killed
	TooLong int // lines of more than MaxLine
	// First and Last are the times of a log's first and last entries, whatever these are about. They are zero if they are not known.
	First, Last time.Time
}

// Add adds the counts of another log.
func (s *Stats) Add(other Stats) {
	s.Lines += other.Lines
	s.Entries += other.Entries
	s.Foreign += other.Foreign
	s.Broken += other.Broken
	s.CutEnds += other.CutEnds
	s.TooLong += other.TooLong
	widen(&s.First, &s.Last, other.First)
	widen(&s.First, &s.Last, other.Last)
}

// Unread is how many lines may have said something that the answer lacks.
func (s *Stats) Unread() int { return s.Broken + s.TooLong }

// Consumer says what to do with the lines of a log.
type Consumer[T any] struct {
	// Parse is called from several goroutines, and may not keep the line.
	Parse func(line []byte) (T, Verdict)
	// Each is called for what Parse has found, one after the other in the log's order.
	Each func(T)
}

// block is a run of whole lines, and what was found in them.
type block[T any] struct {
	text  []byte
	found []T
	stats Stats
	// endsCut is set if the last line has no end.
	endsCut bool
	parsed  chan struct{} // closed when found and stats are there
}

// Read reads a log to its end, in memory that does not depend on its length: blocks of lines are parsed on all
// processors while the next ones are read. A line that is written at once is there at once, also when more is to come
// later. Read returns early when the context ends, with its error.
func Read[T any](ctx context.Context, log io.Reader, c Consumer[T]) (Stats, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := runtime.GOMAXPROCS(0)
	blocks := 2*workers + 1
	free := make(chan *block[T], blocks)
	for range blocks {
		free <- &block[T]{}
	}
	toParse, inOrder := make(chan *block[T], blocks), make(chan *block[T], blocks) // never full: there are no more blocks
	for range workers {
		go func() {
			for b := range toParse {
				b.parse(c.Parse)
			}
		}()
	}
	s := &splitter{log: log}
	go func() {
		defer close(toParse)
		defer close(inOrder)
		for s.more() && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case b := <-free:
				b.text = s.next(b.text)
				b.parsed = make(chan struct{})
				toParse <- b
				inOrder <- b
			}
		}
	}()

	var stats Stats
	endsCut := false
	for {
		select {
		case <-ctx.Done():
			return stats, ctx.Err() // the goroutines end as soon as the log's Read returns
		case b, ok := <-inOrder:
			if !ok {
				if endsCut {
					stats.Broken, stats.CutEnds = stats.Broken-1, stats.CutEnds+1
				}
				return stats, s.failure(ctx)
			}
			<-b.parsed
			stats.Add(b.stats)
			if b.stats.Lines > 0 {
				endsCut = b.endsCut
			}
			for _, found := range b.found {
				c.Each(found)
			}
			free <- b
		}
	}
}

func (b *block[T]) parse(parse func([]byte) (T, Verdict)) {
	defer close(b.parsed)
	b.found, b.stats, b.endsCut = b.found[:0], Stats{}, false
	var first, last []byte // audit entries
	for line := range bytes.Lines(b.text) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		b.stats.Lines++
		b.endsCut = false
		if len(line) > MaxLine {
			b.stats.TooLong++
			continue
		}
		switch found, verdict := parse(line); verdict {
		case Found:
			b.stats.Entries++
			b.found = append(b.found, found)
		case Other:
		case Foreign:
			b.stats.Foreign++
			continue
		case Cut:
			b.endsCut = true
			fallthrough
		case Broken:
			b.stats.Broken++
			continue
		}
		if first == nil {
			first = line
		}
		last = line
	}
	widen(&b.stats.First, &b.stats.Last, timeOf(first))
	widen(&b.stats.First, &b.stats.Last, timeOf(last))
}

// timeMark comes before an entry's time.
var timeMark = []byte(`"time":"`)

// timeOf returns the time of an entry; zero if it is not where Vault writes it, which is at the end or at the beginning.
func timeOf(line []byte) time.Time {
	i := bytes.LastIndex(line, timeMark)
	if i < 0 {
		return time.Time{}
	}
	text, _, _ := bytes.Cut(line[i+len(timeMark):], []byte(`"`))
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// splitter cuts a log into blocks of whole lines.
type splitter struct {
	log  io.Reader
	rest []byte // of a line whose end is not read yet
	err  error
}

func (s *splitter) more() bool { return s.err == nil || len(s.rest) > 0 }

// next returns the next lines, in the buffer if it is large enough. The last line of the log may have no line break. Of a
// line of more than MaxLine, one byte more than that is left.
func (s *splitter) next(buffer []byte) []byte {
	if cap(buffer) > 4*blockSize { // a long line has been there
		buffer = nil
	}
	buffer = append(buffer[:0], s.rest...)
	s.rest = s.rest[:0]
	long := false // in a line of more than MaxLine
	for s.err == nil {
		buffer = slices.Grow(buffer, blockSize)
		var n int
		n, s.err = s.log.Read(buffer[len(buffer):cap(buffer)])
		fresh := buffer[len(buffer) : len(buffer)+n]
		if long {
			end := bytes.IndexByte(fresh, '\n')
			if end < 0 {
				continue
			}
			n = copy(fresh, fresh[end:])
			fresh, long = fresh[:n], false
		}
		if end := bytes.LastIndexByte(fresh, '\n'); end >= 0 {
			s.rest = append(s.rest, fresh[end+1:]...)
			return buffer[:len(buffer)+end+1]
		}
		buffer = buffer[:len(buffer)+n]
		if len(buffer) > MaxLine {
			buffer, long = buffer[:MaxLine+1], true
		}
	}
	return buffer
}

// failure is why the log ended, nil for its end.
func (s *splitter) failure(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(s.err, io.EOF):
		return nil
	default:
		return fmt.Errorf("reading the log: %w", s.err)
	}
}
