package backend

import (
	"encoding/json"
	"errors"
	"fmt"
)

// decodeJSON is the common part of a decoder. An encoding error may quote what is stored, so it is not passed on. The
// schema version is read first: a later one may have anything else.
func decodeJSON(stored []byte, current int, into any) error { //nolint:unparam // each kind of entry has a version of its own
	var versioned struct {
		Schema int `json:"schema"`
	}
	errDamaged := errors.New("it is not valid JSON of this engine; restore it from a backup")
	if err := json.Unmarshal(stored, &versioned); err != nil {
		return errDamaged
	}
	if versioned.Schema < 1 || versioned.Schema > current {
		return fmt.Errorf("it has schema version %d and this plugin (%s) knows 1 to %d; install the plugin version that wrote it or a newer one",
			versioned.Schema, Version, current)
	}
	if err := json.Unmarshal(stored, into); err != nil {
		return errDamaged
	}
	return nil
}
