package main

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const storedValue = "s3cr3t-auth-token"

func newStore(t *testing.T) store {
	t.Helper()
	s, err := openStore(filepath.Join(t.TempDir(), "state"), time.Hour)
	must(t, err)
	return s
}

func files(t *testing.T, s store) []string {
	t.Helper()
	found, err := os.ReadDir(s.directory)
	must(t, err)
	var names []string
	for _, file := range found {
		names = append(names, file.Name())
	}
	return names
}

func TestStoreRemembers(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if found, err := s.get("key"); found != nil || err != nil {
		t.Errorf("got %v, error %v for an unknown key", found, err)
	}
	want := entry{Event: event{Token: "acme-rw"}, Before: "digest", Credential: map[string]string{"auth_token": storedValue}}
	must(t, s.put("key", entry{}))
	must(t, s.put("key", want))
	must(t, s.put("../../key", entry{}))
	got, err := s.get("key")
	must(t, err)
	if got.Event != want.Event || got.Before != want.Before || !maps.Equal(got.Credential, want.Credential) {
		t.Error("got another entry than was put last")
	}
	if names := files(t, s); len(names) != 2 || slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, ".partial") }) {
		t.Errorf("got the files %q, want one for each key", names)
	}
}

func TestStateIsForTheUserAlone(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	must(t, s.put("key", entry{}))
	for path, want := range map[string]os.FileMode{s.directory: 0o700, s.path("key"): 0o600} {
		info, err := os.Stat(path)
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("got mode %o of %s, want %o", got, path, want)
		}
	}
}

func TestStoreForgets(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	must(t, s.put("old", entry{}))
	must(t, s.put("new", entry{}))
	partial := filepath.Join(s.directory, "1.partial")
	must(t, os.WriteFile(partial, []byte(storedValue), 0o600))
	old := time.Now().Add(-61 * time.Minute)
	for _, path := range []string{partial, s.path("old")} {
		must(t, os.Chtimes(path, old, old))
	}
	must(t, s.expire())
	if got, want := files(t, s), []string{filepath.Base(s.path("new"))}; !slices.Equal(got, want) {
		t.Errorf("got the files %q, want %q", got, want)
	}
}

// tree is what a directory has, with the modes.
func tree(t *testing.T, directory string) []string {
	t.Helper()
	var found []string
	must(t, filepath.WalkDir(directory, func(path string, file fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := file.Info()
		found = append(found, path+" "+info.Mode().String())
		return err
	}))
	return found
}

// TestOpenStore_RefusesAForeignDirectory and touches nothing in it, however old.
func TestOpenStore_RefusesAForeignDirectory(t *testing.T) {
	t.Parallel()
	digest := strings.Repeat("a1", 32)
	tests := map[string]struct {
		make func(directory string) error
		says string
	}{
		"a file":             {func(d string) error { return os.WriteFile(filepath.Join(d, "thesis.txt"), nil, 0o600) }, `("thesis.txt")`},
		"a hidden file":      {func(d string) error { return os.WriteFile(filepath.Join(d, ".bashrc"), nil, 0o600) }, `(".bashrc")`},
		"an empty directory": {func(d string) error { return os.Mkdir(filepath.Join(d, "lost+found"), 0o700) }, `("lost+found")`},
		"JSON of somebody":   {func(d string) error { return os.WriteFile(filepath.Join(d, "package.json"), nil, 0o600) }, `("package.json")`},
		"a digest in capitals": {func(d string) error {
			return os.WriteFile(filepath.Join(d, strings.ToUpper(digest)+".json"), nil, 0o600)
		}, ".json"},
		"a digest too short":        {func(d string) error { return os.WriteFile(filepath.Join(d, digest[1:]+".json"), nil, 0o600) }, ".json"},
		"a download":                {func(d string) error { return os.WriteFile(filepath.Join(d, "film.mkv.partial"), nil, 0o600) }, `("film.mkv.partial")`},
		"a directory like an entry": {func(d string) error { return os.Mkdir(filepath.Join(d, digest+".json"), 0o700) }, ".json"},
		"a link like an entry":      {func(d string) error { return os.Symlink("/etc/passwd", filepath.Join(d, digest+".json")) }, ".json"},
		"many, beside entries": {func(d string) error {
			var errs []error
			for _, name := range []string{"a", "b", "c", "d", "e\u202e\n", digest + ".json"} {
				errs = append(errs, os.WriteFile(filepath.Join(d, name), nil, 0o600))
			}
			return errors.Join(errs...)
		}, `("a", "b", "c" and 2 more)`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := filepath.Join(t.TempDir(), "home")
			must(t, os.Mkdir(directory, 0o700))
			must(t, tc.make(directory))
			old := time.Now().Add(-72 * time.Hour)
			files, err := os.ReadDir(directory)
			must(t, err)
			for _, file := range files {
				if file.Type()&fs.ModeSymlink == 0 {
					must(t, os.Chtimes(filepath.Join(directory, file.Name()), old, old))
				}
			}
			before := tree(t, directory)
			_, err = openStore(directory, time.Hour)
			if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "nothing in it was touched") ||
				!strings.Contains(err.Error(), "such as "+filepath.Join(directory, "adtokens-hook")) {
				t.Errorf("got error %v, want one with %q", err, tc.says)
			}
			if after := tree(t, directory); !slices.Equal(before, after) {
				t.Errorf("the directory has now %q, and had %q", after, before)
			}
		})
	}
}

// TestStore_ExpireTouchesOnlyItsOwn: others may put something there after the start.
func TestStore_ExpireTouchesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	must(t, s.put("old", entry{}))
	foreign := filepath.Join(s.directory, "thesis.txt")
	must(t, os.WriteFile(foreign, nil, 0o600))
	unfinished := strings.TrimSuffix(s.path("old"), ".json") + ".123.partial"
	must(t, os.WriteFile(unfinished, nil, 0o600))
	old := time.Now().Add(-72 * time.Hour)
	for _, path := range []string{s.path("old"), foreign, unfinished} {
		must(t, os.Chtimes(path, old, old))
	}
	must(t, s.expire())
	if got := files(t, s); !slices.Equal(got, []string{"thesis.txt"}) {
		t.Errorf("got the files %q, want the foreign one alone", got)
	}
}

func TestOpenStore_LooksAtTheDirectorysMode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		mode          os.FileMode
		refused, told bool
	}{
		"its own":            {mode: 0o700},
		"read by the group":  {mode: 0o750, told: true},
		"group of a volume":  {mode: 0o770, told: true},
		"read by everybody":  {mode: 0o755, told: true},
		"written by others":  {mode: 0o777, refused: true},
		"dropped into blind": {mode: 0o702, refused: true},
	}
	for name, tc := range tests {
		directory := filepath.Join(t.TempDir(), "state")
		must(t, os.Mkdir(directory, 0o700))
		must(t, os.Chmod(directory, tc.mode))
		s, err := openStore(directory, time.Hour)
		if refused := err != nil && strings.Contains(err.Error(), "chmod 700 "+directory); refused != tc.refused || !refused && err != nil {
			t.Errorf("%s: got error %v, want a refusal: %v", name, err, tc.refused)
		}
		if told := err == nil && strings.Contains(s.warning(), "chmod 700 "+directory); told != tc.told {
			t.Errorf("%s: got the warning %q, want one: %v", name, s.warning(), tc.told)
		}
		if info, err := os.Stat(directory); err != nil || info.Mode().Perm() != tc.mode {
			t.Errorf("%s: the mode was changed to %s: %v", name, info.Mode(), err)
		}
	}
}

func TestStoreExplainsWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	must(t, os.WriteFile(s.path("key"), []byte(`{"credential":"`+storedValue+`"`), 0o600))
	_, err := s.get("key")
	if err == nil || !strings.Contains(err.Error(), s.path("key")+" is damaged") || strings.Contains(err.Error(), storedValue) {
		t.Errorf("got error %v, want one with the file's name and nothing of what is in it", err)
	}

	taken := filepath.Join(s.directory, "file")
	must(t, os.WriteFile(taken, nil, 0o600))
	if _, err := openStore(taken, time.Hour); err == nil {
		t.Error("a file was taken for a directory")
	}
	must(t, os.RemoveAll(s.directory))
	if s.put("key", entry{}) == nil || s.expire() == nil {
		t.Error("a missing directory went unnoticed")
	}
}
