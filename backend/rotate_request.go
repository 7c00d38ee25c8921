package backend

import (
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// rotateRequest asks for a new value of a token: for the one that comes with the request, or for one that the engine gets by itself.
// The path file that made it has refused what does not fit the token's type.
type rotateRequest struct {
	// given are the credential fields that came with the request, in canonical form; the others keep their value. Nil means that the
	// engine is to get the value.
	given provider.Values
	// consent is what a consent sent the browser to; nil where the value comes otherwise.
	consent *consentAnswer
	// reason is free text for the history.
	reason string
	// verify is false where the value is to be published untried.
	verify bool
	// cas is the number of the version that is to be replaced; nil means the current one, whatever its number.
	cas *int
	// endPrevious has the engine end the value that is replaced.
	endPrevious bool
	// acceptOther takes a value of another identity than the token's.
	acceptOther bool
	by          requester
}

// consentAnswer is what a platform says to the browser after a consent.
type consentAnswer struct {
	state, code string
	// refusal is the platform's code, where the person did not agree or could not.
	refusal string
}

// checkVersion refuses a rotation of another version than the requester knows.
func (r *rotateRequest) checkVersion(t *token) error {
	if r.cas != nil && *r.cas != t.Number() {
		return badInput("cas is %d and the current version is %d: somebody rotated this token in the meantime; nothing was changed", *r.cas, t.Number())
	}
	return nil
}

// handedIn is a credential that a person hands in.
type handedIn struct {
	rotateRequest
	// token is a copy to change, under its lock.
	token *token
	// account is the one that a new token was checked with, nil where the token is stored. handIn reads it again.
	account *account
	source  rotation.Source
}
