package definition_test

import (
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

// BenchmarkLoad is what a start of the plugin does with each definition of the catalogue.
func BenchmarkLoad(b *testing.B) {
	document := []byte(acme(b))
	for b.Loop() {
		if d, err := definition.Load(document); err != nil || d.Provider() == nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFirstUse is what the first use of a token type adds: its expressions are compiled.
func BenchmarkFirstUse(b *testing.B) {
	document := []byte(acme(b))
	for b.Loop() {
		d, err := definition.Load(document)
		if err != nil {
			b.Fatal(err)
		}
		d.Provider().Type("api_key").Runbook(nil)
	}
}

// BenchmarkParse is what a write of a definition does.
func BenchmarkParse(b *testing.B) {
	document := []byte(acme(b))
	for b.Loop() {
		if _, err := definition.Parse(document, definition.Taken()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConnect is a part of each read of creds/ that is not warm.
func BenchmarkConnect(b *testing.B) {
	kind := kind(b, "api_key")
	settings, token := newPlatform(b).account().Settings, keyToken()
	b.ReportAllocs()
	for b.Loop() {
		kind.Connect(settings, token)
	}
}
