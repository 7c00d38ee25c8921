package provider

import "context"

// Consent is how a person agrees in a browser to what gives a credential: the authorization code grant of RFC 6749.
type Consent struct {
	// PKCE says that the platform takes a code challenge (RFC 7636), S256.
	PKCE bool
	// Needs are the fields of the credential that Exchange does not give, which have to be there before.
	Needs func() []string
	// Gives are the fields that Exchange gives.
	Gives func() []string
	// AuthorizeURL is the address that the person opens. Nothing secret is in it. The error says which value is missing.
	AuthorizeURL func(settings Values, t Token, asked ConsentRequest) (string, error)
	// Exchange makes fields of a credential of the code that came back. The code can be used once, so the request is never repeated.
	Exchange func(ctx context.Context, a Account, t Token, code string, asked ConsentRequest) (Values, error)
}

// ConsentRequest is what one consent is asked with.
type ConsentRequest struct {
	State, RedirectURI string
	// Verifier is the secret of PKCE; only its hash goes into the address.
	Verifier string
}
