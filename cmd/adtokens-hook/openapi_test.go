package main

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

const documentPath = "../../docs/reset-hook.openapi.yaml"

// document finds what is documented for a request.
var document = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(documentPath)
	if err != nil {
		return nil, err
	}
	doc.Servers = nil // the address is the hook's own
	return gorillamux.NewRouter(doc)
})

func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile(documentPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
}

// documented checks every exchange against the document: what the hook answers, and what was sent where the hook took it
// for an event.
func documented(t *testing.T, hook http.Handler) http.Handler {
	t.Helper()
	router, err := document()
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		hook.ServeHTTP(answer, r)
		if r.Context().Err() != nil { // nobody is there for an answer
			return
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())

		route, path, err := router.FindRoute(r)
		if err != nil {
			if answer.Code != http.StatusNotFound && answer.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s is not documented", r.Method, r.URL.Path)
			}
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		request := &openapi3filter.RequestValidationInput{
			Request: r, PathParams: path, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
		}
		unreadable := []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestEntityTooLarge}
		if err := openapi3filter.ValidateRequest(r.Context(), request); err != nil && !slices.Contains(unreadable, answer.Code) {
			t.Errorf("a request that got %d is not as documented: %v", answer.Code, err)
		}
		response := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: request, Status: answer.Code, Header: answer.Header(), Options: request.Options,
			Body: io.NopCloser(bytes.NewReader(answer.Body.Bytes())),
		}
		if openapi3filter.ValidateResponse(r.Context(), response) != nil { // whose text could hold the credential
			t.Errorf("the answer %d is not as documented", answer.Code)
		}
	})
}
