package main

import (
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
