package auditlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
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
	Entries int // entries to count
	Foreign int // lines that are no audit entry: other logs, and cut ones
	TooLong int // lines of more than MaxLine
}

// Add adds the counts of another log.
func (s *Stats) Add(other Stats) {
	s.Lines += other.Lines
	s.Entries += other.Entries
	s.Foreign += other.Foreign
	s.TooLong += other.TooLong
}

// Consumer says what to do with the lines of a log.
type Consumer[T any] struct {
	// Parse is called from several goroutines, and may not keep the line.
	Parse func(line []byte) (T, Verdict)
	// Each is called for what Parse has found, one after the other in the log's order.
	Each func(T)
}

// block is a run of whole lines, and what was found in them.
type block[T any] struct {
	text   []byte
	found  []T
	stats  Stats
	parsed chan struct{} // closed when found and stats are there
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
	for {
		select {
		case <-ctx.Done():
			return stats, ctx.Err() // the goroutines end as soon as the log's Read returns
		case b, ok := <-inOrder:
			if !ok {
				return stats, s.failure(ctx)
			}
			<-b.parsed
			stats.Add(b.stats)
			for _, found := range b.found {
				c.Each(found)
			}
			free <- b
		}
	}
}

func (b *block[T]) parse(parse func([]byte) (T, Verdict)) {
	defer close(b.parsed)
	b.found, b.stats = b.found[:0], Stats{}
	for line := range bytes.Lines(b.text) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		b.stats.Lines++
		if len(line) > MaxLine {
			b.stats.TooLong++
			continue
		}
		switch found, verdict := parse(line); verdict {
		case Found:
			b.stats.Entries++
			b.found = append(b.found, found)
		case Foreign:
			b.stats.Foreign++
		case Other:
		}
	}
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
