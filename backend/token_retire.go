package backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// retireRequest asks for the end of an old value that waits for it.
type retireRequest struct {
	// version is nil where it was left out, because only one waits.
	version *int
	// force has the value forgotten where the provider does not end it.
	force bool
}

// retirement is what a request for a token means.
type retirement struct {
	version int
	// value says that a value of the version waits, and searches that the searches for lost keys are to end too.
	value, searches bool
	force           bool
}

// retireNow ends an old value, or forgets it, and says in the response which.
func (b *backend) retireNow(ctx context.Context, storage logical.Storage, name string, r retireRequest) (*logical.Response, error) {
	release := b.precedence.claim(name)
	defer release()
	t, unlock, err := b.lockToken(ctx, storage, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if t == nil {
		return nil, unknownToken(name)
	}
	wanted, err := r.choose(t)
	if err != nil {
		return nil, err
	}
	response := &logical.Response{}
	behind := b.behind(t, wanted.version).Count()
	a, err := b.account(ctx, storage, t.Account)
	if err != nil {
		err = &rotation.LeftError{Why: err.Error()}
	} else {
		err = b.end(ctx, b.machine(storage, a, t), t, wanted)
	}
	switch {
	case err != nil && wanted.force:
		if err := b.forgetRetiring(ctx, storage, t, wanted, err, response); err != nil {
			return nil, err
		}
	case err != nil:
		if a != nil {
			b.plan(a, t)
		}
		return nil, stillThere(t, err)
	}
	if a != nil {
		b.plan(a, t)
	}
	if wanted.value && wanted.version > 0 && behind > 0 {
		response.AddWarning(fmt.Sprintf("version %d was ended, and %s. %s", wanted.version, t.haveNot(behind), t.seeReaders()))
	}
	response.Data = map[string]any{"version": wanted.version, "retired": err == nil, "rotation_state": string(t.State())}
	return response, nil
}

// choose finds what the request means.
func (r retireRequest) choose(t *token) (wanted retirement, err error) {
	given := r.version != nil
	wanted.force = r.force
	switch {
	case given:
		wanted.version, wanted.value = *r.version, true
	case len(t.Retiring) > 0:
		wanted.version, wanted.value = t.Retiring[0].Version, true
	}
	wanted.searches = !given && len(t.Searches) > 0
	switch {
	case len(t.Retiring) == 0 && len(t.Searches) == 0:
		return wanted, badInput("no old value of this token waits for its end; nothing was changed")
	case given && wanted.version == t.Number() && t.Current != nil:
		return wanted, badInput("version %d is the current one, which apps use: rotate the token first. %s", wanted.version, waiting(t))
	case given && !t.Waits(wanted.version):
		return wanted, badInput("version %d does not wait for its end. %s", wanted.version, waiting(t))
	case !given && len(t.Retiring) > 1:
		for _, old := range t.Retiring {
			if old.Version != wanted.version {
				return wanted, badInput("several old values wait for their end: say which one with version. %s", waiting(t))
			}
		}
	}
	return wanted, nil
}

// waiting lists what could be ended.
func waiting(t *token) string {
	var list []string
	for _, old := range t.Retiring {
		name := fmt.Sprintf("version %d", old.Version)
		if old.Version == 0 {
			name += " (a new key that was never published)"
		}
		when := "planned for " + old.At.UTC().Format(time.RFC3339)
		if t.waitsForReaders(&old) {
			when = "planned for when its readers have a newer one"
		}
		list = append(list, name+", "+when)
	}
	if len(t.Searches) > 0 {
		list = append(list, "a key whose secret was lost (leave version out)")
	}
	return "What waits: " + strings.Join(list, "; ")
}

// end ends what is wanted at the provider, as far as possible. Its error says what is left.
func (b *backend) end(ctx context.Context, m *rotation.Machine, t *token, wanted retirement) error {
	var left []string
	note := func(err error) error {
		if refusal, ok := errors.AsType[*rotation.LeftError](err); ok {
			left = append(left, refusal.Why)
			return nil
		}
		return err
	}
	var err error
	if wanted.value {
		err = note(m.EndVersion(ctx, &t.Record, wanted.version))
	}
	if err == nil && wanted.searches {
		err = note(m.EndSearches(ctx, &t.Record))
	}
	switch {
	case err != nil && ctx.Err() == nil:
		b.lookAgain(t)
		return unknownWhether("the old value was ended", t.name, err)
	case err != nil:
		return err
	case len(left) > 0:
		return &rotation.LeftError{Why: strings.Join(left, "; ")}
	}
	return nil
}

// stillThere is the answer where the provider has not ended a value, and nobody wants it forgotten.
func stillThere(t *token, err error) error {
	refusal, ok := errors.AsType[*rotation.LeftError](err)
	if !ok {
		return err
	}
	return logical.CodedError(http.StatusBadGateway, fmt.Sprintf("the old value was not ended: %s. The engine goes on trying. "+
		"If that cannot succeed, `vault write <mount>/tokens/%s/retire force=true` forgets it (with version=… where several wait): end it at the provider by hand then",
		refusal.Why, t.name))
}

// forgetRetiring forgets what the provider did not end.
func (b *backend) forgetRetiring(ctx context.Context, storage logical.Storage, t *token, wanted retirement, why error, response *logical.Response) error {
	if wanted.value && t.Waits(wanted.version) {
		t.Forget(wanted.version, fmt.Sprintf("its end was given up at %s: it may live on at the provider", b.now().UTC().Format(time.RFC3339)))
		what := fmt.Sprintf("version %d", wanted.version)
		if wanted.version == 0 {
			what = "a new key that was never published"
		}
		response.AddWarning(fmt.Sprintf("%s may live on at the provider and is forgotten now, because it was not ended: %s. End it there by hand", what, why))
	}
	if wanted.searches && t.ForgetSearches() > 0 {
		response.AddWarning("the search for a key whose secret was lost is given up; it may exist, or appear, at the provider: " +
			"look for a key there that nobody knows, and delete it")
	}
	if err := b.saveToken(ctx, storage, t); err != nil {
		b.lookAgain(t)
		return unknownWhether("the old value was forgotten", t.name, err)
	}
	b.Logger().Warn("an old value was forgotten that the provider has not ended", "token", t.name, "version", wanted.version)
	return nil
}
