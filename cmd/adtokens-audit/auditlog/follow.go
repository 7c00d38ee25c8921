package auditlog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// tail is the end of a file that is being written. The file is closed when the context ends.
type tail struct {
	ctx   context.Context // ends Read, which is given none
	name  string
	every time.Duration
	file  *os.File
	at    int64
}

// FollowFile splits a file that is being written into the whole lines that are there already and those to come. Every is
// how often it is looked at. The lines to come are waited for until the context ends; they go on in the new file when the
// old one was moved away or removed, and at the beginning when it was truncated.
func FollowFile(ctx context.Context, name string, every time.Duration) (there, toCome io.Reader, err error) {
	file, err := os.Open(name) //nolint:gosec // whoever runs the tool names the file
	if err != nil {
		return nil, nil, fmt.Errorf("the log cannot be followed: %w", err)
	}
	end, err := lastLineEnd(file)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("the log cannot be followed: %w", err), file.Close())
	}
	return io.NewSectionReader(file, 0, end), &tail{ctx: ctx, name: name, every: every, file: file, at: end}, nil
}

// lastLineEnd returns where the last whole line ends.
func lastLineEnd(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is no regular file; give - and feed it to standard input", file.Name())
	}
	chunk := make([]byte, 64<<10)
	for end := info.Size(); end > 0; end -= int64(len(chunk)) {
		start := max(0, end-int64(len(chunk)))
		n, err := file.ReadAt(chunk[:end-start], start)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(chunk[:n], '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
	}
	return 0, nil
}

// Read returns what was written since the last call, waiting for it.
func (t *tail) Read(buffer []byte) (int, error) {
	ticker := time.NewTicker(t.every)
	defer ticker.Stop()
	for {
		if n, err := t.more(buffer); n > 0 || err != nil {
			return n, err
		}
		next, err := t.replacement()
		if err != nil {
			return 0, fmt.Errorf("following %s: %w", t.name, err)
		}
		if next != nil {
			return t.replace(next, buffer)
		}
		select {
		case <-t.ctx.Done():
			return 0, cmp.Or(t.file.Close(), io.EOF)
		case <-ticker.C:
		}
	}
}

// more returns what is there to read, which may be nothing.
func (t *tail) more(buffer []byte) (int, error) {
	n, err := t.file.ReadAt(buffer, t.at)
	t.at += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, err
	}
	return n, nil
}

// replacement returns the new file behind the name, nil as long as there is none. A new file counts once something is in
// it: until it is told to reopen its file, Vault goes on writing to the old one. A truncated file is its own replacement.
func (t *tail) replacement() (*os.File, error) {
	named, err := os.Open(t.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	theirs, err := named.Stat()
	ours, oursErr := t.file.Stat()
	if err := errors.Join(err, oursErr); err != nil {
		return nil, errors.Join(err, named.Close())
	}
	same := os.SameFile(theirs, ours)
	if (same && theirs.Size() < t.at) || (!same && theirs.Size() > 0) {
		return named, nil
	}
	return nil, named.Close()
}

// replace goes on in another file, once everything is read that came into the old one before the other was in use.
func (t *tail) replace(next *os.File, buffer []byte) (int, error) {
	if n, err := t.more(buffer); n > 0 || err != nil {
		return n, errors.Join(err, next.Close())
	}
	old := t.file
	t.file, t.at = next, 0
	return copy(buffer, "\n"), old.Close() // a line that was cut ends here
}
