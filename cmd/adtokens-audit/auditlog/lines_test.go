package auditlog

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// texts reads the lines of a log, and calls those foreign that begin with !.
func texts(t *testing.T, log io.Reader) ([]string, Stats, error) {
	t.Helper()
	var found []string
	stats, err := Read(t.Context(), log, Consumer[string]{
		Parse: func(line []byte) (string, Verdict) {
			switch {
			case bytes.HasPrefix(line, []byte("!")):
				return "", Foreign
			case bytes.HasPrefix(line, []byte("?")):
				return "", Other
			}
			return string(line), Found
		},
		Each: func(line string) { found = append(found, line) },
	})
	return found, stats, err
}

func TestLinesAreReadInTheirOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	var want []string
	for range 5000 {
		want = append(want, strings.Repeat("x", 1+random.IntN(3000)))
	}
	log := strings.Join(want, "\n")
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"large reads":          func(r io.Reader) io.Reader { return r },
		"half reads":           iotest.HalfReader,
		"data with the end":    iotest.DataErrReader,
		"halves with the end":  func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.HalfReader(r)) },
		"a line break at last": func(r io.Reader) io.Reader { return io.MultiReader(r, strings.NewReader("\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, stats, err := texts(t, reader(strings.NewReader(log)))
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%d of %d lines came as they are: %v", len(got), len(want), err)
			}
			if stats != (Stats{Lines: 5000, Entries: 5000}) {
				t.Errorf("counted %+v", stats)
			}
		})
	}
}

func TestLinesAreCounted(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxLine)
	for name, tt := range map[string]struct {
		log   string
		found []string
		stats Stats
	}{
		"an empty log":                    {},
		"nothing but line breaks":         {log: "\n\r\n\n"},
		"no line break at the end":        {log: "a\nb", found: []string{"a", "b"}, stats: Stats{Lines: 2, Entries: 2}},
		"a carriage return":               {log: "a\r\nb\r\n", found: []string{"a", "b"}, stats: Stats{Lines: 2, Entries: 2}},
		"lines of others":                 {log: "!\n?\na\n", found: []string{"a"}, stats: Stats{Lines: 3, Entries: 1, Foreign: 1}},
		"the longest line":                {log: "a\n" + long + "\nb\n", found: []string{"a", long, "b"}, stats: Stats{Lines: 3, Entries: 3}},
		"a line that is too long":         {log: "a\n" + long + "x\nb\n", found: []string{"a", "b"}, stats: Stats{Lines: 3, Entries: 2, TooLong: 1}},
		"a line of several times as much": {log: "a\n" + long + long + long + "\nb\n", found: []string{"a", "b"}, stats: Stats{Lines: 3, Entries: 2, TooLong: 1}},
		"a last line that is too long":    {log: "a\n" + long + long, found: []string{"a"}, stats: Stats{Lines: 2, Entries: 1, TooLong: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, stats, err := texts(t, strings.NewReader(tt.log))
			if err != nil || stats != tt.stats || !slices.Equal(found, tt.found) {
				t.Errorf("found %d lines and counted %+v: %v", len(found), stats, err)
			}
		})
	}
}

func TestALineIsThereAsSoonAsItIsWritten(t *testing.T) {
	t.Parallel()
	log, write := io.Pipe()
	seen := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	t.Cleanup(func() { _ = write.Close() })
	go func() {
		_, err := Read(ctx, log, Consumer[string]{
			Parse: func(line []byte) (string, Verdict) { return string(line), Found },
			Each:  func(line string) { seen <- line },
		})
		ended <- err
	}()
	for _, line := range []string{"a", "b"} {
		if _, err := io.WriteString(write, line+"\nnot yet"); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; !strings.HasSuffix(got, line) {
			t.Errorf("%q instead of %q", got, line)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("reading ended with %v", err)
	}
}

func TestALogThatBreaksOffIsAnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	found, _, err := texts(t, io.MultiReader(strings.NewReader("a\nb\n"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || !slices.Equal(found, []string{"a", "b"}) {
		t.Errorf("found %q and %v", found, err)
	}

	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	if _, err := io.WriteString(w, strings.Repeat("a\n", 1000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	plain, err := Plain(bytes.NewReader(compressed.Bytes()[:compressed.Len()-4]))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := texts(t, plain); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a cut gzip gave %v", err)
	}
}

// FuzzRead looks for logs whose lines are not read as they are.
func FuzzRead(f *testing.F) {
	f.Add([]byte("a\nb\r\n\nc"))
	f.Add([]byte("\r\r\n\x00\n"))
	f.Fuzz(func(t *testing.T, log []byte) {
		var want []string
		for line := range bytes.SplitSeq(log, []byte("\n")) {
			if line = bytes.TrimRight(line, "\r"); len(line) > 0 {
				want = append(want, string(line))
			}
		}
		var got []string
		stats, err := Read(t.Context(), iotest.OneByteReader(bytes.NewReader(log)), Consumer[string]{
			Parse: func(line []byte) (string, Verdict) { return string(line), Found },
			Each:  func(line string) { got = append(got, line) },
		})
		if err != nil || !slices.Equal(got, want) || stats.Lines != len(want) {
			t.Errorf("%q instead of %q: %v", got, want, err)
		}
	})
}
