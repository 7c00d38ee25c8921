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

func openStore(directory string, keep time.Duration) (store, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return store{}, fmt.Errorf("making the state directory: %w", err)
	}
	s := store{directory: directory, keep: keep}
	return s, s.expire()
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
	file, err := os.CreateTemp(s.directory, "*.partial") // mode 0600
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

// expire forgets entries that were not written to for long, and what a crash left of unfinished writes.
func (s store) expire() error {
	files, err := os.ReadDir(s.directory)
	if err != nil {
		return fmt.Errorf("reading the state directory: %w", err)
	}
	var errs []error
	for _, file := range files {
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
