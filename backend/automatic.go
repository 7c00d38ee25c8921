package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// rotateWait is how long a rotation by hand waits for its end; the work goes on after that.
const rotateWait = 30 * time.Second

// source says how the engine gets a new value for the token by itself; empty where it cannot, as for the first of all
// keys: the others are made with the rights of the one before.
func source(a *account, t *token) rotation.Source {
	_, isKey := keyRotator(a, t)
	switch {
	case isKey && t.Current == nil:
		return ""
	case isKey:
		return rotation.SourceIAM
	case a.Settings[fieldHookURL] != "":
		return rotation.SourceHook
	}
	return ""
}

// keyRotator is the platform's key API, if the token is a key of it.
func keyRotator(a *account, t *token) (provider.KeyRotator, bool) {
	rotator, ok := a.platform.(provider.KeyRotator)
	return rotator, ok && rotator.RotatesKeys(t.Type)
}

// machine gives the token's record its outside world. The token is a copy to change, under its lock.
func (b *backend) machine(storage logical.Storage, a *account, t *token) *rotation.Machine {
	m := &rotation.Machine{
		Now:   b.now,
		Grace: time.Duration(t.RotationGracePeriod) * time.Second,
		Save: func(ctx context.Context, _ *rotation.Record) error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
			defer cancel()
			return b.saveToken(ctx, storage, t)
		},
		Fingerprint: func(ctx context.Context, credential provider.Values) (string, error) {
			return b.fingerprint(ctx, storage, credential)
		},
		Verify: func(ctx context.Context, credential provider.Values) (provider.Verification, error) {
			return verifyObtained(ctx, a, t, credential)
		},
		Retire: func(ctx context.Context, credential provider.Values) error { return revoke(ctx, a, t, credential) },
		Obtain: func(ctx context.Context, p *rotation.Pending) (provider.Values, error) { return askHook(ctx, a, t, p) },
		Happened: func(ctx context.Context, r *rotation.Record, e rotation.Event) {
			b.countRotation(a, t, e)
			b.sendTokenEvent(ctx, machineEvents[e], t,
				"version", fmt.Sprint(r.Number()), "fingerprint", t.fingerprint(), "rotation_state", string(r.State()))
		},
	}
	if rotator, ok := keyRotator(a, t); ok && t.Current != nil {
		ring := &keyRing{rotator: rotator, account: a, token: t}
		m.Keys, m.Obtain, m.Retire = ring, ring.create, ring.retire
	}
	stopBetweenSteps(m, t)
	return m
}

// keyAccount is the account whose rights may help the token's own. A credential that the provider never accepted gets no
// help: whoever may import one unverified could name somebody else's service account in it, and be given a key of that.
func keyAccount(a *account, t *token) provider.Account {
	if t.Current.Proven {
		return a.call
	}
	alone := a.call
	alone.Settings = maps.Clone(a.call.Settings)
	for _, f := range a.platform.AccountFields() {
		if f.Secret {
			delete(alone.Settings, f.Name)
		}
	}
	return alone
}

// countRotation counts the ends of automatic rotations, and the problems on the way.
func (b *backend) countRotation(a *account, t *token, e rotation.Event) {
	switch {
	case e == rotation.Published:
		last := t.History[len(t.History)-1]
		b.metrics.rotated(last.Source, last.Reason, last.Verification)
	case e == rotation.Failed && t.Pending != nil:
		b.metrics.rotated(t.Pending.Source, t.Pending.Reason, outcomeFailed)
	case e == rotation.Failed:
		b.metrics.rotated(source(a, t), reasonScheduled, outcomeFailed)
	}
}

var machineEvents = map[rotation.Event]string{
	rotation.Published: eventRotate,
	rotation.Failed:    eventRotateFail,
	rotation.Retired:   eventRetire,
}

// keyRing is the key API as the token's current credential, whatever that is at the time of a call.
type keyRing struct {
	rotator provider.KeyRotator
	account *account
	token   *token
}

// acting is who asks. That there is no key is no state that the engine stores.
func (k *keyRing) acting() (provider.Account, provider.Token, error) {
	if k.token.Current == nil {
		return provider.Account{}, provider.Token{}, &provider.Refused{Detail: "The token has no key to act with"}
	}
	return keyAccount(k.account, k.token), k.token.call(k.token.Current.Credential), nil
}

func (k *keyRing) List(ctx context.Context) ([]provider.Key, error) {
	a, t, err := k.acting()
	if err != nil {
		return nil, err
	}
	return k.rotator.ListKeys(ctx, a, t)
}

func (k *keyRing) Delete(ctx context.Context, key provider.Key) error {
	a, t, err := k.acting()
	if err != nil {
		return err
	}
	return k.rotator.DeleteKey(ctx, a, t, key)
}

func (k *keyRing) Key(credential provider.Values) (provider.Key, error) {
	return k.rotator.Key(credential)
}

func (k *keyRing) create(ctx context.Context, _ *rotation.Pending) (provider.Values, error) {
	a, t, err := k.acting()
	if err != nil {
		return nil, err
	}
	return k.rotator.CreateKey(ctx, a, t)
}

func (k *keyRing) retire(ctx context.Context, old provider.Values) error {
	key, err := k.Key(old)
	if err != nil {
		return err
	}
	return k.Delete(ctx, key)
}

// revoke ends an old grant.
func revoke(ctx context.Context, a *account, t *token, old provider.Values) error {
	revoker, ok := a.platform.(provider.Revoker)
	if !ok {
		return &provider.Refused{Detail: "This provider offers no way to retire a credential"}
	}
	return revoker.Revoke(ctx, a.call, t.call(old))
}

// newRotation is the intent of an automatic rotation.
func newRotation(source rotation.Source, reason string) (rotation.Pending, error) {
	id, err := uuid.GenerateUUID()
	if err != nil {
		return rotation.Pending{}, fmt.Errorf("making an idempotency key: %w", err)
	}
	return rotation.Pending{ID: id, Source: source, Reason: reason}, nil
}

// rotateAutomatically starts a rotation by hand and waits for its end, or for rotateWait.
func (b *backend) rotateAutomatically(ctx context.Context, req *logical.Request, d *framework.FieldData, name string) (*logical.Response, error) {
	if !d.Get("verify").(bool) {
		return nil, badInput("verify=false is for values that a person hands in; what the engine gets by itself is always verified")
	}
	before, err := b.token(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	if err := underWay(before); err != nil {
		return nil, err
	}
	id, err := b.startByHand(ctx, req, d, name)
	if err != nil {
		return nil, err
	}
	deadline := time.NewTimer(rotateWait)
	defer deadline.Stop()
	next, stop := b.watch(name)
	defer stop()
	for {
		changed := next()
		t, err := b.token(ctx, req.Storage, name)
		switch {
		case err != nil:
			return nil, err
		case t.Pending == nil || t.Pending.ID != id:
			return b.rotatedResponse(ctx, req, t, before)
		}
		select {
		case <-changed:
		case <-deadline.C:
			return underWayResponse(t), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// startByHand stores the intent and lets the work begin. It returns the rotation's ID.
func (b *backend) startByHand(ctx context.Context, req *logical.Request, d *framework.FieldData, name string) (string, error) {
	t, unlock, err := b.lockToken(ctx, req.Storage, name)
	if err != nil {
		return "", err
	}
	started := false
	defer func() {
		if !started {
			unlock()
		}
	}()
	if t == nil {
		return "", unknownToken(name)
	}
	if err := errors.Join(checkAndSet(d, t), underWay(t)); err != nil {
		return "", err
	}
	a, err := b.account(ctx, req.Storage, t.Account)
	if err != nil {
		return "", err
	}
	why, err := reason(d, t.kind, nil)
	if err != nil {
		return "", err
	}
	intent, err := newRotation(source(a, t), why)
	if err != nil {
		return "", err
	}
	intent.EntityID, intent.DisplayName = req.EntityID, req.DisplayName
	m := b.machine(req.Storage, a, t)
	if err := m.Start(ctx, &t.Record, intent); err != nil {
		// A write that failed may have arrived: then the stored intent needs its work.
		if stored, readErr := b.tokens.get(ctx, req.Storage, name); readErr == nil && stored != nil {
			b.plan(a, stored)
		}
		return "", fmt.Errorf("nothing was changed: %w", err)
	}
	started = true
	go func() {
		defer unlock()
		if err := m.Advance(b.work, &t.Record); err != nil {
			b.logError("rotating a token", t.name, err)
			b.retryWork(rotation.Job{Token: t.name, Account: t.Account, Kind: rotation.Rotate}, err)
			return
		}
		b.plan(a, t)
	}()
	return intent.ID, nil
}

// underWay refuses a second rotation beside one that needs nothing but patience.
func underWay(t *token) error {
	p := t.Pending
	if p == nil || p.Restartable() {
		return nil
	}
	message := fmt.Sprintf("a rotation of this token is under way (%s, since %s)", t.State(), p.RequestedAt.Format(time.RFC3339))
	if t.LastError != "" {
		message += ", and goes on by itself after a problem: " + t.LastError
	}
	return logical.CodedError(http.StatusConflict, message)
}

func underWayResponse(t *token) *logical.Response {
	response := &logical.Response{Data: map[string]any{
		"version":        t.Number(),
		"fingerprint":    t.fingerprint(),
		"rotation_state": string(t.State()),
	}}
	response.AddWarning(fmt.Sprintf("the rotation is not finished after %s and goes on by itself; `vault read <mount>/tokens/%s` shows its state", rotateWait, t.name))
	if t.LastError != "" {
		response.AddWarning("the last problem was: " + t.LastError)
	}
	return response
}

// rotatedResponse says how a rotation by hand ended.
func (b *backend) rotatedResponse(ctx context.Context, req *logical.Request, t, before *token) (*logical.Response, error) {
	switch {
	case t.Number() == before.Number() && t.Pending != nil:
		return nil, logical.CodedError(http.StatusConflict, "another rotation of this token has taken the place of this one; nothing was changed yet")
	case t.Number() == before.Number():
		return nil, badInput("nothing was changed: %s", t.LastError)
	}
	entry := t.History[len(t.History)-1]
	if entry.Source == rotation.SourceAssisted {
		return nil, logical.CodedError(http.StatusConflict, fmt.Sprintf("somebody handed in version %d in the meantime, which ended this rotation", entry.Version))
	}
	c := rotation.Candidate{Fingerprint: entry.Fingerprint, Verified: &provider.Verification{Outcome: provider.Outcome(entry.Verification)}}
	if t.LastVerification != nil {
		c.Verified.Detail = t.LastVerification.Detail
	}
	response := publishedResponse(t, before.Current, c)
	response.Data["rotation_state"] = string(t.State())
	for _, old := range t.Retiring {
		if before.Current != nil && old.Version == before.Number() {
			response.Data["previous_credential"] = previousRetires + old.At.Format(time.RFC3339)
			return response, nil
		}
	}
	if before.Current == nil || entry.Source != rotation.SourceHook {
		return response, nil
	}
	a, err := b.account(ctx, req.Storage, t.Account)
	if err != nil {
		return nil, err
	}
	current, unlock, err := b.lockToken(ctx, req.Storage, t.name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if current != nil && current.Number() == t.Number() {
		b.checkPrevious(ctx, req.Storage, a, current, before.Current, response)
	}
	return response, nil
}
