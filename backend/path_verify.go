package backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

const verifyHelpLong = `The provider is asked about the current credential now. The outcome is accepted, rejected (somebody reset, revoked or
disabled it: see tokens/<name>/rotate), or inconclusive with the reason: the provider did not answer, or its answer
cannot tell. The outcome is shown in the token's health, and a rejected credential warns everybody who reads it.`

func (b *backend) pathVerify() *framework.Path {
	return &framework.Path{
		Pattern:      "tokens/" + namePattern("name") + "/verify$",
		Fields:       map[string]*framework.FieldSchema{"name": nameField()},
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: writeOperation(b.pathVerifyWrite, "Ask the provider about the current credential now.", "verify",
				ok("What the provider said.", map[string]*framework.FieldSchema{
					"outcome":       {Type: framework.TypeString, Required: true, Description: "accepted, rejected or inconclusive."},
					"detail":        {Type: framework.TypeString, Required: true, Description: "The outcome in a sentence."},
					"provider_code": {Type: framework.TypeString, Required: true, Description: "The provider's own error code, where it gave one."},
					"request_id":    {Type: framework.TypeString, Required: true, Description: "The provider's request id, which its support asks for."},
					"checked_at":    {Type: framework.TypeTime, Required: true, Description: "When the provider was asked."},
					"version":       {Type: framework.TypeInt, Required: true, Description: "Number of the version that was tried."},
				})),
		},
		HelpSynopsis:    "Check the current credential against the provider now.",
		HelpDescription: verifyHelpLong,
	}
}

// recordPatience is how long an answer of the provider waits for the token's lock, which a rotation can hold for as long as a reset
// hook takes.
const recordPatience = 5 * time.Second

// maxVerifyTries is how often a request tries the version that is current by then, while others rotate the token.
const maxVerifyTries = 3

func (b *backend) pathVerifyWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("name").(string)
	for range maxVerifyTries {
		t, a, err := b.storedPair(ctx, req.Storage, name)
		switch {
		case err != nil:
			return nil, err
		case t == nil:
			return nil, unknownToken(name)
		case t.Current == nil:
			return nil, noCredential(t)
		}
		o, err := b.verifyCurrent(ctx, req.Storage, a, t)
		_, busy := errors.AsType[*cache.BusyError](err)
		switch {
		case err != nil && (!busy || ctx.Err() != nil):
			return nil, err
		case err == nil && !o.recorded: // it is not about the current version any more
			continue
		}
		response := &logical.Response{Data: map[string]any{
			"outcome":       string(o.Outcome),
			"detail":        o.Detail,
			"provider_code": o.Code,
			"request_id":    o.RequestID,
			"checked_at":    timestamp(o.at),
			"version":       t.Number(),
		}}
		if busy {
			response.AddWarning("the token's health does not show this: a rotation holds the token, and waits for its reset hook or provider; " +
				"the engine verifies the token again by itself when that is over")
		}
		return response, nil
	}
	return nil, errKeepsChanging(name)
}

func errKeepsChanging(name string) error {
	return logical.CodedError(http.StatusConflict, fmt.Sprintf(
		"token %q was rotated each time while the provider was asked about it, so nothing is known of its current version; try again", name))
}

// storedPair returns a copy of the token as it is stored, nil where it does not exist, and its account as it was while the token
// was that: a value is never sent where its account's address was changed to after the token was deleted or rotated.
func (b *backend) storedPair(ctx context.Context, storage logical.Storage, name string) (*token, *account, error) {
	for range maxVerifyTries {
		t, err := b.tokens.Load(ctx, storage, name)
		if err != nil || t == nil {
			return nil, nil, err
		}
		a, err := b.account(ctx, storage, t.Account)
		if err != nil {
			return nil, nil, err
		}
		now, err := b.tokens.Get(ctx, storage, name)
		if err != nil {
			return nil, nil, err
		}
		if now != nil && now.sameVersion(t) {
			return t, a, nil
		}
	}
	return nil, nil, errKeepsChanging(name)
}

// sameVersion says whether both are the same version of the same token. One that was deleted and made anew is another token.
func (t *token) sameVersion(other *token) bool {
	if t.Account != other.Account || t.Type != other.Type || (t.Current == nil) != (other.Current == nil) {
		return false
	}
	return t.Current == nil || t.Number() == other.Number() && t.fingerprint() == other.fingerprint() &&
		t.Current.PublishedAt.Equal(other.Current.PublishedAt)
}

// observation is what the provider said about a version.
type observation struct {
	provider.Verification
	// silent means that there was no useful answer, which says nothing about the credential.
	silent bool
	at     time.Time
	// recorded means that the version is the current one, and that its record has the answer.
	recorded bool
}

// verifyCurrent asks the provider about the token's credential, and stores the answer if that is still the current one. With a
// *cache.BusyError there is an answer, which could not be stored.
func (b *backend) verifyCurrent(ctx context.Context, storage logical.Storage, a *account, t *token) (*observation, error) {
	v, silent, err := observe(ctx, a, t)
	if err != nil {
		return nil, err
	}
	o := &observation{Verification: v, silent: silent, at: b.now()}
	return o, b.recordObservation(ctx, storage, t, o)
}

// observe asks the provider about the current credential. Silent means that there was no useful answer, which says
// nothing about the credential.
func observe(ctx context.Context, a *account, t *token) (v provider.Verification, silent bool, err error) {
	v, err = a.platform.Verify(ctx, a.call, t.call(t.Current.Credential))
	var silence *provider.Error
	if !errors.As(err, &silence) {
		return v, false, err
	}
	return provider.Verification{
		Outcome: provider.Inconclusive, Detail: silence.Error(), Code: silence.Code, RequestID: silence.RequestID,
	}, true, nil
}

// recordObservation stores what the provider said, unless the token was rotated or deleted while it was asked. A credential that
// is found rejected, and was not before, is an event. A *cache.BusyError means that somebody else works on the token for long.
func (b *backend) recordObservation(ctx context.Context, storage logical.Storage, asked *token, o *observation) error {
	t, unlock, err := b.lockTokenWithin(ctx, storage, asked.name, recordPatience)
	if err != nil {
		return err
	}
	defer unlock()
	if t == nil || !t.sameVersion(asked) {
		return nil
	}
	a, err := b.account(ctx, storage, t.Account)
	if err != nil {
		return err
	}
	before := t.Health
	if o.silent {
		t.ObserveSilence(o.Detail, o.at)
	} else {
		t.Observe(o.Verification, o.at)
	}
	if err := b.saveToken(ctx, storage, t); err != nil {
		return err
	}
	o.recorded = true
	b.plan(a, t)
	if t.Health == rotation.HealthRejected && before != rotation.HealthRejected {
		b.sendTokenEvent(ctx, eventVerifyFail, t, "fingerprint", t.fingerprint())
	}
	return nil
}

// noCredential tells the reader of an empty token how to fill it.
func noCredential(t *token) error {
	return badInput("token %q has no credential yet; hand it in with %s; %s tells where it is", t.name, t.handInCommand(), readRunbook(t.name))
}
