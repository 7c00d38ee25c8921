package googleads

import (
	"mime"
	"slices"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// decode reads an answer of one of Google's APIs, all of which announce their answers as JSON. Anything else, a proxy's
// page or an empty body above all, is a *provider.Error, whatever its status: nobody who knows the credential has spoken.
func decode(response *provider.Response, v any) error {
	if !announcesJSON(response) {
		return response.Unreadable()
	}
	return response.Decode(v)
}

func announcesJSON(response *provider.Response) bool {
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	return mediaType == "application/json"
}

// decodeDone reads the answer to a request that gives nothing back: an object without members.
func decodeDone(response *provider.Response) error {
	var members map[string]any
	if err := decode(response, &members); err != nil {
		return err
	}
	if len(members) > 0 {
		return response.Unreadable()
	}
	return nil
}

// rpcStatuses are the error names of google.rpc.Code. An error answer of Google's APIs has one of them; the JSON of
// somebody else in between has not.
var rpcStatuses = []string{
	"CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", statusNotFound, "ALREADY_EXISTS", "PERMISSION_DENIED",
	"UNAUTHENTICATED", codeResourceExhausted, statusFailedPrecondition, "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL",
	"UNAVAILABLE", "DATA_LOSS",
}

// rpcStatus returns the name if it is one of google.rpc, else the empty string.
func rpcStatus(name string) string {
	if !slices.Contains(rpcStatuses, name) {
		return ""
	}
	return name
}
