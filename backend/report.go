package backend

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

const (
	// reportWindow is for how long the reports of a token share what a verification has found.
	reportWindow = 10 * time.Second
	// healingPatience is how long a report waits for the rotation to begin that its verification has brought about.
	healingPatience = 2 * time.Second
)

// appReport is what an app says whose value was refused. It has the version, or the fingerprint. The path file that made it has refused
// what cannot be.
type appReport struct {
	version     *int
	fingerprint string
}

// reportAnswer is what an app is told.
type reportAnswer struct {
	outcome, detail string
	// checkedAt is zero where the provider was not asked, and retryAfter where there is no use in asking later.
	checkedAt  time.Time
	retryAfter time.Duration
	// token is the token as it is by now.
	token *token
	// mustRotate says that the provider rejects the value and that nothing replaces it by itself.
	mustRotate bool
}

// isOld says whether the report is of a value that is not the current one.
func (r appReport) isOld(t *token) (bool, error) {
	switch {
	case r.version == nil:
		return r.fingerprint != t.fingerprint(), nil
	case *r.version > t.Number():
		return false, badInput("version %d does not exist: the current one is %d. Report the version that came with the value", *r.version, t.Number())
	}
	return *r.version < t.Number(), nil
}

// answerReport says whether an app that was refused holds an old value, or what the provider says of the current one.
func (b *backend) answerReport(ctx context.Context, storage logical.Storage, name string, r appReport) (*reportAnswer, error) {
	for range maxVerifyTries {
		t, err := b.token(ctx, storage, name)
		if err != nil {
			return nil, err
		}
		if t.Current == nil {
			return nil, noCredential(t)
		}
		old, err := r.isOld(t)
		if err != nil {
			return nil, err
		}
		if old {
			detail := fmt.Sprintf("this is not the current value: version %d is. Read it, and try again with that", t.Number())
			return &reportAnswer{outcome: outcomeOutdated, detail: detail, token: t}, nil
		}
		shared := b.shareVerification(t)
		select {
		case <-shared.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch {
		case errors.Is(shared.err, errVersionGone):
			continue // it is old by now
		case shared.err != nil:
			return nil, shared.err
		}
		if t, err = b.token(ctx, storage, name); err != nil {
			return nil, err
		}
		return shared.answer(t), nil
	}
	return nil, errKeepsChanging(name)
}

// answer is what the verification says, where the token is by now the given one.
func (s *sharedVerification) answer(t *token) *reportAnswer {
	if s.wait > 0 {
		return &reportAnswer{outcome: string(provider.Inconclusive), token: t, retryAfter: s.wait, detail: fmt.Sprintf(
			"the provider was not asked, because the account's limit of verifications is used up; report again in %d seconds", wholeSeconds(s.wait))}
	}
	o := s.found
	return &reportAnswer{
		outcome: string(o.Outcome), detail: o.Detail, checkedAt: o.at, token: t,
		mustRotate: o.Outcome == provider.Rejected && t.Pending == nil && s.version == reportedVersionOf(t),
	}
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// reportedVersion tells the versions of tokens apart.
type reportedVersion struct {
	tokenID, account, origin string
	number                   int
	publishedAt              int64
}

func reportedVersionOf(t *token) reportedVersion {
	if t.Current == nil {
		return reportedVersion{tokenID: t.ID, account: t.Account}
	}
	return reportedVersion{t.ID, t.Account, t.Current.Origin(), t.Number(), t.Current.PublishedAt.UnixNano()}
}

// sharedVerification is a verification of one version that its reports share. All but done is written before that is closed.
type sharedVerification struct {
	version reportedVersion
	done    chan struct{}
	// found is what the provider said; nil with an error, or where the account's limit is used up until wait is over.
	found *observation
	wait  time.Duration
	err   error
}

// sharedReports are the verifications that reports share, by the token's name. The zero value is ready for use.
type sharedReports struct {
	mu     sync.Mutex
	byName map[string]*sharedVerification
}

// errVersionGone says that another version is current than that which was reported.
var errVersionGone = errors.New("the version was replaced meanwhile")

// join finds the verification of a version that is under way, or not older than reportWindow. Mine says that there is none, so that the
// caller has to do it.
func (s *sharedReports) join(name string, version reportedVersion, now time.Time) (shared *sharedVerification, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.byName[name]; v != nil && v.version == version {
		select {
		case <-v.done:
			if age := now.Sub(v.found.at); age >= 0 && age < reportWindow {
				return v, false
			}
		default:
			return v, false
		}
	}
	if s.byName == nil {
		s.byName = map[string]*sharedVerification{}
	}
	shared = &sharedVerification{version: version, done: make(chan struct{})}
	s.byName[name] = shared
	return shared, true
}

// settle lets the reports have the verification, which is forgotten at once where it has found nothing.
func (s *sharedReports) settle(name string, v *sharedVerification) {
	forget := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.byName[name] == v {
			delete(s.byName, name)
		}
	}
	if v.found == nil {
		forget()
	} else {
		time.AfterFunc(reportWindow, forget)
	}
	close(v.done)
}

// shareVerification has the provider asked about the token's current version, once for all reports of it, however many they are. It goes on
// when the first of them hangs up.
func (b *backend) shareVerification(t *token) *sharedVerification {
	name := t.name
	shared, mine := b.reports.join(name, reportedVersionOf(t), b.now())
	if !mine {
		return shared
	}
	go func() {
		defer b.reports.settle(name, shared)
		if b.contain("verifying a token for a report", name, func() { b.verifyReported(name, shared) }) {
			shared.found, shared.err = nil, errors.New("the token could not be verified, because of a bug of this plugin; Vault's log has more")
		}
	}()
	return shared
}

// verifyReported asks the provider about the version, as far as the account's limit of background work allows.
func (b *backend) verifyReported(name string, shared *sharedVerification) {
	ctx := b.work
	t, a, err := b.storedPair(ctx, b.storage, name)
	switch {
	case err != nil:
		shared.err = err
		return
	case t == nil, reportedVersionOf(t) != shared.version:
		shared.err = errVersionGone
		return
	}
	if shared.wait = b.scheduler.TryVerification(t.Account); shared.wait > 0 {
		return
	}
	// An access token that was minted before the report may be what was refused.
	b.access.delete(name)
	o, err := b.verifyCurrent(ctx, b.storage, a, t)
	_, busy := errors.AsType[*cache.BusyError](err)
	switch {
	case err != nil && (!busy || ctx.Err() != nil):
		shared.err = err
	case !busy && !o.recorded:
		shared.err = errVersionGone
	default:
		shared.found = o
		b.awaitHealing(ctx, a, name)
	}
}

// awaitHealing waits until the rotation has begun that replaces a rejected value, so that whoever is answered next is told of it.
func (b *backend) awaitHealing(ctx context.Context, a *account, name string) {
	next, stop := b.watch(name)
	defer stop()
	patience := time.NewTimer(healingPatience)
	defer patience.Stop()
	for {
		changed := next()
		if t := b.tokens.Peek(name); t == nil || !t.mustHeal(b.now(), source(a, t)) {
			return
		}
		select {
		case <-changed:
		case <-patience.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
