// Package provider says what an ad platform is to the engine: the settings of an account, and the token types with their
// fields and reset semantics, and what can be done with each.
package provider

import (
	"context"
	"net/http"
	"time"
)

// Provider is one ad platform. It holds no state: everything that its functions need comes with the call.
type Provider struct {
	// Name is the value of an account's `provider` field.
	Name  string
	Title string
	// AccountFields are the platform's own account settings.
	AccountFields []Field
	// CheckAccount applies the rules that span several settings, each already in canonical form. Nil: there are none.
	CheckAccount func(settings Values) error
	// VerifyAccount tries the account's own identity. It returns nil where the account has none. Nil: no account has one.
	VerifyAccount func(ctx context.Context, a Account) (*Verification, error)
	// Types are what can be kept in a token of this platform.
	Types []*TokenType
	// Limits bound what the engine asks the platform by itself.
	Limits Limits
	// Notes tell what a user of the platform has to know.
	Notes []string
	// Unverified means that Notes name facts that are not confirmed.
	Unverified bool
}

// Type returns the token type of this name; nil where the platform has none.
func (p *Provider) Type(name string) *TokenType {
	for _, kind := range p.Types {
		if kind.Name == name {
			return kind
		}
	}
	return nil
}

// TypeNames lists the names of the platform's token types in their order.
func (p *Provider) TypeNames() []string {
	names := make([]string, len(p.Types))
	for i, kind := range p.Types {
		names[i] = kind.Name
	}
	return names
}

// Limits bound the engine's own work on one account. Requests by hand are not counted.
type Limits struct {
	// Verifications are the tries of credentials. The zero value is the engine's own limit.
	Verifications Rate
}

// Rate is how often something may happen: Burst times at once, and once more each time that Every has passed.
type Rate struct {
	Burst int
	Every time.Duration
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
	// Type is the name of its type.
	Type string
	// Options are the type's own settings (TokenType.Options), for example `probe_path`.
	Options    Values
	Credential Values
	// Begin is told that a request follows whose answer may replace a part of the credential. The abilities of a type with Refresh
	// call it before each such request, and end with its error. Nil: nobody wants to know.
	Begin func(ctx context.Context) error
	// Keep stores what the answer to that request replaces, which may be nothing. The abilities call it before they do anything
	// else with an answer that grants, and end with its error. Nil: nobody keeps it.
	Keep func(ctx context.Context, r Refreshed) error
}

// Refreshed is what an answer to a refresh replaces.
type Refreshed struct {
	// Values are the fields with a new value; nil where all stay as they are.
	Values Values
	// ExpiresAt is when they end; zero where the answer does not say.
	ExpiresAt time.Time
}

// ResetSemantics says what becomes of the old value when a token is replaced.
type ResetSemantics string

const (
	// Immediate means that the old value dies at the moment of the reset.
	Immediate ResetSemantics = "immediate"
	// Overlapping means that the old and the new value can be live side by side.
	Overlapping ResetSemantics = "overlapping"
	// None means that there is nothing to replace: the type has no secret.
	None ResetSemantics = "none"
)

// TokenType is a kind of credential, and what can be done with it. An ability that is nil is one that the type does not
// have. Unless it says otherwise, the error of an ability is a *Refused, where the platform says no, or an *Error, where no
// useful answer came.
type TokenType struct {
	Name, Title, Description string
	ResetSemantics           ResetSemantics
	// Fields make up the credential.
	Fields []Field
	// Options are settings of a token of this type, beside the policy that all tokens share.
	Options []Field
	// CheckOptions applies the rules that a type has for its options as a whole. Nil: there are none.
	CheckOptions func(options Values) error
	// Connection declares what Connect may give: what an app needs beside the credential to call the API. None is a secret.
	Connection []Field
	// Subject are the credential fields and account settings that tell a reset hook which token it is. None is a secret.
	Subject []string
	// Lifetime is how long a value lives after it was published; zero where it does not end by itself.
	Lifetime time.Duration
	// EndPrevious is the input of a rotation that has the engine end the value which a person replaces, with the ability Retire
	// or Keys. Empty: retire_previous.
	EndPrevious string

	// Verify asks the platform about a credential. Every type has it. Its error is an *Error.
	Verify func(ctx context.Context, a Account, t Token) (Verification, error)
	// Runbook tells a person how to replace a token. Every type has it.
	Runbook func(settings Values) Runbook
	// Connect gives what Connection declares, by name.
	Connect func(settings Values, t Token) Values
	// Mint makes a short-lived access token with one call.
	Mint func(ctx context.Context, a Account, t Token) (AccessToken, error)
	// Refresh is set where an answer to Mint, or to another ability, can replace a part of the credential: see Token.Keep.
	Refresh *Refresh
	// Renew has an API of the platform replace the credential. See Renewal.
	Renew *Renewal
	// Consent is how a person's agreement in a browser gives the credential. See Consent.
	Consent *Consent
	// Retire makes the platform refuse an old credential from now on; one that it refuses already is no error. Current is the
	// credential in use, nil where there is none. The token's Begin and Keep are about the current one.
	Retire func(ctx context.Context, a Account, old Token, current Values) error
	// Keys is the API of types whose credentials are keys of an owner who can have several.
	Keys Keys

	// Identity names what a credential is at the platform: two values of one identity live and die together, whatever
	// else differs between them. The identity of one of Keys is its Key's. It may hold a secret. Nil means that all fields
	// together are the identity.
	Identity func(credential Values) string
	// Content is what matters to those who use a credential: two values of one content are one credential, in whatever
	// form it was written down. Nil means all fields.
	Content func(credential Values) string
}

// Refresh says what becomes of a credential whose refresh replaces a part of it.
type Refresh struct {
	// PreviousDies says that the part before is refused from then on.
	PreviousDies bool
	// KeepAlive is how long after the last refresh the next one has to come, for the credential to live on; zero: there is no such time.
	KeepAlive time.Duration
}

// Renewal is an API of the platform that replaces a credential.
type Renewal struct {
	// Call asks for the new values of the fields that the answer replaces. After an *Error whose NotSent is false it is
	// unknown whether the platform has replaced the credential.
	Call func(ctx context.Context, a Account, t Token) (Values, error)
	// Repeatable says that Call may be sent again after a lost answer, and then gives a value that works. Otherwise a lost
	// answer is a lost value, and a person has to replace the credential.
	Repeatable bool
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
	// Identity says whose credential it is, in the platform's words and one spelling; empty where the answer does not say.
	Identity string
	// ExpiresAt is when the platform begins to refuse the credential by itself; zero where the answer does not say.
	ExpiresAt time.Time
}

// Runbook is how a person replaces a token.
type Runbook struct {
	ConsoleURL string
	// Role is who can do it, in the platform's words; empty where everybody can.
	Role  string
	Steps []string
	// Previous says what becomes of the old value, and when.
	Previous string
	Notes    []string
}
