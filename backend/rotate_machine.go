package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/resethook"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// machine gives the token's record its outside world. The token is a copy to change, under its lock.
func (b *backend) machine(storage logical.Storage, a *account, t *token) *rotation.Machine {
	m := &rotation.Machine{
		Now:      b.now,
		Lifetime: t.kind.Lifetime,
		Grace:    time.Duration(t.RotationGracePeriod) * time.Second,
		Save: func(ctx context.Context, _ *rotation.Record) error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
			defer cancel()
			err := b.saveToken(ctx, storage, t)
			if err == nil {
				b.tellIdentity(ctx, t)
			}
			return err
		},
		Fingerprint: func(ctx context.Context, credential provider.Values) (string, error) {
			return b.fingerprint(ctx, storage, credential)
		},
		Verify: func(ctx context.Context, credential provider.Values) (provider.Verification, error) {
			return b.verifyObtained(ctx, storage, a, t, credential)
		},
		Retire: func(ctx context.Context, old rotation.Retiring) error {
			return b.revoke(ctx, storage, a, t, old.Credential)
		},
		Obtain: func(ctx context.Context, p *rotation.Pending) (provider.Values, error) {
			if p.Source == rotation.SourceAPI {
				return b.renew(ctx, storage, a, t)
			}
			return askHook(ctx, a, t, p)
		},
		Same: t.sameValue, Unchanged: t.unchanged, TryAfterRetiring: true,
		Hold: func(ctx context.Context, credential provider.Values) ([]string, func(), error) {
			return b.hold(ctx, storage, a, t, credential)
		},
		Failing: func(ctx context.Context, r *rotation.Record) {
			b.tellAhead(ctx, eventRotateFail, t, sameProblem(r.LastError))
		},
		Happened: func(ctx context.Context, r *rotation.Record, e rotation.Event) { b.rotationHappened(ctx, a, t, e) },
		Adopted:  b.adopted(storage, t),
		EndNote:  b.endNote(t),
		Wait:     func(d time.Duration) bool { b.pause(d); return b.work.Err() == nil },
		Asking:   b.unstored.begin,
	}
	if t.kind.Renew != nil {
		m.Once = !t.kind.Renew.Repeatable
	}
	m.RetiresPrevious = endsReplaced(t.kind)
	if t.kind.Keys != nil && t.Current != nil {
		ring := &keyRing{keys: t.kind.Keys, account: a, token: t, backend: b, storage: storage}
		m.Keys, m.Obtain, m.Retire, m.TryAfterRetiring = ring, ring.create, ring.retire, false
	}
	stopBetweenSteps(m, t)
	return m
}

// rotationHappened counts and tells what happened to a token's record.
func (b *backend) rotationHappened(ctx context.Context, a *account, t *token, e rotation.Event) {
	b.countRotation(a, t, e)
	pairs := []string{"version", fmt.Sprint(t.Number()), "fingerprint", t.fingerprint(), "rotation_state", string(t.State())}
	if e == rotation.CleanedUp {
		lost := t.Cleanups[len(t.Cleanups)-1]
		b.Logger().Info("a key whose secret was lost was deleted", "token", t.name, "owner", lost.Owner, "key_id", lost.KeyID)
		pairs = append(pairs, "owner", lost.Owner, "key_id", lost.KeyID)
	}
	if old := t.JustRetired(); e == rotation.Retired && old > 0 {
		pairs = append(pairs, "retired_version", fmt.Sprint(old), "behind", fmt.Sprint(b.behind(t, old).Count()))
	}
	b.sendTokenEvent(ctx, machineEvents[e], t, pairs...)
}

// countRotation counts the ends of automatic rotations, and the problems on the way.
func (b *backend) countRotation(a *account, t *token, e rotation.Event) {
	switch {
	case e == rotation.Published:
		last := t.History[len(t.History)-1]
		b.metrics.rotated(last.Source, triggerOf(last.Scheduled, last.Healed), last.Verification)
	case e == rotation.Failed && t.Ended() != nil:
		b.metrics.rotated(t.Ended().Source, triggerOf(t.Ended().Scheduled, t.Ended().Healing), outcomeFailed)
	case e == rotation.Failed && t.Pending != nil:
		b.metrics.rotated(t.Pending.Source, triggerOf(t.Pending.Scheduled, t.Pending.Healing), outcomeFailed)
	case e == rotation.Failed:
		b.metrics.rotated(source(a, t), triggerSchedule, outcomeFailed)
	}
}

var machineEvents = map[rotation.Event]string{
	rotation.Published: eventRotate,
	rotation.Failed:    eventRotateFail,
	rotation.Retired:   eventRetire,
	rotation.CleanedUp: eventRetire,
	rotation.Died:      eventVerifyFail,
}

// revoke ends an old grant.
func (b *backend) revoke(ctx context.Context, storage logical.Storage, a *account, t *token, old provider.Values) error {
	if t.kind.Retire == nil {
		return &provider.Refused{Detail: "This provider offers no way to retire a credential"}
	}
	if t.Current == nil {
		return t.kind.Retire(ctx, a.call, t.call(old), nil)
	}
	return b.withCurrent(ctx, storage, t, func(ctx context.Context, with provider.Token) (rotation.Ending, error) {
		current := with.Credential
		with.Credential = old
		err := t.kind.Retire(ctx, a.call, with, current)
		return rotation.Ending{Err: err}, err
	})
}

// renew has the provider's API replace the current credential. Nothing ends the call but its own deadline, because its answer may be the
// only copy of the new one.
func (b *backend) renew(ctx context.Context, storage logical.Storage, a *account, t *token) (fresh provider.Values, err error) {
	if t.kind.Renew == nil || t.Current == nil {
		return nil, &provider.Refused{Detail: "This provider has no API any more that replaces the credential"}
	}
	err = b.withCurrent(ctx, storage, t, func(ctx context.Context, with provider.Token) (rotation.Ending, error) {
		var err error
		fresh, err = t.kind.Renew.Call(context.WithoutCancel(ctx), a.call, with)
		return rotation.Ending{Err: err}, err
	})
	if err != nil {
		return nil, err
	}
	value := maps.Clone(t.Current.Credential)
	maps.Copy(value, fresh)
	return value, nil
}

// subject tells a reset hook which of the account's tokens is meant.
func (t *token) subject(a *account) provider.Values {
	subject := provider.Values{}
	for _, name := range t.kind.Subject {
		value := a.call.Settings[name]
		if _, isField := provider.Lookup(t.kind.Fields, name); isField && t.Current != nil {
			value = t.Current.Credential[name]
		}
		if value != "" {
			subject[name] = value
		}
	}
	return subject
}

// askHook has the account's reset hook perform the reset, or say what it performed already. What an operator has to know of
// the value is noted in p.
func askHook(ctx context.Context, a *account, t *token, p *rotation.Pending) (provider.Values, error) {
	if a.Settings[fieldHookURL] == "" {
		return nil, &provider.Refused{Detail: "The account has no reset hook any more"}
	}
	request := resethook.Request{
		URL: a.Settings[fieldHookURL], Secret: a.Settings[fieldHookSecret], Client: a.hookClient, Fields: t.kind.Fields,
		Event: resethook.Event{
			Token: t.name, TokenType: t.Type, Provider: a.Provider, Account: t.Account,
			Subject: t.subject(a), Reason: p.Reason, IdempotencyKey: p.ID,
		},
	}
	if t.Current != nil {
		request.Current = t.Current.Credential
	}
	answer, err := resethook.Reset(ctx, request)
	var (
		pending  *resethook.Pending
		unusable *resethook.Unusable
	)
	switch {
	case errors.As(err, &pending):
		return nil, &rotation.NotYet{After: pending.RetryAfter}
	case errors.As(err, &unusable):
		// The same key would get the same answer.
		return nil, &rotation.Spent{Detail: unusable.Detail}
	case err != nil:
		return nil, err
	}
	p.Note = answer.Note
	return answer.Credential, nil
}

// verifyObtained asks the provider about a value that the engine has got by itself. A hook's value can lack a field that the
// token has never had.
func (b *backend) verifyObtained(ctx context.Context, storage logical.Storage, a *account, t *token, credential provider.Values) (provider.Verification, error) {
	for _, f := range t.kind.Fields {
		if credential[f.Name] == "" {
			return provider.Verification{}, &rotation.Incomplete{Detail: fmt.Sprintf("the reset hook's new value is kept and not published, "+
				"because it came without %s and the token has none yet: hand %s in alone, with tokens/%s/rotate, and the kept value goes with it", f.Name, f.Name, t.name)}
		}
	}
	return b.verifyAndKeep(ctx, storage, a, t, credential)
}
