// Package catalogue holds the definitions of ad platforms that come with the engine, one YAML document a platform.
package catalogue

import (
	"embed"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

const extension = ".yaml"

//go:embed *.yaml
var documents embed.FS

// Names returns the platforms of the catalogue in alphabetical order.
func Names() []string {
	entries, err := documents.ReadDir(".")
	if err != nil {
		panic("catalogue: " + err.Error()) // the files are part of the binary
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = strings.TrimSuffix(entry.Name(), extension)
	}
	return names
}

// Document returns the definition of a platform as it was written.
func Document(name string) (document []byte, ok bool) {
	if path.Base(name) != name {
		return nil, false
	}
	document, err := documents.ReadFile(name + extension)
	return document, err == nil
}

// Load returns the definition of a platform. It is one of Names; a mistake in its document is a mistake in the code, and panics.
func Load(name string) *definition.Definition {
	document, ok := Document(name)
	if !ok {
		panic(fmt.Sprintf("catalogue: there is no definition of %q", name))
	}
	d, err := definition.Load(document)
	if err != nil {
		panic(fmt.Sprintf("catalogue: the definition of %s: %s", name, err))
	}
	return d
}

// All returns the definitions in the order of Names. They are read at the first call, which takes some 20 ms of processor time.
var All = sync.OnceValue(func() []*definition.Definition {
	names := Names()
	all := make([]*definition.Definition, len(names))
	for i, name := range names {
		all[i] = Load(name)
	}
	return all
})
