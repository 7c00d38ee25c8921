package provider

import (
	"context"
	"strings"
	"time"
)

// Keys is a platform's API that makes and deletes credentials which are keys of an owner. After an *Error of Create it is unknown
// whether a key was made.
type Keys interface {
	// Key tells what the credential is called at the platform. Its CreatedAt is zero.
	Key(credential Values) (Key, error)
	// SelfAsserted says whether the credential names the address by itself at which an account of these settings has it
	// proven. An acceptance from there proves nothing, so that no right may follow from it.
	SelfAsserted(settings, credential Values) bool
	// List lists the live keys of the owner, acting as t. The platform may be late with new and deleted ones.
	List(ctx context.Context, a Account, t Token, owner string) ([]Key, error)
	// Create makes a key for the owner of t's credential. The platform gives its secret only this once. ExpiresAt is when the platform
	// begins to refuse the key by itself; zero where it never does.
	Create(ctx context.Context, a Account, t Token) (credential Values, expiresAt time.Time, err error)
	// Delete deletes a key, acting as t. A key that is gone already is no error.
	Delete(ctx context.Context, a Account, t Token, key Key) error
}

// Key identifies a credential at the platform.
type Key struct {
	// Owner is whom the key belongs to, for example a service account's e-mail address.
	Owner     string    `json:"owner"`
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	// ExpiresAt is when the platform begins to refuse the key by itself; zero where it never does.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Identity names the key among all keys of the platform, in one spelling.
func (k Key) Identity() string { return strings.ToLower(k.Owner + "/" + k.ID) }
