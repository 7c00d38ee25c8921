package backend

import (
	"context"
	"fmt"
	"time"

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
	previousAdopted    = "retires when adopted"
)

// publishedResponse tells of a published version, whose entry in the history is given. verified is nil where the provider was not
// asked.
func publishedResponse(t *token, entry rotation.HistoryEntry, previous *rotation.Version, verified *provider.Verification) *logical.Response {
	response := &logical.Response{Data: map[string]any{
		"version":             entry.Version,
		"previous_version":    0,
		"previous_credential": previousNotChecked,
		"verification":        entry.Verification,
		"verification_detail": "The provider was not asked, because of verify=false.",
		"fingerprint":         entry.Fingerprint,
	}}
	if previous != nil {
		response.Data["previous_version"] = previous.Number
	}
	if entry.IdentityChanged {
		response.AddWarning(fmt.Sprintf("version %d is a credential of %q, and the one before was somebody else's", entry.Version, entry.Identity))
	}
	if verified == nil {
		response.AddWarning("the credential was published unverified; `vault write -f <mount>/tokens/" + t.name + "/verify` tries it")
		return response
	}
	response.Data["verification_detail"] = verified.Detail
	if verified.Caveat || verified.Outcome == provider.Inconclusive {
		response.AddWarning(explain(*verified))
	}
	return response
}

// checkPrevious tries the value that was replaced, and says in the response what became of it. The new value is
// published whatever is found here, so nothing here is an error. The caller holds the token's lock, and the account is one that
// it has read since.
func (b *backend) checkPrevious(
	ctx context.Context, storage logical.Storage, a *account, t *token, previous *rotation.Version, response *logical.Response,
) {
	if previous == nil || response.Data["verification"] == rotation.VerificationSkipped {
		return
	}
	reachPoint(t, pointOldValueTried)
	v, err := t.kind.Verify(ctx, a.call, t.call(previous.Credential))
	switch {
	case err != nil:
		response.AddWarning(fmt.Sprintf("whether version %d still works could not be checked: %s", previous.Number, err))
	case v.Outcome == provider.Inconclusive:
		response.AddWarning(fmt.Sprintf("whether version %d still works cannot be told: %s", previous.Number, explain(v)))
	case v.Outcome == provider.Accepted:
		response.Data["previous_credential"] = previousAccepted
		response.AddWarning(fmt.Sprintf("version %d is still accepted by the provider. What to expect of it: %s", previous.Number, t.kind.Runbook(a.call.Settings).Previous))
	case v.Outcome == provider.Rejected:
		response.Data["previous_credential"] = previousRejected
		if t.Retired(previous.Number) {
			return // the history says how
		}
		t.Retire(previous.Number, previousRejected, b.now())
		if err := b.saveToken(ctx, storage, t); err != nil {
			b.lookAgain(t)
			response.AddWarning(fmt.Sprintf("version %d is published; it is not known whether the history says that version %d is dead: %s",
				t.Number(), previous.Number, err))
		}
	}
}

// unfinishedResponse tells how far a rotation is.
func unfinishedResponse(t *token) *logical.Response {
	return &logical.Response{Data: map[string]any{
		"version":        t.Number(),
		"fingerprint":    t.fingerprint(),
		"rotation_state": string(t.State()),
	}}
}

// keptResponse tells of a rotation whose value is kept because it is somebody else's.
func keptResponse(t *token) *logical.Response {
	response := unfinishedResponse(t)
	response.AddWarning(t.LastError)
	return response
}

func underWayResponse(t *token) *logical.Response {
	response := unfinishedResponse(t)
	response.AddWarning(fmt.Sprintf("the rotation is not finished after %s and goes on by itself; `vault read <mount>/tokens/%s` shows its state",
		rotateWait, t.name))
	if t.LastError != "" {
		response.AddWarning("the last problem was: " + t.LastError)
	}
	return response
}

// rotatedResponse says how a rotation by hand ended that is not under way any more.
func (b *backend) rotatedResponse(ctx context.Context, storage logical.Storage, t *token, started *startedRotation) (*logical.Response, error) {
	entry := t.Published(started.id)
	if entry == nil {
		return nil, started.unpublished(t)
	}
	response := publishedResponse(t, *entry, started.replaces, t.verificationOf(entry))
	response.Data["rotation_state"] = string(t.State())
	if t.Number() == entry.Version && entry.Source.Irreplaceable() {
		if a, err := b.account(ctx, storage, t.Account); err == nil {
			b.warnShared(ctx, storage, a, t, t.Current.Credential, response)
		}
	}
	if t.Number() != entry.Version {
		response.AddWarning(fmt.Sprintf("version %d was published since, and is the current one", t.Number()))
	}
	for _, old := range t.Retiring {
		if started.replaces != nil && old.Version == started.number() {
			response.Data["previous_credential"] = t.retires(&old)
			return response, nil
		}
	}
	if started.replaces != nil && started.replaces.Credential != nil && entry.Source.Irreplaceable() {
		if err := b.checkReplaced(ctx, storage, started, response); err != nil {
			response.AddWarning(fmt.Sprintf("whether version %d still works could not be checked: %s", started.number(), err))
		}
	}
	return response, nil
}

// verificationOf is what is known by now of the verification that a version was published with; nil where the provider was not asked.
func (t *token) verificationOf(entry *rotation.HistoryEntry) *provider.Verification {
	if entry.Verification == rotation.VerificationSkipped {
		return nil
	}
	verified := &provider.Verification{Outcome: provider.Outcome(entry.Verification)}
	if t.LastVerification != nil && t.Number() == entry.Version {
		verified.Detail = t.LastVerification.Detail
	}
	return verified
}

// retires says when an old value ends.
func (t *token) retires(old *rotation.Retiring) string {
	if t.waitsForReaders(old) {
		return previousAdopted
	}
	return previousRetires + old.At.Format(time.RFC3339)
}

// checkReplaced tries the value that the rotation has replaced, if what it has published is still current. It gives way to a value
// that a person hands in.
func (b *backend) checkReplaced(ctx context.Context, storage logical.Storage, started *startedRotation, response *logical.Response) error {
	ctx, done := b.precedence.giveWay(ctx, started.name)
	defer done()
	t, unlock, err := b.lockToken(ctx, storage, started.name)
	if err != nil {
		return err
	}
	defer unlock()
	if entry := t.published(started); entry == nil || entry.Version != t.Number() {
		return nil
	}
	a, err := b.account(ctx, storage, t.Account)
	if err != nil {
		return err
	}
	b.checkPrevious(ctx, storage, a, t, started.replaces, response)
	return nil
}
