// Package provider says what an ad platform is to the engine: the settings of an account, the token types with
// their fields and reset semantics, how a credential is proven, and how a person replaces it.
package provider

import (
	"context"
	"net/http"
	"time"
)

// Provider is one ad platform. Implementations hold no state; everything they need comes with the call.
type Provider interface {
	// Name is the value of an account's `provider` field.
	Name() string
	// AccountFields lists the platform's own account settings.
	AccountFields() []Field
	// CheckAccount applies the rules that span several settings, each already in canonical form.
	CheckAccount(Values) error
	// TokenTypes lists what can be kept in a token of this platform.
	TokenTypes() []TokenType
	// VerifyAccount tries the account's own identity. It returns nil where the account has none.
	VerifyAccount(ctx context.Context, a Account) (*Verification, error)
	// Verify asks the platform about a credential. An error is an *Error: no useful answer came.
	Verify(ctx context.Context, a Account, t Token) (Verification, error)
	// ConnectionInfo is what an app needs beside the credential to call the API. Keys are those of `creds/<name>`.
	ConnectionInfo(settings Values, t Token) map[string]string
	// Runbook tells a person how to replace a token of the given type.
	Runbook(settings Values, tokenType string) Runbook
}

// AccessTokenMinter is a Provider that turns a long-lived credential into short-lived access tokens.
type AccessTokenMinter interface {
	// AccessToken mints an access token with one call. The error is a *Refused where the platform refuses the
	// credential or the token's type has no access tokens, and an *Error where no useful answer came.
	AccessToken(ctx context.Context, a Account, t Token) (AccessToken, error)
}

// Revoker is a Provider that can retire a replaced credential itself.
type Revoker interface {
	// Revoke makes the platform refuse the credential from now on; one that it refuses already is no error. The error
	// is a *Refused or an *Error, as for AccessTokenMinter.
	Revoke(ctx context.Context, a Account, t Token) error
}

// AccessToken is a short-lived token for calls of a platform's API.
type AccessToken struct {
	// Value is a secret.
	Value string
	// Type is the scheme of the Authorization header, for example "Bearer".
	Type string
	// ExpiresAt is zero where the platform did not say.
	ExpiresAt time.Time
}

// Values are named strings in canonical form: the settings of an account, or the fields of a credential.
type Values map[string]string

// Account is a configured provider account, ready for calls.
type Account struct {
	Settings Values
	// Client is bounded and never follows redirects: see NewClient.
	Client *http.Client
}

// Token is a credential with what is needed to try it.
type Token struct {
	Type string
	// Options are the type's own settings (TokenType.Options), for example `probe_path`.
	Options    Values
	Credential Values
}

// ResetSemantics says what becomes of the old value when a token is replaced.
type ResetSemantics string

const (
	// Immediate means that the old value dies at the moment of the reset.
	Immediate ResetSemantics = "immediate"
	// Overlapping means that the old and the new value can be live side by side.
	Overlapping ResetSemantics = "overlapping"
)

// TokenType is a kind of credential.
type TokenType struct {
	Name           string
	Description    string
	ResetSemantics ResetSemantics
	// Fields make up the credential.
	Fields []Field
	// Options are settings of a token of this type, beside the policy that all tokens share.
	Options []Field
	// Identity names what a credential is at the platform: two values of one identity live and die together, whatever
	// else differs between them. The identity of a key of a KeyRotator is its Key's. It may hold a secret. Nil means that
	// all fields together are the identity.
	Identity func(credential Values) string
	// Content is what matters to those who use a credential: two values of one content are one credential, in whatever
	// form it was written down. Nil means all fields.
	Content func(credential Values) string
}

// Outcome is what the platform's answer says about a credential.
type Outcome string

const (
	// Accepted means that the platform has proven the credential genuine.
	Accepted Outcome = "accepted"
	// Rejected means that the platform refuses the credential.
	Rejected Outcome = "rejected"
	// Inconclusive means that the platform answered and its answer cannot tell. It is never success.
	Inconclusive Outcome = "inconclusive"
)

// Verification is the platform's answer about a credential.
type Verification struct {
	Outcome Outcome
	// Detail is a sentence that explains the outcome to an operator. It holds no secret.
	Detail string
	// Caveat marks a Detail that an operator has to know of even though the credential was accepted.
	Caveat bool
	// Code is the platform's own error code, where it gave one.
	Code string
	// RequestID is what the platform's support asks for, where it gave one.
	RequestID string
	// SelfAsserted marks an answer that came from an address which the credential itself names, and which neither the
	// platform nor the account's settings vouch for. It tells whether the credential works where it says that it does,
	// and proves to nobody else whose it is: no right may follow from it.
	SelfAsserted bool
}

// Runbook is how a person replaces a token.
type Runbook struct {
	ConsoleURL string
	Steps      []string
	// Previous says what becomes of the old value, and when.
	Previous string
	Notes    []string
}
