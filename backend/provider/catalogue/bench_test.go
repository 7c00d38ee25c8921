package catalogue_test

import (
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

// BenchmarkStart is what a start of the plugin does with the definitions of the catalogue.
func BenchmarkStart(b *testing.B) {
	type form struct{ document, compiled []byte }
	var forms []form
	for _, name := range catalogue.Names() {
		document, _ := catalogue.Document(name)
		compiled, err := definition.Compile(document)
		if err != nil {
			b.Fatal(err)
		}
		forms = append(forms, form{document, compiled})
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, f := range forms {
			d, err := definition.LoadCompiled(f.document, f.compiled)
			if err != nil || d.Provider() == nil {
				b.Fatal(err)
			}
		}
	}
}
