package auditlog

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// followed is a file that a test writes to and reads the lines of.
type followed struct {
	name  string
	lines *bufio.Scanner
	// end ends the following.
	end context.CancelFunc
}

// follow starts to follow a file with some content, and checks what is there of it already.
func follow(t *testing.T, content, there string) *followed {
	t.Helper()
	name := write(t, filepath.Join(t.TempDir(), "audit.log"), content)
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(end)
	before, toCome, err := FollowFile(ctx, name, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(before); string(got) != there || err != nil {
		t.Errorf("%q was there: %v", got, err)
	}
	return &followed{name: name, lines: bufio.NewScanner(toCome), end: end}
}

// add appends to a file, which may be another one than that of the name.
func add(t *testing.T, name, text string) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// expect waits for lines.
func (f *followed) expect(t *testing.T, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if !f.lines.Scan() {
			t.Fatalf("%q did not come: %v", want, f.lines.Err())
		}
		if got := f.lines.Text(); got != want {
			t.Fatalf("%q came instead of %q", got, want)
		}
	}
}

func TestAGrowingFileIsFollowed(t *testing.T) {
	t.Parallel()
	f := follow(t, "a\nb\nc", "a\nb\n")
	add(t, f.name, "c\nd\n")
	f.expect(t, "cc", "d")
	add(t, f.name, "e\n")
	f.expect(t, "e")
	f.end()
	if f.lines.Scan() || f.lines.Err() != nil {
		t.Errorf("after the end there is %q and %v", f.lines.Text(), f.lines.Err())
	}
}

func TestFollowingSurvivesTheFilesRotation(t *testing.T) {
	t.Parallel()
	f := follow(t, "a\n", "a\n")
	for range 3 {
		old := f.name + ".1"
		if err := os.Rename(f.name, old); err != nil {
			t.Fatal(err)
		}
		add(t, old, "Vault has not reopened it\n")
		f.expect(t, "Vault has not reopened it")
		add(t, f.name, "") // as logrotate makes it
		add(t, old, "nor now\ncut")
		f.expect(t, "nor now")
		add(t, f.name, "new\n")
		f.expect(t, "cut", "new")
		add(t, f.name, "newer\n")
		f.expect(t, "newer")
	}
}

func TestFollowingSurvivesTruncation(t *testing.T) {
	t.Parallel()
	f := follow(t, "a long line that is there\n", "a long line that is there\n")
	if err := os.Truncate(f.name, 0); err != nil {
		t.Fatal(err)
	}
	add(t, f.name, "b\n")
	f.expect(t, "", "b") // the empty line ends what may have been cut
}

func TestFollowingSurvivesRemoval(t *testing.T) {
	t.Parallel()
	f := follow(t, "a\n", "a\n")
	add(t, f.name, "b\n")
	if err := os.Remove(f.name); err != nil {
		t.Fatal(err)
	}
	f.expect(t, "b")
	add(t, f.name, "c\n")
	f.expect(t, "", "c")
}

func TestOnlyFilesCanBeFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, err := FollowFile(t.Context(), filepath.Join(dir, "missing"), time.Second); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file gave %v", err)
	}
	if _, _, err := FollowFile(t.Context(), dir, time.Second); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a directory gave %v", err)
	}
}

func TestTheLastLineBreakIsFoundFarFromTheEnd(t *testing.T) {
	t.Parallel()
	cut := strings.Repeat("x", 200<<10)
	f := follow(t, "a\n"+cut, "a\n")
	add(t, f.name, "\nb\n")
	f.lines.Buffer(nil, 1<<20)
	f.expect(t, cut, "b")
	follow(t, cut, "")
}
