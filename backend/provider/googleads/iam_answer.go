package googleads

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Names of google.rpc codes.
const (
	statusFailedPrecondition = "FAILED_PRECONDITION"
	statusNotFound           = "NOT_FOUND"
)

// What IAM answers where one of the two organisation policies against new keys holds. Newer organisations have the
// managed one from the beginning.
const (
	keyCreationPolicy        = "iam.disableServiceAccountKeyCreation"
	managedKeyCreationPolicy = "iam.managed.disableServiceAccountKeyCreation"
	policyMessage            = "Key creation is not allowed on this service account"
	managedPolicyReason      = "CUSTOM_ORG_POLICY_VIOLATION"
	managedPolicyMessage     = "Operation denied by org policy"
)

// iamAnswer is an answer of the IAM API.
type iamAnswer struct {
	*provider.Response
	// status names the google.rpc code of an error, for example PERMISSION_DENIED.
	status string
}

// parseIAM reads an answer that came. Failed is the client library's error.
func parseIAM(e *exchange, failed error, secrets []string) (*iamAnswer, error) {
	var body struct {
		Error struct {
			Status string `json:"status"`
		} `json:"error"`
	}
	unreadable := decode(e.response, &body)
	answer := &iamAnswer{Response: e.response, status: rpcStatus(publicID(body.Error.Status, secrets))}
	if silence, ok := errors.AsType[*provider.Error](e.err); ok {
		silence.Code = answer.status
		return answer, silence
	}
	switch {
	case unreadable != nil:
		return nil, unreadable
	case answer.ok() && failed != nil, !answer.ok() && answer.status == "":
		return nil, e.response.Unreadable()
	}
	return answer, nil
}

// forbiddingPolicy names the organisation policy that the answer speaks of, if it does.
func (a *iamAnswer) forbiddingPolicy() string {
	says := func(text string) bool { return bytes.Contains(a.Body, []byte(text)) }
	switch {
	case a.status != statusFailedPrecondition:
		return ""
	case says(managedKeyCreationPolicy), says(managedPolicyReason), says(managedPolicyMessage):
		return managedKeyCreationPolicy
	case says(keyCreationPolicy), says(policyMessage):
		return keyCreationPolicy
	default:
		return ""
	}
}

// describe lists keys with their dates, the oldest first.
func describe(keys []provider.Key) string {
	var texts []string
	for _, key := range slices.SortedFunc(slices.Values(keys), func(a, b provider.Key) int { return a.CreatedAt.Compare(b.CreatedAt) }) {
		text := key.ID + " of " + key.CreatedAt.UTC().Format(time.DateOnly)
		if !key.ExpiresAt.IsZero() {
			text += " (until " + key.ExpiresAt.UTC().Format(time.DateOnly) + ")"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// onlyKeys tells a list of keys, which is an empty object where there is none, from the JSON of somebody else.
func (a *iamAnswer) onlyKeys() error {
	var members map[string]any
	if err := decode(a.Response, &members); err != nil {
		return err
	}
	delete(members, "keys")
	if len(members) > 0 {
		return a.Unreadable()
	}
	return nil
}

func (a *iamAnswer) ok() bool { return a.Status < http.StatusMultipleChoices }

// denied reports whether somebody else might be let in. For a service account that does not exist, Google says the
// same, because the request does not name its project.
func (a *iamAnswer) denied() bool {
	return a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden
}

func (a *iamAnswer) refusal(what string) error {
	return &provider.Refused{Code: a.status, Detail: fmt.Sprintf("Google refuses to %s (HTTP %d)", what, a.Status)}
}
