package testkit

import (
	"context"
	"maps"
	"net/http"
	"testing"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/testhelpers/schema"
	"github.com/hashicorp/vault/sdk/logical"
)

// Engine is what handles requests and declares their answers.
type Engine interface {
	HandleRequest(context.Context, *logical.Request) (*logical.Response, error)
	HandleExistenceCheck(context.Context, *logical.Request) (checkFound, exists bool, err error)
	Route(path string) *framework.Path
}

// Handle sends a request as Vault does: the existence check first, which makes a creation of an update of what is not there. It
// fails the test if the answer is not as the operation's response schema says.
func Handle(t testing.TB, e Engine, req *logical.Request) (*logical.Response, error) {
	t.Helper()
	if req.Operation == logical.UpdateOperation {
		if found, exists, err := e.HandleExistenceCheck(t.Context(), req); err != nil {
			return nil, err
		} else if found && !exists {
			req.Operation = logical.CreateOperation
		}
	}
	response, err := e.HandleRequest(t.Context(), req)
	if t, ok := t.(*testing.T); ok && err == nil && response != nil && !response.IsError() { // the sdk's check takes nothing else
		checkSchema(t, e, req, response)
	}
	return response, err
}

func checkSchema(t *testing.T, e Engine, req *logical.Request, response *logical.Response) {
	t.Helper()
	status := http.StatusOK
	if response.Data == nil && len(response.Warnings) == 0 {
		status = http.StatusNoContent
	}
	path := e.Route(req.Path)
	declared := schema.GetResponseSchema(t, path, req.Operation)
	for _, r := range path.Operations[req.Operation].Properties().Responses[status] {
		declared = &r
	}
	// The sdk's check prints the data when it fails, so it does not get secrets, nor a text that nobody has declared.
	shown := maps.Clone(response.Data)
	for name, value := range shown {
		field := declared.Fields[name]
		if _, text := value.(string); text && (field == nil || (field.DisplayAttrs != nil && field.DisplayAttrs.Sensitive)) {
			shown[name] = "not shown"
		}
	}
	schema.ValidateResponseData(t, declared, shown, true)
}
