package auditlog

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// Stdin is the name that stands for standard input.
const Stdin = "-"

// File is a log, or a part of one.
type File struct {
	Name string
	Size int64 // in bytes as it is stored; 0 if that is not known before it is read

	first time.Time
}

// Files looks at the files of a log and returns them in the order of their first entries. What cannot be read twice,
// such as a pipe, comes last.
func Files(ctx context.Context, names []string) ([]File, error) {
	files := make([]File, len(names))
	for i, name := range names {
		files[i] = File{Name: name, first: unknownTime}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if name == Stdin {
			continue
		}
		if err := files[i].look(); err != nil {
			return nil, fmt.Errorf("the log cannot be read: %w", err)
		}
	}
	slices.SortStableFunc(files, func(a, b File) int { return a.first.Compare(b.first) })
	return files, nil
}

// unknownTime is that of a file whose first entry is not known: it comes last.
var unknownTime = time.Unix(1<<40, 0)

// look finds out the size and the first entry's time.
func (f *File) look() error {
	info, err := os.Stat(f.Name)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory; name the files in it", f.Name)
	case !info.Mode().IsRegular():
		return nil
	}
	f.Size = info.Size()
	file, err := os.Open(f.Name)
	if err != nil {
		return err
	}
	defer file.Close()
	if log, err := Open(file); err == nil { // what is wrong shows again when the file is read
		f.first = firstTime(log)
	}
	return nil
}

// firstLines is how many bytes of a file are looked at for its first entry.
const firstLines = 4 << 20

func firstTime(log io.Reader) time.Time {
	lines := bufio.NewReader(io.LimitReader(log, firstLines))
	for {
		line, err := lines.ReadBytes('\n')
		var entry struct {
			Time time.Time `json:"time"`
		}
		if json.Unmarshal(object(line), &entry) == nil && !entry.Time.IsZero() {
			return entry.Time
		}
		if err != nil {
			return unknownTime
		}
	}
}
