package backend

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// consentLife is how long a person has for a consent.
const consentLife = 10 * time.Minute

// consentPatience bounds what is done with a value that a consent has given, until it is published.
const consentPatience = 2 * time.Minute

// consentRequest asks for the address of a consent. The path file that made it has refused what does not fit the token's type.
type consentRequest struct {
	// redirectURI is empty for the account's.
	redirectURI string
	// given are credential fields that the token does not have yet, or that are to be others.
	given provider.Values
}

// askConsent makes the address that a person opens, and stores what its answer is told by. It takes the place of an earlier one. known is
// the token as the request found it.
func (b *backend) askConsent(ctx context.Context, storage logical.Storage, known *token, r consentRequest) (string, *askedConsent, error) {
	t, release, err := b.lockForPerson(ctx, storage, known)
	if err != nil {
		return "", nil, err
	}
	defer release()
	a, err := b.account(ctx, storage, t.Account)
	if err != nil {
		return "", nil, err
	}
	if err := t.checkMetadata(r.given); err != nil {
		return "", nil, err
	}
	asked := &askedConsent{
		State: randomText(), RedirectURI: r.redirectURI, Given: r.given, ExpiresAt: b.now().UTC().Add(consentLife).Truncate(time.Second),
	}
	if asked.RedirectURI == "" {
		asked.RedirectURI = a.call.Settings[fieldRedirectURI]
	}
	if t.kind.Consent.PKCE {
		asked.Verifier = randomText()
	}
	with := t.consentCredential(asked)
	for _, name := range t.kind.Consent.Needs() {
		if with[name] == "" {
			return "", nil, badInput("%s is missing: with a consent, a %s needs %s", name, t.Type, strings.Join(t.kind.Consent.Needs(), ", "))
		}
	}
	address, err := t.kind.Consent.AuthorizeURL(a.call.Settings, t.call(with), asked.request())
	if err != nil {
		return "", nil, badInput("%s", err)
	}
	t.Consent = asked
	if err := b.commit(ctx, storage, a, t); err != nil {
		return "", nil, err
	}
	return address, asked, nil
}

// randomText is 256 bits that nobody guesses.
func randomText() string {
	var bits [32]byte
	_, _ = rand.Read(bits[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(bits[:])
}

func (c *askedConsent) request() provider.ConsentRequest {
	return provider.ConsentRequest{State: c.State, RedirectURI: c.RedirectURI, Verifier: c.Verifier}
}

// consentCredential is what the token has for a consent.
func (t *token) consentCredential(c *askedConsent) provider.Values {
	values := provider.Values{}
	if t.Current != nil {
		maps.Copy(values, t.Current.Credential)
	}
	maps.Copy(values, c.Given)
	return values
}

// rotateByConsent publishes what a consent gives. known is the token as the request found it.
//
// What a crash leaves behind, by the step before which it happens:
//
//  1. consent taken out of storage: it can still be answered
//  2. code exchanged: a new consent is needed, because a code is sent once
//  3. value stored as the token's rotation: as 2, and the value is lost; the grant behind it lives at the provider
//  4. provider asked: the rotation goes on by itself
func (b *backend) rotateByConsent(ctx context.Context, storage logical.Storage, known *token, r *rotateRequest) (*logical.Response, error) {
	t, release, err := b.lockForPerson(ctx, storage, known)
	if err != nil {
		return nil, err
	}
	defer release()
	// Whatever would refuse the value later is looked at before the code is used up.
	if err := cmp.Or(r.checkVersion(t), b.checkReason(r.reason, t.kind, nil)); err != nil {
		return nil, err
	}
	a, err := b.account(ctx, storage, t.Account)
	if err != nil {
		return nil, err
	}
	asked, err := b.takeConsent(ctx, storage, t, r.consent)
	if err != nil {
		return nil, err
	}
	defer b.unstored.begin()() // what the code gives is there once
	reachPoint(t, pointCodeSent)
	values, err := b.exchange(ctx, a, t, asked, r.consent.code)
	if err != nil {
		return nil, err
	}
	byConsent := *r
	byConsent.given = values
	// Nobody else has the value, so a person who hangs up does not end this.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), consentPatience)
	defer cancel()
	return b.handIn(ctx, storage, handedIn{rotateRequest: byConsent, token: t, source: rotation.SourceConsent})
}

// takeConsent finds the consent that an answer is for, and takes it out of storage, so that no code is ever sent twice. A wrong state
// changes nothing.
func (b *backend) takeConsent(ctx context.Context, storage logical.Storage, t *token, answer *consentAnswer) (*askedConsent, error) {
	asked := t.Consent
	again := fmt.Sprintf("begin a new one with `vault write -f <mount>/tokens/%s/consent`", t.name)
	switch {
	case asked == nil:
		return nil, badInput("no consent of this token waits for its answer: it was answered already, is more than ten minutes old, or was never asked for; %s. Nothing was changed", again)
	case subtle.ConstantTimeCompare([]byte(asked.State), []byte(answer.state)) != 1:
		return nil, badInput("the state is not that of the newest consent of this token: an older consent, or somebody else's. Nothing was changed, and the newest one can still be answered")
	}
	t.Consent = nil
	if err := b.saveToken(ctx, storage, t); err != nil {
		b.lookAgain(t)
		return nil, unknownWhether("the consent was taken for answered", t.name, err)
	}
	switch {
	case !b.now().Before(asked.ExpiresAt):
		return nil, badInput("this consent was asked for more than ten minutes ago; %s", again)
	case answer.refusal != "":
		return nil, badInput("the platform did not give its consent: %s; the credential is what it was; %s", answer.refusal, again)
	case answer.code == "":
		return nil, badInput("code must not be empty; %s", again)
	}
	return asked, nil
}

// exchange makes a credential of the code. It is sent once, whatever becomes of the answer.
func (b *backend) exchange(ctx context.Context, a *account, t *token, asked *askedConsent, code string) (provider.Values, error) {
	again := fmt.Sprintf("begin a new consent with `vault write -f <mount>/tokens/%s/consent`", t.name)
	got, err := t.kind.Consent.Exchange(context.WithoutCancel(ctx), a.call, t.call(t.consentCredential(asked)), code, asked.request())
	refused, isRefusal := errors.AsType[*provider.Refused](err)
	silence, isSilence := errors.AsType[*provider.Error](err)
	switch {
	case isRefusal:
		return nil, badInput("the platform does not exchange the code: %s; the credential is what it was; %s", refused, again)
	case isSilence:
		return nil, logical.CodedError(silenceStatus(silence), fmt.Sprintf("the code was sent, and no usable answer came: %s. A code is sent once, and the credential is what it was; %s", silence, again))
	case err != nil:
		return nil, err
	}
	values := maps.Clone(asked.Given)
	if values == nil {
		values = provider.Values{}
	}
	for _, f := range t.kind.Fields {
		value, given := got[f.Name]
		if !given {
			continue
		}
		if values[f.Name], err = f.Canonical(value); err != nil || !slices.Contains(t.kind.Consent.Gives(), f.Name) {
			return nil, badInput("the platform gave a %s that does not have the form of one; the credential is what it was; %s", f.Name, again)
		}
	}
	return values, nil
}
