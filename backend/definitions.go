package backend

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

const definitionSchema = 1

// definitionEntry is how an operator's definition is stored.
type definitionEntry struct {
	Schema int `json:"schema"`
	// Document is what the operator wrote.
	Document string `json:"document"`
}

func (b *backend) decodeDefinition(_ context.Context, _ logical.Storage, _ string, stored []byte) (*platform, error) {
	var entry definitionEntry
	if err := decodeJSON(stored, definitionSchema, &entry); err != nil {
		return nil, err
	}
	d, err := definition.Load([]byte(entry.Document))
	if err != nil {
		return nil, fmt.Errorf("its document: %w", err)
	}
	return newPlatform(d, originCustom), nil
}

// platform returns the named platform; nil where there is none.
func (b *backend) platform(ctx context.Context, storage logical.Storage, name string) (*platform, error) {
	if p := b.builtIn[name]; p != nil || !definition.IsName(name) {
		return p, nil
	}
	return b.definitions.Get(ctx, storage, name)
}

// checkPlatform keeps the definition of a provider as it is until release is called, and fails where it is not the one any more that the
// caller has worked with.
func (b *backend) checkPlatform(ctx context.Context, storage logical.Storage, p *platform) (release func(), err error) {
	if p.origin != originCustom {
		return func() {}, nil
	}
	release, err = b.definitionLocks.RLock(ctx, p.Name)
	if err != nil {
		return nil, err
	}
	now, err := b.definitions.Get(ctx, storage, p.Name)
	if err == nil && now != p {
		err = logical.CodedError(http.StatusConflict, fmt.Sprintf("the definition of %s was changed at this moment; nothing was done. Try again", p.Name))
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// platformNames lists all platforms in order.
func (b *backend) platformNames(ctx context.Context, storage logical.Storage) ([]string, error) {
	custom, err := b.definitions.List(ctx, storage)
	names := append(b.builtInNames(), custom...)
	slices.Sort(names)
	return slices.Compact(names), err
}

// platformList is platformNames for a message.
func (b *backend) platformList(ctx context.Context, storage logical.Storage) string {
	names, _ := b.platformNames(ctx, storage) // those that are built in can be told all the same
	return strings.Join(names, ", ")
}
