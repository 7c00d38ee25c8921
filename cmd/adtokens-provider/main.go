// Command adtokens-provider helps to write provider definitions, the documents that tell the engine of an ad platform: it checks
// them, tries them with a real token, prints the platform's page, and shows those of the engine's catalogue to start from.
package main

import (
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

func main() { program().Main() }

func program() *cli.Program {
	return &cli.Program{
		Name: "adtokens-provider", Introduction: introduction, Afterword: afterword, Clean: printable,
		Commands: []cli.Command{
			{Name: "check", Summary: "find every mistake of a definition, and run its examples", Run: check},
			{Name: "try", Summary: "verify a token at its platform, as the engine would", Run: try},
			{Name: "doc", Summary: "print a platform's page as Markdown", Run: printPage},
			{Name: "list", Summary: "list the catalogue", Run: list},
			{Name: "show", Summary: "print a definition of the catalogue, to start from", Run: show},
			{Name: "schema", Summary: "print the JSON Schema of definitions, for editors", Run: printSchema},
		},
	}
}

const introduction = `Usage: adtokens-provider <command> [flags] [arguments]

Helps to write provider definitions: YAML documents that tell the engine of an ad platform, what its tokens look like, how one
is proven and what replaces it. The engine takes them at providers/<name>, and takes what "check" accepts.

Commands:
`

const afterword = `
Examples:
  adtokens-provider show awin > acme_ads.yaml
  adtokens-provider check acme_ads.yaml
  adtokens-provider try acme_ads.yaml api_token
  vault write adtokens/providers/acme_ads definition=@acme_ads.yaml

Exit codes: 0 done, and nothing is wrong; 1 failed, or a definition has mistakes, or a token was not accepted; 2 wrong usage.
"adtokens-provider <command> -h" explains a command, "adtokens-provider -version" names the release.
`
