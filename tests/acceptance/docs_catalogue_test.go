//go:build unix

package acceptance

import (
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/catalogue"
)

// catalogueTexts are the texts of all definitions that come with the engine.
func catalogueTexts(t *testing.T) []string {
	t.Helper()
	var texts []string
	var collect func(n *yaml.Node)
	collect = func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode {
			texts = append(texts, n.Value)
		}
		for _, below := range n.Content {
			collect(below)
		}
	}
	for _, name := range catalogue.Names() {
		document, _ := catalogue.Document(name)
		var tree yaml.Node
		succeeded(t, yaml.Unmarshal(document, &tree))
		collect(&tree)
	}
	return texts
}
