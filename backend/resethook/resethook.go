// Package resethook asks a company's own automation, the reset hook of an account, to reset a token. The requests are
// signed as Standard Webhooks prescribe; docs/reset-hook.openapi.yaml tells what a hook has to do.
package resethook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/webhook"
)

// How long to wait before a hook that is still at work is asked again.
const (
	defaultWait = 5 * time.Second
	maxWait     = time.Hour
)

// Fields are the settings of an account that name its hook: reset_hook_url and reset_hook_secret.
func Fields() []provider.Field {
	return []provider.Field{
		{
			Name: "reset_hook_url", Endpoint: true, Check: provider.WebhookURL, Show: provider.ShowWebhookURL,
			Description: "Address of the reset hook, which resets tokens of this account at the provider. " +
				"A query in it is not shown. Default: none.",
		},
		{
			Name: "reset_hook_secret", Secret: true, Check: webhook.CheckSecret,
			Description: "Secret that signs requests to the reset hook: whsec_ and the base64 form of 24 to 64 random bytes.",
		},
	}
}

// Request is one attempt at a reset.
type Request struct {
	// URL and Secret are the account's reset_hook_url and reset_hook_secret.
	URL, Secret string
	// Client is of provider.NewClient. Its timeout bounds how long the hook may take.
	Client *http.Client
	Event  Event
	// Fields are the credential fields of the token's type. The hook has to give a secret one of them.
	Fields []provider.Field
	// Current is the credential that is replaced; nil where there is none. What the hook leaves out keeps its value.
	Current provider.Values
}

// Answer is the new credential.
type Answer struct {
	// Credential lacks only the fields that neither the hook nor Request.Current has.
	Credential provider.Values
	// Note is a sentence about fields that came and are unusable, and keep their value therefore; empty where there are none. It
	// repeats nothing of the answer.
	Note string
}

// Event tells the hook what to reset.
type Event struct {
	Token     string `json:"token"`
	TokenType string `json:"token_type"`
	Provider  string `json:"provider"`
	Account   string `json:"account"`
	// Subject tells which token is meant, by the names of settings and credential fields. They stand beside the others in the event.
	Subject provider.Values `json:"-"`
	Reason  string          `json:"reason"`
	// IdempotencyKey is the same for all attempts at one reset, printable ASCII without a dot.
	IdempotencyKey string `json:"idempotency_key"`
}

// Pending means that the hook is at work: the same event is to be sent again after a while.
type Pending struct{ RetryAfter time.Duration }

func (p *Pending) Error() string {
	return fmt.Sprintf("the reset hook is at work; it asks to wait %s", provider.DurationText(p.RetryAfter))
}

// Unusable means that the hook says that it has performed the reset, and that its answer does not have the credential.
type Unusable struct {
	// Detail is a sentence for an operator. It repeats nothing of the answer.
	Detail string
}

func (u *Unusable) Error() string { return u.Detail }

// Reset sends the event once and returns the new credential. Errors are a *Pending, an *Unusable, a *provider.Refused,
// where the hook will not do it, or a *provider.Error, where no useful answer came; after the last it is unknown whether
// the token was reset, and the same event tells.
func Reset(ctx context.Context, r Request) (Answer, error) {
	request, err := r.sign(ctx, time.Now())
	if err != nil {
		return Answer{}, err
	}
	response, err := provider.Do(r.Client, request)
	if err != nil {
		return Answer{}, err
	}
	switch {
	case response.Status == http.StatusAccepted, response.Status == http.StatusConflict:
		// Some services answer so with what a request has made, or had made before.
		if answer, err := r.read(response); err == nil && r.isNew(answer.Credential) {
			return answer, nil
		}
		return Answer{}, &Pending{RetryAfter: min(cmp.Or(provider.RetryAfter(response.Header), defaultWait), maxWait)}
	case response.Status < http.StatusMultipleChoices:
		return r.read(response)
	case response.IsPage():
		// Somebody on the way, who knows nothing of the reset: it may have been done for an earlier request.
		return Answer{}, response.Unreadable()
	default:
		return Answer{}, refusal(response.Status)
	}
}

// encode writes the event as one flat object, with the subject's members in it.
func (e *Event) encode() ([]byte, error) {
	event, err := json.Marshal(struct {
		Type string `json:"type"`
		*Event
	}{"reset", e})
	known := maps.Clone(e.Subject)
	maps.DeleteFunc(known, func(_, value string) bool { return value == "" })
	if err != nil || len(known) == 0 {
		return event, err
	}
	subject, err := json.Marshal(known)
	if err != nil {
		return nil, err
	}
	// The last two members of the event follow the subject.
	const reason = `,"reason":`
	at := bytes.LastIndex(event, []byte(reason))
	return slices.Concat(event[:at], []byte(","), subject[1:len(subject)-1], event[at:]), nil
}

// sign makes the request. net/http itself may repeat it, with the same signature, when a kept connection turns out to
// be closed: Idempotency-Key allows that.
func (r *Request) sign(ctx context.Context, now time.Time) (*http.Request, error) {
	body, err := r.Event.encode()
	if err != nil {
		return nil, fmt.Errorf("encoding the event for the reset hook: %w", err)
	}
	request, err := webhook.Message{URL: r.URL, Secret: r.Secret, ID: r.Event.IdempotencyKey, Body: body}.Request(ctx, now)
	switch {
	case errors.Is(err, webhook.ErrAddress):
		return nil, &provider.Error{Host: "The reset hook", Problem: "cannot be called: reset_hook_url is no URL"}
	case r.Secret == "", errors.Is(err, webhook.ErrSecret):
		return nil, &provider.Refused{Detail: "The reset hook cannot be called: reset_hook_secret is no secret of Standard Webhooks"}
	case err != nil:
		return nil, fmt.Errorf("signing the event for the reset hook: %w", err)
	}
	request.Header.Set("Idempotency-Key", r.Event.IdempotencyKey)
	request.Header.Set("Accept", "application/json")
	return request, nil
}

// refusal says what a status means. What else the hook says is not passed on, because it could repeat secrets.
func refusal(status int) error {
	detail := "The reset hook refuses the reset; its own log says why"
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		detail = "The reset hook refuses the request: check that it has the same reset_hook_secret and that both clocks are right"
	}
	return &provider.Refused{Detail: detail, Code: fmt.Sprintf("HTTP %d", status)}
}
