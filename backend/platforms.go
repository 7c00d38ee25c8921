package backend

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// platform returns the named provider; nil where there is none.
func (b *backend) platform(_ context.Context, _ logical.Storage, name string) (*provider.Provider, error) {
	return b.providers[name], nil
}

// providerList lists all providers, for a message.
func (b *backend) providerList(context.Context, logical.Storage) string {
	return strings.Join(b.providers.Names(), ", ")
}

// allTypes are the token types of all built-in providers, in order.
func (b *backend) allTypes() []*provider.TokenType {
	var all []*provider.TokenType
	for _, name := range b.providers.Names() {
		all = append(all, b.providers[name].Types...)
	}
	return all
}

// typeNames lists the types of all built-in providers.
func (b *backend) typeNames() []string {
	var names []string
	for _, kind := range b.allTypes() {
		if !slices.Contains(names, kind.Name) {
			names = append(names, kind.Name)
		}
	}
	return names
}

// typesThat lists the types of all built-in providers for which the condition holds, for a message or a description.
func (b *backend) typesThat(holds func(*provider.TokenType) bool) string {
	var names []string
	for _, kind := range b.allTypes() {
		if holds(kind) && !slices.Contains(names, kind.Name) {
			names = append(names, kind.Name)
		}
	}
	return strings.Join(names, ", ")
}

// kindOf returns the provider's token type of this name.
func kindOf(p *provider.Provider, name string) (*provider.TokenType, error) {
	kind := p.Type(name)
	if kind == nil {
		return nil, fmt.Errorf("its type %q is not known to this plugin (%s) among those of %s", name, Version, p.Name)
	}
	return kind, nil
}
