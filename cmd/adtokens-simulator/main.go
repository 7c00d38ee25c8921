// Command adtokens-simulator plays Google Ads, impact.com and further ad platforms on the loopback interface, for demos and tests,
// and is the console at which a person resets their tokens.
package main

import "github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"

var program = cli.Program{
	Name:         "adtokens-simulator",
	Introduction: "Usage: adtokens-simulator <command> [flags]\n\nCommands:\n",
	Commands: []cli.Command{
		{Name: "serve", Summary: "serve the simulated providers until interrupted", Run: serve},
		{Name: "console", Summary: "do what a person does in the providers' consoles", Run: console},
		{Name: "receive", Summary: "take notifications as a company does, and check their signatures", Run: receive},
		{Name: "call", Summary: "make one request as an app does", Run: call},
	},
	Afterword: "\n\"adtokens-simulator <command> -h\" explains a command.\n",
}

func main() { program.Main() }
