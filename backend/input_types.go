package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// providerInputs are the fields of a path that depend on the token's type or the account's provider.
type providerInputs struct {
	// own are those of the token or account, or of all that it may come to be where that is not known. All are those of all types or
	// providers.
	own, all []provider.Field
	// explained are fields that the path does not take, and whose handler says where they belong.
	explained []provider.Field
	// idle are fields of the engine that are not for this token.
	idle []string
}

// tokenInputs are those of tokens/<name>. Values are for the creation, later ones for tokens/<name>/rotate.
func (b *backend) tokenInputs(ctx context.Context, storage logical.Storage, name string, given map[string]any) providerInputs {
	all := b.allTypes()
	in := providerInputs{all: slices.Concat(fieldsOf(all), optionsOf(all))}
	if t := b.tokenIfReadable(ctx, storage, name); t != nil {
		in.own, in.explained, in.idle = t.kind.Options, t.kind.Fields, []string{"reason", "verify"}
		return in
	}
	kinds := b.possibleTypes(ctx, storage, given)
	in.own = slices.Concat(fieldsOf(kinds), optionsOf(kinds))
	return in
}

// rotateInputs are those of tokens/<name>/rotate.
func (b *backend) rotateInputs(ctx context.Context, storage logical.Storage, name string) providerInputs {
	all := fieldsOf(b.allTypes())
	t := b.tokenIfReadable(ctx, storage, name)
	if t == nil {
		return providerInputs{own: all, all: all}
	}
	in := providerInputs{own: t.kind.Fields, all: all}
	for _, field := range endPreviousNames {
		if field != endPrevious(t.kind) {
			in.idle = append(in.idle, field)
		}
	}
	if t.kind.Consent == nil {
		in.idle = slices.AppendSeq(in.idle, maps.Keys(redirectFields()))
	}
	return in
}

// consentInputs are those of tokens/<name>/consent: what a consent does not give by itself.
func (b *backend) consentInputs(ctx context.Context, storage logical.Storage, name string) providerInputs {
	all := fieldsOf(b.allTypes())
	t := b.tokenIfReadable(ctx, storage, name)
	if t == nil {
		return providerInputs{own: all, all: all}
	}
	return providerInputs{own: consentFields(t.kind), all: all}
}

// tokenIfReadable is the stored token; nil where there is none, or storage fails. An error of storage hides nothing but that: whoever
// handles the request meets it.
func (b *backend) tokenIfReadable(ctx context.Context, storage logical.Storage, name string) *token {
	t, err := b.tokens.Get(ctx, storage, name)
	if err != nil {
		return nil
	}
	return t
}

// possibleTypes are the types that a new token may be of, as far as its fields say: of its account's platform, and of the given name.
func (b *backend) possibleTypes(ctx context.Context, storage logical.Storage, given map[string]any) []*provider.TokenType {
	kinds := b.allTypes()
	if account := nameIn(given, "account"); account != "" {
		if a, err := b.accounts.Get(ctx, storage, account); err == nil && a != nil {
			kinds = a.platform.Types
		}
	}
	named := slices.DeleteFunc(slices.Clone(kinds), func(kind *provider.TokenType) bool { return kind.Name != nameIn(given, "type") })
	if len(named) > 0 {
		return named
	}
	return kinds
}

// accountInputs are those of config/<account>.
func (b *backend) accountInputs(ctx context.Context, storage logical.Storage, name string, given map[string]any) providerInputs {
	var in providerInputs
	for _, p := range b.builtIn {
		in.all = append(in.all, accountFields(p)...)
	}
	in.own = in.all
	if a, err := b.accounts.Get(ctx, storage, name); err == nil && a != nil {
		in.own = accountFields(a.platform)
	} else if p, err := b.platform(ctx, storage, nameIn(given, "provider")); err == nil && p != nil {
		in.own = accountFields(p)
	}
	return in
}

// nameIn is what a request names in a field; empty where that is no name.
func nameIn(given map[string]any, field string) string {
	name := strings.TrimSpace(fmt.Sprint(given[field]))
	if !validName().MatchString(name) {
		return ""
	}
	return name
}
