package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// store remembers what became of each idempotency key, in a file of its own. A file is replaced as a whole or not at
// all, and only the hook's user can read it: it holds a credential.
type store struct {
	directory string
	// keep is how long an entry is remembered.
	keep time.Duration
}

// entry is what is remembered of a key.
type entry struct {
	// Event is the first one with the key.
	Event event `json:"event"`
	// Before identifies the credential that the console showed before the reset.
	Before string `json:"before"`
	// Credential is nil until the reset is known to be done.
	Credential map[string]string `json:"credential,omitempty"`
}

// ownFiles are the names that a store gives: of entries, and of unfinished writes, which had no digest in front once.
var ownFiles = regexp.MustCompile(`^(?:[0-9a-f]{64}\.json|(?:[0-9a-f]{64}\.)?[0-9]+\.partial)$`)

// own says whether a file of the state directory is the store's. Whatever else is there is never touched.
func own(file fs.DirEntry) bool { return file.Type().IsRegular() && ownFiles.MatchString(file.Name()) }

// openStore makes the directory, for its user alone, if there is none. One that has anything but a store's files is refused:
// it is somebody's, and named by mistake.
func openStore(directory string, keep time.Duration) (store, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return store{}, fmt.Errorf("making the state directory: %w", err)
	}
	s := store{directory: directory, keep: keep}
	mode, err := s.mode()
	switch {
	case err != nil:
		return store{}, err
	case mode&0o002 != 0:
		return store{}, fmt.Errorf("everybody can write to the state directory %s, and so decide what the hook remembers: %s",
			directory, s.advice())
	}
	if err := s.refuseForeign(); err != nil {
		return store{}, err
	}
	return s, s.expire()
}

// mode is the directory's, and 0 where the system does not tell by it who may do what.
func (s store) mode() (fs.FileMode, error) {
	info, err := os.Stat(s.directory)
	if err != nil {
		return 0, fmt.Errorf("reading the state directory: %w", err)
	}
	if runtime.GOOS == "windows" {
		return 0, nil
	}
	return info.Mode().Perm(), nil
}

func (s store) advice() string {
	return fmt.Sprintf("type `chmod 700 %s`, or name a directory that does not exist yet", s.directory)
}

// warning says that others may look into the directory; empty where they may not.
func (s store) warning() string {
	if mode, err := s.mode(); err != nil || mode&0o077 == 0 {
		return ""
	}
	return "others can look into the state directory, though not into its files: " + s.advice()
}

// maxNamed is how many foreign files are named.
const maxNamed = 3

func (s store) refuseForeign() error {
	files, err := os.ReadDir(s.directory)
	if err != nil {
		return fmt.Errorf("reading the state directory: %w", err)
	}
	var foreign []string
	for _, file := range files {
		if !own(file) {
			foreign = append(foreign, strconv.Quote(file.Name()))
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	named := strings.Join(foreign[:min(len(foreign), maxNamed)], ", ")
	if more := len(foreign) - maxNamed; more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("the state directory %s has what is not this hook's (%s), and nothing in it was touched: "+
		"give -state a directory of its own, such as %s, which is made if missing",
		s.directory, named, filepath.Join(s.directory, "adtokens-hook"))
}

// path keeps the key, which comes over the network, out of the file's name.
func (s store) path(key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(s.directory, hex.EncodeToString(sum[:])+".json")
}

// get returns nil for a key that is not remembered, or not any more.
func (s store) get(key string) (*entry, error) {
	text, err := os.ReadFile(s.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	var found entry
	if json.Unmarshal(text, &found) != nil { // whose error could quote the credential
		return nil, fmt.Errorf("the state file %s is damaged; remove it, and the token is reset again", s.path(key))
	}
	return &found, nil
}

func (s store) put(key string, e entry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding the state: %w", err)
	}
	name := strings.TrimSuffix(filepath.Base(s.path(key)), ".json")
	file, err := os.CreateTemp(s.directory, name+".*.partial") // mode 0600
	if err != nil {
		return fmt.Errorf("writing the state: %w", err)
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), s.path(key))
	}
	if err != nil {
		return fmt.Errorf("writing the state: %w", errors.Join(err, os.Remove(file.Name())))
	}
	return nil
}

// expire forgets entries that were not written to for long, and what a crash left of unfinished writes. It leaves alone what
// others have put there since the start.
func (s store) expire() error {
	files, err := os.ReadDir(s.directory)
	if err != nil {
		return fmt.Errorf("reading the state directory: %w", err)
	}
	var errs []error
	for _, file := range files {
		if !own(file) {
			continue
		}
		info, err := file.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && time.Since(info.ModTime()) > s.keep {
			err = os.Remove(filepath.Join(s.directory, file.Name()))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
