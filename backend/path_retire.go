package backend

import (
	"context"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const retireHelpLong = `
Ends an old value now that the engine is going to end anyway, at the end of rotation_grace_period or, with
retire_after=adopted, once its readers have a newer one: "retiring" of tokens/<name> lists them. Readers that are still
behind lose it: tokens/<name>/readers shows them. version says which one; it may be left out where only one waits. Version 0 stands for a new key
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

func (b *backend) pathRetireWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return b.retireNow(ctx, req.Storage, d.Get("name").(string), retireRequest{version: given[int](d, "version"), force: d.Get("force").(bool)})
}
