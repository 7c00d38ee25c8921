package backend

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
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
		Retire: func(ctx context.Context, old rotation.Retiring) error { return revoke(ctx, a, t, old.Credential) },
		Obtain: func(ctx context.Context, p *rotation.Pending) (provider.Values, error) { return askHook(ctx, a, t, p) },
		Same:   t.sameValue, Unchanged: t.unchanged, TryAfterRetiring: true,
		Hold: func(ctx context.Context, credential provider.Values) ([]string, func(), error) {
			return b.hold(ctx, storage, a, t, credential)
		},
		Happened: func(ctx context.Context, r *rotation.Record, e rotation.Event) { b.rotationHappened(ctx, a, t, e) },
	}
	if rotator, ok := keyRotator(a, t); ok && t.Current != nil {
		ring := &keyRing{rotator: rotator, account: a, token: t, backend: b, storage: storage}
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
	b.sendTokenEvent(ctx, machineEvents[e], t, pairs...)
}

// countRotation counts the ends of automatic rotations, and the problems on the way.
func (b *backend) countRotation(a *account, t *token, e rotation.Event) {
	switch {
	case e == rotation.Published:
		last := t.History[len(t.History)-1]
		b.metrics.rotated(last.Source, triggerOf(last.Scheduled), last.Verification)
	case e == rotation.Failed && t.Ended() != nil:
		b.metrics.rotated(t.Ended().Source, triggerOf(t.Ended().Scheduled), outcomeFailed)
	case e == rotation.Failed && t.Pending != nil:
		b.metrics.rotated(t.Pending.Source, triggerOf(t.Pending.Scheduled), outcomeFailed)
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

// rotateAutomatically starts a rotation by hand and waits for its end, or for rotateWait. known is the token as the request found
// it.
func (b *backend) rotateAutomatically(ctx context.Context, req *logical.Request, d *framework.FieldData, known *token) (*logical.Response, error) {
	if !d.Get("verify").(bool) {
		return nil, badInput("verify=false is for values that a person hands in; what the engine gets by itself is always verified")
	}
	// Before the lock, which a rotation under way may hold for long.
	if err := mayStart(d, known); err != nil {
		return nil, err
	}
	started, err := b.startByHand(ctx, req, d, known)
	if err != nil {
		return nil, err
	}
	deadline := time.NewTimer(rotateWait)
	defer deadline.Stop()
	next, stop := b.watch(known.name)
	defer stop()
	for {
		changed := next()
		t, err := b.tokens.Get(ctx, req.Storage, known.name)
		switch {
		case err != nil:
			return nil, fmt.Errorf("the rotation has begun and goes on by itself; how far it is cannot be told: %w. "+
				"`vault read %stokens/%s` tells, once that is over", err, req.MountPoint, known.name)
		case !started.concerns(t):
			return nil, started.tokenIsGone(t)
		case t.Pending == nil || t.Pending.ID != started.id:
			return b.rotatedResponse(ctx, req, t, started)
		}
		select {
		case <-changed:
		case <-deadline.C:
			return underWayResponse(req, t), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// mayStart says whether an automatic rotation of the token may begin.
func mayStart(d *framework.FieldData, t *token) error {
	if err := checkAndSet(d, t); err != nil {
		return err
	}
	return underWay(t)
}

// startedRotation is what identifies a rotation to the request that waits for its end, whatever happens to the token meanwhile.
type startedRotation struct {
	id string
	// name and tokenID are the token's. Another token of the same name has another ID.
	name, tokenID string
	// replaces is the version that was current at the start, nil where there was none.
	replaces *rotation.Version
}

// number is that of the version at the start.
func (s *startedRotation) number() int {
	if s.replaces == nil {
		return 0
	}
	return s.replaces.Number
}

// concerns says whether the stored token is the one of the rotation.
func (s *startedRotation) concerns(t *token) bool { return t != nil && t.ID == s.tokenID }

// tokenIsGone says that the rotation has lost its token.
func (s *startedRotation) tokenIsGone(now *token) error {
	what := "deleted"
	if now != nil {
		what = "deleted and made anew"
	}
	return logical.CodedError(http.StatusConflict, fmt.Sprintf("token %q was %s while this rotation was under way, which ended it. "+
		"Whether a new value was made at the provider is not known: look there", s.name, what))
}

// startByHand stores the intent and lets the work begin. A value that a person hands in meanwhile comes first.
func (b *backend) startByHand(ctx context.Context, req *logical.Request, d *framework.FieldData, known *token) (*startedRotation, error) {
	name := known.name
	ctx, done := b.precedence.giveWay(ctx, name)
	defer done()
	t, unlock, err := b.lockToken(ctx, req.Storage, name)
	if err != nil {
		return nil, unlessGaveWay(ctx, err)
	}
	keepLock := false
	defer func() {
		if !keepLock {
			unlock()
		}
	}()
	if err := sameToken(t, known); err != nil {
		return nil, err
	}
	if err := mayStart(d, t); err != nil {
		return nil, err
	}
	a, err := b.account(ctx, req.Storage, t.Account)
	if err != nil {
		return nil, unlessGaveWay(ctx, err)
	}
	why, err := b.reason(d, t.kind, nil)
	if err != nil {
		return nil, err
	}
	from := source(a, t)
	if from == "" {
		return nil, needsPerson(a, t)
	}
	intent, err := newRotation(from, why)
	if err != nil {
		return nil, err
	}
	intent.EntityID, intent.DisplayName = req.EntityID, req.DisplayName
	started := &startedRotation{id: intent.ID, name: name, tokenID: t.ID, replaces: t.Current}
	m := b.machine(req.Storage, a, t)
	if err := b.storeIntent(ctx, req, m, a, t, intent); err != nil {
		return nil, err
	}
	keepLock = true
	b.goOn(m, a, t, unlock) //nolint:contextcheck // it goes on when the request is over
	return started, nil
}

// storeIntent starts the rotation. Once its intent is stored, the account's addresses stay as they are, so that is done while the
// account is still the one that the value is going to be sent to. Where the intent could not be stored, it may have been all the
// same: then the work on the token finds it.
func (b *backend) storeIntent(ctx context.Context, req *logical.Request, m *rotation.Machine, a *account, t *token, intent rotation.Pending) error {
	held := t.holdsCredential()
	save, saved := m.Save, error(nil)
	m.Save = func(ctx context.Context, r *rotation.Record) error {
		if !held {
			unlock, err := b.accountLocks.RLock(ctx, t.Account)
			if err != nil {
				return err
			}
			defer unlock()
			if err := b.sameAccount(ctx, req.Storage, a, t); err != nil {
				return err
			}
		}
		saved = save(ctx, r)
		return saved
	}
	err := m.Start(ctx, &t.Record, intent)
	m.Save = save
	switch {
	case err == nil:
		return nil
	case saved == nil:
		return unlessGaveWay(ctx, fmt.Errorf("nothing was changed: %w", err))
	}
	b.lookAgain(t)
	return unknownWhether(req, "the rotation was started", t.name, saved)
}

// goOn takes the due steps of a rotation by hand in the background, where the caller's hold on the token goes.
func (b *backend) goOn(m *rotation.Machine, a *account, t *token, unlock func()) {
	working, done := b.precedence.giveWay(b.work, t.name)
	go func() {
		defer unlock()
		defer done()
		b.advance(working, m, a, t)
	}()
}

// advance takes the due steps of a rotation by hand, and plans the next ones.
func (b *backend) advance(working context.Context, m *rotation.Machine, a *account, t *token) {
	job := schedule.Job{Token: t.name, Account: t.Account, Kind: schedule.Rotate}
	defer b.recoverWork("rotating a token", job)
	err := m.Advance(working, &t.Record)
	switch {
	case err == nil:
		b.plan(a, t)
	case gaveWay(working):
		b.retryWork(job, errGaveWay)
	default:
		b.logError("rotating a token", t.name, err)
		b.retryWork(job, err)
	}
}

// rotateGivingWay does what is due for a token, until a person's request for it comes first.
func (b *backend) rotateGivingWay(ctx context.Context, j schedule.Job) error {
	working, done := b.precedence.giveWay(ctx, j.Token)
	defer done()
	err := b.rotateRoutinely(working, j.Token)
	if err != nil && gaveWay(working) {
		b.retryWork(j, errGaveWay)
		return nil
	}
	return err
}

// bringForward has a rotation end now that waits for a hook which the account has no more.
func (t *token) bringForward(a *account, now time.Time) {
	if p := t.Pending; p != nil && p.Source == rotation.SourceHook && p.Credential == nil && a.Settings[fieldHookURL] == "" {
		p.NextAttempt = now
	}
}

// unlessGaveWay says why a request for an automatic rotation was interrupted.
func unlessGaveWay(working context.Context, err error) error {
	if !gaveWay(working) {
		return err
	}
	return logical.CodedError(http.StatusConflict, "somebody hands in a value for this token, ends an old one, changes its policy, or deletes it at this moment, "+
		"which comes first: no rotation was started by this request. See what has become of it, and try again if need be")
}

// sameToken refuses a request whose token was deleted, and perhaps made anew, while it waited.
func sameToken(t, known *token) error {
	switch {
	case t == nil:
		return unknownToken(known.name)
	case t.ID != known.ID:
		return logical.CodedError(http.StatusConflict, fmt.Sprintf(
			"token %q was deleted and made anew while this request waited; nothing was changed. Read the token, and try again if that is the one you mean", t.name))
	}
	return nil
}

// underWay refuses a second automatic rotation beside one that needs nothing but patience.
func underWay(t *token) error {
	p := t.Pending
	if p == nil || p.Restartable() {
		return nil
	}
	message := fmt.Sprintf("a rotation of this token is under way (%s, since %s)", t.State(), p.RequestedAt.Format(time.RFC3339))
	if t.LastError != "" {
		message += ", and goes on by itself after a problem: " + t.LastError
	}
	return logical.CodedError(http.StatusConflict, message+
		". A value that you have in hand comes first: "+t.handInCommand())
}

func underWayResponse(req *logical.Request, t *token) *logical.Response {
	response := &logical.Response{Data: map[string]any{
		"version":        t.Number(),
		"fingerprint":    t.fingerprint(),
		"rotation_state": string(t.State()),
	}}
	response.AddWarning(fmt.Sprintf("the rotation is not finished after %s and goes on by itself; `vault read %stokens/%s` shows its state",
		rotateWait, req.MountPoint, t.name))
	if t.LastError != "" {
		response.AddWarning("the last problem was: " + t.LastError)
	}
	return response
}

// rotatedResponse says how a rotation by hand ended that is not under way any more.
func (b *backend) rotatedResponse(ctx context.Context, req *logical.Request, t *token, started *startedRotation) (*logical.Response, error) {
	entry := t.Published(started.id)
	if entry == nil {
		return nil, started.unpublished(req, t)
	}
	verified := &provider.Verification{Outcome: provider.Outcome(entry.Verification)}
	if t.LastVerification != nil && t.Number() == entry.Version {
		verified.Detail = t.LastVerification.Detail
	}
	response := publishedResponse(req, t, *entry, started.replaces, verified)
	response.Data["rotation_state"] = string(t.State())
	if t.Number() == entry.Version && entry.Source == rotation.SourceHook {
		if a, err := b.account(ctx, req.Storage, t.Account); err == nil {
			b.warnShared(ctx, req.Storage, a, t, t.Current.Credential, response)
		}
	}
	if t.Number() != entry.Version {
		response.AddWarning(fmt.Sprintf("version %d was published since, and is the current one", t.Number()))
	}
	for _, old := range t.Retiring {
		if started.replaces != nil && old.Version == started.number() {
			response.Data["previous_credential"] = previousRetires + old.At.Format(time.RFC3339)
			return response, nil
		}
	}
	if started.replaces != nil && entry.Source == rotation.SourceHook {
		if err := b.checkReplaced(ctx, req, started, response); err != nil {
			response.AddWarning(fmt.Sprintf("whether version %d still works could not be checked: %s", started.number(), err))
		}
	}
	return response, nil
}

// unpublished says why the rotation has published no version.
func (s *startedRotation) unpublished(req *logical.Request, t *token) error {
	switch {
	case t.Number() > s.number():
		by := t.History[len(t.History)-1]
		if by.Source == rotation.SourceAssisted {
			return logical.CodedError(http.StatusConflict, fmt.Sprintf("somebody handed in version %d in the meantime, which ended this rotation", by.Version))
		}
		return logical.CodedError(http.StatusConflict, fmt.Sprintf("this rotation published nothing, and another one has published version %d since", by.Version))
	case t.Pending != nil:
		return logical.CodedError(http.StatusConflict, "another rotation of this token has taken the place of this one; nothing was changed yet")
	case t.LastError == "":
		return logical.CodedError(http.StatusConflict, fmt.Sprintf("this rotation was ended without a new version; `vault read %stokens/%s` tells what is current", req.MountPoint, s.name))
	}
	if t.PersonNeeded {
		return badInput("nothing was published: %s", t.LastError)
	}
	return badInput("nothing was changed: %s", t.LastError)
}

// checkReplaced tries the value that the rotation has replaced, if what it has published is still current. It gives way to a value
// that a person hands in.
func (b *backend) checkReplaced(ctx context.Context, req *logical.Request, started *startedRotation, response *logical.Response) error {
	working, done := b.precedence.giveWay(ctx, started.name)
	defer done()
	t, unlock, err := b.lockToken(working, req.Storage, started.name)
	if err != nil {
		return err
	}
	defer unlock()
	if entry := t.published(started); entry == nil || entry.Version != t.Number() {
		return nil
	}
	a, err := b.account(working, req.Storage, t.Account)
	if err != nil {
		return err
	}
	b.checkPrevious(working, req, a, t, started.replaces, response)
	return nil
}

// published is the history's entry of the rotation; nil where the token is gone or another one.
func (t *token) published(s *startedRotation) *rotation.HistoryEntry {
	if !s.concerns(t) {
		return nil
	}
	return t.Published(s.id)
}

// handInCommand is what to type to hand a value in: the last secret from the terminal, and, for a token that has no value yet, every
// other field too.
func (t *token) handInCommand() string {
	var fields strings.Builder
	for _, f := range t.kind.Fields {
		switch {
		case t.Current != nil || f.Name == t.secretField():
		case f.Secret:
			fmt.Fprintf(&fields, " %s=@%s", f.Name, strings.ReplaceAll(f.Name, "_", "-"))
		default:
			fmt.Fprintf(&fields, " %s=…", f.Name)
		}
	}
	return fmt.Sprintf("`vault write <mount>/tokens/%s/rotate%s %s=-`", t.name, fields.String(), t.secretField())
}

// secretField is the field to hand in.
func (t *token) secretField() string {
	name := t.kind.Fields[len(t.kind.Fields)-1].Name
	for _, f := range t.kind.Fields {
		if f.Secret {
			name = f.Name
		}
	}
	return name
}
