package backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

const retireHelpLong = `
Ends an old value now that the engine is going to end anyway, at the end of rotation_grace_period: "retiring" of
tokens/<name> lists them. version says which one; it may be left out where only one waits. Version 0 stands for a new key
that was never published. The current version is never ended here.

    vault write -f adtokens/tokens/acme-robot/retire

A value that the provider will not delete keeps the token in the state "retiring" and is tried again and again. Where that
can never succeed, because a permission was taken away or somebody has deleted it by hand, force=true tries once more and
then forgets the value, with a warning: from then on nobody but you knows that it may live on at the provider. Without
version, force=true gives up the search for a key as well whose secret was lost.
`

func (b *backend) pathRetire() *framework.Path {
	return &framework.Path{
		Pattern: "tokens/" + namePattern("name") + "/retire$",
		Fields: map[string]*framework.FieldSchema{
			"name":    nameField(),
			"version": {Type: framework.TypeInt, Description: "The old version to end, one of those in retiring. May be left out where only one waits."},
			"force":   {Type: framework.TypeBool, Default: false, Description: "Forget the old value where the provider does not end it. It may live on there."},
		},
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: writeOperation(b.pathRetireWrite, "End an old value now that waits for its end.", "retire",
				ok("What became of the old value.", map[string]*framework.FieldSchema{
					"version":        {Type: framework.TypeInt, Required: true, Description: "Number of the version, 0 for a key that was never published."},
					"retired":        {Type: framework.TypeBool, Required: true, Description: "Whether it was ended at the provider; false where it was only forgotten."},
					"rotation_state": {Type: framework.TypeString, Required: true, Description: "What is still to do for the token."},
				})),
		},
		HelpSynopsis:    "End an old value now.",
		HelpDescription: strings.TrimSpace(retireHelpLong),
	}
}

// retirement is what a request wants ended.
type retirement struct {
	version int
	// value says that a value of the version waits, and searches that the searches for lost keys are to end too.
	value, searches bool
	force           bool
}

func (b *backend) pathRetireWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("name").(string)
	release := b.precedence.claim(name)
	defer release()
	t, unlock, err := b.lockToken(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if t == nil {
		return nil, unknownToken(name)
	}
	wanted, err := chooseRetirement(d, t)
	if err != nil {
		return nil, err
	}
	response := &logical.Response{}
	a, err := b.account(ctx, req.Storage, t.Account)
	if err != nil {
		err = &rotation.LeftError{Why: err.Error()}
	} else {
		err = b.end(ctx, req, b.machine(req.Storage, a, t), t, wanted)
	}
	switch {
	case err != nil && wanted.force:
		if err := b.forgetRetiring(ctx, req, t, wanted, err, response); err != nil {
			return nil, err
		}
	case err != nil:
		if a != nil {
			b.plan(a, t)
		}
		return nil, stillThere(req, t, err)
	}
	if a != nil {
		b.plan(a, t)
	}
	response.Data = map[string]any{"version": wanted.version, "retired": err == nil, "rotation_state": string(t.State())}
	return response, nil
}

// chooseRetirement finds what the request means.
func chooseRetirement(d *framework.FieldData, t *token) (wanted retirement, err error) {
	wanted.force = d.Get("force").(bool)
	version, given := d.GetOk("version")
	switch {
	case given:
		wanted.version, wanted.value = version.(int), true
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
		list = append(list, name+", planned for "+old.At.UTC().Format(time.RFC3339))
	}
	if len(t.Searches) > 0 {
		list = append(list, "a key whose secret was lost (leave version out)")
	}
	return "What waits: " + strings.Join(list, "; ")
}

// end ends what is wanted at the provider, as far as possible. Its error says what is left.
func (b *backend) end(ctx context.Context, req *logical.Request, m *rotation.Machine, t *token, wanted retirement) error {
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
		return unknownWhether(req, "the old value was ended", t.name, err)
	case err != nil:
		return err
	case len(left) > 0:
		return &rotation.LeftError{Why: strings.Join(left, "; ")}
	}
	return nil
}

// stillThere is the answer where the provider has not ended a value, and nobody wants it forgotten.
func stillThere(req *logical.Request, t *token, err error) error {
	refusal, ok := errors.AsType[*rotation.LeftError](err)
	if !ok {
		return err
	}
	return logical.CodedError(http.StatusBadGateway, fmt.Sprintf("the old value was not ended: %s. The engine goes on trying. "+
		"If that cannot succeed, `vault write %stokens/%s/retire force=true` forgets it (with version=… where several wait): end it at the provider by hand then",
		refusal.Why, req.MountPoint, t.name))
}

// forgetRetiring forgets what the provider did not end.
func (b *backend) forgetRetiring(ctx context.Context, req *logical.Request, t *token, wanted retirement, why error, response *logical.Response) error {
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
	if err := b.saveToken(ctx, req.Storage, t); err != nil {
		b.lookAgain(t)
		return unknownWhether(req, "the old value was forgotten", t.name, err)
	}
	b.Logger().Warn("an old value was forgotten that the provider has not ended", "token", t.name, "version", wanted.version)
	return nil
}
