package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// What became of the previous credential, in rotate's response.
const (
	previousRejected   = "rejected by provider"
	previousAccepted   = "still accepted"
	previousNotChecked = "not checked"
	previousRetires    = "retires at "
)

// outcomeFailed stands for a rotation that was not published, in metrics.
const outcomeFailed = "failed"

// storageTimeout bounds the write that publishes. It goes on when the caller hangs up, because by then the old value
// may be dead.
const storageTimeout = 30 * time.Second

// handInFields are the inputs of an import and of an assisted rotation beside the credential.
func handInFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"reason": {Type: framework.TypeString, Description: "Why, in free text; kept in the history and in the audit log."},
		"verify": {Type: framework.TypeBool, Default: true, Description: "Have the provider confirm the credential before it is published. false publishes it unverified."},
	}
}

// publishResponses declare what rotate and an import answer.
func publishResponses() map[int][]framework.Response {
	responses := ok("The credential was published.", map[string]*framework.FieldSchema{
		"version":             {Type: framework.TypeInt, Description: "Number of the published version."},
		"previous_version":    {Type: framework.TypeInt, Description: "Number of the version before, 0 where there was none."},
		"verification":        {Type: framework.TypeString, Description: "accepted, inconclusive or skipped."},
		"verification_detail": {Type: framework.TypeString, Description: "What the verification found, in a sentence."},
		"previous_credential": {Type: framework.TypeString, Description: "rejected by provider, still accepted, not checked, or retires at <time>."},
		"rotation_state":      {Type: framework.TypeString, Description: "What is still to do for an automatic rotation."},
		"fingerprint":         {Type: framework.TypeString, Description: "Keyed hash that identifies the published value."},
	})
	responses[http.StatusNoContent] = []framework.Response{{Description: "The policy was changed."}}
	return responses
}

// handedIn is a credential that a person hands in.
type handedIn struct {
	// token is a copy to change, under its lock.
	token   *token
	account *account
	// given are the fields that came with the request; the others keep their value.
	given  provider.Values
	source rotation.Source
	// retirePrevious has the engine retire the value that is replaced.
	retirePrevious bool
}

// handIn verifies and publishes a credential that a person hands in.
//
// What a crash leaves behind, by the step before which it happens:
//
//  1. form and reason checked: nothing changed
//  2. provider asked about the new value: nothing changed; the person still has the value and hands it in again
//  3. published in one storage write: nothing changed, or everything
//  4. previous value tried, its end noted in the history: published; the history does not say when the old value died
//  5. event sent: published; subscribers miss one event
func (b *backend) handIn(ctx context.Context, req *logical.Request, d *framework.FieldData, in handedIn) (*logical.Response, error) {
	t := in.token
	credential, err := t.complete(in.given)
	if err != nil {
		return nil, err
	}
	why, err := reason(d, t.kind, credential)
	if err != nil {
		return nil, err
	}
	// Before cas: a request that is sent again because its answer was lost, by Vault or by a person, is told what became of it.
	if t.Current != nil && maps.Equal(credential, t.Current.Credential) {
		return nil, badInput("this is the current credential already (version %d); nothing was changed", t.Number())
	}
	if err := checkAndSet(d, t); err != nil {
		return nil, err
	}
	candidate := rotation.Candidate{
		Credential: credential, Source: in.source, Reason: why, EntityID: req.EntityID, DisplayName: req.DisplayName,
	}
	if d.Get("verify").(bool) {
		v, err := b.prove(ctx, in.account, t, credential)
		if err != nil {
			b.metrics.rotated(in.source, triggerByHand, outcomeFailed)
			b.sendTokenEvent(ctx, eventRotateFail, t, "source", string(in.source))
			return nil, err
		}
		candidate.Verified = &v
	}
	if candidate.Fingerprint, err = b.fingerprint(ctx, req.Storage, credential); err != nil {
		return nil, err
	}
	previous := t.Current
	t.Supersede(b.now())
	t.Publish(candidate, b.now())
	if in.retirePrevious {
		t.RetireAfter(*previous, b.now().UTC().Add(time.Duration(t.RotationGracePeriod)*time.Second))
	}
	if err := b.commit(ctx, req.Storage, in.account, t); err != nil {
		return nil, err
	}
	response := publishedResponse(t, previous, candidate)
	b.metrics.rotated(in.source, triggerByHand, t.History[len(t.History)-1].Verification)
	if in.retirePrevious {
		response.Data["previous_credential"] = previousRetires + t.Retiring[len(t.Retiring)-1].At.Format(time.RFC3339)
	} else {
		b.checkPrevious(ctx, req.Storage, in.account, t, previous, response)
	}
	b.sendTokenEvent(ctx, eventRotate, t, "source", string(in.source),
		"version", fmt.Sprint(t.Number()), "fingerprint", candidate.Fingerprint, "verification", fmt.Sprint(response.Data["verification"]))
	return response, nil
}

// prove asks the provider about a new credential. A refusal is the caller's mistake; no answer is an error that says
// how to go on.
func (b *backend) prove(ctx context.Context, a *account, t *token, credential provider.Values) (provider.Verification, error) {
	reachPoint(t, pointValueTried)
	v, err := a.platform.Verify(ctx, a.call, t.call(credential))
	var silence *provider.Error
	switch {
	case errors.As(err, &silence):
		return v, fmt.Errorf("nothing was changed, because the credential could not be verified: %w. Try again; "+
			"or, if the old value is dead and apps are down, publish it unverified with verify=false", err)
	case err != nil:
		return v, err
	case v.Outcome == provider.Rejected:
		return v, badInput("the provider refuses this credential, so nothing was changed: %s", explain(v))
	}
	return v, nil
}

// commit stores the token, provided that its account is still the one that the caller worked with: else the
// credential could follow a changed address, or stay behind without an account.
func (b *backend) commit(ctx context.Context, storage logical.Storage, a *account, t *token) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
	defer cancel()
	unlock, err := b.accountLocks.rlock(ctx, t.Account)
	if err != nil {
		return err
	}
	defer unlock()
	now, err := b.accounts.get(ctx, storage, t.Account)
	if err != nil {
		return err
	}
	if now == nil || !reflect.DeepEqual(now.accountEntry, a.accountEntry) {
		return logical.CodedError(http.StatusConflict, fmt.Sprintf(
			"account %q was changed or deleted in the meantime, so nothing was published; try again", t.Account))
	}
	// The index comes first: an entry without a token is a harmless leftover, a token without an entry would let its
	// account be deleted.
	if len(t.History) <= 1 {
		if err := storage.Put(ctx, &logical.StorageEntry{Key: accountTokenKey(t)}); err != nil {
			return storageError("adding the token to its account's index", err)
		}
	}
	if err := b.saveToken(ctx, storage, t); err != nil {
		return err
	}
	b.plan(a, t)
	return nil
}

func publishedResponse(t *token, previous *rotation.Version, c rotation.Candidate) *logical.Response {
	entry := t.History[len(t.History)-1]
	response := &logical.Response{Data: map[string]any{
		"version":             t.Number(),
		"previous_version":    0,
		"previous_credential": previousNotChecked,
		"verification":        entry.Verification,
		"verification_detail": "The provider was not asked, because of verify=false.",
		"fingerprint":         c.Fingerprint,
	}}
	if previous != nil {
		response.Data["previous_version"] = previous.Number
	}
	if c.Verified == nil {
		response.AddWarning("the credential was published unverified; `vault write -f <mount>/tokens/" + t.name + "/verify` tries it")
		return response
	}
	response.Data["verification_detail"] = c.Verified.Detail
	if c.Verified.Caveat || c.Verified.Outcome == provider.Inconclusive {
		response.AddWarning(explain(*c.Verified))
	}
	return response
}

// checkPrevious tries the value that was replaced, and says in the response what became of it. The new value is
// published whatever is found here, so nothing here is an error.
func (b *backend) checkPrevious(ctx context.Context, storage logical.Storage, a *account, t *token, previous *rotation.Version, response *logical.Response) {
	if previous == nil || response.Data["verification"] == rotation.VerificationSkipped {
		return
	}
	reachPoint(t, pointOldValueTried)
	v, err := a.platform.Verify(ctx, a.call, t.call(previous.Credential))
	switch {
	case err != nil:
		response.AddWarning(fmt.Sprintf("whether version %d still works could not be checked: %s", previous.Number, err))
	case v.Outcome == provider.Inconclusive:
		response.AddWarning(fmt.Sprintf("whether version %d still works cannot be told: %s", previous.Number, explain(v)))
	case v.Outcome == provider.Accepted:
		response.Data["previous_credential"] = previousAccepted
		response.AddWarning(fmt.Sprintf("version %d is still accepted by the provider. %s", previous.Number, a.platform.Runbook(a.call.Settings, t.Type).Previous))
	case v.Outcome == provider.Rejected:
		response.Data["previous_credential"] = previousRejected
		t.Retire(previous.Number, previousRejected, b.now())
		if err := b.saveToken(ctx, storage, t); err != nil {
			response.AddWarning(fmt.Sprintf("version %d is published, but its history could not be completed: %s", t.Number(), err))
		}
	}
}
