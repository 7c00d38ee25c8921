package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

const tryUsage = `Usage: adtokens-provider try [flags] FILE TYPE

Verifies a token of the type TYPE at its platform, as the engine would: the requests are sent, and what comes back is judged by
the rules. FILE is a definition, or the name of one of the catalogue. Nothing is stored, and no value is printed.

On a terminal it asks for the account's settings, the token's options and the fields of the credential; what is secret does not
show while you type. Otherwise standard input is JSON:

  {"account": {"base_url": "https://api.example.com"}, "options": {}, "credential": {"api_key": "..."}}

A type whose refresh tokens work only once uses up the one that is tried. It is refused unless -use-up is given: the new refresh
token is lost.

Flags:
`

// tryTimeout bounds each request, unless the flag says otherwise.
const tryTimeout = 15 * time.Second

// errNotAccepted is why the exit code is not 0 although everything went well.
var errNotAccepted = errors.New("the token was not accepted")

func try(ctx context.Context, args []string, s cli.Streams) error {
	flags := cli.Flags("adtokens-provider try", tryUsage)
	timeout := flags.Duration("timeout", tryTimeout, "longest `time` for one request")
	caFile := flags.String("ca-cert", "", "`path` of PEM certificates to trust instead of the system's")
	useUp := flags.Bool("use-up", false, "try a refresh token that works only once, and lose it")
	if err := cli.Parse(flags, args, s); err != nil {
		return err
	}
	switch {
	case flags.NArg() != 2:
		return cli.Usagef("name a definition and one of its token types")
	case *timeout <= 0:
		return cli.Usagef("-timeout must be more than 0")
	}
	d, err := loadDefinition(flags.Arg(0), s)
	if err != nil {
		return err
	}
	platform := d.Provider()
	kind := platform.Type(flags.Arg(1))
	if kind == nil {
		return cli.Usagef("%s has no token type %q; it has %s", platform.Name, flags.Arg(1), strings.Join(platform.TypeNames(), ", "))
	}
	if d.Describe().Type(kind.Name).PreviousDies && !*useUp {
		return fmt.Errorf("a refresh token of the type %s may work only once, and the try would use it up: "+
			"give -use-up if you can do without it, or hand it in to Vault, which keeps the one that comes back", kind.Name)
	}
	client, err := newClient(*caFile, *timeout)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	given, err := readInput(ctx, s, platform, kind)
	if err != nil {
		return err
	}
	return tryOnce(ctx, s, d, kind.Name, given, client)
}

// tryOnce prints what the verification says, and what it did.
func tryOnce(ctx context.Context, s cli.Streams, d *definition.Definition, tokenType string, given *input, client *http.Client) error {
	verification, trial, err := d.Try(ctx, tokenType, provider.Account{Settings: given.Account, Client: client},
		provider.Token{Options: given.Options, Credential: given.Credential})
	noAnswer, silent := errors.AsType[*provider.Error](err)
	if err != nil && !silent {
		return err
	}
	table := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, printable(value))
		}
	}
	if silent {
		row("outcome", "no useful answer")
		row("detail", noAnswer.Error())
	} else {
		row("outcome", string(verification.Outcome))
		row("detail", verification.Detail)
		row("code", verification.Code)
		row("request id", verification.RequestID)
		row("identity", verification.Identity)
		if !verification.ExpiresAt.IsZero() {
			row("expires at", verification.ExpiresAt.UTC().Format(time.RFC3339))
		}
	}
	for _, step := range trial.Steps {
		row(step.Name, describeStep(step))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if silent || verification.Outcome != provider.Accepted {
		return errNotAccepted
	}
	return nil
}

// describeStep tells of one request: where it went, the answer's status, how long it took, and the rule that judged it.
func describeStep(step definition.Step) string {
	text := step.Error
	if step.Status != 0 {
		text = fmt.Sprintf("HTTP %d", step.Status)
	}
	if step.Host != "" {
		text += " from " + step.Host
	}
	text += " in " + step.Duration.Round(time.Millisecond).String()
	switch {
	case step.Rule != "":
		text += fmt.Sprintf(", %s: %s", step.Rule, step.When)
	case step.Name == "grant" && step.Status != 0:
		text += ", by the rules of OAuth" // which come after those of the definition
	case step.Status != 0:
		text += ", by no rule of the definition"
	}
	return text
}

// newClient is the engine's own: it follows no redirect, and takes no answer that is too long.
func newClient(caFile string, timeout time.Duration) (*http.Client, error) {
	config := provider.ClientConfig{Timeout: timeout, UserAgent: "adtokens-provider/" + cli.Version()}
	if caFile != "" {
		pem, err := os.ReadFile(caFile) //nolint:gosec // the user names the file
		if err != nil {
			return nil, err
		}
		config.CACert = string(pem)
	}
	client, err := provider.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("%s %w", caFile, err)
	}
	return client, nil
}
