package cache

import (
	"errors"
	"fmt"

	"github.com/hashicorp/vault/sdk/logical"
)

// DamagedError says why an entry cannot be used. It stays like that until somebody restores, deletes or replaces it.
type DamagedError struct {
	key string
	why error
}

func (e *DamagedError) Error() string { return e.key + " in storage cannot be used: " + e.why.Error() }

func (e *DamagedError) Unwrap() error { return e.why }

// ErrUncertain is in the chain of every error of a write that may have arrived all the same.
var ErrUncertain = errors.New("it is not known whether storage has taken the change. The engine looks again by itself, " +
	"and what storage has then is what counts: read it in a minute, before you try again")

// StorageError keeps the read-only sentinel bare: Vault forwards the request to the active node only when the error
// that crosses the plugin's process boundary is exactly that.
func StorageError(doing string, err error) error {
	if errors.Is(err, logical.ErrReadOnly) || err.Error() == logical.ErrReadOnly.Error() {
		return logical.ErrReadOnly
	}
	return fmt.Errorf("%s: %w", doing, err)
}
