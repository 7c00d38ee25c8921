package backend

import (
	"context"
	"fmt"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

func (b *backend) pathHistory() *framework.Path {
	return &framework.Path{
		Pattern:      "tokens/" + namePattern("name") + "/history$",
		Fields:       map[string]*framework.FieldSchema{"name": nameField()},
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "token-history"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: readOperation(b.pathHistoryRead, "Read who rotated this token, when and why.", "read", map[string]*framework.FieldSchema{
				"versions": {Type: framework.TypeSlice, Required: true, Description: "The versions, oldest first: version, created_at, reason, entity_id, " +
					"display_name, source, verification, fingerprint, identity, identity_changed, refreshed_at, refreshes, expires_at, retired_at, retired_how, and note where there is something to know beside them."},
				"cleanups": {Type: framework.TypeSlice, Required: true, Description: "Keys that were made for this token, whose secret was lost on the way, " +
					"and that the engine deleted, oldest first: owner, key_id, found_at, deleted_at."},
			}),
		},
		HelpSynopsis: "Read who rotated this token, when and why.",
		HelpDescription: fmt.Sprintf("The newest %d versions are kept, without their values. retired_at and retired_how are set once it is known that\n"+
			"a version stopped to work.", rotation.MaxHistory),
	}
}

func (b *backend) pathHistoryRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	t, err := b.token(ctx, req.Storage, d.Get("name").(string))
	if err != nil {
		return nil, err
	}
	versions := make([]any, len(t.History))
	for i, h := range t.History {
		version := map[string]any{
			"version":      h.Version,
			"created_at":   timestamp(h.CreatedAt),
			"reason":       cleanText(h.Reason),
			"entity_id":    h.EntityID,
			"display_name": cleanText(h.DisplayName),
			"source":       string(h.Source),
			"verification": h.Verification,
			"fingerprint":  h.Fingerprint,
			"identity":     h.Identity,
			"refreshed_at": timestamp(h.Refreshed.Last()),
			"refreshes":    h.Refreshed.Number(),
			"expires_at":   timestamp(h.Ends.At()),
			"retired_at":   timestamp(h.RetiredAt),
			"retired_how":  h.RetiredHow,

			"identity_changed": h.IdentityChanged,
		}
		if h.Note != "" {
			version["note"] = h.Note
		}
		versions[i] = version
	}
	cleanups := make([]any, len(t.Cleanups))
	for i, c := range t.Cleanups {
		cleanups[i] = map[string]any{"owner": c.Owner, "key_id": c.KeyID, "found_at": timestamp(c.FoundAt), "deleted_at": timestamp(c.DeletedAt)}
	}
	return &logical.Response{Data: map[string]any{"versions": versions, "cleanups": cleanups}}, nil
}
