package backend

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// rotateAssisted publishes the value that a person gives for a stored token. known is the token as the request found it.
func (b *backend) rotateAssisted(ctx context.Context, storage logical.Storage, known *token, r *rotateRequest) (*logical.Response, error) {
	t, release, err := b.lockForPerson(ctx, storage, known)
	if err != nil {
		return nil, err
	}
	defer release()
	return b.handIn(ctx, storage, handedIn{rotateRequest: *r, token: t, source: rotation.SourceAssisted})
}

// handIn verifies and publishes a credential that a person hands in. It ends an automatic rotation that is under way, in whatever
// state, once the credential is published. The account is read here, under the token's lock and just before the credential is
// sent: one that was read earlier may have another address by now.
//
// What a crash leaves behind, by the step before which it happens:
//
//  1. cas, form and reason checked: nothing changed
//  2. provider asked about the new value: nothing changed; the person still has the value and hands it in again
//  3. published in one storage write: nothing changed, or everything
//  4. previous value tried, its end noted in the history: published; the history does not say when the old value died
//  5. event sent: published; subscribers miss one event
func (b *backend) handIn(ctx context.Context, storage logical.Storage, in handedIn) (*logical.Response, error) {
	t := in.token
	a, err := b.account(ctx, storage, t.Account)
	if err != nil {
		return nil, err
	}
	if in.account != nil && in.account.Provider != a.Provider {
		return nil, accountChanged(t)
	}
	in.account = a
	candidate, err := b.checkHandIn(ctx, storage, in)
	if err != nil {
		return nil, err
	}
	in.endPrevious = in.endPrevious && t.Current != nil
	release, err := b.admit(ctx, in, candidate.Credential)
	if err != nil {
		return nil, err
	}
	defer release()
	if in.verify {
		v, err := b.prove(ctx, storage, in, &candidate)
		if err != nil {
			b.metrics.rotated(in.source, triggerByHand, outcomeFailed)
			b.sendTokenEvent(ctx, eventRotateFail, t, "source", string(in.source))
			return nil, err
		}
		candidate.Verified = &v
	}
	dropped, err := b.describeDropped(ctx, storage, t, candidate.Credential)
	if err != nil {
		return nil, err
	}
	candidate.Note = dropped.note
	previous := t.Current
	t.Supersede(b.now())
	t.Publish(candidate, b.now())
	if in.endPrevious {
		t.RetireAfter(*previous, b.now().UTC().Add(time.Duration(t.RotationGracePeriod)*time.Second))
	}
	if err := b.commitPrecious(ctx, storage, in); err != nil {
		return nil, err
	}
	response := publishedResponse(t, t.History[len(t.History)-1], previous, candidate.Verified)
	if t.kind.ResetSemantics != provider.None {
		b.warnShared(ctx, storage, in.account, t, candidate.Credential, response)
	}
	for _, warning := range dropped.warnings {
		response.AddWarning(warning)
	}
	b.metrics.rotated(in.source, triggerByHand, t.History[len(t.History)-1].Verification)
	b.tellPrevious(ctx, storage, in, previous, response)
	b.sendTokenEvent(ctx, eventRotate, t, "source", string(in.source),
		"version", fmt.Sprint(t.Number()), "fingerprint", candidate.Fingerprint, "verification", fmt.Sprint(response.Data["verification"]))
	return response, nil
}

// tellPrevious says in the response what becomes of the value that was replaced.
func (b *backend) tellPrevious(ctx context.Context, storage logical.Storage, in handedIn, previous *rotation.Version, response *logical.Response) {
	if singleUse(in.token.kind) && !in.endPrevious {
		return // it is never tried: it has ended with its last refresh, and another try could end the one after it
	}
	if !in.endPrevious {
		b.checkPrevious(ctx, storage, in.account, in.token, previous, response)
		return
	}
	retiring := in.token.Retiring
	response.Data["previous_credential"] = in.token.retires(&retiring[len(retiring)-1])
	warnRevocation(in.token, response)
}

// checkHandIn makes a candidate of what was handed in. cas comes first: a request for another version is not told whether its
// values are the current ones. The exception is a request that is sent again because its answer was lost, by Vault or by a person:
// it is told what became of it.
func (b *backend) checkHandIn(ctx context.Context, storage logical.Storage, in handedIn) (c rotation.Candidate, err error) {
	t := in.token
	outdated := in.checkVersion(t)
	credential, err := t.complete(in.given)
	if err != nil {
		return c, cmp.Or(outdated, err)
	}
	replaced := t.Number()
	if outdated != nil {
		replaced = *in.cas
	}
	id, err := b.handInID(ctx, storage, in, replaced, credential)
	switch {
	case err != nil:
		return c, err
	case outdated != nil && (t.Current == nil || t.Published(id) == nil || t.Published(id).Version != t.Number()):
		return c, outdated
	case t.isCurrent(in.account, credential):
		return c, badInput("this is the current credential already (version %d); nothing was changed", t.Number())
	case outdated != nil:
		return c, outdated
	}
	if err := b.checkReason(in.reason, t.kind, credential); err != nil {
		return c, err
	}
	fingerprint, err := b.fingerprint(ctx, storage, credential)
	if singleUse(t.kind) && t.Current != nil && t.Current.Origin() == fingerprint {
		return c, badInput("this value was handed in before, and was used up by its first refresh: version %d has what came of it; nothing was changed", t.Number())
	}
	return rotation.Candidate{
		Credential: credential, Fingerprint: fingerprint, Source: in.source, Reason: in.reason,
		EntityID: in.by.entityID, DisplayName: in.by.displayName, RotationID: id, RequestID: in.by.requestID, Same: t.sameValue, Lifetime: t.kind.Lifetime,
	}, err
}

// handInID identifies a request that hands a credential in: the same client that hands in the same values in place of the same
// version of the same token sends the same request. It is a keyed hash, which tells nothing to whoever does not know all of them.
func (b *backend) handInID(ctx context.Context, storage logical.Storage, in handedIn, replaced int, credential provider.Values) (string, error) {
	request := maps.Clone(credential)
	// No field's name has a space.
	request["the token"], request["the version"] = in.token.ID, strconv.Itoa(replaced)
	request["the client"] = in.by.client()
	return b.fingerprint(ctx, storage, request)
}

// droppedRotation is what a person has to know of a rotation that the value handed in puts an end to.
type droppedRotation struct {
	// note goes into the history.
	note     string
	warnings []string
}

// describeDropped says what becomes of the rotation under way. What the engine itself has made at the provider is cleaned up, and not
// worth a word. A reset hook, or an API, may go on, and its value may be a live one.
func (b *backend) describeDropped(ctx context.Context, storage logical.Storage, t *token, credential provider.Values) (dropped droppedRotation, err error) {
	for p := t.Pending; p != nil; p = p.Replaces {
		switch {
		case !p.Source.Irreplaceable() || t.unchanged(p.Credential, credential):
		case p.Credential == nil && !p.MayHaveAsked():
		case p.Credential == nil:
			dropped.warnings = append(dropped.warnings, mayStillReset(t, p))
			dropped.note = joinNotes(dropped.note, p.Source.Giver()+" had been asked for a value and had not answered")
		default:
			fingerprint, err := b.fingerprint(ctx, storage, p.Credential)
			if err != nil {
				return dropped, err
			}
			dropped.warnings = append(dropped.warnings, valueDropped(t, p, fingerprint))
			dropped.note = joinNotes(dropped.note, p.Source.Giver()+"'s value with the fingerprint "+fingerprint+" was dropped for it, unpublished")
		}
	}
	return dropped, nil
}

func joinNotes(first, second string) string {
	if first == "" {
		return second
	}
	return first + "; " + second
}

func mayStillReset(t *token, p *rotation.Pending) string {
	danger := "which ends the value that is published now"
	if t.kind.ResetSemantics == provider.Overlapping {
		danger = "which ends the value that is published now, or leaves another live one at the provider that nobody uses and that is to be disabled there"
	}
	if p.Source == rotation.SourceAPI {
		return fmt.Sprintf("the provider's API was asked to replace this token at %s and may have done so, %s. "+
			"`vault write -f <mount>/tokens/%s/verify` shows whether the published value works", p.RequestedAt.UTC().Format(time.RFC3339), danger, t.name)
	}
	return fmt.Sprintf("the account's reset hook was asked for a reset of this token at %s and may still perform it, %s. Stop it there. "+
		"If it does it all the same, `vault write -f <mount>/tokens/%s/verify` shows whether the published value still works: if not, hand in the value "+
		"that the hook or the console shows then, or rotate again", p.RequestedAt.UTC().Format(time.RFC3339), danger, t.name)
}

func valueDropped(t *token, p *rotation.Pending, fingerprint string) string {
	message := fmt.Sprintf("the value that %s gave at %s (fingerprint %s) was never published, and is dropped for the one that you have handed in",
		p.Source.Giver(), p.ReceivedAt.UTC().Format(time.RFC3339), fingerprint)
	if t.kind.ResetSemantics == provider.Overlapping {
		return message + "; it may be live at the provider: disable or delete it there"
	}
	return message + "; should yours stop to work, take the value that the provider's console shows"
}

// prove asks the provider about a new credential. A refusal is the caller's mistake; no answer is an error that says
// how to go on.
func (b *backend) prove(ctx context.Context, storage logical.Storage, in handedIn, candidate *rotation.Candidate) (provider.Verification, error) {
	t := in.token
	if in.precious() {
		return b.provePrecious(ctx, storage, in, candidate)
	}
	reachPoint(t, pointValueTried)
	with := t.call(candidate.Credential)
	if t.kind.Refresh != nil {
		with.Keep = b.keepInCandidate(storage, candidate)
	}
	v, err := t.kind.Verify(ctx, in.account.call, with)
	v = readableIdentity(v)
	return v, b.explainTrial(in, candidate, v, err)
}
