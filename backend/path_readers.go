package backend

import (
	"context"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/readers"
)

const readersHelpLong = `
Who has read creds/<name> and access-token/<name> within the window, and which version each got last: who is behind still
uses an old value, or has not read since. There is one row for each entity (for a Vault token without an entity: for each
token), address and path. Pods that share an entity and an address share a row. A read shows at once; renewing a lease is none.

    vault read adtokens/tokens/acme-robot/readers window=2h

At most 1,000 rows are kept for a token: the longest silent ones are forgotten first. summary.forgotten counts those that
are behind and had no room. Nodes that may not write, such as performance standbys, know only of their own readers beside
the stored ones.
`

func (b *backend) pathReaders() *framework.Path {
	return &framework.Path{
		Pattern: "tokens/" + namePattern("name") + "/readers$",
		Fields: map[string]*framework.FieldSchema{
			"name":   nameField(),
			"window": {Type: framework.TypeDurationSecond, Query: true, Default: defaultReaderWindow, Description: "Show who has read within this time. At least 1s."},
		},
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "token-readers"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: readOperation(b.pathReadersRead, "Read who reads this token, and which version each has.", "read", map[string]*framework.FieldSchema{
				"current_version": {Type: framework.TypeInt, Required: true, Description: "Number of the current version, 0 where there is none."},
				"readers": {Type: framework.TypeSlice, Required: true, Description: "Who reads, the oldest version first: entity_id, display_name, client (keyed hash of the Vault token's " +
					"accessor), address, path (creds or access-token), version, first_read, last_read."},
				"summary": {Type: framework.TypeMap, Required: true, Description: "Counts of readers: total, which is the sum of current and behind, and forgotten " +
					"(those behind that there was no room for)."},
			}),
		},
		HelpSynopsis:    "Read who reads this token, and which version each has.",
		HelpDescription: strings.TrimSpace(readersHelpLong),
	}
}

func (b *backend) pathReadersRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	if err := checkWindow("window", d.Get("window").(int)); err != nil {
		return nil, err
	}
	window := seconds(d.Get("window").(int))
	t, err := b.token(ctx, req.Storage, d.Get("name").(string))
	if err != nil {
		return nil, err
	}
	seen, err := b.readersOf(ctx, req.Storage, t)
	if err != nil {
		return nil, err
	}
	rows, behind := seen.Rows(b.now().Add(-window)), 0
	shown := make([]any, len(rows))
	for i := range rows {
		shown[i] = readerData(&rows[i])
		if rows[i].Version < t.Number() {
			behind++
		}
	}
	return &logical.Response{Data: map[string]any{
		"current_version": t.Number(),
		"readers":         shown,
		"summary": map[string]any{
			"total": len(rows), "current": len(rows) - behind, "behind": behind,
			"forgotten": seen.Behind(t.Number()-1, window, b.now()).Forgotten,
		},
	}}, nil
}

func readerData(r *readers.Row) map[string]any {
	return map[string]any{
		"entity_id": r.EntityID, "display_name": r.DisplayName, "client": r.Client, "address": r.Address, "path": r.Path.String(),
		"version": r.Version, "first_read": timestamp(r.First), "last_read": timestamp(r.Last),
	}
}
