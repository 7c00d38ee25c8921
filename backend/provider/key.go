package provider

import (
	"context"
	"strings"
	"time"
)

// KeyRotator is a Provider that makes and deletes credentials of some types through the platform's own API. Errors are
// a *Refused, where the platform will not do it, or an *Error, where no useful answer came; after an *Error of
// CreateKey it is unknown whether a key was made.
type KeyRotator interface {
	// RotatesKeys says whether credentials of the type are such keys.
	RotatesKeys(tokenType string) bool
	// Key tells what the credential is called at the platform. Its CreatedAt is zero.
	Key(credential Values) (Key, error)
	// SelfAsserted says whether the credential names the address by itself at which an account of these settings has it
	// proven. An acceptance from there proves nothing, so that no right may follow from it.
	SelfAsserted(settings, credential Values) bool
	// ListKeys lists the live keys of the owner, acting as t. The platform may be late with new and deleted ones.
	ListKeys(ctx context.Context, a Account, t Token, owner string) ([]Key, error)
	// CreateKey makes a key for the owner of t's credential. The platform gives its secret only this once.
	CreateKey(ctx context.Context, a Account, t Token) (Values, error)
	// DeleteKey deletes a key, acting as t. A key that is gone already is no error.
	DeleteKey(ctx context.Context, a Account, t Token, key Key) error
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
