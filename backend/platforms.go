package backend

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

// Where a provider comes from.
const (
	originEngine    = "engine"
	originCatalogue = "catalogue"
	originCustom    = "custom"
)

// platform is a provider, ready for use.
type platform struct {
	*provider.Provider
	origin string
	// definition is nil for a provider of the engine.
	definition *definition.Definition
}

func newPlatform(d *definition.Definition, origin string) *platform {
	return &platform{Provider: d.Provider(), origin: origin, definition: d}
}

// builtIn are the platforms that come with the engine. A mistake in one, such as a name that is taken, is a mistake in the code, and
// panics.
func builtIn(taken provider.Taken, engine ...*provider.Provider) map[string]*platform {
	platforms := map[string]*platform{}
	for _, p := range engine {
		platforms[p.Name] = &platform{Provider: p, origin: originEngine}
	}
	all := slices.Clone(engine)
	for _, d := range catalogue.All() {
		p := newPlatform(d, originCatalogue)
		platforms[p.Name], all = p, append(all, p.Provider)
	}
	provider.MustCheck(taken, all...)
	return platforms
}

// warnUnverified tells whoever begins to use a platform what is not known of it for sure.
func warnUnverified(p *platform, response *logical.Response) {
	if !p.Unverified {
		return
	}
	notes := strings.Join(p.Notes, " ")
	if notes == "" {
		notes = "it has no notes that say which"
	}
	response.AddWarning("the definition of " + p.Name + " is not confirmed in all points: " + notes)
}

// builtInNames lists the platforms that come with the engine, in order.
func (b *backend) builtInNames() []string { return slices.Sorted(maps.Keys(b.builtIn)) }

// allTypes are the token types of all built-in providers, in order.
func (b *backend) allTypes() []*provider.TokenType {
	var all []*provider.TokenType
	for _, name := range b.builtInNames() {
		all = append(all, b.builtIn[name].Types...)
	}
	return all
}

// typesThat lists the names of the types of all built-in providers for which the condition holds, each once.
func (b *backend) typesThat(holds func(*provider.TokenType) bool) []string {
	var names []string
	for _, kind := range b.allTypes() {
		if holds(kind) && !slices.Contains(names, kind.Name) {
			names = append(names, kind.Name)
		}
	}
	return names
}

// anyType is a condition that every type fulfils.
func anyType(*provider.TokenType) bool { return true }

// kindOf returns the provider's token type of this name.
func kindOf(p *platform, name string) (*provider.TokenType, error) {
	kind := p.Type(name)
	if kind == nil {
		return nil, fmt.Errorf("its type %q is not known to this plugin (%s) among those of %s", name, Version, p.Name)
	}
	return kind, nil
}
