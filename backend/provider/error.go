package provider

import (
	"fmt"
	"time"
)

// Kind says why no useful answer came from a platform.
type Kind int

const (
	// Unavailable covers the network, TLS, 5xx answers, redirects, and bodies that cannot be read.
	Unavailable Kind = iota
	// Timeout means that the deadline passed before the answer came.
	Timeout
	// RateLimited means HTTP 429.
	RateLimited
	// NotAsked means that no request could be made of what the account and the token have. Asking again does not help before that changes.
	NotAsked
)

// Error means that a platform did not answer usefully, so nothing is known about the credential.
type Error struct {
	Kind Kind
	// Host is where the request went.
	Host string
	// Problem completes the sentence "<host> …". It holds no secret.
	Problem string
	// RetryAfter is how long the platform asks to wait; zero where it does not say.
	RetryAfter time.Duration
	// Code and RequestID are the platform's own, where it gave them.
	Code, RequestID string
	// NotSent means that the platform cannot have acted on the request, because no connection to it was made, or because it says
	// that it limits the rate of requests.
	NotSent bool
}

func (e *Error) Error() string {
	message := e.Host + " " + e.Problem
	if e.Code != "" {
		message += " (" + e.Code + ")"
	}
	if e.RequestID != "" {
		message += ", request id " + e.RequestID
	}
	if e.RetryAfter > 0 {
		message += fmt.Sprintf("; it asks to wait %s", DurationText(e.RetryAfter))
	}
	return message
}

// Refused means that a platform answered and will not do what was asked with a credential: mint an access token, or
// revoke a grant.
type Refused struct {
	// Detail is a sentence that explains the refusal to an operator. It holds no secret.
	Detail string
	// Code is the platform's own error code, where it gave one.
	Code string
}

func (r *Refused) Error() string {
	if r.Code == "" {
		return r.Detail
	}
	return r.Detail + " (" + r.Code + ")"
}
