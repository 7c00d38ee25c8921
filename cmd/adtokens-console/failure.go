package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"
)

// kind is why a request to Vault has failed, as far as it matters to a person.
type kind string

const (
	denied      kind = "denied"      // the person may not do this
	signedOut   kind = "signed-out"  // the person's token is no more
	missing     kind = "missing"     // there is nothing there, or the engine is too old for it
	refused     kind = "refused"     // the engine says that the request is wrong
	busy        kind = "busy"        // something else is under way
	silent      kind = "silent"      // the platform did not answer
	sealed      kind = "sealed"      // Vault is sealed, or has no leader
	unreachable kind = "unreachable" // Vault does not answer
	late        kind = "late"        // Vault takes too long
	broken      kind = "broken"      // anything else
)

// failure is a request to Vault that has failed.
type failure struct {
	kind kind
	// said are the sentences of Vault or the engine, which hold no secret. They are for engineers as well.
	said []string
}

// Error is for the log.
func (f *failure) Error() string {
	return strings.Join(append([]string{string(f.kind)}, f.said...), ": ")
}

// Detail is what Vault said, in one text.
func (f *failure) Detail() string { return strings.Join(f.said, " ") }

// isKind says whether an error is a failure of one of these kinds.
func isKind(err error, kinds ...kind) bool {
	f, is := errors.AsType[*failure](err)
	return is && slices.Contains(kinds, f.kind)
}

// failureOf says what an error of Vault's client means.
func failureOf(err error) error {
	if answered, is := errors.AsType[*api.ResponseError](err); is {
		return answeredFailure(answered)
	}
	var network net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return &failure{kind: late}
	case errors.Is(err, context.Canceled):
		return &failure{kind: late, said: []string{"the browser has left"}}
	}
	return &failure{kind: unreachable} // the error names addresses, which are for the log of Vault's own clients
}

func answeredFailure(answered *api.ResponseError) *failure {
	f := &failure{kind: broken}
	for _, text := range answered.Errors {
		f.said = append(f.said, plain(text)...)
	}
	all := strings.Join(f.said, " ")
	switch status := answered.StatusCode; {
	case status == http.StatusForbidden && (strings.Contains(all, "invalid token") || strings.Contains(all, "bad token")):
		f.kind = signedOut
	case status == http.StatusForbidden:
		f.kind = denied
	case status == http.StatusNotFound, strings.Contains(all, "unsupported path"), strings.Contains(all, "unsupported operation"):
		f.kind = missing
	case status == http.StatusConflict:
		f.kind = busy
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout:
		f.kind = silent
	case status == http.StatusServiceUnavailable, strings.Contains(all, "Vault is sealed"):
		f.kind = sealed
	case status >= 400 && status < 500:
		f.kind = refused
	}
	return f
}

// plain takes the frame away that Go programs put around several errors: "1 error occurred:\n\t* permission denied\n\n".
func plain(text string) []string {
	var sentences []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "* "))
		if line != "" && !strings.HasSuffix(line, "occurred:") {
			sentences = append(sentences, line)
		}
	}
	return sentences
}
