// Command adtokens-audit answers from Vault's audit logs who knows a token, who rotated it, and what to do when somebody
// leaves or a token has leaked. It never needs, and never shows, a token's value.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// command is a question that the logs answer.
type command struct {
	name, summary string
	// synopsis is what comes after the name on the command line.
	synopsis string
	// help explains the answer and gives examples.
	help string
	// prepare declares the flags, and returns what to do once they are parsed.
	prepare func(*flag.FlagSet) action
}

// action answers the question from the files that the arguments name.
type action = cli.Action

var commands = []command{
	exposureCommand, staleCommand, leaverCommand, rotationsCommand, incidentCommand, matchCommand, reportCommand,
}

// grace is how long a command may take to end after it was interrupted: it may be stuck in a write that nobody reads.
const grace = 2 * time.Second

func main() { program().Main() }

func program() *cli.Program {
	p := &cli.Program{
		Name: "adtokens-audit", Introduction: introduction, Afterword: afterword, Clean: harmlessText, Grace: grace,
	}
	for _, c := range commands {
		p.Commands = append(p.Commands, cli.Command{Name: c.name, Summary: c.summary, Run: c.run})
	}
	return p
}

// errInterrupted is how a command ends early.
var errInterrupted = errors.New("interrupted")

func (c *command) run(ctx context.Context, args []string, s cli.Streams) error {
	flags := cli.Flags("adtokens-audit "+c.name, fmt.Sprintf("Usage: adtokens-audit %s %s\n\n%s\n\nFlags:\n", c.name, c.synopsis, strings.TrimSpace(c.help)))
	act := c.prepare(flags)
	if err := cli.Parse(flags, args, s); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return cli.Usagef("name the audit logs to read, or - for standard input")
	}
	for _, file := range flags.Args() {
		if strings.HasPrefix(file, "-") && len(file) > 1 {
			return cli.Usagef("put %s before the files, or write ./%s if it is one", file, file)
		}
	}
	return act(ctx, flags.Args(), s)
}

const introduction = `Usage: adtokens-audit <command> [flags] <audit log>...

Answers from Vault's audit logs who knows an ad platform's token. Audit logs are the files of a file audit device: plain,
gzip or bzip2, as many as there are, in any order; - is standard input. Entries may be wrapped by what has carried them:
docker, Kubernetes, log shippers, a JSON array. A request that several devices have logged counts once, unless a million
other requests of the mount come between its entries.

Commands:
`

const afterword = `
Examples:
  adtokens-audit exposure /var/log/vault/audit.log*
  adtokens-audit stale -token acme-rw /var/log/vault/audit.log*
  adtokens-audit leaver -display-name oidc-jane@acme.example /var/log/vault/audit.log*
  adtokens-audit incident -token acme-rw -since 2026-11-20T14:00:00Z /var/log/vault/audit.log*
  kubectl logs vault-0 | adtokens-audit rotations -output json -

Exit codes: 0 the question is answered, whatever the answer; 1 failed, or some part of a log could not be read, or the logs
do not have the mount, token or name that was asked for; 2 wrong usage. "adtokens-audit <command> -h" explains a command,
"adtokens-audit -version" names the release.
`
