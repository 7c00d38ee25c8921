package auditlog

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func zipped(t testing.TB, content string) string {
	t.Helper()
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.String()
}

func TestFilesAreReadInTheOrderOfTheirEntries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	entry := func(time string) string { return `{"time":"` + time + `","type":"request"}` + "\n" }
	second := write(t, filepath.Join(dir, "a"), entry("2026-11-02T00:00:00Z")+entry("2026-11-03T00:00:00Z"))
	first := write(t, filepath.Join(dir, "b.gz"), zipped(t, entry("2026-11-01T00:00:00Z")))
	third := write(t, filepath.Join(dir, "c"), "cut}\n@cee: "+entry("2026-11-04T00:00:00+01:00"))
	unknown := write(t, filepath.Join(dir, "d"), "no log\n")
	broken := write(t, filepath.Join(dir, "e.gz"), "\x1f\x8b, but no gzip")
	empty := write(t, filepath.Join(dir, "f"), "")

	files, err := Files(t.Context(), []string{Stdin, unknown, third, broken, second, empty, first, os.DevNull})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	if want := []string{first, second, third, Stdin, unknown, broken, empty, os.DevNull}; !slices.Equal(names, want) {
		t.Errorf("the order is %q", names)
	}
	if files[1].Size != int64(2*len(entry("2026-11-02T00:00:00Z"))) || files[3].Size != 0 {
		t.Errorf("the sizes are %d and %d", files[1].Size, files[3].Size)
	}
}

func TestAFileThatCannotBeReadIsToldAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := write(t, filepath.Join(dir, "audit.log"), "")
	if _, err := Files(t.Context(), []string{log, filepath.Join(dir, "missing")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file gave %v", err)
	}
	if _, err := Files(t.Context(), []string{log, dir}); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory gave %v", err)
	}
}

func TestGzipIsRecognisedByItsContent(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"plain": "a\nb\n", "gzip": zipped(t, "a\nb\n"), "several gzips in a row": zipped(t, "a\n") + zipped(t, "b\n")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, err := Plain(strings.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(log)
			if string(text) != "a\nb\n" || err != nil {
				t.Errorf("read %q: %v", text, err)
			}
		})
	}
	for _, short := range []string{"", "\x1f"} {
		log, err := Plain(strings.NewReader(short))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(log); string(text) != short || err != nil {
			t.Errorf("read %q: %v", text, err)
		}
	}
}

// FuzzPlain looks for files, packed or not, that crash the reader or take more memory than a block of lines does.
func FuzzPlain(f *testing.F) {
	for _, file := range []string{"", "\x1f", "\x1f\x8b", "a\nb", zipped(f, "a\nb\n"), zipped(f, strings.Repeat("x", 2*MaxLine)), zipped(f, zipped(f, "a"))} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		log, err := Plain(bytes.NewReader(file))
		if err != nil {
			return
		}
		longest := 0
		stats, _ := Read(t.Context(), io.LimitReader(log, 64<<20), Consumer[int]{ // a broken end is for the caller to report
			Parse: func(line []byte) (int, Verdict) { return cap(line), Found },
			Each:  func(size int) { longest = max(longest, size) },
		})
		if longest > 2*MaxLine || stats.Entries+stats.TooLong != stats.Lines {
			t.Errorf("a buffer of %d bytes was kept, and counted was %+v", longest, stats)
		}
		_ = firstTime(bytes.NewReader(file)) // must not panic
	})
}
