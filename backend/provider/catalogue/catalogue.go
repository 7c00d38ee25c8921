// Package catalogue holds the definitions of ad platforms that come with the engine, one YAML document a platform.
package catalogue

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

const extension = ".yaml"

//go:embed *.yaml
var documents embed.FS

// compiled has the compiled form of each document, a line each in the order of Names: a start of the plugin reads all of them, and YAML
// takes long. `go test ./cmd/adtokens-provider -update` writes it.
//
//go:embed compiled.jsonl
var compiled []byte

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

// Compiled is the compiled form of all documents.
func Compiled() ([]byte, error) {
	var all bytes.Buffer
	for _, name := range Names() {
		document, _ := Document(name)
		line, err := definition.Compile(document)
		if err != nil {
			return nil, fmt.Errorf("%s%s: %w", name, extension, err)
		}
		all.Write(line)
		all.WriteByte('\n')
	}
	return all.Bytes(), nil
}

// All returns the definitions in the order of Names. They are read at the first call, which takes some 5 ms of processor time. A mistake in
// one is a mistake in the code, and panics.
var All = sync.OnceValue(func() []*definition.Definition {
	names := Names()
	lines := bytes.Split(bytes.TrimSuffix(compiled, []byte("\n")), []byte("\n"))
	if len(lines) != len(names) {
		panic(fmt.Sprintf("catalogue: %d definitions are compiled, of %d: run go test ./cmd/adtokens-provider -update", len(lines), len(names)))
	}
	all := make([]*definition.Definition, len(names))
	for i, name := range names {
		document, _ := Document(name)
		d, err := definition.LoadCompiled(document, lines[i])
		if err != nil {
			panic(fmt.Sprintf("catalogue: the definition of %s: %s", name, err))
		}
		all[i] = d
	}
	return all
})

// Load returns the definition of a platform. It is one of Names.
func Load(name string) *definition.Definition {
	i := slices.Index(Names(), name)
	if i < 0 {
		panic(fmt.Sprintf("catalogue: there is no definition of %q", name))
	}
	return All()[i]
}
