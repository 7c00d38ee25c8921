package backend

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// inputError is a mistake of the caller: HTTP 400. Its text holds no secret and says what is right.
type inputError struct{ message string }

func (e *inputError) Error() string { return e.message }

func badInput(format string, args ...any) error {
	return &inputError{fmt.Sprintf(format, args...)}
}

func unknownToken(name string) error {
	return logical.CodedError(http.StatusNotFound, fmt.Sprintf("token %q does not exist; `vault list <mount>/tokens` shows those that do", name))
}

// respond turns what a handler returned into what Vault makes the right HTTP status of. Across the plugin's process
// boundary only a bare sentinel or an outermost coded error keeps its status.
func respond(response *logical.Response, err error) (*logical.Response, error) {
	var (
		input   *inputError
		silence *provider.Error
		refused *provider.Refused
		coded   logical.HTTPCodedError
	)
	switch {
	case err == nil && response != nil && response.Data == nil && response.Secret == nil && len(response.Warnings) == 0:
		return nil, nil // nothing to say: HTTP 204, which the CLI reports as success
	case err == nil:
		return response, nil
	case errors.As(err, &input), errors.As(err, &refused):
		return logical.ErrorResponse("%s", err.Error()), nil
	case errors.As(err, &coded):
		return nil, coded
	case errors.As(err, &silence):
		return nil, logical.CodedError(silenceStatus(err), err.Error())
	default:
		return nil, err
	}
}

// silenceStatus is the HTTP status of an answer that tells of a provider's silence: whose fault it is, as far as that is known.
func silenceStatus(err error) int {
	silence, _ := errors.AsType[*provider.Error](err)
	switch {
	case silence != nil && silence.Kind == provider.Timeout:
		return http.StatusGatewayTimeout
	case silence != nil && silence.Kind == provider.NotAsked:
		return http.StatusBadRequest
	}
	return http.StatusBadGateway
}

// explain puts a verification's own words and the provider's references into one sentence.
func explain(v provider.Verification) string {
	message := v.Detail
	if v.Code != "" {
		message += " (" + v.Code + ")"
	}
	if v.RequestID != "" {
		message += " [request id " + v.RequestID + "]"
	}
	return message
}
